"""Consent groups: what people can say yes and no to, in their own language, with the wording they said it to.

The key of a group is the purpose in the ledger and in journeys. `default`: `opt_in` sends nothing without a yes,
`opt_out` sends until somebody says no. A changed wording gets a new version, so that every act knows its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from profiles.models import Input, Moment, Stored
from profiles.naming import free_key
from profiles.store.consent_groups import ConsentGroupStore
from profiles.verdicts import SERVICE

Default = Literal["opt_in", "opt_out"]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(max_length=2000)]
LocaleCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5


class GroupWords(Input):
    """What a group is called in a further language. What is empty is said in the main one."""

    name: Title | None = None
    description: Words = ""
    wording: Words = ""


class GroupInput(Input):
    """A group as it is made. `wording`: the sentence people agree to; `key` stays for ever, and is made from the name
    where none is given."""

    key: Key | None = None
    name: Title
    description: Words = ""
    wording: Words = ""
    default: Default = Field("opt_in", description="`opt_in`: nothing is sent without a yes; `opt_out`: until a no.")
    double_opt_in: bool = Field(False, description="A yes by form, staff or program counts when it was confirmed.")
    locales: dict[LocaleCode, GroupWords] = Field(default_factory=dict, max_length=60)
    position: int = Field(0, ge=0, le=10_000)


class ConsentGroup(Stored):
    """A group as it stands."""

    id: str = Field(alias="_id")
    key: str
    name: str
    description: str = ""
    wording: str = ""
    wording_version: int = 1
    default: Default = "opt_in"
    double_opt_in: bool = False
    locales: dict[str, GroupWords] = Field(default_factory=dict)
    position: int = 0
    archived_at: Moment | None = None
    created_at: Moment
    updated_at: Moment
    rev: int = 1

    def said(self, language: str | None) -> GroupWords:
        """Name, description and wording in this language, else in the main one."""
        own = self.locales.get(_closest(language, self.locales)) or GroupWords()
        return GroupWords(
            name=own.name or self.name, description=own.description or self.description,
            wording=own.wording or self.wording,
        )  # fmt: skip


def _closest(language: str | None, known: Mapping[str, Any]) -> str:
    wanted = (language or "").replace("-", "_").casefold()
    folded = {each.replace("-", "_").casefold(): each for each in known}
    if wanted in folded:
        return folded[wanted]
    head = wanted.partition("_")[0]
    return next((each for code, each in folded.items() if head and code.partition("_")[0] == head), "")


class ConsentGroups:
    """The use cases."""

    def __init__(self, store: ConsentGroupStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def all(self) -> list[ConsentGroup]:
        """Those that stand, in the order in which people see them."""
        return [ConsentGroup.model_validate(row) for row in await self._store.all()]

    async def get(self, group_id: str) -> ConsentGroup:
        """One that stands. Raises `NotFound`."""
        row = await self._store.get(group_id)
        if row is None or row["archived_at"] is not None:
            raise NotFound("There is no such consent group.")
        return ConsentGroup.model_validate(row)

    async def of(self, purpose: str) -> ConsentGroup | None:
        """The group behind a purpose, also one that was taken away: what was promised in its name still counts."""
        row = await self._store.by_key(purpose)
        return ConsentGroup.model_validate(row) if row else None

    async def create(self, wanted: GroupInput) -> ConsentGroup:
        """A new group. A key that was used before comes back to life. Raises `WrongInput`, `Conflict`."""
        _require_sense(wanted)
        for _ in range(ROUNDS):
            key = wanted.key or await self._key_for(wanted.name)
            try:
                return await self._created(wanted.model_copy(update={"key": key}), key)
            except Conflict:
                if wanted.key:
                    raise
        raise Conflict("Consent groups are being made too often just now.", code="contended")

    async def _key_for(self, name: str) -> str:
        return free_key(name, *await self.keys(), otherwise="group")

    async def keys(self) -> tuple[set[str], set[str]]:
        """Keys that no new group may have, and all there ever were."""
        return {row["key"] for row in await self._store.all()} | SERVICE, await self._store.keys()

    async def _created(self, wanted: GroupInput, key: str) -> ConsentGroup:
        now = self._clock()
        row: Document = {
            "_id": new_id("cgr"), **wanted.model_dump(mode="json"), "wording_version": 1, "archived_at": None,
            "created_at": now, "updated_at": now, "rev": 1,
        }  # fmt: skip
        try:
            await self._store.insert(row)
            return ConsentGroup.model_validate(row)
        except DuplicateKeyError:
            return await self._revived(wanted, key)

    async def change(self, group_id: str, fields: Mapping[str, Any]) -> ConsentGroup:
        """Change what is given. Raises `NotFound`, `WrongInput`, `Conflict`."""
        for _ in range(ROUNDS):
            known = await self.get(group_id)
            saved = await self._saved(known, fields)
            if saved is not None:
                return saved
        raise Conflict("This consent group is being changed too often just now.", code="contended")

    async def archive(self, group_id: str) -> None:
        """Take it off the pages. Its ledger stays, and so does its default. Raises `NotFound`."""
        for _ in range(ROUNDS):
            known = await self.get(group_id)
            if await self._store.change(known.id, known.rev, {"archived_at": self._clock()}) is not None:
                return
        raise Conflict("This consent group is being changed too often just now.", code="contended")

    async def restore(self, group_id: str) -> ConsentGroup:
        """Put one that was taken away back. Raises `NotFound`, `Conflict`."""
        row = await self._store.get(group_id)
        if row is None:
            raise NotFound("There is no such consent group.")
        saved = await self._store.change(group_id, row["rev"], {"archived_at": None})
        if saved is None:
            raise Conflict("This consent group is being changed too often just now.", code="contended")
        return ConsentGroup.model_validate(saved)

    async def _revived(self, wanted: GroupInput, key: str) -> ConsentGroup:
        known = await self.of(key)
        if known is None or known.archived_at is None:
            raise Conflict(f"There is a consent group {key} already.", code="key_taken")
        saved = await self._saved(known, {**wanted.model_dump(exclude={"key"}), "archived_at": None})
        if saved is None:
            raise Conflict("This consent group is being changed too often just now.", code="contended")
        return saved

    async def _saved(self, known: ConsentGroup, fields: Mapping[str, Any]) -> ConsentGroup | None:
        shown = known.model_dump(include=set(GroupInput.model_fields))
        merged = _checked({**shown, **{name: each for name, each in fields.items() if name in GroupInput.model_fields}})
        change: Document = {**merged.model_dump(mode="json"), "updated_at": self._clock()}
        if "archived_at" in fields:
            change["archived_at"] = fields["archived_at"]
        if _wordings(merged.wording, merged.locales) != _wordings(known.wording, known.locales):
            change["wording_version"] = known.wording_version + 1
        row = await self._store.change(known.id, known.rev, change)
        return ConsentGroup.model_validate(row) if row else None


def _wordings(main: str, locales: Mapping[str, GroupWords]) -> dict[str, str]:
    return {"": main, **{code: each.wording for code, each in locales.items() if each.wording}}


def _checked(fields: Mapping[str, Any]) -> GroupInput:
    try:
        wanted = GroupInput.model_validate(fields)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("The consent group has faults.", faults) from None
    _require_sense(wanted)
    return wanted


def _require_sense(wanted: GroupInput) -> None:
    if wanted.key in SERVICE:
        fault = FieldError("key", "Service messages need no consent; choose another key.")
        raise WrongInput(fault.message, [fault])
    if wanted.double_opt_in and wanted.default == "opt_out":
        fault = FieldError("double_opt_in", "A double opt-in makes sense only where nothing is sent without a yes.")
        raise WrongInput(fault.message, [fault])


def spoken(group: ConsentGroup | None, language: str | None) -> tuple[str | None, int | None]:
    """The wording somebody agrees to in this language, and its version."""
    if group is None:
        return None, None
    return group.said(language).wording or None, group.wording_version
