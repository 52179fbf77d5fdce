"""What can be chosen in the forms of actions, and what is named in them: read from the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from desk.api.canned_replies import seen_canned
from desk.api.scope import reading
from desk.auth import principal_of
from desk.keys import runtime_of
from desk.pages.action_forms import TOLD, WHOM
from desk.pages.journey_sources import sources_of
from desk.pages.reads import together
from desk.pages.segment_rows import Choices, Option
from desk.render import formats_of


async def action_sources(request: web.Request) -> tuple[dict[str, Sequence[Option]], Choices]:
    """Name → (value, words) of what fields offer, and what conditions offer."""
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    scope = principal.reach
    found = await together(
        canned=seen_canned(reading(request)), labels=runtime.conversations.labels_in_use(scope),
        hours=runtime.business_hours.all(), sources=sources_of(runtime, formats, {}, ""),
    )  # fmt: skip
    sources, choices = found["sources"]
    users = sources["users"]
    said = [(key, formats.text(words)) for key, words in WHOM]
    sources |= {
        "whom": [*said, *users], "somebody": [*said[:2], *users],
        "told": [*((key, formats.text(words)) for key, words in TOLD), *users],
        "canned": [(each.id, f"/{each.shortcut} {each.title}".strip()) for each in found["canned"]],
        "labels": [(each, "") for each in found["labels"]],
        "hours": [(each.id, each.written.name) for each in found["hours"]],
        "accounts": [
            (each.id, each.name) for each in await runtime.channels.list() if principal.may_see(each.id)
        ],
    }  # fmt: skip
    return sources, choices


def called_in(sources: Mapping[str, Sequence[Option]]) -> dict[str, Any]:
    """What ids in actions are called."""
    kinds = ("users", "teams", "journeys", "canned", "stages")
    return {key: words for kind in kinds for key, words in sources[kind] if words}
