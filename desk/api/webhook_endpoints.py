"""Addresses of your own that are told what happens, as Standard Webhooks, and what they were told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.errors import FieldError, WrongInput
from base.mongo import Document
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Time, View, When, listed, page, sliced
from webhooks.outgoing.endpoints import EndpointInput, EndpointPatch

operations = Operations("webhook endpoints")
#: How a post is called outside → how it is kept.
STATES = {"waiting": "planned", "delivered": "done", "failed": "failed"}
_NAMES = {kept: name for name, kept in STATES.items()}


class EndpointView(View):
    """An address that is told. `state` `disabled`: it was switched off by itself, because it only failed for five days
    (`failing`) or answered 410 (`gone`)."""

    id: str
    url: str
    events: list[str]
    channels: list[str] | None
    description: str
    state: Literal["on", "off", "disabled"]
    failing_since: Time | None
    disabled_at: Time | None = None
    disabled_why: Literal["failing", "gone"] | None = None
    created_at: Time
    updated_at: Time


class NewEndpointView(EndpointView):
    """With the secret that its posts are signed with, shown this once."""

    secret: str


class SecretView(View):
    """The new secret, shown this once. For a day the former one signs too."""

    secret: str


class TryView(View):
    """One time it was posted. `error` where no whole answer came; `answer` is the beginning of what came."""

    at: Time
    ms: int | None = None
    status: int | None = None
    error: str | None = None
    detail: str | None = None
    answer: str | None = None


class EndpointDeliveryView(View):
    """One event for one endpoint. `webhook_id` stays the same over all tries; `reason`: why it was given up without a
    try (`switched_off`, `removed`, `event_gone`, `crashed`)."""

    id: str
    event: str
    webhook_id: str
    state: Literal["waiting", "delivered", "failed"]
    profile_id: str | None
    channel_id: str | None
    created_at: Time
    next_try_at: Time | None
    settled_at: Time | None
    reason: str | None
    tries: list[TryView]


class EndpointDeliveryDetail(EndpointDeliveryView):
    """With what is posted; null: it is written right before the first try."""

    body: str | None


class EndpointDeliveryQuery(PageQuery):
    """Narrows the list."""

    state: Literal["waiting", "delivered", "failed"] | None = None


class RedeliverInput(Body):
    """Which of those that failed."""

    since: When | None = Field(None, description="Only what happened then or later.")


class RedeliveredView(View):
    """How many go again."""

    count: int


def endpoint_view(row: Document) -> EndpointView:
    """As programs see it."""
    return EndpointView.model_validate({**row, "id": row["_id"]})


def post_view(row: Document) -> EndpointDeliveryView:
    """As programs see it."""
    return EndpointDeliveryView.model_validate(_shown(row))


def reason_of(row: Document) -> str | None:
    """Why it was given up without a try."""
    said = row.get("said") or {}
    return said.get("error") if row["state"] == "failed" and "ms" not in said else None


def _shown(row: Document) -> Document:
    more = {
        "id": row["_id"], "webhook_id": row["event_id"], "state": _NAMES[row["state"]], "reason": reason_of(row),
        "next_try_at": row.get("due_at") if row["state"] == "planned" else None, "settled_at": row.get("settled_at"),
    }  # fmt: skip
    return {**row, **more}


@operations("GET", "/webhook-endpoints", roles=["admin"], query=PageQuery, returns=list[EndpointView])
async def list_webhook_endpoints(call: Call) -> Any:
    """List endpoints, the newest first. Who is limited to some channels sees those that are told of no others."""
    rows = [row for row in await call.runtime.endpoints.all() if may_look_after(call, row["channels"])]
    found, following = sliced(rows, lambda row: row["_id"], call.query)
    return page([endpoint_view(each) for each in found], following)


@operations(
    "POST", "/webhook-endpoints", roles=["admin"], body=EndpointInput, returns=NewEndpointView, status=201,
    shows_secret=True,
)  # fmt: skip
async def create_webhook_endpoint(call: Call) -> Any:
    """Tell an address of events, signed with a secret that is shown this once.

    `events` holds names, `order.*` for all of a family, or `*`. Each event is posted as Standard Webhooks; the
    `webhook-id` is the event's and stays the same over retries, so that a receiver can pass over what it has. An
    answer other than 2xx is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h.
    """
    wanted: EndpointInput = call.body
    await check_channels(call, wanted.channels)
    row, secret = await call.runtime.endpoints.create(wanted, call.principal.id)
    return NewEndpointView.model_validate({**endpoint_view(row).model_dump(), "secret": secret})


@operations("GET", "/webhook-endpoints/{id:whk}", roles=["admin"], returns=EndpointView)
async def get_webhook_endpoint(call: Call) -> Any:
    """One endpoint, without its secret."""
    return endpoint_view(await _seen(call))


@operations("PATCH", "/webhook-endpoints/{id:whk}", roles=["admin"], body=EndpointPatch, returns=EndpointView)
async def change_webhook_endpoint(call: Call) -> Any:
    """Change what is given; `state` switches it off and on. What happens while it is off is not told later."""
    row, patch = await _seen(call), call.body
    given = {name: getattr(patch, name) for name in patch.model_fields_set}
    if "channels" in given:
        await check_channels(call, given["channels"])
    return endpoint_view(await call.runtime.endpoints.change(row["_id"], given))


@operations("DELETE", "/webhook-endpoints/{id:whk}", roles=["admin"])
async def delete_webhook_endpoint(call: Call) -> None:
    """Take it away; what waits for it does not go. For 30 days `restore` puts it back."""
    await call.runtime.endpoints.remove((await _seen(call))["_id"])


@operations("POST", "/webhook-endpoints/{id:whk}/restore", roles=["admin"], returns=EndpointView)
async def restore_webhook_endpoint(call: Call) -> Any:
    """Undo that."""
    row = await call.runtime.endpoints.known(call.path["id"])
    if not may_look_after(call, row["channels"]):
        raise not_there()
    return endpoint_view(await call.runtime.endpoints.restore(row["_id"]))


@operations(
    "POST", "/webhook-endpoints/{id:whk}/secret", roles=["admin"], returns=SecretView, status=201, shows_secret=True
)  # fmt: skip
async def exchange_webhook_endpoint_secret(call: Call) -> Any:
    """Make a new secret. For a day both sign, so that the receiver can follow."""
    return SecretView(secret=await call.runtime.endpoints.exchange((await _seen(call))["_id"]))


@operations(
    "POST", "/webhook-endpoints/{id:whk}/test", roles=["admin"], returns=EndpointDeliveryView, status=202
)  # fmt: skip
async def test_webhook_endpoint(call: Call) -> Any:
    """Post a `webhook.test` once, also while it is off. The delivery tells what came of it."""
    return post_view(await call.runtime.endpoints.test((await _seen(call))["_id"]))


@operations(
    "GET", "/webhook-endpoints/{id:whk}/deliveries", roles=["admin"], query=EndpointDeliveryQuery,
    returns=list[EndpointDeliveryView],
)  # fmt: skip
async def list_webhook_endpoint_deliveries(call: Call) -> Any:
    """List what it was told and is to be told, the newest first. Kept for 30 days after its end."""
    wanted: EndpointDeliveryQuery = call.query
    found = await call.runtime.endpoints.deliveries(
        (await _seen(call))["_id"], limited=_is_limited(call), state=STATES.get(wanted.state or ""),
        limit=wanted.limit, cursor=wanted.cursor,
    )  # fmt: skip
    return listed(found, [post_view(each) for each in found.data])


@operations(
    "GET", "/webhook-endpoints/{id:whk}/deliveries/{delivery_id:whd}", roles=["admin"], returns=EndpointDeliveryDetail
)  # fmt: skip
async def get_webhook_endpoint_delivery(call: Call) -> Any:
    """One delivery with what is posted."""
    endpoint, wanted = await _seen(call), call.path["delivery_id"]
    row = await call.runtime.endpoints.delivery(endpoint["_id"], wanted, limited=_is_limited(call))
    return EndpointDeliveryDetail.model_validate({**_shown(row), "body": row.get("body")})


@operations(
    "POST", "/webhook-endpoints/{id:whk}/deliveries/{delivery_id:whd}/redeliver", roles=["admin"],
    returns=EndpointDeliveryView, status=202,
)  # fmt: skip
async def redeliver_webhook(call: Call) -> Any:
    """Post it again at once: the same words under the same `webhook-id`, with all retries before it.

    Where the endpoint's channels have changed since, it is written anew for those of today."""
    endpoint, wanted = await _seen(call), call.path["delivery_id"]
    return post_view(await call.runtime.endpoints.redeliver(endpoint["_id"], wanted, limited=_is_limited(call)))


@operations(
    "POST", "/webhook-endpoints/{id:whk}/redeliver", roles=["admin"], body=RedeliverInput, returns=RedeliveredView,
    status=202,
)  # fmt: skip
async def redeliver_failed_webhooks(call: Call) -> Any:
    """The same for all that failed, for after a fault that was mended."""
    count = await call.runtime.endpoints.redeliver_failed((await _seen(call))["_id"], call.body.since)
    return RedeliveredView(count=count)


def may_look_after(asking: Any, channels: list[str] | None) -> bool:
    """Whether they may see to an endpoint for these channels: it is told nothing that they may not see."""
    scope = asking.principal.channels
    return scope is None or (channels is not None and scope.issuperset(channels))


async def check_channels(asking: Any, channels: list[str] | None) -> None:
    """Raise `WrongInput` for a channel that is not there, `NotFound` for one out of scope, `Refused` for all of them by
    who is limited to some."""
    if channels is None:
        refuse_scoped(asking)
    for place, channel_id in enumerate(channels or ()):
        if not asking.principal.may_see(channel_id):
            raise not_there()
        if await asking.runtime.channels.get(channel_id) is None:
            fault = FieldError(f"channels[{place}]", "names a channel that does not exist")
            raise WrongInput("There is no such channel.", [fault])


def _is_limited(call: Call) -> bool:
    return call.principal.channels is not None


async def _seen(call: Call) -> Document:
    row: Document = await call.runtime.endpoints.get(call.path["id"])
    if not may_look_after(call, row["channels"]):
        raise not_there()
    return row
