"""What a caller may see of people: a scope of channels reaches people only through their identities on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from base.errors import FieldError, Refused, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.contract import Call, not_there
from desk.auth import Principal, principal_of
from desk.keys import runtime_of
from inbox.models import Conversation
from profiles.keys import key_of
from profiles.models import Identity, IdentityRef, Profile


class Asking(Protocol):
    """Somebody who asks: a call of the API, or the reader of a page."""

    @property
    def principal(self) -> Principal: ...
    @property
    def runtime(self) -> Any: ...


@dataclass(frozen=True)
class Reader:
    """The reader of a page."""

    principal: Principal
    runtime: Any


def reading(request: web.Request) -> Reader:
    """Who reads this page."""
    return Reader(principal_of(request), runtime_of(request))


def refuse_scoped(asking: Asking) -> None:
    """For what concerns the whole deployment: who is limited to some channels may not change it."""
    if asking.principal.channels is not None:
        raise Refused("You are limited to some channels; this concerns all of them.", code="forbidden")


def refuse_sharing(asking: Asking) -> None:
    """What all share in the inbox is written by who may answer on every channel. Raises `Refused`."""
    if not asking.principal.may_everywhere("agent"):
        raise Refused("Only who answers on all channels may change what all share.", code="forbidden")


def may_see_act(principal: Principal, act: Document) -> bool:
    """Who is limited to some channels sees only acts on conversations of their own."""
    return principal.channels is None or act["by"]["id"] == principal.id


def shown_identities(asking: Asking, identities: Iterable[Identity]) -> list[Identity]:
    """Those outside the caller's channels left out."""
    return [each for each in identities if asking.principal.may_see(each.channel_id)]


def may_see_person(asking: Asking, identities: Sequence[Identity]) -> bool:
    """True with one identity in scope, or none on any channel: who came by no channel is everybody's."""
    on_channels = [each for each in identities if each.channel_id is not None]
    return not on_channels or any(asking.principal.may_see(each.channel_id) for each in on_channels)


async def seen_ids(asking: Asking, profile_ids: Iterable[str]) -> set[str]:
    """Those of these people whom the caller may see, by the ids that were asked for."""
    wanted = set(profile_ids)
    if asking.principal.channels is None or not wanted:
        return wanted
    today = await asking.runtime.profiles.current(wanted)
    held = await asking.runtime.profiles.identity_rows.of_profiles(sorted(set(today.values())))
    return {asked for asked in wanted if may_see_person(asking, held[today[asked]])}


async def sees_person(runtime: Any, principal: Principal, profile_id: str) -> bool:
    """True when this principal may see the customer."""
    return bool(await seen_ids(Reader(principal, runtime), [profile_id]))


async def seen_person(asking: Asking, profile_id: str) -> tuple[Profile, list[Identity]]:
    """The customer, merges followed, with the identities the caller may see. Raises `NotFound`."""
    profile = await asking.runtime.profiles.get(profile_id) if is_id(profile_id, "prf") else None
    if profile is None:
        raise not_there()
    identities = await asking.runtime.profiles.identities_of(profile.id)
    if not may_see_person(asking, identities):
        raise not_there()
    return masked_profile(asking, profile), shown_identities(asking, identities)


async def must_see_person(asking: Asking, profile_id: str) -> str:
    """The id of today of a customer the caller may see. Raises `NotFound`."""
    return (await seen_person(asking, profile_id))[0].id


async def must_see_whole(asking: Asking, profile_id: str) -> str:
    """The id of today of a customer all of whose channels the caller may see. Raises `NotFound`, `Refused`."""
    profile, shown = await seen_person(asking, profile_id)
    if len(shown) < len(await asking.runtime.profiles.identities_of(profile.id)):
        raise Refused("This person is also on channels you may not see.", code="forbidden")
    return profile.id


async def id_today(asking: Asking, profile_id: str | None) -> str | None:
    """The surviving profile's id for a filter: what belonged to people merged together belongs to it."""
    if profile_id is None or not is_id(profile_id, "prf"):
        return profile_id
    today: dict[str, str] = await asking.runtime.profiles.current([profile_id])
    return today[profile_id]


def masked_profile(asking: Asking, profile: Profile) -> Profile:
    """Without the postal address, for who does not see such."""
    return profile.model_copy(update={"address": None}) if "addresses" in asking.principal.masks else profile


def scoped_profile(asking: Asking, profile: Profile) -> Profile:
    """What is said of channels outside the caller's scope is left out."""
    profile = masked_profile(asking, profile)
    if asking.principal.channels is None:
        return profile
    seen = [each for each in profile.consents if asking.principal.may_see(_channel_of(each.address_key))]
    touches = {
        name: touch
        for name in ("first_touch", "last_touch")
        if (touch := getattr(profile, name)) and not asking.principal.may_see(touch.get("channel_id"))
    }
    return profile.model_copy(update={"consents": seen, **dict.fromkeys(touches)})


def shown_talk(asking: Asking, talk: Conversation) -> Conversation:
    """Without the last message where it stands on a channel outside the caller's scope (of one that was merged)."""
    last = talk.last_message
    hidden = last is not None and not asking.principal.may_see(last.channel_id)
    return talk.model_copy(update={"last_message": None}) if hidden else talk


async def answered_talk(
    asking: Asking, talk: Conversation, reply_to: str | None = None, via: str | None = None
) -> Conversation:  # fmt: skip
    """The thread in which an answer goes out: of what was merged the one that was chosen, else where a quoted line
    stands, else where the customer wrote last, on the caller's channels."""
    talks: list[Conversation] = await asking.runtime.conversations.with_parts(talk)
    seen = [each for each in talks if asking.principal.may_see(each.channel_id)] or [talk]
    if len(seen) == 1:
        return seen[0]
    by_id = {each.id: each for each in seen}
    if via is None:
        quoted = await asking.runtime.messages.get(reply_to) if reply_to else None
        last = await asking.runtime.messages.latest(list(by_id), ["in"]) if quoted is None else None
        via = quoted.conversation_id if quoted else (last or {}).get("conversation_id")
    return by_id.get(via or "", talk)


def _channel_of(address_key: str) -> str | None:
    head = address_key.partition(":")[0]
    return head if is_id(head, "chn") else None


async def seen_tasks(asking: Asking, tasks: list[Document]) -> list[Document]:
    """Those about people and conversations the caller may see."""
    if asking.principal.channels is None:
        return tasks
    people = await seen_ids(asking, {each["profile_id"] for each in tasks if each.get("profile_id")})
    talks = await asking.runtime.conversations.rows(
        each["conversation_id"] for each in tasks if each.get("conversation_id")
    )
    return [
        each
        for each in tasks
        if (not each.get("profile_id") or each["profile_id"] in people)
        and asking.principal.may_see(talks.get(each.get("conversation_id"), {}).get("channel_id"))
    ]


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
