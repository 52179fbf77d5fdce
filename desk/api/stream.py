"""The event stream in the document; `desk.live` serves it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.shapes import Query

operations = Operations("stream")


class StreamQuery(Query):
    """Where to go on; the header `Last-Event-ID` says the same."""

    after: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="The last id seen.")


@operations(
    "GET", "/stream", roles=["viewer"], query=StreamQuery, elsewhere=True, media_type="text/event-stream"
)  # fmt: skip
async def stream(call: Call) -> Any:
    """Server-sent events: what changed, as it changes.

    Every event has a growing id. `hello` says where the stream stands, `notice` carries `{type, at, data}` with ids to
    look at again, `reset` says that too much was missed and everything should be read anew. Coming back with
    `Last-Event-ID` misses nothing of the last three days.
    """
