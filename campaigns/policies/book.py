"""What people do with the rules of the house: read, replace, take the last change back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.errors import Conflict
from base.mongo import Document
from campaigns.policies.gate import HouseRules
from campaigns.policies.models import SendingPolicies, policies_of
from campaigns.policies.stopping import StepBreaker
from campaigns.policies.store import PolicyStore

_CONTENDED = "Somebody else has changed the rules in the meantime. Look at them again."


@dataclass(frozen=True)
class HeldPolicies:
    """The rules with their revision; 0: nobody has saved any."""

    rev: int
    policies: SendingPolicies
    undoable: bool = False
    at: datetime | None = None
    by: str | None = None


class PolicyBook:
    """The use cases."""

    def __init__(self, store: PolicyStore, rules: HouseRules, breaker: StepBreaker) -> None:
        self._store = store
        self._rules = rules
        self.breaker = breaker

    async def get(self) -> HeldPolicies:
        """As saved."""
        return _held(await self._store.get())

    async def save(self, policies: SendingPolicies, rev: int, by: str | None) -> HeldPolicies:
        """Replace them. `rev`: the revision they were read at. Raises `Conflict`."""
        row = await self._store.get()
        if row["rev"] != rev:
            raise Conflict(_CONTENDED)
        before = policies_of(row)
        if policies == before and row["rev"]:
            return _held(row)
        return await self._write(row, policies, _document(before), by)

    async def undo(self, rev: int, by: str | None) -> HeldPolicies:
        """Take the last change back; once. Raises `Conflict`."""
        row = await self._store.get()
        if row["rev"] != rev or row.get("before") is None:
            raise Conflict(_CONTENDED)
        return await self._write(row, SendingPolicies.model_validate(row["before"]), None, by)

    async def _write(self, row: Document, policies: SendingPolicies, before: Any, by: str | None) -> HeldPolicies:
        anew = policies.caps != policies_of(row).caps
        fields = {**_document(policies), "before": before}
        if not await self._store.save(row, fields, by, counts_anew=anew):
            raise Conflict(_CONTENDED)
        self._rules.forget()
        return await self.get()


def _document(policies: SendingPolicies) -> dict[str, Any]:
    """As it stands in the row, and as programs see it."""
    return policies.model_dump(mode="json", by_alias=True)


def _held(row: Document) -> HeldPolicies:
    undoable = row.get("before") is not None
    return HeldPolicies(row["rev"], policies_of(row), undoable, row.get("at"), row.get("by"))
