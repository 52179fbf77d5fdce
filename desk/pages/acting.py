"""Acting on conversations: the menus of the one that is open, many chosen in the list, and taking either back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict
from pydantic import ValidationError

from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.macros import one_macro, runner_of
from desk.api.scope import may_see_act, must_see_whole, reading
from desk.auth import is_script, local_path, principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.pages.act_words import did_in
from desk.pages.inbox import actor_of, after_act, asked_for, conversation_for, instant_in
from desk.render import formats_of, page
from inbox.acts import NOT_FOR_BOTS, Change
from inbox.bulk import IDS_MAX, Assignee, Order
from inbox.view_filter import ViewFilter
from profiles.models import SHUT_OUT

routes = web.RouteTableDef()
#: Names shown while somebody types a label.
SUGGESTED = 200


@routes.post("/inbox/{conversation_id}/change")
@require("agent")
async def change(request: web.Request) -> web.StreamResponse:
    """State, snooze, priority, labels or followers of the open conversation, with a way back."""
    found, form = await conversation_for(request), await read_form(request)
    act = await _begun(request, change_in(form, formats_of(request, principal_of(request)).zone), [found.id])
    _raise_left(act)
    return await after_act(request, found, act)


@routes.post("/inbox/bulk")
@require("agent")
async def bulk(request: web.Request) -> web.StreamResponse:
    """The same for those chosen in the list, or (`all`) for all that its address (`where`) finds."""
    form, principal = await read_form(request), principal_of(request)
    asked = await asked_for(request, MultiDict(parse_qsl(str(form.get("where", "")))))
    ids = [str(each) for each in form.getall("id", []) if is_id(str(each), "cnv")]
    if not ids and not form.get("all"):
        raise WrongInput("Choose conversations first.")
    found_by = asked.wanted if form.get("all") else None
    if form.get("run_macro"):
        act = await _macro_begun(request, form, ids[:IDS_MAX], found_by)
    else:
        act = await _begun(request, change_in(form, formats_of(request, principal).zone), ids[:IDS_MAX], found_by)
    raise web.HTTPSeeOther(f"/inbox?{asked.query()}&did={act['_id']}")


@routes.get("/inbox/acts/{act_id}")
@require("agent")
async def act(request: web.Request) -> web.StreamResponse:
    """How far it is."""
    found = await _act_for(request)
    return await page(request, "inbox/did.html", {"did": await did_in(request, found), "back": ""})


@routes.post("/inbox/acts/{act_id}/undo")
@require("agent")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take it back; what others have changed since is left, and said."""
    found, form = await _act_for(request), await read_form(request)
    refuse_shut_out(found)
    principal = principal_of(request)
    scope = principal.reach
    after = await runtime_of(request).bulk.undo(found["_id"], actor_of(principal), scope)
    if is_script(request):
        return await page(request, "inbox/did.html", {"did": await did_in(request, after), "back": ""})
    back = local_path(str(form.get("back", "")) or "/inbox")
    raise web.HTTPSeeOther(f"{back}{'&' if '?' in back else '?'}did={found['_id']}")


@routes.post("/inbox/{conversation_id}/shut-out")
@require("agent")
async def shut_out(request: web.Request) -> web.StreamResponse:
    """Hear no more of this person (`on`), or let them in again. Not for who sees only some of their channels."""
    found, form = await conversation_for(request), await read_form(request)
    profile_id = await must_see_whole(reading(request), found.profile_id)
    shutting, by = runtime_of(request).shutting_out, actor_of(principal_of(request))
    act = await (shutting.shut(profile_id, by) if form.get("on") else shutting.let_in(profile_id, by))
    return await after_act(request, found, act)


@routes.get("/inbox/labels")
@require("viewer")
async def labels(request: web.Request) -> web.StreamResponse:
    """Labels in use and tags of people, to choose from: one language for both."""
    runtime, channels = runtime_of(request), principal_of(request).channels
    used = await runtime.conversations.labels_in_use(None if channels is None else sorted(channels))
    known = used if channels is not None else [*used, *await runtime.tags.names(SUGGESTED)]
    return await page(request, "inbox/labels.html", {"labels": sorted(set(known), key=str.casefold)[:SUGGESTED]})


async def _act_for(request: web.Request) -> Document:
    act_id = request.match_info["act_id"]
    found: Document | None = await runtime_of(request).bulk.find(act_id) if is_id(act_id, "act") else None
    if found is None or not may_see_act(principal_of(request), found):
        raise NotFound("There is no such change, or it was made too long ago.")
    return found


def refuse_shut_out(act: Document) -> None:
    """Raise `Conflict` for what came of shutting somebody out: letting them in again takes that back, too."""
    if act["kind"] == "merge":
        raise Conflict("Take the merge apart in the conversation itself.", code="merge")
    if act["kind"] == SHUT_OUT:
        raise Conflict("This came of shutting somebody out. Let them in again instead.", code=SHUT_OUT)


async def _begun(
    request: web.Request, wanted: Change, ids: Sequence[str], found_by: ViewFilter | None = None
) -> Document:  # fmt: skip
    principal, runtime = principal_of(request), runtime_of(request)
    scope = principal.reach
    await require_colleagues(runtime, wanted)
    assignee = await assignee_for(runtime, wanted)
    order = Order(
        wanted, actor_of(principal), () if found_by is not None else ids, found_by, scope, assignee,
        await team_for(runtime, wanted),
    )  # fmt: skip
    act: Document = await runtime.bulk.begin(order)
    return act


async def _macro_begun(
    request: web.Request, form: Mapping[str, Any], ids: Sequence[str], found_by: ViewFilter | None
) -> Document:
    """The form's `run` makes a click that is sent twice one run."""
    macro_id, run_id = _text(form, "macro"), _text(form, "run")
    if not is_id(macro_id, "mac"):
        raise WrongInput("Choose a macro first.")
    macro = await one_macro(reading(request), macro_id)
    act: Document = await runtime_of(request).macros.run_on_many(
        macro.id, runner_of(principal_of(request)), ids=() if found_by is not None else ids, found_by=found_by,
        run_id=run_id if is_id(run_id, "act") else None,
    )  # fmt: skip
    return act


async def team_for(runtime: Any, wanted: Change) -> str | None:
    """The name of the team that is to have them. Raises `WrongInput`."""
    if wanted.team_id is None:
        return None
    name = next((each.name for each in await runtime.teams.all() if each.id == wanted.team_id), None)
    if name is None:
        raise WrongInput("There is no such team.")
    return str(name)


async def assignee_for(runtime: Any, wanted: Change) -> Assignee | None:
    """Who is to have them. Raises `WrongInput` for somebody who answers nothing."""
    if wanted.assignee_id is None:
        return None
    user = await runtime.users.user(wanted.assignee_id)
    if user is None or not user.active or user.role not in ("admin", "agent"):
        raise WrongInput("There is no such colleague.")
    return Assignee(user.id, user.name, None if user.channels is None else sorted(user.channels))


async def require_colleagues(runtime: Any, wanted: Change) -> None:
    """Raise `WrongInput` for followers who do not work here."""
    for each in wanted.participants.add if wanted.participants else ():
        user = await runtime.users.user(each)
        if user is None or not user.active:
            raise WrongInput("There is no such colleague.")


def _raise_left(act: Document) -> None:
    """One conversation that could not be changed is a refusal, not a count."""
    for each in act["left_out"]:
        if each["why"] == "other_open":
            sentence = "This person has another open conversation on the same channel; go on in that one."
            raise Conflict(sentence, code="other_open")
        if each["why"] == "not_their_channel":
            raise WrongInput("This colleague does not answer on this channel.")
        if each["why"] in NOT_FOR_BOTS:
            raise Conflict(NOT_FOR_BOTS[each["why"]], code=each["why"])
        raise Conflict("This conversation could not be changed just now. Try again.", code=each["why"])


def change_in(form: Mapping[str, Any], zone: tzinfo | None) -> Change:
    """What a form says is to be changed. Pure. Raises `WrongInput`."""
    given: dict[str, Any] = {}
    status, priority = _text(form, "status"), _text(form, "priority")
    if status:
        given["status"] = status
    if form.get("hand_to_bot"):
        given["hand_to_bot"] = True
    if status == "snoozed":
        until = _text(form, "until") or (_text(form, "until_on") if form.get("own_time") else "")
        if form.get("own_time") and not until:
            raise WrongInput("Say until when.")
        given["snoozed_until"] = instant_in(until, zone) if until else None
    if priority:
        given["priority"] = priority
    if form.get("move"):
        given["team_id"] = _text(form, "team") or None
    if form.get("give"):
        given["assignee_id"] = _text(form, "assignee") or None
    for part in ("label", "participant"):
        add, remove = _text(form, f"add_{part}"), _text(form, f"remove_{part}")
        if add or remove:
            given[f"{part}s"] = {"add": [add] if add else [], "remove": [remove] if remove else []}
    try:
        return Change.model_validate(given)
    except ValidationError:
        raise WrongInput("There is no such state, priority or colleague.") from None


def _text(form: Mapping[str, Any], name: str) -> str:
    return str(form.get(name, "")).strip()[:200]

