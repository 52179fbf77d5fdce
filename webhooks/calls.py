"""Tracking calls in the words of profiles: who is meant, and what is to be written on them. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from base.errors import WrongInput
from channels.vocabulary import ChannelEvent, Identified, Tracked
from profiles.edit import ProfilePatch
from profiles.keys import key_of
from profiles.models import ATTRIBUTES_MAX, IdentityRef, checked_attributes, storable
from profiles.resolve import Reference


def reference_of(event: ChannelEvent) -> Reference | None:
    """The person of a call, by every id that can name somebody; None when none can."""
    if not isinstance(event, Identified | Tracked):
        return None
    given: list[tuple[Any, str | None]] = [("customer_id", event.customer_id), ("anonymous", event.anonymous_id)]
    person = event.person if isinstance(event, Identified) else None
    if isinstance(event, Identified):
        given.append(("anonymous", event.former_id))
    proved = person is not None and person.verified
    if person is not None:
        given += [("email", person.email), ("phone", person.phone)]
    refs = [ref for kind, value in given if value and (ref := _ref(kind, value, proved)) is not None]
    if not any(ref.kind in ("customer_id", "anonymous") for ref in refs):
        return None
    return Reference(refs, name=person.name if person else None, at=event.occurred_at, seen=True)


def patch_of(event: ChannelEvent) -> ProfilePatch | None:
    """What an identify call changes on a profile; what cannot be kept is left out, never refused."""
    if not isinstance(event, Identified):
        return None
    fields: dict[str, Any] = {"attributes": _attributes(event.traits), "time_zone": event.time_zone}
    if event.person is not None:
        fields |= {"avatar_url": event.person.avatar_url, "locale": event.person.locale}
    given = {name: value for name, value in fields.items() if value}
    while given:
        try:
            return ProfilePatch.model_validate(given)
        except ValidationError as error:
            given.pop(str(error.errors()[0]["loc"][0]), None)
    return None


def _ref(kind: Any, value: str, proved: bool) -> IdentityRef | None:
    try:
        ref = IdentityRef(kind=kind, value=value, verified=proved or kind in ("customer_id", "anonymous"))
        key_of(ref)
    except (WrongInput, ValidationError):
        return None
    return ref


def _attributes(traits: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in list(storable(traits).items())[:ATTRIBUTES_MAX]:
        try:
            kept |= checked_attributes({name: value})
        except ValueError:
            continue
    return kept
