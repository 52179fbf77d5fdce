"""What a deployment calls the values of a profile: stages, tiers, roles, consent groups, defined fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from desk.i18n import N_, Formats
from desk.pages.effects import tier_names
from desk.pages.reads import together
from profiles.verdicts import MARKETING

#: Fields whose values are keys of a list of the deployment.
LISTS = frozenset({"stage", "tier", "roles", "purpose"})


@dataclass(frozen=True)
class ValueNames:
    """`labels`: defined field → what it is called; `values`: field → key → what the value is called."""

    labels: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """A field of the deployment as people call it."""
        return self.labels.get(name) or name.replace("_", " ").capitalize()

    def value(self, name: str, value: str) -> str:
        """A value as people call it; one that is in its list no more is made readable, any other stands as it is."""
        said = self.values.get(name, {}).get(value)
        if said is None and name in self.values and name in LISTS:
            return value.replace("_", " ").capitalize()
        return value if said is None else said


async def value_names(runtime: Any, formats: Formats) -> ValueNames:
    """As this reader says them."""
    found = await together(
        agreed=runtime.terms.now(), groups=runtime.consent.groups.all(), tiers=tier_names(runtime, formats)
    )
    agreed, language = found["agreed"], formats.language
    groups = {each.key: each.said(language).name or each.key for each in found["groups"]}
    options = {
        each.key: {one.value: each.option_said(one.value, language) for one in each.options} for each in agreed.fields
    }
    return ValueNames(
        {each.key: each.said(language) for each in agreed.fields},
        {
            **options,
            "stage": {each.key: each.said(language) for each in agreed.stages},
            "reason": {each.key: each.said(language) for each in agreed.reasons},
            "roles": {each.key: each.said(language) for each in agreed.roles},
            "tier": found["tiers"],
            "purpose": {MARKETING: formats.text(N_("All marketing"))} | groups,
        },
    )
