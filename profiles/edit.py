"""Changing a profile on purpose: by a person at the desk, a program over the API, a step of a journey.

One transaction writes the fields and the events that tell of them. Equal values change nothing and tell nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from base.clock import Clock
from base.errors import FieldError, NotFound, WrongInput
from base.mongo import Database, Document, DuplicateKeyError, Session
from profiles import rfm, scoring
from profiles.custom_fields import fitted
from profiles.models import (
    SOURCE_RANK,
    AnyIdentity,
    Attributes,
    Input,
    NewEvent,
    Profile,
    Source,
    is_safe_key,
)  # fmt: skip
from profiles.normalise import clean_text
from profiles.postal import block_of
from profiles.resolve import Known, Reference, Resolver
from profiles.segments.tag_names import TagNames
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore, as_profile
from profiles.store.stage_log import StageLogStore, move_row
from profiles.store.tags import TagStore
from profiles.survivorship import RANKED, STAMPED, tokens_of
from profiles.terms import Agreed, Terms

log = logging.getLogger(__name__)

TAGS_MAX, SCORE_MAX, ROLES_MAX = 100, 100, 20
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w][\w .\-]*$")]
ShortText = Annotated[str, StringConstraints(max_length=200)]


class Place(Input):
    """Degrees."""

    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)


class PostalAddressInput(Input):
    """Replaces the whole address. `street` may have lines."""

    street: Annotated[str, StringConstraints(max_length=300)] | None = None
    postal_code: Annotated[str, StringConstraints(max_length=20)] | None = None
    city: Annotated[str, StringConstraints(max_length=100)] | None = None
    region: Annotated[str, StringConstraints(max_length=100)] | None = None
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None


class ProfileFields(Input):
    """What may be set on a profile. Only fields that are given count; null empties one."""

    name: ShortText | None = None
    avatar_url: Annotated[str, StringConstraints(max_length=2000, pattern=r"^https?://")] | None = None
    locale: Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]+)*$")] | None = (
        None
    )
    time_zone: Annotated[str, StringConstraints(max_length=60, pattern=r"^[A-Za-z0-9_+\-/]+$")] | None = None
    location: Place | None = None
    address: PostalAddressInput | None = None
    owner_id: ShortText | None = None
    tier: Word | None = None
    stage: Word | None = None
    #: Why the person is moved; some stages ask for it.
    stage_reason: ShortText | None = None
    score: int | None = Field(None, ge=0, le=SCORE_MAX)
    #: Merged into what is there; null takes an attribute away.
    attributes: Attributes = Field(default_factory=dict)
    #: Replaces all tags.
    tags: Annotated[list[Tag], Field(max_length=TAGS_MAX)] | None = None
    #: Replaces all roles; each is one of the list.
    roles: Annotated[list[Word], Field(max_length=ROLES_MAX)] | None = None

    @field_validator("tags", "add_tags", "remove_tags", mode="after", check_fields=False)
    @classmethod
    def _clean_tags(cls, tags: list[str] | None) -> list[str] | None:
        if tags is None:
            return None
        cleaned = (clean_text(tag, 64) for tag in tags)
        return list(dict.fromkeys(tag for tag in cleaned if tag))


class ProfilePatch(ProfileFields):
    """`PATCH /profiles/{id}`, and what the `update` step of a journey does."""

    add_tags: Annotated[list[Tag], Field(max_length=TAGS_MAX)] = Field(default_factory=list)
    remove_tags: Annotated[list[Tag], Field(max_length=TAGS_MAX)] = Field(default_factory=list)
    add_roles: Annotated[list[Word], Field(max_length=ROLES_MAX)] = Field(default_factory=list)
    remove_roles: Annotated[list[Word], Field(max_length=ROLES_MAX)] = Field(default_factory=list)
    #: Added to the score, which stays between 0 and 100.
    score_add: int = Field(0, ge=-SCORE_MAX, le=SCORE_MAX)
    #: Why these points are added, and after which ISO 8601 duration they go: they are then a part of their own.
    score_reason: ShortText | None = None
    score_for: Annotated[str, StringConstraints(max_length=60)] | None = None

    @field_validator("score_for", mode="after")
    @classmethod
    def _a_span(cls, text: str | None) -> str | None:
        if text is not None:
            scoring.gift_span(text)
        return text

    @model_validator(mode="after")
    def _one_way_to_score(self) -> Self:
        if self.score is not None and self.score_add:
            raise ValueError("give either score or score_add")
        if (self.score_reason or self.score_for) and not self.score_add:
            raise ValueError("score_reason and score_for belong to score_add")
        return self


class ProfileInput(ProfileFields):
    """`POST /profiles`: find by any of the identities, or create."""

    identities: Annotated[list[AnyIdentity], Field(min_length=1, max_length=20)]
    add_tags: Annotated[list[Tag], Field(max_length=TAGS_MAX)] = Field(default_factory=list)


def patch_from_paths(set_values: Mapping[str, Any], unset: Sequence[str] = (), **more: Any) -> ProfilePatch:
    """A patch from field paths such as `attributes.city`, as the `update` step writes them.

    `more`: `add_tags`, `remove_tags`, `stage`, `score_add` … Raises `WrongInput` with the path of each fault.
    """
    fields: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
    for path, value in [*set_values.items(), *((name, None) for name in unset)]:
        head, _, key = path.partition(".")
        if head == "attributes" and is_safe_key(key):
            fields.setdefault("attributes", {})[key] = value
        elif not key and head in ProfileFields.model_fields and head != "attributes":
            fields[head] = value
        else:
            raise WrongInput(f"{path!r} cannot be set.", [FieldError(f"set.{path}", "cannot be set")])
    try:
        return ProfilePatch.model_validate(fields)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("These values cannot be set.", faults) from error


class ProfileEditor:
    """The use cases that change a profile."""

    def __init__(
        self, store: ProfileStore, events: EventStore, resolver: Resolver, database: Database, clock: Clock,
        terms: Terms | None = None,
    ) -> None:  # fmt: skip
        self._terms = terms or Terms(database, clock)
        self._stage_log = StageLogStore(database)
        self._tags = TagStore(database)
        self._store = store
        self._events = events
        self._resolver = resolver
        self._database = database
        self._clock = clock

    async def upsert(
        self, wanted: ProfileInput, *, source: Source = "api", by: str | None = None
    ) -> tuple[Profile, bool]:
        """The person of these identities with these fields; whether it was created. May be repeated.

        A name from a weaker source than the one shown is kept back. Raises `WrongInput`.
        """
        given = wanted.model_dump(include=wanted.model_fields_set - {"identities", "name"}, mode="python")
        patch = ProfilePatch.model_validate(given)
        agreed_patch(patch, await self._terms.now(), strict=True)  # before anybody is made
        reference = Reference(wanted.identities, True, wanted.name, source, by=by)
        known = _found((await self._resolver.identify([reference]))[0])
        return await self.patch(known.profile_id, patch, source=source, by=by), known.created

    async def patch(
        self, profile_id: str, patch: ProfilePatch, *, source: Source = "person", by: str | None = None,
        key: str | None = None, strict: bool = True, moves_only: Callable[[Document], bool] | None = None,
    ) -> Profile:  # fmt: skip
        """Change and tell. With a `key` (enrolment, node, visit) the same change takes effect once, whatever happened
        since. Raises `NotFound`; `WrongInput` for a stage, role or value of a field that is not agreed on.

        Not `strict` (journeys, channels, shops): what does not fit is left out, and no reason is asked for.
        `moves_only`: asked of the row as it is; nothing is done when it says no.
        """
        agreed = await self._terms.now()
        patch = agreed_patch(patch, agreed, strict=strict)
        await self._tags.note([*(patch.tags or ()), *patch.add_tags], self._clock())

        async def work(session: Session) -> Document:
            row = await self._store.locked(profile_id, session)
            if row is None:
                raise NotFound("There is no such profile.")
            if moves_only is not None and not moves_only(row):
                return row
            if strict:
                require_reason(row, patch, agreed)
            after = patched(row, patch, source, self._clock())
            if after == row:
                return row
            if after["stage"] != row["stage"]:
                await self._stage_log.add(move_of(row, after, patch, source, by, key, self._clock()), session)
            await self._store.write(
                row["_id"], {name: after[name] for name in after if after[name] != row.get(name)}, session
            )
            await self._events.record(told(row, after, patch, source, by, key, self._clock()), session)
            return after

        try:
            return as_profile(await self._database.in_transaction(work), profile_id)
        except DuplicateKeyError:  # this key has done its work before
            found = await self._store.get(profile_id)
            if found is None:
                raise NotFound("There is no such profile.") from None
            return found

    async def retag(
        self, profile_id: str, tag: str, to: str, *, keep: bool = False, source: Source = "person",
        by: str | None = None,
    ) -> None:  # fmt: skip
        """The person's tag is called otherwise now; with `keep` they keep the former one as well. No tag was given or
        taken, so that is not told: `profile.tag_renamed` is. Who has not the tag is left alone. Raises `NotFound`."""

        async def work(session: Session) -> None:
            row = await self._store.locked(profile_id, session)
            if row is None:
                raise NotFound("There is no such profile.")
            if tag not in row["tags"]:
                return
            kept = [each for each in row["tags"] if keep or each != tag]
            now = self._clock()
            fields = {"tags": list(dict.fromkeys([*kept, to])), "updated_at": now}
            if fields["tags"] == row["tags"]:
                return
            await self._store.write(row["_id"], fields, session)
            properties = {"tag": to, "former": tag, "source": source, "by": by}
            mark = f"profile.tag_renamed:{row['_id']}:{row['rev']}"
            event = NewEvent("profile.tag_renamed", mark, now, row["_id"], properties=properties)
            await self._events.record([event], session)

        await self._database.in_transaction(work)

    async def put_back(self, profile_id: str, move: Document, *, by: str | None) -> Profile:
        """Undo a move from stage to stage: back to where the person was, for no reason asked, once. What they had
        spent there counts on, and a stage that is in the list no more can be gone back to. Raises `NotFound`."""
        key = f"undo:{move['_id']}"

        async def work(session: Session) -> Document:
            row = await self._store.locked(profile_id, session)
            if row is None:
                raise NotFound("There is no such profile.")
            if row["stage"] != move["to"]:
                return row
            now = self._clock()
            after = {**row, "stage": move["from"], "stage_since": move["since"], "updated_at": now}
            patch = ProfilePatch(stage=move["from"])
            await self._store.write(row["_id"], {name: after[name] for name in _MOVED}, session)
            await self._stage_log.add(move_of(row, after, patch, "person", by, key, now), session)
            await self._events.record(told(row, after, patch, "person", by, key, now), session)
            return after

        try:
            return as_profile(await self._database.in_transaction(work), profile_id)
        except DuplicateKeyError:  # undone before
            found = await self._store.get(profile_id)
            if found is None:
                raise NotFound("There is no such profile.") from None
            return found


_MOVED = ("stage", "stage_since", "updated_at")


def patched(row: Document, patch: ProfilePatch, source: Source, at: datetime) -> Document:
    """The profile after the patch; equal to `row` when it changes nothing. Pure."""
    after = dict(row)
    given = patch.model_fields_set
    for name in ("name", "avatar_url", "locale", "time_zone", "owner_id"):
        if name in given:
            value = getattr(patch, name)
            after[name] = clean_text(value, 2000) if value is not None else None
    if "location" in given:
        after["location"] = _point(patch.location)
    if "address" in given:
        after["address"] = block_of(patch.address.model_dump()) if patch.address is not None else None
    if patch.stage is not None and patch.stage != row["stage"]:
        after |= {"stage": patch.stage, "stage_since": at}
    if "tier" in given:
        after |= rfm.given(row, clean_text(patch.tier, 64) if patch.tier is not None else None, at)
    after |= _score(row, patch, at)
    if {"roles", "add_roles", "remove_roles"} & given:
        base = (row.get("roles") or []) if patch.roles is None else patch.roles
        roles = [each for each in dict.fromkeys([*base, *patch.add_roles]) if each not in patch.remove_roles]
        after |= {"roles": roles[:ROLES_MAX]} if roles != (row.get("roles") or []) else {}
    after["tags"] = _tags(row["tags"], patch)
    merged = {**row["attributes"], **patch.attributes}
    after["attributes"] = {key: value for key, value in merged.items() if value is not None}
    if len(after["attributes"]) > 200:
        raise WrongInput("A profile holds at most 200 attributes.", [FieldError("attributes", "too many")])
    changed = {name for name in after if after[name] != row.get(name)}
    if not changed:
        return row
    stamp = {"rank": SOURCE_RANK[source], "at": at}
    after["sources"] = {**row.get("sources", {}), **{name: stamp for name in STAMPED if name in changed}}
    after["search"] = tokens_of(after) if "name" in changed else row.get("search", [])
    return {**after, "updated_at": at}


def _score(row: Document, patch: ProfilePatch, at: datetime) -> Document:
    """What is added by hand stands beside what the rules give; `score_told`: everybody hears of it."""
    if patch.score is not None and patch.score != row["score"]:
        fields = scoring.set_by_hand(row, patch.score)
    elif patch.score_add and (patch.score_reason or patch.score_for):
        fields = scoring.with_gift(row, patch.score_add, patch.score_reason or "", patch.score_for, at)
    elif patch.score_add:
        fields = scoring.add_by_hand(row, patch.score_add)
    else:
        return {}
    return {**fields, "score_told": fields["score"]}


def _tags(before: Sequence[str], patch: ProfilePatch) -> list[str]:
    base = before if patch.tags is None else patch.tags
    tags = dict.fromkeys([*base, *patch.add_tags])
    return [tag for tag in tags if tag not in patch.remove_tags][:TAGS_MAX]


def _point(place: Place | None) -> Document | None:
    return None if place is None else {"type": "Point", "coordinates": [place.longitude, place.latitude]}


#: Fields whose change is told in `profile.updated`.
_TOLD = (*RANKED, "location", "address", "owner_id", "tier", "stage", "score", "tags", "roles")


def agreed_patch(patch: ProfilePatch, agreed: Agreed, *, strict: bool) -> ProfilePatch:
    """The patch with values as they are stored. Pure. Raises `WrongInput` with the path of what is not agreed on; not
    `strict`: that is left out."""
    attributes, faults = fitted(agreed.fields, patch.attributes, strict=strict)
    known = {each.key for each in agreed.roles}
    update: Document = {"attributes": attributes, "stage_reason": agreed.reason(patch.stage_reason)}
    if agreed.tags.renamed:
        update |= _by_todays_names(patch, agreed.tags)
    for name in ("roles", "add_roles"):
        given: list[str] | None = getattr(patch, name)
        faults += [FieldError(f"{name}.{i}", "is no role") for i, each in enumerate(given or ()) if each not in known]
        if given:
            update[name] = [each for each in given if each in known]
    if patch.stage is not None and agreed.stage(patch.stage) is None:
        stages = ", ".join(each.key for each in agreed.stages)
        faults.append(FieldError("stage", f"There is no stage {patch.stage!r}; there are {stages}."))
        update["stage"] = None
    if faults and strict:
        stage = next((each.message for each in faults if each.path == "stage"), None)
        raise WrongInput(stage or "These values cannot be set.", faults)
    if faults:
        log.warning("left out of a change", extra={"paths": [each.path for each in faults]})
    changed = {name: value for name, value in update.items() if value != getattr(patch, name)}
    return patch.model_copy(update=changed) if changed else patch


def _by_todays_names(patch: ProfilePatch, names: TagNames) -> Document:
    """Tags that are given by a former name are given by that of today; those taken away, by every name they had."""
    update: Document = {"remove_tags": list(names.spellings(patch.remove_tags))}
    for name in ("tags", "add_tags"):
        given: list[str] | None = getattr(patch, name)
        if given is not None:
            update[name] = list(dict.fromkeys(names.today(each) for each in given))
    return update


def require_reason(row: Document, patch: ProfilePatch, agreed: Agreed) -> None:
    """Raise `WrongInput` when the person is moved to a stage that asks for a reason, and none is given. Pure."""
    stage = agreed.stage(patch.stage)
    if stage is not None and stage.asks_reason and stage.key != row["stage"] and not patch.stage_reason:
        sentence = "This stage asks for a reason."
        raise WrongInput(sentence, [FieldError("stage_reason", sentence)])


def move_of(
    before: Document, after: Document, patch: ProfilePatch, source: Source, by: str | None, key: str | None,
    at: datetime,
) -> Document:  # fmt: skip
    """The row of the stage log for a change of stage. Pure; unique as the events of the change are."""
    mark = key or f"{before['_id']}:{before['rev']}"
    return move_row(before, after, at, key=mark, by=by, source=source, reason=patch.stage_reason)


def told(
    before: Document,
    after: Document,
    patch: ProfilePatch,
    source: Source,
    by: str | None,
    key: str | None,
    at: datetime,
) -> list[NewEvent]:
    """The events of a change. Pure; unique by `key`, else by the profile's revision."""
    mark = key or f"{before['_id']}:{before['rev']}"

    def event(name: str, properties: Mapping[str, Any], part: str = "") -> NewEvent:
        who = {"source": source, "by": by}
        return NewEvent(name, f"{name}:{mark}{part}", at, before["_id"], properties={**properties, **who})

    changes = {name: _from_to(before, after, name) for name in _TOLD if before.get(name) != after.get(name)}
    keys = before["attributes"].keys() | after["attributes"].keys()
    pairs = {key: (before["attributes"].get(key), after["attributes"].get(key)) for key in sorted(keys)}
    attributes = {key: {"from": old, "to": new} for key, (old, new) in pairs.items() if old != new}
    return [
        event("profile.updated", {"changes": {**changes, **({"attributes": attributes} if attributes else {})}}),
        *_about_one(before, after, "stage", lambda name, more: event(name, {**more, "reason": patch.stage_reason})),
        *_about_one(before, after, "tier", event),
        *_about_one(before, after, "score", lambda name, more: event(name, {**more, **_given_for(patch)})),
        *(event("profile.tag_added", {"tag": tag}, f":{tag}") for tag in after["tags"] if tag not in before["tags"]),
        *(event("profile.tag_removed", {"tag": tag}, f":{tag}") for tag in before["tags"] if tag not in after["tags"]),
    ]


def _about_one(
    before: Document, after: Document, name: str, event: Callable[[str, Mapping[str, Any]], NewEvent]
) -> list[NewEvent]:
    changed = before.get(name) != after.get(name)
    return [event(f"profile.{name}_changed", _from_to(before, after, name))] if changed else []


def _given_for(patch: ProfilePatch) -> Document:
    return {"reason": patch.score_reason} if patch.score_reason else {}


def _from_to(before: Document, after: Document, name: str) -> Document:
    return {"from": before.get(name), "to": after.get(name)}


def _found(known: Known | None) -> Known:
    if known is None:
        raise NotFound("There is no such profile.")
    return known
