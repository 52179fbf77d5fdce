"""Rules of the house for answering."""

from __future__ import annotations

from typing import Any

from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from inbox.answering import AnsweringRules

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
