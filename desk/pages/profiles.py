"""Profiles: the list with its search, and one person with everything known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import TooSlow, WrongInput
from desk.api.merges import seen_pairs
from desk.api.scope import reading, scoped_profile, seen_ids, seen_person, shown_talk
from desk.auth import principal_of, require
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.consent import consent_view
from desk.pages.customer import (
    Chip,
    chips_of,
    customer_view,
    facts_of,
    field_text,
    revenue_of,
    way_of,
    ways_of,
)
from desk.pages.effects import tier_names
from desk.pages.exports import exporting
from desk.pages.faces import Face
from desk.pages.inbox_address import Asked
from desk.pages.inbox_rows import row_of
from desk.pages.lifecycle import fields_panel, relations_panel, roles_panel, social_panel, stage_panel
from desk.pages.merging import merge_rows, merged_notice
from desk.pages.panels import Opened, Panel, Tab
from desk.pages.parting import parted_notice
from desk.pages.profile_edit import edit_panel
from desk.pages.profile_files import files_tab
from desk.pages.profile_follow_up import follow_up_panel
from desk.pages.profile_notes import note_count, notes_tab, pinned_panel
from desk.pages.profile_timeline import audit_tab, timeline_tab
from desk.pages.reads import faces_of, order_rows, run_briefs, together
from desk.pages.terms import Words
from desk.pages.value_panel import traits_panel, value_panel
from desk.render import formats_of, page
from inbox.models import Conversation, Send
from profiles.models import Profile
from profiles.store.profiles import ProfileFilter
from profiles.terms import Agreed

routes = web.RouteTableDef()
PER_PAGE = 50
FILTERS = ("tag", "stage", "tier", "role", "owner", "segment")
TALKS, ORDERS, RUNS = 50, 100, 50


#: State of a send → word and tone.
SEND_WORDS = {
    "planned": (N_("Planned"), ""), "deferred": (N_("Planned"), ""), "claimed": (N_("Planned"), ""),
    "handed": (N_("Under way"), ""), "accepted": (N_("Sent"), "good"), "skipped": (N_("Not sent"), "warn"),
    "delivered": (N_("Delivered"), "good"), "read": (N_("Read"), "good"), "failed": (N_("Failed"), "danger"),
    "unknown": (N_("Perhaps sent"), "warn"),
}  # fmt: skip


@dataclass(frozen=True)
class SendRow:
    """One message of a campaign to this person."""

    title: str
    face: Face
    word: str
    tone: str
    why: str
    at: datetime
    href: str


@dataclass(frozen=True)
class ProfileRow:
    """One person in the list."""

    id: str
    name: str
    contact: str
    chips: tuple[Chip, ...]
    orders: str
    revenue: str
    last_seen_at: datetime | None


def profile_row(
    profile: Profile, formats: Formats, agreed: Agreed | None = None, tiers: Mapping[str, str] | None = None
) -> ProfileRow:  # fmt: skip
    """One row."""
    contact = profile.email or profile.phone or (profile.handles[0] if profile.handles else "")
    if contact == profile.display_name:
        contact = ""
    orders = formats.number(profile.orders.count) if profile.orders.count else ""
    chips = list(chips_of(profile, formats, agreed, tiers)[:4])
    for field in agreed.fields if agreed else ():
        value = profile.attributes.get(field.key)
        if "list" in field.shown and value not in (None, "", []):
            chips.append(Chip(f"{field.said(formats.language)}: {field_text(field, value, formats)[:40]}"))
    return ProfileRow(
        profile.id, profile.display_name, contact, tuple(chips), orders, revenue_of(profile, formats),
        profile.last_seen_at,
    )  # fmt: skip


@routes.get("/profiles")
@require("viewer")
async def profiles(request: web.Request) -> web.StreamResponse:
    """The list: those seen last stand first."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    q = request.query.get("q", "").strip()[:200]
    agreed = await runtime.terms.now()
    asked = {name: request.query.get(name, "").strip()[:64] for name in FILTERS}
    mine = asked["owner"] == "me"
    owner = principal_of(request).id if mine else asked["owner"]
    wanted = ProfileFilter(
        q=q or None, tag=agreed.tags.today(asked["tag"]) or None, stage=asked["stage"] or None,
        tier=asked["tier"] or None, role=asked["role"] or None, owner_id=owner or None,
        segment=await runtime.segments.key(asked["segment"]) if asked["segment"] else None,
    )  # fmt: skip
    try:
        found = await runtime.profiles.page(
            wanted, sort="last_seen", limit=PER_PAGE, cursor=request.query.get("cursor")
        )
    except WrongInput:
        raise web.HTTPSeeOther("/profiles") from None
    seen = await seen_ids(reading(request), {each.id for each in found.data})
    query = {name: value for name, value in {"q": q, **asked}.items() if value}
    names = await runtime.users.names([owner]) if owner and not mine else {}
    said = Words(agreed, formats.language)
    shown = {
        **asked, "stage": said.stage(asked["stage"]) if asked["stage"] else "",
        "role": said.role(asked["role"]) if asked["role"] else "",
        "owner": formats.text(N_("Mine")) if mine else names.get(owner, owner),
        "segment": await _segment_name(runtime, asked["segment"]),
    }  # fmt: skip
    tiers = await tier_names(runtime, formats)
    values: dict[str, Any] = {
        "profiles": [profile_row(each, formats, agreed, tiers) for each in found.data if each.id in seen],
        "q": q,
        "filters": [(name, value, shown[name], _list_path(query, without=name)) for name, value in query.items()
                    if name != "q"],
        "mine": mine, "all_href": _list_path(query, without="owner"),
        "mine_href": _list_path({**query, "owner": "me"}),
        "count": await _count(request, wanted, formats),
        "next_href": _list_path({**query, "cursor": found.next_cursor}) if found.next_cursor else "",
        "export_href": f"/profiles/exports?{urlencode(query)}" if query and exporting(request) else "",
    }  # fmt: skip
    return await page(request, "profiles/list.html", values)


def _list_path(query: Mapping[str, str], without: str = "") -> str:
    """The list narrowed like this, one filter left out."""
    left = urlencode({name: value for name, value in query.items() if name != without})
    return f"/profiles?{left}" if left else "/profiles"


async def _segment_name(runtime: Any, segment_id: str) -> str:
    rows = await runtime.segment_rows.many([segment_id]) if segment_id else []
    return str(rows[0]["name"]) if rows else segment_id


async def _count(request: web.Request, wanted: ProfileFilter, formats: Formats) -> str:
    """How many there are; not said to who sees only some of them, and where counting would take too long."""
    if principal_of(request).channels is not None:
        return ""
    try:
        count = await runtime_of(request).profiles.count(wanted)
    except TooSlow:
        return ""
    return f"{formats.number(count)}+" if count >= 10_000 else formats.number(count)


@routes.get("/profiles/{profile_id}")
@require("viewer")
async def profile(request: web.Request) -> web.StreamResponse:
    """One person. An id that was merged away leads to the survivor."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    person, identities = await seen_person(reading(request), request.match_info["profile_id"])
    if person.id != request.match_info["profile_id"]:
        raise web.HTTPSeeOther(f"/profiles/{person.id}")
    await runtime.notifications.read_about(principal_of(request).id, [person.id])
    person = scoped_profile(reading(request), person)
    opened = Opened(request, person, identities, await faces_of(runtime), formats)
    tab = next((each for each in TABS if each.name == request.query.get("tab")), TABS[0])
    found = await together(
        opened=tab.read(opened), panels=_panels(opened), tabs=_tabs(opened), talks=_talks(opened, 1),
        merged=merged_notice(request), parted=parted_notice(request, person), twins=_twins(request, person.id),
    )  # fmt: skip
    talks = found.pop("talks")
    values = {
        **found, "tab": tab.name,
        "customer": customer_view(
            person, None, identities, orders=[], runs=[], others=[], owner="", faces=opened.faces, formats=formats,
            agreed=await runtime.terms.now(), tiers=await tier_names(runtime, formats),
        ),
        "talk_href": f"/inbox/{talks[0].id}" if talks else "",
    }  # fmt: skip
    return await page(request, "profiles/profile.html", values)


async def _panels(opened: Opened) -> list[tuple[str, Any]]:
    """(partial, what it shows) of the side, in order."""
    read = await asyncio.gather(*(each.read(opened) for each in PANELS))
    return [(each.name, shown) for each, shown in zip(PANELS, read, strict=True) if shown is not None]


async def _tabs(opened: Opened) -> list[dict[str, Any]]:
    counts = await asyncio.gather(*(_count_of(each, opened) for each in TABS))
    texts = [opened.formats.text(each.label) for each in TABS]
    return [
        {"name": each.name, "label": label, "count": count}
        for each, label, count in zip(TABS, texts, counts, strict=True)
    ]


async def _count_of(tab: Tab, opened: Opened) -> int:
    return await tab.count(opened) if tab.count else 0


async def _twins(request: web.Request, profile_id: str) -> list[tuple[str, str]]:
    """(id, name) of those who may be the same person."""
    pairs = await seen_pairs(reading(request), await runtime_of(request).suggestions.of_profile([profile_id]))
    others = [pair.other if pair.one.id == profile_id else pair.one for pair in pairs]
    return [(each.id, each.display_name) for each in others[:3]]


# -- the side ------------------------------------------------------------------------------------------------------


async def ways_panel(opened: Opened) -> Any:
    """How the person can be reached."""
    return ways_of(opened.identities, opened.faces, opened.formats) or None


async def facts_panel(opened: Opened) -> Any:
    """What is known beyond the name."""
    agreed = await opened.runtime.terms.now()
    return facts_of(opened.person, "", opened.faces, opened.formats, agreed, place="") or None


async def revenue_panel(opened: Opened) -> Any:
    """What they paid so far."""
    return revenue_of(opened.person, opened.formats) or None


# -- tabs ----------------------------------------------------------------------------------------------------------


async def _talks(opened: Opened, limit: int = TALKS) -> list[Conversation]:
    talks = await opened.runtime.conversations.of_profile(opened.person.id, limit=TALKS)
    asking = reading(opened.request)
    return [shown_talk(asking, each) for each in talks if opened.principal.may_see(each.channel_id)][:limit]


async def conversations_tab(opened: Opened) -> Any:
    """The conversations, whatever their state."""
    asked, reader = Asked("all"), opened.principal.id
    return [row_of(each, asked, opened.faces, {}, reader, opened.formats) for each in await _talks(opened)]


async def talk_count(opened: Opened) -> int:
    """How many there are, as far as they are shown."""
    return len(await _talks(opened))


async def orders_tab(opened: Opened) -> Any:
    """The orders, latest first."""
    return await order_rows(opened.runtime, opened.person.id, opened.formats, limit=ORDERS)


async def order_count(opened: Opened) -> int:
    """How many there are, as far as they are shown."""
    return len(await opened.runtime.order_store.of_profile(opened.person.id, limit=ORDERS))


async def journeys_tab(opened: Opened) -> Any:
    """The journeys the person is or was in, and what campaigns sent them."""
    runtime, formats, scope = opened.runtime, opened.formats, opened.principal.reach
    runs = await run_briefs(runtime, opened.person.id, formats, limit=RUNS)
    found = await runtime.sends.page(
        profile_id=opened.person.id,
        source_kind="journey",
        channels=scope,
        limit=RUNS,
    )
    return {"runs": runs, "sends": [send_row(each, opened) for each in found.data]}


def send_row(send: Send, opened: Opened) -> SendRow:
    """One message of a campaign."""
    word, tone = SEND_WORDS.get(send.state, (send.state, ""))
    why = opened.formats.text(send.reason.sentence) if send.reason else ""
    title = str(send.content.get("journey") or opened.formats.text(N_("Campaign")))
    href = f"/inbox/{send.conversation_id}" if send.conversation_id else ""
    at = send.accepted_at or send.updated_at or send.planned_at
    return SendRow(title, opened.faces.of(send.channel_id), opened.formats.text(word), tone, why, at, href)


async def run_count(opened: Opened) -> int:
    """How many there are, as far as they are shown."""
    return len((await opened.runtime.journeys.enrolments(profile_id=opened.person.id, limit=RUNS)).data)


async def consent_tab(opened: Opened) -> Any:
    """What stands at each address, and the ledger."""
    return await consent_view(opened.request, opened.person.id, opened.identities, opened.faces, opened.formats)


async def identities_tab(opened: Opened) -> Any:
    """By what the person is known, and the merges that brought it together."""
    ways = [(way_of(each, opened.faces, opened.formats), each) for each in opened.identities]
    return {"identities": ways, "merges": await merge_rows(opened.request, opened.person.id)}


#: The side from top to bottom: what is to be done, how to reach them, where they stand, what they are worth, the rest.
PANELS = (
    Panel("follow_up", follow_up_panel),
    Panel("pinned", pinned_panel),
    Panel("ways", ways_panel),
    Panel("stage", stage_panel),
    Panel("revenue", revenue_panel),
    Panel("value", value_panel),
    Panel("fields", fields_panel),
    Panel("facts", facts_panel),
    Panel("relations", relations_panel),
    Panel("roles", roles_panel),
    Panel("social", social_panel),
    Panel("traits", traits_panel),
    Panel("edit", edit_panel),
)  # fmt: skip
#: The first one is open where none is asked for.
TABS = (
    Tab("timeline", N_("Timeline"), timeline_tab),
    Tab("notes", N_("Notes"), notes_tab, note_count),
    Tab("conversations", N_("Messages"), conversations_tab, talk_count),
    Tab("orders", N_("Orders"), orders_tab, order_count),
    Tab("journeys", N_("Campaigns"), journeys_tab, run_count),
    Tab("files", N_("Files"), files_tab),
    Tab("consent", N_("Consent"), consent_tab),
    Tab("identities", N_("Identities"), identities_tab),
    Tab("audit", N_("Changes"), audit_tab),
)
