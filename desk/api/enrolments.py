"""Runs: where somebody is in a journey, why it waits and until when."""

from __future__ import annotations

from typing import Any

from base.mongo import Document
from desk.api.contract import Call, Operations
from desk.api.scope import must_see_person
from desk.api.shapes import Time, View

operations = Operations("enrolments")


class WaitView(View):
    """Why it stands still. `until`: when it goes on at the latest."""

    kind: str
    until: Time


class EndView(View):
    """How it ended."""

    reason: str
    at: Time


class EnrolmentView(View):
    """A run of one person through one version of a journey."""

    id: str
    journey_id: str
    version: int
    profile_id: str
    state: str
    node: str
    visit: int
    wait: WaitView | None
    due_at: Time | None
    started_at: Time
    entered_at: Time
    end: EndView | None


class EnrolledView(EnrolmentView):
    """`reason`: why there is no new run; this one is in the way."""

    created: bool
    reason: str | None


class StatementView(View):
    """One thing said of a run: a stable code with its parameters, and the English sentence."""

    code: str
    params: dict[str, Any]
    sentence: str
    at: Time | None
    node: str | None
    visit: int | None
    outcome: str | None


class ExplanationView(View):
    """Everything one may ask of a run. `until` null: it is over, or goes on at once."""

    id: str
    journey_id: str
    journey: str
    version: int
    #: The version it was in before, since when it is in this one, and who took it along.
    version_before: int | None
    version_since: Time
    version_by: str | None
    profile_id: str
    state: str
    node: str
    node_type: str | None
    node_name: str | None
    since: Time
    why: StatementView
    until: Time | None
    log: list[StatementView]


def enrolment_view(run: Document) -> EnrolmentView:
    """As people and programs see it."""
    shown = {name: run.get(name) for name in EnrolmentView.model_fields}
    return EnrolmentView.model_validate({**shown, "id": run["_id"]})


@operations("GET", "/enrolments/{id:enr}", roles=["viewer"], returns=ExplanationView)
async def explain_enrolment(call: Call) -> Any:
    """Where a run is, why it waits, until when, and what happened before."""
    run = await _seen(call)
    return ExplanationView.model_validate(await call.runtime.journeys.explain(run["_id"]))


@operations("POST", "/enrolments/{id:enr}/exit", roles=["marketer", "agent"], returns=EnrolmentView)
async def exit_enrolment(call: Call) -> Any:
    """Take a person out of a journey. A run that is over stays as it is."""
    run = await _seen(call)
    return enrolment_view(await call.runtime.journeys.exit(run["_id"], call.principal.id))


@operations("POST", "/enrolments/{id:enr}/retry", roles=["marketer"], returns=EnrolmentView)
async def retry_enrolment(call: Call) -> Any:
    """Try a run again that was set aside for a fault."""
    run = await _seen(call)
    return enrolment_view(await call.runtime.journeys.retry(run["_id"]))


async def _seen(call: Call) -> Document:
    run: Document = await call.runtime.journeys.enrolment(call.path["id"])
    await must_see_person(call, run["profile_id"])
    return run
