"""What a deployment has agreed on: its stages with their order, reasons of loss, roles, kinds of relation, fields.

Each list has defaults and is saved whole. A term's `key` is what profiles, rules and journeys hold; its names are said
to people, in their language. Who holds a key that is in no list any more keeps it: nothing on a profile is touched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from base.clock import Clock
from base.errors import Conflict, FieldError, WrongInput
from base.mongo import Database
from profiles.custom_fields import CustomField
from profiles.models import STAGE_FIRST, Input
from profiles.segments.tag_names import TagNames
from profiles.store.terms import TAG_NAMES, TermStore, tag_names

Key = Annotated[str, StringConstraints(pattern=r"^[\w][\w .\-]{0,63}$")]
TermName = Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
LocaleCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
Names = Annotated[dict[LocaleCode, TermName], Field(min_length=1, max_length=60)]
ListName = Literal["stages", "reasons", "roles", "relations"]
MOST = 50
#: The main language of names.
MAIN = "en"
#: Seconds for which what was read is taken to be so; who saves sees it at once.
FRESH_S = 2.0


def named(names: Mapping[str, str], language: str | None, key: str) -> str:
    """The name in this language, else in a near one, else the main one, else any, else the key itself."""
    wanted = (language or MAIN).replace("-", "_")
    head = wanted.partition("_")[0]
    near = next((name for code, name in names.items() if code.partition("_")[0] == head), None)
    return names.get(wanted) or near or names.get(MAIN) or next(iter(names.values()), key)


class Term(Input):
    """One word of a list."""

    key: Key
    names: Names

    def said(self, language: str | None) -> str:
        """Its name in this language."""
        return named(self.names, language, self.key)


class Stage(Term):
    """A step of the way. `orders`: who comes to have so many orders moves here; `segment_id`: so does who enters it.

    Moved by themselves people go forward only; with `back` also from a later stage (a lapsed customer who buys again).
    """

    asks_reason: bool = False
    orders: int | None = Field(None, ge=1, le=1000)
    segment_id: Annotated[str, StringConstraints(pattern=r"^seg_[0-9a-z]{26}$")] | None = None
    back: bool = False


class RelationKind(Term):
    """Read from either side: Anna is `names` (mother of) Ben, Ben is `back_names` (child of) Anna."""

    back_names: Names

    def said_back(self, language: str | None) -> str:
        """Its name from the other side."""
        return named(self.back_names, language, self.key)

    @property
    def mutual(self) -> bool:
        """Whether it reads the same from both sides."""
        return dict(self.names) == dict(self.back_names)


class StageList(Input):
    """The way, in order."""

    entries: Annotated[list[Stage], Field(min_length=1, max_length=MOST)]

    @model_validator(mode="after")
    def _sense(self) -> StageList:
        _once(self.entries)
        if self.entries[0].key != STAGE_FIRST:
            raise ValueError(
                f"the first stage is {STAGE_FIRST!r}, in which everybody begins; its name is yours to choose"
            )
        return self


class TermList(Input):
    """Reasons or roles."""

    entries: Annotated[list[Term], Field(max_length=MOST)]

    @model_validator(mode="after")
    def _sense(self) -> TermList:
        _once(self.entries)
        return self


class RelationList(Input):
    """Kinds of relation."""

    entries: Annotated[list[RelationKind], Field(max_length=MOST)]

    @model_validator(mode="after")
    def _sense(self) -> RelationList:
        _once(self.entries)
        return self


def _once(entries: Sequence[Term]) -> None:
    keys = [each.key for each in entries]
    double = next((key for key in keys if keys.count(key) > 1), None)
    if double is not None:
        raise ValueError(f"{double!r} is there twice")


_MODELS: Mapping[str, type[StageList] | type[TermList] | type[RelationList]] = {
    "stages": StageList, "reasons": TermList, "roles": TermList, "relations": RelationList,
}  # fmt: skip


def _term(key: str, english: str, chinese: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "names": {"en": english, "zh_CN": chinese}, **more}


def _kind(key: str, forth: tuple[str, str], back: tuple[str, str]) -> dict[str, Any]:
    return {**_term(key, *forth), "back_names": {"en": back[0], "zh_CN": back[1]}}


DEFAULTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "stages": (
        _term("new", "New", "新客"),
        _term("lead", "Lead", "潜在客户"),
        _term("customer", "First order", "首单客户"),
        _term("repeat", "Repeat customer", "复购客户"),
        _term("lapsed", "Lapsed", "沉睡客户"),
        _term("lost", "Lost", "已流失", asks_reason=True),
    ),
    "reasons": (
        _term("price", "Too expensive", "价格太高"),
        _term("competitor", "Went to a competitor", "选择了竞品"),
        _term("no_need", "No need any more", "不再需要"),
        _term("quality", "Unhappy with the product", "对产品不满意"),
        _term("service", "Unhappy with the service", "对服务不满意"),
        _term("no_answer", "Does not answer", "无法联系上"),
    ),
    "roles": (
        _term("buyer", "Buyer", "购买者"),
        _term("user", "User", "使用者"),
        _term("prospect", "Prospect", "意向客户"),
        _term("agent", "Agent", "代理商"),
        _term("supplier", "Supplier", "供应商"),
        _term("non_buyer", "Non-buyer", "非购买者"),
    ),
    "relations": (
        _kind("parent", ("Parent of", "父母（对方是子女）"), ("Child of", "子女（对方是父母）")),
        _kind("partner", ("Partner of", "伴侣"), ("Partner of", "伴侣")),
        _kind("works_at", ("Works at", "就职于"), ("Employs", "雇用")),
        _kind("referred_by", ("Referred by", "推荐人是"), ("Referred", "推荐了")),
        _kind("buys_for", ("Buys for", "代为购买"), ("Supplied by", "由其代购")),
    ),
}


@dataclass(frozen=True)
class Agreed:
    """All lists as they stand. `revs`: revision of each, 0 while it is the default."""

    stages: tuple[Stage, ...]
    reasons: tuple[Term, ...]
    roles: tuple[Term, ...]
    relations: tuple[RelationKind, ...]
    fields: tuple[CustomField, ...] = ()
    revs: Mapping[str, int] = field(default_factory=dict)
    #: What tags were called before: who writes an old name means the tag as it is called now.
    tags: TagNames = field(default_factory=TagNames)

    def stage(self, key: str | None) -> Stage | None:
        """The stage of that key."""
        return next((each for each in self.stages if each.key == key), None)

    def place(self, key: str | None) -> int:
        """How far along the way a stage is; -1 for one that is in the list no more."""
        return next((i for i, each in enumerate(self.stages) if each.key == key), -1)

    def reason(self, said: str | None) -> str | None:
        """The key of a reason of the list, by key or any of its names; other words stay as they are."""
        text = " ".join((said or "").split())
        for each in self.reasons:
            if text.casefold() in (each.key.casefold(), *(name.casefold() for name in each.names.values())):
                return each.key
        return text or None

    def relation(self, key: str) -> RelationKind | None:
        """The kind of that key."""
        return next((each for each in self.relations if each.key == key), None)

    def field(self, key: str) -> CustomField | None:
        """The definition of the attribute of that key."""
        return next((each for each in self.fields if each.key == key), None)


def said_of(terms: Sequence[Term], key: str | None, language: str | None) -> str:
    """The name of a key in this language; of one that is in no list, the key as it reads best."""
    found = next((each for each in terms if each.key == key), None)
    return found.said(language) if found else str(key or "").replace("_", " ").capitalize()


class Terms:
    """Reads the lists, briefly remembered, and saves them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._store = TermStore(database)
        self._clock = clock
        self._known: tuple[float, Agreed] | None = None

    async def now(self, *, fresh: bool = False) -> Agreed:
        """What is agreed on; at most two seconds old, or read now."""
        if not fresh and self._known is not None and time.monotonic() - self._known[0] < FRESH_S:
            return self._known[1]
        rows, fields = await self._store.lists(), await self._store.fields()
        entries = {name: rows[name]["entries"] if name in rows else DEFAULTS[name] for name in DEFAULTS}
        agreed = Agreed(
            stages=tuple(Stage.model_validate(each) for each in entries["stages"]),
            reasons=tuple(Term.model_validate(each) for each in entries["reasons"]),
            roles=tuple(Term.model_validate(each) for each in entries["roles"]),
            relations=tuple(RelationKind.model_validate(each) for each in entries["relations"]),
            fields=tuple(CustomField.model_validate(row) for row in fields),
            revs={name: rows[name]["rev"] if name in rows else 0 for name in DEFAULTS},
            tags=tag_names(rows.get(TAG_NAMES)),
        )
        self._known = (time.monotonic(), agreed)
        return agreed

    def forget(self) -> None:
        """Something was saved: read anew."""
        self._known = None

    async def save(self, name: ListName, rev: int, entries: Sequence[Mapping[str, Any]], *, by: str | None) -> Agreed:
        """Put the list as it is to be. Raises `WrongInput`; `Conflict` when somebody saved since `rev`."""
        try:
            checked = _MODELS[name].model_validate({"entries": [dict(each) for each in entries]})
        except ValidationError as error:
            faults = [FieldError(".".join(map(str, each["loc"])) or "entries", each["msg"]) for each in error.errors()]
            raise WrongInput("This list has faults.", faults) from None
        rows = [each.model_dump(mode="json") for each in checked.entries]
        if not await self._store.save_list(name, rev, rows, by=by, at=self._clock()):
            raise Conflict("Somebody else saved this list meanwhile. Look at it again.", code="stale")
        self.forget()
        return await self.now(fresh=True)
