"""Rules of the house for answering."""

from __future__ import annotations

from typing import Any

from desk.api.contract import Call, Operations, not_there
from desk.api.scope import refuse_scoped
from inbox.answering import AnsweringRules
from inbox.reopening import Reopening

operations = Operations("answering")


@operations("GET", "/answering-rules", roles=["viewer"], returns=AnsweringRules)
async def get_answering_rules(call: Call) -> Any:
    """How long an answer from the desk can be taken back, and who may answer what is somebody else's (`lock`)."""
    return await call.runtime.answering.rules()


@operations("PUT", "/answering-rules", roles=["admin"], body=AnsweringRules, returns=AnsweringRules)
async def replace_answering_rules(call: Call) -> Any:
    """Replace them.

    With `lock` `warn` somebody else's conversation is answered with `send_anyway` only, with `assignee` by its assignee
    only. Programs are bound by it like people.
    """
    refuse_scoped(call)
    await call.runtime.answering.choose(call.body, call.principal.id)
    return await call.runtime.answering.rules()


@operations("GET", "/channels/{id:chn}/reopening", roles=["viewer"], returns=Reopening)
async def get_reopening(call: Call) -> Any:
    """Whether a new message opens a closed conversation of this channel again, or begins another one."""
    channel_id = await _seen_channel(call)
    rules = await call.runtime.answering.reopening([channel_id])
    return rules.get(channel_id, Reopening())


@operations("PUT", "/channels/{id:chn}/reopening", roles=["admin"], body=Reopening, returns=Reopening)
async def replace_reopening(call: Call) -> Any:
    """Choose that.

    `within`: the closed one is opened again in so many `days` after its last message, then another one begins;
    `always`, `never`.
    """
    channel_id = await _seen_channel(call)
    await call.runtime.answering.choose_reopening(channel_id, call.body, call.principal.id)
    return call.body


async def _seen_channel(call: Call) -> str:
    channel_id: str = call.path["id"]
    call.must_see(channel_id)
    if await call.runtime.channels.get(channel_id) is None:
        raise not_there()
    return channel_id
