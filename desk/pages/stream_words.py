"""The rows of Today in words: what is the matter, where one goes, what its button says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from campaigns.reminders import MENTION
from campaigns.stream.items import Item, Kind, Why
from desk.i18n import N_, NN_, Formats
from desk.pages.order_words import order_number
from desk.pages.task_words import task_place, task_words
from inbox.models import Send, conversation_of
from profiles.words import Words

#: Kind → its sign.
SIGNS: Mapping[Kind, str] = {
    "conversation": "chat-bubble-left-right", "task": "clipboard-document-check", "follow_up": "bell-alert",
    "order": "shopping-bag", "failed": "exclamation-circle", "hot": "fire", "idle": "clock", "pair": "user-group",
}  # fmt: skip
#: Why → what is said of it, where the kind says no more, and the tone of its chip.
WHYS: Mapping[Why, tuple[str, str]] = {
    "sla_breached": (N_("Promise broken"), "danger"), "sla_soon": (N_("Promise soon due"), "warn"),
    "waiting": (N_("Waits for an answer"), ""), "due": (N_("Due"), "danger"), "coming": (N_("Due soon"), ""),
    "undated": (N_("To do"), ""), "unpaid": (N_("Not paid yet"), "warn"),
    "unnoticed": (N_("Shipped, and not told so"), "warn"),
    "unreviewed": (N_("Delivered, and never asked how it was"), ""), "failed": (N_("Did not go out"), "danger"),
    "hot": (N_("Hot, and nobody has been in touch"), "warn"), "idle": (N_("No contact for long"), ""),
    "pair": (N_("Perhaps the same person"), ""),
}  # fmt: skip
IDLE = NN_("No contact for %(num)s day", "No contact for %(num)s days")
#: Kind → what its button says when it is not just done.
DONE: Mapping[Kind, str] = {"conversation": N_("Resolve")}
#: What somebody can narrow the list to: name, label, kinds.
TABS: tuple[tuple[str, str, tuple[Kind, ...]], ...] = (
    ("", N_("All"), ()),
    ("inbox", N_("Inbox"), ("conversation", "failed")),
    ("work", N_("To do"), ("task", "follow_up")),
    ("orders", N_("Orders"), ("order",)),
    ("people", N_("People"), ("hot", "idle", "pair")),
)
WORDS_MAX = 300


@dataclass(frozen=True)
class StreamRow:
    """One row as it is shown. `whose`: said where it is not the reader's own."""

    key: str
    kind: Kind
    symbol: str
    title: str
    detail: str
    why: str
    tone: str
    at: datetime
    href: str
    done_label: str
    assignee_id: str
    whose: str = ""
    may_act: bool = True
    #: Where it is answered: what is done about it first.
    answer_href: str = ""


@dataclass(frozen=True)
class Known:
    """What rows are said with. `names`: people by id; `colleagues`: ours by id; `notes`: words of notes that call."""

    names: Mapping[str, str]
    colleagues: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Words] = field(default_factory=dict)
    me: str = ""
    may_answer: bool = True


def stream_row(item: Item, known: Known, formats: Formats, *, everybody: bool = False) -> StreamRow:
    """One row. `everybody`: of a list in which rows of all colleagues stand."""
    title, detail, href = _TELLS[item.kind](item, known, formats)
    why, tone = WHYS[item.why]
    words = "" if everybody and item.why != "due" else formats.text(why)
    if item.kind == "idle":
        words = formats.plural(*IDLE, int(item.facts["days"]))
    return StreamRow(
        item.key, item.kind, SIGNS[item.kind], title, detail[:WORDS_MAX], words, tone, item.at, href,
        formats.text(DONE.get(item.kind, N_("Done"))), item.assignee_id or "",
        _name_of(item, known) if everybody else _whose(item, known, formats),
        item.kind != "conversation" or known.may_answer,
        f"{href}#text" if item.kind == "conversation" else "",
    )  # fmt: skip


def tab_kinds(name: str) -> tuple[Kind, ...]:
    """The kinds of a tab; empty: all of them."""
    return next((kinds for key, _, kinds in TABS if key == name), ())


def _name_of(item: Item, known: Known) -> str:
    return known.colleagues.get(item.assignee_id or "", "") if item.assignee_id != known.me else ""


def _whose(item: Item, known: Known, formats: Formats) -> str:
    if item.assignee_id == known.me:
        task = item.source if item.kind == "task" else {}
        return formats.text(N_("Handed over: the colleague is not there any more")) if task.get("handed_from") else ""
    if item.assignee_id is None:
        return formats.text(N_("nobody has taken it")) if item.kind not in ("pair", "order", "failed", "idle") else ""
    name = known.colleagues.get(item.assignee_id, "")
    return formats.text(N_("for %(name)s, who is away"), name=name) if name else ""


def _talk(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    talk = conversation_of(item.source)
    last = talk.last_message
    said = " ".join((last.text or "").split()) if last is not None else ""
    name = known.names.get(talk.profile_id) or talk.display_name or talk.address.handle or talk.address.external_id
    return name, said, f"/inbox/{talk.id}"


def _task(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    task = item.source
    source, person = task.get("source") or {}, known.names.get(item.profile_id or "", "")
    called = known.notes.get(source.get("id", "")) if source.get("kind") == MENTION else None
    parts = [person, (called.text or "") if called else ""]
    place = task_place(task) or (f"/profiles/{item.profile_id}" if item.profile_id else "")
    return task_words(task, known.names, formats), " · ".join(each for each in parts if each), place


def _follow_up(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    return item.text or "", item.source.display_name, f"/profiles/{item.id}"


def _order(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    order = item.source
    total = formats.money(order.total.amount_minor, order.total.currency) if order.total else ""
    parts = [known.names.get(order.profile_id, ""), total]
    return order_number(item.facts["number"]), " · ".join(each for each in parts if each), f"/orders/{order.id}"


def _failed(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    send: Send = item.source
    why = formats.text(send.reason.sentence) if send.reason else ""
    place = f"/inbox/{send.conversation_id}" if send.conversation_id else f"/profiles/{send.profile_id}"
    return known.names.get(send.profile_id, send.profile_id), why, place


def _person(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    score = formats.number(int(item.facts.get("score", 0)))
    detail = formats.text(N_("Score %(score)s"), score=score) if item.kind == "hot" else ""
    return known.names.get(item.id, item.id), detail, f"/profiles/{item.id}"


def _pair(item: Item, known: Known, formats: Formats) -> tuple[str, str, str]:
    pair = item.source
    title = f"{pair.one.display_name} · {pair.other.display_name}"
    return title, "", f"/profiles/{pair.one.id}/merge?other={pair.other.id}"


_TELLS = {
    "conversation": _talk, "task": _task, "follow_up": _follow_up, "order": _order, "failed": _failed,
    "hot": _person, "idle": _person, "pair": _pair,
}  # fmt: skip
