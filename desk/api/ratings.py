"""How satisfied people said they were, and when they are asked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.mongo import Document
from desk.api.contract import Call, Operations
from desk.api.scope import id_today, refuse_scoped
from desk.api.shapes import ChannelId, ConversationId, PageQuery, ProfileId, Time, UserId, View, listed
from inbox.ratings import NpsRules, RatingRules
from inbox.store import RatingFilter

operations = Operations("ratings")


class RatingQuery(PageQuery):
    """Narrows the list."""

    kind: Literal["csat", "nps"] = Field("csat", description="Marks from 1 to 5, or recommendations from 0 to 10.")
    score: int | None = Field(None, ge=0, le=10)
    agent: UserId | None = None
    channel: ChannelId | None = None
    conversation: ConversationId | None = None
    profile: ProfileId | None = None


class RatingView(View):
    """A mark from 1 (bad) to 5 (very good), of `nps` from 0 to 10. `agent_id`: whose conversation it was when the
    question went out."""

    id: str
    kind: Literal["csat", "nps"]
    score: int
    comment: str | None
    conversation_id: str
    profile_id: str
    channel_id: str
    agent_id: str | None
    team_id: str | None
    asked_at: Time
    answered_at: Time


def rating_view(row: Document) -> RatingView:
    """As people and programs see it."""
    absent = dict.fromkeys(("comment", "agent_id", "team_id"))
    return RatingView.model_validate({**absent, "kind": "csat", **row, "id": row["_id"]})


@operations("GET", "/ratings", roles=["viewer"], query=RatingQuery, returns=list[RatingView])
async def list_ratings(call: Call) -> Any:
    """List ratings, the latest first."""
    wanted: RatingQuery = call.query
    narrowed = RatingFilter(
        kind=wanted.kind, score=wanted.score, agent_id=wanted.agent, channel_id=wanted.channel,
        conversation_id=wanted.conversation, profile_id=await id_today(call, wanted.profile),
        channels=call.principal.reach,
    )  # fmt: skip
    found = await call.runtime.rating_rows.page(narrowed, limit=wanted.limit, cursor=wanted.cursor)
    return listed(found, [rating_view(each) for each in found.data])


@operations("GET", "/rating-rules", roles=["viewer"], returns=RatingRules)
async def get_rating_rules(call: Call) -> Any:
    """When people are asked how satisfied they are."""
    return await call.runtime.ratings.rules()


@operations("PUT", "/rating-rules", roles=["admin"], body=RatingRules, returns=RatingRules)
async def replace_rating_rules(call: Call) -> Any:
    """Say when people are asked.

    Once after a colleague has resolved a conversation, never twice within `apart_days`, and only where the reply window
    of the channel allows it: with a button for each mark, else with a link.
    """
    refuse_scoped(call)
    await call.runtime.ratings.choose(call.body, call.principal.id)
    return await call.runtime.ratings.rules()


@operations("GET", "/nps-rules", roles=["viewer"], returns=NpsRules)
async def get_nps_rules(call: Call) -> Any:
    """When people are asked whether they recommend us."""
    return await call.runtime.ratings.nps_rules()


@operations("PUT", "/nps-rules", roles=["admin"], body=NpsRules, returns=NpsRules)
async def replace_nps_rules(call: Call) -> Any:
    """Say when people are asked whether they recommend us.

    As ratings are, instead of one: after a colleague has resolved a conversation, never twice within `apart_days`.
    `by_channel`: what a channel has otherwise.
    """
    refuse_scoped(call)
    await call.runtime.ratings.choose_nps(call.body, call.principal.id)
    return await call.runtime.ratings.nps_rules()
