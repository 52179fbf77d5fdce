"""The use cases of rules: writing them down, their order, switching them on and off."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from campaigns.automation.checking import Checking
from campaigns.automation.models import RuleInput, TimedStart, faults_of
from campaigns.automation.store.rules import RuleStore
from inbox.hours.book import BusinessHours

log = logging.getLogger(__name__)

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5
#: As many rules are asked in turn.
RULES_MAX = 100
MISSING = "There is no such rule."


@dataclass(frozen=True)
class StandingRule:
    """A rule as it stands. `reach`: the channels it may act on, None: all; `ran`: how often it fitted;
    `paused_why`: why it was switched off by itself."""

    id: str
    written: RuleInput
    made_by: str | None
    reach: tuple[str, ...] | None
    ran: int
    ran_at: datetime | None
    paused_why: str
    rev: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Maker:
    """Who writes a rule. `channels` None: may see all."""

    id: str
    channels: Collection[str] | None = None


class AutomationRules:
    """Writes them down. `campaigns.automation.running` asks them."""

    def __init__(self, store: RuleStore, checking: Checking, hours: BusinessHours) -> None:
        self._store = store
        self._checking = checking
        self._hours = hours

    async def all(self) -> list[StandingRule]:
        """Those that stand, the first to be asked first; what this version does not understand is left out."""
        found = []
        for row in await self._store.all():
            try:
                found.append(_standing(row))
            except ValidationError:
                log.error("a rule cannot be read", extra={"rule": row["_id"]})
        return found

    async def get(self, rule_id: str) -> StandingRule:
        """Raises `NotFound`."""
        return _standing(await self.row(rule_id))

    async def row(self, rule_id: str) -> Document:
        """As it is kept. Raises `NotFound`."""
        row = await self._store.get(rule_id)
        if row is None:
            raise NotFound(MISSING)
        return row

    async def create(self, wanted: RuleInput, by: Maker) -> StandingRule:
        """A new one, asked after all others. Raises `Conflict` when the name is taken, `WrongInput` with paths when
        it names what is not there, or there are too many."""
        if len(await self._store.all()) >= RULES_MAX:
            raise WrongInput(f"There are {RULES_MAX} rules already; take one away first.")
        await self._checked(wanted, by)
        try:
            return _standing(await self._store.add(new_id("arl"), {**wanted.kept(), **_signed(by)}))
        except DuplicateKeyError:
            raise _taken() from None

    async def change(self, rule_id: str, given: Mapping[str, Any], by: Maker) -> StandingRule:
        """Replace the parts given; from then on it reaches what its changer sees. Raises as `create`, `NotFound`."""
        for _ in range(ROUNDS):
            known = await self.get(rule_id)
            wanted = read_rule({**known.written.kept(), **given})
            await self._checked(wanted, by)
            fields = {**wanted.kept(), **_signed(by)}
            anew = wanted.active and (not known.written.active or wanted.on != known.written.on)
            try:
                row = await self._store.change(rule_id, known.rev, fields, anew=anew)
            except DuplicateKeyError:
                raise _taken() from None
            if row is not None:
                return _standing(row)
        raise Conflict("This rule is being changed too often just now.", code="contended")

    async def order(self, ids: Sequence[str]) -> list[StandingRule]:
        """Ask them in this order. Raises `WrongInput` unless it names each of them once."""
        if sorted(ids) != sorted(row["_id"] for row in await self._store.all()):
            raise WrongInput("These are not all rules.", [FieldError("ids", "name each rule that stands once")])
        await self._store.order(ids)
        return await self.all()

    async def remove(self, rule_id: str) -> None:
        """Take it away; for 30 days it can be put back. Raises `NotFound`."""
        if not await self._store.remove(rule_id):
            raise NotFound(MISSING)

    async def restore(self, rule_id: str) -> StandingRule:
        """Put it back; nothing is done to one that stands. Raises `NotFound`, `Conflict`."""
        try:
            await self._store.restore(rule_id)
        except DuplicateKeyError:
            raise _taken() from None
        return await self.get(rule_id)

    async def _checked(self, wanted: RuleInput, by: Maker) -> None:
        await self._checking.channels(wanted.channel_ids)
        await self._checking.actions(wanted.actions, by.id)
        if isinstance(wanted.on, TimedStart) and wanted.on.hours_id is not None:
            try:
                await self._hours.get(wanted.on.hours_id)
            except NotFound:
                fault = FieldError("on.hours_id", "names hours that are not there")
                raise WrongInput("There are no such business hours.", [fault]) from None


def read_rule(fields: Mapping[str, Any]) -> RuleInput:
    """Raises `WrongInput` with paths."""
    try:
        return RuleInput.model_validate(dict(fields))
    except ValidationError as error:
        raise WrongInput("The rule has faults.", faults_of(error)) from None


def rule_input(row: Document) -> RuleInput:
    """A kept rule, read. Raises `ValidationError` for what this version does not understand."""
    return RuleInput.model_validate({name: row[name] for name in RuleInput.model_fields if name in row})


def _standing(row: Document) -> StandingRule:
    reach = row["reach"]
    return StandingRule(
        row["_id"], rule_input(row), row["made_by"], None if reach is None else tuple(reach), row["ran"],
        row["ran_at"], row.get("paused_why") or "", row["rev"], row["created_at"], row["updated_at"],
    )  # fmt: skip


def _signed(by: Maker) -> Document:
    return {"made_by": by.id, "reach": None if by.channels is None else sorted(by.channels)}


def _taken() -> Conflict:
    return Conflict("There is a rule with this name already.", code="name_taken")
