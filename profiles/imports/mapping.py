"""Which column means what: chosen by a person, or guessed from its name and its values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from base.errors import FieldError, WrongInput
from base.ids import is_id, unique_key
from profiles.edit import Tag
from profiles.imports.header_words import FALSE_WORDS, FAMILIES, TARGETS, TRUE_WORDS, address_part, meaning_of
from profiles.models import Input, is_safe_key
from profiles.normalise import email_address, folded, phone_number
from profiles.sheets.cells import number_in, parted
from profiles.sheets.headings import ID_HEADINGS, OURS, plain_heading

Existing = Literal["fill", "overwrite", "skip"]
ValueType = Literal["text", "number", "boolean", "date"]
#: Targets that stand for one field of the profile; each at most once.
SINGLE = (
    "profile_id", "customer_id", "name", "first_name", "last_name", "tags", "stage", "tier", "owner", "locale",
    "time_zone", "location", "latitude", "longitude", "address.street", "address.street2", "address.district",
    "address.city", "address.region", "address.postal_code", "address.country",
)  # fmt: skip
#: Targets that say who somebody is; so does `channel:chn_…`.
IDENTIFYING = ("profile_id", "customer_id", "email", "phone")
#: Targets of which a row may have several.
MANY = ("email", "phone", "ignore")
_ALREADY = frozenset((*SINGLE, *MANY))
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
    """What is to happen. `existing`: what becomes of people we know; `region`: of which country numbers are that name
    none, in rows without an address (two letters; empty: as the deployment is set); `evidence`: how we know of consent;
    `journeys`: whether journeys may begin because of this import."""

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
    columns: Sequence[str], samples: Sequence[Sequence[str]], region: str | None, *, headless: bool = False,
    labels: Mapping[str, str] | None = None,
) -> list[ColumnMapping]:  # fmt: skip
    """A mapping to begin with. `samples`: some rows. `labels`: what fields are called, as `plain_heading` has it →
    the attribute."""
    taken: set[str] = set()
    labels = labels or {}
    ours = not headless and _is_ours(columns, samples)
    addressed = {} if headless or ours else _address_columns(columns)
    result = []
    for place, name in enumerate(columns):
        values = [text for text in (_cell(row, place) for row in samples) if text]
        if ours:
            target = _of_ours(name, labels)
        else:
            target = addressed.get(place) or _guess(name, values, region, labels, headless=headless)
            if target == "address.street" and _by_value(values, region) == "email":
                target = "email"
        if target in taken and target not in MANY:
            target = f"attributes.{_slug(name)}" if f"attributes.{_slug(name)}" not in taken else "ignore"
        if not is_target(target):
            target = "ignore"
        taken.add(target)
        result.append(ColumnMapping(to=target, type=_type_of(values) if target.startswith("attributes.") else "text"))
    return result


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _is_ours(columns: Sequence[str], samples: Sequence[Sequence[str]]) -> bool:
    """Whether it is a list that we have written."""
    places = [place for place, name in enumerate(columns) if plain_heading(name) in ID_HEADINGS]
    return any(is_id(_cell(row, place), "prf") for place in places for row in samples)


def _of_ours(name: str, labels: Mapping[str, str]) -> str:
    """Nothing is guessed from values here: an attribute that looks like a mail address is no address of anybody."""
    plain = plain_heading(name)
    if plain in OURS:
        return OURS[plain]
    if is_target(name):
        return name
    if plain in labels:
        return f"attributes.{labels[plain]}"
    return meaning_of(plain) or f"attributes.{name}"


def _address_columns(columns: Sequence[str]) -> dict[int, str]:
    """Place of a column → its part of the one address that is taken. Of a country or region that is there by name and
    by code, the other is left out."""
    found = [(place, part) for place, name in enumerate(columns) if (part := address_part(plain_heading(name)))]
    telling = {part[0] for _, part in found if part[1] in ("address.street", "address.city", "address.postal_code")}
    family = next((each for each in FAMILIES if each in telling), None)
    if family is None:
        family = next((each for each in FAMILIES if any(part[0] == each for _, part in found)), None)
    best: dict[str, tuple[int, int]] = {}
    for place, (whose, target, preference) in found:
        if whose == family and (target not in best or preference < best[target][0]):
            best[target] = (preference, place)
    chosen = {place: target for target, (_, place) in best.items()}
    for place, (whose, target, _) in found:
        if whose == family and target in ("address.country", "address.region"):
            chosen.setdefault(place, "ignore")
    return chosen


def _guess(name: str, values: Sequence[str], region: str | None, labels: Mapping[str, str], *, headless: bool) -> str:
    if is_target(name):
        return name
    plain = plain_heading(name)
    if plain in ("id", "uid"):
        return _by_id(plain, values)
    named = None if headless else TARGETS.get(plain) or TARGETS.get(re.sub(r" \d+$", "", plain))
    if named in ("email", "phone"):
        return named
    by_value = _by_value(values, region)
    if headless:
        return by_value or "ignore"
    if named is None and plain in labels:
        return f"attributes.{labels[plain]}"
    return named or by_value or f"attributes.{_slug(name)}"


def _by_id(name: str, values: Sequence[str]) -> str:
    if values and all(is_id(each, "prf") for each in values):
        return "profile_id"
    return "customer_id" if name == "id" else "ignore"


def _by_value(values: Sequence[str], region: str | None) -> str | None:
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
