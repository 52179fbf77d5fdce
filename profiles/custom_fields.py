"""Custom fields: what kind of value an attribute of a profile holds, what it is called, where it is shown.

A definition rules what is written from then on; it changes no profile. Attributes without one stay free.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError
from profiles.models import Input, Moment, Stored, is_safe_key
from profiles.naming import free_key
from profiles.store.terms import TermStore

FieldType = Literal["text", "long_text", "number", "boolean", "date", "choice", "choices", "rating", "url", "file"]
TYPES: tuple[FieldType, ...] = get_args(FieldType)
Place = Literal["profile", "inbox", "list"]
#: Types that have options.
CHOOSING = frozenset({"choice", "choices"})
RATING_MAX, TEXT_MAX, LONG_MAX = 5, 300, 2000
ROUNDS = 5


def _safe(key: str) -> str:
    if not is_safe_key(key):
        raise ValueError("1 to 64 characters, no dot, no $, not only digits")
    return key


FieldKey = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True), AfterValidator(_safe)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
LocaleCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
Labels = Annotated[dict[LocaleCode, Label], Field(min_length=1, max_length=60)]


class Option(Input):
    """One of the values to choose from."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]
    labels: Annotated[dict[LocaleCode, Label], Field(max_length=60)] = Field(default_factory=dict)


def _on_the_profile() -> list[Place]:
    return ["profile"]


class FieldInput(Input):
    """A definition as it is made; without a `key` one is made from its name. `personal`: it tells something private,
    and is left out where people are counted."""

    key: FieldKey | None = None
    labels: Labels
    type: FieldType = "text"
    options: Annotated[list[Option], Field(max_length=200)] = Field(default_factory=list)
    required: bool = False
    personal: bool = False
    shown: Annotated[list[Place], Field(max_length=3)] = Field(default_factory=_on_the_profile)
    position: int = Field(0, ge=0, le=10_000)


class CustomField(Stored):
    """A definition as it stands."""

    id: str = Field(alias="_id")
    key: str
    labels: dict[str, str]
    type: FieldType = "text"
    options: list[Option] = Field(default_factory=list)
    required: bool = False
    personal: bool = False
    shown: list[str] = Field(default_factory=list)
    position: int = 0
    archived_at: Moment | None = None
    created_at: Moment
    updated_at: Moment
    rev: int = 1

    def said(self, language: str | None) -> str:
        """What it is called in this language."""
        return _said(self.labels, language, self.key.replace("_", " ").capitalize())

    def option_said(self, value: str, language: str | None) -> str:
        """What a value is called."""
        found = next((each for each in self.options if each.value == value), None)
        return _said(found.labels, language, value) if found else value


def _said(labels: Mapping[str, str], language: str | None, otherwise: str) -> str:
    wanted = (language or "en").replace("-", "_")
    head = wanted.partition("_")[0]
    near = next((label for code, label in labels.items() if code.partition("_")[0] == head), None)
    return labels.get(wanted) or near or labels.get("en") or next(iter(labels.values()), otherwise)


# -- values --------------------------------------------------------------------------------------------------------


def checked_value(definition: CustomField, value: Any) -> Any:
    """The value as it is stored; None empties it. Raises ValueError with a sentence for one of another type. Pure."""
    return None if value is None else _CHECKS[definition.type](definition, value)


def coerced_value(definition: CustomField, value: Any) -> Any:
    """The same for what channels and shops say, where everything may be a text: `"42"` is a number. Raises the same."""
    if isinstance(value, str):
        text = value.strip()
        if definition.type in ("number", "rating"):
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            value = int(number) if math.isfinite(number) and number == int(number) else number
        elif definition.type == "boolean":
            value = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
                text.casefold(), value
            )
        elif definition.type == "choices":
            value = [part.strip() for part in re.split(r"[,;，；]", text) if part.strip()]
        elif not text:
            return None
    elif definition.type in ("text", "long_text") and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return checked_value(definition, value)


def _text(definition: CustomField, value: Any) -> str:
    most = LONG_MAX if definition.type == "long_text" else TEXT_MAX
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"is a text of at most {most} characters")
    return value


def _number(definition: CustomField, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("is a number")
    return value


def _boolean(definition: CustomField, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def _date(definition: CustomField, value: Any) -> datetime:
    """Kept as a time (midnight UTC), so that rules can reckon with it."""
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ValueError("is a date such as 2026-11-28")


def _choice(definition: CustomField, value: Any) -> str:
    known = [each.value for each in definition.options]
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"is one of {', '.join(known)}")
    return value


def _choices(definition: CustomField, value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        raise ValueError("is a list of values to choose from")
    return list(dict.fromkeys(_choice(definition, each) for each in value))


def _rating(definition: CustomField, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= RATING_MAX:
        raise ValueError(f"is a whole number from 1 to {RATING_MAX}")
    return value


def _url(definition: CustomField, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONG_MAX or not re.fullmatch(r"https?://[^\s<>\"]+", value):
        raise ValueError("is an address that begins with https:// or http://")
    return value


def _file(definition: CustomField, value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"fil_[0-9a-z]{26}", value):
        return value
    return _url(definition, value)


_CHECKS: Mapping[str, Callable[[CustomField, Any], Any]] = {
    "text": _text, "long_text": _text, "number": _number, "boolean": _boolean, "date": _date, "choice": _choice,
    "choices": _choices, "rating": _rating, "url": _url, "file": _file,
}  # fmt: skip


def fitted(
    fields: Sequence[CustomField], attributes: Mapping[str, Any], *, strict: bool
) -> tuple[dict[str, Any], list[FieldError]]:
    """Attributes as they are to be stored, and the faults with their paths. Pure.

    Not `strict`: what can be read as the right type is, and what cannot is left out.
    """
    by_key = {each.key: each for each in fields}
    result: dict[str, Any] = {}
    faults = []
    for key, value in attributes.items():
        definition = by_key.get(key)
        if definition is None:
            result[key] = value
            continue
        try:
            result[key] = checked_value(definition, value) if strict else coerced_value(definition, value)
        except ValueError as error:
            faults.append(FieldError(f"attributes.{key}", str(error)))
    return result, faults


# -- for builders of rules -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RuleField:
    """A field to build rules with. `options`: (value, what it is called)."""

    name: str
    label: str
    type: FieldType
    options: tuple[tuple[str, str], ...] = ()
    personal: bool = False


def catalogue(fields: Sequence[CustomField], language: str | None) -> list[RuleField]:
    """The defined fields as the rule language names them, in their order. Pure."""
    return [
        RuleField(
            f"attributes.{each.key}", each.said(language), each.type,
            tuple((option.value, each.option_said(option.value, language)) for option in each.options), each.personal,
        )
        for each in fields
    ]  # fmt: skip


# -- use cases -----------------------------------------------------------------------------------------------------


class CustomFields:
    """Makes, changes, orders and takes away definitions."""

    def __init__(self, database: Database, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after each write."""
        self._store = TermStore(database)
        self._clock = clock
        self._changed = changed

    async def all(self) -> list[CustomField]:
        """Those that stand, in their order."""
        return [CustomField.model_validate(row) for row in await self._store.fields()]

    async def get(self, field_id: str) -> CustomField:
        """One that stands. Raises `NotFound`."""
        row = await self._store.field(field_id)
        if row is None or row["archived_at"] is not None:
            raise NotFound("There is no such field.")
        return CustomField.model_validate(row)

    async def create(self, wanted: FieldInput) -> CustomField:
        """A new definition, last in order unless said otherwise. One that was taken away comes back to life under its
        key. Raises `WrongInput`, `Conflict`."""
        _require_sense(wanted)
        for _ in range(ROUNDS):
            key = wanted.key or await self._key_for(wanted.labels)
            try:
                return await self._created(wanted.model_copy(update={"key": key}), key)
            except Conflict:
                if wanted.key:
                    raise
        raise Conflict("Fields are being made too often just now.", code="contended")

    async def _key_for(self, labels: Mapping[str, str]) -> str:
        """Of the English name where there is one: programs read English."""
        name = labels.get("en") or next(iter(labels.values()), "")
        return free_key(name, *await self.keys(), otherwise="field")

    async def keys(self) -> tuple[set[str], set[str]]:
        """Keys that stand, and all there ever were."""
        return {row["key"] for row in await self._store.fields()}, await self._store.field_keys()

    async def _created(self, wanted: FieldInput, key: str) -> CustomField:
        now, standing = self._clock(), await self._store.fields()
        if len(standing) >= 200:
            raise WrongInput("There are 200 fields already.", [FieldError("key", "there are 200 fields already")])
        position = wanted.position or max((row["position"] for row in standing), default=0) + 1
        values: Document = {
            **wanted.model_dump(mode="json"), "position": position, "archived_at": None, "updated_at": now,
        }  # fmt: skip
        row: Document = {"_id": new_id("fld"), **values, "created_at": now, "rev": 1}
        try:
            await self._store.add_field(row)
        except DuplicateKeyError:
            known = await self._store.field_by_key(key)
            revived = None
            if known is not None and known["archived_at"] is not None:
                revived = await self._store.change_field(known["_id"], known["rev"], values)
            if revived is None:
                raise Conflict(f"There is a field {key} already.", code="key_taken") from None
            row = revived
        self._changed()
        return CustomField.model_validate(row)

    async def change(self, field_id: str, given: Mapping[str, Any]) -> CustomField:
        """Change what is given; the key stays. Raises `NotFound`, `WrongInput`, `Conflict`."""
        for _ in range(ROUNDS):
            known = await self.get(field_id)
            shown = known.model_dump(include=set(FieldInput.model_fields))
            named = {name: value for name, value in given.items() if name in FieldInput.model_fields and name != "key"}
            wanted = _checked({**shown, **named})
            saved = await self._store.change_field(
                known.id, known.rev, {**wanted.model_dump(mode="json"), "updated_at": self._clock()}
            )
            if saved is not None:
                self._changed()
                return CustomField.model_validate(saved)
        raise Conflict("This field is being changed too often just now.", code="contended")

    async def move(self, field_id: str, up: bool) -> None:
        """One place up or down. Raises `NotFound`."""
        fields = await self.all()
        place = next((i for i, each in enumerate(fields) if each.id == field_id), None)
        if place is None:
            raise NotFound("There is no such field.")
        other = place - 1 if up else place + 1
        if 0 <= other < len(fields):
            fields[place], fields[other] = fields[other], fields[place]
        for i, each in enumerate(fields, 1):
            if each.position != i:
                await self._store.change_field(each.id, each.rev, {"position": i})
        self._changed()

    async def archive(self, field_id: str) -> None:
        """Take the definition away. Values on profiles stay, free from then on. Raises `NotFound`, `Conflict`."""
        await self._put(await self.get(field_id), self._clock())

    async def restore(self, field_id: str) -> CustomField:
        """Put one that was taken away back. Raises `NotFound`, `Conflict`."""
        row = await self._store.field(field_id)
        if row is None:
            raise NotFound("There is no such field.")
        return await self._put(CustomField.model_validate(row), None)

    async def _put(self, known: CustomField, archived_at: datetime | None) -> CustomField:
        saved = await self._store.change_field(known.id, known.rev, {"archived_at": archived_at})
        if saved is None:
            raise Conflict("This field is being changed too often just now.", code="contended")
        self._changed()
        return CustomField.model_validate(saved)


def _checked(values: Mapping[str, Any]) -> FieldInput:
    try:
        wanted = FieldInput.model_validate(values)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("The field has faults.", faults) from None
    _require_sense(wanted)
    return wanted


def _require_sense(wanted: FieldInput) -> None:
    values = [each.value for each in wanted.options]
    if wanted.type in CHOOSING and not values:
        raise WrongInput("A field to choose from needs options.", [FieldError("options", "needs at least one")])
    if len(set(values)) < len(values):
        raise WrongInput("An option is there twice.", [FieldError("options", "each value once")])
