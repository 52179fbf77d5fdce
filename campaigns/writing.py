"""From content and a person to the very message that is handed over: what journeys and broadcasts share."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from campaigns.contents import Rendered, chat_message, mail_message
from campaigns.render import Personal, Renderer, RenderFailed, RenderItem
from campaigns.store import Place, UseStore
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from inbox.models import Send
from inbox.policy import Open, window
from inbox.sources import Answer, Defer, Prepared, Skip
from profiles.consent import MARKETING
from profiles.consent_links import ConsentLink, ConsentLinks
from profiles.models import Identity

log = logging.getLogger(__name__)

#: What stands in the messages of a step is looked at so often; steps of which that is remembered.
NOTED_S, NOTED_MOST = 600.0, 20_000
_CAMPAIGNS = frozenset({"journey", "broadcast"})
#: A template that took too long is tried again for this long: the machine may have been busy.
SLOW_FOR = timedelta(minutes=10)


class Links(Protocol):
    """Makes the personal addresses a message may carry."""

    def for_send(self, send: Send) -> Mapping[str, str]:
        """`unsubscribe_url`, `preferences_url`, `view_in_browser_url`, as far as there are any."""
        ...

    def way_out(self, send: Send) -> str | None:
        """`unsubscribe_url` alone."""
        ...


class Dress(Protocol):
    """Makes links of rendered messages tracked ones."""

    async def dress(self, messages: Sequence[tuple[Send, OutboundMessage, str]]) -> Mapping[str, OutboundMessage]:
        """Send id → the message to hand over, for (send, message, kind of the channel)."""
        ...


class NoLinks:
    """Where no public pages are served."""

    def for_send(self, send: Send) -> Mapping[str, str]:
        """None."""
        return {}

    def way_out(self, send: Send) -> str | None:
        """None."""
        return None


class PersonalLinks:
    """The ways out of the mailing, to the preference centre and to the mail in a browser, for one address."""

    def __init__(self, links: ConsentLinks) -> None:
        self._links = links

    def for_send(self, send: Send) -> Mapping[str, str]:
        """All name the send, so that the ledger knows which message a no came from."""
        choice = ConsentLink("preferences", send.identity_id, "", send.id)
        found = {"unsubscribe_url": self.way_out(send), "preferences_url": self._links.url(choice)}
        if send.send_class == "marketing":
            view = ConsentLink("view", send.identity_id, "", send.id)
            found["view_in_browser_url"] = self._links.url(view)
        return found

    def way_out(self, send: Send) -> str:
        """Out of the mailing this send belongs to."""
        purpose = str(send.content.get("purpose") or MARKETING)
        return self._links.url(ConsentLink("unsubscribe", send.identity_id, purpose, send.id))


class Coupons(Protocol):
    """Gives each person their code."""

    async def for_sends(
        self, wanted: Mapping[str, tuple[Send, Collection[str]]], now: datetime
    ) -> Mapping[str, Mapping[str, str] | Skip]:
        """Send id → code by the key of each offer named; or why this person gets no message."""
        ...


class NoCoupons:
    """Where there are no offers."""

    async def for_sends(
        self, wanted: Mapping[str, tuple[Send, Collection[str]]], now: datetime
    ) -> Mapping[str, Mapping[str, str] | Skip]:
        """None."""
        return {}


@dataclass(frozen=True)
class Letter:
    """What is to be written for one send. `content` None: its template is gone; `context` makes the namespaces of the
    personal links; `identity` is where it goes today, as far as that is known."""

    send: Send
    content: Mapping[str, Any] | None
    context: Callable[[Mapping[str, str]], Mapping[str, Any]]
    locale: str | None
    zone: str | None
    identity: Identity | None
    template_id: str | None = None


class MessageWriter:
    """Renders many letters in one go and fits each to its channel."""

    def __init__(
        self, renderer: Renderer, channels: ChannelStore, registry: Registry, links: Links | None = None,
        coupons: Coupons | None = None, dresser: Dress | None = None, uses: UseStore | None = None,
    ) -> None:  # fmt: skip
        """`uses`: where it is noted in which messages a template, a snippet or an offer stood."""
        self._uses = uses
        self._noted: dict[tuple[Place, str | None], float] = {}
        self._coupons = coupons or NoCoupons()
        self._renderer = renderer
        self._channels = channels
        self._registry = registry
        self._links = links or NoLinks()
        self._dresser = dresser

    async def write(self, letters: Sequence[Letter], now: datetime) -> dict[str, Answer]:
        """Send id → the message, or why there is none."""
        answers: dict[str, Answer] = {}
        items: list[tuple[Letter, RenderItem]] = []
        personal = await self._renderer.personal_in([letter.content or {} for letter in letters])
        codes = await self._codes(letters, personal, now)
        for letter, shows in zip(letters, personal, strict=True):
            if letter.content is None:
                answers[letter.send.id] = Skip("template_gone", "The template of this message is not there any more.")
                continue
            given = codes.get(letter.send.id, {})
            if isinstance(given, Skip):
                answers[letter.send.id] = given
                continue
            links = self._links.for_send(letter.send) if shows.links else {}
            context = {**letter.context(links), "coupons": given}
            items.append((letter, RenderItem(letter.content, context, letter.locale, letter.zone)))
        made = await self._renderer.render_many([item for _, item in items]) if items else []
        for (letter, _), rendered in zip(items, made, strict=True):
            if isinstance(rendered, RenderFailed):
                answers[letter.send.id] = _not_rendered(letter.send, rendered, now)
            else:
                if rendered.warnings:
                    log.info("empty values", extra={"send": letter.send.id, "names": rendered.warnings})
                answers[letter.send.id] = await self._fitted(letter, rendered, now)
        if self._uses is not None:
            await self._note(self._uses, [each for each in letters if isinstance(answers[each.send.id], Prepared)])
        return answers if self._dresser is None else await self._dressed(self._dresser, letters, answers)

    async def _note(self, uses: UseStore, letters: Sequence[Letter]) -> None:
        """What stood in these messages, once in a while for each step or arm."""
        found: list[tuple[str, Place]] = []
        for letter in letters:
            source = letter.send.source
            place = Place(source.kind, source.id or "", source.node_id)
            if source.kind not in _CAMPAIGNS or self._noted.get((place, letter.template_id), 0.0) > time.monotonic():
                continue
            self._noted[(place, letter.template_id)] = time.monotonic() + NOTED_S
            named = await self._renderer.named_in(letter.content or {})
            found += [(each, place) for each in (*([letter.template_id] if letter.template_id else []), *named)]
        if len(self._noted) > NOTED_MOST:
            self._noted.clear()
        await uses.note(found)

    async def _dressed(
        self, dresser: Dress, letters: Sequence[Letter], answers: dict[str, Answer]
    ) -> dict[str, Answer]:  # fmt: skip
        kinds: dict[str, str] = {}
        for channel_id in {letter.send.channel_id for letter in letters}:
            opened = await self._channels.both(channel_id)
            kinds[channel_id] = self._registry.get(opened[0].provider).card.kind if opened else ""
        ready = [
            (letter.send, answer.message, kinds[letter.send.channel_id])
            for letter in letters
            if isinstance(answer := answers[letter.send.id], Prepared)
        ]
        made = await dresser.dress(ready) if ready else {}
        return answers | {send_id: Prepared(message) for send_id, message in made.items()}

    async def _codes(
        self, letters: Sequence[Letter], personal: Sequence[Personal], now: datetime
    ) -> Mapping[str, Mapping[str, str] | Skip]:
        wanted = {
            letter.send.id: (letter.send, shows.offers)
            for letter, shows in zip(letters, personal, strict=True)
            if shows.offers
        }
        return await self._coupons.for_sends(wanted, now) if wanted else {}

    async def _fitted(self, letter: Letter, rendered: Rendered, now: datetime) -> Answer:
        send, identity = letter.send, letter.identity
        opened = await self._channels.both(send.channel_id)
        if opened is None:
            return Skip("channel_gone", "The channel it was to be sent on is no longer connected.")
        adapter = self._registry.get(opened[0].provider)
        to = Address(channel_id=send.channel_id, external_id="?")  # delivery fills in the address of today
        if adapter.card.kind == "email":
            head = OutboundMail(
                subject="", list_unsubscribe_url=self._unsubscribe(send), list_id=_list_id(send, opened[1].settings)
            )
            return _checked(mail_message(rendered, send.send_key, to, head))
        able = adapter.capabilities_for(identity.external_id if identity else None)
        template = rendered.whatsapp if able.templates else None
        if template is not None and rendered.text and identity is not None:
            inside = isinstance(window(able, identity, now, automatic=True), Open)
            template = None if inside else template
        return _checked(chat_message(rendered, send.send_key, to, able=able, template=template))

    def _unsubscribe(self, send: Send) -> str | None:
        """Order notices carry no way out of the mailing list: they are none."""
        if send.send_class != "marketing":
            return None
        return self._links.way_out(send)


def _list_id(send: Send, settings: Any) -> str | None:
    """One list per consent group (RFC 2919), so that mail programs sort by it; order notices are no list."""
    domain = str(getattr(settings, "from_address", "") or "").rpartition("@")[2].lower()
    if send.send_class != "marketing" or not domain.isascii() or not domain:
        return None
    group = str(send.content.get("purpose") or MARKETING)
    return f"{re.sub(r'[^A-Za-z0-9-]+', '-', group).strip('-') or MARKETING}.{domain}"


def _not_rendered(send: Send, failed: RenderFailed, now: datetime) -> Answer:
    if failed.code == "unavailable" or (failed.code == "too_slow" and now - send.planned_at < SLOW_FOR):
        return Defer(now + timedelta(seconds=30), "not_rendered", "The message could not be written yet; we try again.")
    part = f" ({failed.part})" if failed.part else ""
    return Skip("template_failed", f"The template could not be filled in{part}: {failed}")


def _checked(message: OutboundMessage) -> Answer:
    if not (message.text or message.template or (message.mail and message.mail.html)):
        return Skip("empty", "The message has no text for this person.")
    return Prepared(message)
