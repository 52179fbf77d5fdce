"""What happened with a person, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from campaigns.reminders import MENTIONED
from desk.i18n import N_, Formats
from desk.mentions import Piece, pieces_of
from desk.pages.faces import Face, Faces
from desk.pages.value_names import ValueNames
from desk.team.masking import COVER
from profiles.postal import lines_of
from profiles.timeline import Entry

#: Event → sentence and sign. Names with no entry show themselves, never nothing.
SENTENCES: Mapping[str, tuple[str, str]] = {
    "profile.created": (N_("First seen"), "sparkles"),
    "profile.updated": (N_("Details changed"), "pencil-square"),
    "profile.profiling_changed": (N_("Profiling switched"), "shield-check"),
    "profile.merged": (N_("Merged with another profile"), "arrows-pointing-in"),
    "profile.unmerged": (N_("A merge was undone"), "arrows-pointing-out"),
    "profile.stage_changed": (N_("Stage changed"), "arrow-trending-up"),
    "profile.tier_changed": (N_("Tier changed"), "trophy"),
    "profile.tag_added": (N_("Tag %(tag)s added"), "tag"),
    "profile.tag_removed": (N_("Tag %(tag)s removed"), "tag"),
    "profile.tag_renamed": (N_("Tag renamed to %(tag)s"), "tag"),
    "profile.relation_added": (N_("A relation was added"), "users"),
    "profile.relation_removed": (N_("A relation was removed"), "users"),
    "profile.score_changed": (N_("Score changed"), "chart-bar"),
    "message.received": (N_("Wrote"), "chat-bubble-left"),
    "message.noted": (N_("A note in the conversation"), "pencil"),
    "message.sent": (N_("We wrote"), "paper-airplane"),
    "message.delivered": (N_("A message was delivered"), "check"),
    "message.read": (N_("A message was read"), "eye"),
    "message.failed": (N_("A message failed"), "exclamation-circle"),
    "message.clicked": (N_("Clicked a link"), "cursor-arrow-rays"),
    "message.opened": (N_("Opened a mail"), "envelope-open"),
    "message.bounced": (N_("A mail bounced"), "exclamation-circle"),
    "message.complained": (N_("Marked a mail as spam"), "no-symbol"),
    "message.reacted": (N_("We reacted to a message: %(emoji)s"), "face-smile"),
    "message.forwarded": (N_("We forwarded a mail"), "arrow-uturn-right"),
    "automation.ran": (N_("Automation ran: %(name)s"), "bolt"),
    "conversation.created": (N_("A conversation began"), "chat-bubble-left-right"),
    "conversation.assigned": (N_("The conversation went to %(to_name)s"), "user-plus"),
    "conversation.status_changed": (N_("The conversation is %(to)s now"), "check-circle"),
    "conversation.labelled": (N_("The labels of the conversation changed"), "tag"),
    "conversation.prioritised": (N_("The priority of the conversation changed"), "flag"),
    "conversation.participants_changed": (N_("Who follows the conversation changed"), "eye"),
    "sla.due_soon": (N_("What was promised is due soon"), "clock"),
    "sla.breached": (N_("What was promised is overdue"), "exclamation-triangle"),
    "csat.submitted": (N_("Gave a rating of %(rating)s out of 5"), "star"),
    "nps.submitted": (N_("Would recommend us: %(score)s of 10"), "star"),
    "order.created": (N_("Placed an order"), "shopping-bag"),
    "order.paid": (N_("Paid an order"), "banknotes"),
    "order.payment_failed": (N_("A payment failed"), "x-circle"),
    "order.fulfilled": (N_("An order was shipped"), "truck"),
    "order.delivered": (N_("An order was delivered"), "home"),
    "order.cancelled": (N_("An order was cancelled"), "x-circle"),
    "order.refunded": (N_("An order was refunded"), "receipt-refund"),
    "checkout.started": (N_("Began a checkout"), "shopping-cart"),
    "checkout.updated": (N_("Changed the basket"), "shopping-cart"),
    "checkout.completed": (N_("Completed a checkout"), "shopping-cart"),
    "consent.granted": (N_("Agreed to %(purpose)s"), "hand-thumb-up"),
    "consent.denied": (N_("Refused %(purpose)s"), "hand-raised"),
    "consent.requested": (N_("Was asked to confirm %(purpose)s"), "envelope"),
    "contact.left": (N_("Left the channel"), "arrow-right-start-on-rectangle"),
    "contact.returned": (N_("Came back"), "arrow-uturn-left"),
    "address.released": (N_("The address may be used again"), "lock-open"),
    "profile.shut_out": (N_("Shut out"), "no-symbol"),
    "profile.let_in": (N_("Let in again"), "arrow-uturn-left"),
    "address.suppressed": (N_("Nothing is sent to the address any more"), "no-symbol"),
    "profile.owner_changed": (N_("The owner changed"), "user"),
    "note.added": (N_("Note"), "pencil"),
    "note.changed": (N_("A note was edited"), "pencil"),
    "note.deleted": (N_("A note was deleted"), "trash"),
    "note.restored": (N_("A note was brought back"), "arrow-uturn-left"),
    "call.logged": (N_("Call"), "phone"),
    "meeting.logged": (N_("Meeting"), "users"),
    "visit.logged": (N_("Visit"), "building-storefront"),
    "follow_up.set": (N_("Follow-up planned for %(at)s"), "bell-alert"),
    "follow_up.done": (N_("Followed up"), "check-circle"),
    "follow_up.snoozed": (N_("Follow-up put off until %(at)s"), "bell-snooze"),
    "follow_up.handed_over": (N_("Follow-up handed over"), "arrow-right-circle"),
    "follow_up.cleared": (N_("Follow-up dropped"), "bell-slash"),
    "file.attached": (N_("File attached"), "paper-clip"),
    "file.removed": (N_("A file was removed"), "trash"),
    "file.restored": (N_("A file was brought back"), "arrow-uturn-left"),
    "segment.entered": (N_("Entered a segment"), "funnel"),
    "segment.left": (N_("Left a segment"), "funnel"),
    "task.created": (N_("A task was made"), "clipboard"),
    "task.done": (N_("A task was done"), "clipboard-document-check"),
}
TONES = {
    "message.failed": "bad",
    "message.bounced": "bad",
    "order.payment_failed": "bad",
    "sla.breached": "bad",
    "order.cancelled": "bad",
    "order.paid": "good",
    "order.delivered": "good",
    "profile.created": "good",
}
#: Which automatic reply it was.
ANSWERS = {
    "greeting": N_("greeting"), "out_of_office": N_("out of office"), "keyword": N_("answer to a keyword"),
}  # fmt: skip
STATUS_WORDS = {
    "open": N_("open"),
    "pending": N_("pending"),
    "snoozed": N_("snoozed"),
    "resolved": N_("resolved"),
    "spam": N_("spam"),
}


#: Kinds of entries one may choose from, as the timeline offers them.
KIND_LABELS: Mapping[str, str] = {
    "message": N_("Messages"), "note": N_("Notes"), "call": N_("Calls and meetings"), "task": N_("Tasks"),
    "order": N_("Orders"), "journey": N_("Campaigns"), "file": N_("Files"), "consent": N_("Consent"),
    "profile": N_("Changes"), "conversation": N_("Conversations"), "event": N_("Other events"),
}  # fmt: skip
FIELD_LABELS: Mapping[str, str] = {
    "name": N_("Name"), "avatar_url": N_("Picture"), "locale": N_("Language"), "time_zone": N_("Time zone"),
    "location": N_("Place"), "address": N_("Address"), "owner_id": N_("Owner"), "stage": N_("Stage"),
    "tier": N_("Tier"), "score": N_("Score"),
    "tags": N_("Tags"), "roles": N_("Roles"), "at": N_("When"), "assignee_id": N_("Who"),
}  # fmt: skip
#: Fields whose change has an entry of its own.
_TOLD_APART = frozenset({"stage", "tier", "score", "tags"})
#: Of a merge whose people are known to the reader.
_MERGES = {
    "profile.merged": N_("Merged with %(other)s"), "profile.unmerged": N_("The merge with %(other)s was undone"),
}  # fmt: skip
#: Events whose sentence says already what became of it.
_SAID = frozenset({"conversation.status_changed"})
#: Characters of a text that one entry shows.
SHOWN = 700


class _Lenient(dict[str, str]):
    """A property that an event does not carry is a dash, not a fault."""

    def __missing__(self, key: str) -> str:
        return "–"


@dataclass(frozen=True)
class Change:
    """One field that was changed; without a label where the entry itself names it."""

    label: str
    old: str
    new: str


@dataclass(frozen=True)
class Happening:
    """One entry of the timeline. `said`: its words, safe to show; `by`: who of us did it."""

    id: str
    title: str
    detail: str
    symbol: str
    tone: str
    at: datetime
    href: str
    face: Face | None
    said: tuple[Piece, ...] = ()
    by: str = ""
    changes: tuple[Change, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    gone: bool = False


@dataclass(frozen=True)
class DayOf:
    """Entries of one day, latest first."""

    at: datetime
    entries: tuple[Happening, ...]


@dataclass(frozen=True)
class Known:
    """What turns ids into words: channels, names of colleagues and programs, what stands after an @, own terms.

    `reader`: who reads it; `merges`: merge → person → name, of those the reader may see.
    """

    faces: Faces
    names: Mapping[str, str]
    handles: Mapping[str, str]
    terms: ValueNames = field(default_factory=ValueNames)
    reader: str = ""
    merges: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def timeline(entries: Sequence[Entry], known: Known, formats: Formats) -> list[DayOf]:
    """Newest first, by day of the reader's zone."""
    days = groupby(filter(tells, entries), key=lambda entry: entry.at.astimezone(formats.zone).date())
    found = [list(group) for _, group in days]
    return [DayOf(group[0].at, tuple(happening(each, known, formats) for each in group)) for group in found]


def ids_in(entries: Sequence[Entry]) -> list[str]:
    """Ids of colleagues and programs whose names the entries need."""
    found = {each.by for each in entries if each.by}
    for entry in entries:
        if entry.text == MENTIONED and entry.properties.get("assignee_id"):
            found.add(str(entry.properties["assignee_id"]))
        for change in _changed(entry).values():
            found |= {each for each in change.values() if isinstance(each, str) and each.startswith("usr_")}
    return sorted(found)


def happening(entry: Entry, known: Known, formats: Formats) -> Happening:
    """One entry."""
    face = known.faces.of(entry.refs["channel_id"]) if "channel_id" in entry.refs else None
    text = _mention(entry, known, formats) if entry.text == MENTIONED else entry.text
    said = () if entry.gone or text is None else tuple(pieces_of(_cut(text), known.handles))
    detail = _detail(entry, known, formats)
    if entry.gone:
        detail = formats.text(N_("It was taken back."))
    files = tuple((str(each["id"]), str(each["name"] or "")) for each in entry.more.get("files", ()) if each.get("id"))
    if entry.name.startswith("file."):
        said = ()
    return Happening(
        entry.id, _title(entry, known, formats), detail, SENTENCES.get(entry.name, ("", "bolt"))[1],
        TONES.get(entry.name, ""), entry.at, _href(entry, known), face, said, by_words(entry.by, known, formats),
        changes_of(entry, known, formats), files, entry.gone,
    )  # fmt: skip


def _mention(entry: Entry, known: Known, formats: Formats) -> str:
    """Who is called to a note: the reader, or whom it is."""
    who = str(entry.properties.get("assignee_id") or "")
    if who == known.reader:
        return formats.text(N_("You are mentioned in a note."))
    name = known.names.get(who) or formats.text(N_("A former colleague"))
    return formats.text(N_("%(name)s is mentioned in a note."), name=name)


def by_words(by: str | None, known: Known, formats: Formats) -> str:
    """Who of us did it: a name, "A journey", or nothing."""
    if by is None:
        return ""
    if by.startswith("journey:"):
        return formats.text(N_("A journey"))
    if by.startswith("arl_"):
        return formats.text(N_("A rule"))
    if by.startswith("rule:"):
        return formats.text(N_("A rule of the stages"))
    return known.names.get(by) or (formats.text(N_("A former colleague")) if by.startswith("usr_") else by)


def changes_of(entry: Entry, known: Known, formats: Formats) -> tuple[Change, ...]:
    """Fields from → to, where an entry tells of them. Tags have entries of their own."""
    result = []
    alone = entry.name.endswith("_changed")
    for name, change in _changed(entry).items():
        label = "" if alone else formats.text(FIELD_LABELS[name]) if name in FIELD_LABELS else known.terms.label(name)
        old, new = (_shown(name, change.get(each), known, formats) for each in ("from", "to"))
        result.append(Change(label, old, new))
    return tuple(result)


def tells(entry: Entry) -> bool:
    """Whether it is worth a line: a change of which every field has an entry of its own is not."""
    changes = entry.properties.get("changes")
    return entry.name != "profile.updated" or not isinstance(changes, Mapping) or not changes.keys() <= _TOLD_APART


def _changed(entry: Entry) -> dict[str, Mapping[str, Any]]:
    told = entry.properties.get("changes")
    if entry.name == "profile.updated" and isinstance(told, Mapping):
        told = {name: change for name, change in told.items() if name not in _TOLD_APART}
    if entry.name in _SAID:
        return {}
    if entry.name.endswith("_changed") and "to" in entry.properties:
        field = entry.name.partition(".")[2].removesuffix("_changed")
        told = {field: {"from": entry.properties.get("from"), "to": entry.properties["to"]}}
    found: dict[str, Mapping[str, Any]] = {}
    for name, change in told.items() if isinstance(told, Mapping) else ():
        nested = change if name == "attributes" and isinstance(change, Mapping) else {name: change}
        found |= {key: each for key, each in nested.items() if isinstance(each, Mapping)}
    return found


def _shown(name: str, value: Any, known: Known, formats: Formats) -> str:
    if value is None or value == []:
        return "–"
    if name == "address" and "addresses" in formats.covers:
        return COVER
    if isinstance(value, datetime):
        return formats.moment(value)
    if isinstance(value, bool):
        return formats.text(N_("yes") if value else N_("no"))
    if isinstance(value, list):
        return ", ".join(_shown(name, each, known, formats) for each in value)[:200]
    if isinstance(value, Mapping):
        place = [f"{each:.4f}" for each in reversed(value.get("coordinates") or ())]
        return ", ".join(place or lines_of(value))[:200]
    text = known.terms.value(name, str(value))
    return (known.names.get(text) or text)[:200]


def _title(entry: Entry, known: Known, formats: Formats) -> str:
    msgid, _ = SENTENCES.get(entry.name, ("", ""))
    if not msgid:
        return entry.name
    other = known.merges.get(entry.refs.get("merge_id", ""), {}).get(str(entry.properties.get("other_id")))
    if other and entry.name in _MERGES:
        return formats.text(_MERGES[entry.name], other=other)
    shown = {key: str(value) for key, value in entry.properties.items() if isinstance(value, str | int | float)}
    if entry.name == "message.reacted" and not shown.get("emoji"):
        return formats.text(N_("We took our reaction back"))
    if entry.name == "automation.ran" and shown.get("kind") == "reply":
        shown["name"] = formats.text(ANSWERS.get(shown["name"], shown["name"]))
    if entry.name == "conversation.status_changed" and shown.get("to") in STATUS_WORDS:
        shown["to"] = formats.text(STATUS_WORDS[shown["to"]])
    if "purpose" in shown:
        shown["purpose"] = known.terms.value("purpose", shown["purpose"])
    at = entry.properties.get("at")
    if isinstance(at, datetime):
        shown["at"] = formats.moment(at)
    return formats.text(msgid, _Lenient(shown)) if "%(" in msgid else formats.text(msgid)


def _detail(entry: Entry, known: Known, formats: Formats) -> str:
    properties = entry.properties
    if entry.name.startswith(("order.", "checkout.")):
        number = properties.get("number") or properties.get("external_id") or ""
        total, currency = properties.get("total"), properties.get("currency")
        money = formats.money(total, currency) if isinstance(total, int) and isinstance(currency, str) else ""
        return " · ".join(str(each) for each in (number, money) if each)
    words = []
    if entry.more.get("subject"):
        words.append(str(entry.more["subject"]))
    if entry.more.get("direction") in ("in", "out") and entry.kind == "call":
        words.append(formats.text(N_("They called") if entry.more["direction"] == "in" else N_("We called")))
    if entry.more.get("minutes"):
        words.append(formats.plural("%(num)s minute", "%(num)s minutes", int(entry.more["minutes"])))
    for name in ("reason", "result", "title"):
        if isinstance(properties.get(name), str):
            words.append(known.terms.value(name, " ".join(properties[name].split())[:160]))
    return " · ".join(words)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN].rstrip() + " …"


def _href(entry: Entry, known: Known) -> str:
    if entry.refs.get("merge_id") in known.merges:
        return f"?tab=identities#{entry.refs['merge_id']}"
    if "conversation_id" in entry.refs:
        return f"/inbox/{entry.refs['conversation_id']}"
    if entry.kind == "order" and entry.refs.get("order_id", "").startswith("ord_"):
        return f"/orders/{entry.refs['order_id']}"
    if entry.refs.get("enrolment_id", "").startswith("enr_"):
        return f"/journeys/runs/{entry.refs['enrolment_id']}"
    return ""
