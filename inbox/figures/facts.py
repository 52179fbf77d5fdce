"""What happened in a conversation, as facts that can be counted. Pure.

All facts of a conversation follow from its lines, its row and its ratings, so they are derived anew whenever something
changes: what was undone, merged, split or came late is right again without anybody having to correct it. A time it was
opened, until it is closed, is a *cycle*; a first response belongs to the conversation and no cycle changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from base.ids import unique_key
from base.mongo import Document
from inbox.owning import has_bot

Kind = Literal[
    "created", "reopened", "closed", "first_response", "next_response", "resolution", "received", "sent", "assigned",
    "csat_asked", "csat", "nps_asked", "nps", "kept", "missed",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Facts that say how long something took.
TIMED: frozenset[Kind] = frozenset({"first_response", "next_response", "resolution"})
#: What opens a cycle.
OPENS: tuple[Kind, Kind] = ("created", "reopened")
#: Minutes within which messages of one person are one fact, and the grain of every figure.
GRAIN_MIN = 15
#: `until` of what still goes on.
NO_END = datetime(9999, 12, 31, tzinfo=UTC)
#: States in which a conversation is somebody's work.
OPEN = frozenset({"open", "pending", "snoozed"})
#: Outgoing lines that went out.
WENT_OUT = frozenset({"accepted", "sent", "delivered", "read"})
_STATUS_CODES = frozenset({"status_changed", "woken", "reopened"})
#: A bot has lost it, so the customer waits for people from then on; or it was given to one, which is no wait of ours.
_BOT_CODES = frozenset({"handed_over", "given_to_bot"})
_OWNER_CODES = frozenset({"assigned", "unassigned", "routed", "released"})
_TEAM_CODES = frozenset({"team_assigned", "team_left"})

#: Open time between two instants, in a conversation of this team and channel.
Worked = Callable[[str | None, str, datetime, datetime], timedelta]


@dataclass(frozen=True)
class Fact:
    """One thing that happened. `key` makes it one of its kind in its conversation; `ms` by the wall clock,
    `business_ms` by business hours; `until`: how long an opened one stayed open; `target`: what was promised."""

    kind: Kind
    key: str
    at: datetime
    agent_id: str | None = None
    team_id: str | None = None
    n: int = 1
    ms: int | None = None
    business_ms: int | None = None
    score: int | None = None
    until: datetime | None = None
    target: str | None = None


@dataclass(frozen=True)
class Wait:
    """Something that may have been promised by a time. `ended`: the fact that ended it; None: it goes on."""

    target: str
    since: datetime
    agent_id: str | None
    team_id: str | None
    ended: Fact | None = None

    @property
    def since_ms(self) -> int:
        """Its name."""
        return _ms(self.since)


@dataclass(frozen=True)
class Promises:
    """What was promised. `breached`: (target, since when, ms) → when it was told; `promised`: whether there is one on a
    wait that began then; `known`: keys of facts that stand, by kind: what was judged once stays so."""

    breached: Mapping[tuple[str, int], datetime] = field(default_factory=dict)
    promised: Callable[[str, datetime], bool] = lambda target, since: False
    known: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)


@dataclass(frozen=True)
class Talk:
    """A conversation with all that its facts follow from. `members`: when another one was merged into it, and its
    lines; `left_at`: when it was merged into another one itself. Lines in order of time."""

    row: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    members: Sequence[tuple[datetime, Sequence[Mapping[str, Any]]]] = ()
    left_at: datetime | None = None
    ratings: Sequence[Mapping[str, Any]] = ()


def facts_of(talk: Talk, worked: Worked) -> tuple[list[Fact], list[Wait]]:
    """Everything countable in it, and what may have been promised. Of spam nothing is counted."""
    if talk.row["status"] == "spam":
        return [], []
    fold = _Fold(_began(talk))
    for at, line in _in_order(talk):
        if line is None:
            fold.joined(at, talk)
        else:
            fold.take(at, line)
    fold.end(talk)
    facts = [*fold.facts, *_cycles(fold.cycles), *_said(talk.lines), *_rated(talk.ratings)]
    facts = [_with_hours(each, talk.row["channel_id"], worked) for each in facts]
    return facts, _waits(facts, fold)


def judged(waits: Iterable[Wait], promises: Promises) -> list[Fact]:
    """Of each wait whether what was promised was kept. One that still goes on can only be missed."""
    return [fact for each in waits if (fact := _judged(each, promises)) is not None]


def documents(talk: Talk, facts: Iterable[Fact]) -> dict[str, Document]:
    """Facts as rows, by id."""
    row = talk.row
    common = {
        "conversation_id": row["_id"], "profile_id": row["profile_id"], "identity_id": row.get("identity_id"),
        "channel_id": row["channel_id"], "labels": sorted(row.get("labels", ())) or [""],
    }  # fmt: skip
    found: dict[str, Document] = {}
    for each in facts:
        fields = {name: value for name, value in vars(each).items() if value is not None}
        fields |= {"agent_id": each.agent_id, "team_id": each.team_id}
        found[unique_key(row["_id"], each.kind, each.key)] = {**common, **fields}
    return found


# -- from line to line ---------------------------------------------------------------------------------------------


@dataclass
class _Cycle:
    kind: Kind
    opened_at: datetime
    closed_at: datetime | None = None
    resolved: bool = False
    agent_id: str | None = None
    team_id: str | None = None
    resolver_id: str | None = None
    by_system: bool = False
    rated: bool = False
    answered: bool = False
    #: The wait that closing it ended, for the case that this is taken back.
    waited: datetime | None = None


class _Fold:
    def __init__(self, began_at: datetime) -> None:
        self.facts: list[Fact] = []
        self.cycles: list[_Cycle] = [_Cycle("created", began_at)]
        self.status = "open"
        self.waiting: datetime | None = None
        self.replied = False
        self.agent_id: str | None = None
        self.team_id: str | None = None

    def _opens(self, kind: Kind, at: datetime) -> None:
        self.cycles.append(_Cycle(kind, at))

    @property
    def cycle(self) -> _Cycle:
        """The last one."""
        return self.cycles[-1]

    def take(self, at: datetime, line: Mapping[str, Any]) -> None:
        """What one line does."""
        direction = line["direction"]
        if direction == "in":
            self.waiting = self.waiting or at
        elif direction == "out" and _is_answer(line):
            self._answered(at, line["author"].get("id"))
        elif direction == "system":
            self._told(at, line)

    def _answered(self, at: datetime, agent_id: str | None) -> None:
        if self.waiting is not None and at > self.waiting:
            kind: Kind = "next_response" if self.replied else "first_response"
            key = "" if kind == "first_response" else _ms(self.waiting)
            took = int((at - self.waiting).total_seconds() * 1000)
            self.facts.append(Fact(kind, str(key), at, agent_id, self.team_id, ms=took))
            self.waiting = None
        self.replied = self.cycle.answered = True

    def _told(self, at: datetime, line: Mapping[str, Any]) -> None:
        system = line.get("system") or {}
        code, params = system.get("code"), system.get("params") or {}
        if code in _STATUS_CODES:
            self._turned(at, params, line.get("author") or {})
        elif code in _BOT_CODES:
            self._turned(at, params, line.get("author") or {})
            self.waiting = at if code == "handed_over" else None
        elif code in _OWNER_CODES:
            self._given(at, params, line)
        elif code in _TEAM_CODES:
            self.team_id = params.get("to")
        elif code == "rated":
            self.cycle.rated = True

    def _given(self, at: datetime, params: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        self.agent_id = params.get("to")
        if params.get("taken_back"):
            last = next((each for each in reversed(self.facts) if each.kind == "assigned"), None)
            if last is not None and last.agent_id == params.get("from"):
                self.facts.remove(last)
        elif self.agent_id:
            self.facts.append(Fact("assigned", line["_id"], at, self.agent_id, self.team_id))

    def _turned(self, at: datetime, params: Mapping[str, Any], author: Mapping[str, Any]) -> None:
        to, back = params.get("to", "open"), bool(params.get("taken_back"))
        was_open, is_open = self.status in OPEN, to in OPEN
        self.status = to
        if was_open and not is_open:
            if back and len(self.cycles) > 1 and self.cycle.kind == "reopened":
                self.cycles.pop()
                return
            self._closes(at, resolved=to == "resolved", author=author)
        elif is_open and not was_open:
            if back:
                self._closed_by_mistake()
                return
            self._opens("reopened", at)
            if params.get("by") == "customer":
                self.waiting = self.waiting or at

    def _closes(self, at: datetime, *, resolved: bool, author: Mapping[str, Any]) -> None:
        cycle = self.cycle
        cycle.closed_at, cycle.resolved, cycle.waited = at, resolved, self.waiting
        cycle.agent_id, cycle.team_id = self.agent_id, self.team_id
        cycle.by_system = author.get("type") == "system"
        cycle.resolver_id = author.get("id") if author.get("type") == "agent" else self.agent_id
        self.waiting = None

    def _closed_by_mistake(self) -> None:
        cycle = self.cycle
        cycle.closed_at, cycle.resolved = None, False
        self.waiting = cycle.waited or self.waiting

    def joined(self, at: datetime, talk: Talk) -> None:
        """Others are merged into it: who waits there waits here, and what is open there opens it."""
        for merged_at, lines in talk.members:
            if merged_at != at:
                continue
            status, waits = _stood(lines, at)
            if status not in OPEN:
                continue
            if self.status not in OPEN:
                self._opens("reopened", at)
                self.status = "open"
            if waits is not None:
                self.waiting = min(waits, self.waiting or waits)

    def end(self, talk: Talk) -> None:
        """What the lines do not tell the row does: where it stands now."""
        row, left_at = talk.row, talk.left_at
        is_open = row["status"] in OPEN
        if self.status in OPEN and not is_open:
            at = left_at or row.get("resolved_at") or row["updated_at"]
            self._closes(max(at, self.cycle.opened_at), resolved=left_at is None, author={"type": "system"})
        elif is_open and self.status not in OPEN:
            self._opens("reopened", max(row.get("reopened_at") or row["updated_at"], self.cycle.opened_at))
        if has_bot(row):
            self.waiting = None
        if is_open:
            self.cycle.agent_id, self.cycle.team_id = row.get("assignee_id"), row.get("team_id")


def _began(talk: Talk) -> datetime:
    """With its first line, which is older than the row where it came late or was split off."""
    created_at: datetime = talk.row["created_at"]
    return min(created_at, talk.lines[0]["provider_at"]) if talk.lines else created_at


def _stood(lines: Iterable[Mapping[str, Any]], at: datetime) -> tuple[str, datetime | None]:
    """The status of a conversation at an instant, and since when its customer waited."""
    status, waits = "open", None
    for line in lines:
        if line["provider_at"] > at:
            break
        if line["direction"] == "in":
            waits = waits or line["provider_at"]
        elif line["direction"] == "out" and _is_answer(line):
            waits = None
        elif (line.get("system") or {}).get("code") in _STATUS_CODES:
            status = line["system"]["params"].get("to", "open")
            waits = waits if status in OPEN else None
    return status, waits


def _in_order(talk: Talk) -> list[tuple[datetime, Mapping[str, Any] | None]]:
    """Own lines, those of members from when they were merged, and (None) the merges; until it was merged itself."""
    end = talk.left_at
    found: list[tuple[datetime, int, Mapping[str, Any] | None]] = []
    found += [(line["provider_at"], 1, line) for line in talk.lines]
    for merged_at, lines in talk.members:
        found.append((merged_at, 0, None))
        found += [(line["provider_at"], 1, line) for line in lines
                  if line["provider_at"] > merged_at and line["direction"] in ("in", "out")]  # fmt: skip
    kept = [each for each in found if end is None or each[0] <= end]
    return [(at, line) for at, _, line in sorted(kept, key=_place)]


def _place(entry: tuple[datetime, int, Mapping[str, Any] | None]) -> tuple[datetime, int, int]:
    at, order, line = entry
    return at, order, line.get("seq", 0) if line else 0


def _is_answer(line: Mapping[str, Any]) -> bool:
    return line.get("author", {}).get("type") in ("agent", "colleague") and line.get("status") in WENT_OUT


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


# -- what follows from it ------------------------------------------------------------------------------------------


def _cycles(cycles: Sequence[_Cycle]) -> list[Fact]:
    """A cycle is counted under whoever had the conversation at its end, its beginning too, so that what is open adds
    up. Opened by nothing but a customer's mark it is none."""
    facts: list[Fact] = []
    for number, each in enumerate(cycles):
        if each.kind == "reopened" and each.rated and each.by_system and not each.answered and each.closed_at:
            continue
        dims: dict[str, Any] = {"agent_id": each.agent_id, "team_id": each.team_id}
        key = str(number)
        facts.append(Fact(each.kind, key, each.opened_at, until=each.closed_at or NO_END, **dims))
        if each.closed_at is None:
            continue
        facts.append(Fact("closed", key, each.closed_at, **dims))
        if each.resolved:
            took = max(0, int((each.closed_at - each.opened_at).total_seconds() * 1000))
            facts.append(Fact("resolution", key, each.closed_at, each.resolver_id, each.team_id, ms=took))
    return facts


def _said(lines: Sequence[Mapping[str, Any]]) -> list[Fact]:
    """Messages in and out, those of a quarter of an hour and one author as one. What comes in counts under who had the
    conversation then, what goes out under who wrote it, both under the team that had it."""
    found: dict[tuple[Kind, str], Fact] = {}
    agent_id: str | None = None
    team_id: str | None = None
    for line in lines:
        kind = _way(line)
        if kind is not None:
            author = line["author"].get("id") if kind == "sent" else None
            key = f"{author or ''} {_ms(line['provider_at']) // (GRAIN_MIN * 60_000)}"
            first = found.get((kind, key))
            whose = author if kind == "sent" else agent_id
            found[kind, key] = replace(first, n=first.n + 1) if first else Fact(
                kind, key, line["provider_at"], whose, team_id
            )  # fmt: skip
        agent_id, team_id = _holders(line, agent_id, team_id)
    return list(found.values())


def _way(line: Mapping[str, Any]) -> Kind | None:
    if line["direction"] == "in":
        return "received"
    return "sent" if line["direction"] == "out" and _is_answer(line) else None


def _holders(
    line: Mapping[str, Any], agent_id: str | None, team_id: str | None
) -> tuple[str | None, str | None]:  # fmt: skip
    """Who has the conversation after a line."""
    system = line.get("system") or {}
    code, params = system.get("code"), system.get("params") or {}
    return (params.get("to") if code in _OWNER_CODES else agent_id,
            params.get("to") if code in _TEAM_CODES else team_id)  # fmt: skip


def _rated(rows: Iterable[Mapping[str, Any]]) -> list[Fact]:
    facts: list[Fact] = []
    for row in rows:
        kind: Any = row.get("kind", "csat")
        dims: dict[str, Any] = {"agent_id": row.get("agent_id"), "team_id": row.get("team_id")}
        if row.get("asked_at"):
            facts.append(Fact(f"{kind}_asked", row["_id"], row["asked_at"], **dims))  # type: ignore[arg-type]
        if row["state"] == "answered":
            facts.append(Fact(kind, row["_id"], row["answered_at"], score=row["score"], **dims))
    return facts


def _with_hours(fact: Fact, channel_id: str, worked: Worked) -> Fact:
    if fact.ms is None:
        return fact
    since = fact.at - timedelta(milliseconds=fact.ms)
    open_time = worked(fact.team_id, channel_id, since, fact.at)
    return Fact(**{**vars(fact), "business_ms": int(open_time.total_seconds() * 1000)})


def _waits(facts: Sequence[Fact], fold: _Fold) -> list[Wait]:
    waits = [
        Wait(each.kind, each.at - timedelta(milliseconds=each.ms or 0), each.agent_id, each.team_id, each)
        for each in facts if each.kind in TIMED
    ]  # fmt: skip
    cycle = fold.cycle
    if fold.waiting is not None:
        target = "next_response" if fold.replied else "first_response"
        waits.append(Wait(target, fold.waiting, cycle.agent_id, cycle.team_id))
    if cycle.closed_at is None:
        waits.append(Wait("resolution", cycle.opened_at, cycle.agent_id, cycle.team_id))
    return waits


def _judged(wait: Wait, promises: Promises) -> Fact | None:
    key = f"{wait.target} {wait.since_ms}"
    dims: dict[str, Any] = {"agent_id": wait.agent_id, "team_id": wait.team_id, "target": wait.target}
    known = promises.known
    missed_at = promises.breached.get((wait.target, wait.since_ms)) or known.get("missed", {}).get(key)
    if missed_at is not None:
        return Fact("missed", key, missed_at, **dims)
    if wait.ended is None:
        return None
    judged_before = wait.ended.key in known.get(wait.ended.kind, {})
    if key in known.get("kept", {}) or (not judged_before and promises.promised(wait.target, wait.since)):
        return Fact("kept", key, wait.ended.at, **dims)
    return None
