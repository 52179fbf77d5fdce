"""Who has a conversation, the bot or people: given over, with a line that says why."""

from __future__ import annotations

from base.clock import Clock
from campaigns.automation.bots.store import BotStore
from inbox.acts import handed_over, handed_to_bot, in_team
from inbox.conversations import ConversationActions
from inbox.models import SYSTEM, Actor, Conversation
from inbox.owning import Reason
from inbox.store import ConversationStore, TeamStore


class HandOver:
    """What a bot has goes to people. Any of it may run twice: what people have stays as it is."""

    def __init__(
        self, bots: BotStore, conversations: ConversationStore, actions: ConversationActions, teams: TeamStore,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._bots = bots
        self._conversations = conversations
        self._actions = actions
        self._teams = teams
        self._clock = clock

    async def hand_over(
        self, conversation_id: str, reason: Reason, by: Actor = SYSTEM, *, team_id: str | None = None,
        said: str | None = None,
    ) -> Conversation:  # fmt: skip
        """People have it from now on: nobody in particular, or a team. `said`: the bot's own words.
        Raises `Conflict` for a bot that does not have it, `NotFound`."""
        found = await self._conversations.head(conversation_id)
        bot = await self._bots.known((found or {}).get("bot_id") or "")
        plans = [handed_over(by, reason, self._clock(), bot_name=bot["name"] if bot else None, said=said)]
        if team_id is not None:
            plans.append(in_team(team_id, by, name=(await self._teams.standing([team_id])).get(team_id)))
        return await self._actions.change(conversation_id, plans, by)

    async def give(self, conversation_id: str, by: Actor) -> Conversation:
        """The bot of its channel has it, and is told. Raises `NotFound`, and `Conflict` as
        `inbox.acts.handed_to_bot`."""
        found = await self._conversations.head(conversation_id)
        bots = await self._bots.on_channels([found["channel_id"]]) if found else {}
        return await self._actions.change(conversation_id, [handed_to_bot(bots, by, self._clock())], by)
