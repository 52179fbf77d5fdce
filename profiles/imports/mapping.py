"""Which column means what: chosen by a person, or guessed from its name and its values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from base.errors import FieldError, WrongInput
from base.ids import is_id, unique_key
from profiles.edit import Tag
from profiles.imports.header_words import FALSE_WORDS, TARGETS, TRUE_WORDS
from profiles.models import Input, is_safe_key
from profiles.normalise import email_address, folded, phone_number
from profiles.sheets.cells import number_in, parted

Existing = Literal["fill", "overwrite", "skip"]
ValueType = Literal["text", "number", "boolean", "date"]
#: Targets that stand for one field of the profile; each at most once.
SINGLE = (
    "profile_id", "customer_id", "name", "first_name", "last_name", "tags", "stage", "tier", "owner", "locale",
    "time_zone", "location", "latitude", "longitude",
)  # fmt: skip
#: Targets that say who somebody is; so does `channel:chn_…`.
IDENTIFYING = ("profile_id", "customer_id", "email", "phone")
#: Targets of which a row may have several.
MANY = ("email", "phone", "ignore")
#: Columns of our own exports that say something no import may change.
READ_ONLY = frozenset({
    "score", "created_at", "updated_at", "last_seen_at", "orders_count", "orders_revenue", "channels",
})  # fmt: skip

_ALREADY = frozenset((*SINGLE, *MANY))
_HAN = re.compile(r"[\u4e00-\u9fff]")
_CONSENT = re.compile(r"consent:([\w.-]{1,60}):(email|phone)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?.*)?", re.ASCII)


class ColumnMapping(Input):
    """What one column means. `type`: how the values of an attribute are read."""

    to: str = Field("ignore", max_length=140)
    type: ValueType = "text"

    @field_validator("to")
    @classmethod
    def _is_target(cls, value: str) -> str:
        if not is_target(value):
            raise ValueError("is nothing that a column can be")
        return value


class ImportOptions(Input):
    """What is to happen. `existing`: what becomes of people we know; `evidence`: how we know of consent; `journeys`:
    whether journeys may begin because of this import."""

    existing: Existing = "fill"
    region: Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")] = ""
    tags: Annotated[list[Tag], Field(max_length=20)] = Field(default_factory=list)
    evidence: str = Field("", max_length=1000)
    verified: bool = False
    journeys: bool = False


class ImportMapping(Input):
    """All of it, as `PUT /imports/{id}/mapping` takes it."""

    columns: Annotated[list[ColumnMapping], Field(min_length=1, max_length=200)]
    options: ImportOptions = Field(default_factory=ImportOptions)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        targets = [each.to for each in self.columns]
        twice = sorted({each for each in targets if each not in MANY and targets.count(each) > 1})
        if twice:
            raise ValueError(f"two columns are {twice[0]}")
        return self


_AT_COLUMNS = [FieldError("columns", "does not fit")]


def checked(mapping: ImportMapping, width: int) -> ImportMapping:
    """The same mapping; raises `WrongInput` when it fits no table of `width` columns or leads to nobody."""
    targets = [each.to for each in mapping.columns]
    if len(targets) != width:
        raise WrongInput("The mapping names another number of columns than the file has.", _AT_COLUMNS)
    if not any(each in IDENTIFYING or each.startswith("channel:") for each in targets):
        raise WrongInput("No column says who somebody is: choose one as e-mail, phone or customer id.", _AT_COLUMNS)
    if ("latitude" in targets) != ("longitude" in targets):
        raise WrongInput("Latitude and longitude belong together.", _AT_COLUMNS)
    if any(_CONSENT.fullmatch(each) for each in targets) and not mapping.options.evidence.strip():
        fault = FieldError("options.evidence", "is needed where a column says who agreed")
        raise WrongInput("Say how these people agreed: it is kept with every yes.", [fault])
    return mapping


def is_target(value: str) -> bool:
    """Whether a column can be that."""
    head, _, key = value.partition(".")
    if head == "attributes":
        return is_safe_key(key)
    return value in _ALREADY or channel_in(value) is not None or consent_in(value) is not None


def channel_in(target: str) -> str | None:
    """The channel whose ids stand in a column `channel:chn_…`."""
    channel_id = target.removeprefix("channel:")
    return channel_id if channel_id != target and is_id(channel_id, "chn") else None


def consent_in(target: str) -> tuple[str, str] | None:
    """(purpose, `email` or `phone`) of a column `consent:newsletter:email`."""
    found = _CONSENT.fullmatch(target)
    return (found[1], found[2]) if found else None


def truth_in(text: str) -> bool | None:
    """Yes, no, or neither."""
    plain = folded(text).strip().replace("-", " ").replace("_", " ")
    return True if plain in TRUE_WORDS else False if plain in FALSE_WORDS else None


def header_key(columns: Sequence[str]) -> str:
    """Under which a mapping is kept: the same columns, in whatever case, get the same mapping again."""
    return unique_key(*(folded(name).strip() for name in columns))


# -- guessing ------------------------------------------------------------------------------------------------------


def guessed(
    columns: Sequence[str], samples: Sequence[Sequence[str]], region: str | None, *, headless: bool = False
) -> list[ColumnMapping]:
    """A mapping to begin with. `samples`: some rows."""
    taken: set[str] = set()
    ours = "id" in columns and any(is_id(_cell(row, list(columns).index("id")), "prf") for row in samples)
    result = []
    for place, name in enumerate(columns):
        values = [text for text in (_cell(row, place) for row in samples) if text]
        target = _guess(name, values, region, ours=ours, headless=headless)
        if target in taken and target not in MANY:
            target = f"attributes.{_slug(name)}" if f"attributes.{_slug(name)}" not in taken else "ignore"
        if not is_target(target):
            target = "ignore"
        taken.add(target)
        result.append(ColumnMapping(to=target, type=_type_of(values) if target.startswith("attributes.") else "text"))
    return result


def guessed_region(columns: Sequence[str]) -> str:
    """`CN` for a list whose header is in Chinese; else empty: somebody has to say it."""
    return "CN" if sum(bool(_HAN.search(name)) for name in columns) * 2 > len(columns) else ""


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _guess(name: str, values: Sequence[str], region: str | None, *, ours: bool, headless: bool) -> str:
    if ours and (name in READ_ONLY or name == "id"):
        return "profile_id" if name == "id" else "ignore"
    if is_target(name):
        return name
    plain = " ".join(re.sub(r"[\W_]+", " ", folded(name)).split())
    if plain in ("id", "uid"):
        return _by_id(plain, values)
    named = None if headless else TARGETS.get(plain) or TARGETS.get(re.sub(r" \d+$", "", plain))
    if named in ("email", "phone"):
        return named
    by_value = _by_value(values, region, plain)
    if headless:
        return by_value or "ignore"
    return named or by_value or f"attributes.{_slug(name)}"


def _by_id(name: str, values: Sequence[str]) -> str:
    if values and all(is_id(each, "prf") for each in values):
        return "profile_id"
    return "customer_id" if name == "id" else "ignore"


def _by_value(values: Sequence[str], region: str | None, name: str) -> str | None:
    if len(values) == 0:
        return None
    if _most(values, lambda each: all(email_address(part) for part in parted(each))):
        return "email"
    telling = [each for each in values if each.startswith(("+", "00"))]
    if len(telling) > len(values) / 2 and _most(values, lambda each: bool(phone_number(each, region))):
        return "phone"
    return None


def _most(values: Sequence[str], holds: Callable[[str], bool]) -> bool:
    return sum(holds(each) for each in values) >= 0.7 * len(values)


def _type_of(values: Sequence[str]) -> ValueType:
    """Of an attribute's values. Numbers with a leading zero are codes, and so is what has more than ten digits."""
    if not values:
        return "text"
    if all(_DATE.fullmatch(each) for each in values):
        return "date"
    if all(truth_in(each) is not None and not each.isdigit() for each in values):
        return "boolean"
    numbers = all(number_in(each) is not None and len(each) <= 10 and not _is_code(each) for each in values)
    return "number" if numbers else "text"


def _is_code(text: str) -> bool:
    return len(text) > 1 and text.startswith("0") and not text.startswith("0.")


def _slug(name: str) -> str:
    plain = re.sub(r"[.$\s]+", "_", name.strip().casefold()).strip("_")[:60]
    return plain if is_safe_key(plain) else f"column_{plain}"[:60]
