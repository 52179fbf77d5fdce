"""Fills in canned replies by the template language: the customer, their last order, who answers, the conversation.

What cannot be filled in stays in the text as it is written, so that whoever sends it sees it; `inbox.outbox` sends no
text in which it still stands. A reply with an address has no text of its own: the address is asked each time, signed as
calls of journeys are, and what went wrong is said (`Asked.fault`), for an empty answer would look like one.
"""

from __future__ import annotations

import re
import secrets as chance
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from base.clock import Clock, iso
from base.errors import FieldError, WrongInput
from base.http import HttpClient, HttpFailed, HttpReply
from base.signing import standard_headers
from campaigns.calling import Secrets
from campaigns.facts import order_view
from campaigns.namespaces import plain, profile_view
from campaigns.render import Renderer, RenderFailed, RenderItem
from inbox.canned import NAMESPACES, TEXT_MAX
from inbox.models import Conversation, Reason
from orders.models import Order

#: One blank; what stands between braces with a percent sign is a condition or a loop.
_BLANK = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_NAMED = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")
#: Of an order what says what it cost, for whom money is covered.
_MONEY = ("total", "lines", "refunds")


#: Somebody waits for it with a customer on the line.
ASKED_S = 3.0
ANSWER_MAX_BYTES = 100_000
FAULTS: Mapping[str, Reason] = {
    each.code: each
    for each in (
        Reason("timeout", "The address did not answer within three seconds."),
        Reason("refused_address", "This address may not be called."),
        Reason("status", "The address answered with an error."),
        Reason("no_text", "The address gave no text."),
        Reason("too_long", "The text that came is too long."),
        Reason("not_reached", "The address could not be reached."),
    )
}


@dataclass(frozen=True)
class Answering:
    """Who answers. `masks`: what of customers is covered for them."""

    name: str
    email: str | None = None
    masks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Filled:
    """A text with its blanks filled in, and those that could not be, as they are written."""

    text: str
    blanks: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What an address gave: a text, or what went wrong, with what is known of it."""

    text: str = ""
    fault: str | None = None
    detail: str | None = None

    @property
    def sentence(self) -> str:
        """What went wrong, for a person."""
        reason = FAULTS.get(self.fault or "")
        return reason.sentence if reason else ""


class CannedWords:
    """Reads and fills in texts of canned replies."""

    def __init__(self, renderer: Renderer, http: HttpClient, secrets: Secrets, clock: Clock) -> None:
        """`secrets`: what questions to an address are signed with."""
        self._renderer = renderer
        self._http = http
        self._secrets = secrets
        self._clock = clock

    def check_url(self, url: str | None) -> None:
        """Raise `WrongInput` for an address that would be refused in any case."""
        host = _host(url) if url else None
        if url and (host is None or self._http.guard.refuses(host)):
            raise WrongInput("This address may not be called.", [FieldError("url", "may not be called from here")])

    async def ask(self, url: str, reply_id: str, about: Mapping[str, Any]) -> Asked:
        """The text that an address gives for this conversation; asked once, because somebody waits for it. `about`: the
        namespaces, of `namespaces_of`."""
        key, now = f"{reply_id}:{chance.token_hex(8)}", self._clock()
        said = {"type": "canned_reply.asked", "timestamp": iso(now), "data": {"canned_reply_id": reply_id, **about}}
        body = orjson.dumps(said, default=str)
        headers = {
            "Content-Type": "application/json", "Accept": "application/json",
            **standard_headers(await self._secrets.signing(), key, now, body),
        }  # fmt: skip
        try:
            reply = await self._http.request(
                "POST", url, headers=headers, data=body, timeout_s=ASKED_S, max_bytes=ANSWER_MAX_BYTES
            )
        except HttpFailed as failed:
            known = failed.reason if failed.reason in FAULTS else "not_reached"
            return Asked(fault="too_long" if failed.reason == "too_large" else known, detail=str(failed)[:300])
        return told_by(reply)

    async def check(self, text: str) -> None:
        """Raise `WrongInput` for a text that cannot be read or names what is not there."""
        strange = [] if "{%" in text else [each for each in _NAMED.findall(text) if each not in NAMESPACES]
        if strange:
            said = f"knows profile, order, agent and conversation, not {strange[0]}"
            raise WrongInput("The text has faults.", [FieldError("text", said)])
        if text.strip():
            await self._renderer.check({"text": text})

    async def fill(self, text: str, about: Mapping[str, Any], *, locale: str | None, zone: str | None) -> Filled:
        """`about`: the namespaces, of `namespaces_of`."""
        if "{%" in text:
            return await self._whole(text, about, locale, zone)
        parts = _BLANK.split(text)
        blanks = parts[1::2]
        items = [RenderItem({"text": each}, about, locale, zone) for each in blanks]
        made = await self._renderer.render_many(items) if items else []
        missing = []
        for place, (blank, each) in enumerate(zip(blanks, made, strict=True)):
            if isinstance(each, RenderFailed) or each.warnings or not (each.text or "default" in blank):
                missing.append(blank)
            else:
                parts[2 * place + 1] = each.text
        return Filled("".join(parts), tuple(dict.fromkeys(missing)))

    async def _whole(self, text: str, about: Mapping[str, Any], locale: str | None, zone: str | None) -> Filled:
        """With conditions or loops it is filled in whole, or left as it is."""
        (made,) = await self._renderer.render_many([RenderItem({"text": text}, about, locale, zone)])
        if isinstance(made, RenderFailed) or made.warnings:
            return Filled(text, tuple(dict.fromkeys(_BLANK.findall(text))))
        return Filled(made.text, ())


def told_by(reply: HttpReply) -> Asked:
    """The `text` of a JSON answer, or a plain text. Pure."""
    if not 200 <= reply.status < 300:
        return Asked(fault="status", detail=str(reply.status))
    if reply.headers.get("content-type", "").startswith("text/plain"):
        text: Any = reply.body.decode("utf-8", "replace")
    else:
        try:
            told = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return Asked(fault="no_text", detail="The answer is no JSON.")
        text = told.get("text") if isinstance(told, dict) else None
    if not isinstance(text, str) or not text.strip():
        return Asked(fault="no_text")
    return Asked(text=text.strip()) if len(text) <= TEXT_MAX else Asked(fault="too_long")


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def namespaces_of(
    profile: Mapping[str, Any], orders: Sequence[Order], talk: Conversation, channel_name: str, by: Answering
) -> dict[str, Any]:  # fmt: skip
    """What blanks may name. `orders`: those that who answers may see, the newest first. Pure."""
    person, order = profile_view(profile), plain(order_view(orders))
    if "emails" in by.masks:
        person["email"] = None
    if "phones" in by.masks:
        person["phone"] = None
    if "money" in by.masks:
        person["orders"] = {}
        order = {name: value for name, value in order.items() if name not in _MONEY}
    return {
        "profile": person,
        "order": order,
        "agent": {"name": by.name, "first_name": by.name.split()[0] if by.name.strip() else None, "email": by.email},
        "conversation": plain({
            "id": talk.id, "subject": talk.subject, "name": talk.display_name, "channel": channel_name,
            "labels": talk.labels, "priority": talk.priority, "created_at": talk.created_at,
        }),
    }  # fmt: skip
