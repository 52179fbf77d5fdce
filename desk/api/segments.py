"""Segments: groups of customers by a rule, kept up to date."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.mongo import Document
from desk.api.contract import Call, Operations
from desk.api.profile_views import ProfileView, profile_view
from desk.api.scope import refuse_scoped, scoped_profile, seen_ids
from desk.api.shapes import Body, Name, PageQuery, Patch, Time, View, listed
from profiles.membership import SegmentInput, SegmentPatch
from profiles.models import Profile

operations = Operations("segments")

Rule = dict[str, Any]


class SegmentBody(Body):
    """A segment. `rule` is the one language of segments, triggers and branches."""

    name: Name
    description: str = Field("", max_length=2000)
    rule: Rule


class SegmentChange(Patch):
    """Parts to replace. With another rule the members of the one before are served until all of the new are found."""

    name: Name = ""
    description: str = Field("", max_length=2000)
    rule: Rule = Field(default_factory=dict)


class RuleBody(Body):
    """A rule to try."""

    rule: Rule


class SegmentView(View):
    """A segment. `members` are those that are served now: null before the first build, and for a caller limited to
    channels. `progress` (0 to 1) while members are being found; `reason` says why that failed."""

    id: str
    name: str
    description: str
    rule: Rule
    uses: list[str] = Field(description="Segments whose members the rule asks for.")
    state: Literal["building", "live", "failed"]
    members: int | None
    progress: float | None
    reason: str | None
    version: int
    created_by: str | None
    created_at: Time
    updated_at: Time


class SampleView(View):
    """Somebody whom the rule finds. `line`: how to reach or tell them apart."""

    id: str
    display_name: str
    avatar_url: str | None
    line: str


class PreviewView(View):
    """How many a rule finds now, with up to five of them. `at_least`: counting on would have taken too long."""

    count: int
    at_least: bool
    sample: list[SampleView]


def segment_view(call: Call, row: Document) -> SegmentView:
    """As people and programs see it."""
    members = row["members"] if call.principal.channels is None else None
    return SegmentView.model_validate({**row, "id": row["_id"], "members": members})


def sample_view(profile: Profile) -> SampleView:
    """One of five."""
    known = (profile.email, profile.phone, *profile.handles, profile.attributes.get("city"), profile.stage)
    line = next((str(each) for each in known if each and str(each) != profile.display_name), "")
    return SampleView(id=profile.id, display_name=profile.display_name, avatar_url=profile.avatar_url, line=line)


@operations("GET", "/segments", roles=["viewer"], query=PageQuery, returns=list[SegmentView])
async def list_segments(call: Call) -> Any:
    """List segments, newest first."""
    found = await call.runtime.segments.page(limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [segment_view(call, row) for row in found.data])


@operations("POST", "/segments", roles=["marketer"], body=SegmentBody, returns=SegmentView, status=201)
async def create_segment(call: Call) -> Any:
    """Make a segment.

    Its members are found in the background; entering and leaving are told from then on.
    """
    refuse_scoped(call)
    given = SegmentInput(**call.body.model_dump())
    return segment_view(call, await call.runtime.segments.create(given, call.principal.id))


@operations("POST", "/segments/preview", roles=["agent", "marketer"], body=RuleBody, returns=PreviewView)
async def preview_segment(call: Call) -> Any:
    """Try a rule: how many customers it finds now, and five of them.

    409 `too_slow` when nobody was found in the time that a preview may take.
    """
    refuse_scoped(call)
    seen = await call.runtime.segments.preview(call.body.rule)
    return PreviewView(count=seen.count, at_least=seen.at_least, sample=[sample_view(each) for each in seen.sample])


@operations("GET", "/segments/{id:seg}", roles=["viewer"], returns=SegmentView)
async def get_segment(call: Call) -> Any:
    """One segment."""
    return segment_view(call, await call.runtime.segments.get(call.path["id"]))


@operations("PATCH", "/segments/{id:seg}", roles=["marketer"], body=SegmentChange, returns=SegmentView)
async def change_segment(call: Call) -> Any:
    """Change what is given.

    A changed rule is built beside what is served, with all segments that ask for its members. Nobody is told of having
    entered or left by it.
    """
    refuse_scoped(call)
    patch = SegmentPatch(**call.body.given())
    return segment_view(call, await call.runtime.segments.change(call.path["id"], patch))


@operations("DELETE", "/segments/{id:seg}", roles=["marketer"])
async def delete_segment(call: Call) -> None:
    """Take a segment away.

    409 `in_use` while others ask for its members: `uses` lists segments, journeys and stages.
    """
    refuse_scoped(call)
    await call.runtime.segments.delete(call.path["id"])


@operations("GET", "/segments/{id:seg}/members", roles=["viewer"], query=PageQuery, returns=list[ProfileView])
async def list_members(call: Call) -> Any:
    """List who is in it now.

    For a caller limited to channels a page may hold fewer than `limit`.
    """
    found = await call.runtime.segments.members(call.path["id"], limit=call.query.limit, cursor=call.query.cursor)
    seen = await seen_ids(call, {each.id for each in found.data})
    return listed(found, [profile_view(scoped_profile(call, each)) for each in found.data if each.id in seen])
