"""Signing in by a provider: a local issuer that tells the truth, and every lie it or somebody between could tell."""

import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from aiohttp import ClientSession, CookieJar, web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hmac import HMAC
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from base.clock import now
from base.http import AddressGuard, HttpClient
from desk.team.oidc import Oidc, vouches
from desk.team.store import RuleStore
from tests.desk.conftest import Desk

CLIENT = "rapport-client"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """A provider that plays by the book, unless a test says otherwise."""

    def __init__(self) -> None:
        self.url = ""
        self.claims: dict[str, Any] = {}
        self.make: Any = None
        self.asked: dict[str, Any] = {}
        self.form: dict[str, str] = {}
        self.codes: set[str] = set()

    async def discovery(self, request: web.Request) -> web.Response:
        return web.json_response({
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
        })  # fmt: skip

    async def keys(self, request: web.Request) -> web.Response:
        rows = [{**json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "rsa", "use": "sig"},
                {**json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "ec"}]  # fmt: skip
        return web.json_response({"keys": rows})

    async def token(self, request: web.Request) -> web.Response:
        self.form = {name: str(value) for name, value in (await request.post()).items()}
        if self.form["code"] not in self.codes:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.codes.discard(self.form["code"])
        return web.json_response({"id_token": self.make(self.told())})

    @property
    def email(self) -> str:
        """Another one for each test: an account belongs to one provider."""
        return f"vera-{urlsplit(self.url).port}@corp.example"

    def told(self) -> dict[str, Any]:
        at = int(now().timestamp())
        return {"iss": self.url, "aud": CLIENT, "sub": "s-1", "iat": at, "exp": at + 300,
                "nonce": self.asked["nonce"], "email": self.email, "email_verified": True, "name": "Vera",
                **self.claims}  # fmt: skip


def signed(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, RSA_KEY, "RS256", headers={"kid": "rsa"})


def signed_ec(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, EC_KEY, "ES256", headers={"kid": "ec"})


def by_another_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, OTHER_KEY, "RS256", headers={"kid": "rsa"})


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, "none", headers={"kid": "rsa"})


def hmac_with_the_public_key(claims: dict[str, Any]) -> str:
    """The old trick: the public key, which everybody knows, taken for a shared secret."""
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    parts = [_part({"alg": "HS256", "typ": "JWT", "kid": "rsa"}), _part(claims)]
    seal = HMAC(pem, hashes.SHA256())
    seal.update(".".join(parts).encode())
    return ".".join([*parts, base64.urlsafe_b64encode(seal.finalize()).decode().rstrip("=")])


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
async def issuer(desk: Desk) -> AsyncIterator[Issuer]:
    found = Issuer()
    app = web.Application()
    app.add_routes([web.get("/.well-known/openid-configuration", found.discovery), web.get("/keys", found.keys),
                    web.post("/token", found.token)])  # fmt: skip
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    found.url, found.make = f"http://{host}:{port}", signed
    runtime, http = desk.runtime, HttpClient(AddressGuard(["127.0.0.0/8"]))
    runtime.oidc = Oidc(RuleStore(runtime.db), runtime.box, http, runtime.clock, "http://desk.example")
    await runtime.oidc.set_up(found.url, CLIENT, "client-secret", "Corp", ["corp.example"])
    yield found
    await runtime.oidc.take_down()
    await http.close()
    await runner.cleanup()


class Visitor:
    """A browser that goes to the provider and comes back."""

    def __init__(self, desk: Desk, issuer: Issuer) -> None:
        self.client = ClientSession(desk.url, cookie_jar=CookieJar(unsafe=True))
        self.issuer = issuer

    async def begin(self, following: str = "/inbox") -> dict[str, str]:
        """What the provider is asked."""
        path = f"/sign-in/oidc?next={following}"
        async with self.client.get(path, allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        self.issuer.asked = asked
        self.issuer.codes.add("code-1")
        return asked

    async def back(self, **change: str) -> tuple[int, str]:
        query = {"code": "code-1", "state": self.issuer.asked["state"], **change}
        async with self.client.get("/sign-in/oidc/back", params=query, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def is_in(self) -> bool:
        async with self.client.get("/inbox", allow_redirects=False) as answer:
            return answer.status == 200


@pytest.fixture
async def visitor(desk: Desk, issuer: Issuer) -> AsyncIterator[Visitor]:
    found = Visitor(desk, issuer)
    yield found
    await found.client.close()


async def test_who_is_vouched_for_comes_in_and_is_a_viewer(desk: Desk, issuer: Issuer, visitor: Visitor) -> None:
    async with visitor.client.get("/sign-in") as answer:
        assert "Sign in with Corp" in await answer.text()
    asked = await visitor.begin("/profiles")
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
    assert await visitor.back() == (303, "/profiles") and await visitor.is_in()
    assert issuer.form["client_secret"] == "client-secret"
    digest = hashes.Hash(hashes.SHA256())
    digest.update(issuer.form["code_verifier"].encode())
    assert base64.urlsafe_b64encode(digest.finalize()).decode().rstrip("=") == asked["code_challenge"]
    (user,) = [each for each in await desk.runtime.users.users() if each.email == issuer.email]
    assert (user.role, user.name, user.has_password) == ("viewer", "Vera", False)
    issuer.claims, issuer.make = {"email": "vera.new@elsewhere.example"}, signed_ec  # known by who she is, not by where
    await visitor.begin()
    assert (await visitor.back())[0] == 303
    (came, *_) = (await desk.runtime.audit.page(kind="sign_in", by=user.id)).data
    assert (came["what"], came["outcome"]) == ("entrance.oidc_back", 303)


@pytest.mark.parametrize(
    ("claims", "make"),
    [({"nonce": "another"}, signed), ({"aud": "another-client"}, signed), ({"iss": "https://evil.example"}, signed),
     ({"exp": 1}, signed), ({"iat": 99999999999, "exp": 999999999999}, signed), ({"exp": "soon"}, signed),
     ({"azp": "another-client"}, signed), ({"aud": [CLIENT, "another-client"]}, signed),
     ({"email_verified": False}, signed), ({"email_verified": "true"}, signed), ({"email": ""}, signed),
     ({}, unsigned), ({}, hmac_with_the_public_key), ({}, by_another_key), ({}, lambda claims: "no.token.here"),
     ({"email": "stranger@elsewhere.example", "sub": "s-9"}, signed)],
    ids=["nonce", "aud", "iss", "exp", "iat", "exp-text", "azp", "two-aud", "unverified", "verified-text", "no-mail",
         "none", "hs256", "other-key", "garbage", "stranger"],
)  # fmt: skip
async def test_a_lie_lets_nobody_in(visitor: Visitor, issuer: Issuer, claims: dict[str, Any], make: Any) -> None:
    issuer.claims, issuer.make = claims, make
    await visitor.begin()
    status, page = await visitor.back()
    assert status == 403 and "sign-in-error" in page and not await visitor.is_in()


async def test_what_was_begun_elsewhere_is_not_ended_here(desk: Desk, issuer: Issuer, visitor: Visitor) -> None:
    await visitor.begin()
    assert (await visitor.back(state="another"))[0] == 403
    await visitor.begin()
    assert (await visitor.back(iss="https://evil.example"))[0] == 403
    await visitor.begin()
    assert (await visitor.back(code=""))[0] == 403
    await visitor.begin()
    other = Visitor(desk, issuer)
    assert (await other.back())[0] == 403  # a link with code and state, sent to somebody else
    await other.client.close()
    assert (await visitor.back())[0] == 303
    assert (await visitor.back())[0] == 403  # a second time


async def test_who_turns_back_at_the_provider_is_told_so(visitor: Visitor) -> None:
    await visitor.begin()
    status, page = await visitor.back(error="access_denied", code="")
    assert status == 403 and "The provider did not let you through." in page


@pytest.mark.parametrize(
    ("claims", "said"),
    [({"email_verified": True}, True), ({}, False), ({"xms_edov": True}, True), ({"xms_edov": "1"}, True),
     ({"xms_edov": False}, False), ({"xms_edov": True, "email_verified": False}, False),
     ({"xms_edov": True, "iss": "https://login.microsoftonline.com.evil.example/t/v2.0"}, False),
     ({"xms_edov": True, "iss": "https://elsewhere.example"}, False)],
)  # fmt: skip
def test_entra_vouches_in_a_claim_of_its_own(claims: dict[str, Any], said: bool) -> None:
    assert vouches({"iss": "https://login.microsoftonline.com/tenant/v2.0", **claims}) is said


async def test_who_has_no_password_is_asked_for_none(desk: Desk, issuer: Issuer, visitor: Visitor) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    await visitor.begin("/account&zone=Asia/Shanghai")
    assert await visitor.back() == (303, "/account")
    async with visitor.client.get("/account") as answer:
        page = await answer.text()
    assert 'value="Asia/Shanghai"' in page and "you come in by your provider" in page
    assert 'name="old"' not in page and 'name="password"' not in page
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf is not None
    fields = {"csrf": csrf[1], "act": "begin"}
    async with visitor.client.post("/account/two-factor", data=fields) as answer:
        assert answer.status == 200 and "<svg" in await answer.text()
    (user,) = [each for each in await desk.runtime.users.users() if each.email == issuer.email]
    person = await admin.page(f"/settings/people/{user.id}")
    assert 'data-testid="state">Active<' in person


async def test_no_way_leads_to_another_site(visitor: Visitor) -> None:
    await visitor.begin("//evil.example/")
    assert await visitor.back() == (303, "/")


async def test_who_was_invited_is_linked_and_who_is_off_stays_out(
    desk: Desk, issuer: Issuer, visitor: Visitor
) -> None:  # fmt: skip
    user = await desk.runtime.users.add_user("agnes@elsewhere.example", "Agnes", "agent")
    issuer.claims = {"email": "Agnes@elsewhere.example", "sub": "s-2"}
    await visitor.begin()
    assert (await visitor.back())[0] == 303 and await visitor.is_in()
    issuer.claims = {"email": "agnes@elsewhere.example", "sub": "s-3"}  # somebody else with that address over there
    await visitor.begin()
    assert (await visitor.back())[0] == 403
    await desk.runtime.accounts.change_person("usr_x", user, {"active": False})
    assert not await visitor.is_in()
    issuer.claims = {"email": "agnes@elsewhere.example", "sub": "s-2"}
    await visitor.begin()
    assert (await visitor.back())[0] == 403


async def test_a_provider_is_set_up_on_the_page_and_its_secret_is_not_shown(desk: Desk, issuer: Issuer) -> None:
    admin, here = await desk.person("admin", name="Ada Admin"), "/settings/people/rules/oidc"
    fields = {"issuer": issuer.url, "client_id": CLIENT, "label": "House", "domains": "corp.example"}
    await admin.post(here, **fields)  # the secret stays
    assert (await desk.runtime.oidc.provider()).has_secret
    page = await admin.page("/settings/people")
    assert "client-secret" not in page and "http://desk.example/sign-in/oidc/back" in page and 'value="House"' in page
    for change in ({"issuer": "http://evil.example"}, {"client_id": ""}, {"issuer": "https://other.example"},
                   {"domains": "a@b.example"}):  # fmt: skip
        await admin.post(here, 422, **{**fields, **change})
    row = await desk.runtime.db.collection("team_rules").find_one({})
    assert "client-secret" not in str(row)
    viewer = await desk.person("viewer", name="Vic Viewer")
    await viewer.post(here, 403, **fields)
    await admin.post(here, act="take_down")
    async with ClientSession(desk.url) as stranger, stranger.get("/sign-in/oidc") as answer:
        assert answer.status == 403
