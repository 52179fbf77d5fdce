"""Settings → Channels: the gallery, the form drawn from the provider's card, the webhook address, the test."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from aiohttp import web

from base.errors import FieldError, NotFound, WrongInput
from base.ids import is_id, new_id
from campaigns.facts import RECEIVING_ONLY
from channels.adapter import Adapter, Card, settings_schema
from channels.capabilities import Capabilities
from channels.failures import SendFailed
from channels.store import RATE_MAX, Channel
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import base_url_of, runtime_of
from desk.pages.channel_proof import proof_of
from desk.pages.faces import Face, face_of, provider_face
from desk.pages.inbox import actor_of
from desk.pages.settings_form import FormField, emptied, fields_of, settings_from
from desk.render import formats_of, page, reader_of
from desk.tracking.door import PROVIDER as TRACKING
from inbox.models import ReplyInput

routes = web.RouteTableDef()
STATES = {
    "connected": (N_("Connected"), "good"), "paused": (N_("Paused"), "warn"), "disconnected": (N_("Disconnected"), ""),
}  # fmt: skip

GROUPS = (
    (N_("Messengers"), ("chat", "social", "sms")),
    (N_("Mail"), ("email",)),
    (N_("Shops and sites"), ("shop", "tracking")),
)


@dataclass(frozen=True)
class RateField:
    """How many messages a minute an account sends at most: what its owner wrote, and what the provider says."""

    value: str
    of_provider: int
    fault: str = ""


@dataclass(frozen=True)
class ChannelView:
    """One account in the gallery and on its page."""

    id: str
    name: str
    face: Face
    state: str
    state_label: str
    tone: str
    reason: str
    last_event_at: datetime | None
    received: str
    sent: str
    error: str
    error_at: datetime | None
    webhook_url: str
    #: What to copy into one's own pages; empty where somebody posts to us.
    embed: str = ""
    #: No page may show it yet.
    nowhere: bool = False
    #: 24 numbers, the last hour last: what came in and went out, and the height of each bar of 20.
    volume: tuple[tuple[str, int], ...] = ()
    day_total: str = ""
    errors_lately: int = 0


def provider_groups(cards: Iterable[Card], formats: Formats) -> list[tuple[str, list[tuple[Card, Face]]]]:
    """(heading, providers by name) for each kind there is, those most look for first."""
    known = sorted(cards, key=lambda card: card.label.casefold())
    kinds = [(heading, [(card, provider_face(card)) for card in known if card.kind in of]) for heading, of in GROUPS]
    return [(formats.text(heading), found) for heading, found in kinds if found]


def channel_view(channel: Channel, cards: Mapping[str, Card], base_url: str, formats: Formats) -> ChannelView:
    """An account as it is shown."""
    label, tone = STATES[channel.state]
    error, now = channel.last_error or {}, formats.now
    card = cards.get(channel.provider)
    counts = [hour.received + hour.sent for hour in channel.last_day]
    most = max(counts, default=0)
    bars = zip(channel.last_day, counts, strict=True)
    return ChannelView(
        id=channel.id,
        name=channel.name,
        face=face_of(channel.provider, channel.name, cards),
        state=channel.state,
        state_label=formats.text(label),
        tone=tone,
        reason=channel.state_reason or "",
        last_event_at=channel.last_event_at,
        received=formats.number(channel.received),
        sent=formats.number(channel.sent),
        error=str(error.get("text") or ""),
        error_at=error.get("at"),
        webhook_url=f"{base_url}/webhooks/{channel.provider}/{channel.id}",
        embed=card.embed.format(base_url=base_url, channel_id=channel.id) if card and card.embed else "",
        nowhere=bool(card and card.embed) and not channel.settings.get("allowed_origins"),
        volume=tuple(
            (f"{formats.clock(hour.at)}: {count}", -(-count * 20 // most) if most else 0) for hour, count in bars
        ),
        day_total=formats.number(sum(counts)),
        errors_lately=sum(hour.errors for hour in channel.last_day[-2:] if hour.at > now - timedelta(hours=2))
        if error and error.get("at") and error["at"] > now - timedelta(hours=1)
        else 0,
    )


@routes.get("/settings")
@require("viewer")
async def settings(request: web.Request) -> web.StreamResponse:
    """The first of the settings."""
    raise web.HTTPSeeOther("/settings/channels")


@routes.get("/settings/channels")
@require("viewer")
async def gallery(request: web.Request) -> web.StreamResponse:
    """Connected accounts, and the providers one may connect."""
    principal, runtime, formats = principal_of(request), runtime_of(request), formats_of(request, principal_of(request))
    cards = {card.provider: card for card in runtime.registry.cards()}
    seen = [each for each in await runtime.channels.list() if principal.may_see(each.id)]
    values = {
        "channels": [channel_view(each, cards, base_url_of(request), formats) for each in seen],
        "groups": provider_groups(cards.values(), formats),
        "may_change": principal.may_everywhere("admin"),
    }
    return await page(request, "settings/channels.html", values)


@routes.get("/settings/channels/new/{provider}")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """The form of a provider."""
    refuse_scoped(reading(request))
    return await _form(request, _card(request), None)


@routes.post("/settings/channels/new/{provider}")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Connect an account; faults stand beside their fields."""
    refuse_scoped(reading(request))
    card, form = _card(request), await read_form(request)
    schema, name = settings_schema(card), str(form.get("name", "")).strip()[:120]
    try:
        given = settings_from(schema, form, new=True)
        channel = await runtime_of(request).channels.add(card.provider, name or card.label, given)
    except WrongInput as error:
        return await _form(request, card, None, error, form)
    if card.provider == TRACKING and "write_key" not in given:  # the key was made for them: show it
        raise web.HTTPSeeOther(f"/settings/tracking?new={channel.id}#site-{channel.id}")
    raise web.HTTPSeeOther(f"/settings/channels/{channel.id}?new=1")


@routes.get("/settings/channels/{channel_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """An account: address to copy, state, form."""
    channel = await channel_of(request)
    return await _form(request, _card_of(request, channel.provider), channel)


@routes.post("/settings/channels/{channel_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form, or switch the account."""
    channel, form, runtime = await channel_of(request), await read_form(request), runtime_of(request)
    card = _card_of(request, channel.provider)
    if form.get("state") in STATES:
        await runtime.channels.update(channel.id, state=str(form["state"]))
        raise web.HTTPSeeOther(f"/settings/channels/{channel.id}")
    schema = settings_schema(card)
    given = settings_from(schema, form, new=False) | emptied(schema, form, channel.settings)
    try:
        name, rate = str(form.get("name", "")).strip()[:120] or channel.name, _rate_from(form)
        await runtime.channels.update(channel.id, name=name, settings=given, rate_per_s=rate)
    except WrongInput as error:
        return await _form(request, card, channel, error, form)
    raise web.HTTPSeeOther(f"/settings/channels/{channel.id}?saved=1")


@routes.post("/settings/channels/{channel_id}/test")
@require("admin")
async def test(request: web.Request) -> web.StreamResponse:
    """Try the credentials without sending anything."""
    channel, runtime = await channel_of(request), runtime_of(request)
    account = await runtime.channels.account(channel.id)
    try:
        tested = (True, await runtime.registry.get(channel.provider).check(account))
    except SendFailed as error:
        tested = (False, str(error))
    return await _form(request, _card_of(request, channel.provider), channel, tested=tested)


@routes.post("/settings/channels/{channel_id}/prove")
@require("admin")
async def prove(request: web.Request) -> web.StreamResponse:
    """Send a test answer to somebody who wrote on this channel, and watch what becomes of it."""
    channel, runtime, form = await channel_of(request), runtime_of(request), await read_form(request)
    talk_id = str(form.get("conversation", ""))
    talk = await runtime.conversations.get(talk_id) if is_id(talk_id, "cnv") else None
    text = str(form.get("text", "")).strip()[:500]
    if talk is None or talk.channel_id != channel.id or not text:
        raise WrongInput("Choose somebody who wrote on this channel, and a text.")
    actor, key = actor_of(principal_of(request)), str(form.get("client_key", ""))[:80] or new_id("msg")
    message = await runtime.outbox.reply(talk.id, actor, ReplyInput(text=text), key, exactly=True)
    raise web.HTTPSeeOther(f"/settings/channels/{channel.id}?proof={message.id}#proof")


@routes.post("/settings/channels/{channel_id}/register")
@require("admin")
async def register(request: web.Request) -> web.StreamResponse:
    """Have the provider post to our address, where its API can be told so."""
    channel, runtime, formats = await channel_of(request), runtime_of(request), reader_of(request)
    account, adapter = await runtime.channels.account(channel.id), runtime.registry.get(channel.provider)
    url = channel_view(channel, {}, base_url_of(request), formats).webhook_url
    try:
        said = await adapter.register_webhook(account, url)
        tested = (said is not None, said or N_("This provider has to be told by hand; see the steps."))
    except SendFailed as error:
        tested = (False, str(error))
    return await _form(request, adapter.card, channel, tested=tested)


@routes.post("/settings/channels/{channel_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Forget the credentials. Conversations stay."""
    channel = await channel_of(request)
    await runtime_of(request).channels.remove(channel.id)
    raise web.HTTPSeeOther("/settings/channels")


def _rate_from(form: Mapping[str, Any]) -> float | Literal["provider"] | None:
    """Messages a second, of what was written as messages a minute; None: the form has no such field."""
    text = str(form.get("rate_per_min", "-")).strip()
    if text == "-":
        return None
    if not text:
        return "provider"
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 0 < int(text) <= RATE_MAX * 60:
        told = N_("This is a number of 1 to 600000, or nothing.")
        raise WrongInput("The rate makes no sense.", [FieldError("rate_per_min", told)])
    return int(text) / 60


def _rate_field(
    card: Card, channel: Channel | None, form: Mapping[str, Any], able: Capabilities, fault: str
) -> RateField | None:
    """For accounts that are there and send messages."""
    if channel is None or card.kind in RECEIVING_ONLY:
        return None
    own = "" if channel.rate_per_s is None else str(max(round(channel.rate_per_s * 60), 1))
    return RateField(str(form.get("rate_per_min", own))[:10], round(able.rate_per_s * 60), fault)


def _card(request: web.Request) -> Card:
    return _card_of(request, request.match_info["provider"])


def _card_of(request: web.Request, provider: str) -> Card:
    card: Card = runtime_of(request).registry.get(provider).card
    return card


async def channel_of(request: web.Request) -> Channel:
    """The account of this page, if the reader may see it. Raises `NotFound`."""
    channel_id = request.match_info["channel_id"]
    channel = await runtime_of(request).channels.get(channel_id) if is_id(channel_id, "chn") else None
    if channel is None or not principal_of(request).may_see(channel.id):
        raise NotFound("There is no such channel.")
    return channel  # type: ignore[no-any-return]


async def _others(request: web.Request, fields: Sequence[FormField]) -> dict[str, list[tuple[str, str]]]:
    """Connected channels of the kinds that a field may name: kind → (id, name)."""
    kinds = {field.channel_kind for field in fields} - {""}
    found: dict[str, list[tuple[str, str]]] = {}
    for each in await runtime_of(request).channels.list() if kinds else ():
        kind = _card_of(request, each.provider).kind
        if kind in kinds and principal_of(request).may_see(each.id):
            found.setdefault(kind, []).append((each.id, each.name))
    return found


def _message_id(request: web.Request) -> str | None:
    given = request.query.get("proof", "")
    return given if is_id(given, "msg") else None


async def _form(
    request: web.Request, card: Card, channel: Channel | None, error: WrongInput | None = None,
    form: Mapping[str, Any] | None = None, tested: tuple[bool, str] | None = None,
) -> web.Response:  # fmt: skip
    principal, formats = principal_of(request), formats_of(request, principal_of(request))
    faults = {fault.path: fault.message for fault in error.errors} if error else {}
    values = dict(channel.settings) if channel else {}
    sent = {key.removeprefix("settings."): value for key, value in (form or {}).items() if key.startswith("settings.")}
    schema = settings_schema(card)
    fields = fields_of(schema, values | sent, channel.secret_names if channel else (), faults, new=channel is None)
    cards = {card.provider: card}
    adapter = runtime_of(request).registry.get(card.provider)
    shown = {
        "others": await _others(request, fields),
        "registers": type(adapter).register_webhook is not Adapter.register_webhook,
        "card": card, "face": provider_face(card), "fields": fields, "may_change": principal.may("admin"),
        "channel": channel_view(channel, cards, base_url_of(request), formats) if channel else None,
        "name": str((form or {}).get("name", "")) or (channel.name if channel else card.label),
        "problem": str(error) if error else "", "tested": tested, "saved": "saved" in request.query,
        "is_new": "new" in request.query, "client_key": new_id("msg"),
        "rate": _rate_field(card, channel, form or {}, adapter.capabilities, faults.get("rate_per_min", "")),
        "proof": await proof_of(runtime_of(request), channel, formats, _message_id(request)) if channel else None,
    }  # fmt: skip
    return await page(request, "settings/channel.html", shown, status=422 if error else 200)
