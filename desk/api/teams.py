"""Teams: who answers together, and how conversations are given out."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.scope import Asking, refuse_scoped
from desk.api.shapes import Body, PageQuery, Patch, TeamId, Time, View, page, sliced
from inbox.routing.models import CHANNELS_MAX, ChannelId, HoursId, Member, Members, RoutingPolicy, TeamInput, Title
from inbox.routing.teams import Team

operations = Operations("teams")


class TeamPatch(Patch):
    """Parts to replace, each as a whole."""

    name: Title = ""
    members: Members = Field(default_factory=list)
    channel_ids: list[ChannelId] = Field(default_factory=list, max_length=CHANNELS_MAX)
    routing: RoutingPolicy = Field(default_factory=RoutingPolicy)
    hours_id: HoursId | None = None


class MembersBody(Body):
    """Everybody of a team."""

    members: Members


class TeamView(View):
    """A team as it stands. New conversations on `channel_ids` that nobody has are the team's."""

    id: TeamId
    name: str
    members: list[Member]
    channel_ids: list[str]
    routing: RoutingPolicy
    hours_id: str | None
    created_at: Time
    updated_at: Time


def team_view(asking: Asking, team: Team) -> TeamView:
    """As this caller sees it: channels out of their scope are left out."""
    shown = {name: getattr(team.written, name) for name in TeamInput.model_fields}
    shown["channel_ids"] = [each for each in team.written.channel_ids if asking.principal.may_see(each)]
    return TeamView(id=team.id, **shown, created_at=team.created_at, updated_at=team.updated_at)


@operations("GET", "/teams", roles=["viewer"], query=PageQuery, returns=list[TeamView])
async def list_teams(call: Call) -> Any:
    """List teams by name."""
    found, following = sliced(await call.runtime.teams.all(), lambda team: team.id, call.query)
    return page([team_view(call, each) for each in found], following)


@operations("POST", "/teams", roles=["admin"], body=TeamInput, returns=TeamView, status=201)
async def create_team(call: Call) -> Any:
    """Make a team. 409 `name_taken` for a name there is, `channel_taken` when another team has one of the channels.

    `routing.mode` says how its conversations are given out: `manual` not at all, `round_robin` in turn, `balanced` to
    whoever has the smallest share of what they can take. Only who is here, takes work, may see the channel and has room
    gets one, within the business hours `hours_id`. Who `watches` gets none.
    """
    refuse_scoped(call)
    return team_view(call, await call.runtime.teams.create(call.body))


@operations("GET", "/teams/{id:tea}", roles=["viewer"], returns=TeamView)
async def get_team(call: Call) -> Any:
    """One team."""
    return team_view(call, await call.runtime.teams.get(call.path["id"]))


@operations("PATCH", "/teams/{id:tea}", roles=["admin"], body=TeamPatch, returns=TeamView)
async def change_team(call: Call) -> Any:
    """Replace parts of a team. What waits in its queue is given out by the new rules at once."""
    refuse_scoped(call)
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    return team_view(call, await call.runtime.teams.change(call.path["id"], given))


@operations("PUT", "/teams/{id:tea}/members", roles=["admin"], body=MembersBody, returns=TeamView)
async def replace_team_members(call: Call) -> Any:
    """Say who is of a team."""
    refuse_scoped(call)
    return team_view(call, await call.runtime.teams.change(call.path["id"], call.body.model_dump(mode="json")))


@operations("DELETE", "/teams/{id:tea}", roles=["admin"])
async def delete_team(call: Call) -> None:
    """Take a team away; for 30 days it can be put back. Its conversations stay where they are."""
    refuse_scoped(call)
    await call.runtime.teams.remove(call.path["id"])


@operations("POST", "/teams/{id:tea}/restore", roles=["admin"], returns=TeamView)
async def restore_team(call: Call) -> Any:
    """Undo a deletion."""
    refuse_scoped(call)
    return team_view(call, await call.runtime.teams.restore(call.path["id"]))
