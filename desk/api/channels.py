"""Channel accounts and the providers they can be of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.errors import FieldError, WrongInput
from channels.adapter import Card, settings_schema
from channels.failures import SendFailed
from channels.providers.mail.deliverability import Tone, Topic, judged, read_records, sending_of
from channels.store import RATE_MAX, Channel
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, Name, PageQuery, Patch, Time, View, page, sliced

operations = Operations("channels")


class ChannelCreate(Body):
    """A new account. Which settings a provider takes: `GET /channels/providers`."""

    provider: str = Field(pattern="^[a-z0-9_]{1,40}$")
    name: Name
    settings: dict[str, Any] = Field(default_factory=dict, max_length=50)


class ChannelPatch(Patch):
    """What to change; secrets left out stay as they are."""

    name: Name = ""
    settings: dict[str, Any] = Field(default_factory=dict, max_length=50)
    state: Literal["connected", "paused", "disconnected"] = "connected"
    rate_per_s: float | None = Field(
        None, gt=0, le=RATE_MAX, description="Messages a second over all workers; null: what the provider says."
    )


class ChannelView(View):
    """An account. `secret_names` says which secrets are set; their values are never shown."""

    id: str
    provider: str
    name: str
    settings: dict[str, Any]
    secret_names: list[str]
    state: str
    state_reason: str | None
    webhook_url: str
    received: int
    sent: int
    #: What its owner allows; null: what the provider says (`capabilities.rate_per_s` of its card).
    rate_per_s: float | None
    last_event_at: Time | None
    last_sent_at: Time | None
    last_error: dict[str, Any] | None
    created_at: Time
    updated_at: Time


class CheckResult(View):
    """What the provider said to the credentials."""

    ok: bool
    text: str


class TemplateButtonView(View):
    """A button of a template; `value`: it takes one."""

    title: str
    value: bool


class ApprovedView(View):
    """A template as the platform keeps it. Only `approved` ones can be sent."""

    name: str
    language: str
    status: str
    category: str | None
    body: str
    header: str | None
    footer: str | None
    body_values: int
    header_values: int
    header_file: str | None
    buttons: list[TemplateButtonView]
    reason: str | None


class Wanted(View):
    """It will be done."""

    wanted: bool


class ProviderView(View):
    """A provider's card."""

    provider: str
    label: str
    kind: str
    summary: str
    settings_schema: dict[str, Any]
    capabilities: dict[str, Any]
    steps: list[dict[str, Any]]
    documentation: list[str]


def channel_view(channel: Channel, base_url: str) -> ChannelView:
    """As people and programs see it."""
    known = {name: getattr(channel, name) for name in ChannelView.model_fields if name != "webhook_url"}
    url = f"{base_url}/webhooks/{channel.provider}/{channel.id}"
    return ChannelView.model_validate({**known, "secret_names": list(channel.secret_names), "webhook_url": url})


@operations("GET", "/channels", roles=["viewer"], query=PageQuery, returns=list[ChannelView])
async def list_channels(call: Call) -> Any:
    """List the channel accounts you may see."""
    channels = [each for each in await call.runtime.channels.list() if call.principal.may_see(each.id)]
    part, following = sliced(channels, lambda each: each.id, call.query)
    return page([channel_view(each, call.runtime.settings.base_url) for each in part], following)


@operations("POST", "/channels", roles=["admin"], body=ChannelCreate, returns=ChannelView, status=201)
async def create_channel(call: Call) -> Any:
    """Connect a channel account. Secrets are encrypted and never shown again."""
    refuse_scoped(call)
    if call.body.provider not in {card.provider for card in call.runtime.registry.cards()}:
        raise WrongInput("There is no such provider.", [FieldError("provider", "is not a provider we know")])
    channel = await call.runtime.channels.add(call.body.provider, call.body.name, call.body.settings)
    return channel_view(channel, call.runtime.settings.base_url)


@operations("GET", "/channels/providers", roles=["viewer"], query=PageQuery, returns=list[ProviderView])
async def list_providers(call: Call) -> Any:
    """List the providers with their settings and capabilities."""
    registry = call.runtime.registry
    cards, following = sliced(registry.cards(), lambda card: card.provider, call.query)
    return page([_provider_view(card, registry.get(card.provider).capabilities) for card in cards], following)


@operations("GET", "/channels/{id:chn}", roles=["viewer"], returns=ChannelView)
async def get_channel(call: Call) -> Any:
    """One channel account."""
    return channel_view(await _seen(call), call.runtime.settings.base_url)


@operations("PATCH", "/channels/{id:chn}", roles=["admin"], body=ChannelPatch, returns=ChannelView)
async def change_channel(call: Call) -> Any:
    """Change name, settings, state or sending rate of a channel account.

    A replaced secret is still accepted on incoming webhooks for seven days, so that rotation loses nothing.
    """
    await _seen(call)
    given = call.body.given()
    if "rate_per_s" in given:
        given["rate_per_s"] = given["rate_per_s"] or "provider"
    channel = await call.runtime.channels.update(call.path["id"], **given)
    return channel_view(channel, call.runtime.settings.base_url)


@operations("DELETE", "/channels/{id:chn}", roles=["admin"])
async def delete_channel(call: Call) -> None:
    """Disconnect a channel account for good; its messages stay."""
    await _seen(call)
    await call.runtime.channels.remove(call.path["id"])


@operations("POST", "/channels/{id:chn}/test", roles=["admin"], returns=CheckResult)
async def test_channel(call: Call) -> Any:
    """Try the credentials without sending anything."""
    channel = await _seen(call)
    account = await call.runtime.channels.account(channel.id)
    try:
        return CheckResult(ok=True, text=await call.runtime.registry.get(channel.provider).check(account))
    except SendFailed as error:
        return CheckResult(ok=False, text=str(error))


@operations("GET", "/channels/{id:chn}/templates", roles=["viewer"], query=PageQuery, returns=list[ApprovedView])
async def list_approved_templates(call: Call) -> Any:
    """List the templates the platform keeps for this account, as last fetched, with how many values each takes."""
    channel = await _seen(call)
    found = await call.runtime.approved.of(channel.id)
    part, following = sliced(found, lambda each: f"{each.name}:{each.language}", call.query)
    return page([ApprovedView.model_validate(each.model_dump()) for each in part], following)


@operations("POST", "/channels/{id:chn}/templates/fetch", roles=["admin"], status=202, returns=Wanted)
async def fetch_approved_templates(call: Call) -> Any:
    """Have the list read again within seconds, not within hours."""
    channel = await _seen(call)
    await call.runtime.approved.want_now(channel.id)
    return Wanted(wanted=True)


class FindingView(View):
    """One thing that receivers look at. `record`: what the DNS has to hold under `name`, where something is missing."""

    topic: Topic
    tone: Tone
    code: str
    params: dict[str, Any]
    name: str
    record: str


@operations("GET", "/channels/{id:chn}/deliverability", roles=["viewer"], query=PageQuery, returns=list[FindingView])
async def check_deliverability(call: Call) -> Any:
    """Read SPF, DKIM, DMARC, MX, return path and encryption of a mail channel, now. 404 for what sends no mail."""
    channel = await _seen(call)
    account = await call.runtime.channels.account(channel.id)
    sending = sending_of(account.settings, channel.provider) if account is not None else None
    if sending is None:
        raise not_there()
    findings = judged(sending, await read_records(call.runtime.dns, sending))
    part, following = sliced(findings, lambda each: each.topic, call.query)
    return page([FindingView.model_validate(each) for each in part], following)


async def _seen(call: Call) -> Channel:
    channel = await call.runtime.channels.get(call.path["id"])
    if channel is None:
        raise not_there()
    call.must_see(channel.id)
    found: Channel = channel
    return found


def _provider_view(card: Card, capabilities: Any) -> ProviderView:
    return ProviderView(
        provider=card.provider,
        label=card.label,
        kind=card.kind,
        summary=card.summary,
        settings_schema=settings_schema(card),
        capabilities=capabilities.model_dump(mode="json"),
        steps=[{"text": step.text, "link": step.link} for step in card.steps],
        documentation=list(card.documentation),
    )
