"""Who names a tag or a segment, as links to where it can be changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from desk.i18n import N_, NN_, Formats
from profiles.uses import Use, UseKind

_WHERE: dict[UseKind, str] = {
    "segment": "/segments/{id}", "journey": "/journeys/{id}", "broadcast": "/broadcasts/{id}",
    "score_rule": "/settings/score", "stage": "/settings/stages",
}  # fmt: skip
_KINDS: dict[UseKind, str] = {
    "segment": N_("Segment"),
    "journey": N_("Journey"),
    "broadcast": N_("Broadcast"),
    "score_rule": N_("Rule of the score"),
    "stage": N_("Stage"),
}
_COUNTED: dict[UseKind, tuple[str, str]] = {
    "segment": NN_("%(num)s segment", "%(num)s segments"), "journey": NN_("%(num)s journey", "%(num)s journeys"),
    "broadcast": NN_("%(num)s broadcast", "%(num)s broadcasts"),
    "score_rule": NN_("%(num)s rule of the score", "%(num)s rules of the score"),
    "stage": NN_("%(num)s stage", "%(num)s stages"),
}  # fmt: skip


@dataclass(frozen=True)
class UseLink:
    """One line."""

    kind: str
    name: str
    href: str


def links(uses: Iterable[Use], formats: Formats) -> list[UseLink]:
    """Each with what it is and where it can be changed."""
    return [UseLink(formats.text(_KINDS[each.kind]), each.name, _WHERE[each.kind].format(id=each.id)) for each in uses]


def counted(uses: Iterable[Use], formats: Formats) -> str:
    """“2 segments, 1 journey”; nothing where nobody names it."""
    kinds = [each.kind for each in uses]
    found = [(kind, kinds.count(kind)) for kind in _COUNTED if kind in kinds]
    return ", ".join(formats.plural(*_COUNTED[kind], count) for kind, count in found)
