"""Signing in at the house's own provider: OpenID Connect, code flow with PKCE, state and nonce bound to the browser.

What a provider says is believed only when its signature fits a key it publishes, by one of two algorithms, for us and
now. RFC 6749, 7636, 9207, 9700; OpenID Connect Core 1.0, section 3.1.3.7 (read 2026-11-28).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from base.clock import Clock
from base.errors import FieldError, Refused, WrongInput
from base.http import HttpClient, HttpFailed
from base.secret_box import SecretBox, SecretLost
from desk.i18n import N_
from desk.team.store import RuleStore

#: Key type → the one algorithm it is taken for. No secret of ours is ever a key, and nothing is taken unsigned.
ALGORITHMS: Mapping[str, str] = {"RSA": "RS256", "EC": "ES256"}
#: How long somebody may be away at the provider, and how long its papers are kept.
AWAY_S, KEPT_S, ASKED_AGAIN_S = 600, 600, 30
LEEWAY_S = 60
CONTEXT = "oidc"
SECRET = "oidc:client_secret"
BACK = "/sign-in/oidc/back"
NOT_HERE = N_("Signing in by a provider is not set up here.")
STALE = N_("This took too long, or was begun in another browser. Begin again.")
UNBELIEVED = N_("What the provider answered cannot be believed. Begin again, or sign in with your password.")
DECLINED = N_("The provider did not let you through. Begin again, or sign in with your password.")
AWAY = N_("The provider does not answer. Try again, or sign in with your password.")
UNVERIFIED = N_("The provider does not vouch for your mail address.")
STRANGER = N_("Nobody here has this mail address. Ask an administrator to invite you.")


@dataclass(frozen=True)
class Provider:
    """As it was set up. `domains`: who comes from one of them is let in without an invitation, as a viewer."""

    issuer: str
    client_id: str
    label: str
    domains: tuple[str, ...]
    has_secret: bool


@dataclass(frozen=True)
class Vouched:
    """Whom the provider vouches for. `key`: issuer and subject, the same for ever."""

    key: str
    email: str
    name: str
    following: str
    #: The time zone of the browser that went there; empty where it said none.
    zone: str = ""


def checked(token: str, keys: Mapping[str, Any], provider: Provider, nonce: str, now_s: float) -> Mapping[str, Any]:
    """The claims of an id token. Raises `Refused` for any that is not signed by these keys, for us, and now. Pure."""
    try:
        head = jwt.get_unverified_header(token)
        found = keys.get(str(head.get("kid"))) or (next(iter(keys.values())) if len(keys) == 1 else None)
        if found is None or ALGORITHMS.get(found["kty"]) != head.get("alg"):
            raise Refused(UNBELIEVED, code="oidc_key")
        algorithm = ALGORITHMS[found["kty"]]
        key = jwt.PyJWK(found, algorithm=algorithm).key
        # the times are looked at below: by our clock, not by that of the library
        asked: Any = {"require": ["exp", "iat", "iss", "aud", "sub"], "verify_exp": False, "verify_iat": False,
                      "verify_nbf": False}  # fmt: skip
        claims = jwt.decode(
            token, key, algorithms=[algorithm], audience=provider.client_id, issuer=provider.issuer, options=asked
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise Refused(UNBELIEVED, code="oidc_token") from None
    times = [claims.get(name) for name in ("exp", "iat")]
    if not all(isinstance(each, int | float) for each in times):
        raise Refused(UNBELIEVED, code="oidc_times")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    party = claims.get("azp")
    faults = (
        claims["exp"] + LEEWAY_S < now_s,
        claims["iat"] - LEEWAY_S > now_s,
        not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()),
        party is not None and party != provider.client_id,
        len(audience) > 1 and party is None,
    )
    if any(faults):
        raise Refused(UNBELIEVED, code="oidc_claims")
    return claims


class Oidc:
    """The use cases."""

    def __init__(self, rules: RuleStore, box: SecretBox, http: HttpClient, clock: Clock, base_url: str) -> None:
        self._rules = rules
        self._box = box
        self._http = http
        self._clock = clock
        self.redirect_uri = f"{base_url}{BACK}"
        #: Address → (when it was read, what it said). Per process.
        self._papers: dict[str, tuple[float, Mapping[str, Any]]] = {}

    async def provider(self) -> Provider | None:
        """The one that is set up; None without."""
        held = (await self._rules.rules()).get("oidc")
        if not held:
            return None
        return Provider(held["issuer"], held["client_id"], held["label"], tuple(held["domains"]), "secret" in held)

    async def set_up(
        self, issuer: str, client_id: str, secret: str, label: str, domains: list[str]
    ) -> None:  # fmt: skip
        """Keep a provider; an empty secret keeps the one there is, if the issuer stays. Raises `WrongInput`."""
        issuer, before = issuer.strip(), (await self._rules.rules()).get("oidc") or {}
        faults = []
        if not _is_safe(issuer):
            faults.append(FieldError("issuer", N_("Write its address, which begins with https://.")))
        if not client_id.strip():
            faults.append(FieldError("client_id", N_("Write the client id that the provider gave you.")))
        kept = before.get("secret") if before.get("issuer") == issuer and before.get("client_id") == client_id else None
        if not secret and kept is None:
            faults.append(FieldError("client_secret", N_("Write the secret that the provider gave you.")))
        if any("." not in each or "@" in each or each != each.strip().lower() for each in domains):
            faults.append(FieldError("domains", N_("Write domains such as example.com.")))
        if faults:
            raise WrongInput("This provider cannot be set up.", faults)
        sealed = self._box.seal(secret, SECRET) if secret else kept
        row = {"issuer": issuer, "client_id": client_id.strip(), "label": label.strip()[:60] or "SSO",
               "domains": sorted(set(domains)), "secret": sealed}  # fmt: skip
        await self._rules.choose({"oidc": row})

    async def take_down(self) -> None:
        """No provider any more."""
        await self._rules.choose({"oidc": None})

    async def begin(self, following: str, zone: str = "") -> tuple[str, str]:
        """(where the browser goes, what its cookie holds). `zone`: what comes back as such.

        Raises `Refused` without a provider, or when it is away.
        """
        provider = await self.provider()
        if provider is None:
            raise Refused(NOT_HERE, code="oidc_off")
        where = str((await self._discovered(provider))["authorization_endpoint"])
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code", "client_id": provider.client_id, "redirect_uri": self.redirect_uri,
            "scope": "openid email profile", "state": state, "nonce": nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        held = {"s": state, "n": nonce, "v": verifier, "f": following, "z": zone, "i": provider.issuer,
                "t": self._now()}  # fmt: skip
        join = "&" if "?" in where else "?"
        return f"{where}{join}{urlencode(asked)}", self._box.seal(json.dumps(held), CONTEXT)

    async def finish(self, cookie: str, query: Mapping[str, str]) -> Vouched:
        """Whom the provider vouches for. Raises `Refused` for everything that is not exactly as it was begun."""
        provider, held = await self.provider(), self._opened(cookie)
        if provider is None:
            raise Refused(NOT_HERE, code="oidc_off")
        same = hmac.compare_digest(query.get("state", "").encode(), str(held["s"]).encode())
        if not same or held["i"] != provider.issuer or self._now() - held["t"] > AWAY_S:
            raise Refused(STALE, code="oidc_state")
        if query.get("error"):
            raise Refused(DECLINED, code="oidc_declined")
        if query.get("iss", provider.issuer) != provider.issuer or not query.get("code"):
            raise Refused(UNBELIEVED, code="oidc_answer")
        papers = await self._discovered(provider)
        token = await self._exchanged(provider, str(papers["token_endpoint"]), query["code"], str(held["v"]))
        claims = checked(token, await self._keys(papers, token), provider, str(held["n"]), self._now())
        email = str(claims.get("email", ""))
        if not vouches(claims) or "@" not in email:
            raise Refused(UNVERIFIED, code="oidc_unverified")
        key = f"{provider.issuer}|{claims['sub']}"
        return Vouched(key, email, str(claims.get("name") or "")[:120], str(held["f"]), str(held.get("z", "")))

    async def _exchanged(self, provider: Provider, where: str, code: str, verifier: str) -> str:
        row = (await self._rules.rules()).get("oidc") or {}
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri,
            "client_id": provider.client_id, "client_secret": self._box.open(row["secret"], SECRET),
            "code_verifier": verifier,
        }  # fmt: skip
        try:
            reply = await self._http.request("POST", where, form=form, max_bytes=100_000)
        except HttpFailed:
            raise Refused(AWAY, code="oidc_away") from None
        said = reply.json()
        token = said.get("id_token") if reply.status == 200 and isinstance(said, dict) else None
        if not isinstance(token, str):
            raise Refused(UNBELIEVED, code="oidc_exchange")
        return token

    async def _discovered(self, provider: Provider) -> Mapping[str, Any]:
        where = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        papers = await self._read(where, KEPT_S)
        endpoints = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if papers.get("issuer") != provider.issuer or not all(_is_safe(str(papers.get(each))) for each in endpoints):
            raise Refused(UNBELIEVED, code="oidc_discovery")
        return papers

    async def _keys(self, papers: Mapping[str, Any], token: str) -> dict[str, Any]:
        """Key id → key; read again, not too often, for one that is not known yet."""
        where = str(papers["jwks_uri"])
        try:
            wanted = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            raise Refused(UNBELIEVED, code="oidc_token") from None
        keys = _by_id(await self._read(where, KEPT_S))
        return keys if wanted in keys else _by_id(await self._read(where, ASKED_AGAIN_S))

    async def _read(self, where: str, kept_s: float) -> Mapping[str, Any]:
        held = self._papers.get(where)
        if held is not None and time.monotonic() - held[0] < kept_s:
            return held[1]
        try:
            said = (await self._http.request("GET", where, max_bytes=300_000)).json()
        except HttpFailed:
            raise Refused(AWAY, code="oidc_away") from None
        if not isinstance(said, dict):
            raise Refused(AWAY, code="oidc_away")
        self._papers[where] = (time.monotonic(), said)
        return said

    def _opened(self, cookie: str) -> dict[str, Any]:
        try:
            held: dict[str, Any] = json.loads(self._box.open(cookie, CONTEXT))
        except (SecretLost, ValueError):
            raise Refused(STALE, code="oidc_state") from None
        return held

    def _now(self) -> float:
        return self._clock().timestamp()


def _by_id(papers: Mapping[str, Any]) -> dict[str, Any]:
    rows = papers.get("keys")
    keys = [each for each in rows if isinstance(each, dict) and each.get("kty") in ALGORITHMS] if isinstance(
        rows, list
    ) else []  # fmt: skip
    return {str(each.get("kid", "")): each for each in keys if each.get("use", "sig") == "sig"}


def vouches(claims: Mapping[str, Any]) -> bool:
    """Whether the provider says that the mail address is theirs. Microsoft Entra never says
    `email_verified`; it says in `xms_edov`, where asked to, that the owner of the domain has proven it:
    https://learn.microsoft.com/entra/identity-platform/optional-claims-reference (read 2026-11-29)."""
    if "email_verified" in claims:
        return claims["email_verified"] is True
    by_entra = str(claims.get("iss", "")).startswith("https://login.microsoftonline.com/")
    return by_entra and claims.get("xms_edov") in (True, "1", "true")


def _is_safe(address: str) -> bool:
    """Https, or this machine itself, where somebody tries it out."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
    ))  # fmt: skip
