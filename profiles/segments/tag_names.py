"""Former names of tags, and rules read with them: a rule means the tag, by whatever name it was called then. Pure.

Nothing that names a tag is rewritten when the tag is renamed or joined with another: its rule is read with all names
of the tag, so the answer is the same before, while people are being changed and afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from profiles.segments.fields import FieldRef
from profiles.segments.memory import Facts, matches
from profiles.segments.rules import All, AnyOf, EventCount, FieldIs, Not, Rule

#: Events that tell of one tag, in `properties.tag`.
TAG_EVENTS = frozenset({"profile.tag_added", "profile.tag_removed"})
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_EITHER, _NEITHER = frozenset({"eq", "in", "any_of"}), frozenset({"ne", "not_in", "none_of"})


@dataclass(frozen=True)
class TagNames:
    """`renamed`: (name, later name), in the order in which it was done. `rev` counts up with each change of it."""

    renamed: tuple[tuple[str, str], ...] = ()
    rev: int = 0

    def today(self, tag: str) -> str:
        """What the tag of that name is called now."""
        return self._today.get(tag, tag)

    def spellings(self, tags: Iterable[str]) -> tuple[str, ...]:
        """All names of these tags, those of today first."""
        now = list(dict.fromkeys(self.today(each) for each in tags))
        return (*now, *(name for name, later in self._today.items() if later in now))

    @property
    def former(self) -> frozenset[str]:
        """Names that lead to another."""
        return frozenset(self._today)

    @cached_property
    def _today(self) -> Mapping[str, str]:
        """Former name → name of today. A name that is given anew is none of the former any more."""
        found: dict[str, str] = {}
        for name, later in self.renamed:
            found.pop(later, None)
            found = {each: later if to == name else to for each, to in found.items()} | {name: later}
        return found


def todays(part: Any, names: TagNames) -> Any:
    """A rule as its author wrote it (JSON), its tags called as they are today: for people to read and to edit."""
    if isinstance(part, list | tuple):
        return [todays(each, names) for each in part]
    if not isinstance(part, Mapping):
        return part
    if part.get("field") == "tags" and part.get("op") in _EITHER | _NEITHER | {"all_of"}:
        value = part.get("value")
        if isinstance(value, list | tuple):
            return {**part, "value": list(dict.fromkeys(names.today(str(each)) for each in value))}
        return {**part, "value": names.today(str(value))}
    return {key: todays(value, names) for key, value in part.items()}


def with_tags(rule: Rule, names: TagNames) -> Rule:
    """The rule with every tag that it names under all its names."""
    if not names.renamed:
        return rule
    match rule:
        case All(rules):
            return All(tuple(with_tags(each, names) for each in rules))
        case AnyOf(rules):
            return AnyOf(tuple(with_tags(each, names) for each in rules))
        case Not(inner):
            return Not(with_tags(inner, names))
        case EventCount(event=event, where=where) if event in TAG_EVENTS:
            return replace(rule, where=told_with_tags(where, names))
        case FieldIs(field=FieldRef(name="tags")):
            return _tagged(rule, names)
        case _:
            return rule


def told_with_tags(where: tuple[Rule, ...], names: TagNames) -> tuple[Rule, ...]:
    """The same for filters on an event that tells of a tag."""
    return tuple(_told(each, names) for each in where)


def _told(rule: Rule, names: TagNames) -> Rule:
    match rule:
        case All(rules) | AnyOf(rules):
            return replace(rule, rules=tuple(_told(each, names) for each in rules))
        case Not(inner):
            return Not(_told(inner, names))
        case FieldIs(field=FieldRef(name="properties.tag")):
            return any_name(rule, names)
        case _:
            return rule


def any_name(rule: FieldIs, names: TagNames) -> FieldIs:
    """A comparison with a name of a tag, or with several, holds for any name of it."""
    spelled = names.spellings(_texts(rule.value))
    if rule.op in _EITHER:
        return replace(rule, op="in", value=(*_others(rule.value), *spelled))
    if rule.op in _NEITHER:
        return replace(rule, op="not_in", value=(*_others(rule.value), *spelled))
    return rule


def _tagged(rule: FieldIs, names: TagNames) -> Rule:
    if rule.op in _EITHER | _NEITHER:
        return any_name(rule, names)
    if rule.op == "all_of":
        return All(tuple(replace(rule, op="in", value=names.spellings([each])) for each in _texts(rule.value)))
    if rule.op not in ("contains", "not_contains"):
        return rule  # asks for letters, not for a tag
    meant = [each for each in sorted(names.former) if _fits(rule, each) == (rule.op == "contains")]
    if not meant:
        return rule
    op, together = ("in", AnyOf) if rule.op == "contains" else ("not_in", All)
    return together((rule, replace(rule, op=op, value=names.spellings(meant))))


def _fits(rule: FieldIs, tag: str) -> bool:
    return matches(rule, Facts({"_id": "", "tags": [tag]}), _NO_TIME)


def _texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, str)]


def _others(value: Any) -> tuple[Any, ...]:
    return tuple(each for each in (value if isinstance(value, tuple) else (value,)) if not isinstance(each, str))
