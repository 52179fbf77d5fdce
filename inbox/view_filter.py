"""By what conversations are narrowed: one model for lists, saved views and acts on many, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from base.mongo import Document
from inbox.models import Priority, Status
from profiles.search import query_tokens

#: All statuses, in the order in which lists offer them.
STATUSES: tuple[Status, ...] = get_args(Status)
#: Values that may be named for one field.
CHOICES_MAX = 40

Owner = Annotated[str, StringConstraints(pattern=r"^(me|none|usr_[0-9a-z]{26})$")]
TeamChoice = Annotated[str, StringConstraints(pattern=r"^(none|[a-z0-9_-]{1,60})$")]
ChannelChoice = Annotated[str, StringConstraints(pattern=r"^chn_[0-9a-z]{26}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"\S")]
Term = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"\S")]
Several = Field((), max_length=CHOICES_MAX)
Follower = Annotated[str, StringConstraints(pattern=r"^(me|usr_[0-9a-z]{26})$")]
#: What was promised is late, or will be soon.
Due = Literal["soon", "breached"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelFilter(_Part):
    """Labels: one of `any`, each of `all`, and no `none`. What is left out narrows nothing."""

    any: tuple[Label, ...] = Several
    all: tuple[Label, ...] = Several
    none: tuple[Label, ...] = Several


class PersonFilter(_Part):
    """Who wrote: their stage and tier are one of these, and they have one of the tags."""

    stage: tuple[Term, ...] = Several
    tier: tuple[Term, ...] = Several
    tag: tuple[Term, ...] = Several


class ViewFilter(_Part):
    """Narrows conversations. Of several values in one field one has to hold; what is left out narrows nothing.

    `assignee`: `me` is who looks, `none` nobody. `unread`, `waiting`: with something nobody has read, with a customer
    who waits; false is the opposite. `sla`: what was promised is late, or will be soon. `follower`: who follows it,
    `me` among them. `q`: beginnings of names, addresses, subjects.
    """

    status: tuple[Status, ...] = Several
    assignee: tuple[Owner, ...] = Several
    team: tuple[TeamChoice, ...] = Several
    channel: tuple[ChannelChoice, ...] = Several
    labels: LabelFilter = LabelFilter()
    priority: tuple[Priority, ...] = Several
    unread: bool | None = None
    waiting: bool | None = None
    sla: tuple[Due, ...] = Several
    follower: tuple[Follower, ...] = Several
    person: PersonFilter = PersonFilter()
    q: str | None = Field(None, min_length=1, max_length=200)

    @property
    def of_rows(self) -> bool:
        """Whether the conversation alone says who belongs: no search, nothing about the person or followers, nothing
        that time alone changes."""
        return self.q is None and self.person == PersonFilter() and not (self.sla or self.follower)

    def written(self) -> Document:
        """As it is kept: only what narrows."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class ConversationFilter:
    """A filter as somebody asks for it."""

    view: ViewFilter = field(default_factory=ViewFilter)
    #: Who `me` is.
    me: str | None = None
    #: What the asking person may see; None: everything.
    channels: Sequence[str] | None = None
    profile_id: str | None = None
    #: Only these conversations.
    ids: Sequence[str] | None = None


def condition(wanted: ConversationFilter, now: datetime | None = None) -> Document:
    """The rows, as a question to the database. What it says of the person is asked elsewhere (`inbox.finding`). `now`:
    by when what was promised is late; needed where that is asked."""
    view = wanted.view
    parts: list[Document] = [{"status": _one_of(view.status or STATUSES)}]
    if view.assignee:
        parts.append({"assignee_id": _one_of([_somebody(each, wanted.me) for each in view.assignee])})
    if view.team:
        parts.append({"team_id": _one_of([None if each == "none" else each for each in view.team])})
    if view.channel or wanted.channels is not None:
        parts.append({"channel_id": _one_of(_channels(view.channel, wanted.channels))})
    if wanted.profile_id is not None:
        parts.append({"profile_id": wanted.profile_id})
    if wanted.ids is not None:
        parts.append({"_id": {"$in": list(wanted.ids)}})
    if view.priority:
        parts.append({"priority": _one_of(view.priority)})
    if view.unread is not None:
        parts.append({"unread": {"$gt": 0} if view.unread else {"$not": {"$gt": 0}}})
    if view.waiting is not None:
        parts.append({"waiting_since": {"$exists": view.waiting}})
    if view.follower:
        parts.append({"participants": _one_of([_somebody(each, wanted.me) for each in view.follower])})
    if view.sla:
        parts.append({"$or": [due_condition(each, now) for each in view.sla]})
    parts += _of_labels(view.labels)
    if view.q and view.q.strip():
        parts += _of_words(view.q)
    return {"$and": parts}


def due_condition(due: Due, now: datetime | None) -> Document:
    """What was promised is late at this time, or will be soon."""
    if now is None:
        raise ValueError("what is late depends on the time")
    if due == "breached":
        return {"sla.due_at": {"$lte": now}}
    return {"sla.soon_at": {"$lte": now}, "sla.due_at": {"$gt": now}}


def is_due(row: Mapping[str, Any], due: Due, now: datetime) -> bool:
    """The same of a conversation as kept."""
    clocks = row.get("sla") or {}
    at, soon = clocks.get("due_at"), clocks.get("soon_at")
    if due == "breached":
        return at is not None and at <= now
    return at is not None and soon is not None and soon <= now < at


def belongs(row: Mapping[str, Any], view: ViewFilter, me: str | None, now: datetime | None = None) -> bool:
    """Whether a conversation as kept belongs, by all but the search and the person; `now` as with `condition`."""
    labels, followers = set(row.get("labels") or ()), set(row.get("participants") or ())
    if view.follower and followers.isdisjoint(_somebody(each, me) for each in view.follower):
        return False
    if view.sla and not (now is not None and any(is_due(row, each, now) for each in view.sla)):
        return False
    return (
        row["status"] in (view.status or STATUSES)
        and _holds(view.assignee, row.get("assignee_id"), lambda each: _somebody(each, me))
        and _holds(view.team, row.get("team_id"), lambda each: None if each == "none" else each)
        and (not view.channel or row["channel_id"] in view.channel)
        and (not view.priority or (row.get("priority") or "none") in view.priority)
        and view.unread in (None, (row.get("unread") or 0) > 0)
        and view.waiting in (None, "waiting_since" in row)
        and (not view.labels.any or not labels.isdisjoint(view.labels.any))
        and labels.issuperset(view.labels.all)
        and labels.isdisjoint(view.labels.none)
    )


def fits_person(person: PersonFilter, stage: str | None, tier: str | None, tags: Sequence[str]) -> bool:
    """Whether somebody is as the filter says."""
    return (
        (not person.stage or stage in person.stage)
        and (not person.tier or tier in person.tier)
        and (not person.tag or not set(tags).isdisjoint(person.tag))
    )


def _holds(choices: Sequence[str], value: str | None, meant: Any) -> bool:
    return not choices or value in [meant(each) for each in choices]


def _somebody(choice: str, me: str | None) -> str | None:
    """`me` of nobody is a value that no conversation has."""
    return None if choice == "none" else (me or "") if choice == "me" else choice


def _channels(chosen: Sequence[str], seen: Sequence[str] | None) -> list[str]:
    if seen is None:
        return list(chosen)
    return [each for each in seen if not chosen or each in chosen]


def _one_of(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else {"$in": list(values)}


def _of_labels(labels: LabelFilter) -> list[Document]:
    parts: list[Document] = []
    if labels.any:
        parts.append({"labels": _one_of(labels.any)})
    if labels.all:
        parts.append({"labels": {"$all": list(labels.all)}})
    if labels.none:
        parts.append({"labels": {"$nin": list(labels.none)}})
    return parts


def _of_words(q: str) -> list[Document]:
    words = query_tokens(q)
    starts: list[Document] = [{"tokens": {"$elemMatch": {"$gte": word, "$lt": word + "\U0010ffff"}}} for word in words]
    return starts or [{"_id": None}]  # signs that no name is made of: nobody
