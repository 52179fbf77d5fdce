"""What the terms of this deployment are called in the reader's language, and lists to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from desk.i18n import N_, Formats
from profiles.terms import Agreed, RelationKind, said_of

#: `by` of a move that nobody made by hand.
RULES = {"rule:order": N_("by the number of orders"), "rule:segment": N_("by a segment")}


@dataclass(frozen=True)
class Choice:
    """One of a list to choose from."""

    value: str
    label: str


@dataclass(frozen=True)
class Words:
    """The lists, and how the reader says them."""

    agreed: Agreed
    language: str

    def stage(self, key: str | None) -> str:
        """The name of a stage, also of one that is in the list no more."""
        return said_of(self.agreed.stages, key, self.language)

    def reason(self, said: str | None) -> str:
        """A reason: by its name when it is one of the list, else as it was said."""
        found = next((each for each in self.agreed.reasons if each.key == said), None)
        return found.said(self.language) if found else said or ""

    def role(self, key: str) -> str:
        """The name of a role."""
        return said_of(self.agreed.roles, key, self.language)

    def relation(self, key: str, way: str) -> str:
        """The name of a relation as it reads from one side."""
        kind = self.agreed.relation(key)
        if kind is None:
            return key.replace("_", " ").capitalize()
        return kind.said(self.language) if way == "forth" else kind.said_back(self.language)

    @property
    def stages(self) -> list[Choice]:
        """The stages in order."""
        return [Choice(each.key, each.said(self.language)) for each in self.agreed.stages]

    @property
    def reasons(self) -> list[Choice]:
        """The reasons of loss."""
        return [Choice(each.key, each.said(self.language)) for each in self.agreed.reasons]

    @property
    def asking(self) -> frozenset[str]:
        """Stages that ask for a reason."""
        return frozenset(each.key for each in self.agreed.stages if each.asks_reason)

    @property
    def relations(self) -> list[Choice]:
        """Every kind from both sides, `kind:way` each; one that reads the same both ways once."""
        found = []
        for kind in self.agreed.relations:
            found += [Choice(f"{kind.key}:{way}", self.relation(kind.key, way)) for way in _ways(kind)]
        return found


def _ways(kind: RelationKind) -> tuple[str, ...]:
    return ("forth",) if kind.mutual else ("forth", "back")


async def words(runtime: Any, formats: Formats) -> Words:
    """As this reader says them."""
    return Words(await runtime.terms.now(), formats.language)
