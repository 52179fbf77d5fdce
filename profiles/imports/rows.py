"""From the cells of a row to what it says of a person, or what is wrong with it. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import available_timezones

from phonenumbers import SUPPORTED_REGIONS

from base.ids import is_id
from profiles.imports.mapping import ImportMapping, ValueType, channel_in, consent_in, truth_in
from profiles.imports.regions import Numbers, names_country
from profiles.keys import Key, key_of, profile_mark
from profiles.models import TEXT_MAX, IdentityRef
from profiles.normalise import clean_text, email_address, folded, is_placeholder, is_shared_mailbox, listed_phone
from profiles.postal import LONGEST, block_of, country_code
from profiles.sheets.cells import is_shortened, number_in, parted

FaultCode = Literal[
    "no_identity", "bad_email", "bad_phone", "shortened", "bad_customer_id", "bad_profile_id", "bad_channel_id",
    "bad_number", "bad_date", "bad_boolean", "bad_locale", "bad_time_zone", "bad_location", "bad_word", "bad_country",
    "unknown_owner", "unknown_stage",
    "bad_consent", "no_address", "too_long", "ragged", "two_people", "other_customer", "unknown_profile",
    "too_many_attributes", "failed",
]  # fmt: skip
_LOCALE = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]+)*")
_WORD = re.compile(r"[\w][\w .\-]{0,63}")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
#: Ways in which people write "nothing" into a cell of an address.
_NOTHING = frozenset({"-", "--", "n/a", "na", "none", "null", "nil", "无", "没有", "暂无"})


@dataclass(frozen=True)
class Fault:
    """Why a row is not taken: what, in which column, and what stands there."""

    code: FaultCode
    column: str = ""
    value: str = ""

    def document(self) -> dict[str, str]:
        """As it is kept."""
        return {"code": self.code, "column": self.column, "value": self.value[:200]}


@dataclass(frozen=True)
class ConsentSaid:
    """A yes or no at all mail addresses or numbers of the row."""

    purpose: str
    kind: str
    granted: bool


@dataclass
class Wanted:
    """What a row says. `fields`: name, stage, tier, owner_id, locale, time_zone, address, location (latitude,
    longitude). `numbers`: how many of its phone numbers name no country."""

    id: str
    number: int
    profile_id: str | None = None
    refs: list[IdentityRef] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    consents: list[ConsentSaid] = field(default_factory=list)
    numbers: Numbers = field(default_factory=Numbers)
    fault: Fault | None = None
    #: It names somebody who was erased after the list was brought.
    erased: bool = False

    @property
    def naming(self) -> list[str]:
        """What an erasure is known by, of whom the row is about."""
        return [*self.deciding, *([profile_mark(self.profile_id)] if self.profile_id else [])]

    @property
    def deciding(self) -> list[str]:
        """The keys that say who it is. A mailbox that many share does so only where nothing else does."""
        own = [key.key for key in self.keys if not (key.kind == "email" and is_shared_mailbox(key.value))]
        return own or [key.key for key in self.keys]


class RowReader:
    """Reads rows under one mapping."""

    def __init__(
        self, mapping: ImportMapping, columns: Sequence[str], *, region: str | None, owners: Mapping[str, str],
        stages: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`owners`: folded mail address, name or id of a colleague → id. `stages`: folded name of a stage → its key.
        `region`: where numbers without a country are written."""
        self._columns = tuple(zip(columns, mapping.columns, strict=True))
        self._options = mapping.options
        self._region = mapping.options.region or region
        self._owners = owners
        self._stages = stages or {}
        self._country = next((i for i, each in enumerate(mapping.columns) if each.to == "address.country"), None)

    def read(self, row_id: str, number: int, cells: Sequence[str]) -> Wanted:
        """What it says; with `fault` where any of it cannot be taken: nobody is taken by halves."""
        wanted = Wanted(row_id, number)
        try:
            if any(cell.strip() for cell in cells[len(self._columns) :]):
                raise _Faulty(Fault("ragged", value=next(c for c in cells[len(self._columns) :] if c.strip())))
            self._said(wanted, cells)
        except _Faulty as faulty:
            wanted.fault = faulty.fault
        return wanted

    def _said(self, wanted: Wanted, cells: Sequence[str]) -> None:
        simple: dict[str, tuple[str, str]] = {}
        home = self._home(cells)
        for place, (column, meant) in enumerate(self._columns):
            text = cells[place].strip() if place < len(cells) else ""
            if not text or meant.to == "ignore":
                continue
            if len(text) > TEXT_MAX:
                raise _Faulty(Fault("too_long", column, text))
            if meant.to.startswith("attributes."):
                wanted.attributes[meant.to.partition(".")[2]] = _typed(text, meant.type, column)
            elif said := consent_in(meant.to):
                granted = truth_in(text)
                if granted is None:
                    raise _Faulty(Fault("bad_consent", column, text))
                wanted.consents.append(ConsentSaid(*said, granted))
            elif meant.to in _IDENTITIES or channel_in(meant.to):
                self._identity(wanted, meant.to, column, text, home)
            else:
                simple[meant.to] = (column, text)
        self._fields(wanted, simple)
        self._sound(wanted)

    def _home(self, cells: Sequence[str]) -> str | None:
        """The country of the row's address, where numbers can be of it."""
        if self._country is None or self._country >= len(cells):
            return None
        code = country_code(cells[self._country])
        return code if code in SUPPORTED_REGIONS else None

    def _identity(self, wanted: Wanted, target: str, column: str, text: str, home: str | None) -> None:
        if target == "profile_id":
            if not is_id(text, "prf"):
                raise _Faulty(Fault("bad_profile_id", column, text))
            wanted.profile_id = text
            return
        if text.casefold() in _NOTHING:
            return
        if is_shortened(text):
            raise _Faulty(Fault("shortened", column, text))
        for part in parted(text) if target in ("email", "phone") else [text]:
            if target == "phone" and not names_country(part):
                wanted.numbers.told += home is not None
                wanted.numbers.asked += home is None
            self._add(wanted, self._ref(target, column, part, home))

    def _ref(self, target: str, column: str, text: str, home: str | None) -> IdentityRef:
        if target == "email":
            value = email_address(text)
            if value is None:
                raise _Faulty(Fault("bad_email", column, text))
            verified = self._options.verified and not is_shared_mailbox(value)
            return IdentityRef(kind="email", value=value, verified=verified)
        if target == "phone":
            value = listed_phone(text, home or self._region)
            if value is None:
                raise _Faulty(Fault("bad_phone", column, text))
            return IdentityRef(kind="phone", value=value, verified=self._options.verified)
        channel_id = channel_in(target)
        if (is_placeholder(text) and not (channel_id and text.isdigit())) or len(text) > 512:
            raise _Faulty(Fault("bad_channel_id" if channel_id else "bad_customer_id", column, text))
        if channel_id:
            return IdentityRef(kind="channel", value=text, channel_id=channel_id)
        return IdentityRef(kind="customer_id", value=text)

    def _add(self, wanted: Wanted, ref: IdentityRef) -> None:
        key = key_of(ref)
        if key.key not in {each.key for each in wanted.keys} and len(wanted.refs) < 20:
            wanted.refs.append(ref)
            wanted.keys.append(key)

    def _fields(self, wanted: Wanted, simple: dict[str, tuple[str, str]]) -> None:
        name = clean_text(_name_in({target: text for target, (_, text) in simple.items()}))
        if name:
            wanted.fields["name"] = name
        if "tags" in simple:
            cleaned = (clean_text(each, 64) for each in parted(simple["tags"][1]))
            wanted.tags = [tag for tag in cleaned if tag]
        if "stage" in simple and folded(simple["stage"][1]) in self._stages:
            wanted.fields["stage"] = self._stages[folded(simple.pop("stage")[1])]
        for target in ("stage", "tier"):
            if target in simple:
                wanted.fields[target] = _matching(_WORD, *simple[target], "bad_word")
        self._settings(wanted, simple)
        if (place := _place_in(simple)) is not None:
            wanted.fields["location"] = place
        if (block := _block_in(simple)) is not None:
            wanted.fields["address"] = block

    def _settings(self, wanted: Wanted, simple: Mapping[str, tuple[str, str]]) -> None:
        """Language, time zone and owner."""
        if "locale" in simple:
            wanted.fields["locale"] = _matching(_LOCALE, *simple["locale"], "bad_locale")[:35]
        if "time_zone" in simple:
            column, text = simple["time_zone"]
            if text not in _zones():
                raise _Faulty(Fault("bad_time_zone", column, text))
            wanted.fields["time_zone"] = text
        if "owner" in simple:
            column, text = simple["owner"]
            if folded(text) not in self._owners:
                raise _Faulty(Fault("unknown_owner", column, text))
            wanted.fields["owner_id"] = self._owners[folded(text)]

    def _sound(self, wanted: Wanted) -> None:
        if not wanted.keys and wanted.profile_id is None:
            raise _Faulty(Fault("no_identity"))
        kinds = {key.kind for key in wanted.keys}
        for said in wanted.consents:
            if said.kind not in kinds:
                raise _Faulty(Fault("no_address", value=said.purpose))
        wanted.tags = list(dict.fromkeys([*wanted.tags, *self._options.tags]))


_IDENTITIES = ("profile_id", "customer_id", "email", "phone")


class _Faulty(Exception):
    """This row is not taken."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


def _name_in(texts: Mapping[str, str]) -> str:
    """The whole name, or its parts in the order of their language."""
    if "name" in texts:
        return texts["name"]
    first, last = texts.get("first_name", ""), texts.get("last_name", "")
    if _CHINESE.fullmatch(first + last):
        return last + first
    return f"{first} {last}".strip()


def _matching(pattern: re.Pattern[str], column: str, text: str, code: FaultCode) -> str:
    if not pattern.fullmatch(text):
        raise _Faulty(Fault(code, column, text))
    return text


def _block_in(simple: Mapping[str, tuple[str, str]]) -> dict[str, str | None] | None:
    """The row's postal address: its parts are one block."""
    parts: dict[str, str] = {}
    for target, (column, text) in simple.items():
        if not target.startswith("address.") or text.casefold() in _NOTHING:
            continue
        name = target.partition(".")[2]
        code = country_code(text) if name == "country" else None
        if name == "country" and code is None:
            raise _Faulty(Fault("bad_country", column, text))
        if code is None and len(text) > LONGEST.get(name, LONGEST["street"]):
            raise _Faulty(Fault("too_long", column, text))
        parts[name] = code or text
    street, district = parts.pop("street", ""), parts.pop("district", "")
    lines = [street, parts.pop("street2", "")]
    if district and district not in street:
        lines = [district, *lines] if _HAN.search(district) else [*lines, district]
    return block_of({**parts, "street": "\n".join(filter(None, lines))[: LONGEST["street"]]})


def _place_in(simple: Mapping[str, tuple[str, str]]) -> tuple[float, float] | None:
    """Latitude and longitude in degrees."""
    if "location" in simple:
        column, text = simple["location"]
        parts = [part for part in re.split(r"[,;\s]+", text) if part]
    elif "latitude" in simple or "longitude" in simple:
        column = simple.get("latitude", simple.get("longitude", ("", "")))[0]
        parts = [simple[name][1] for name in ("latitude", "longitude") if name in simple]
    else:
        return None
    numbers = [number_in(part) for part in parts]
    latitude, longitude = numbers if len(numbers) == 2 else (None, None)
    if latitude is None or longitude is None or not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise _Faulty(Fault("bad_location", column, " ".join(parts)))
    return float(latitude), float(longitude)


def _typed(text: str, kind: ValueType, column: str) -> Any:
    if kind == "number":
        number = number_in(text)
        if number is None:
            raise _Faulty(Fault("bad_number", column, text))
        return number
    if kind == "boolean":
        truth = truth_in(text)
        if truth is None:
            raise _Faulty(Fault("bad_boolean", column, text))
        return truth
    if kind == "date" and date_in(text) is None:
        raise _Faulty(Fault("bad_date", column, text))
    return date_in(text) if kind == "date" else text


def date_in(text: str) -> str | datetime | None:
    """A day stays the text `2026-11-28`, which has no zone; a time becomes one, in UTC where it names no zone."""
    plain = unicodedata.normalize("NFKC", text).strip().replace("/", "-").replace(".", "-", 2)
    try:
        if re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", plain):
            year, month, day = (int(part) for part in plain.split("-"))
            return datetime(year, month, day, tzinfo=UTC).date().isoformat()
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
