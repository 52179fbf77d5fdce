"""Promises: by when customers are answered, and by when it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from desk.api.contract import Call, Operations, not_there
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Patch, Time, View, page, sliced
from desk.auth import Principal
from inbox.sla.models import SOON_MAX_MIN, HoursId, Lengths, Pause, PolicyInput, Reach, Title, Urgency
from inbox.sla.policies import POLICIES_MAX, StandingPolicy

operations = Operations("SLA policies")


class SlaPolicyPatch(Patch):
    """Parts to replace, each as a whole."""

    name: Title = ""
    reach: Reach = Field(default_factory=Reach)
    lengths: Lengths = Field(default_factory=Lengths)
    by_priority: dict[Urgency, Lengths] = Field(default_factory=dict)
    hours_id: HoursId | None = None
    pauses: list[Pause] = Field(default_factory=list, max_length=2)
    soon_min: int = Field(1, ge=1, le=SOON_MAX_MIN)
    active: bool = True


class SlaOrder(Body):
    """All promises, the first to be asked first."""

    ids: list[Annotated[str, StringConstraints(pattern="^slp_[0-9a-z]{26}$")]] = Field(max_length=POLICIES_MAX)


class SlaPolicyView(View):
    """A promise as it stands. The first in the list that is made for a conversation holds for it."""

    id: str
    name: str
    reach: Reach
    lengths: Lengths
    by_priority: dict[Urgency, Lengths]
    hours_id: str | None
    pauses: list[Pause]
    soon_min: int
    active: bool
    created_at: Time
    updated_at: Time


def policy_view(policy: StandingPolicy) -> SlaPolicyView:
    """As people and programs see it."""
    given = {name: getattr(policy.written, name) for name in PolicyInput.model_fields}
    return SlaPolicyView(id=policy.id, **given, created_at=policy.created_at, updated_at=policy.updated_at)


def shown_policy(principal: Principal, policy: StandingPolicy) -> StandingPolicy | None:
    """A promise as somebody sees it who may not see all channels; None when it is for others alone. Pure."""
    reach = policy.written.reach
    seen = [each for each in reach.channel_ids if principal.may_see(each)]
    if seen == reach.channel_ids:
        return policy
    narrowed = policy.written.model_copy(update={"reach": reach.model_copy(update={"channel_ids": seen})})
    return replace(policy, written=narrowed) if seen else None


@operations("GET", "/sla-policies", roles=["viewer"], query=PageQuery, returns=list[SlaPolicyView])
async def list_sla_policies(call: Call) -> Any:
    """List promises in the order in which they are asked."""
    shown = [shown_policy(call.principal, each) for each in await call.runtime.sla_policies.all()]
    found, following = sliced([each for each in shown if each], lambda policy: policy.id, call.query)
    return page([policy_view(each) for each in found], following)


@operations(
    "POST", "/sla-policies", roles=["admin"], body=PolicyInput, returns=SlaPolicyView, status=201
)  # fmt: skip
async def create_sla_policy(call: Call) -> Any:
    """Promise something.

    Open conversations are reckoned anew in the background; of what is overdue already nobody is told. 409 `name_taken`
    when there is a promise with this name.
    """
    refuse_scoped(call)
    return policy_view(await call.runtime.sla_policies.create(call.body))


@operations("PUT", "/sla-policies/order", roles=["admin"], body=SlaOrder, returns=list[SlaPolicyView])
async def order_sla_policies(call: Call) -> Any:
    """Say in which order promises are asked."""
    refuse_scoped(call)
    return page([policy_view(each) for each in await call.runtime.sla_policies.order(call.body.ids)], None)


@operations("GET", "/sla-policies/{id:slp}", roles=["viewer"], returns=SlaPolicyView)
async def get_sla_policy(call: Call) -> Any:
    """One promise."""
    shown = shown_policy(call.principal, await call.runtime.sla_policies.get(call.path["id"]))
    if shown is None:
        raise not_there()
    return policy_view(shown)


@operations(
    "PATCH", "/sla-policies/{id:slp}", roles=["admin"], body=SlaPolicyPatch, returns=SlaPolicyView
)  # fmt: skip
async def change_sla_policy(call: Call) -> Any:
    """Replace parts of a promise. Open conversations are reckoned anew in the background."""
    refuse_scoped(call)
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    return policy_view(await call.runtime.sla_policies.change(call.path["id"], given))


@operations("DELETE", "/sla-policies/{id:slp}", roles=["admin"])
async def delete_sla_policy(call: Call) -> None:
    """Take a promise away; for 30 days it can be put back."""
    refuse_scoped(call)
    await call.runtime.sla_policies.remove(call.path["id"])


@operations("POST", "/sla-policies/{id:slp}/restore", roles=["admin"], returns=SlaPolicyView)
async def restore_sla_policy(call: Call) -> Any:
    """Undo a deletion."""
    refuse_scoped(call)
    return policy_view(await call.runtime.sla_policies.restore(call.path["id"]))
