"""What a caller may see of people: a scope of channels reaches people only through their identities on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from base.errors import FieldError, Refused, WrongInput
from base.ids import is_id
from desk.api.contract import Call, not_there
from profiles.keys import key_of
from profiles.models import Identity, IdentityRef, Profile


def refuse_scoped(call: Call) -> None:
    """For what concerns the whole deployment: a caller limited to some channels may not change it."""
    if call.principal.channels is not None:
        raise Refused("You are limited to some channels; this concerns all of them.", code="forbidden")


def shown_identities(call: Call, identities: Iterable[Identity]) -> list[Identity]:
    """Those outside the caller's channels left out."""
    return [each for each in identities if call.principal.may_see(each.channel_id)]


def may_see_person(call: Call, identities: Sequence[Identity]) -> bool:
    """True with one identity in scope, or none on any channel: who came by no channel is everybody's."""
    on_channels = [each for each in identities if each.channel_id is not None]
    return not on_channels or any(call.principal.may_see(each.channel_id) for each in on_channels)


async def seen_ids(call: Call, profile_ids: Iterable[str]) -> set[str]:
    """Those of these people whom the caller may see, by the ids that were asked for."""
    wanted = set(profile_ids)
    if call.principal.channels is None or not wanted:
        return wanted
    today = await call.runtime.profiles.current(wanted)
    held = await call.runtime.profiles.identity_rows.of_profiles(sorted(set(today.values())))
    return {asked for asked in wanted if may_see_person(call, held[today[asked]])}


async def seen_person(call: Call, profile_id: str) -> tuple[Profile, list[Identity]]:
    """The customer, merges followed, with the identities the caller may see. Raises `NotFound`."""
    profile = await call.runtime.profiles.get(profile_id) if is_id(profile_id, "prf") else None
    if profile is None:
        raise not_there()
    identities = await call.runtime.profiles.identities_of(profile.id)
    if not may_see_person(call, identities):
        raise not_there()
    return profile, shown_identities(call, identities)


async def must_see_person(call: Call, profile_id: str) -> str:
    """The id of today of a customer the caller may see. Raises `NotFound`."""
    return (await seen_person(call, profile_id))[0].id


async def check_named(call: Call, refs: Sequence[tuple[str, IdentityRef]]) -> None:
    """(path, identity as a caller names it): channels must exist and be in scope, and so must whoever is meant.

    Raises `WrongInput` with the path for an unknown channel, `NotFound` for people out of scope. Only reads.
    """
    for path, ref in refs:
        if ref.channel_id is not None:
            call.must_see(ref.channel_id)
            if await call.runtime.channels.get(ref.channel_id) is None:
                raise WrongInput("There is no such channel.", [FieldError(path, "names a channel that does not exist")])
    if call.principal.channels is None:
        return
    for path, ref in refs:
        holder = await call.runtime.profiles.by_identity(identity_key(call, ref, path))
        if holder is not None:
            await must_see_person(call, holder.id)


def identity_key(call: Call, ref: IdentityRef, path: str = "identity") -> str:
    """The key under which such an identity is kept. Raises `WrongInput` for a value that names nobody."""
    return key_of(ref, call.runtime.settings.default_region, path).key
