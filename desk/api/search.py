"""One question over messages, people and orders."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.messages import MessageView, message_view
from desk.api.orders import OrderView, order_view
from desk.api.profile_views import ProfileView, profile_view
from desk.api.scope import Asking, scoped_profile, seen_ids
from desk.api.shapes import Query, View
from inbox.searching import Hit
from orders.models import Order
from profiles.models import Profile
from profiles.store import ProfileFilter

operations = Operations("search")
KINDS = ("messages", "people", "orders")
_KIND = "|".join(KINDS)
#: Of each kind in one answer.
MOST = 50
#: People and orders that are read for one answer: who is limited to some channels sees some of them.
READ_MAX = 200


class SearchQuery(Query):
    """What to look for, and among what."""

    q: str = Field(min_length=1, max_length=200, pattern=r"\S")
    kinds: str = Field(
        ",".join(KINDS), pattern=rf"^({_KIND})(,({_KIND}))*$", description="One or several, with commas between them."
    )
    limit: int = Field(20, ge=1, le=MOST, description="Results of each kind.")


class MessageHitView(View):
    """A message, and the part of it in which the words stand."""

    message: MessageView
    conversation_id: str
    snippet: str


class SearchView(View):
    """What was found, of each kind that was asked for."""

    messages: list[MessageHitView]
    people: list[ProfileView]
    orders: list[OrderView]


@operations("GET", "/search", roles=["viewer"], query=SearchQuery, returns=SearchView)
async def search(call: Call) -> Any:
    """Search messages, people and orders.

    Messages have all the words that were asked for, the newest first: whole words, and for scripts without spaces any
    part of a sentence. People are found by beginnings of names, addresses and numbers, orders by their numbers.
    """
    q, kinds, limit = call.query.q, call.query.kinds.split(","), call.query.limit
    hits = await hits_for(call, q, limit) if "messages" in kinds else []
    people = await people_for(call, q, limit) if "people" in kinds else []
    orders = await orders_for(call, q, limit) if "orders" in kinds else []
    return SearchView(
        messages=[
            MessageHitView(
                message=message_view(hit.message), conversation_id=hit.message.conversation_id or "",
                snippet=hit.snippet,
            )
            for hit in hits
        ],
        people=[profile_view(scoped_profile(call, each)) for each in people],
        orders=[order_view(each) for each in orders],
    )  # fmt: skip


async def hits_for(asking: Asking, q: str, limit: int) -> list[Hit]:
    """Messages on the channels that somebody sees."""
    found: list[Hit] = await asking.runtime.searching.messages(q, asking.principal.reach, limit)
    return found


async def people_for(asking: Asking, q: str, limit: int) -> list[Profile]:
    """People whom somebody sees."""
    most = limit if asking.principal.channels is None else READ_MAX
    found = (await asking.runtime.profiles.page(ProfileFilter(q=q), sort="last_seen", limit=most)).data
    seen = await seen_ids(asking, {each.id for each in found})
    return [each for each in found if each.id in seen][:limit]


async def orders_for(asking: Asking, q: str, limit: int) -> list[Order]:
    """Orders by their numbers, of people whom somebody sees."""
    found = await asking.runtime.order_store.numbered(q, READ_MAX)
    seen = await seen_ids(asking, {each.profile_id for each in found})
    return [each for each in found if each.profile_id in seen][:limit]
