"""What the composer knows before a word is written: the channel's limit, its reply window, what to do past it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any

import orjson
from aiohttp import web

from base.ids import is_id, new_id
from channels.capabilities import Capabilities
from channels.failures import CONSEQUENCES, Failure
from desk.auth import principal_of
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.inbox_lines import file_size
from desk.pages.own_mail import bare, other_readers, own_addresses
from desk.render import formats_of
from inbox.drafts import Draft, DraftInput, DraftKey
from inbox.models import Conversation, Message
from inbox.policy import Closed, Windowed, window
from profiles.models import Identity

#: The countdown turns warm when this little is left.
SOON = timedelta(hours=2)
HINT_TEMPLATES = N_("An approved template of this channel may still be sent; a note to colleagues is always possible.")
HINT_WAIT = N_("The customer has to write first. A note to colleagues is always possible.")


#: What one reacts with most.
REACTIONS = ("👍", "❤️", "😁", "🎉", "🙏", "👏", "👀", "😢")
#: How many of the latest mails say who has read along.
MAILS_MAX = 200
#: How much of a quoted or planned line is shown.
WORDS_MAX = 140
#: Codes of a refusal that `send_anyway` passes over.
PASSABLE = frozenset({"newer_messages", "ask_first"})


@dataclass(frozen=True)
class Fault:
    """Why an answer was not sent; its words are kept in the draft."""

    status: int
    code: str
    sentence: str

    @property
    def passable(self) -> bool:
        """Whether it may be sent all the same."""
        return self.code in PASSABLE


@dataclass(frozen=True)
class Chosen:
    """A file that goes along."""

    id: str
    name: str
    size: str


@dataclass(frozen=True)
class Begun:
    """What the reader has begun to write, of one kind."""

    text: str = ""
    rev: int = 0
    files: tuple[Chosen, ...] = ()
    reply_to: str = ""
    quote_author: str = ""
    quote_text: str = ""
    subject: str = ""
    cc: str = ""
    canned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """A line that is to be sent later."""

    id: str
    text: str
    at: datetime
    author: str


@dataclass(frozen=True)
class Snooze:
    """One time to put a conversation away until."""

    label: str
    at: datetime
    shown: str


@dataclass(frozen=True)
class Limit:
    """What the channel takes of one kind of file."""

    kind: str
    max_bytes: int


@dataclass(frozen=True)
class ComposerView:
    """The state of the composer."""

    client_key: str
    limit: int
    closed: str = ""
    soon: bool = False
    window_until: datetime | None = None
    #: An approved template may still go out.
    templates: bool = False
    template_hint: str = ""
    #: The number of the last line that is on this page.
    seen_seq: int = 0
    reply: Begun = Begun()
    note: Begun = Begun()
    planned: tuple[Planned, ...] = ()
    is_mail: bool = False
    #: Who else the last mail went to: may be put into the copy, and is never put there by itself.
    others: tuple[str, ...] = ()
    #: Who has read along in this conversation, and who of the copy has not.
    acquainted: tuple[str, ...] = ()
    newcomers: tuple[str, ...] = ()
    #: Of what was merged: the threads in which it can go out, the first where they wrote last.
    ways: tuple[tuple[str, str], ...] = ()
    takes_files: tuple[Limit, ...] = ()
    times: tuple[Snooze, ...] = ()
    #: The first moment that may be chosen, as a field of a form has it.
    earliest: str = ""
    fault: Fault | None = None

    @property
    def drafts(self) -> str:
        """Both drafts, for the script of the page."""
        return orjson.dumps({"reply": asdict(self.reply), "note": asdict(self.note)}).decode()

    @property
    def known(self) -> str:
        """Who has read along, for the script of the page."""
        return orjson.dumps(self.acquainted).decode()

    @property
    def limits(self) -> str:
        """What files the channel takes, for the script of the page."""
        return orjson.dumps([asdict(each) for each in self.takes_files]).decode()


def composer_of(capabilities: Capabilities | None, identity: Windowed | None, formats: Formats) -> ComposerView:
    """The composer of one conversation. `capabilities` None: the channel is gone, nothing can be sent."""
    key = new_id("msg")
    if capabilities is None or identity is None:
        gone = formats.text(N_("This channel is not connected any more."))
        return ComposerView(key, 1, closed=gone, template_hint=formats.text(HINT_WAIT))
    state = window(capabilities, identity, formats.now, automatic=False)
    if isinstance(state, Closed):
        offered = capabilities.template_outside_window and state.code == "window_closed"
        hint = HINT_TEMPLATES if offered else HINT_WAIT
        sentence = CONSEQUENCES[Failure.WINDOW_CLOSED].sentence if state.code == "window_closed" else state.sentence
        return ComposerView(
            key, capabilities.text_limit, closed=formats.text(sentence), templates=offered,
            template_hint=formats.text(hint),
        )  # fmt: skip
    soon = state.until is not None and state.until - formats.now < SOON
    return ComposerView(key, capabilities.text_limit, soon=soon, window_until=state.until)


def shut_composer(composer: ComposerView, formats: Formats) -> ComposerView:
    """The composer of a conversation with somebody who is shut out."""
    closed = formats.text(N_("This person is shut out."))
    hint = formats.text(N_("Let them in again to answer. A note to colleagues is always possible."))
    return replace(composer, closed=closed, templates=False, template_hint=hint)


async def furnished(
    request: web.Request, found: Conversation, composer: ComposerView, capabilities: Capabilities | None,
    fault: Fault | None = None,
) -> ComposerView:  # fmt: skip
    """The composer with what its writer has begun, what is planned, and what the channel takes."""
    runtime, principal = runtime_of(request), principal_of(request)
    formats = formats_of(request, principal)
    begun = await asyncio.gather(
        *(runtime.drafts.get(DraftKey(found.id, principal.id, mode)) for mode in ("reply", "note"))
    )
    drafts = [each or _nothing(formats) for each in begun]
    asked = request.query.get("quote", "")
    if is_id(asked, "msg"):
        drafts[0] = replace(drafts[0], written=drafts[0].written.model_copy(update={"reply_to": asked}))
    planned = await runtime.afterthoughts.later(found.threads)
    reply, note = await asyncio.gather(*(_begun(runtime, found, each, formats) for each in drafts))
    is_mail = _is_mail(runtime, found)
    acquainted = await _acquainted(runtime, found) if is_mail else ()
    media = capabilities.media if capabilities else ()
    there = formats.now.astimezone(formats.zone) + timedelta(minutes=5)
    return replace(
        composer, seen_seq=found.seq, reply=reply, note=note, fault=fault, is_mail=is_mail,
        planned=tuple(_planned(each, formats) for each in planned),
        others=await _others(runtime, found) if is_mail else (), acquainted=acquainted,
        newcomers=newcomers_in(drafts[0].written.cc, acquainted) if is_mail else (),
        takes_files=tuple(Limit(each.kind.value, each.max_bytes) for each in media),
        times=later_times(formats, composer.window_until), earliest=there.strftime("%Y-%m-%dT%H:%M"),
    )  # fmt: skip


def _nothing(formats: Formats) -> Draft:
    return Draft(DraftInput(), 0, formats.now)


async def _begun(runtime: Any, found: Conversation, draft: Draft, formats: Formats) -> Begun:
    """A draft as it is shown. Files that are gone, and a quote of another conversation, are left out."""
    written = draft.written
    kept = [await runtime.files.get(each) for each in written.file_ids]
    quoted = await runtime.messages.get(written.reply_to) if written.reply_to else None
    if quoted is not None and quoted.conversation_id not in found.threads:
        quoted = None
    return Begun(
        written.text, draft.rev,
        tuple(Chosen(each.id, each.name, file_size(each.size_bytes)) for each in kept if each and not each.removed_at),
        quoted.id if quoted else "", quoted.author.name or found.display_name or "" if quoted else "",
        _brief(quoted, formats) if quoted else "", written.subject or "", ", ".join(written.cc),
        written.canned_ids,
    )  # fmt: skip


def _brief(message: Message, formats: Formats) -> str:
    return " ".join((message.text or "").split())[:WORDS_MAX] or formats.text(N_("Attachment"))


def _planned(message: Message, formats: Formats) -> Planned:
    return Planned(message.id, _brief(message, formats), message.due_at or formats.now, message.author.name or "")


def _is_mail(runtime: Any, found: Conversation) -> bool:
    cards = {card.provider: card for card in runtime.registry.cards()}
    return found.provider in cards and cards[found.provider].kind == "email"


async def _others(runtime: Any, found: Conversation) -> tuple[str, ...]:
    """The other readers of the customer's last mail, without the customer and without us."""
    last = await runtime.messages.latest(found.threads, ["in"])
    mail = (last or {}).get("mail") or {}
    own = await own_addresses(runtime, found.channel_id)
    known = {found.address.external_id.lower()}
    parent = await runtime.conversations.row(found.parent_id) if found.parent_id else None
    known |= await runtime.outbox.addresses_of(parent) if parent else set()
    return other_readers(mail, known, own)[:20]


async def _acquainted(runtime: Any, found: Conversation) -> tuple[str, ...]:
    """The addresses of the mails in this conversation, and the customer's."""
    named = [bare(each) for each in await runtime.messages.readers(found.threads, MAILS_MAX)]
    return tuple(dict.fromkeys(each for each in (found.address.external_id.lower(), *named) if each))


def newcomers_in(cc: Sequence[str], acquainted: Collection[str]) -> tuple[str, ...]:
    """Who of a copy has not read along yet. Pure."""
    return tuple(dict.fromkeys(each for each in map(bare, cc) if each and each not in acquainted))


def later_times(formats: Formats, window_until: datetime | None) -> tuple[Snooze, ...]:
    """When an answer may go out later: never where the channel takes free text no more."""
    return tuple(each for each in snoozes(formats) if window_until is None or each.at < window_until)


def snoozes(formats: Formats) -> list[Snooze]:
    """In three hours, this morning, tomorrow morning, Monday morning, in the zone of the person."""
    there = formats.now.astimezone(formats.zone)

    def morning(days: int) -> datetime:
        return datetime.combine(there.date() + timedelta(days=days), time(9), formats.zone)

    later = (there + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    monday = morning(7 - there.weekday())
    found = [(N_("Later today"), later)] if later.date() == there.date() else []
    if later < morning(0):
        found.append((N_("This morning"), morning(0)))
    found.append((N_("Tomorrow morning"), morning(1)))
    if monday.date() != morning(1).date():
        found.append((N_("Monday morning"), monday))
    found.append((N_("In a week"), morning(7)))
    return [Snooze(formats.text(label), at, _shown(at, formats)) for label, at in found]


def _shown(at: datetime, formats: Formats) -> str:
    clock = formats.clock(at)
    return clock if at.date() == formats.now.astimezone(formats.zone).date() else f"{formats.date(at)} {clock}"


def emojis_of(able: Capabilities | None) -> tuple[str, ...]:
    """What is offered to react with: the common ones among those that the channel takes."""
    if able is None or able.reacting is None:
        return ()
    reacting = able.reacting
    return tuple(each for each in REACTIONS if reacting.takes(each))


def capabilities_of(runtime: Any, conversation: Conversation, identity: Identity | None) -> Capabilities | None:
    """What the conversation's channel can carry to this person; None when it is gone."""
    cards = {card.provider for card in runtime.registry.cards()}
    if conversation.provider not in cards:
        return None
    external_id = conversation.group_id or (identity.external_id if identity else None)
    found: Capabilities = runtime.registry.get(conversation.provider).capabilities_for(external_id)
    return found
