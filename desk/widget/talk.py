"""One visitor's side of the protocol (`protocol.md`): frames in, frames out, the same over a socket and over HTTP."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any

from base.clock import Clock
from base.errors import Unavailable, WrongInput
from base.mongo import UNAVAILABLE, Document
from channels.adapter import Account, Delivery
from channels.identity import Proved, proved
from channels.providers.webchat.adapter import TEXT_MAX, VISITORS_REACTIONS
from channels.providers.webchat.envelope import WIDGET, key_of, sealed
from channels.reading import Json, identifier, instant, items, mapping, storable, text
from channels.vocabulary import DeliveryStatus
from desk.whispers import Whisper, Whispers
from desk.widget.hub import Hub, Window
from desk.widget.limits import Limits
from desk.widget.thread import GONE_OUT, Part, Shown, Threads
from desk.widget.tokens import Visitor, customer, make_token, read_token, somebody_new
from inbox.incoming import cleaned
from inbox.standing import STANDING
from inbox.store import MessageStore, SendStore
from profiles.normalise import email_address, is_placeholder
from profiles.store import ProfileStore
from webhooks.journal import Journal

KEY = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
NAME_MAX, URL_MAX = 120, 1000
#: Message ids of one receipt.
RECEIPT_MAX = 100
BUSY_S = 5


@dataclass(frozen=True)
class Room:
    """What all talks of a process share."""

    profiles: ProfileStore
    messages: MessageStore
    sends: SendStore
    journal: Journal
    threads: Threads
    hub: Hub
    whispers: Whispers
    limits: Limits
    clock: Clock
    key: bytes
    #: (channel id, visitor): they have a window open.
    present: Callable[[str, str], Awaitable[None]]


@dataclass
class Talk:
    """A visitor who is there. `window` None: over HTTP, nothing is pushed."""

    room: Room
    account: Account
    address: str
    window: Window | None = None
    visitor: Visitor | None = None
    #: The id under which the tracking script of the same page knows this browser.
    anonymous: str | None = None
    person: dict[str, Any] = field(default_factory=dict)
    page: dict[str, Any] = field(default_factory=dict)
    conversations: list[str] = field(default_factory=list)

    async def answer(self, frame: Json) -> list[Shown]:
        """What one frame of the browser leads to. Never raises for what a stranger sent."""
        kind = text(frame.get("t")) or ""
        if kind == "ping":
            return [{"t": "pong"}]
        if kind != "hello" and self.visitor is None:
            return [_error("hello_first", "Say hello first.")]
        handle = _HANDLERS.get(kind)
        if handle is None:
            return [_error("unknown", "There is no such frame.")]
        try:
            return await handle(self, frame)
        except (Unavailable, *UNAVAILABLE):
            return [_refused(frame, "busy", BUSY_S)]
        except WrongInput:
            return [_refused(frame, "wrong")]

    # -- who it is ---------------------------------------------------------------------------------------------

    async def hello(self, frame: Json) -> list[Shown]:
        """Say who is there, and get the thread."""
        wait = self._wait("hello")
        if wait:
            return [_refused(frame, "slow", wait)]
        claim = mapping(frame.get("identity"))
        proof = proved(claim, self.account.secrets("identity_secret")) if claim else None
        if proof is not None and is_placeholder(proof.customer_id):
            proof = None  # a page that signs "null" for whoever is not signed in would put them all into one thread
        held = read_token([self.room.key], self.account.channel_id, frame.get("token"), self.room.clock())
        visitor, identity_ids = await self._recognised(held, proof)
        if held is None and not visitor.identified:
            wait = self.room.limits.wait_s("new", None, self.address)
            if wait:
                return [_refused(frame, "slow", wait)]
        self.visitor, self.person, self.page = visitor, _person(frame, claim, proof), _page(frame)
        self.anonymous = _anonymous(frame)
        if self.window is not None and not self.room.hub.name(self.window, visitor.ids):
            return [_error("windows", "Too many windows are open.")]
        part, seen = await self._thread(identity_ids, instant(frame.get("after")))
        await self.room.present(self.account.channel_id, visitor.id)
        welcome: Shown = {
            "t": "welcome", "token": self._token(), "identified": visitor.identified,
            "refused": bool(claim and not proof), "visitor": visitor.id[:2] + visitor.id[-6:], "lines": part.lines,
            "more": part.more, "gapless": part.gapless, "seen": seen,
        }  # fmt: skip
        return [welcome]

    async def _recognised(self, held: Visitor | None, proof: Proved | None) -> tuple[Visitor, list[str]]:
        """Whose thread it is, and the identities it belongs to."""
        channel_id = self.account.channel_id
        anonymous = held.id if held is not None and not held.identified else None
        if proof is None:
            rows = await self._identities([anonymous] if anonymous else [])
            row = rows.get(anonymous or "")
            # A thread that a customer took over belongs to the customer, not to whoever uses the browser next.
            taken_over = row is not None and row["external_id"] != anonymous
            visitor = Visitor(anonymous) if anonymous and not taken_over else somebody_new()
            return visitor, [row["_id"]] if row is not None and not taken_over else []
        visitor = customer(channel_id, proof.customer_id)
        rows = await self._identities([visitor.id, *([anonymous] if anonymous else [])])
        ours, before = rows.get(visitor.id), rows.get(anonymous or "")
        if before is not None and before["external_id"] in (anonymous, visitor.id):
            visitor = customer(channel_id, proof.customer_id, (str(anonymous),))
            if before["external_id"] == anonymous:
                await self._tell_who(visitor, proof, before, ours)
        else:
            before = None
        return visitor, list(dict.fromkeys(row["_id"] for row in (ours, before) if row is not None))

    async def _tell_who(self, visitor: Visitor, proof: Proved, before: Document, ours: Document | None) -> None:
        """An unknown visitor with a thread turns out to be a customer.

        One nobody knew takes the thread over. Where the customer has a profile already, two people are never joined
        unasked: an agent is told that they are probably the same.
        """
        person = {"customer_id": proof.customer_id, "verified": False}
        head: dict[str, Any] = {"kind": "seen", "visitor": visitor.id, "person": person}
        if ours is not None:
            if ours["profile_id"] != before["profile_id"]:
                await self._keep({**head, "alias": before["external_id"]})
            return
        known = await self.room.profiles.identity_rows.rows_by_key([f"customer_id:{proof.customer_id.strip()}"])
        if all(row["profile_id"] == before["profile_id"] for row in known.values()):
            await self._keep({**head, "former": before["external_id"]})

    async def _identities(self, visitors: Sequence[str]) -> dict[str, Document]:
        """Visitor → the identity behind it."""
        prefix = f"{self.account.channel_id}:"
        rows = await self.room.profiles.identity_rows.rows_by_key([prefix + each for each in visitors])
        return {key.removeprefix(prefix): row for key, row in rows.items()}

    async def _thread(self, identity_ids: Sequence[str], after: datetime | None) -> tuple[Part, bool]:
        found = await self.room.threads.of(identity_ids, self.account.channel_id)
        self.conversations = [row["_id"] for row in found]
        if self.window is not None:  # before reading: what comes meanwhile is in its queue, and lines know their ids
            self.room.hub.join(self.window, self.conversations)
        part = await self.room.threads.since(self.conversations, after)
        return part, bool(found) and not any(row.get("unread") for row in found)

    async def _refresh(self) -> list[str]:
        """The conversations, looked up again where none was known, or the window has heard of another one."""
        heard_of = self.window.conversations if self.window is not None else set()
        if self.visitor is not None and not (self.conversations and heard_of <= set(self.conversations)):
            rows = await self._identities(self.visitor.ids)
            found = await self.room.threads.of([row["_id"] for row in rows.values()], self.account.channel_id)
            self.conversations = [row["_id"] for row in found]
        return self.conversations

    # -- what it says ------------------------------------------------------------------------------------------

    async def say(self, frame: Json) -> list[Shown]:
        """A message or a pressed button: acknowledged once a majority has it."""
        key, press = text(frame.get("key")) or "", mapping(frame.get("press"))
        said = (cleaned(text(frame.get("text")), TEXT_MAX + 1) or "").strip()
        if not KEY.fullmatch(key) or not (said or press) or len(said) > TEXT_MAX:
            return [_refused(frame, "long" if len(said) > TEXT_MAX else "wrong")]
        wait = self._wait("say")
        if wait:
            return [_refused(frame, "slow", wait)]
        head: dict[str, Any] = {
            "kind": "message",
            "key": key,
            "text": said or None,
            "reply_to": text(frame.get("reply_to")),
        }
        if press:
            head["press"] = {name: (text(press.get(name)) or "")[:1000] or None for name in ("payload", "title")}
        self._learn(frame)
        await self._keep(head | await self._about())
        return [{"t": "ack", "key": key}]

    async def react(self, frame: Json) -> list[Shown]:
        """An emoji on a line of ours, another one, or (none) no more: acknowledged once a majority has it."""
        key, line_id, emoji = text(frame.get("key")) or "", text(frame.get("id")), frame.get("emoji") or None
        if not KEY.fullmatch(key) or not line_id or (emoji is not None and emoji not in VISITORS_REACTIONS):
            return [_refused(frame, "wrong")]
        wait = self._wait("react")
        if wait:
            return [_refused(frame, "slow", wait)]
        line = (await self.room.messages.many([line_id])).get(line_id)
        if line is None or not await self._takes_reactions(line):
            return [_refused(frame, "wrong")]
        head: dict[str, Any] = {"kind": "reaction", "key": key, "emoji": emoji}
        head["message_id"] = line["provider_message_ids"][0]
        # Whoever reacted before they signed in changes that reaction, and makes no second one.
        former = next((each["by"] for each in line.get("reactions", ())), None)
        await self._keep(head | ({"visitor": former} if former else {}))
        return [{"t": "ack", "key": key}]

    async def _takes_reactions(self, line: Document) -> bool:
        """Whether it is a line of ours that this visitor sees."""
        is_shown = line["direction"] == "out" and line.get("status") in GONE_OUT and not line.get("deleted_at")
        is_here = line["channel_id"] == self.account.channel_id and bool(line.get("provider_message_ids"))
        return is_shown and is_here and line.get("conversation_id") in await self._refresh()

    async def bring(self, about: Json, name: str, media_type: str, content: bytes) -> None:
        """A message that is a file. Returns once a majority has it. Raises `Unavailable`."""
        self._learn(about)
        said = (cleaned(text(about.get("text")), TEXT_MAX) or "").strip()
        head: dict[str, Any] = {
            "kind": "message", "key": text(about.get("key")), "text": said or None,
            "file": {"name": name, "media_type": media_type},
        }  # fmt: skip
        await self._keep(head | await self._about(), content)

    def _learn(self, frame: Json) -> None:
        """What a visitor typed about themselves since hello."""
        me = _claimed(mapping(frame.get("me")))
        if not (self.visitor and self.visitor.identified):
            self.person |= me
        elif "email" not in self.person:
            self.person |= {name: value for name, value in me.items() if name == "email"}
        page = _page(frame)
        self.page = page or self.page

    async def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = {}
        if self.person:
            about["person"] = self.person
        if self.page:
            about["page"] = self.page
        if not await self._refresh():
            about["first"] = True
        if self.anonymous is not None:
            about["anonymous"] = self.anonymous
        return about

    async def _keep(self, head: Mapping[str, Any], file: bytes | None = None) -> None:
        visitor = self.visitor.id if self.visitor is not None else head["visitor"]
        whole = storable({"visitor": visitor, **{name: each for name, each in head.items() if each is not None}})
        body = sealed(whole, file)
        delivery = Delivery(method=WIDGET, body=body, received_at=self.room.clock())
        key = key_of(delivery)
        if key is None:
            raise WrongInput("This has no key.")
        await self.room.journal.keep(self.account.channel_id, self.account.provider, key, delivery)

    # -- what it saw -------------------------------------------------------------------------------------------

    async def got(self, frame: Json) -> list[Shown]:
        """The browser has these lines."""
        return await self._receipt(frame, DeliveryStatus.DELIVERED)

    async def read(self, frame: Json) -> list[Shown]:
        """The visitor has seen these lines."""
        return await self._receipt(frame, DeliveryStatus.READ)

    async def _receipt(self, frame: Json, status: DeliveryStatus) -> list[Shown]:
        if self._wait("note"):
            return []
        ids = [text(each) for each in items(frame.get("ids"))[:RECEIPT_MAX]]
        mine = set(await self._refresh())
        rank = STANDING[status][1]
        rows = [
            row
            for row in (await self.room.messages.many([each for each in ids if each])).values()
            if row.get("conversation_id") in mine and row["direction"] == "out" and row.get("status") in GONE_OUT
            and row.get("status_rank", 0) < rank and row.get("send_id")
        ]  # fmt: skip
        keys = [row["send_key"] for row in await self.room.sends.many([row["send_id"] for row in rows])]
        if keys:
            await self._keep({"kind": "receipt", "status": status.value, "keys": sorted(keys)})
        return []

    async def typing(self, frame: Json) -> list[Shown]:
        """Agents see that the visitor is writing."""
        found = await self._refresh()
        if found and not self._wait("note"):
            about = {"who": "customer", "on": frame.get("on") is not False}
            await self.room.whispers.say(Whisper("typing", self.account.channel_id, found[0], data=about))
        return []

    async def earlier(self, frame: Json) -> list[Shown]:
        """Lines before those the window has."""
        if self._wait("note"):
            return [_refused(frame, "slow", 1)]
        part = await self.room.threads.before(await self._refresh(), text(frame.get("before")))
        return [{"t": "earlier", "lines": part.lines, "more": part.more}]

    def _wait(self, what: str) -> float:
        visitor = f"{self.account.channel_id}:{self.visitor.id}" if self.visitor is not None else None
        return self.room.limits.wait_s(what, visitor, self.address)

    def _token(self) -> str:
        assert self.visitor is not None  # noqa: S101 - set just before
        return make_token(self.room.key, self.account.channel_id, self.visitor, self.room.clock())


_Handler = Callable[[Talk, Json], Awaitable[list[Shown]]]
_HANDLERS: dict[str, _Handler] = {
    "hello": Talk.hello, "say": Talk.say, "got": Talk.got, "read": Talk.read, "typing": Talk.typing,
    "earlier": Talk.earlier, "react": Talk.react,
}  # fmt: skip


def _person(frame: Json, claim: Json, proof: Proved | None) -> dict[str, Any]:
    """What is told of the person. Only what the operator's server signed is marked as such."""
    typed = _claimed(mapping(frame.get("me")))
    language = text(frame.get("lang"))
    person: dict[str, Any] = {"locale": language[:20]} if language else {}
    if proof is None:
        return person | typed
    told = typed | _claimed(claim)
    if proof.email is not None:
        told["email"] = proof.email
    return person | told | {"customer_id": proof.customer_id, "verified": proof.email is not None}


def _anonymous(frame: Json) -> str | None:
    """Long enough to be chance: whoever knows it is the browser that made it."""
    given = text(frame.get("anonymous")) or ""
    return given if re.fullmatch(r"[0-9a-f]{32}", given) else None


def _claimed(given: Json) -> dict[str, Any]:
    name = " ".join((cleaned(text(given.get("name")), NAME_MAX) or "").split())
    email = email_address(text(given.get("email")) or "")
    return {key: value for key, value in (("name", name), ("email", email)) if value}


def _page(frame: Json) -> dict[str, Any]:
    page = mapping(frame.get("page"))
    url, title = text(page.get("url")) or "", cleaned(text(page.get("title")), 200)
    if not url.startswith(("https://", "http://")):
        return {}
    return {"url": url[:URL_MAX], **({"title": title} if title else {})}


def _refused(frame: Json, code: str, retry_after_s: float | None = None) -> Shown:
    """Not taken. With a time: the same again then; without: never."""
    told: Shown = {"t": "refused", "of": text(frame.get("t")), "code": code}
    key = identifier(frame.get("key"))
    if key is not None:
        told["key"] = key[:64]
    if retry_after_s is not None:
        told["retry_after_s"] = ceil(max(0.1, retry_after_s) * 10) / 10
    return told


def _error(code: str, sentence: str) -> Shown:
    return {"t": "error", "code": code, "text": sentence}
