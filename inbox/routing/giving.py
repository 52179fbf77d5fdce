"""The queue: what nobody has goes to whoever can take it.

There are no rows of the queue. What waits, who is there and what everybody has is read from the database each time; a
ring or a sweep says when to look. Giving is one transaction over the conversation and the row of who gets it, both as
they were read: of two that give at one moment one comes too late and looks again (decision 35).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from base.clock import Clock
from base.errors import Conflict
from base.mongo import Document, Session
from base.queue import Doorbell
from inbox.acts import Act, assign_act, team_act
from inbox.conversations import ConversationActions
from inbox.hours.book import BusinessHours
from inbox.models import SYSTEM, Actor, Conversation
from inbox.routing.agents import Agents
from inbox.routing.choosing import Abilities, Candidate, Choice, Limits, Load, Talk, choose, next_turn
from inbox.routing.models import Colleague, PresenceRules, may_answer
from inbox.routing.releasing import goes_back, release_act
from inbox.routing.standing import Present
from inbox.routing.teams import Team, Teams
from inbox.store import AgentStore, ConversationStore
from inbox.view_filter import ConversationFilter, ViewFilter
from profiles.events import Event
from profiles.store import ProfileStore

#: So many of a team's queue are looked at in one go, and so many offered to whoever asks for one.
QUEUE, OFFERED = 2000, 50
#: So many of those that people who are away have.
HELD = 5000
#: What has had something in it since then is looked at with each ring; the rest in the sweep.
RECENT = timedelta(minutes=2)
#: What nobody has and no team either.
NOBODYS = ViewFilter(status=("open",), assignee=("none",), team=("none",))
#: How often it is thought over to whom something goes because others were quicker.
ROUNDS = 8
#: After these somebody may have room, or something may wait.
STIRRING = frozenset({"conversation.created", "conversation.status_changed", "conversation.assigned"})


class _TooLate(Exception):
    """Who was to get it has got something else, or is another now."""


@dataclass
class _Crew:
    """Those of a team who are here and take work, with what they have."""

    team: Team
    rules: PresenceRules
    present: dict[str, Present]
    loads: dict[str, Load]
    turns: dict[str, int]
    abilities: Abilities = field(default_factory=Abilities)

    def candidates(self, channel_id: str) -> list[Candidate]:
        """Those who may see this channel."""
        seen = [each for each in self.present.values() if may_answer(each.person, channel_id)]
        return [self._candidate(each) for each in seen]

    @property
    def have_room(self) -> bool:
        """Whether anybody can take anything."""
        return any(self.limits(user_id).have_room(self.loads.get(user_id, Load())) for user_id in self.present)

    def limits(self, user_id: str) -> Limits:
        """How much somebody can have."""
        return Limits.of(self.present[user_id].agent.capacity, self.rules.capacity)

    def _candidate(self, each: Present) -> Candidate:
        user_id, agent = each.person.id, each.agent
        return Candidate(
            user_id, each.person.name, self.loads.get(user_id, Load()), self.limits(user_id),
            frozenset(agent.skills), frozenset(agent.languages), self.turns.get(user_id, 0),
        )  # fmt: skip


@dataclass(frozen=True)
class _Scene:
    """Teams and people at the moment of one look."""

    teams: Mapping[str, Team]
    people: Mapping[str, Present]
    rules: PresenceRules
    now: datetime

    @cached_property
    def team_of(self) -> Mapping[str, Team]:
        """Channel → its team."""
        return {channel: team for team in self.teams.values() for channel in team.written.channel_ids}

    @property
    def giving(self) -> list[Team]:
        """Teams in which nobody has to take."""
        return [each for each in self.teams.values() if each.gives_by_itself]


class Routing:
    """Gives out what nobody has. Any number of processes may do so at once."""

    def __init__(
        self, teams: Teams, agents: Agents, agent_rows: AgentStore, hours: BusinessHours,
        conversations: ConversationStore, actions: ConversationActions, profiles: ProfileStore, doorbell: Doorbell,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._teams = teams
        self._agents = agents
        self._agent_rows = agent_rows
        self._hours = hours
        self._conversations = conversations
        self._actions = actions
        self._profiles = profiles
        self._doorbell = doorbell
        self._clock = clock

    async def hear(self, events: Sequence[Event]) -> None:
        """Something has changed for the queue. Writes nothing: what is to be done is read from the database."""
        if any(event.name in STIRRING for event in events):
            self._doorbell.soon("route")

    async def drain(self, limit: int) -> int:
        """Place, take back, give; how many conversations moved."""
        scene = await self._scene()
        if scene is None:
            return 0
        moved = await self._place(scene, limit, since=scene.now - RECENT)
        moved += await self._take_back(scene)
        for team in scene.giving:
            moved += await self._give_out(team, scene)
        return moved

    async def sweep(self) -> int:
        """What no ring leads to: conversations that were not looked at in time, and people who may not see what they
        have any more. A chore."""
        scene = await self._scene()
        if scene is None:
            return 0
        moved = await self._place(scene, QUEUE, since=None)
        for each in scene.people.values():
            moved += await self._take_unseen(each, scene)
        if moved:
            await self._doorbell.ring("route")
        return moved

    async def next_for(self, person: Colleague, by: Actor) -> Conversation | None:
        """Give somebody the one that waits most, of their teams or of those that have no team; None: nothing waits.
        By hand, so also beyond what they can have."""
        for row in await self._offered(person):
            try:
                return await self._actions.assign(row["_id"], person.id, by, assignee_name=person.name, expected=None)
            except Conflict:
                continue
        return None

    async def _offered(self, person: Colleague) -> list[Document]:
        found: list[Document] = []
        for team in await self._teams.of_member(person.id):
            found += await self._conversations.queue(team.id, OFFERED)
        channels = None if person.channels is None else sorted(person.channels)
        free = ConversationFilter(NOBODYS, channels=channels)
        waiting = await self._conversations.page(free, sort="waiting", limit=OFFERED)
        found += list((await self._conversations.rows(each.id for each in waiting.data)).values())
        return sorted((row for row in found if may_answer(person, row["channel_id"])), key=_urgency)

    async def _scene(self) -> _Scene | None:
        """None: there are no teams."""
        teams = await self._teams.all()
        if not teams:
            return None
        people = await self._agents.all()
        return _Scene({each.id: each for each in teams}, people, await self._agents.rules(), self._clock())

    # -- to the team of its channel ------------------------------------------------------------------------------

    async def _place(self, scene: _Scene, limit: int, since: datetime | None) -> int:
        if not scene.team_of:
            return 0
        moved = 0
        for row in await self._conversations.without_team(scene.team_of, limit, since):
            team = scene.team_of[row["channel_id"]]
            act = team_act(row, team.id, team.name, SYSTEM, chosen=False)
            moved += await self._actions.carried_out(row, act, SYSTEM) is not None
        return moved

    # -- from who is not there -----------------------------------------------------------------------------------

    async def _take_back(self, scene: _Scene) -> int:
        away = {user_id: each for user_id, each in scene.people.items() if not each.stands.here}
        if not away or not scene.giving:
            return 0
        moved = 0
        for row in await self._held_by(away, scene, stirred=True):
            holder = away[row["assignee_id"]]
            if goes_back(row, holder.stands, scene.now):
                moved += await self._release(row, holder, scene)
        return moved

    async def _take_unseen(self, holder: Present, scene: _Scene) -> int:
        person = holder.person
        if person.active and person.role in ("admin", "agent") and person.channels is None:
            return 0
        rows = await self._held_by([person.id], scene)
        unseen = [row for row in rows if not may_answer(person, row["channel_id"])]
        return sum([await self._release(row, holder, scene) for row in unseen])

    async def _held_by(self, people: Iterable[str], scene: _Scene, *, stirred: bool = False) -> list[Document]:
        """What these have of teams that give out by themselves; also what has not come to its team yet."""
        channels = [channel for each in scene.giving for channel in each.written.channel_ids]
        teams = [each.id for each in scene.giving]
        return await self._conversations.held_by(people, teams, channels, HELD, stirred=stirred)

    async def _release(self, row: Document, holder: Present, scene: _Scene) -> bool:
        team = scene.team_of.get(row["channel_id"])
        act = release_act(row, holder.person.name, team.id if team else None)
        return await self._actions.carried_out(row, act, SYSTEM) is not None

    # -- to somebody ---------------------------------------------------------------------------------------------

    async def _give_out(self, team: Team, scene: _Scene) -> int:
        if team.written.hours_id and not await self._hours.is_open(team.written.hours_id, scene.now):
            return 0
        rows = await self._conversations.queue(team.id, QUEUE)
        if not rows:
            return 0
        crew = await self._crew(team, scene)
        moved, staying = await self._pass_on(rows, team, scene)
        talks = await self._talks(staying, team, scene.now) if crew.have_room else {}
        for row in staying:
            if not crew.have_room:
                break
            moved += await self._give(row, talks[row["_id"]], crew)
        return moved

    async def _pass_on(self, rows: Sequence[Document], team: Team, scene: _Scene) -> tuple[int, list[Document]]:
        """What has waited too long goes to the other team; how many did, and those that stay."""
        policy = team.written.routing
        other = scene.teams.get(policy.fallback_team_id or "")
        if other is None or policy.max_wait_s is None:
            return 0, list(rows)
        moved, staying = 0, []
        for row in rows:
            fallen_from: list[str] = row.get("fallen_from") or []
            if other.id in fallen_from or _waited_s(row, scene.now) < policy.max_wait_s:
                staying.append(row)
                continue
            params = {"from": team.id, "to": other.id, "to_name": other.name, "by": None, "by_name": None}
            change = {"team_id": other.id, "fallen_from": [*fallen_from, team.id]}
            act = Act(change, (), "team_fallback", params, "conversation.assigned")
            moved += await self._actions.carried_out(row, act, SYSTEM) is not None
        return moved, staying

    async def _crew(self, team: Team, scene: _Scene) -> _Crew:
        workers = [scene.people[user_id] for user_id in team.workers if user_id in scene.people]
        present = {each.person.id: each for each in workers if each.stands.takes_work}
        loads = await self.loads(present)
        turns = {each.person.id: each.agent.turns.get(team.id, 0) for each in workers}
        abilities = Abilities(
            frozenset(skill for each in workers for skill in each.agent.skills),
            frozenset(language for each in workers for language in each.agent.languages),
        )
        return _Crew(team, scene.rules, present, loads, turns, abilities)

    async def loads(self, user_ids: Iterable[str], session: Session | None = None) -> dict[str, Load]:
        """What people have open; who has nothing is left out."""
        found = await self._conversations.loads(user_ids, session)
        return {user_id: Load(tuple(parts)) for user_id, parts in found.items()}

    async def _talks(self, rows: Sequence[Document], team: Team, now: datetime) -> dict[str, Talk]:
        policy = team.written.routing
        languages: dict[str, str] = {}
        if policy.skills:
            people = await self._profiles.many({row["profile_id"] for row in rows})
            languages = {each: code for each, profile in people.items() if (code := language_of(profile.locale))}
        last: dict[str, str] = {}
        if policy.last_agent_first:
            last = await self._conversations.last_assignees(row["profile_id"] for row in rows)
        return {
            row["_id"]: Talk(
                row["channel_id"], row["provider"], frozenset(label.casefold() for label in row.get("labels", ())),
                languages.get(row["profile_id"]), known_to(row) or last.get(row["profile_id"]),
                _waited_s(row, now),
            )
            for row in rows
        }  # fmt: skip

    async def _give(self, row: Document, talk: Talk, crew: _Crew) -> bool:
        """Whether somebody has it now through us."""
        for _ in range(ROUNDS):
            choice = choose(crew.candidates(talk.channel_id), talk, crew.team.written.routing, crew.abilities)
            if choice.candidate is None:
                return False
            try:
                return await self._given(row, talk, choice, choice.candidate, crew)
            except _TooLate:
                await self._look_again(crew)
        return False

    async def _given(self, row: Document, talk: Talk, choice: Choice, to: Candidate, crew: _Crew) -> bool:
        turn, rev = next_turn(crew.turns.values()), crew.present[to.id].agent.rev
        limits = to.limits

        async def within(session: Session, _row: Document, _acts: Sequence[Act]) -> None:
            if not await self._agent_rows.take_turn(to.id, rev, crew.team.id, turn, session):
                raise _TooLate
            held = (await self.loads([to.id], session)).get(to.id, Load())
            if not limits.hold(held, talk.channel_id, talk.provider):
                raise _TooLate

        act = _routed(row, choice, to, crew.team, self._clock())
        if await self._actions.carried_out(row, act, SYSTEM, within) is None:
            return False  # somebody took it, or wrote in it: the next look finds it
        before = crew.present[to.id]
        agent = before.agent.model_copy(update={"rev": rev + 1})
        crew.present[to.id] = Present(before.person, agent, before.stands)
        crew.loads[to.id] = to.load.and_one(talk.channel_id, talk.provider)
        crew.turns[to.id] = turn
        return True

    async def _look_again(self, crew: _Crew) -> None:
        """Others were quicker: everything about the people is read anew."""
        people = await self._agents.all()
        workers = [people[user_id] for user_id in crew.team.workers if user_id in people]
        crew.present = {each.person.id: each for each in workers if each.stands.takes_work}
        crew.turns = {each.person.id: each.agent.turns.get(crew.team.id, 0) for each in workers}
        crew.loads = await self.loads(crew.present)


def _routed(row: Document, choice: Choice, to: Candidate, team: Team, now: datetime) -> Act:
    params = {
        "from": None, "to": to.id, "to_name": to.name, "by": None, "by_name": None, "why": choice.why,
        "team_id": team.id, "team": team.name, "load": to.load.total, "needs": list(choice.needs),
    }  # fmt: skip
    return assign_act(row, to.id, "routed", params, now)


def _waited_s(row: Document, now: datetime) -> float:
    since: datetime | None = row.get("waiting_since")
    return (now - since).total_seconds() if since else 0.0


def _urgency(row: Document) -> tuple[int, bool, datetime, str]:
    """The most urgent first, then those where somebody waits, the longest first."""
    since: datetime | None = row.get("waiting_since")
    return -int(row.get("priority_rank", 0)), since is None, since or row["last_activity_at"], row["_id"]


def known_to(row: Document) -> str | None:
    """Who had this conversation, or wrote the last answer in it. Pure."""
    author: Mapping[str, str | None] = (row.get("last_message") or {}).get("author") or {}
    before: str | None = row.get("released_from")
    return before or (author.get("id") if author.get("type") == "agent" else None)


def language_of(locale: str | None) -> str | None:
    """`de` of `de-AT` or `de_AT`. Pure."""
    return (locale or "").replace("_", "-").partition("-")[0].casefold() or None
