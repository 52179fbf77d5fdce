"""`/p/{token}`: what somebody wants to hear, per group and channel, in their language. `/confirm/{token}`: a yes that
is confirmed.

A link was sent to one address. It switches messages off on every address of the person, and on only on its own:
whoever was forwarded a mail must not sign up a stranger's telephone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from desk.auth import public
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.strangers import (
    TOKEN,
    Stranger,
    back_to,
    for_stranger,
    formats_for,
    masked,
    nobody_page,
    open_page,
)
from desk.pages.unsubscribe import REASONS, name_of
from profiles.consent import MARKETING, AddressConsent, ConsentAct
from profiles.consent_groups import ConsentGroup

routes = web.RouteTableDef()
#: Days of a pause; 0 is for good.
PAUSES = {"30": 30, "90": 90, "0": 0}


@dataclass(frozen=True)
class Switch:
    """One group on one way to write to the person. `value`: what the form calls it."""

    value: str
    label: str
    on: bool
    #: It cannot be switched on from here: it is another address than the one the link was sent to.
    fixed: bool
    pending: bool


@dataclass(frozen=True)
class Topic:
    """One group with its switches."""

    key: str
    name: str
    description: str
    wording: str
    switches: tuple[Switch, ...]


@routes.get("/p/" + TOKEN)
@public
@for_stranger("preferences")
async def show(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """The choices as they stand."""
    formats, places = formats_for(request, stranger), await _places(request, stranger)
    own = next((each for each in places if each.identity.id == stranger.identity.id), places[0])
    general = own.states.get(MARKETING)
    paused = general is not None and not general.granted
    values = {
        "topics": topics_of(await _groups(request, formats), places, own, _labels(request, formats), formats),
        "address": masked(stranger.identity), "paused": paused, "reasons": REASONS,
        "until": formats.date(general.until) if general is not None and paused and general.until else "",
        "just_now": request.query.get("done", ""), "profiled": not stranger.profile.profiling_off,
    }  # fmt: skip
    return open_page(request, "public/preferences.html", formats, values)


@routes.post("/p/" + TOKEN)
@public
@for_stranger("preferences", acts=True)
async def save(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """Save the switches that were moved; pause everything; or end a pause."""
    form, places = await read_form(request), await _places(request, stranger)
    if "profiling" in form:
        await _switch_profiling(request, stranger, on=form["profiling"] == "on")
        return back_to(request, done="saved")
    reason = str(form.get("reason", ""))
    if "resume" in form:
        acts, done = resumed(places, stranger), "again"
    elif "pause" in form:
        until = pause_end(str(form.get("pause_for", "")), runtime_of(request).clock())
        acts, done = [_act(each, stranger, MARKETING, False, reason, until) for each in places], "paused"
    else:
        moved = {name: [str(each) for each in form.getall(name, [])] for name in ("shown", "was", "on")}
        known = {each.key for each in await _groups(request, formats_for(request, stranger))}
        acts, done = chosen(moved, places, stranger, known, reason), "saved"
    language = formats_for(request, stranger).language
    for act in acts:
        await runtime_of(request).consent.act(act(language))
    runtime_of(request).doorbell.soon("react")
    return back_to(request, done=done)


@routes.get("/confirm/" + TOKEN)
@public
@for_stranger("confirm")
async def ask(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """What is to be confirmed. Looking confirms nothing: programs look, too."""
    if stranger.link.about is None:
        return nobody_page(request)
    runtime, formats = runtime_of(request), formats_for(request, stranger)
    group = await runtime.consent.groups.of(stranger.link.purpose)
    values = {
        "group": await name_of(request, stranger.link.purpose, formats), "address": masked(stranger.identity),
        "wording": group.said(formats.language).wording if group else "",
        "state": await runtime.consent.confirmation(stranger.link.about),
    }  # fmt: skip
    return open_page(request, "public/confirm.html", formats, values)


@routes.post("/confirm/" + TOKEN)
@public
@for_stranger("confirm", acts=True)
async def confirm(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """The yes counts from now on. May be posted twice."""
    if stranger.link.about is None:
        return nobody_page(request)
    runtime = runtime_of(request)
    await runtime.consent.confirm(stranger.link.about, formats_for(request, stranger).language)
    runtime.doorbell.soon("react")
    return back_to(request)


async def _switch_profiling(request: web.Request, stranger: Stranger, *, on: bool) -> None:
    """About the person, whichever of their addresses the link was sent to: nothing is sent because of it."""
    await runtime_of(request).profiling.switch(
        stranger.profile.id, on, source="preference_centre",
        proof=stranger.link.about or f"link to {masked(stranger.identity)}",
        language=formats_for(request, stranger).language,
    )  # fmt: skip


# -- what is chosen, pure ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chosen:
    """An act that still has to be told in which language it was done."""

    identity_id: str
    purpose: str
    granted: bool
    proof: str | None
    reason: str | None
    until: datetime | None

    def __call__(self, language: str) -> ConsentAct:
        return ConsentAct(
            self.identity_id, self.purpose, self.granted, "preference_centre", proof=self.proof, reason=self.reason,
            until=self.until, language=language, if_news=True,
        )  # fmt: skip


def chosen(
    moved: Mapping[str, Sequence[str]], places: Sequence[AddressConsent], stranger: Stranger, known: Iterable[str],
    reason: str = "",
) -> list[_Chosen]:  # fmt: skip
    """The acts behind the switches that differ from how they were shown, so that nothing else is touched."""
    by_id, purposes, acts = {each.identity.id: each for each in places}, set(known), []
    for value in dict.fromkeys(moved["shown"]):
        identity_id, _, purpose = value.partition(":")
        place, now_on = by_id.get(identity_id), value in moved["on"]
        if place is None or purpose not in purposes or now_on == (value in moved["was"]):
            continue
        if now_on and not _is_own(place, stranger):
            continue
        acts.append(_act(place, stranger, purpose, now_on, "" if now_on else reason))
    return acts


def resumed(places: Sequence[AddressConsent], stranger: Stranger) -> list[_Chosen]:
    """End the no to everything: on the link's own address, and elsewhere where it was only a pause."""
    acts = []
    for place in places:
        state = place.states.get(MARKETING)
        denied = state is not None and not state.granted
        if denied and state is not None and (state.until is not None or _is_own(place, stranger)):
            acts.append(_act(place, stranger, MARKETING, True))
    return acts


def pause_end(days: str, now: datetime) -> datetime | None:
    """When a pause ends; None: never."""
    length = PAUSES.get(days, 0)
    return now + timedelta(days=length) if length else None


def topics_of(
    groups: Sequence[ConsentGroup], places: Sequence[AddressConsent], own: AddressConsent,
    labels: Mapping[str, str], formats: Formats,
) -> list[Topic]:  # fmt: skip
    """Every group with a switch for each way to write to the person, the link's own address first."""
    ordered = sorted(places, key=lambda place: place is not own)
    topics = []
    for group in groups:
        said = group.said(formats.language)
        switches = []
        for place in ordered:
            on = place.wants(group.key)
            title = " ".join(part for part in (labels[place.identity.channel_label], masked(place.identity)) if part)
            fixed = not on and place.identity.address_key != own.identity.address_key
            value = f"{place.identity.id}:{group.key}"
            switches.append(Switch(value, title, on, fixed, group.key in place.awaited and not on))
        topics.append(
            Topic(group.key, said.name or group.name, said.description, said.wording, tuple(switches))
        )  # fmt: skip
    return topics


def _act(
    place: AddressConsent, stranger: Stranger, purpose: str, granted: bool, reason: str = "",
    until: datetime | None = None,
) -> _Chosen:  # fmt: skip
    kept = reason if reason in REASONS and not granted else None
    return _Chosen(place.identity.id, purpose, granted, stranger.link.about, kept, until)


def _is_own(place: AddressConsent, stranger: Stranger) -> bool:
    return place.identity.address_key == stranger.identity.address_key


# -- what is read --------------------------------------------------------------------------------------------------


async def _places(request: web.Request, stranger: Stranger) -> list[AddressConsent]:
    """One way to write for each address: those of the same mailbox or number are one, the link's own stands for it."""
    found: list[AddressConsent] = await runtime_of(request).consent.of_person(stranger.profile.id)
    own_first = sorted(
        found, key=lambda each: (each.identity.id != stranger.identity.id, each.identity.kind == "phone")
    )
    once = {each.identity.address_key: each for each in reversed(own_first)}
    places = [each for each in own_first if once[each.identity.address_key] is each]
    return places or [AddressConsent(stranger.identity, {})]


async def _groups(request: web.Request, formats: Formats) -> list[ConsentGroup]:
    """What can be chosen; where nobody made groups, all marketing is one."""
    runtime = runtime_of(request)
    groups: list[ConsentGroup] = await runtime.consent.groups.all()
    if groups:
        return groups
    now = runtime.clock()
    text = formats.text(N_("News and offers"))
    return [
        ConsentGroup(id="", key=MARKETING, name=text, default="opt_out", created_at=now, updated_at=now)
    ]  # fmt: skip


def _labels(request: web.Request, formats: Formats) -> Mapping[str, str]:
    """What a channel is called."""
    cards = {card.provider: formats.text(card.label) for card in runtime_of(request).registry.cards()}
    return _Labels({**cards, "email": formats.text(N_("E-mail")), "phone": formats.text(N_("Phone"))})


class _Labels(dict[str, str]):
    """A provider that is not known any more is called by its name."""

    def __missing__(self, key: str) -> str:
        return key.capitalize()
