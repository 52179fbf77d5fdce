"""Customers: found by any identity, changed, followed over time, erased."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.errors import FieldError, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.contract import Call, Operations, Reply
from desk.api.messages import actor_of
from desk.api.profile_views import (
    ConsentActView,
    EntryView,
    ProfileDetail,
    ProfileView,
    entry_view,
    profile_detail,
    profile_view,
)
from desk.api.scope import (
    check_named,
    identity_key,
    must_see_person,
    must_see_whole,
    scoped_profile,
    seen_ids,
    seen_person,
    shown_identities,
)
from desk.api.shapes import Body, IdentityId, PageQuery, SegmentId, Since, View, When, listed, page, sliced
from profiles.consent import ConsentAct
from profiles.edit import ProfileInput, ProfilePatch, Word
from profiles.kinds import KINDS, OTHER
from profiles.models import Profile, parse_identity
from profiles.store import ProfileFilter
from profiles.timeline import Wanted

operations = Operations("profiles")


class ProfileQuery(PageQuery):
    """Narrows and orders the list."""

    identity: str | None = Field(
        None, min_length=3, max_length=500, description="`email:…`, `phone:…`, `customer_id:…` or `chn_…:external id`."
    )
    q: str | None = Field(None, min_length=1, max_length=200, description="Beginnings of names, addresses, numbers.")
    tag: str | None = Field(None, min_length=1, max_length=80)
    stage: str | None = Field(None, min_length=1, max_length=80)
    tier: str | None = Field(None, min_length=1, max_length=80)
    segment: SegmentId | None = None
    role: str | None = Field(None, min_length=1, max_length=80)
    owner: str | None = Field(None, pattern=r"^(me|usr_[0-9a-z]{26})$", description="`me` or a user id.")
    sort: Literal["newest", "last_seen"] = "newest"


_KIND = "|".join((*KINDS, OTHER))


class TimelineQuery(PageQuery):
    """Narrows the timeline."""

    kind: str | None = Field(
        None, pattern=rf"^({_KIND})(,({_KIND}))*$", description="One or several, with commas between them."
    )
    since: Since | None = None
    until: Since | None = None
    at: Since | None = Field(None, description="Begin at this moment; both cursors lead on from there.")
    newer: str | None = Field(
        None, min_length=1, max_length=500, description="`previous_cursor` of an answer: what came after it."
    )
    by_us: bool = Field(False, description="Only what a person or program of ours did.")


class PersonPatch(ProfilePatch):
    """What may be changed of a person."""

    profiling_off: bool = Field(False, description="True: nothing is concluded any more from what this person does.")


class ProfilingInput(Body):
    """Whether anything may be concluded from what the person does, and how they said so."""

    on: bool
    proof: str | None = Field(None, max_length=2000)


class StageInput(Body):
    """Where the person stands, and why."""

    stage: Word
    reason: str | None = Field(None, max_length=200)


class ConsentInput(Body):
    """Somebody said yes or no. Only the person's own act (form, preference centre …) lifts an earlier no.

    Where the group wants a double opt-in, a yes by form, staff or program is `pending` until the person has followed
    the link that is sent to the address. Without `wording` it is the group's.
    """

    identity_id: IdentityId
    purpose: str = Field(pattern=r"^[\w.-]{1,60}$")
    granted: bool
    source: Literal["form", "double_opt_in", "preference_centre", "unsubscribe_link", "staff", "import", "api"] = "api"
    proof: str | None = Field(None, max_length=2000)
    wording: str | None = Field(None, max_length=5000)
    at: When | None = None
    until: When | None = Field(None, description="With `granted: false`: a pause, which ends then by itself.")


class ShutOutInput(Body):
    """Whether to hear no more of them."""

    on: bool


class ShutOutView(View):
    """How it is now, and how many conversations became spam, or came back."""

    shut_out: bool
    conversations: int


class ReleaseInput(Body):
    """Which of the person's addresses. `undo`: suppress it again, as it was."""

    identity_id: IdentityId
    undo: bool = False


@operations("GET", "/profiles", roles=["viewer"], query=ProfileQuery, returns=list[ProfileView])
async def list_profiles(call: Call) -> Any:
    """List customers. For a caller limited to channels a page may hold fewer than `limit`."""
    wanted: ProfileQuery = call.query
    key = identity_key(call, parse_identity(wanted.identity)) if wanted.identity else None
    narrowed = ProfileFilter(
        q=wanted.q, tag=await call.runtime.tags.today(wanted.tag), stage=wanted.stage, tier=wanted.tier,
        role=wanted.role, identity_key=key,
        segment=await call.runtime.segments.key(wanted.segment) if wanted.segment else None,
        owner_id=call.principal.id if wanted.owner == "me" else wanted.owner,
    )  # fmt: skip
    found = await call.runtime.profiles.page(narrowed, limit=wanted.limit, cursor=wanted.cursor, sort=wanted.sort)
    seen = await seen_ids(call, {each.id for each in found.data})
    return listed(found, [profile_view(scoped_profile(call, each)) for each in found.data if each.id in seen])


@operations("POST", "/profiles", roles=["agent", "marketer"], body=ProfileInput, returns=ProfileDetail, also=(201,))
async def upsert_profile(call: Call) -> Any:
    """Find the customer of any of these identities and change what is given, or create one.

    201 when it was created, 200 when it was known. A name from a weaker source than the one shown is kept back.
    """
    wanted: ProfileInput = call.body
    await check_named(call, [(f"identities[{i}]", each) for i, each in enumerate(wanted.identities)])
    await _check_owner(call, wanted.owner_id)
    profile, created = await call.runtime.editor.upsert(wanted, source="api", by=call.principal.id)
    call.runtime.doorbell.soon("react")
    return Reply(await _detail(call, profile), 201 if created else 200)


@operations("GET", "/profiles/{id:prf}", roles=["viewer"], returns=ProfileDetail)
async def get_profile(call: Call) -> Any:
    """One customer. An id that was merged away answers with the surviving profile and `merged_from`."""
    profile, identities = await seen_person(call, call.path["id"])
    tiers = await call.runtime.valuing.tier_history(profile.id)
    return profile_detail(scoped_profile(call, profile), identities, tiers)


@operations("PATCH", "/profiles/{id:prf}", roles=["agent", "marketer"], body=PersonPatch, returns=ProfileDetail)
async def change_profile(call: Call) -> Any:
    """Change what is given; null empties a field, attributes are merged. Equal values change nothing."""
    profile_id = await must_see_person(call, call.path["id"])
    await _check_owner(call, call.body.owner_id)
    if "profiling_off" in call.body.model_fields_set:
        await _switch_profiling(call, profile_id, not call.body.profiling_off, None)
    return await _patched(call, profile_id, call.body)


@operations("POST", "/profiles/{id:prf}/profiling", roles=["agent", "marketer"], body=ProfilingInput,
            returns=ProfileDetail)  # fmt: skip
async def switch_profiling(call: Call) -> Any:
    """Switch profiling of this person off or on, with an entry in the consent ledger.

    Off: score, value tier by computation, computed traits and segments by behaviour end, and tracked events that no
    order needs are not kept. Messages, orders and consents stay.
    """
    profile_id = await must_see_person(call, call.path["id"])
    await _switch_profiling(call, profile_id, call.body.on, call.body.proof)
    profile, _ = await seen_person(call, profile_id)
    return await _detail(call, profile)


@operations("DELETE", "/profiles/{id:prf}", roles=["admin"])
async def erase_profile(call: Call) -> None:
    """Erase the person for good, in every room of the house.

    Profile, identities, consents, events, conversations, messages, files, orders, runs, kept webhooks. Needs sight of
    every channel the person is on. It cannot be undone. What is left is a line in the erasure log.
    """
    profile_id = await must_see_whole(call, call.path["id"])
    await call.runtime.privacy.erasures.at_once(profile_id, by=call.principal.id)


@operations(
    "GET", "/profiles/{id:prf}/timeline", roles=["viewer"], query=TimelineQuery, returns=list[EntryView], both_ways=True
)
async def list_timeline(call: Call) -> Any:
    """Everything that happened with this person, the latest first.

    `previous_cursor` as `newer` asks for what came since, nearest first kept; for a caller limited to channels a page
    may hold fewer than `limit`.
    """
    asked: TimelineQuery = call.query
    profile_id = await must_see_person(call, call.path["id"])
    kinds = asked.kind.split(",") if asked.kind else ()
    found = await call.runtime.timeline.page(
        profile_id, Wanted(kinds, asked.since, asked.until, asked.by_us), limit=asked.limit, older=asked.cursor,
        newer=asked.newer, at=asked.at,
    )  # fmt: skip
    seen = [each for each in found.data if call.principal.may_see(each.refs.get("channel_id"))]
    names = await call.runtime.users.names([each.by for each in seen if each.by])
    return {**page([entry_view(each, names) for each in seen], found.older), "previous_cursor": found.newer}


@operations("POST", "/profiles/{id:prf}/stage", roles=["agent", "marketer"], body=StageInput, returns=ProfileDetail)
async def set_stage(call: Call) -> Any:
    """Move the person to another stage, with the reason on the timeline.

    422 for a stage that is not in the list, and for one that asks for a reason when none is given.
    """
    profile_id = await must_see_person(call, call.path["id"])
    try:
        return await _patched(call, profile_id, ProfilePatch(stage=call.body.stage, stage_reason=call.body.reason))
    except WrongInput as error:
        faults = [FieldError(each.path.removeprefix("stage_"), each.message) for each in error.errors]
        raise WrongInput(str(error), faults) from None


@operations("GET", "/profiles/{id:prf}/consents", roles=["viewer"], query=PageQuery, returns=list[ConsentActView])
async def list_consents(call: Call) -> Any:
    """List the person's acts of consent, the latest first (at most 200)."""
    acts, following = sliced(await _ledger(call), lambda act: act["_id"], call.query)
    return page([_act_view(act) for act in acts], following)


@operations(
    "POST",
    "/profiles/{id:prf}/consents",
    roles=["agent", "marketer"],
    body=ConsentInput,
    returns=list[ConsentActView],
    status=201,
)
async def add_consent(call: Call) -> Any:
    """Add an act of consent or denial at one of the person's addresses; answers with the ledger."""
    wanted: ConsentInput = call.body
    _, identities = await seen_person(call, call.path["id"])
    if wanted.identity_id not in {each.id for each in identities}:
        raise WrongInput("This is no address of this person.", [FieldError("identity_id", "is not one of theirs")])
    key = f"api:{call.principal.id}:{call.idempotency_key}" if call.idempotency_key else None
    given = {name: value for name, value in wanted.model_dump().items() if name != "source"}
    source = "staff" if call.principal.kind == "user" and "source" not in wanted.model_fields_set else wanted.source
    await call.runtime.consent.act(ConsentAct(**given, source=source, by=call.principal.id, key=key))
    call.runtime.doorbell.soon("react")
    return page([_act_view(act) for act in await _ledger(call)], None)


@operations(
    "POST",
    "/profiles/{id:prf}/addresses/release",
    roles=["agent", "marketer"],
    body=ReleaseInput,
    returns=ProfileDetail,
)
async def release_address(call: Call) -> Any:
    """Let an address be written to again that bounced, complained or blocked us. Within the hour it can be undone.

    Consent is another matter: what the person refused there stays refused.
    """
    wanted: ReleaseInput = call.body
    profile, identities = await seen_person(call, call.path["id"])
    if wanted.identity_id not in {each.id for each in identities}:
        raise WrongInput("This is no address of this person.", [FieldError("identity_id", "is not one of theirs")])
    consent = call.runtime.consent
    await (consent.take_release_back if wanted.undo else consent.release)(wanted.identity_id, call.principal.id)
    call.runtime.doorbell.soon("react")
    return await _detail(call, profile)


@operations(
    "POST", "/profiles/{id:prf}/shut-out", roles=["agent"], body=ShutOutInput, returns=ShutOutView,
)  # fmt: skip
async def shut_out(call: Call) -> Any:
    """Hear no more of a person, or (`on` false) let them in again.

    What they write is kept as spam without a domain event, their open conversations become spam, also an address they
    come by later is silent, and nothing is sent to them (`shut_out`). Letting in brings back what was open.
    """
    profile_id = await must_see_whole(call, call.path["id"])
    by = actor_of(call.principal)
    shutting = call.runtime.shutting_out
    act = await (shutting.shut(profile_id, by) if call.body.on else shutting.let_in(profile_id, by))
    changed = (act["changed"] if call.body.on else act["undone"]) if act else 0
    return ShutOutView(shut_out=call.body.on, conversations=changed)


async def _switch_profiling(call: Call, profile_id: str, on: bool, proof: str | None) -> None:
    source: Any = "staff" if call.principal.kind == "user" else "api"
    await call.runtime.profiling.switch(profile_id, on, source=source, by=call.principal.id, proof=proof)
    call.runtime.doorbell.soon("react")


async def _ledger(call: Call) -> list[Document]:
    """The acts at addresses the caller may see."""
    profile, identities = await seen_person(call, call.path["id"])
    shown = {each.id for each in identities}
    acts = await call.runtime.consent.ledger(profile.id)
    return [act for act in acts if call.principal.channels is None or act.get("identity_id") in shown]


def _act_view(act: Document) -> ConsentActView:
    return ConsentActView.model_validate({**act, "id": act["_id"]})


async def _patched(call: Call, profile_id: str, patch: ProfilePatch) -> ProfileDetail:
    source = "person" if call.principal.kind == "user" else "api"
    profile = await call.runtime.editor.patch(profile_id, patch, source=source, by=call.principal.id)
    call.runtime.doorbell.soon("react")
    return await _detail(call, profile)


async def _detail(call: Call, profile: Profile) -> ProfileDetail:
    identities = await call.runtime.profiles.identities_of(profile.id)
    tiers = await call.runtime.valuing.tier_history(profile.id)
    return profile_detail(scoped_profile(call, profile), shown_identities(call, identities), tiers)


async def _check_owner(call: Call, owner_id: str | None) -> None:
    if owner_id is not None and (not is_id(owner_id, "usr") or await call.runtime.users.user(owner_id) is None):
        raise WrongInput("There is no such colleague.", [FieldError("owner_id", "is nobody's id")])
