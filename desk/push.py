"""Web push to colleagues' browsers, with keys of this deployment's own: nobody stands between us and the push service.

A browser belongs to a session. When that has ended, however it did, nothing goes there any more.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from base.clock import Clock
from base.errors import FieldError, WrongInput
from base.http import INSIDE, AddressGuard, HttpClient, HttpFailed
from base.mongo import Document
from base.secret_box import SecretBox, SecretLost
from campaigns.telling.carrying import Outcome, Said
from campaigns.telling.choosing import Choices
from campaigns.telling.models import Reader
from campaigns.telling.store.browsers import BrowserStore, PushKeyStore
from desk.store import DeskStore
from desk.web_push import (
    AUTH,
    CURVE,
    authorization,
    decoded,
    encoded,
    encrypted,
    point_of,
    private_of,
    public_bytes,
    scalar_of,
)

_CONTEXT = "push:vapid"
#: Seconds for one answer, bytes read of it, and seconds for which a service may keep what a sleeping phone misses.
TIMEOUT_S, READ_MAX, KEPT_S = 15.0, 100_000, 12 * 3600
#: Browsers of one person; the oldest goes for one more.
BROWSERS_MAX = 20
#: The browser is not there any more (RFC 8030, 7.3).
GONE = frozenset({404, 410})
PASSING = frozenset({408, 425, 429})
#: Characters of a line: what is longer no phone shows.
SHOWN = 240


class PushKeys:
    """Our own pair: made once, the private key sealed."""

    def __init__(self, store: PushKeyStore, box: SecretBox) -> None:
        self._store = store
        self._box = box

    async def public(self) -> str:
        """What browsers are told."""
        return str((await self._row())["public"])

    async def private(self) -> ec.EllipticCurvePrivateKey:
        """What we sign with. Raises `SecretLost`."""
        return private_of(decoded(self._box.open((await self._row())["private"], _CONTEXT)))

    async def _row(self) -> Document:
        known = await self._store.get()
        if known is not None:
            return known
        key = ec.generate_private_key(CURVE)
        return await self._store.begin(self._box.seal(encoded(scalar_of(key)), _CONTEXT), encoded(public_bytes(key)))


class Browsers:
    """Which browsers of somebody are told."""

    def __init__(self, store: BrowserStore, choices: Choices, users: DeskStore, guard: AddressGuard) -> None:
        self._store = store
        self._choices = choices
        self._users = users
        self._guard = guard

    async def keep(self, user_id: str, session_id: str, agent: str, subscription: Document) -> Document:
        """This browser from now on. `subscription`: endpoint, p256dh, auth. Raises `WrongInput`."""
        checked_browser(subscription, self._guard)
        row = await self._store.keep({**subscription, "user_id": user_id, "session_id": session_id, "agent": agent})
        rows = await self._store.of(user_id)
        await self._store.remove([each["_id"] for each in rows[:-BROWSERS_MAX]], user_id)
        self._choices.forget()
        return row

    async def of(self, user_id: str) -> list[Document]:
        """Those whose session is still open; the others go."""
        rows = await self._store.of(user_id)
        if not rows:
            return []
        open_now = {each.id for each in await self._users.sessions_of(user_id)}
        ended = [row["_id"] for row in rows if row["session_id"] not in open_now]
        if ended:
            await self.remove(ended, user_id)
        return [row for row in rows if row["session_id"] in open_now]

    async def remove(self, ids: list[str], user_id: str) -> int:
        """These are told nothing any more; how many there were."""
        count = await self._store.remove(ids, user_id)
        self._choices.forget()
        return count

    async def signed_out(self, session_id: str) -> None:
        """A session has ended."""
        await self._store.remove_session(session_id)


class PushCarrier:
    """Sends to each browser of a person, side by side."""

    def __init__(
        self, keys: PushKeys, browsers: Browsers, http: HttpClient, clock: Clock, *, contact: str
    ) -> None:
        """`contact`: where push services can complain, https: or mailto:."""
        self._keys = keys
        self._browsers = browsers
        self._http = http
        self._clock = clock
        self._contact = contact

    async def carry(self, person: Reader, said: Said, telling: Document) -> Outcome:
        """As `campaigns.telling.carrying.Carrier`."""
        reached = set(telling.get("reached", ()))
        rows = [row for row in await self._browsers.of(person.id) if row["_id"] not in reached]
        if not rows:
            return Outcome("done" if reached else "skipped", None if reached else "no_browser")
        try:
            key = await self._keys.private()
        except SecretLost:
            return Outcome("failed", "secret_lost")
        plain = payload(said)
        found = await asyncio.gather(*(self._push(row, key, plain, said.tag) for row in rows))
        gone = [row["_id"] for row, each in zip(rows, found, strict=True) if each.state == "skipped"]
        if gone:
            await self._browsers.remove(gone, person.id)
        return together(found, [row["_id"] for row in rows])

    async def _push(self, row: Document, key: ec.EllipticCurvePrivateKey, plain: bytes, tag: str) -> Outcome:
        now = self._clock()
        headers = {
            "Authorization": authorization(row["endpoint"], key, self._contact, now), "TTL": str(KEPT_S),
            "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream", "Urgency": "high",
            "Topic": topic_of(tag),
        }  # fmt: skip
        body = encrypted(plain, decoded(row["p256dh"]), decoded(row["auth"]))
        try:
            reply = await self._http.request(
                "POST", row["endpoint"], headers=headers, data=body, timeout_s=TIMEOUT_S, max_bytes=READ_MAX
            )
        except HttpFailed as failed:
            return Outcome("again" if failed.reason in ("connect", "timeout", "cut") else "failed", failed.reason)
        if reply.status in GONE:
            return Outcome("skipped", "browser_gone")
        if 200 <= reply.status < 300:
            return Outcome("done")
        passing = reply.status >= 500 or reply.status in PASSING
        return Outcome("again" if passing else "failed", f"http {reply.status}", after=reply.asks_again_at(now))


def together(found: list[Outcome], ids: list[str]) -> Outcome:
    """What came of all browsers: again while one of them may still take it, done when one has. Pure."""
    reached = tuple(each for each, one in zip(ids, found, strict=True) if one.state == "done")
    again = [one for one in found if one.state == "again"]
    if again:
        after = max((one.after for one in again if one.after), default=None)
        return Outcome("again", again[0].said, reached, after)
    if reached:
        return Outcome("done")
    return next((one for one in found if one.state == "failed"), found[0])


def payload(said: Said) -> bytes:
    """What the browser is told: a line, where it leads, and which earlier one it replaces. Pure."""
    body = "\n".join(each[:SHOWN] for each in said.lines[:4]) if len(said.lines) > 1 else ""
    return orjson.dumps({"title": said.title[:SHOWN], "body": body, "path": said.path, "tag": said.tag})


def topic_of(tag: str) -> str:
    """What is about the same thing replaces what a sleeping phone has not got yet (RFC 8030, 5.4). Pure."""
    return encoded(hashlib.sha256(tag.encode()).digest())[:32]


def contact_of(base_url: str) -> str:
    """Where push services can complain: our address, if it is one of the open net. Pure."""
    host = urlsplit(base_url).hostname or "localhost"
    return base_url if base_url.startswith("https://") else f"mailto:postmaster@{host}"


def checked_browser(given: Any, guard: AddressGuard) -> None:
    """Raises `WrongInput` for what no browser says."""
    faults = []
    try:
        parts = urlsplit(given["endpoint"])
        known = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        known = False
    if not known:
        faults.append(FieldError("endpoint", "is the https address that the browser was given"))
    elif guard.refuses(parts.hostname or ""):
        faults.append(FieldError("endpoint", INSIDE))
    try:
        point_of(decoded(given["p256dh"]))
    except ValueError:
        faults.append(FieldError("p256dh", "is the browser's public key, base64"))
    try:
        fits = len(decoded(given["auth"])) == AUTH
    except ValueError:
        fits = False
    if not fits:
        faults.append(FieldError("auth", "is the browser's secret of 16 bytes, base64"))
    if faults:
        raise WrongInput("This is no browser that can be pushed to.", faults)
