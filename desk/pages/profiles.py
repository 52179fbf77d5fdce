"""Profiles: the list with its search, and one person with everything known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import WrongInput
from desk.api.merges import seen_pairs
from desk.api.scope import reading, scoped_profile, seen_ids, seen_person
from desk.auth import principal_of, require
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.pages.consent import consent_view
from desk.pages.customer import Chip, chips_of, customer_view, owner_name, revenue_of, way_of
from desk.pages.faces import Faces
from desk.pages.inbox_rows import Asked, row_of
from desk.pages.merging import merge_rows, merged_notice
from desk.pages.reads import faces_of, order_rows, run_briefs, together
from desk.pages.timeline import timeline
from desk.render import formats_of, page
from profiles.models import Identity, Profile
from profiles.store.profiles import ProfileFilter

routes = web.RouteTableDef()
PER_PAGE, EVENTS = 50, 60
TABS = ("timeline", "conversations", "orders", "journeys", "consent", "identities")


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


def profile_row(profile: Profile, formats: Formats) -> ProfileRow:
    """One row."""
    contact = profile.email or profile.phone or (profile.handles[0] if profile.handles else "")
    if contact == profile.display_name:
        contact = ""
    orders = formats.number(profile.orders.count) if profile.orders.count else ""
    return ProfileRow(
        profile.id, profile.display_name, contact, chips_of(profile, formats)[:4], orders, revenue_of(profile, formats),
        profile.last_seen_at,
    )  # fmt: skip


@routes.get("/profiles")
@require("viewer")
async def profiles(request: web.Request) -> web.StreamResponse:
    """The list: those seen last stand first."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    q = request.query.get("q", "").strip()[:200]
    tag, stage = request.query.get("tag"), request.query.get("stage")
    wanted = ProfileFilter(q=q or None, tag=tag, stage=stage)
    try:
        found = await runtime.profiles.page(
            wanted, sort="last_seen", limit=PER_PAGE, cursor=request.query.get("cursor")
        )
    except WrongInput:
        raise web.HTTPSeeOther("/profiles") from None
    seen = await seen_ids(reading(request), {each.id for each in found.data})
    query = {name: value for name, value in (("q", q), ("tag", tag), ("stage", stage)) if value}
    values = {
        "profiles": [profile_row(each, formats) for each in found.data if each.id in seen],
        "q": q,
        "filters": [(name, value) for name, value in query.items() if name != "q"],
        "count": await _count(request, wanted, formats),
        "next_href": f"/profiles?{urlencode({**query, 'cursor': found.next_cursor})}" if found.next_cursor else "",
    }
    return await page(request, "profiles/list.html", values)


async def _count(request: web.Request, wanted: ProfileFilter, formats: Formats) -> str:
    """How many there are; not said to who sees only some of them."""
    if principal_of(request).channels is not None:
        return ""
    count = await runtime_of(request).profiles.count(wanted)
    return f"{formats.number(count)}+" if count >= 10_000 else formats.number(count)


@routes.get("/profiles/{profile_id}")
@require("viewer")
async def profile(request: web.Request) -> web.StreamResponse:
    """One person. An id that was merged away leads to the survivor."""
    principal, runtime = principal_of(request), runtime_of(request)
    profile_id, formats = request.match_info["profile_id"], formats_of(request, principal)
    person, identities = await seen_person(reading(request), profile_id)
    if person.id != profile_id:
        raise web.HTTPSeeOther(f"/profiles/{person.id}")
    tab = request.query.get("tab", "timeline")
    talks_read = runtime.conversations.of_profile(person.id, limit=50)
    found = await together(
        orders=order_rows(runtime, person.id, formats, limit=100),
        runs=run_briefs(runtime, person.id, formats, limit=50), talks=talks_read,
        events=runtime.events.for_profile(person.id, EVENTS), faces=faces_of(runtime),
        owner=runtime.users.names([person.owner_id] if person.owner_id else []),
        merges=merge_rows(request, person.id), merged=merged_notice(request), twins=_twins(request, person.id),
    )  # fmt: skip
    talks = [each for each in found["talks"] if principal.may_see(each.channel_id)]
    events = [each for each in found["events"] if principal.may_see(each.channel_id)]
    side = customer_view(
        scoped_profile(reading(request), person), None, identities, orders=found["orders"][:4],
        runs=found["runs"][:4], others=[],
        owner=owner_name(person, found["owner"]), faces=found["faces"], formats=formats,
    )  # fmt: skip
    values = {
        "customer": side, "tab": tab if tab in TABS else "timeline", "days": timeline(events, found["faces"], formats),
        "rows": [row_of(each, Asked("all"), found["faces"], {}, principal.id, formats) for each in talks],
        "orders": found["orders"], "runs": found["runs"],
        "identities": _identities(identities, found["faces"], formats),
        "counts": {"conversations": len(talks), "orders": len(found["orders"]), "journeys": len(found["runs"])},
        "merges": found["merges"], "merged": found["merged"], "undone": "undone" in request.query,
        "twins": found["twins"], "talk_href": f"/inbox/{talks[0].id}" if talks else "",
    }  # fmt: skip
    if values["tab"] == "consent":
        values["consent"] = await consent_view(request, person.id, identities, found["faces"], formats)
        values["may_record"] = principal.may("agent", "marketer")
    return await page(request, "profiles/profile.html", values)


async def _twins(request: web.Request, profile_id: str) -> list[tuple[str, str]]:
    """(id, name) of those who may be the same person."""
    pairs = await seen_pairs(reading(request), await runtime_of(request).suggestions.of_profile([profile_id]))
    others = [pair.other if pair.one.id == profile_id else pair.one for pair in pairs]
    return [(each.id, each.display_name) for each in others[:3]]


def _identities(identities: list[Identity], faces: Faces, formats: Formats) -> list[tuple[Any, Identity]]:
    return [(way_of(each, faces, formats), each) for each in identities]
