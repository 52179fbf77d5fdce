"""What somebody sees of all that waits, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from campaigns.stream.items import OFFERED, URGENCY, Item


@dataclass(frozen=True)
class Viewer:
    """Who looks. `stands_in_for`: colleagues who are away, whose rows are theirs meanwhile; `channels` None: all."""

    user_id: str
    stands_in_for: frozenset[str] = frozenset()
    channels: frozenset[str] | None = None

    @property
    def owners(self) -> list[str | None]:
        """Whose rows they see: their own, nobody's, those of who is away."""
        return [self.user_id, None, *sorted(self.stands_in_for)]


@dataclass(frozen=True)
class Mark:
    """What was done with a row. `snoozed`: person → until when they do not see it; `given_to`: whose it is now."""

    done: bool = False
    given_to: str | None = None
    snoozed: Mapping[str, datetime] = field(default_factory=dict)


NO_MARK = Mark()


def stream(items: Iterable[Item], marks: Mapping[str, Mark], viewer: Viewer, now: datetime) -> list[Item]:
    """What `viewer` has to do, the most urgent first, each key once.

    Of what nobody has promised (hot, idle) one row per person is enough, and none beside another row about them;
    whom such a row was about that is done or snoozed is left in peace.
    """
    mine = _mine(items, marks, viewer)
    promised = [item for item in mine if item.kind not in OFFERED and not _away(item, marks, viewer, now)]
    taken = {each for item in promised for each in item.people}
    offered = []
    for item in mine:
        if item.kind not in OFFERED or not taken.isdisjoint(item.people):
            continue
        taken.update(item.people)
        if not _away(item, marks, viewer, now):
            offered.append(item)
    return in_order([*promised, *offered])


def in_order(items: Iterable[Item]) -> list[Item]:
    """By urgency, then what waits longest or is due first."""
    return sorted(items, key=lambda item: (URGENCY[item.why], item.at, item.key))


def stands_in(
    user_id: str, away: Collection[str], teams: Iterable[Collection[str]], deputies: Mapping[str, str]
) -> frozenset[str]:
    """Of those who are away whom this person stands in for. Pure.

    It is their deputy, where they have named one who is there; else all of their teams (`teams`: who works in each);
    who is in no team with anybody who is there is stood in for by everybody.
    """
    if user_id in away:
        return frozenset()
    crews = [frozenset(each) for each in teams]
    found = set()
    for absent in away:
        deputy = deputies.get(absent)
        if deputy is not None and deputy not in away:
            found |= {absent} if deputy == user_id else set()
            continue
        mates = frozenset().union(*(crew for crew in crews if absent in crew)) - set(away)
        if user_id in mates or not mates:
            found.add(absent)
    return frozenset(found)


def _mine(items: Iterable[Item], marks: Mapping[str, Mark], viewer: Viewer) -> list[Item]:
    owners: set[str | None] = set(viewer.owners)
    found: dict[str, Item] = {}
    for item in items:
        given = marks.get(item.key, NO_MARK).given_to
        seen = replace(item, assignee_id=given) if given else item
        if seen.assignee_id in owners:
            found.setdefault(seen.key, seen)
    return in_order(found.values())


def _away(item: Item, marks: Mapping[str, Mark], viewer: Viewer, now: datetime) -> bool:
    mark = marks.get(item.key, NO_MARK)
    until = mark.snoozed.get(viewer.user_id)
    return mark.done or (until is not None and until > now)
