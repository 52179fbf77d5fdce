"""The messages of a conversation as they are shown: pure shaping, no database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from desk.i18n import N_, Formats
from desk.mentions import Piece, pieces_of
from desk.pages.faces import Face
from desk.pages.inbox_rows import PRIORITIES
from desk.pages.own_mail import other_readers
from inbox.file_types import SHOWN
from inbox.guard import IN_A_MOMENT
from inbox.models import Conversation, Message

#: Lines of one author closer than this stand together.
TOGETHER = timedelta(minutes=5)
#: Delivery status of an answer that may be sent once more.
REPEATABLE = frozenset({"failed", "unknown"})
KIND_LABELS = {
    "image": N_("Picture"), "video": N_("Video"), "audio": N_("Sound"), "voice": N_("Voice message"),
    "file": N_("File"), "sticker": N_("Sticker"),
}  # fmt: skip
#: Delivery status → which tick, and what it says.
TICKS: Mapping[str, tuple[str, str]] = {
    "queued": ("waiting", N_("Waiting to be sent")), "scheduled": ("waiting", N_("Sent later")),
    "planned": ("waiting", N_("Waiting to be sent")), "deferred": ("waiting", N_("Waiting to be sent")),
    "sending": ("waiting", N_("Waiting to be sent")), "sent": ("sent", N_("Sent")), "accepted": ("sent", N_("Sent")),
    "delivered": ("delivered", N_("Delivered")), "read": ("read", N_("Read")), "played": ("read", N_("Played")),
    "opened": ("read", N_("Opened")), "clicked": ("read", N_("Clicked")), "failed": ("failed", N_("Not sent")),
    "bounced": ("failed", N_("Bounced")), "complained": ("failed", N_("Marked as spam")),
    "skipped": ("failed", N_("Not sent")), "unknown": ("unknown", N_("Perhaps sent")),
}  # fmt: skip
#: What the application says on its own → who says it.
OWN_AUTHORS: Mapping[str, str] = {
    "consent": N_("Unsubscribing"), "rating": N_("Rating"), "channel_reply": N_("Automatic reply"),
}  # fmt: skip
#: Code of a quiet line (a status change has one per new status) → its sentence. A code unknown here shows itself.
SYSTEM_LINES: Mapping[str, str] = {
    "assigned": N_("%(by)s assigned this to %(to)s"),
    "assigned_self": N_("%(by)s took this conversation"),
    "unassigned": N_("%(by)s gave this back to everybody"),
    "team_assigned": N_("%(by)s moved this to the team %(to)s"),
    "team_left": N_("%(by)s took this out of its team"),
    "team_fallback": N_("Waited too long, so it went to the team %(to)s"),
    "released": N_("%(from_name)s is not here, so this waits for somebody else"),
    "routed_turn": N_("Went to %(to)s of %(team)s, whose turn it was"),
    "routed_fewest": N_("Went to %(to)s of %(team)s, who has most room"),
    "routed_last_agent": N_("Went to %(to)s of %(team)s, who had this customer before"),
    "routed_turn_able": N_("Went to %(to)s of %(team)s, whose turn it was among those for %(needs)s"),
    "routed_fewest_able": N_("Went to %(to)s of %(team)s, who has most room among those for %(needs)s"),
    "routed_last_agent_able": N_("Went to %(to)s of %(team)s, who had this customer before and is there for %(needs)s"),
    "status_resolved": N_("%(by)s resolved this"),
    "status_open": N_("%(by)s opened this again"),
    "status_snoozed": N_("%(by)s snoozed this until %(until)s"),
    "assigned_back": N_("%(by)s took back who has this"),
    "team_back": N_("%(by)s moved this back to the team %(to)s"),
    "team_left_back": N_("%(by)s took back that it was moved to a team"),
    "status_snoozed_open": N_("%(by)s snoozed this until they answer"),
    "status_pending": N_("%(by)s set this to pending"),
    "status_spam": N_("%(by)s marked this as spam"),
    "woken": N_("The snooze has ended"),
    "answered": N_("Open again, because they have written"),
    "participants_changed": N_("%(by)s changed who follows this"),
    "reopened": N_("Opened again by a new message"),
    "prioritised": N_("%(by)s set the priority to %(to)s"),
    "labelled": N_("%(by)s changed the labels"),
    "labelled_more": N_("%(by)s added %(names)s"),
    "labelled_less": N_("%(by)s took %(names)s away"),
    "continued": N_("Not seen in the chat, so it went by mail to %(address)s"),
    "continued_failed": N_("Not seen in the chat, and the mail to %(address)s did not go out"),
    "merged": N_("%(by)s merged %(count)s of this person into this one"),
    "forwarded": N_("%(by)s forwarded a mail to %(to)s"),
    "split_off": N_("%(by)s began another conversation with what followed"),
    "split_from": N_("%(by)s split this off from another conversation"),
    "unmerged": N_("%(by)s took the merge apart again"),
    "rated": N_("The customer gave a rating of %(score)s out of 5"),
    "rated_why": N_("The customer gave a rating of %(score)s out of 5: %(comment)s"),
    "recommends": N_("The customer would recommend us: %(score)s of 10"),
    "recommends_why": N_("The customer would recommend us: %(score)s of 10. %(comment)s"),
    "handed_over_bot": N_("%(bot)s handed this over to people"),
    "handed_over_bot_why": N_("%(bot)s handed this over to people: %(said)s"),
    "handed_over_silent": N_("%(bot)s was silent for too long, so people have this now"),
    "handed_over_error": N_("%(bot)s could not be reached or failed, so people have this now"),
    "handed_over_off": N_("%(bot)s is off, so people have this now"),
    "handed_over_asked": N_("They asked for a person, so %(bot)s has this no longer"),
    "handed_over_taken": N_("%(by)s took this over from %(bot)s"),
    "handed_over_undelivered": N_("The answer of %(bot)s did not go out, so people have this now"),
    "handed_over_stopped": N_("They said STOP before %(bot)s had answered, so people have this now"),
    "handed_over_circles": N_("%(bot)s and the other side answered each other too often, so people have this now"),
    "given_to_bot": N_("%(by)s gave this to the bot"),
    "bot_back": N_("%(by)s gave this back to the bot"),
    "reopened_bot": N_("Opened again by a new message; the bot has it"),
    "unrecognised": N_("Something arrived that we can not show: %(topic)s"),
}


#: Code of a line whose act was taken back → its sentence.
BACK: Mapping[str, str] = {
    "assigned": "assigned_back", "unassigned": "assigned_back", "team_assigned": "team_back",
    "team_left": "team_left_back",
}  # fmt: skip


@dataclass(frozen=True)
class Quote:
    """The message that a line answers."""

    id: str
    author: str
    text: str


@dataclass(frozen=True)
class FileView:
    """One attachment. `shown`: image, audio, video, file, coming (not fetched yet), missing (could not be)."""

    href: str
    shown: str
    label: str
    #: Its size, or for one that is not there the reason.
    size: str = ""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class MailView:
    """What only mail has."""

    subject: str
    people: str
    quoted: str
    html_href: str
    #: Readers who were in none of the mails before.
    newcomers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlaceView:
    """A place on the map."""

    label: str
    href: str


@dataclass(frozen=True)
class ReactionView:
    """One emoji and how many gave it."""

    emoji: str
    count: int
    by: str


@dataclass(frozen=True)
class Line:
    """One entry of the thread. `kind`: day, system, in, out, note."""

    kind: str
    id: str
    at: datetime
    first: bool = True
    foot: bool = True
    seq: int = 0
    author: str = ""
    author_key: str = ""
    badge: str = ""
    text: str = ""
    #: A note in stretches: whom it calls, and where it leads.
    said: list[Piece] = field(default_factory=list)
    sentence: str = ""
    quote: Quote | None = None
    files: tuple[FileView, ...] = ()
    place: PlaceView | None = None
    cards: tuple[str, ...] = ()
    buttons: tuple[str, ...] = ()
    pressed: bool = False
    template_name: str = ""
    referral: str = ""
    mail: MailView | None = None
    reactions: tuple[ReactionView, ...] = ()
    #: Ours to it: the emoji, whose, and how it stands; why it did not go.
    reacted: str = ""
    reacted_by: str = ""
    reacted_state: str = ""
    reacted_fault: str = ""
    #: What the reader may react with.
    emojis: tuple[str, ...] = ()
    status: str = ""
    tick: str = ""
    tick_label: str = ""
    failed: str = ""
    failed_detail: str = ""
    edited: bool = False
    original: str = ""
    deleted: bool = False
    forwarded: bool = False
    unsupported: str = ""
    due_at: datetime | None = None
    client_key: str | None = None
    avatar_url: str | None = None
    #: What the reader may do with it: take it back, send it once more, answer it in particular.
    undo: bool = False
    retry: bool = False
    quotable: bool = False
    splittable: bool = False
    forwardable: bool = False
    #: It failed, and was sent once more as another line.
    retried: bool = False
    #: The channel it stands on, where several are shown as one, and the conversation it stands in, if another.
    face: Face | None = None
    elsewhere: str = ""

    @property
    def bare(self) -> bool:
        """A picture alone needs no bubble."""
        alone = len(self.files) == 1 and self.files[0].shown == "image"
        return alone and not (self.text or self.mail or self.quote or self.cards or self.place)


@dataclass(frozen=True)
class Scene:
    """Whose thread it is and who reads it. `campaigns`: names of journeys by id; `may_answer`: the reader may write;
    `faces`: channel of each conversation, where several are shown as one."""

    conversation: Conversation
    customer: str
    formats: Formats
    campaigns: Mapping[str, str] = field(default_factory=dict)
    may_answer: bool = False
    faces: Mapping[str, Face] = field(default_factory=dict)
    is_mail: bool = False
    #: Our own mail addresses on its channel.
    own: Collection[str] = ()
    #: What may be reacted with on its channel; none: nothing.
    emojis: tuple[str, ...] = ()
    #: What stands after the @ of a note → the colleague.
    handles: Mapping[str, str] = field(default_factory=dict)


def lines_of(messages: Sequence[Message], scene: Scene) -> list[Line]:
    """The thread in order, a separator before the first line of each day (of the reader's zone)."""
    formats = scene.formats
    by_id = {each.id: each for each in messages}
    by_provider = {each.provider_message_id: each for each in messages if each.provider_message_id}
    newcomers = newcomers_of(messages, scene.conversation.address.external_id, scene.own)
    lines: list[Line] = []
    before: Message | None = None
    for i, message in enumerate(messages):
        new_day = before is None or _day(message, formats) != _day(before, formats)
        if new_day:
            lines.append(Line("day", _day(message, formats), message.provider_at))
        after = messages[i + 1] if i + 1 < len(messages) else None
        first = new_day or not _together(before, message)
        last = after is None or not _together(message, after) or _day(after, formats) != _day(message, formats)
        answered = by_id.get(message.reply_to or "") or by_provider.get(message.reply_to or "")
        line = line_of(message, scene, first=first, last=last, answered=answered)
        new = newcomers.get(message.id)
        lines.append(replace(line, mail=replace(line.mail, newcomers=new)) if new and line.mail else line)
        before = message
    return lines


def newcomers_of(
    messages: Sequence[Message], customer: str, own: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """Mail → the addresses in it that no mail before it had, without ours. Of the first nothing can be said. Pure."""
    known: set[str] = set()
    found = {}
    for message in messages:
        if not message.mail or message.direction not in ("in", "out"):
            continue
        new = other_readers(message.mail, known, own)
        if known and new:
            found[message.id] = new
        known |= {*new, customer.lower()}
    return found


def _leads_to(message: Message) -> str:
    """Where a quiet line tells of another conversation."""
    system = message.system or {}
    to = (system.get("params") or {}).get("conversation_id")
    return f"/inbox/{to}" if to and system.get("code") in ("forwarded", "split_off", "split_from") else ""


def is_planned(message: Message) -> bool:
    """Whether it is to be sent later, beyond the moment in which any answer can be taken back."""
    waits = message.due_at is not None and TICKS.get(message.status or "", ("",))[0] == "waiting"
    return waits and message.due_at is not None and message.due_at - message.provider_at > IN_A_MOMENT


def _day(message: Message, formats: Formats) -> str:
    return message.provider_at.astimezone(formats.zone).date().isoformat()


def _together(a: Message | None, b: Message) -> bool:
    if a is None or a.direction == "system" or b.mail or a.mail:
        return False
    mine, theirs = ((each.direction, each.author.type, each.author.id, each.conversation_id) for each in (a, b))
    same = mine == theirs
    return same and b.provider_at - a.provider_at < TOGETHER


def line_of(
    message: Message, scene: Scene, *, first: bool = True, last: bool = True, answered: Message | None = None
) -> Line:
    """One message."""
    formats = scene.formats
    if message.direction == "system":
        return Line(
            "system", message.id, message.provider_at, sentence=system_sentence(message, formats), seq=message.seq,
            elsewhere=_leads_to(message),
        )  # fmt: skip
    tick, tick_label = _tick(message)
    failed, detail = _failure(message, tick, formats)
    deleted = message.deleted_at is not None
    talk_id = message.conversation_id or scene.conversation.id
    where, here = f"/inbox/{talk_id}", talk_id in scene.conversation.threads
    ours = scene.may_answer and here and message.direction == "out" and message.author.type == "agent"
    return Line(
        kind=message.direction,
        id=message.id,
        at=message.provider_at,
        first=first,
        foot=last or bool(failed) or message.edited_at is not None or message.due_at is not None,
        seq=(message.head_seq or message.seq) if here else 0,
        author=author_of(message, scene),
        author_key=scene.conversation.profile_id,
        badge=_badge(message, formats),
        text="" if deleted else _text(message),
        said=pieces_of(_text(message), scene.handles) if message.direction == "note" and not deleted else [],
        quote=_quote(answered, scene) if message.reply_to and not deleted else None,
        files=() if deleted else tuple(
            file_view(each, formats)
            for each in message.attachments if not each.get("inline")
        ),
        place=_place(message.location),
        cards=tuple(_card(each) for each in message.contacts),
        buttons=tuple(str(each.get("title", "")) for each in message.buttons),
        pressed=message.postback is not None,
        template_name=str((message.template or {}).get("name", "")),
        referral=_referral(message.referral),
        mail=_mail(message, where, formats) if message.mail and not deleted else None,
        reactions=_reactions(message, scene.customer),
        **_reacted(message, formats),
        emojis=scene.emojis if here and not deleted and _is_theirs(message) else (),
        status=message.status or "",
        tick=tick,
        tick_label=formats.text(tick_label),
        failed=failed,
        failed_detail=detail,
        edited=message.edited_at is not None and not deleted,
        original=message.original or "",
        deleted=deleted,
        forwarded=message.forwarded,
        unsupported=message.unsupported or "",
        due_at=message.due_at if tick == "waiting" else None,
        client_key=message.client_key,
        undo=ours and tick == "waiting" and message.due_at is not None and message.due_at > formats.now,
        retry=ours and tick in REPEATABLE and message.retried_by is None,
        splittable=scene.may_answer and message.direction == "in" and not scene.conversation.parts and here,
        forwardable=scene.may_answer and scene.is_mail and here and message.direction in ("in", "out") and not deleted,
        quotable=scene.may_answer and here and message.direction in ("in", "out") and not deleted,
        retried=message.retried_by is not None,
        face=scene.faces.get(talk_id),
        elsewhere="" if here else where,
    )  # fmt: skip


def author_of(message: Message, scene: Scene) -> str:
    """Who wrote it, in a word."""
    formats = scene.formats
    if message.direction == "in":
        return message.author.name or scene.customer
    if message.author.type == "campaign" and _is_rules(message):
        return message.author.name or formats.text(N_("Rule"))
    if message.author.type == "campaign":
        return scene.campaigns.get(message.author.id or "") or formats.text(N_("Journey"))
    if message.author.type == "colleague":
        return message.author.name or formats.text(N_("Colleague"))
    own = OWN_AUTHORS.get(message.author.name or "") if message.author.type == "system" else None
    if own is not None:
        return formats.text(own)
    return message.author.name or formats.text(N_("We"))


def _badge(message: Message, formats: Formats) -> str:
    if message.author.type == "campaign":
        return formats.text(N_("Rule") if _is_rules(message) else N_("Journey"))
    if message.author.type == "colleague":
        return formats.text(N_("from the app itself"))
    if message.author.type == "bot":
        return formats.text(N_("Bot"))
    return ""


def _is_rules(message: Message) -> bool:
    """Whether a rule of automation wrote it."""
    return (message.author.id or "").startswith("arl_")


def _text(message: Message) -> str:
    if message.text:
        return message.text
    postback = message.postback or {}
    return str(postback.get("title") or postback.get("payload") or "")


def _tick(message: Message) -> tuple[str, str]:
    if message.direction != "out" or not message.status:
        return "", ""
    return TICKS.get(message.status, ("unknown", message.status))


def _failure(message: Message, tick: str, formats: Formats) -> tuple[str, str]:
    if tick not in ("failed", "unknown"):
        return "", ""
    reason = message.reason or {}
    sentence = formats.text(str(reason.get("sentence") or "")) or formats.text(N_("The provider gave no reason."))
    return sentence, str(reason.get("detail") or "")


def _quote(answered: Message | None, scene: Scene) -> Quote:
    formats = scene.formats
    if answered is None:
        return Quote("", formats.text(N_("An earlier message")), "…")
    text = " ".join(_text(answered).split())[:140] or formats.text(N_("Attachment"))
    return Quote(answered.id, author_of(answered, scene), text)


def file_view(attachment: Mapping[str, Any], formats: Formats) -> FileView:
    """How a file is offered. Only types in which nothing can run are shown in the page; a file on its way says so."""
    kind, state = str(attachment.get("kind") or "file"), attachment.get("state")
    fallback = formats.text(KIND_LABELS.get(kind, KIND_LABELS["file"]))
    label = str(attachment.get("name") or attachment.get("file_name") or attachment.get("caption") or fallback)
    size = attachment.get("size_bytes")
    file_id, url = str(attachment.get("file_id") or ""), str(attachment.get("url") or "")
    if state == "failed":
        reason = attachment.get("reason") or {}
        return FileView("", "missing", label, formats.text(str(reason.get("sentence") or "")))
    if state != "stored" and file_id:
        return FileView("", "coming", label, formats.text(N_("on its way")))
    media_type = str(attachment.get("media_type") or "").split(";")[0].strip().lower()
    shown = media_type.split("/")[0] if file_id and media_type in SHOWN else "file"
    href = f"/api/v1/files/{file_id}" if file_id else url if url.startswith(("http://", "https://")) else ""
    return FileView(
        href, shown, label, file_size(size) if size else "", attachment.get("width"), attachment.get("height")
    )


def file_size(size_bytes: int) -> str:
    """In the largest unit that leaves at least one."""
    value = float(size_bytes)
    for unit in ("B", "KB", "MB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GB"


def _place(location: Mapping[str, Any] | None) -> PlaceView | None:
    if not location:
        return None
    at = f"{location.get('latitude')},{location.get('longitude')}"
    label = ", ".join(str(each) for each in (location.get("name"), location.get("address")) if each) or at
    return PlaceView(label, f"https://www.openstreetmap.org/search?query={quote(at)}")


def _card(card: Mapping[str, Any]) -> str:
    return " · ".join(
        str(each) for each in (card.get("name"), *card.get("phones", ()), *card.get("emails", ())) if each
    )


def _referral(referral: Mapping[str, Any] | None) -> str:
    if not referral:
        return ""
    words = (referral.get("headline"), referral.get("source"), referral.get("ref"), referral.get("url"))
    return next((str(each)[:120] for each in words if each), "")


def _mail(message: Message, where: str, formats: Formats) -> MailView:
    mail = message.mail or {}
    people = [formats.text(N_("to %(people)s"), people=", ".join(mail["to"]))] if mail.get("to") else []
    people += [formats.text(N_("copy to %(people)s"), people=", ".join(mail["cc"]))] if mail.get("cc") else []
    href = f"{where}/mails/{message.id}" if mail.get("html") or mail.get("has_html") else ""
    return MailView(
        str(mail.get("subject") or ""), " · ".join(people), quoted_part(message.text, mail.get("full_text")), href
    )


def quoted_part(text: str | None, full_text: str | None) -> str:
    """What of a mail is below the fold: the rest after the new words, or all of it where they can't be found."""
    whole, new = (full_text or "").strip(), (text or "").strip()
    if not whole or whole == new:
        return ""
    return whole[len(new) :].strip() if new and whole.startswith(new) else whole


def _is_theirs(message: Message) -> bool:
    return message.direction == "in" and message.provider_message_id is not None


def _reacted(message: Message, formats: Formats) -> dict[str, str]:
    ours = message.reacted or {}
    reason = ours.get("reason") or {}
    fault = formats.text(str(reason.get("sentence") or "")) if ours.get("state") == "failed" else ""
    return {
        "reacted": str(ours.get("emoji") or ""), "reacted_by": str((ours.get("by") or {}).get("name") or ""),
        "reacted_state": str(ours.get("state") or ""), "reacted_fault": fault,
    }  # fmt: skip


def _reactions(message: Message, customer: str) -> tuple[ReactionView, ...]:
    found: dict[str, list[str]] = {}
    for each in message.reactions:
        by = each.get("by")
        name = by.get("name") if isinstance(by, Mapping) else None  # a bare id is the customer's own
        found.setdefault(str(each["emoji"]), []).append(name or customer)
    return tuple(ReactionView(emoji, len(names), ", ".join(names)) for emoji, names in found.items())


def system_sentence(message: Message, formats: Formats) -> str:
    """A quiet line in words."""
    system = message.system or {}
    code, params = str(system.get("code", "")), dict(system.get("params") or {})
    msgid = SYSTEM_LINES.get(_system_key(code, params, message.status or ""))
    shown = {name: _shown(value, formats) for name, value in params.items()}
    shown["by"] = message.author.name or params.get("by_name") or "Rapport"
    shown["to"] = str(params.get("to_name") or params.get("to") or "")
    shown["names"] = ", ".join(str(each) for each in (params.get("added") or params.get("removed") or ()))
    shown["bot"] = str(params.get("bot_name") or formats.text(N_("The bot")))
    if code == "prioritised":
        shown["to"] = formats.text(dict(PRIORITIES).get(params.get("to", "none"), ""))
    try:
        return formats.text(msgid, **shown) if msgid else message.text or code.replace("_", " ")
    except KeyError:
        return message.text or code.replace("_", " ")


def _system_key(code: str, params: Mapping[str, Any], status: str) -> str:
    if code == "continued" and TICKS.get(status, ("",))[0] == "failed":
        return "continued_failed"
    if code == "rated":
        said = "recommends" if params.get("kind") == "nps" else "rated"
        return f"{said}_why" if params.get("comment") else said
    if params.get("taken_back") and params.get("bot_id"):
        return "bot_back"
    if params.get("taken_back") and code in BACK:
        return BACK[code] if code != "team_assigned" or params.get("to_name") else "team_left_back"
    if code == "assigned" and params.get("to") == params.get("by"):
        return "assigned_self"
    if code == "labelled" and bool(params.get("added")) != bool(params.get("removed")):
        return "labelled_more" if params.get("added") else "labelled_less"
    if code == "handed_over":
        return f"handed_over_{params.get('reason')}{'_why' if params.get('said') else ''}"
    if code == "reopened" and params.get("to") == "pending":
        return "reopened_bot"
    if code == "woken" and params.get("by") == "customer" and params.get("from") == "pending":
        return "answered"
    if code == "status_changed" and params.get("to") == "snoozed" and not params.get("until"):
        return "status_snoozed_open"
    if code == "routed":
        return f"routed_{params.get('why')}{'_able' if params.get('needs') else ''}"
    return f"status_{params.get('to')}" if code == "status_changed" else code


def _shown(value: Any, formats: Formats) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return formats.moment(value) if isinstance(value, datetime) else str(value)
