"""Who gets conversations: teams, who is there, the queue."""

from __future__ import annotations

from dataclasses import dataclass

from inbox.room import Inbox
from inbox.routing.agents import Agents
from inbox.routing.giving import Routing
from inbox.routing.teams import Teams
from inbox.store import AgentStore, PresenceRuleStore
from rapport.people import People
from rapport.plumbing import Plumbing


@dataclass(frozen=True)
class Routes:
    """What the doors use, and what listens."""

    teams: Teams
    agents: Agents
    routing: Routing


def open_routing(plumbing: Plumbing, people: People, inbox: Inbox) -> Routes:
    """Nothing is read or written here."""
    db, clock, doorbell = plumbing.db, plumbing.clock, plumbing.doorbell
    rows = AgentStore(db)
    teams = Teams(inbox.teams, people.users, plumbing.channels, inbox.business_hours, doorbell)
    agents = Agents(rows, PresenceRuleStore(db), people.users, plumbing.feed, doorbell, clock)
    routing = Routing(
        teams, agents, rows, inbox.business_hours, inbox.conversations, inbox.actions, people.profiles, doorbell, clock
    )
    return Routes(teams, agents, routing)
