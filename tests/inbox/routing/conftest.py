"""A house with colleagues, teams and routers."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from base.clock import now
from inbox.conversations import ConversationActions
from inbox.models import SYSTEM, Conversation
from inbox.routing.agents import Agents
from inbox.routing.giving import Routing
from inbox.routing.models import PresenceRules, TeamInput
from inbox.routing.teams import Team, Teams
from inbox.store import AgentStore, PresenceRuleStore
from tests.inbox.conftest import House


def usr(name: str) -> str:
    return f"usr_{name:0<26}"


@dataclass(frozen=True)
class Mate:
    id: str
    name: str
    role: str = "agent"
    active: bool = True
    channels: frozenset[str] | None = None


@dataclass
class Staffed:
    """Everybody who signs in here."""

    mates: dict[str, Mate] = field(default_factory=dict)

    async def users(self) -> list[Mate]:
        return list(self.mates.values())


@dataclass
class Floor:
    """Where conversations are given out."""

    house: House
    staff: Staffed
    teams: Teams
    agents: Agents
    rows: AgentStore
    routing: Routing

    async def mate(self, name: str, total: int | None = None, **more: Any) -> str:
        """Somebody with a window open; their id."""
        able = {each: more.pop(each) for each in ("skills", "languages", "by_channel") if each in more}
        mate = Mate(usr(name), name.capitalize(), **more)
        self.staff.mates[mate.id] = mate
        capacity = {"total": total, "by_channel": able.pop("by_channel", {})}
        await self.agents.enable(mate.id, {"capacity": capacity, **able})
        await self.come(mate.id)
        return mate.id

    async def come(self, user_id: str) -> None:
        self.agents._noted.clear()
        await self.agents.seen(user_id)

    async def go(self, user_id: str) -> None:
        await self.agents.say(user_id, "offline")

    async def team(self, name: str, members: list[str], channels: list[str] = (), **routing: Any) -> Team:  # type: ignore[assignment]
        policy = {"mode": "round_robin", **routing}
        hours = policy.pop("hours_id", None)
        written = {
            "name": name, "members": [{"user_id": each} for each in members], "channel_ids": list(channels),
            "routing": policy, "hours_id": hours,
        }  # fmt: skip
        return await self.teams.create(TeamInput.model_validate(written))

    async def settle(self) -> None:
        """As a worker does at a ring: until nothing moves."""
        for _ in range(50):
            if not await self.routing.drain(250):
                return
        raise AssertionError("it goes round and round")

    async def owner(self, talk: Conversation | str) -> str | None:
        found = await self.house.inbox.conversations.get(talk if isinstance(talk, str) else talk.id)
        assert found is not None
        return found.assignee_id

    async def owners(self) -> Counter[str | None]:
        rows = await self.house.inbox.conversations.raw({"status": "open"})
        return Counter(row["assignee_id"] for row in rows)

    async def lines(self, talk: Conversation) -> list[tuple[str, Any]]:
        page = await self.house.inbox.messages.page(talk.id, limit=100)
        return [(each.system["code"], each.system["params"]) for each in reversed(page.data) if each.system]

    async def write(self, channel_id: str, sender: str, key: str, at: datetime | None = None) -> Conversation:
        """A customer writes (again); their conversation."""
        arrival = self.house.arrival(channel_id, sender, key, at=at or self.house.clock())
        outcome = (await self.house.inbox.receiver.receive([arrival])).outcomes[0]
        found = await self.house.inbox.conversations.get(outcome.conversation_id or "")
        assert found is not None
        return found


def opened(house: House, staff: Staffed, actions: ConversationActions | None = None) -> Floor:
    """A process of its own on the same database."""
    rows = AgentStore(house.database)
    teams = Teams(house.inbox.teams, staff, house.channels, house.inbox.business_hours, house.doorbell)
    agents = Agents(rows, PresenceRuleStore(house.database), staff, house.feed, house.doorbell, house.clock)
    routing = Routing(
        teams, agents, rows, house.inbox.business_hours, house.inbox.conversations, actions or house.inbox.actions,
        house.profiles, house.doorbell, house.clock,
    )  # fmt: skip
    return Floor(house, staff, teams, agents, rows, routing)


@pytest.fixture
async def floor(house: House) -> Floor:
    return opened(house, Staffed())


__all__ = ["SYSTEM", "Floor", "Mate", "PresenceRules", "Staffed", "now", "opened", "usr"]
