"""Writing to somebody first: who, by which of their addresses, and what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from base.errors import Conflict, FieldError, NotFound, Refused, WrongInput
from base.ids import new_id
from channels.vocabulary import ApprovedTemplate
from desk.api.beginning import owner_of, reaches_for
from desk.api.scope import reading, scoped_profile
from desk.api.search import people_for
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.approved import SHOWN, call_of, offer_of, said_by
from desk.pages.composer import PASSABLE, Chosen, Fault
from desk.pages.composing import ROOM_BYTES, Form, Written, brought_with, written_in
from desk.pages.effects import tier_names
from desk.pages.faces import Face, Faces
from desk.pages.inbox import actor_of
from desk.pages.inbox_lines import file_size
from desk.pages.profiles import profile_row
from desk.pages.reads import faces_of, together
from desk.pages.with_files import carrying_files
from desk.problems import problem_of
from desk.render import formats_of, page
from inbox.beginning import Begun, Reach, Wish
from inbox.models import ReplyInput
from profiles.models import Profile

routes = web.RouteTableDef()
PEOPLE = 20
#: What an address without a channel is called.
KINDS = {"email": N_("E-mail address"), "phone": N_("Phone number"), "channel": N_("Channel")}


@dataclass(frozen=True)
class WayView:
    """One way to the person. `reason`: why not; `templates`: approved templates only."""

    key: str
    label: str
    face: Face | None
    where: str
    is_mail: bool
    reason: str
    templates: bool
    until: str


def way_view(reach: Reach, faces: Faces, formats: Formats) -> WayView:
    """A way in words. Pure."""
    identity, channel = reach.identity, reach.channel
    face = faces.of(channel.id, channel.provider) if channel else None
    return WayView(
        key_of(reach), identity.handle or reach.external_id or identity.value or identity.external_id or "", face,
        face.name if face else formats.text(KINDS.get(identity.kind, identity.kind)), reach.is_mail,
        formats.text(reach.objection.sentence) if reach.objection else "", reach.only_templates,
        formats.until(reach.until) if reach.until else "",
    )  # fmt: skip


def key_of(reach: Reach) -> str:
    """What names a way in a form."""
    return f"{reach.identity.id}.{reach.channel_id or ''}"


def named(found: Sequence[Reach], way: str) -> Reach | None:
    """The way that a form names; also when its address has become one of the channel meanwhile."""
    identity_id, _, channel_id = way.partition(".")
    here = (each for each in found if each.channel and each.channel_id == channel_id)
    return next((each for each in here if each.is_of(identity_id)), None)


# -- whom ----------------------------------------------------------------------------------------------------------


@routes.get("/inbox/new")
@require("agent")
async def whom(request: web.Request) -> web.StreamResponse:
    """Whom to write to: the people one sees, found as in the search."""
    q, asking = " ".join(request.query.get("q", "").split())[:200], reading(request)
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    known = await together(agreed=runtime.terms.now(), tiers=tier_names(runtime, formats))
    people = [scoped_profile(asking, each) for each in await people_for(asking, q, PEOPLE)] if q else []
    rows = [profile_row(each, formats, known["agreed"], known["tiers"]) for each in people]
    return await page(request, "inbox/new.html", {"q": q, "people": rows})


# -- how and what --------------------------------------------------------------------------------------------------


@routes.get("/profiles/{profile_id}/write")
@require("agent")
async def form(request: web.Request) -> web.StreamResponse:
    """All ways to the person, and the words."""
    profile, found = await reaches_for(reading(request), request.match_info["profile_id"])
    if profile.id != request.match_info["profile_id"]:
        raise web.HTTPSeeOther(f"/profiles/{profile.id}/write")
    return await _page(request, profile, found, request.query.get("way", ""))


@require("agent")
async def begin(request: web.Request) -> web.StreamResponse:
    """Send it. A refusal comes back as the page, with everything that was written."""
    profile, found = await reaches_for(reading(request), request.match_info["profile_id"])
    given, way = await read_form(request), ""
    written = written_in(given, await brought_with(request, given), None)
    try:
        way = str(given.get("way", ""))
        reach = named(found, way)
        if reach is None:
            raise WrongInput("Choose by which way to write.", [FieldError("way", "is none of those offered")])
        answer = await _template_in(request, given, reach) if "language" in given else written.reply()
        wish = Wish(profile.id, reach.identity.id, reach.channel_id, owner_of(principal_of(request)))
        key = str(given.get("client_key", ""))[:80] or new_id("msg")
        begun: Begun = await runtime_of(request).beginning.begin(
            wish, found, actor_of(principal_of(request)), answer, key,
            undo_s=(await runtime_of(request).answering.rules()).undo_s,
        )  # fmt: skip
    except (Refused, Conflict, WrongInput) as error:
        problem = problem_of(error)
        words = error.errors[0].message if isinstance(error, WrongInput) and error.errors else ""
        fault = Fault(problem.status, problem.code, problem.detail or words)
        return await _page(request, profile, found, way, written, fault)
    raise web.HTTPSeeOther(f"/inbox/{begun.conversation_id}")


@routes.post("/profiles/{profile_id}/write")
async def post_begin(request: web.Request) -> web.StreamResponse:
    """Files are larger than forms and take longer; only who is signed in may bring them."""
    if request.content_type != "multipart/form-data":
        return await begin(request)
    return await carrying_files(request, begin, ROOM_BYTES)


post_begin.roles = begin.roles  # type: ignore[attr-defined, union-attr]


async def _template_in(request: web.Request, given: Form, reach: Reach) -> ReplyInput:
    wanted = (str(given.get("name", "")), str(given.get("language", "")))
    template = next((each for each in await _approved(request, reach) if (each.name, each.language) == wanted), None)
    if template is None:
        raise NotFound("This template is not approved any more.")
    call = call_of(template, given)
    return ReplyInput(text=said_by(template, call), template=call)


async def _approved(request: web.Request, reach: Reach) -> list[ApprovedTemplate]:
    found: list[ApprovedTemplate] = await runtime_of(request).approved.of(reach.on.id, usable=True)
    return found


async def _page(
    request: web.Request, profile: Profile, found: list[Reach], way: str, written: Written | None = None,
    fault: Fault | None = None,
) -> web.Response:  # fmt: skip
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    faces, words = await faces_of(runtime), written.draft if written else None
    passable = [each for each in found if each.channel and each.objection is None]
    chosen = named(passable, way) or (passable[0] if passable else None)
    offers, first = [], (profile.name or "").split()
    if chosen is not None and chosen.only_templates:
        offers = [offer_of(each, first[0] if first else "") for each in (await _approved(request, chosen))[:SHOWN]]
    kept = [await runtime.files.get(each) for each in words.file_ids] if words else []
    values: dict[str, Any] = {
        "person": profile, "name": profile.display_name, "ways": [way_view(each, faces, formats) for each in found],
        "chosen": way_view(chosen, faces, formats) if chosen else None, "offers": offers, "fault": fault,
        "passable": bool(fault and fault.code in PASSABLE), "client_key": new_id("msg"),
        "text": words.text if words else "", "subject": (words.subject or "") if words else "",
        "files": [Chosen(each.id, each.name, file_size(each.size_bytes)) for each in kept if each],
    }  # fmt: skip
    return await page(request, "profiles/write.html", values, status=fault.status if fault else 200)

