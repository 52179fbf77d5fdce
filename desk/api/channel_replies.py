"""What a channel says by itself: a greeting, that nobody is there, answers to certain words."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from campaigns.automation.replies.models import TEXT_MAX, ChannelReplies, Language
from desk.api.contract import Call, Operations, not_there
from desk.api.shapes import Body, ChannelId, PageQuery, View, When, page, sliced

operations = Operations("channel-replies")


class ChannelRepliesView(View):
    """One channel that says something by itself."""

    channel_id: ChannelId
    replies: ChannelReplies


class TrialInput(Body):
    """A message of somebody new. `replies`: as they would be; else as they stand."""

    text: str = Field(max_length=TEXT_MAX)
    at: When | None = Field(None, description="When it comes; else now.")
    language: Language | None = Field(None, description="The language of the person.")
    replies: ChannelReplies | None = None


class TrialView(View):
    """What would be said (`kind`, `text`) and done, or `why` nothing is said."""

    kind: str | None
    text: str | None
    labels: list[str]
    team_id: str | None
    why: str | None


@operations("GET", "/channel-replies", roles=["viewer"], query=PageQuery, returns=list[ChannelRepliesView])
async def list_channel_replies(call: Call) -> Any:
    """List the channels for which somebody has chosen what they say by themselves."""
    seen = [each.id for each in await call.runtime.channels.list() if call.principal.may_see(each.id)]
    chosen = await call.runtime.channel_replies.of(seen)
    found, following = sliced(sorted(chosen), lambda each: each, call.query)
    return page([ChannelRepliesView(channel_id=each, replies=chosen[each]) for each in found], following)


@operations("GET", "/channels/{id:chn}/replies", roles=["viewer"], returns=ChannelReplies)
async def get_channel_replies(call: Call) -> Any:
    """What this channel says by itself."""
    return await call.runtime.channel_replies.get(await _seen_channel(call))


@operations("PUT", "/channels/{id:chn}/replies", roles=["admin"], body=ChannelReplies, returns=ChannelReplies)
async def replace_channel_replies(call: Call) -> Any:
    """Choose that, as a whole.

    A keyword beats that nobody is there, which beats the greeting; words of consent (STOP, 退订) beat all and cannot be
    keywords. A greeting is said to one person at most once a day, that nobody is there once until it opens, an answer
    to a keyword once in ten minutes. Machines, groups and what our own people have answered get nothing. In texts
    stand blanks such as `{{ profile.first_name }}` and `{{ hours.opens }}`.
    """
    channel_id = await _seen_channel(call)
    await call.runtime.channel_replies.choose(channel_id, call.body, call.principal.id)
    return await call.runtime.channel_replies.get(channel_id)


@operations("POST", "/channels/{id:chn}/replies/try", roles=["viewer"], body=TrialInput, returns=TrialView)
async def try_channel_replies(call: Call) -> Any:
    """Say what would be answered to a message of somebody new. Nothing is sent or written."""
    channel_id, wanted = await _seen_channel(call), call.body
    book = call.runtime.channel_replies
    replies = wanted.replies or await book.get(channel_id)
    return TrialView.model_validate(await book.try_out(replies, wanted.text, wanted.at, wanted.language))


async def _seen_channel(call: Call) -> str:
    channel_id: str = call.path["id"]
    call.must_see(channel_id)
    if await call.runtime.channels.get(channel_id) is None:
        raise not_there()
    return channel_id
