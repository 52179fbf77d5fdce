"""The inbox: list, conversation and customer side by side, and what an agent does there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from aiohttp import web

from base.clock import to_millisecond
from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id, new_id
from base.mongo import Document
from desk.api.macros import seen_macros
from desk.api.mentions import mentioning
from desk.api.scope import answered_talk, reading, scoped_profile, shown_identities, shown_talk
from desk.api.views import seen_view, sees_view
from desk.auth import Principal, is_script, principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.mentions import handles_of
from desk.pages.act_words import did_in
from desk.pages.composer import Fault, capabilities_of, composer_of, emojis_of, furnished, shut_composer, snoozes
from desk.pages.consent import consent_brief
from desk.pages.customer import customer_view, owner_name
from desk.pages.effects import tier_names
from desk.pages.faces import Faces
from desk.pages.inbox_address import BUILT_IN, Asked, beside
from desk.pages.inbox_head import Known, Tallies, ViewTools, list_view, orders_of, saved_of, tabs_of
from desk.pages.inbox_lines import Scene, is_planned, lines_of
from desk.pages.inbox_rows import PRIORITIES, STATUS_LABELS, name_of, open_view, row_of
from desk.pages.mails import mail_response
from desk.pages.own_mail import own_addresses
from desk.pages.panels import Opened
from desk.pages.profile_follow_up import follow_up_panel
from desk.pages.profile_notes import pinned_panel
from desk.pages.reads import faces_of, journey_names, order_rows, people, run_briefs, together
from desk.pages.sla_clock import due_clock, due_order, is_due
from desk.pages.standing_words import all_stand
from desk.pages.terms import Words
from desk.render import formats_of, page
from inbox.bulk import COUNT_MAX
from inbox.counting import BUILT_IN as COUNTED
from inbox.heads import THREADS_MAX
from inbox.models import Actor, Conversation, Message, conversation_of
from inbox.owning import UNFIT, unfit
from inbox.views import SavedView

ROWS, LINES = 40, 60
routes = web.RouteTableDef()


def actor_of(principal: Principal) -> Actor:
    """The person as the use cases know them."""
    return Actor(principal.id, principal.name)


async def conversation_for(request: web.Request) -> Conversation:
    """The conversation of the address. `NotFound` also when it is on a channel out of scope."""
    conversation_id = request.match_info["conversation_id"]
    found = await runtime_of(request).conversations.get(conversation_id) if is_id(conversation_id, "cnv") else None
    if found is None or not principal_of(request).may_see(found.channel_id):
        raise NotFound("There is no such conversation.")
    return found  # type: ignore[no-any-return]


# -- reading -------------------------------------------------------------------------------------------------------


@routes.get("/inbox")
@require("viewer")
async def inbox(request: web.Request) -> web.StreamResponse:
    """The list, with nothing open. Who has nothing of his own is led to what nobody has yet."""
    if not request.query and (await asked_for(request)).view == "mine":
        principal, conversations = principal_of(request), runtime_of(request).conversations
        mine, unassigned = (Asked(each).condition(principal.id, principal.channels) for each in ("mine", "unassigned"))
        if not await conversations.any(mine) and await conversations.any(unassigned):
            raise web.HTTPSeeOther("/inbox?view=unassigned")
    return await page(request, "inbox/page.html", {**await _list_part(request), "open": None, "pane": "list"})


@routes.get("/inbox/rows")
@require("viewer")
async def rows(request: web.Request) -> web.StreamResponse:
    """Some rows anew, for the live list. Those that do not belong to the view any more are left out."""
    principal, asked = principal_of(request), await asked_for(request)
    ids = [each for each in request.query.get("ids", "").split(",")[:100] if is_id(each, "cnv")]
    runtime = runtime_of(request)
    found = [] if asked.q else [conversation_of(row) for row in (await runtime.conversations.rows(ids)).values()]
    kept = await runtime.finding.belonging(found, asked.condition(principal.id, principal.channels))
    return await page(request, "inbox/rows.html", {
        "rows": await _shaped(request, asked, kept), "open": None, "picking": principal.may("agent"),
    })  # fmt: skip


@routes.get("/inbox/tabs")
@require("viewer")
async def tabs(request: web.Request) -> web.StreamResponse:
    """The views with their counts, for the live list."""
    asked, formats = await asked_for(request), formats_of(request, principal_of(request))
    saved = await saved_views(request)
    tallies = await _tallies(request, saved)
    shown = {"tabs": tabs_of(asked, tallies, formats), "saved": saved_of(asked, saved, tallies, formats)}
    return await page(request, "inbox/tallies.html", {"view": shown})


@routes.get("/inbox/{conversation_id}")
@require("viewer")
async def conversation(request: web.Request) -> web.StreamResponse:
    """One conversation beside the list; for scripts its part of the page alone."""
    found = await conversation_for(request)
    values = await _stage_part(request, found)
    if request.headers.get("HX-Target") == "stage":
        await _seen(request, found)
        return await page(request, "inbox/stage.html", values)
    listed = await _list_part(request)
    await _seen(request, found)
    return await page(request, "inbox/page.html", {**listed, **values})


async def page_again(request: web.Request, found: Conversation, fault: Fault) -> web.Response:
    """The whole page with what speaks against an answer above its words, for browsers without scripts."""
    values = {**await _list_part(request), **await _stage_part(request, found, fault)}
    return await page(request, "inbox/page.html", values, status=fault.status)


@routes.get("/inbox/{conversation_id}/lines")
@require("viewer")
async def lines(request: web.Request) -> web.StreamResponse:
    """The newest lines anew (`head`: with the buttons of the conversation), or those before a cursor."""
    found = await conversation_for(request)
    values = await _thread_part(request, found, request.query.get("cursor"))
    if "cursor" not in request.query:
        await _seen(request, found)
    return await page(request, "inbox/thread.html", {**values, **await _head_part(request, found)})


@routes.get("/inbox/{conversation_id}/mails/{message_id}")
@require("viewer")
async def mail(request: web.Request) -> web.StreamResponse:
    """A mail as it was sent, on a page of its own: cleaned, without scripts or pictures from elsewhere."""
    found = await conversation_for(request)
    return mail_response(await _message(request, found))


# -- acting --------------------------------------------------------------------------------------------------------


@routes.post("/inbox/{conversation_id}/assign")
@require("agent")
async def assign(request: web.Request) -> web.StreamResponse:
    """Give the conversation to somebody, or to nobody."""
    found, form = await conversation_for(request), await read_form(request)
    assignee_id = str(form.get("assignee", "")) or None
    runtime = runtime_of(request)
    user = await runtime.users.user(assignee_id) if assignee_id else None
    able = user is not None and user.active and user.role in ("admin", "agent")
    if assignee_id and not (able and user and (user.channels is None or found.channel_id in user.channels)):
        raise WrongInput("There is no such colleague.")
    actor, name = actor_of(principal_of(request)), user.name if user else None
    await runtime.desk_actions.assign(found.id, assignee_id, actor, assignee_name=name)
    return await after_act(request, found)


@routes.post("/inbox/{conversation_id}/team")
@require("agent")
async def move(request: web.Request) -> web.StreamResponse:
    """Move the conversation to a team, or to none."""
    found, form = await conversation_for(request), await read_form(request)
    team_id, runtime = str(form.get("team", "")) or None, runtime_of(request)
    if team_id is not None and team_id not in {each.id for each in await runtime.teams.all()}:
        raise WrongInput("There is no such team.")
    await runtime.desk_actions.assign_team(found.id, team_id, actor_of(principal_of(request)))
    return await after_act(request, found)


@routes.post("/inbox/next")
@require("agent")
async def take_next(request: web.Request) -> web.StreamResponse:
    """Take the conversation that waits most and nobody has."""
    principal = principal_of(request)
    if principal.user is None:
        raise WrongInput("A program has no conversations: sign in as a person.")
    found = await runtime_of(request).routing.next_for(principal.user, actor_of(principal))
    raise web.HTTPSeeOther(f"/inbox/{found.id}?view=mine" if found else "/inbox?view=unassigned&nothing=1")


def instant_in(text: str, zone: tzinfo | None = None) -> datetime:
    """A time that was chosen; one without a zone is of that zone. Raises `WrongInput`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WrongInput("This is not a time.") from None
    if at.tzinfo is None and zone is None:
        raise WrongInput("This is not a time.")
    return to_millisecond(at if at.tzinfo else at.replace(tzinfo=zone))


async def change_status(request: web.Request, found: Conversation, status: str, until: datetime | None) -> None:
    """Set the status on behalf of who asks. Raises `WrongInput` for one that does not exist."""
    if status not in STATUS_LABELS:
        raise WrongInput("There is no such state.")
    actor = actor_of(principal_of(request))
    await runtime_of(request).desk_actions.set_status(found.id, status, actor, snoozed_until=until)


async def after_act(request: web.Request, found: Conversation, act: Document | None = None) -> web.StreamResponse:
    """Scripts get the thread anew; a plain form goes back to its page. `act`: what can be taken back."""
    if not is_script(request):
        raise web.HTTPSeeOther(address_of(request, found.id, **({"did": act["_id"]} if act else {})))
    again = await runtime_of(request).conversations.get(found.id) or found
    values = {**await _thread_part(request, again, None), **await _head_part(request, again)}
    return await page(request, "inbox/thread.html", {**values, "did": await did_in(request, act)})


def address_of(request: web.Request, conversation_id: str, **more: str) -> str:
    """Of a conversation in the list that stood beside the form that was sent."""
    return beside(conversation_id, request.headers.get("Referer", ""), **more)


# -- gathering -----------------------------------------------------------------------------------------------------


async def asked_for(request: web.Request, query: Mapping[str, str] | None = None) -> Asked:
    """What part of the inbox an address asks for; a view that is not there is as if it were not named."""
    query = request.query if query is None else query
    default = "mine" if principal_of(request).may("agent") else "all"
    view_id, saved = query.get("view", ""), None
    if view_id not in BUILT_IN:
        with suppress(NotFound):
            saved = await seen_view(reading(request), view_id)
    asked = Asked.of(query, default, saved)
    return replace(asked, ids=tuple(await mentioning(reading(request)))) if asked.view == "mentions" else asked


async def saved_views(request: web.Request) -> list[SavedView]:
    """Those that the reader sees."""
    found = await runtime_of(request).views.seen_by(principal_of(request).id)
    return [each for each in found if sees_view(reading(request), each)]


async def list_again(request: web.Request, asked: Asked, fault: str, given: Mapping[str, str]) -> web.Response:
    """The list with what speaks against saving a view, and what was written."""
    values = {**await _list_part(request, asked), "open": None, "pane": "list", "fault": fault, "given": given}
    return await page(request, "inbox/page.html", values, status=422)


async def _list_part(request: web.Request, asked: Asked | None = None) -> dict[str, Any]:
    principal, runtime = principal_of(request), runtime_of(request)
    asked = asked or await asked_for(request)
    found, faces, saved = await asyncio.gather(
        runtime.finding.page(
            asked.condition(principal.id, principal.channels), sort="sla" if asked.due else "last_activity", limit=ROWS,
            cursor=request.query.get("cursor"),
        ),
        faces_of(runtime),
        saved_views(request),
    )
    tallies = await _tallies(request, saved)
    formats = formats_of(request, principal)
    known = await _known(request, faces, formats)
    shaped = await _shaped(request, asked, found.data, faces)
    more = f"/inbox?{asked.query(cursor=found.next_cursor)}" if found.next_cursor else ""
    view = list_view(asked, formats, tallies, known, faces, saved, _tools(request, asked))
    if asked.due or (await runtime.sla_clocks.terms()).policies:
        view = replace(view, orders=orders_of(asked, formats))
    selecting = principal.may("agent") and request.query.get("select") == "1"
    wanted = asked.condition(principal.id, principal.channels)
    may_take_next = asked.view == "unassigned" and principal.user is not None and principal.may("agent")
    return {
        "rows": shaped, "view": view, "next_href": more + ("&select=1" if more and selecting else ""), "fault": "",
        "given": {}, "picking": principal.may("agent"), "selecting": selecting, "priorities": PRIORITIES,
        "matching": await runtime.conversations.count(wanted, at_most=COUNT_MAX) if selecting else 0,
        "list_did": await did_in(request), "list_back": f"/inbox?{asked.query()}", "snoozes": snoozes(formats),
        "bulk_people": known.colleagues, "bulk_teams": known.teams, "macro_run": new_id("act"),
        "bulk_macros": await seen_macros(reading(request)) if selecting else [],
        "bots_here": selecting and await runtime.bot_rows.any(),
        "may_take_next": may_take_next, "nothing_waits": "nothing" in request.query,
    }  # fmt: skip


async def _known(request: web.Request, faces: Faces, formats: Formats) -> Known:
    principal, runtime = principal_of(request), runtime_of(request)
    scope = principal.reach
    found = await together(
        people=people(runtime), labels=runtime.conversations.labels_in_use(scope), terms=runtime.terms.now(),
        tiers=tier_names(runtime, formats), teams=runtime.teams.all(),
    )  # fmt: skip
    stages = [(each.value, each.label) for each in Words(found["terms"], formats.language).stages]
    return Known(
        [(each.id, each.name or each.email) for each in found["people"]],
        [(each.id, each.name) for each in faces.channels.values() if principal.may_see(each.id)],
        found["labels"], stages, list(found["tiers"].items()), [(each.id, each.name) for each in found["teams"]],
    )  # fmt: skip


def _tools(request: web.Request, asked: Asked) -> ViewTools:
    principal, saved, removed = principal_of(request), asked.saved, request.query.get("removed", "")
    may_share = principal.may_everywhere("agent")
    tools = ViewTools(asked.query(), may_share=may_share, removed_id=removed if is_id(removed, "viw") else "")
    if saved is None:
        return tools
    return replace(
        tools, saved_id=saved.id, saved_name=saved.name, shared=saved.shared, changed=asked.said != asked.base,
        may_change=may_share or not saved.shared,
    )  # fmt: skip


async def _tallies(request: web.Request, saved: list[SavedView]) -> Tallies:
    principal = principal_of(request)
    scope = principal.reach
    views = {**COUNTED, **{each.id: each.filter for each in saved}}
    return Tallies(await runtime_of(request).counting.counts(views, principal.id, scope))


async def _shaped(
    request: web.Request, asked: Asked, found: list[Conversation], faces: Faces | None = None
) -> list[Any]:
    principal, runtime = principal_of(request), runtime_of(request)
    faces = faces or await faces_of(runtime)
    names = await runtime.users.names(sorted({each.assignee_id for each in found if each.assignee_id}))
    formats = formats_of(request, principal)
    begun = await runtime.drafts.begun_in([each.id for each in found], principal.id)
    terms = await runtime.sla_clocks.terms()
    found = [shown_talk(reading(request), each) for each in found]
    rows = [(row_of(each, asked, faces, names, principal.id, formats), each) for each in found]
    shown = [replace(row, draft=row.id in begun, clock=due_clock(each, terms, formats)) for row, each in rows]
    if not asked.due:
        return shown
    return [replace(row, order=due_order(each)) for row, each in zip(shown, found, strict=True) if is_due(each)]


async def _stage_part(request: web.Request, found: Conversation, fault: Fault | None = None) -> dict[str, Any]:
    head, thread, side = await asyncio.gather(
        _head_part(request, found, fault), _thread_part(request, found, None), _customer_part(request, found)
    )
    pane = "customer" if request.query.get("pane") == "customer" else "conversation"
    return {**head, **thread, **side, "pane": pane}


async def _head_part(request: web.Request, found: Conversation, fault: Fault | None = None) -> dict[str, Any]:
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    known = await together(
        faces=faces_of(runtime), people=people(runtime), identity=runtime.profiles.identity(found.identity_id),
        person=runtime.profiles.get(found.profile_id), teams=runtime.teams.all(), stands=all_stand(runtime, formats),
        talks=runtime.conversations.of_profile(found.profile_id, limit=THREADS_MAX),
        macros=seen_macros(reading(request), found),
    )  # fmt: skip
    faces, colleagues, identity, person, teams = (
        known[name] for name in ("faces", "people", "identity", "person", "teams")
    )
    others = [each for each in known["talks"] if each.id != found.id and principal.may_see(each.channel_id)]
    names = {each.id: each.name for each in colleagues}
    answered = await answered_talk(reading(request), found) if found.parts else found
    if answered.id != found.id:
        identity = await runtime.profiles.identity(answered.identity_id)
    capabilities = capabilities_of(runtime, answered, identity) if answered.channel_id in faces.channels else None
    composer = composer_of(capabilities, identity, formats)
    if found.parts:
        composer = replace(composer, ways=await _ways(request, found, answered, faces))
    if principal.may("agent"):
        composer = await furnished(request, found, composer, capabilities, fault)
    clock = due_clock(found, await runtime.sla_clocks.terms(), formats)
    crews = {each.id: each.name for each in teams}
    if found.team_id and found.team_id not in crews:
        crews |= await runtime.teams.names([found.team_id])
    parent = await runtime.conversations.get(found.parent_id) if found.parent_id else None
    view = replace(open_view(found, await asked_for(request), faces, names, formats, crews), clock=clock)
    if parent is not None and principal.may_see(parent.channel_id):
        view = replace(view, parent_id=parent.id, parent_name=name_of(parent))
    bot = await _bot_of(request, found)
    if found.owner == "bot":
        view = replace(view, bot=bot or formats.text(N_("A bot")))
    if person is not None and person.shut_out:
        view, composer = replace(view, shut_out=True), shut_composer(composer, formats)
    return {
        "open": view, "composer": composer, "colleagues": colleagues, "may_answer": principal.may("agent"),
        "snoozes": snoozes(formats), "did": await did_in(request), "priorities": PRIORITIES,
        "back": f"/inbox/{found.id}", "has_others": bool(others), "whole": _whole(request),
        "to_bot": bot if _fits_bot(found) else "",
        "stands": known["stands"], "teams": teams, "macros": known["macros"], "macro_run": new_id("act"),
    }  # fmt: skip


def _fits_bot(found: Conversation) -> bool:
    """Whether it can be given to one."""
    is_fit = not unfit({name: getattr(found, name, None) for name in UNFIT})
    return found.owner != "bot" and found.status != "spam" and is_fit


async def _bot_of(request: web.Request, found: Conversation) -> str:
    """The name of the bot that has it, else of the one on its channel; empty where there is none."""
    rows = runtime_of(request).bot_rows
    bot_id = found.bot_id or (await rows.on_channels([found.channel_id])).get(found.channel_id)
    bot = await rows.known(bot_id) if bot_id else None
    return str(bot["name"]) if bot else ""


async def _ways(
    request: web.Request, found: Conversation, answered: Conversation, faces: Faces
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """The threads of a merged conversation in which an answer can go out, that of the customer's last words first."""
    talks = await runtime_of(request).conversations.with_parts(found)
    seen = [each for each in talks if principal_of(request).may_see(each.channel_id)]
    ordered = sorted(seen, key=lambda each: each.id != answered.id)
    return tuple(
        (each.id, " · ".join([*_handle(each), faces.of(each.channel_id, each.provider).name])) for each in ordered
    )


def _handle(talk: Conversation) -> list[str]:
    return [talk.address.handle] if talk.address.handle else []


async def _thread_part(request: web.Request, found: Conversation, cursor: str | None) -> dict[str, Any]:
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    talks = await _talks(request, found)
    part = await runtime.messages.page([each.id for each in talks], limit=LINES, cursor=cursor)
    campaigns = {each.author.id for each in part.data if each.author.type == "campaign" and each.author.id}
    may_answer = principal_of(request).may("agent")
    names = await journey_names(runtime, campaigns)
    faces = await faces_of(runtime) if len(talks) > 1 else None
    shown_on = {each.id: faces.of(each.channel_id, each.provider) for each in talks} if faces else {}
    card = {each.provider: each for each in runtime.registry.cards()}.get(found.provider)
    is_mail = card is not None and card.kind == "email"
    has_notes = any(each.direction == "note" for each in part.data)
    handles = handles_of(await runtime.users.users()) if has_notes else {}
    scene = Scene(found, name_of(found), formats, names, may_answer=may_answer, faces=shown_on, is_mail=is_mail,
                  own=await own_addresses(runtime, found.channel_id) if is_mail else (),
                  emojis=emojis_of(capabilities_of(runtime, found, None)) if may_answer else (),
                  handles=handles)  # fmt: skip
    shown = [each for each in reversed(part.data) if not (may_answer and is_planned(each))]
    query = (await asked_for(request)).query(cursor=part.next_cursor) + ("&all=1" if _whole(request) else "")
    earlier = f"/inbox/{found.id}/lines?{query}" if part.next_cursor else ""
    return {
        "lines": lines_of(shown, scene), "earlier_href": earlier, "threads": [each.id for each in talks],
        "whole": _whole(request),
    }  # fmt: skip


def _whole(request: web.Request) -> bool:
    """Whether all channels of the person are asked for, as one thread."""
    return request.query.get("all") == "1"


async def _talks(request: web.Request, found: Conversation) -> list[Conversation]:
    """The conversations whose lines are shown: the open one, and with `all` the others of the person."""
    store, principal = runtime_of(request).conversations, principal_of(request)
    talks = await store.with_parts(found)
    if _whole(request):
        talks += [each for each in await store.of_profile(found.profile_id) if each.id != found.id]
    return [each for each in talks if principal.may_see(each.channel_id)][:THREADS_MAX]


async def _customer_part(request: web.Request, found: Conversation) -> dict[str, Any]:
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    profile, identities, orders, runs, others, faces = await asyncio.gather(
        runtime.profiles.get(found.profile_id),
        runtime.profiles.identities_of(found.profile_id),
        order_rows(runtime, found.profile_id, formats, limit=4),
        run_briefs(runtime, found.profile_id, formats, limit=4),
        runtime.conversations.of_profile(found.profile_id, limit=6),
        faces_of(runtime),
    )
    owner = await runtime.users.names([profile.owner_id]) if profile and profile.owner_id else {}
    seen = [
        shown_talk(reading(request), each)
        for each in others
        if each.id != found.id and principal.may_see(each.channel_id)
    ]
    view = customer_view(
        scoped_profile(reading(request), profile) if profile else None, found,
        shown_identities(reading(request), identities), orders=orders, runs=runs, others=seen[:4],
        owner=owner_name(profile, owner), faces=faces, formats=formats, agreed=await runtime_of(request).terms.now(),
        tiers=await tier_names(runtime, formats),
    )  # fmt: skip
    brief = await consent_brief(request, profile.id, found.identity_id, formats) if profile else None
    panels = []
    if profile is not None:
        opened = Opened(request, profile, shown_identities(reading(request), identities), faces, formats)
        panels = [("follow_up", await follow_up_panel(opened)), ("pinned", await pinned_panel(opened))]
    return {
        "customer": view, "consent": brief, "may_record": principal.may("agent", "marketer"),
        "panels": [(name, shown) for name, shown in panels if shown is not None],
    }  # fmt: skip


async def _message(request: web.Request, found: Conversation) -> Message:
    message_id = request.match_info["message_id"]
    message = await runtime_of(request).messages.get(message_id) if is_id(message_id, "msg") else None
    if message is None or message.conversation_id not in found.threads:
        raise NotFound("There is no such message.")
    return message  # type: ignore[no-any-return]


async def _seen(request: web.Request, found: Conversation) -> None:
    """Whoever opens it has seen what they were told of it; whoever may answer has read it. Nobody waits for that, and
    nothing fails for it."""
    await runtime_of(request).notifications.read_about(principal_of(request).id, found.threads)
    if not found.unread or not principal_of(request).may("agent"):
        return
    try:
        await runtime_of(request).desk_actions.mark_read(found.id, actor_of(principal_of(request)))
    except Conflict:
        return
