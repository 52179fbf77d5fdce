"""Consent on a profile and beside a conversation: what stands at each address, the ledger, what the desk adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import WrongInput
from base.mongo import Document
from desk.api.scope import reading, seen_person
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.customer import Way, way_of
from desk.pages.faces import Faces
from profiles.consent import MARKETING, RETRACT_WITHIN, AddressConsent, ConsentAct
from profiles.consent_groups import ConsentGroup
from profiles.consent_links import ConsentLink
from profiles.models import Identity

routes = web.RouteTableDef()
ACTS_SHOWN = 100
SOURCES = {
    "keyword": N_("wrote it"), "unsubscribe_link": N_("unsubscribe link"), "preference_centre": N_("preference page"),
    "form": N_("form"), "channel": N_("the channel"), "double_opt_in": N_("confirmed by link"), "staff": N_("the desk"),
    "import": N_("import"), "api": N_("program"), "journey": N_("journey"), "provider_failure": N_("the channel"),
}  # fmt: skip
#: Why nothing is sent to an address.
CLOSED = {
    "bounce": N_("A mail came back from there"), "complaint": N_("A mail was reported as unwanted"),
    "blocked": N_("They blocked us there"), "unreachable": N_("The address does not exist any more"),
}  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """One purpose at one address."""

    purpose: str
    label: str
    word: str
    tone: str
    at: datetime | None


@dataclass(frozen=True)
class Place:
    """One address with what stands there. `closed`: why nothing is sent to it; `reopened`: it was released a moment
    ago."""

    identity_id: str
    way: Way
    standings: tuple[Standing, ...]
    closed: str = ""
    closed_at: datetime | None = None
    reopened: bool = False


@dataclass(frozen=True)
class Act:
    """One line of the ledger."""

    id: str
    at: datetime
    label: str
    address: str
    word: str
    tone: str
    source: str
    by: str
    proof: str
    wording: str
    version: str
    retractable: bool


@dataclass(frozen=True)
class ConsentView:
    """Everything the tab shows."""

    places: tuple[Place, ...]
    acts: tuple[Act, ...]
    purposes: tuple[tuple[str, str], ...]
    preferences_url: str


@dataclass(frozen=True)
class ConsentBrief:
    """Beside a conversation: whether its address gets marketing, and what can be taken back."""

    identity_id: str
    word: str
    tone: str
    wanted: bool
    undo: str


@routes.post("/profiles/{profile_id}/consents")
@require("agent", "marketer")
async def record(request: web.Request) -> web.StreamResponse:
    """Add what the person said, with its proof. Leads back to where it was asked from."""
    person, identities = await seen_person(reading(request), request.match_info["profile_id"])
    form, runtime = await read_form(request), runtime_of(request)
    identity_id, purpose = str(form.get("identity_id", "")), str(form.get("purpose", ""))
    known = {key for key, _ in purposes_of(await runtime.consent.groups.all(), (), None)}
    if identity_id not in {each.id for each in identities} or purpose not in known:
        raise WrongInput("Choose an address and what it is about.")
    granted = form.get("said") == "yes"
    act = ConsentAct(
        identity_id, purpose, granted, "staff", proof=_text(form, "proof", 2000), by=principal_of(request).id,
        wording=_text(form, "wording", 5000) if granted else None, if_news=True,
    )  # fmt: skip
    await runtime.consent.act(act)
    runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(local_path(str(form.get("back") or f"/profiles/{person.id}?tab=consent")))


@routes.post("/profiles/{profile_id}/consents/{act_id}/retract")
@require("agent", "marketer")
async def retract(request: web.Request) -> web.StreamResponse:
    """Take back what this person at the desk recorded a moment ago."""
    person, identities = await seen_person(reading(request), request.match_info["profile_id"])
    form, runtime, act_id = await read_form(request), runtime_of(request), request.match_info["act_id"]
    ledger = await runtime.consent.ledger(person.id)
    mine = next((act for act in ledger if act["_id"] == act_id), None)
    if mine is None or mine["identity_id"] not in {each.id for each in identities}:
        raise WrongInput("There is nothing to take back.")
    await runtime.consent.retract(act_id, principal_of(request).id)
    runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(local_path(str(form.get("back") or f"/profiles/{person.id}?tab=consent")))


@routes.post("/profiles/{profile_id}/addresses/{identity_id}/release")
@require("agent", "marketer")
async def release(request: web.Request) -> web.StreamResponse:
    """Let an address that bounced or complained be used again, or (`undo`) take that back."""
    person, identities = await seen_person(reading(request), request.match_info["profile_id"])
    form, runtime, identity_id = await read_form(request), runtime_of(request), request.match_info["identity_id"]
    if identity_id not in {each.id for each in identities}:
        raise WrongInput("This is no address of this person.")
    change = runtime.consent.take_release_back if form.get("undo") else runtime.consent.release
    await change(identity_id, principal_of(request).id)
    runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(f"/profiles/{person.id}?tab=consent")


def _text(form: Mapping[str, Any], name: str, most: int) -> str | None:
    return str(form.get(name, "")).replace("\r\n", "\n").strip()[:most] or None


# -- what is shown -------------------------------------------------------------------------------------------------


async def consent_view(
    request: web.Request, profile_id: str, identities: Sequence[Identity], faces: Faces, formats: Formats
) -> ConsentView:  # fmt: skip
    """For the tab of a profile; what is said at addresses out of scope is left out."""
    runtime, reader = runtime_of(request), principal_of(request)
    shown = {each.id: each for each in identities}
    groups = await runtime.consent.groups.all()
    places = once_each([each for each in await runtime.consent.of_person(profile_id) if each.identity.id in shown])
    ledger = [act for act in await runtime.consent.ledger(profile_id, ACTS_SHOWN) if act["identity_id"] in shown]
    used = {purpose for place in places for purpose in (*place.states, *place.awaited)}
    purposes = purposes_of(groups, used, formats)
    names = await runtime.users.names([act["by"] for act in ledger if str(act.get("by") or "").startswith("usr_")])
    taken_back = {act["retracts"] for act in ledger if act.get("retracts")}
    labels = dict(purposes)
    acts = [
        act_view(act, shown[act["identity_id"]], labels, names, taken_back, reader.id, faces, formats)
        for act in ledger
    ]  # fmt: skip
    return ConsentView(
        places=tuple(place_view(each, purposes, faces, formats) for each in places), acts=tuple(acts),
        purposes=tuple(purposes), preferences_url=_preferences_url(request, places),
    )  # fmt: skip


def once_each(places: Sequence[AddressConsent]) -> list[AddressConsent]:
    """One for each address: a mailbox or number that a channel uses is shown as that channel."""
    by_address: dict[str, AddressConsent] = {}
    for place in sorted(places, key=lambda each: each.identity.channel_id is None):
        by_address.setdefault(place.identity.address_key, place)
    return list(by_address.values())


async def consent_brief(
    request: web.Request, profile_id: str, identity_id: str, formats: Formats
) -> ConsentBrief | None:
    """For the pane beside a conversation; None when its address is known no more."""
    runtime = runtime_of(request)
    places = await runtime.consent.of_person(profile_id)
    place = next((each for each in places if each.identity.id == identity_id), None)
    if place is None:
        return None
    standing = standing_of(place, MARKETING, formats.text(N_("Marketing")), formats)
    ledger = await runtime.consent.ledger(profile_id, 20)
    taken_back = {act["retracts"] for act in ledger if act.get("retracts")}
    reader, now = principal_of(request).id, formats.now
    mine = [act["_id"] for act in ledger if act["identity_id"] == identity_id
            and not act["granted"] and retractable(act, taken_back, reader, now)]  # fmt: skip
    return ConsentBrief(identity_id, standing.word, standing.tone, place.wants(MARKETING), mine[0] if mine else "")


def purposes_of(
    groups: Sequence[ConsentGroup], used: Iterable[str], formats: Formats | None
) -> list[tuple[str, str]]:  # fmt: skip
    """(purpose, what it is called): all marketing first, then groups, then what else the ledger knows."""
    language = formats.language if formats else None
    found = {each.key: each.said(language).name or each.name for each in groups}
    every = formats.text(N_("All marketing")) if formats else MARKETING
    rest = {each: each.replace("_", " ").capitalize() for each in sorted(used) if each not in found}
    return list(
        {MARKETING: found.pop(MARKETING, every), **found, **{k: v for k, v in rest.items() if k != MARKETING}}.items()
    )


def place_view(
    place: AddressConsent, purposes: Sequence[tuple[str, str]], faces: Faces, formats: Formats
) -> Place:  # fmt: skip
    """One address with a word for each purpose."""
    standings = tuple(standing_of(place, purpose, label, formats) for purpose, label in purposes)
    way, closed, released = way_of(place.identity, faces, formats), place.identity.suppressed, place.identity.released
    if closed is not None:
        word = formats.text(CLOSED.get(closed.reason, N_("Nothing is sent there")))
        return Place(place.identity.id, way, standings, word, closed.at)
    fresh = released is not None and formats.now - released.at < RETRACT_WITHIN
    return Place(place.identity.id, way, standings, reopened=fresh)


def standing_of(place: AddressConsent, purpose: str, label: str, formats: Formats) -> Standing:
    """What stands, in a word."""
    state = place.states.get(purpose)
    if state is not None and not state.granted:
        until = formats.text(N_("paused until %(date)s"), date=formats.date(state.until)) if state.until else ""
        return Standing(purpose, label, until or formats.text(N_("said no")), "danger", state.at)
    if purpose in place.awaited:
        return Standing(purpose, label, formats.text(N_("to be confirmed")), "warn", place.awaited[purpose])
    if not place.wants(purpose):
        general = place.states.get(MARKETING)
        denied = general is not None and not general.granted
        word = N_("no marketing at all") if denied else N_("has not agreed")
        return Standing(purpose, label, formats.text(word), "", None)
    word = N_("said yes") if state is not None else N_("not asked, is sent")
    return Standing(
        purpose, label, formats.text(word), "good" if state is not None else "", state.at if state else None
    )


def act_view(
    act: Document, identity: Identity, labels: Mapping[str, str], names: Mapping[str, str], taken_back: Iterable[str],
    reader: str, faces: Faces, formats: Formats,
) -> Act:  # fmt: skip
    """One line of the ledger."""
    word, tone = (N_("yes"), "good") if act["granted"] else (N_("no"), "danger")
    if act.get("retracts"):
        word, tone = N_("taken back"), ""
    elif act.get("pending"):
        word, tone = N_("yes, to be confirmed"), "warn"
    elif act.get("until"):
        word, tone = N_("pause"), "warn"
    by = str(act.get("by") or "")
    return Act(
        id=act["_id"], at=act["at"], label=labels.get(act["purpose"], act["purpose"]),
        address=way_of(identity, faces, formats).label, word=formats.text(word), tone=tone,
        source=formats.text(SOURCES.get(act["source"], str(act["source"]))), by=names.get(by, ""),
        proof=str(act.get("proof") or ""), wording=str(act.get("wording") or ""),
        version=str(act.get("wording_version") or ""),
        retractable=retractable(act, taken_back, reader, formats.now),
    )  # fmt: skip


def retractable(act: Document, taken_back: Iterable[str], reader: str, now: datetime) -> bool:
    """Whether this reader may take it back, and it is not taken back yet."""
    fresh = now - act["recorded_at"] < RETRACT_WITHIN
    own = act.get("by") == reader and not act["by_person"] and not act.get("retracts")
    return bool(fresh and own and act["_id"] not in set(taken_back))


def _preferences_url(request: web.Request, places: Sequence[AddressConsent]) -> str:
    """The preference page of the person, to be sent to them: by their mail address, where there is one."""
    reader = principal_of(request)
    if not places or not reader.may("agent", "marketer") or reader.channels is not None:
        return ""  # whoever has it can act for the person, on every channel
    chosen = min(places, key=lambda place: not place.identity.address_key.startswith("email:"))
    return str(runtime_of(request).consent_links.url(ConsentLink("preferences", chosen.identity.id)))
