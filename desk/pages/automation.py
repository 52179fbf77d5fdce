"""Settings → Automation: rules in their order, each as a sentence, its form, its runs, and trying it out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id
from campaigns.automation.rules import MISSING, StandingRule, read_rule
from desk.api.automation_rules import maker_of, shown_rule
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages import form_kinds
from desk.pages.action_forms import ACTIONS, FORMS, actions_of, done_with, names_of, placed, views_of
from desk.pages.action_sources import action_sources, called_in
from desk.pages.action_titles import TITLES, left_words
from desk.pages.definition_forms import id_in, removed_id
from desk.pages.form_kinds import ROOT, Names
from desk.pages.form_views import Drawing
from desk.pages.inbox_rows import name_of
from desk.pages.rule_form import settled
from desk.pages.rule_words import (
    EVENTS,
    ON,
    OUTCOME_TONES,
    OUTCOMES,
    START_FORMS,
    TIMED,
    TYPES,
    WHEN,
    condition_choices,
    does_words,
    names_of_start,
    start_of,
    start_type,
    start_words,
    when_words,
)
from desk.pages.rules import event_words
from desk.pages.segment_rows import adopted
from desk.pages.segments import dated
from desk.render import formats_of, page
from desk.team.masking import COVER, covered_json
from inbox.view_filter import ConversationFilter, ViewFilter

routes = web.RouteTableDef()
HERE = "/settings/automation"
TAKEN = N_("There is a rule with this name already.")
EMPTY = N_("Choose at least one action.")
#: Conversations offered for trying a rule out.
OFFERED = 20
_TALK = re.compile(r"cnv_[0-9a-z]{26}")


@routes.get(HERE)
@require("viewer")
async def all_rules(request: web.Request) -> web.StreamResponse:
    """All rules in the order in which they are asked."""
    principal, runtime = principal_of(request), runtime_of(request)
    formats, (sources, found) = formats_of(request, principal), await action_sources(request)
    choices, hours = condition_choices(found, sources, formats), dict(sources["hours"])
    called, channels = called_in(sources), dict(sources["accounts"])
    shown = [shown_rule(principal, each) for each in await runtime.automation_rules.all()]
    lines = [
        {
            "rule": each, "start": start_words(kept["on"], hours, formats),
            "when": when_words(kept["when"], choices, formats), "does": does_words(kept["actions"], called, formats),
            "channels": [channels[one] for one in kept["channel_ids"] if one in channels],
        }
        for each in shown if each and (kept := each.written.kept())
    ]  # fmt: skip
    values = {
        "lines": lines, "may_change": principal.may_everywhere("admin"),
        "removed": removed_id(request, "arl", "admin"),
    }  # fmt: skip
    return await page(request, "settings/automation.html", values)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    refuse_scoped(reading(request))
    given = {"name": "", "channel_ids": (), "stop": False, "active": True}
    return await _form(request, None, given, names_of_start({"type": "event", "event": "message.received"}), [])


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Write it down, or (any other button) change the form itself."""
    refuse_scoped(reading(request))
    return await _saved(request, None)


@routes.get(HERE + "/{rule_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One rule in its form."""
    rule = await _rule(request)
    return await _form(request, rule, rule.written.kept(), _names_of(rule), [])


@routes.post(HERE + "/{rule_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form."""
    refuse_scoped(reading(request))
    return await _saved(request, await _rule(request))


@routes.post(HERE + "/{rule_id}/up")
@require("admin")
async def up(request: web.Request) -> web.StreamResponse:
    """Ask it before the one above it."""
    refuse_scoped(reading(request))
    rule, rules = await _rule(request), runtime_of(request).automation_rules
    ids = [each.id for each in await rules.all()]
    place = ids.index(rule.id)
    if place:
        ids[place - 1 : place + 1] = [ids[place], ids[place - 1]]
        await rules.order(ids)
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{rule_id}/switch")
@require("admin")
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch it on (`on`) or off."""
    refuse_scoped(reading(request))
    rule, form = await _rule(request), await read_form(request)
    by = maker_of(principal_of(request))
    await runtime_of(request).automation_rules.change(rule.id, {"active": bool(form.get("on"))}, by)
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{rule_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    refuse_scoped(reading(request))
    rule = await _rule(request)
    await runtime_of(request).automation_rules.remove(rule.id)
    raise web.HTTPSeeOther(f"{HERE}?removed={rule.id}")


@routes.post(HERE + "/{rule_id}/restore")
@require("admin")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    rule = await runtime_of(request).automation_rules.restore(_id(request))
    raise web.HTTPSeeOther(f"{HERE}/{rule.id}")


@routes.get(HERE + "/{rule_id}/runs")
@require("viewer")
async def runs(request: web.Request) -> web.StreamResponse:
    """When it was asked, and what became of it."""
    rule, principal, runtime = await _rule(request), principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    scope = principal.reach
    found = await runtime.rule_runs.page(rule.id, channels=scope, limit=50, cursor=request.query.get("cursor"))
    named = [each["conversation_id"] for each in found.data if each.get("conversation_id")]
    talks = await runtime.conversations.rows(named)
    lines = [_run_line(each, rule.id, talks, formats) for each in found.data]
    values = {"rule": rule, "lines": lines, "next": found.next_cursor, "first": "cursor" not in request.query}
    return await page(request, "settings/automation_runs.html", values)


@routes.get(HERE + "/{rule_id}/try")
@require("agent")
async def try_out(request: web.Request) -> web.StreamResponse:
    """What it would do on a conversation by now; nothing is done."""
    rule, runtime, principal = await _rule(request), runtime_of(request), principal_of(request)
    formats = formats_of(request, principal)
    scope = principal.reach
    latest = await runtime.conversations.page(ConversationFilter(ViewFilter(), channels=scope), limit=OFFERED)
    asked = _TALK.search(request.query.get("conversation", "") or request.query.get("other", ""))
    tried, talk = None, None
    if asked:
        talk = await runtime.conversations.get(asked[0])
        if talk is None or not principal.may_see(talk.channel_id):
            raise NotFound("There is no such conversation.")
        row = await runtime.automation_rules.row(rule.id)
        tried = await runtime.rule_runner.try_out(row, talk.id)
    shown = covered_json(tried.values, principal.masks, str) if tried else {}
    looked_at = {name: COVER if shown[name] is None and value is not None else value
                 for name, value in (tried.values if tried else {}).items()}  # fmt: skip
    values = {
        "rule": rule, "talks": [(each.id, name_of(each)) for each in latest.data], "tried": tried, "talk": talk,
        "looked_at": looked_at,
        "talk_name": name_of(talk) if talk else "",
        "actions": [
            (formats.text(TITLES[kind]), left_words({"why": why, "sentence": words}, formats))
            for kind, why, words in (tried.actions if tried else ())
        ],
        "why": formats.text(OUTCOMES[tried.why]) if tried and tried.why else "",
    }  # fmt: skip
    return await page(request, "settings/automation_try.html", values)


def _run_line(row: Mapping[str, Any], rule_id: str, talks: Mapping[str, Any], formats: Any) -> dict[str, Any]:
    result = next(each for each in row["results"] if each["rule_id"] == rule_id)
    talk, name = talks.get(row.get("conversation_id") or ""), str(row["event"])
    own = {**EVENTS, **{f"timed.{key}": said for key, said in TIMED}}
    words = formats.text(own[name]) if name in own else event_words(name, formats)
    steps = [(formats.text(TITLES[each["type"]]), left_words(each, formats)) for each in result["steps"]]
    return {
        "at": row["at"], "event": words, "outcome": formats.text(OUTCOMES[result["outcome"]]),
        "tone": OUTCOME_TONES.get(result["outcome"], ""), "steps": steps, "why": result.get("why") or "",
        "href": f"/inbox/{talk['_id']}?view=all&status={talk['status']}" if talk else "",
        "talk": (talk or {}).get("display_name") or formats.text(N_("Conversation")),
    }  # fmt: skip


# -- the form ------------------------------------------------------------------------------------------------------


def _names_of(rule: StandingRule) -> Names:
    kept = rule.written.kept()
    conditions = form_kinds.filled([WHEN], {"when": kept["when"]} if kept["when"] else {})
    return {**names_of_start(kept["on"]), **conditions, **names_of(kept["actions"])}


async def _saved(request: web.Request, rule: StandingRule | None) -> web.StreamResponse:
    form, principal = await read_form(request), principal_of(request)
    formats, (sources, found) = formats_of(request, principal), await action_sources(request)
    choices = condition_choices(found, sources, formats)
    names, act = form_kinds.sent(form.items()), str(form.get("act", "save"))
    kind = start_type(names)
    names = form_kinds.settled(START_FORMS[kind], names, ON)
    names = form_kinds.with_rules(names, lambda node: dated(settled(adopted(node, choices)), formats))
    given = {
        "name": str(form.get("name", "")).strip(), "stop": bool(form.get("stop")), "active": bool(form.get("active")),
        "channel_ids": tuple(str(each) for each in form.getall("channel_ids", []) if is_id(str(each), "chn")),
    }  # fmt: skip
    if act != "save":
        deed = f"new:{form.get('kind', '')}" if act == "new" else act
        return await _form(request, rule, given, done_with(names, deed), [])
    unfinished = Drawing(formats, strict=True).unfinished([WHEN], names)
    when = form_kinds.built([WHEN], names, {}).get("when")
    wanted = {**given, "on": start_of(names), "when": when, "actions": actions_of(names)}
    rules, by = runtime_of(request).automation_rules, maker_of(principal)
    try:
        read = read_rule(wanted)
        if unfinished:
            return await _form(request, rule, given, names, [], strict=True)
        made = await (rules.change(rule.id, read.kept(), by) if rule else rules.create(read, by))
    except (Conflict, WrongInput) as error:
        return await _form(request, rule, given, names, _faults_of(error, names), strict=True)
    raise web.HTTPSeeOther(f"{HERE}/{made.id}?saved=1")


def _faults_of(error: Conflict | WrongInput, names: Names) -> list[tuple[str, str]]:
    if isinstance(error, Conflict):
        return [("name", TAKEN)] if error.code == "name_taken" else [("", str(error))]
    found = []
    for way, words in placed(error.errors, names):
        plain = way.removeprefix(f"{ROOT}/")
        own = plain if plain in ("name", "channel_ids") else way
        found.append(("", EMPTY) if way == ACTIONS else (own, words))
    return found or [("", str(error))]


async def _form(
    request: web.Request, rule: StandingRule | None, given: Mapping[str, Any], names: Names,
    faults: list[tuple[str, str]], *, strict: bool = False,
) -> web.Response:  # fmt: skip
    principal = principal_of(request)
    formats, (sources, found) = formats_of(request, principal), await action_sources(request)
    choices = condition_choices(found, sources, formats)
    said = [(key, formats.text(words)) for key, words in EVENTS.items()]
    sources = {**sources, "rule_events": said}
    drawing = Drawing(formats, sources, choices, [(way, formats.text(words)) for way, words in faults], strict)
    kind = start_type(names)
    values = {
        "rule": rule, "given": given, "faults": {way: words for way, words in faults if not way.startswith(f"{ROOT}/")},
        "type": kind, "types": TYPES, "start": drawing.views(START_FORMS[kind], names, ON),
        "when": drawing.views([WHEN], names)[0], "actions": views_of(names, drawing, formats),
        "kinds": [(key, TITLES[key]) for key in FORMS], "channels": dict(sources["accounts"]), "sources": sources,
        "tags": choices.tags, "may_change": principal.may_everywhere("admin"), "saved": "saved" in request.query,
        "words": _sentences(names, sources, choices, formats), "rule_about": "conversation",
    }  # fmt: skip
    return await page(request, "settings/automation_form.html", values, status=422 if faults or strict else 200)


def _sentences(names: Names, sources: Mapping[str, Any], choices: Any, formats: Any) -> list[str]:
    """The rule as it would be read."""
    on, when = start_of(names), form_kinds.built([WHEN], names, {}).get("when")
    whole = on.get("event") if on["type"] == "event" else on.get("what") and on.get("after")
    start = start_words(on, dict(sources["hours"]), formats) if whole else ""
    does = does_words(actions_of(names), called_in(sources), formats)
    return [each for each in [start, when_words(when, choices, formats), *does] if each]


def _id(request: web.Request) -> str:
    return id_in(request, "rule_id", "arl", MISSING)


async def _rule(request: web.Request) -> StandingRule:
    shown = shown_rule(principal_of(request), await runtime_of(request).automation_rules.get(_id(request)))
    if shown is None:
        raise NotFound(MISSING)
    return shown
