"""Who has a conversation, the bot or people: given over, with a line that says why."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from base.clock import Clock
from base.errors import Conflict
from base.mongo import Document
from campaigns.automation.bots.store import BotStore
from inbox.acts import Act, Plan, handed_to_bot, in_team
from inbox.conversations import ConversationActions
from inbox.models import SYSTEM, Actor, Conversation
from inbox.owning import FIELDS, belongs_to, freed
from inbox.store import ConversationStore, TeamStore

#: Why a bot has lost it: it said so, was silent, failed, its answer did not arrive, it talked in circles, is off,
#: somebody asked for a person, said STOP before it was answered, or a person took it.
Reason = Literal["bot", "silent", "error", "undelivered", "circles", "off", "asked", "stopped", "taken"]


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
        said: str | None = None, to: Actor | None = None,
    ) -> Conversation:  # fmt: skip
        """People have it from now on: nobody in particular, a team, or somebody (`to`). `said`: the bot's own words.
        Raises `Conflict` for a bot that does not have it, `NotFound`."""
        found = await self._conversations.head(conversation_id)
        bot = await self._bots.known((found or {}).get("bot_id") or "")
        plans = [handed_over(by, reason, self._clock(), bot_name=bot["name"] if bot else None, said=said, to=to)]
        if team_id is not None:
            plans.append(in_team(team_id, by, name=(await self._teams.standing([team_id])).get(team_id)))
        return await self._actions.change(conversation_id, plans, by)

    async def give(self, conversation_id: str, by: Actor) -> Conversation:
        """The bot of its channel has it, and is told. Raises `NotFound`, and `Conflict` as
        `inbox.acts.handed_to_bot`."""
        found = await self._conversations.head(conversation_id)
        bots = await self._bots.on_channels([found["channel_id"]]) if found else {}
        return await self._actions.change(conversation_id, [handed_to_bot(bots, by, self._clock())], by)


def handed_over(
    by: Actor, reason: Reason, now: datetime, *, bot_name: str | None = None, said: str | None = None,
    to: Actor | None = None,
) -> Plan:  # fmt: skip
    """People have it. Where they have it already nothing is done, but a bot that does not have it is told so
    (`Conflict`)."""

    def plan(row: Document) -> Act | None:
        if by.type == "bot" and not belongs_to(row, by.id or ""):
            raise Conflict("People have this conversation now.", code="not_yours")
        change = freed(row, now)
        if not change:
            return None
        change |= {"assignee_id": to.id, "assigned_at": now} if to else {}
        told = {
            "from": row["status"], "to": "open", "by": by.id, "by_name": by.name, "bot_id": row.get("bot_id"),
            "bot_name": bot_name, "reason": reason, "said": said,
        }  # fmt: skip
        params = {name: value for name, value in told.items() if value is not None}
        return Act(change, FIELDS, "handed_over", params, "conversation.status_changed")

    return plan
