"""Bots: programs of your own that answer first, and hand over to people."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.mongo import Document
from campaigns.automation.bots.book import MadeBot
from campaigns.automation.bots.models import SILENT_MAX_S, SILENT_MIN_S, BotInput, ChannelIds, Title, Url, Words
from desk.api.contract import Call, Operations, not_there
from desk.api.conversations import ConversationView, conversation_view, seen_talk, team_or_refuse
from desk.api.messages import actor_of
from desk.api.scope import Asking, refuse_scoped
from desk.api.shapes import Body, PageQuery, Patch, TeamId, Time, View, page, sliced

operations = Operations("bots")


class BotPatch(Patch):
    """Parts to replace, each as a whole."""

    name: Title = "-"
    url: Url = "https://example.com/bot"
    channel_ids: ChannelIds = Field(default_factory=list)
    silent_s: int = Field(SILENT_MIN_S, ge=SILENT_MIN_S, le=SILENT_MAX_S)
    person_words: Words = Field(default_factory=list)
    active: bool = True


class BotView(View):
    """A bot as it stands. `last_error`: why it lost a conversation last, until it works again."""

    id: str
    name: str
    url: str
    channel_ids: list[str]
    silent_s: int
    person_words: list[str]
    active: bool
    last_error: str | None
    last_failed_at: Time | None
    created_at: Time
    updated_at: Time


class NewBotView(BotView):
    """With the secret its posts are signed with and the token it answers by, both shown this once."""

    secret: str
    token: str


class BotSecretView(View):
    """The new secret, shown this once. For a day the former one signs too."""

    secret: str


class BotTokenView(View):
    """The new token, shown this once. The former one opens nothing any more."""

    token: str


class HandOverInput(Body):
    """To whom: all people of the channel, a team, or the bot of its channel. `reason`: in the bot's own words, for the
    line that says so."""

    to: Literal["agents", "team", "bot"] = "agents"
    team_id: TeamId | None = None
    reason: str | None = Field(None, max_length=300)


def bot_view(row: Document) -> BotView:
    """As people and programs see it."""
    absent = dict.fromkeys(("last_error", "last_failed_at"))
    return BotView.model_validate({**absent, **row, "id": row["_id"]})


def new_bot_view(made: MadeBot) -> NewBotView:
    """With what is shown once."""
    return NewBotView(**bot_view(made.row).model_dump(), secret=made.secret, token=made.key)


def may_see_bot(asking: Asking, row: Document) -> bool:
    """Whether all its channels are the reader's."""
    return all(asking.principal.may_see(each) for each in row["channel_ids"])


@operations("GET", "/bots", roles=["admin"], query=PageQuery, returns=list[BotView])
async def list_bots(call: Call) -> Any:
    """List bots, the newest first. Who is limited to some channels sees those that are on no others."""
    rows = [row for row in await call.runtime.bots.all() if may_see_bot(call, row)]
    found, following = sliced(rows, lambda row: row["_id"], call.query)
    return page([bot_view(each) for each in found], following)


@operations("POST", "/bots", roles=["admin"], body=BotInput, returns=NewBotView, status=201, shows_secret=True)
async def create_bot(call: Call) -> Any:
    """Let a program answer first on some channels.

    Conversations that begin or come back there are the bot's (`owner` `bot`, `status` `pending`): each message is
    posted to `url` as Standard Webhooks, and the bot answers by its token with `POST /conversations/{id}/messages` or
    hands over with `POST /conversations/{id}/hand-over`. Silent for `silent_s`, failing, or asked for a person it loses
    the conversation to people; a colleague who writes takes it at once. 409 `channel_taken` for a channel that has one.
    """
    refuse_scoped(call)
    return new_bot_view(await call.runtime.bots.create(call.body, call.principal.id))


@operations("GET", "/bots/{id:bot}", roles=["admin"], returns=BotView)
async def get_bot(call: Call) -> Any:
    """One bot."""
    row = await call.runtime.bots.get(call.path["id"])
    if not may_see_bot(call, row):
        raise not_there()
    return bot_view(row)


@operations("PATCH", "/bots/{id:bot}", roles=["admin"], body=BotPatch, returns=BotView)
async def change_bot(call: Call) -> Any:
    """Replace parts of a bot. What it has on channels that it loses goes to people, all of it when switched off."""
    refuse_scoped(call)
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    return bot_view(await call.runtime.bots.change(call.path["id"], given))


@operations("DELETE", "/bots/{id:bot}", roles=["admin"])
async def delete_bot(call: Call) -> None:
    """Take a bot away; what it has goes to people. For 30 days it can be put back."""
    refuse_scoped(call)
    await call.runtime.bots.remove(call.path["id"])


@operations("POST", "/bots/{id:bot}/restore", roles=["admin"], returns=BotView)
async def restore_bot(call: Call) -> Any:
    """Undo a deletion: its token opens again, and new conversations are its own."""
    refuse_scoped(call)
    return bot_view(await call.runtime.bots.restore(call.path["id"]))


@operations("POST", "/bots/{id:bot}/secret", roles=["admin"], returns=BotSecretView, shows_secret=True)
async def exchange_bot_secret(call: Call) -> Any:
    """Sign with a new secret from now on, shown this once; for a day the former one signs too."""
    refuse_scoped(call)
    return BotSecretView(secret=await call.runtime.bots.exchange(call.path["id"]))


@operations("POST", "/bots/{id:bot}/token", roles=["admin"], returns=BotTokenView, shows_secret=True)
async def exchange_bot_token(call: Call) -> Any:
    """Give a bot another token, shown this once; the former one opens nothing any more."""
    refuse_scoped(call)
    return BotTokenView(token=await call.runtime.bots.new_key(call.path["id"], call.principal.id))


@operations(
    "POST", "/conversations/{id:cnv}/hand-over", roles=["agent"], body=HandOverInput, returns=ConversationView
)  # fmt: skip
async def hand_over_conversation(call: Call) -> Any:
    """Give a conversation from its bot to people or a team of them, or (`to` `bot`) from people to the bot.

    By the bot itself (409 `not_yours` once people have it), or by a person, who leaves it to colleagues. Where people
    have it already, only the team changes. `bot`: the one of its channel, which is told so and answers from then on;
    409 `no_bot` where there is none, `unfit` for groups and what was merged or split off.
    """
    wanted: HandOverInput = call.body
    found = await seen_talk(call)
    if wanted.to == "bot":
        return conversation_view(call, await call.runtime.handing.give(found.id, actor_of(call.principal)))
    team_id = wanted.team_id if wanted.to == "team" else None
    await team_or_refuse(call, wanted.team_id)
    by = actor_of(call.principal)
    reason = "bot" if by.type == "bot" else "taken"
    talk = await call.runtime.handing.hand_over(found.id, reason, by, team_id=team_id, said=wanted.reason)
    return conversation_view(call, talk)
