"""Rules of the house for everything that journeys and broadcasts send, and steps that the circuit breaker stopped."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from base.errors import WrongInput
from base.mongo import Document
from campaigns.policies.book import HeldPolicies
from campaigns.policies.models import SendingPolicies
from desk.api.contract import Call, Operations
from desk.api.reading import faults
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Time, View, page, sliced

operations = Operations("sending policies")


class CapBody(Body):
    """At most `most` messages to one person per `per`. `P1D`, `P7D`: calendar days in the person's zone, today among
    them; `PT24H`: the hours right before. `group`, `channel` (id or provider) narrow it. Order notices count only for
    a cap of class `transactional`; replies never do."""

    most: int = Field(ge=1, le=1000)
    per: str = Field(max_length=20, examples=["P7D"])
    send_class: Literal["marketing", "transactional"] = Field("marketing", alias="class")
    group: str | None = Field(None, max_length=60)
    channel: str | None = Field(None, max_length=60)


class BreakerBody(Body):
    """A step or a broadcast stops when so many people, and such a share of those with a result, failed in the time."""

    least_people: int = Field(20, ge=1, le=100_000)
    least_percent: float = Field(20, gt=0, le=100)
    minutes: int = Field(10, ge=1, le=240)


class PoliciesBody(Body):
    """All rules, in place of those that stand. `quiet_hours` hold for marketing that names none of its own."""

    rev: int | None = Field(None, ge=0, description="`rev` of what was read: 409 when somebody has saved since.")
    caps: list[CapBody] = Field(default_factory=list, max_length=20)
    quiet_hours: dict[str, Any] | None = Field(None, examples=[{"from": "21:00", "to": "08:00", "zone": "profile"}])
    breaker: BreakerBody = Field(default_factory=lambda: BreakerBody.model_validate({}))


class CapView(View):
    """One cap."""

    most: int
    per: str
    send_class: str = Field(alias="class")
    group: str | None
    channel: str | None


class PoliciesView(View):
    """The rules that hold. `rev` 0: nobody has saved any."""

    rev: int
    caps: list[CapView]
    quiet_hours: dict[str, Any] | None
    breaker: dict[str, Any]
    updated_at: Time | None
    updated_by: str | None


class StoppedStepView(View):
    """A step whose sends are stopped: so many people failed, of so many with a result."""

    journey_id: str
    step: str
    stopped_at: Time
    failed: int
    ended: int


class ResumeBody(Body):
    """The step of a journey whose sends go on."""

    journey_id: str = Field(pattern=r"^jrn_[0-9a-z]{26}$")
    step: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")


def policies_view(held: HeldPolicies) -> PoliciesView:
    """As people and programs see it."""
    said = held.policies.model_dump(mode="json", by_alias=True)
    return PoliciesView.model_validate({**said, "rev": held.rev, "updated_at": held.at, "updated_by": held.by})


def stopped_view(row: Document) -> StoppedStepView:
    """As people and programs see it."""
    return StoppedStepView(
        journey_id=row["journey_id"], step=row["node"], stopped_at=row["at"], failed=row["failed"], ended=row["ended"]
    )


def read_policies(given: dict[str, Any]) -> SendingPolicies:
    """The rules as the house keeps them. Raises `WrongInput` with the path of each fault."""
    try:
        return SendingPolicies.model_validate(given)
    except ValidationError as error:
        raise WrongInput("The rules are not right.", faults(error)) from None


@operations("GET", "/sending-policies", roles=["viewer"], returns=PoliciesView)
async def get_sending_policies(call: Call) -> Any:
    """The rules that hold for everything that journeys and broadcasts send."""
    return policies_view(await call.runtime.policies.get())


@operations("PUT", "/sending-policies", roles=["marketer"], body=PoliciesBody, returns=PoliciesView)
async def replace_sending_policies(call: Call) -> Any:
    """Replace the rules. They count for every send from the next moment on, those under way among them."""
    refuse_scoped(call)
    book = call.runtime.policies
    policies = read_policies(call.body.model_dump(by_alias=True, exclude={"rev"}))
    rev = call.body.rev if call.body.rev is not None else (await book.get()).rev
    return policies_view(await book.save(policies, rev, call.principal.id))


@operations(
    "GET", "/sending-policies/stopped-steps", roles=["viewer"], query=PageQuery, returns=list[StoppedStepView]
)  # fmt: skip
async def list_stopped_steps(call: Call) -> Any:
    """List steps of journeys whose sends the circuit breaker stopped. The people at them wait."""
    rows = await call.runtime.policies.breaker.all_stopped()
    found, following = sliced(rows, lambda row: row["_id"], call.query)
    return page([stopped_view(row) for row in found], following)


@operations(
    "POST", "/sending-policies/resumed-steps", roles=["marketer"], body=ResumeBody, returns=StoppedStepView
)  # fmt: skip
async def resume_step(call: Call) -> Any:
    """Let the sends of a step go on. What failed before does not stop it again."""
    refuse_scoped(call)
    stop_id = f"{call.body.journey_id}:{call.body.step}"
    return stopped_view(await call.runtime.policies.breaker.resume(stop_id, call.principal.id))
