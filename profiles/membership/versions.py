"""Definitions of segments as they are evaluated: every version of every rule, what it asks for before it. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.errors import WrongInput
from profiles.segments import (
    Needs,
    Rule,
    TagNames,
    event_needs,
    is_profiling,
    parse,
    segments_of,
    tells_time,
    with_segments,
    with_tags,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """One version of a segment's rule, in which other segments stand by the keys of their members. `told`: it is the
    one that is served, so entering and leaving are told."""

    segment_id: str
    key: str
    number: int
    rule: Rule
    told: bool
    timely: bool
    profiling: bool
    needs: Needs

    @property
    def names(self) -> frozenset[str]:
        """The events it asks about."""
        return frozenset(self.needs)


def key_of(segment_id: str, number: int) -> str:
    """Under what the members of a version are kept on their profiles."""
    return segment_id if number == 1 else f"{segment_id}.{number}"


def versions(rows: Sequence[Mapping[str, Any]], names: TagNames) -> tuple[Version, ...]:
    """Of these segments the live and the draft versions, each after those it asks for, with all names of the tags they
    name. What cannot be read is left out."""
    live = {row["_id"]: row["live"]["key"] for row in rows if row.get("live")}
    latest = live | {row["_id"]: row["draft"]["key"] for row in rows if row.get("draft")}
    found: dict[str, Version] = {}
    for row in rows:
        for name, keys in (("live", live), ("draft", latest)):
            if row.get(name) and (read := _version(row, name, keys, names)) is not None:
                found[read.key] = read
    ordered: dict[str, Version] = {}
    for key in found:
        _after_its_own(key, found, ordered, set())
    return tuple(ordered.values())


def _version(row: Mapping[str, Any], name: str, keys: Mapping[str, str], names: TagNames) -> Version | None:
    stored = row[name]
    try:
        rule = with_tags(with_segments(parse(stored["rule"]), keys), names)
    except WrongInput:
        log.error("the rule of a segment cannot be read", extra={"segment": row["_id"], "version": stored["version"]})
        return None
    return Version(
        row["_id"], stored["key"], stored["version"], rule, name == "live", tells_time(rule), is_profiling(rule),
        event_needs(rule),
    )  # fmt: skip


def _after_its_own(key: str, found: Mapping[str, Version], ordered: dict[str, Version], above: set[str]) -> None:
    if key in ordered or key in above or key not in found:
        return
    for inner in sorted(segments_of(found[key].rule)):
        _after_its_own(inner, found, ordered, above | {key})
    ordered[key] = found[key]


def users_of(segment_id: str, uses: Mapping[str, Iterable[str]]) -> list[str]:
    """All that ask for its members, also through others; inner ones first."""
    result: list[str] = []
    edge = {segment_id}
    for _ in range(len(list(uses))):
        edge = {each for each, inner in uses.items() if set(inner) & edge and each != segment_id}
        result = [each for each in result if each not in edge] + sorted(edge)
    return result


def circle(segment_id: str, uses: Mapping[str, Iterable[str]]) -> list[str] | None:
    """The way from a segment back to itself; None when there is none."""
    ways = [[segment_id]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for inner in sorted(uses.get(way[-1], ())):
            if inner == segment_id:
                return [*way, inner]
            if inner not in seen:
                seen.add(inner)
                ways.append([*way, inner])
    return None
