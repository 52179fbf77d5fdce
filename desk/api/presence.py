"""Presence of colleagues: who is here, in what state, and how much each can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from base.errors import WrongInput
from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Patch, Time, UserId, View, When, page, sliced
from inbox.routing.choosing import Limits, Load
from inbox.routing.models import Capacity, PresenceRules, State, StateKey, Words
from inbox.routing.standing import Present

operations = Operations("presence")


class PresenceBody(Body):
    """What somebody says of themselves."""

    state: StateKey
    until: When | None = Field(None, description="Then it is the usual state again.")
    on_phone: bool = Field(False, description="Counts as here without an open window.")
    deputy_id: UserId | None = Field(None, description="Who stands in while they are away; null: their teams.")


class AgentPatch(Patch):
    """What to change of a colleague. `capacity.total` null: as the house says."""

    capacity: Capacity = Field(default_factory=Capacity)
    skills: Words = Field(default_factory=list, description="Labels whose conversations they can take.")
    languages: Words = Field(default_factory=list, description="Codes such as `de`; none: any.")


class PresenceView(View):
    """How a colleague stands. `load`: open conversations they have; `most`: how many they get at most."""

    user_id: str
    name: str
    state: str
    since: Time
    until: Time | None
    here: bool
    takes_work: bool
    on_phone: bool
    deputy_id: str | None
    load: int
    most: int | None
    capacity: Capacity
    skills: list[str]
    languages: list[str]


class PresenceRulesView(View):
    """The states there are, in their order, and how many open conversations somebody gets at most."""

    states: list[State]
    capacity: int | None


def presence_view(each: Present, load: Load, rules: PresenceRules) -> PresenceView:
    """A colleague as all colleagues see them."""
    agent, stands = each.agent, each.stands
    return PresenceView(
        user_id=each.person.id, name=each.person.name, state=stands.state.key, since=stands.since, until=stands.until,
        here=stands.here, takes_work=stands.takes_work, on_phone=agent.on_phone, deputy_id=agent.deputy_id,
        load=load.total, most=Limits.of(agent.capacity, rules.capacity).total, capacity=agent.capacity,
        skills=agent.skills, languages=agent.languages,
    )  # fmt: skip


@operations("GET", "/presence", roles=["viewer"], query=PageQuery, returns=list[PresenceView])
async def list_presence(call: Call) -> Any:
    """List who can answer customers, by name, and how they stand."""
    everybody = await call.runtime.agents.all()
    able = [each for each in everybody.values() if each.person.active and each.person.role in ("admin", "agent")]
    shown, following = sliced(able, lambda each: each.person.id, call.query)
    rules, loads = await call.runtime.agents.rules(), await _loads(call, shown)
    return page([presence_view(each, loads.get(each.person.id, Load()), rules) for each in shown], following)


@operations("PUT", "/presence", roles=["agent"], body=PresenceBody, returns=PresenceView)
async def set_presence(call: Call) -> Any:
    """Say how one stands. Not for programs.

    Without `until` it holds until something else is said. Who has no window open and is not `on_phone` is in the last
    state of the list, whatever was said.
    """
    if call.principal.user is None:
        raise WrongInput("A program is never here: sign in as a person.")
    said: PresenceBody = call.body
    present = await call.runtime.agents.say(
        call.principal.id, said.state, until=said.until, on_phone=said.on_phone, deputy_id=said.deputy_id
    )  # fmt: skip
    return await _view(call, present)


@operations("PATCH", "/agents/{id:usr}", roles=["admin"], body=AgentPatch, returns=PresenceView)
async def change_agent(call: Call) -> Any:
    """Set how much a colleague gets at most, what they can and which languages they speak."""
    refuse_scoped(call)
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    return await _view(call, await call.runtime.agents.enable(call.path["id"], given))


@operations("GET", "/presence-rules", roles=["viewer"], returns=PresenceRulesView)
async def get_presence_rules(call: Call) -> Any:
    """The states there are."""
    return PresenceRulesView.model_validate(await call.runtime.agents.rules())


@operations("PUT", "/presence-rules", roles=["admin"], body=PresenceRules, returns=PresenceRulesView)
async def replace_presence_rules(call: Call) -> Any:
    """Say which states there are.

    The first that takes work is that of who says nothing, the last that of who has no window open. After
    `releases_after_s` in a state that does not count as here, conversations in which a customer waits go back to the
    queue of their team, where that gives out by itself; one that comes back meanwhile goes at once.
    """
    refuse_scoped(call)
    await call.runtime.agents.choose_rules(call.body, call.principal.id)
    return PresenceRulesView.model_validate(call.body)


async def _loads(call: Call, shown: list[Present]) -> Mapping[str, Load]:
    loads: Mapping[str, Load] = await call.runtime.routing.loads(each.person.id for each in shown)
    return loads


async def _view(call: Call, present: Present) -> PresenceView:
    loads = await _loads(call, [present])
    return presence_view(present, loads.get(present.person.id, Load()), await call.runtime.agents.rules())
