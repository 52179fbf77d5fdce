"""Values that tell nobody apart: our own addresses, what an administrator names, what too many people gave."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Time, View, page
from profiles.blocking import BlockInput, Kind, Why

operations = Operations("blocked values")


class BlockedValueBody(Body):
    """A value that shall decide nothing from now on. Numbers with their country code."""

    kind: Kind
    value: str = Field(min_length=1, max_length=200)
    dry_run: bool = Field(False, description="Only say who goes by this value today; nothing is written.")


class HolderView(View):
    """Somebody who goes by the value today, or shows it. Nothing changes for them."""

    id: str
    display_name: str


class BlockedValueView(View):
    """A blocked value. `why`: `named` by somebody, or given by `many_people`."""

    id: str | None
    kind: Kind
    value: str
    why: Why
    by: str | None
    at: Time | None
    held_by: list[HolderView] = Field(default_factory=list)


@operations("GET", "/blocked-values", roles=["viewer"], query=PageQuery, returns=list[BlockedValueView])
async def list_blocked_values(call: Call) -> Any:
    """List blocked values, newest first. The addresses of the desk's own people are blocked without being listed."""
    found = await call.runtime.blocking.page(limit=call.query.limit, cursor=call.query.cursor)
    return page([BlockedValueView.model_validate(each) for each in found.data], found.next_cursor)


@operations(
    "POST", "/blocked-values", roles=["admin"], body=BlockedValueBody, returns=BlockedValueView, status=201
)  # fmt: skip
async def block_value(call: Call) -> Any:
    """Block a value, and say who goes by it today. It is still written to and shown, but joins and suggests nobody.

    A block counts on every channel: who is limited to some may not make or take away any.
    """
    refuse_scoped(call)
    wanted = BlockInput(kind=call.body.kind, value=call.body.value)
    people = await call.runtime.blocking.holders(wanted)
    holders = [HolderView(id=each.id, display_name=each.display_name) for each in people]
    if call.body.dry_run:
        return BlockedValueView(
            id=None, kind=wanted.kind, value=wanted.value, why="named", by=None, at=None, held_by=holders
        )
    blocked = await call.runtime.blocking.add(wanted, call.principal.id)
    return BlockedValueView.model_validate({**blocked.model_dump(), "held_by": holders})


@operations("DELETE", "/blocked-values/{id:blk}", roles=["admin"])
async def unblock_value(call: Call) -> None:
    """From now on the value tells people apart again."""
    refuse_scoped(call)
    await call.runtime.blocking.remove(call.path["id"])
