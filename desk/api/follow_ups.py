"""The next follow-up with a customer: one at a time, set, done, put off, handed over."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from base.errors import FieldError, WrongInput
from base.ids import is_id
from desk.api.contract import Call, Operations
from desk.api.profile_views import ProfileDetail, profile_detail
from desk.api.scope import must_see_person, scoped_profile, shown_identities
from desk.api.shapes import Body, UserId, When
from desk.news import tell_of
from profiles.follow_up import FollowUpInput
from profiles.models import Profile

operations = Operations("follow-ups")


class FollowUpBody(Body):
    """What is to be done and when. Without `assignee_id`: whoever takes it; left out: the caller, if a person."""

    at: When
    text: str = Field(min_length=1, max_length=2000, pattern=r"\S")
    assignee_id: UserId | None = None


class FollowUpAct(Body):
    """What became of it. `id`: only if this one still stands."""

    action: Literal["done", "snooze", "hand_over"]
    id: str | None = Field(None, pattern=r"^fup_[0-9a-z]{26}$")
    until: When | None = Field(None, description="For `snooze`.")
    assignee_id: UserId | None = Field(None, description="For `hand_over`; null: whoever takes it.")
    result: str | None = Field(None, max_length=500, description="For `done`.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.action == "snooze") != (self.until is not None):
            raise ValueError("until belongs to snooze")
        return self


@operations(
    "PUT", "/profiles/{id:prf}/follow-up", roles=["agent", "marketer"], body=FollowUpBody, returns=ProfileDetail
)
async def set_follow_up(call: Call) -> Any:
    """Set the next follow-up, in the place of the one that stands. The same again changes nothing."""
    wanted: FollowUpBody = call.body
    profile_id = await must_see_person(call, call.path["id"])
    assignee = wanted.assignee_id
    if "assignee_id" not in wanted.model_fields_set and call.principal.kind == "user":
        assignee = call.principal.id
    await _check_assignee(call, assignee)
    return await _shown(
        call,
        await call.runtime.follow_ups.set(
            profile_id, FollowUpInput(at=wanted.at, text=wanted.text, assignee_id=assignee), call.principal.id
        ),
    )


@operations(
    "POST", "/profiles/{id:prf}/follow-up", roles=["agent", "marketer"], body=FollowUpAct, returns=ProfileDetail
)
async def act_on_follow_up(call: Call) -> Any:
    """Close the follow-up, put it off, or hand it over. Where none stands (any more) nothing changes."""
    wanted: FollowUpAct = call.body
    profile_id, by = await must_see_person(call, call.path["id"]), call.principal.id
    follow_ups = call.runtime.follow_ups
    if wanted.action == "done":
        profile = await follow_ups.done(profile_id, wanted.id, by, wanted.result)
    elif wanted.until is not None:
        profile = await follow_ups.snooze(profile_id, wanted.id, wanted.until, by)
    else:
        await _check_assignee(call, wanted.assignee_id)
        profile = await follow_ups.hand_over(profile_id, wanted.id, wanted.assignee_id, by)
    return await _shown(call, profile)


@operations("DELETE", "/profiles/{id:prf}/follow-up", roles=["agent", "marketer"])
async def clear_follow_up(call: Call) -> None:
    """Take the follow-up away: there is nothing to be done after all. Twice is once."""
    profile_id = await must_see_person(call, call.path["id"])
    await call.runtime.follow_ups.clear(profile_id, call.principal.id)
    await tell_of(call.runtime, profile_id, "follow_up.updated")


async def _shown(call: Call, profile: Profile) -> ProfileDetail:
    await tell_of(call.runtime, profile.id, "follow_up.updated")
    identities = await call.runtime.profiles.identities_of(profile.id)
    tiers = await call.runtime.valuing.tier_history(profile.id)
    return profile_detail(scoped_profile(call, profile), shown_identities(call, identities), tiers)


async def _check_assignee(call: Call, user_id: str | None) -> None:
    if user_id is None:
        return
    user = await call.runtime.users.user(user_id) if is_id(user_id, "usr") else None
    if user is None or not user.active:
        raise WrongInput("There is no such colleague.", [FieldError("assignee_id", "is nobody's id")])
