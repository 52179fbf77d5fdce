"""What becomes of a row, given who holds its keys and what stands on the profile. Pure.

An import is the weakest source: name, address, language and time zone that somebody else has said stay, even under
"overwrite".
An empty cell changes nothing. Tags are added, never taken away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from base.errors import WrongInput
from profiles.edit import Place, ProfilePatch, agreed_patch
from profiles.imports.mapping import Existing
from profiles.imports.rows import Fault, Wanted
from profiles.models import ATTRIBUTES_MAX, STAGE_FIRST
from profiles.postal import same_block
from profiles.sheets.cells import text_of
from profiles.survivorship import beats
from profiles.terms import Agreed

Document = dict[str, Any]
Outcome = Literal["created", "updated", "unchanged", "repeated", "skipped", "conflict", "fault", "erased"]
OUTCOMES: tuple[Outcome, ...] = (
    "created", "updated", "unchanged", "repeated", "skipped", "conflict", "fault", "erased",
)  # fmt: skip
RANKED = frozenset({"name", "locale", "time_zone", "address"})


@dataclass(frozen=True)
class Plan:
    """`profile_id` None with `created`: somebody new. `fresh`: keys that nobody holds. `kept`: fields of a stronger
    source that stay."""

    outcome: Outcome
    profile_id: str | None = None
    fresh: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True)
class Known:
    """What the plans of a batch look at: key → profile of today, profile → its document, profile → its customer ids."""

    holders: Mapping[str, str]
    documents: Mapping[str, Document]
    customers: Mapping[str, Collection[str]]
    #: key of a person whom an earlier row of this very import will create, before it has run.
    earlier: Collection[str] = frozenset()
    #: profile id as the file names it → id of today.
    today: Mapping[str, str] = field(default_factory=dict)


def planned(wanted: Wanted, known: Known, existing: Existing, at: datetime) -> Plan:
    """The row's outcome."""
    if wanted.erased:
        return Plan("erased")
    if wanted.fault is not None:
        return Plan("fault", fault=wanted.fault)
    held = {known.holders[key] for key in wanted.deciding if key in known.holders}
    if wanted.profile_id is not None:
        named = known.today.get(wanted.profile_id, wanted.profile_id)
        if named not in known.documents:
            return Plan("fault", fault=Fault("unknown_profile", value=wanted.profile_id))
        held |= {named}
    if len(held) > 1:
        return Plan("conflict", fault=Fault("two_people", value=", ".join(sorted(held))))
    fresh = tuple(key.key for key in wanted.keys if key.key not in known.holders)
    if not held:
        if any(key in known.earlier for key in wanted.deciding):
            return Plan("repeated", None, fresh)
        return Plan("created", None, fresh, new_fields(wanted))
    (profile_id,) = held
    return _of_known(wanted, profile_id, fresh, known, existing, at)


def _of_known(
    wanted: Wanted, profile_id: str, fresh: tuple[str, ...], known: Known, existing: Existing, at: datetime
) -> Plan:  # fmt: skip
    document = known.documents.get(profile_id)
    if document is None:  # whoever made the identity died before the profile: it is made now
        return Plan("created", None, tuple(key.key for key in wanted.keys), new_fields(wanted))
    if document.get("made_by") == wanted.id:
        return Plan("created", profile_id, fresh, new_fields(wanted))
    ours = [key.key for key in wanted.keys if key.kind == "customer_id" and key.key in fresh]
    if ours and known.customers.get(profile_id):
        return Plan("conflict", profile_id, fault=Fault("other_customer", value=ours[0].partition(":")[2]))
    repeated = _import_of(document.get("made_by")) == _import_of(wanted.id)
    if existing == "skip" and not repeated:
        return Plan("skipped", profile_id)
    fields, kept = changed_fields(wanted, document, at, overwrite=existing == "overwrite")
    if len({**document["attributes"], **fields.get("attributes", {})}) > ATTRIBUTES_MAX:
        return Plan("fault", profile_id, fault=Fault("too_many_attributes"))
    if repeated:
        return Plan("repeated", profile_id, fresh, fields, kept)
    return Plan("updated" if fields or fresh else "unchanged", profile_id, fresh, fields, kept)


def _import_of(row_id: object) -> str | None:
    return row_id.partition(":")[0] if isinstance(row_id, str) else None


def new_fields(wanted: Wanted) -> Document:
    """All that the row says, for somebody new."""
    fields: Document = dict(wanted.fields)
    if wanted.attributes:
        fields["attributes"] = dict(wanted.attributes)
    if wanted.tags:
        fields["add_tags"] = list(wanted.tags)
    return fields


def changed_fields(
    wanted: Wanted, document: Mapping[str, Any], at: datetime, *, overwrite: bool
) -> tuple[Document, tuple[str, ...]]:
    """What the row changes on a person we know, and which of its fields give way to a stronger source."""
    fields: Document = {}
    kept: list[str] = []
    for name, value in wanted.fields.items():
        before = document.get(name)
        if _same(name, before, value):
            continue
        if _is_empty(name, before):
            fields[name] = value
        elif overwrite and name in RANKED and not beats(_stamp(document, name), "import", at):
            kept.append(name)
        elif overwrite:
            fields[name] = value
    held = document.get("attributes") or {}
    attributes = {
        key: value
        for key, value in wanted.attributes.items()
        if key not in held or held[key] in (None, "") or (overwrite and text_of(held[key]).strip() != text_of(value))
    }
    tags = [tag for tag in wanted.tags if tag not in (document.get("tags") or ())]
    if attributes:
        fields["attributes"] = attributes
    if tags:
        fields["add_tags"] = tags
    return fields, tuple(kept)


def _stamp(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Who said it; a value without a stamp was there before stamps were: not ours to change."""
    stamp: Mapping[str, Any] | None = (document.get("sources") or {}).get(name)
    return stamp if stamp is not None else {"rank": -1, "at": document["created_at"]}


def _is_empty(name: str, value: Any) -> bool:
    return value in (None, "") or (name == "stage" and value == STAGE_FIRST)


def _same(name: str, before: Any, value: Any) -> bool:
    if name == "location" and before is not None:
        longitude, latitude = before["coordinates"]
        return (round(latitude, 6), round(longitude, 6)) == (round(value[0], 6), round(value[1], 6))
    if name == "address":
        return same_block(before, value)
    return bool(before == value)


def agreed_plan(plan: Plan, agreed: Agreed) -> tuple[Plan, ProfilePatch | None]:
    """The plan and what it writes; a fault where a stage is not there, or a defined field does not take the value."""
    if not plan.fields:
        return plan, None
    patch = patch_of(plan.fields)
    if isinstance(patch, Fault):
        return Plan("fault", plan.profile_id, fault=patch), None
    try:
        return plan, agreed_patch(patch, agreed, strict=True)
    except WrongInput as error:
        return Plan("fault", plan.profile_id, fault=_unagreed(patch, error)), None


def _unagreed(patch: ProfilePatch, error: WrongInput) -> Fault:
    first = error.errors[0] if error.errors else None
    if first is not None and first.path == "stage":
        return Fault("unknown_stage", value=patch.stage or "")
    return Fault("failed", value=first.message if first else str(error))


def patch_of(fields: Mapping[str, Any]) -> ProfilePatch | Fault:
    """As the editor takes it; a fault for what no profile can hold."""
    given = dict(fields)
    if "location" in given:
        latitude, longitude = given["location"]
        given["location"] = Place(latitude=latitude, longitude=longitude)
    try:
        return ProfilePatch.model_validate(given)
    except ValidationError as error:
        where = error.errors()[0]
        return Fault("failed", ".".join(map(str, where["loc"])), str(where["msg"]))
