"""Segments: the list, the builder that reads as a sentence, who is in one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.scope import reading, refuse_scoped, scoped_profile, seen_ids
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, NN_, Formats
from desk.keys import runtime_of
from desk.pages import profiles
from desk.pages.exports import exporting
from desk.pages.moments import read_date
from desk.pages.rule_form import (
    DEPTH_MAX,
    GROUP,
    INSTANTS,
    ROOT,
    Built,
    Node,
    added,
    empty,
    form_of,
    missing,
    read,
    removed,
    rule_of,
    settled,
)
from desk.pages.segment_choices import choices_of
from desk.pages.segment_examples import examples
from desk.pages.segment_rows import Choices, adopted, rows_view
from desk.pages.sentences import rule_words
from desk.pages.uses import UseLink, links
from desk.render import page, reader_of
from profiles.membership import Preview, SegmentInput, SegmentPatch
from profiles.models import Profile
from profiles.segments.fields import Scope
from profiles.uses import Asked, InUse

routes = web.RouteTableDef()
HERE, PER_PAGE = "/segments", 50
IN_IT = NN_("person is in it now", "people are in it now")


@dataclass(frozen=True)
class Standing:
    """How a segment stands: `percent` while members are being found."""

    id: str
    state: str
    label: str
    tone: str
    percent: str
    reason: str
    members: str
    #: The members of the rule before are served meanwhile.
    serves_old: bool


@dataclass(frozen=True)
class SegmentRow:
    """One line of the list."""

    id: str
    name: str
    description: str
    words: str
    standing: Standing
    users: list[UseLink]


@dataclass(frozen=True)
class Sample:
    """Somebody whom a rule finds."""

    id: str
    name: str
    contact: str


@dataclass(frozen=True)
class Seen:
    """A preview as it is shown. `fault`: why there is no number."""

    words: str
    count: str = ""
    label: str = ""
    sample: tuple[Sample, ...] = ()
    unfinished: int = 0
    fault: str = ""


def standing_of(row: Document, formats: Formats, *, counted: bool) -> Standing:
    """`counted`: this reader may know how many there are."""
    percent = formats.text(N_("%(percent)s %%"), percent=round((row["progress"] or 0) * 100))
    label, tone = {
        "building": (N_("Being built"), "info"), "live": (N_("Up to date"), "good"),
        "failed": (N_("Could not be built"), "danger"),
    }[row["state"]]  # fmt: skip
    members = formats.number(row["members"]) if counted and row["members"] is not None else ""
    building = row["state"] == "building"
    return Standing(
        row["_id"], row["state"], formats.text(label), tone, percent if building else "", row["reason"] or "", members,
        building and row["live"] is not None,
    )  # fmt: skip


# -- the list ------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("viewer")
async def segments(request: web.Request) -> web.StreamResponse:
    """All of them, newest first, with who asks for their members."""
    runtime, formats = runtime_of(request), reader_of(request)
    rows = await all_segments(runtime)
    asked = {row["_id"]: Asked(segment_id=row["_id"]) for row in rows}
    choices, uses = await asyncio.gather(choices_of(runtime, formats, rows), runtime.uses.of_each(asked))
    counted = principal_of(request).channels is None
    shown = [
        SegmentRow(row["_id"], row["name"], row["description"], rule_words(row["rule"], formats, choices.known),
                   standing_of(row, formats, counted=counted), links(uses[row["_id"]], formats))
        for row in rows
    ]  # fmt: skip
    values = {
        "segments": shown,
        "may_change": principal_of(request).may_everywhere("marketer"),
        "examples": examples(formats, _purpose(choices)),
        "removed": await _removed(request),
    }  # fmt: skip
    return await page(request, "segments/list.html", values)


@routes.get(HERE + "/{segment_id}/standing")
@require("viewer")
async def standing(request: web.Request) -> web.StreamResponse:
    """How far its members have been found, for a page that looks again."""
    row = await runtime_of(request).segments.get(_id(request))
    shown = standing_of(row, reader_of(request), counted=principal_of(request).channels is None)
    return await page(request, "segments/standing.html", {"standing": shown})


async def all_segments(runtime: Any) -> list[Document]:
    rows: list[Document] = []
    cursor = None
    while True:
        found = await runtime.segments.page(limit=200, cursor=cursor)
        rows += found.data
        if (cursor := found.next_cursor) is None:
            return rows


# -- the builder ---------------------------------------------------------------------------------------------------


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty builder, or one with an example in it."""
    refuse_scoped(reading(request))
    draft = await _draft(request, None)
    chosen = next((each for each in draft.examples if each.key == request.query.get("example")), None)
    draft.node = form_of(chosen.rule) if chosen else added(empty(), ROOT, NEW_ROW)
    draft.name = chosen.name if chosen else ""
    return await draft.page()


@routes.get(HERE + "/{segment_id}")
@require("viewer")
async def segment(request: web.Request) -> web.StreamResponse:
    """One in the builder; for who may not change it, its sentence."""
    row = await runtime_of(request).segments.get(_id(request))
    draft = await _draft(request, row)
    draft.node, draft.name, draft.description = form_of(row["rule"]), row["name"], row["description"]
    return await draft.page()


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """A button of the builder: rows come and go, a look at whom it finds, or it is saved."""
    refuse_scoped(reading(request))
    draft = await _posted(request, None)
    if draft.act != "save":
        return await draft.page()
    built = rule_of(draft.node)
    try:
        draft.require_whole(built)
        given = SegmentInput(name=draft.name, description=draft.description, rule=built.rule)
        row = await runtime_of(request).segments.create(given, principal_of(request).id)
    except (WrongInput, ValidationError, Conflict) as error:
        return await draft.refused(error, built)
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}")


@routes.post(HERE + "/{segment_id}")
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """The same for one that is there. Who saves over somebody else's change is told first."""
    refuse_scoped(reading(request))
    row = await runtime_of(request).segments.get(_id(request))
    draft = await _posted(request, row)
    if draft.act != "save":
        return await draft.page()
    built = rule_of(draft.node)
    try:
        draft.require_whole(built)
        if draft.seen != _seen(row):
            raise Conflict("Somebody else has changed this segment meanwhile. Save again to replace what they did.")
        patch = SegmentPatch(name=draft.name, description=draft.description, rule=built.rule)
        await runtime_of(request).segments.change(row["_id"], patch)
    except (WrongInput, ValidationError, Conflict) as error:
        return await draft.refused(error, built)
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}")


#: What a new row asks at first.
NEW_ROW = Node().given(what="tags", op="any_of")
NEW_WHERE = Node().given(what="", type="text", op="eq")


class Draft:
    """The builder as one request sees it."""

    def __init__(self, request: web.Request, row: Document | None, choices: Choices) -> None:
        self.request = request
        self.row = row
        self.choices = choices
        self.formats: Formats = reader_of(request)
        self.node = empty()
        self.name, self.description, self.act, self.seen = "", "", "", _seen(row) if row else ""
        self.faults: dict[str, str] = {}
        self.users: list[UseLink] = []
        self.examples = examples(self.formats, _purpose(choices))

    def require_whole(self, built: Built) -> None:
        """Raises `WrongInput` where something is still to be filled in."""
        faults = [FieldError(way, "") for way in unfinished_in(self.node)]
        if faults:
            raise WrongInput("Please look at the marked fields.", faults)

    async def refused(self, error: WrongInput | ValidationError | Conflict, built: Built) -> web.Response:
        """The builder with each fault beside its row."""
        if isinstance(error, ValidationError):
            self.faults["name"] = self.formats.text(N_("A segment needs a name of at most 120 characters."))
        elif isinstance(error, Conflict):
            self.faults[""] = self.formats.text(str(error))
            self.seen = _seen(self.row) if self.row else ""
        else:
            self.faults |= faults_at(error, built, self.node, self.formats)
        return await self.page(422)

    async def page(self, status: int = 200) -> web.Response:
        """The page with a look at whom the rule finds."""
        may_change = principal_of(self.request).may_everywhere("marketer")
        seen = await self._seen() if may_change else Seen(rule_words(self.row_rule, self.formats, self.choices.known))
        counted = principal_of(self.request).channels is None
        values = {
            "segment": self.row, "name": self.name, "description": self.description, "faults": self.faults,
            "group": rows_view(self.node, self.choices, self.faults, self.formats), "seen": seen,
            "version": self.seen, "may_change": may_change, "tags": self.choices.tags,
            "examples": self.examples if not self.row else [], "tab": "rule", "users": self.users,
            "standing": standing_of(self.row, self.formats, counted=counted) if self.row else None,
        }  # fmt: skip
        return await page(self.request, "segments/segment.html", values, status=status)

    @property
    def row_rule(self) -> Any:
        """The rule as it is stored."""
        return self.row["rule"] if self.row else {"all": []}

    async def _seen(self) -> Seen:
        built = rule_of(self.node, whole=False)
        words = rule_words(built.rule, self.formats, self.choices.known)
        unfinished = len(built.unfinished)
        try:
            found = await runtime_of(self.request).segments.preview(built.rule)
        except WrongInput as error:
            self.faults = faults_at(error, built, self.node, self.formats) | self.faults
            return Seen(words, unfinished=unfinished, fault=self.formats.text(N_("Please look at the marked rows.")))
        except Conflict as error:
            return Seen(words, unfinished=unfinished, fault=self.formats.text(str(error)))
        return seen_of(found, words, unfinished, self.formats)


def seen_of(found: Preview, words: str, unfinished: int, formats: Formats) -> Seen:
    count = formats.number(found.count)
    label = formats.plural(*IN_IT, found.count)
    shown = formats.text(N_("at least %(count)s"), count=count) if found.at_least else count
    return Seen(words, shown, label, tuple(_sample(each) for each in found.sample), unfinished)


def _sample(profile: Profile) -> Sample:
    contact = profile.email or profile.phone or (profile.handles[0] if profile.handles else "") or ""
    return Sample(profile.id, profile.display_name, "" if contact == profile.display_name else contact)


async def _draft(request: web.Request, row: Document | None) -> Draft:
    runtime = runtime_of(request)
    own = row["_id"] if row else ""
    return Draft(request, row, await choices_of(runtime, reader_of(request), await all_segments(runtime), own))


async def _posted(request: web.Request, row: Document | None) -> Draft:
    form, draft = await read_form(request), await _draft(request, row)
    draft.node = dated(settled(adopted(read(form.items()), draft.choices)), reader_of(request))
    draft.name = str(form.get("name", "")).strip()[:200]
    draft.description = str(form.get("description", "")).replace("\r\n", "\n").strip()[:2000]
    draft.act, draft.seen = str(form.get("act", "")), str(form.get("seen", ""))
    deed, _, way = draft.act.partition(":")
    if deed in DEEDS and way.startswith(ROOT):
        draft.node = DEEDS[deed](draft.node, way)
    return draft


def dated(node: Node, formats: Formats) -> Node:
    """Days typed as one is used to, as rules hold them; what is no day stays, and is said to be wrong. Pure."""
    node = replace(node, rows=tuple(dated(each, formats) for each in node.rows))
    if node.one("op") not in INSTANTS or "T" in node.one("value"):
        return node
    try:
        return node.given(value=read_date(node.one("value"), formats).isoformat())
    except ValueError:
        return node


def with_group(node: Node, way: str) -> Node:
    """With a group at the end of the one at `way`, unless it is nested too deep."""
    return added(node, way, added(empty(), ROOT, NEW_ROW)) if way.count(".") < DEPTH_MAX else node


DEEDS: Mapping[str, Any] = {
    "add": lambda node, way: added(node, way, NEW_ROW), "where": lambda node, way: added(node, way, NEW_WHERE),
    "group": with_group, "remove": removed,
}  # fmt: skip


# -- faults --------------------------------------------------------------------------------------------------------


def unfinished_in(node: Node, way: str = ROOT, scope: Scope = Scope.PROFILE) -> list[str]:
    """Ways of rows and groups in which something is missing."""
    inner = Scope.EVENT if node.what == "event" else scope
    found = [] if node.what == GROUP and (way == ROOT or node.rows) else [way] if _lacks(node, scope) else []
    for i, each in enumerate(node.rows):
        found += unfinished_in(each, f"{way}.{i}", inner)
    return found


def _lacks(node: Node, scope: Scope) -> bool:
    return not node.rows if node.what == GROUP else bool(missing(node, scope))


def faults_at(error: WrongInput, built: Built, node: Node, formats: Formats) -> dict[str, str]:
    """Way of a row → what is wrong with it."""
    found: dict[str, str] = {}
    for fault in error.errors:
        way = fault.path if fault.path.startswith(ROOT + ".") and not fault.message else built.place(fault.path)
        found.setdefault(way, _fault(fault, formats))
    return found or {"": formats.text(str(error))}


def _fault(fault: FieldError, formats: Formats) -> str:
    message, _, way = fault.message.partition(": ")
    if not fault.message:
        return formats.text(N_("Fill in what is missing, or take this away."))
    if message == "asks for itself":
        return formats.text(N_("The segments would ask for each other: %(way)s"), way=way)
    known = next((words for sign, words in _SAID if sign in fault.message), None)
    return formats.text(known) if known else formats.text(N_("This does not fit: %(why)s"), why=fault.message)


#: A part of the parser's sentence → what people read.
_SAID = (
    ("names no segment", N_("This segment is not there any more.")),
    ("needs a number from", N_("This number is too small or too large.")),
    ("needs a whole number", N_("This needs a whole number.")),
    ("needs a number", N_("This needs a number.")),
    ("needs a time", N_("This needs a day, such as 2026-05-01.")),
    ("needs a day of the year", N_("This needs a day of the year, such as 05-17.")),
    ("duration", N_("This needs a length of time.")),
    ("hundred years", N_("This is longer than a hundred years.")),
    ("is less than from", N_("The share ends before it begins.")),
    ("two values of one kind", N_("This needs two values of one kind: the least and the greatest.")),
    ("is no field", N_("There is no such field.")),
    ("more than 200 rules", N_("These are more than 200 conditions.")),
    ("is missing", N_("Fill in what is missing, or take this away.")),
)


# -- members, taking away ------------------------------------------------------------------------------------------


@routes.get(HERE + "/{segment_id}/members")
@require("viewer")
async def members(request: web.Request) -> web.StreamResponse:
    """Who is in it now, the newest profiles first."""
    runtime, formats, segment_id = runtime_of(request), reader_of(request), _id(request)
    row = await runtime.segments.get(segment_id)
    try:
        found = await runtime.segments.members(segment_id, limit=PER_PAGE, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(f"{HERE}/{segment_id}/members") from None
    seen = await seen_ids(reading(request), {each.id for each in found.data})
    shown = [scoped_profile(reading(request), each) for each in found.data if each.id in seen]
    values = {
        "segment": row, "name": row["name"], "tab": "members", "profiles": [
            profiles.profile_row(each, formats) for each in shown
        ],
        "standing": standing_of(row, formats, counted=principal_of(request).channels is None),
        "exporting": exporting(request),
        "next_href": f"{HERE}/{segment_id}/members?cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "segments/members.html", values)


@routes.post(HERE + "/{segment_id}/delete")
@require("marketer")
async def delete(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    refuse_scoped(reading(request))
    segment_id = _id(request)
    try:
        await runtime_of(request).segments.delete(segment_id)
    except InUse as error:
        row = await runtime_of(request).segments.get(segment_id)
        draft = await _draft(request, row)
        draft.node, draft.name, draft.description = form_of(row["rule"]), row["name"], row["description"]
        draft.users = links(error.uses, draft.formats)
        return await draft.page(409)
    raise web.HTTPSeeOther(f"{HERE}?removed={segment_id}")


@routes.post(HERE + "/{segment_id}/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that: it comes back under its id, and its members are found anew."""
    refuse_scoped(reading(request))
    segment_id = _id(request)
    await runtime_of(request).segments.restore(segment_id)
    raise web.HTTPSeeOther(f"{HERE}/{segment_id}")


def _id(request: web.Request) -> str:
    segment_id: str = request.match_info["segment_id"]
    if not is_id(segment_id, "seg"):
        raise NotFound("There is no such segment.")
    return segment_id


def _seen(row: Document) -> str:
    """Changes with every change by somebody, and with no build."""
    return str(row["updated_at"].isoformat())


def _purpose(choices: Choices) -> str:
    """What subscribing is about: the first consent group, else all marketing."""
    groups = list(choices.values.get("consent", {}))
    return str(groups[min(1, len(groups) - 1)])


async def _removed(request: web.Request) -> tuple[str, str] | None:
    """Id and name of the segment that was just taken away, for the way back."""
    segment_id = request.query.get("removed", "")
    if not is_id(segment_id, "seg") or not principal_of(request).may_everywhere("marketer"):
        return None
    row = await runtime_of(request).segments.removed(segment_id)
    return (segment_id, row["name"]) if row else None
