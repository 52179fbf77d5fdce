"""The journey builder: the draft drawn as a flow, settings of its parts beside it, versions, publishing.

Every change is a form that is answered with the page; a script puts the parts of the answer in place. The query says
what stands beside the flow: `step=ID`, `add=SLOT`, `panel=` one of `PANELS`; `version=N` shows how it was published.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import web

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.mongo import Document
from campaigns import drafting
from campaigns.drafting import START, steps_of, tidy
from campaigns.models import TRIGGERS
from campaigns.tracking.rewriting import names_for
from desk.api.scope import reading, refuse_scoped
from desk.auth import is_script, principal_of, require
from desk.forms import read_form
from desk.i18n import N_, NN_, Formats
from desk.keys import base_url_of, runtime_of
from desk.pages import form_kinds
from desk.pages.broadcast_preview import house_utm
from desk.pages.flow import draw, outline
from desk.pages.form_kinds import ROOT, Field, Names
from desk.pages.form_views import Drawing, faults_at, way_of
from desk.pages.intakes import intake_view
from desk.pages.journey_diff import changes
from desk.pages.journey_faults import fault_words
from desk.pages.journey_forms import (
    NEW,
    PURPOSES,
    SETTINGS,
    TRIGGER_TITLES,
    offered,
    step_fields,
    trigger_fields,
)
from desk.pages.journey_sources import sources_of, step_options
from desk.pages.journey_steps import SYMBOLS, TITLES, Counts, exits_by_step, step_view
from desk.pages.journeys import journey_view, may_change, names_in, template_names
from desk.pages.link_preview import added_to, links_written
from desk.pages.migrating import batch_line, chosen_places, moves_view, read_choices
from desk.pages.reads import faces_of, together
from desk.pages.results_panel import panel_of
from desk.pages.rule_form import ROOT as RULE_ROOT
from desk.pages.rule_form import settled
from desk.pages.runs import step_title
from desk.pages.segment_rows import Choices, Option, adopted
from desk.pages.segments import DEEDS, dated
from desk.pages.triggers import trigger_words
from desk.render import page, reader_of

routes = web.RouteTableDef()
PANELS = ("trigger", "settings", "versions", "publish", "migrate", "results")
LEFT = ("passed", "skipped", "failed")
CONFLICT = N_("Somebody else has changed this meanwhile. Save again to replace what they did.")
OPEN_FAULTS = NN_(
    "%(num)s thing is missing before it can be published", "%(num)s things are missing before it can be published"
)


@dataclass(frozen=True)
class Fault:
    """Something to be done before publishing, and where."""

    href: str
    where: str
    words: str


@dataclass
class Panel:
    """What stands beside the flow."""

    kind: str
    title: str = ""
    symbol: str = ""
    href: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@routes.get("/journeys/{journey_id}")
@require("viewer")
async def journey(request: web.Request) -> web.StreamResponse:
    """The builder; for who may not change it, what is live."""
    return await Builder(request, await _head(request)).page()


@routes.post("/journeys/new")
@require("marketer")
async def begin(request: web.Request) -> web.StreamResponse:
    """A journey from nothing."""
    refuse_scoped(reading(request))
    head = await runtime_of(request).journeys.create({}, principal_of(request).id)
    raise web.HTTPSeeOther(f"/journeys/{head['_id']}?panel=trigger")


@routes.post("/journeys/{journey_id}/steps")
@require("marketer")
async def steps(request: web.Request) -> web.StreamResponse:
    """A step comes in, moves or goes."""
    refuse_scoped(reading(request))
    form, journey_id = await read_form(request), request.match_info["journey_id"]
    act, step_id, slot = (str(form.get(name, "")) for name in ("act", "step", "slot"))
    deed, _, kind = act.partition(":")
    made = {"id": ""}

    def change(draft: dict[str, Any]) -> Mapping[str, Any]:
        if deed == "add":
            made["id"] = drafting.free_id(kind, steps_of(draft))
            return drafting.inserted(draft, slot, {"id": made["id"], "type": kind, **NEW.get(kind, {})})
        if deed == "remove":
            return drafting.removed(draft, step_id, str(form.get("keep", "")) or None)
        if deed == "move":
            return drafting.moved(draft, step_id, slot)
        if deed in ("up", "down"):
            return drafting.shifted(draft, step_id, up=deed == "up")
        raise WrongInput("There is no such change.", [FieldError("act", "is add, remove, move, up or down")])

    if deed == "add" and kind not in TITLES:
        raise WrongInput("There is no such step.", [FieldError("act", "names no type of step")])
    await runtime_of(request).journeys.edit(journey_id, change, principal_of(request).id)
    query = {"remove": {"gone": "1"}, "add": {"step": made["id"]}}.get(deed, {"step": step_id})
    raise web.HTTPSeeOther(f"/journeys/{journey_id}?{urlencode(query)}")


@routes.post("/journeys/{journey_id}/undo")
@require("marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take the last change back, or make it again."""
    refuse_scoped(reading(request))
    form, journey_id = await read_form(request), request.match_info["journey_id"]
    head = await runtime_of(request).journeys.undo(journey_id, principal_of(request).id, again=bool(form.get("again")))
    step, panel = str(form.get("step", "")), str(form.get("panel", ""))
    query = {"step": step} if step in steps_of(tidy(head["draft"])) else {"panel": panel} if panel in PANELS else {}
    raise web.HTTPSeeOther(f"/journeys/{journey_id}" + (f"?{urlencode(query)}" if query else ""))


@routes.post("/journeys/{journey_id}/form")
@require("marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Settings of a step, of what starts it, of the whole. `save` keeps them and says what is missing; any other button
    keeps what is there so far and changes the form itself."""
    refuse_scoped(reading(request))
    form, builder = await read_form(request), Builder(request, await _head(request))
    part = builder.part()
    _, choices = await builder.known()
    names = form_kinds.settled(part.fields(form), form_kinds.sent(form.items()))
    names = form_kinds.with_rules(names, lambda node: dated(settled(adopted(node, choices)), builder.formats))
    act = str(form.get("act", "save"))
    names = _deed(part.fields(form), names, act)
    builder.names, builder.strict = names, act == "save"

    def change(draft: dict[str, Any]) -> Mapping[str, Any]:
        own = part.of(draft)
        new = form_kinds.built(part.fields(form), names, part.begun(own, form))
        if new == own:
            return draft
        if str(form.get("seen", "")) != seen(own):
            raise Conflict(CONFLICT)
        return part.put(draft, new)

    try:
        builder.head = await runtime_of(request).journeys.edit(builder.id, change, principal_of(request).id)
    except Conflict as error:
        builder.problem = str(error)
        return await builder.page(422)
    builder.draft = tidy(builder.head["draft"])
    if act == "save" and not Drawing(builder.formats, strict=True).unfinished(part.fields(form), names):
        raise web.HTTPSeeOther(builder.href(**part.query))
    return await builder.page(422 if act == "save" else 200)


@routes.post("/journeys/{journey_id}/status")
@require("marketer")
async def change_status(request: web.Request) -> web.StreamResponse:
    """Publish, pause, resume, let run out, archive. What stops a publication is said beside the flow."""
    refuse_scoped(reading(request))
    form, journey_id = await read_form(request), request.match_info["journey_id"]
    status = str(form.get("status", ""))
    journeys, by = runtime_of(request).journeys, principal_of(request).id
    try:
        if status == "publish":
            await journeys.publish(journey_id, by, migrate=read_choices(form))
        else:
            await journeys.set_status(journey_id, status, by)
    except WrongInput:
        if status != "publish":
            raise
        builder = Builder(request, await _head(request))
        builder.panel_name = "publish"
        return await builder.page(422)
    raise web.HTTPSeeOther(f"/journeys/{journey_id}")


@routes.post("/journeys/{journey_id}/migrations")
@require("marketer")
async def migrate(request: web.Request) -> web.StreamResponse:
    """Take along to the live version who is in an older one. Where nobody is any more there is nothing to do."""
    refuse_scoped(reading(request))
    form, journey_id = await read_form(request), request.match_info["journey_id"]
    journeys, by = runtime_of(request).journeys, principal_of(request).id
    try:
        await journeys.migrate(journey_id, chosen_places(form), by)
    except Conflict as error:
        if error.code != "nobody_behind":
            raise
    raise web.HTTPSeeOther(f"/journeys/{journey_id}?panel=versions")


@routes.post("/journeys/{journey_id}/migrations/{migration_id}/undo")
@require("marketer")
async def undo_migration(request: web.Request) -> web.StreamResponse:
    """Put back who was taken along to a version and has not moved on since."""
    refuse_scoped(reading(request))
    journey_id, migration_id = request.match_info["journey_id"], request.match_info["migration_id"]
    await runtime_of(request).migrations.undo(journey_id, migration_id, principal_of(request).id)
    raise web.HTTPSeeOther(f"/journeys/{journey_id}?panel=versions")


async def _head(request: web.Request) -> Document:
    head: Document = await runtime_of(request).journeys.get(request.match_info["journey_id"])
    return head


# -- parts that have a form ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A step, what starts the journey, or its settings."""

    kind: str
    step_id: str = ""

    @property
    def query(self) -> dict[str, str]:
        """How it is asked for."""
        return {"step": self.step_id} if self.kind == "step" else {"panel": self.kind}

    def of(self, draft: Mapping[str, Any]) -> dict[str, Any]:
        """Raises `NotFound`."""
        if self.kind == "step":
            found = steps_of(draft).get(self.step_id)
            if found is None:
                raise NotFound("There is no such step.")
            return dict(found)
        if self.kind == "trigger":
            return dict(draft.get("trigger") or {})
        return {key: value for key, value in draft.items() if key not in ("trigger", "steps")}

    def put(self, draft: dict[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
        """The draft with it."""
        if self.kind == "step":
            return drafting.replaced(draft, new)
        if self.kind == "trigger":
            return {**draft, "trigger": dict(new)}
        return {**{key: draft[key] for key in ("trigger", "steps") if key in draft}, **new}

    def begun(self, own: Mapping[str, Any], form: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the form is laid over: a trigger of another type begins anew."""
        kind = str(form.get("type", ""))
        return {"type": kind} if self.kind == "trigger" and kind in TRIGGERS and own.get("type") != kind else own

    def head(self, draft: Mapping[str, Any]) -> str:
        """Under which path its faults stand."""
        if self.kind == "step":
            return f"steps[{list(steps_of(draft)).index(self.step_id)}]"
        return self.kind if self.kind == "trigger" else ""

    def fields(self, own: Mapping[str, Any]) -> tuple[Field, ...]:
        """Its form. `own`: as stored or as sent, with the `type`."""
        kind = str(own.get("type", ""))
        if self.kind == "step":
            return step_fields(kind)
        return trigger_fields(kind) if self.kind == "trigger" else SETTINGS


def seen(part: Mapping[str, Any]) -> str:
    """Changes with every change of it."""
    return hashlib.blake2s(orjson.dumps(part, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _deed(fields: Sequence[Field], names: Names, act: str) -> Names:
    """What a button inside a form does: rows of a list, rows of a rule."""
    deed, _, way = act.partition(":")
    if deed == "more" and way.startswith(ROOT + "/"):
        return form_kinds.with_row(fields, names, way)
    if deed == "less" and way.startswith(ROOT + "/"):
        return form_kinds.without_row(names, way)
    own, _, rule = way.partition("~")
    if deed in DEEDS and rule.startswith(RULE_ROOT):
        node = DEEDS[deed](form_kinds.rule_node(names, own), rule)
        return form_kinds.without_rule(names, own) | form_kinds.rule_names(node, own)
    return names


# -- the page ------------------------------------------------------------------------------------------------------


class Builder:
    """The page as one request sees it."""

    def __init__(self, request: web.Request, head: Document) -> None:
        self.request = request
        self.head = head
        self.id = str(head["_id"])
        self.draft = tidy(head["draft"])
        self.formats: Formats = reader_of(request)
        self.may_change = may_change(request) and head["status"] != "archived"
        self.panel_name = request.query.get("panel", "")
        self.names: Names | None = None
        self.strict = False
        self.problem = ""
        self.faults: tuple[FieldError, ...] = ()
        self.templates: dict[str, str] = {}
        self.live: dict[str, Any] = {}
        self.named: dict[str, str] = {}
        self.counts: dict[str, Counts] = {}
        self._known: tuple[dict[str, Sequence[Option]], Choices] | None = None

    def href(self, **query: str) -> str:
        """This page with something beside the flow."""
        return f"/journeys/{self.id}" + (f"?{urlencode(query)}" if query else "")

    def part(self) -> Part:
        """What the form on the page is about. Raises `NotFound`."""
        step_id = self.request.query.get("step", "")
        if step_id:
            return Part("step", step_id)
        if self.panel_name in ("trigger", "settings"):
            return Part(self.panel_name)
        raise NotFound("There is no such form.")

    async def known(self) -> tuple[dict[str, Sequence[Option]], Choices]:
        """What can be chosen; read once."""
        if self._known is None:
            self._known = await sources_of(runtime_of(self.request), self.formats, self.draft, self.id)
        return self._known

    async def page(self, status: int = 200) -> web.Response:
        """All of it."""
        runtime, version = runtime_of(self.request), self._version()
        journeys = runtime.journeys
        found = await together(
            live=journeys.definition(self.id, version), counts=journeys.counts(self.id, version),
            totals=journeys.totals(self.id), twins=journeys.from_recipes(),
            planned=runtime.backfills.planned(self.id), intakes=runtime.backfills.intakes(self.id, limit=3),
        )  # fmt: skip
        self.live, counts = found["live"], found["counts"].items()
        self.counts = {key: Counts(own.waiting, own.passed, own.skipped, own.failed) for key, own in counts}
        editing = self.may_change and version is None
        shown = self.draft if editing else tidy(self.live)
        self.faults = await journeys.faults(self.draft) if self.may_change else ()
        both = (*steps_of(shown).values(), *steps_of(tidy(self.live)).values())
        self.templates = await template_names(
            runtime, {str(each["template_id"]) for each in both if each.get("template_id")}
        )
        exits = exits_by_step(list(steps_of(shown).values()), self.formats)
        entry = next(iter(steps_of(shown)), None)
        told = {} if not editing else self._told(shown)
        views = {
            key: replace(step_view(each, self.counts, self.templates, self.formats), fault=told.get(key, ""))
            for key, each in steps_of(shown).items()
        }
        self.named = await names_in(runtime, [shown, self.live])
        head = {**self.head, "name": shown.get("name") or self.head["name"]}
        values = {
            "journey": journey_view(
                head, shown, found["totals"], self.formats, self.named, found["planned"].people
            ), "steps": views,
            "drawing": draw(exits, entry), "lines": outline(exits, entry), "editing": editing,
            "may_change": self.may_change, "loose": [views[key] for key in drafting.loose(shown)],
            "twin": found["twins"].get(self.head.get("recipe") or "") if self.head["status"] == "draft" else None,
            "summary": self._summary() if editing else [], "summary_words": self._summary_words(),
            "shows_results": self._shows_results(),
            "changed": bool(self.head["live_version"]) and self.draft != tidy(self.live) and version is None,
            "version_shown": version, "undo": bool(self.head.get("undo")), "redo": bool(self.head.get("redo")),
            "panel": await self._panel(shown, editing), "rev": self.head["draft_rev"], "here": self._here(),
            "trigger_fault": told.get(START, ""), "slots": self._slot_names(shown) if editing else {},
            "gone": bool(self.request.query.get("gone")), "said_problem": self.problem, "intakes": [
                intake_view(row, self.formats) for row in found["intakes"].data
                if row["state"] in ("pending", "missed", "failed")
            ],
        }  # fmt: skip
        # A script reads what is wrong on the page itself.
        status = 200 if is_script(self.request) else status
        return await page(self.request, "journeys/journey.html", values, status=status)

    def _version(self) -> int | None:
        text = self.request.query.get("version", "")
        return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 6 else None

    def _here(self) -> dict[str, str]:
        query = self.request.query
        named = {name: query.get(name, "") for name in ("step", "add")}
        shown = self.panel_name if self.panel_name in PANELS and not any(named.values()) else ""
        return {**named, "panel": shown}

    # -- faults ------------------------------------------------------------------------------------------------

    def _told(self, draft: Mapping[str, Any]) -> dict[str, str]:
        """Step → what is wrong with it, in a line; `start`: with what starts it."""
        found: dict[str, str] = {}
        for fault in self.faults:
            found.setdefault(self._place(fault, draft)[0], fault_words(fault, self.formats))
        return found

    def _place(self, fault: FieldError, draft: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """(step, query of the panel) a fault belongs to."""
        if fault.path.startswith("trigger"):
            return START, {"panel": "trigger"}
        if fault.path.startswith("steps["):
            place, ids = fault.path[6:].partition("]")[0], list(steps_of(draft))
            if place.isdigit() and int(place) < len(ids):
                return ids[int(place)], {"step": ids[int(place)]}
        return ("", {"add": START}) if fault.path == "steps" else ("", {"panel": "settings"})

    def _summary(self) -> list[Fault]:
        names = dict(step_options(self.draft, self.templates, self.formats))
        places = {START: N_("What starts it"), "": N_("Settings")}
        found = []
        for fault in self.faults:
            key, query = self._place(fault, self.draft)
            where = names.get(key) or self.formats.text(N_("Steps") if fault.path == "steps" else places.get(key, ""))
            found.append(Fault(self.href(**query), where, fault_words(fault, self.formats)))
        return list(dict.fromkeys(found))

    def _summary_words(self) -> str:
        return self.formats.plural(*OPEN_FAULTS, len(self._summary())) if self.faults else ""

    # -- beside the flow ---------------------------------------------------------------------------------------

    async def _panel(self, shown: Mapping[str, Any], editing: bool) -> Panel | None:
        query = self.request.query
        if (step_id := query.get("step", "")) and step_id in steps_of(shown):
            return await self._step_panel(shown, step_id, editing)
        if self.panel_name == "versions":
            return await self._versions()
        if self.panel_name == "results" and self._shows_results():
            return await self._results()
        if self.panel_name == "migrate" and self.may_change and self.head["live_version"]:
            return await self._moving()
        if not editing:
            return None
        slot = query.get("add", "")
        if slot and slot in drafting.slots(shown):
            return self._chooser(slot)
        if self.panel_name == "publish":
            return await self._publication()
        return await self._form_panel(Part(self.panel_name)) if self.panel_name in ("trigger", "settings") else None

    def _chooser(self, slot: str) -> Panel:
        kinds = [
            (self.formats.text(heading), [
                (kind, SYMBOLS.get(kind, "bolt"), self.formats.text(TITLES.get(kind, kind)),
                 self.formats.text(PURPOSES.get(kind, ""))) for kind in names
            ])
            for heading, names in offered()
        ]  # fmt: skip
        where = self._slot_names(self.draft).get(slot, "")
        title = self.formats.text(N_("Add a step"))
        return Panel("add", title, "plus", self.href(), {"kinds": kinds, "slot": slot, "where": where})

    def _slot_names(self, draft: Mapping[str, Any]) -> dict[str, str]:
        """Slot → where it is, in words."""
        names = dict(step_options(draft, self.templates, self.formats))
        found = {START: self.formats.text(N_("at the beginning"))}
        for key, exits in exits_by_step(list(steps_of(draft).values()), self.formats).items():
            for each in exits:
                if each.way:
                    label = f"{names[key]} · {each.label}" if each.label else names[key]
                    found[f"{key}:{each.way}"] = self.formats.text(N_("after %(step)s"), step=label)
        return found

    async def _step_panel(self, shown: Mapping[str, Any], step_id: str, editing: bool) -> Panel:
        step = steps_of(shown)[step_id]
        view = step_view(step, self.counts, self.templates, self.formats)
        counts = [
            (self.formats.text(words), self.formats.number(number), f"{self.href()}/people?node={step_id}{more}")
            for words, number, more in (
                (N_("here now"), view.counts.waiting, ""), (N_("went on"), view.counts.passed, "&left=passed"),
                (N_("skipped"), view.counts.skipped, "&left=skipped"),
                (N_("failed"), view.counts.failed, "&left=failed"),
            ) if number
        ]  # fmt: skip
        known = {"counts": counts, "view": view, "step_id": step_id}
        if not editing:
            return Panel("read", view.title, view.symbol, self.href(), known)
        panel = await self._form_panel(Part("step", step_id))
        places = {slot: words for slot, words in self._slot_names(shown).items()
                  if slot.partition(":")[0] != step_id and drafting.slots(shown).get(slot) != step_id}  # fmt: skip
        ways = exits_by_step([step], self.formats)[step_id]
        keeps = [(each.way, each.label) for each in ways] if len(ways) > 1 else []
        panel.title, panel.symbol = self.formats.text(TITLES.get(view.kind, view.kind)), view.symbol
        links = await self._links(step) if view.kind == "send" else ()
        panel.values |= {**known, "places": places, "keeps": keeps, "links": links}
        return panel

    async def _links(self, step: Mapping[str, Any]) -> tuple[str, ...]:
        """The addresses in its message as they will be, where something is added to them."""
        added = added_to(step.get("utm"), await house_utm(self.request))
        if added is None or self.draft.get("class", "marketing") != "marketing":
            return ()
        runtime, content = runtime_of(self.request), step.get("content") or {}
        if step.get("template_id"):
            try:
                content = (await runtime.templates.get(str(step["template_id"])))["content"]
            except NotFound:
                return ()
        way, faces = str((step.get("channels") or ["any"])[0]), await faces_of(runtime)
        asked = {way, faces.of(way).provider}
        kind = next((card.kind for card in faces.cards.values() if asked & {card.provider, card.kind}), "")
        names = names_for(str(self.draft.get("name") or ""), kind, str(step["id"]), self.id)
        return links_written(content, added, names, base_url_of(self.request))

    async def _form_panel(self, part: Part) -> Panel:
        own = part.of(self.draft)
        sources, choices = await self.known()
        sources["targets"] = [("", self.formats.text(N_("the end"))), *(
            each for each in step_options(self.draft, self.templates, self.formats) if each[0] != part.step_id
        )]  # fmt: skip
        fields = part.fields(own)
        names = self.names if self.names is not None else form_kinds.filled(fields, own)
        faults = [(way_of(each.path), fault_words(each, self.formats)) for each in faults_at(
            self.faults, part.head(self.draft)
        ) if part.kind != "settings" or not each.path.startswith(("steps", "trigger"))]  # fmt: skip
        drawing = Drawing(self.formats, sources, choices, faults, self.strict)
        titles = {"trigger": N_("What starts it"), "settings": N_("Settings of the journey")}
        symbols = {"trigger": "bolt", "settings": "cog-6-tooth"}
        values = {
            "fields": drawing.views(fields, names), "own_faults": drawing.own(fields), "seen": seen(own),
            "action": f"{self.href()}/form?{urlencode(part.query)}", "type": own.get("type", ""),
            "types": [(key, self.formats.text(words)) for key, words in TRIGGER_TITLES.items() if key in TRIGGERS]
            if part.kind == "trigger" else [], "sources": sources, "tags": choices.tags,
        }  # fmt: skip
        return Panel(
            "form", self.formats.text(titles.get(part.kind, "")), symbols.get(part.kind, ""), self.href(), values
        )

    async def _versions(self) -> Panel:
        runtime = runtime_of(self.request)
        rows = await runtime.journeys.versions(self.id)
        shown = rows[:20]
        texts = await asyncio.gather(*(runtime.journeys.definition(self.id, row["version"]) for row in rows[:21]))
        users = {user.id: user.name for user in await runtime.users.users()}
        versions = [
            {"number": row["version"], "at": row["published_at"], "by": users.get(row["published_by"] or "", ""),
             "href": self.href(version=str(row["version"]), panel="versions"),
             "live": row["version"] == self.head["live_version"],
             "changes": changes(texts[i + 1], texts[i], self.templates, self.formats) if i + 1 < len(texts) else None}
            for i, row in enumerate(shown)
        ]  # fmt: skip
        mine = changes(tidy(self.live), self.draft, self.templates, self.formats) if self._unpublished() else []
        batches = (await runtime.migrations.page(self.id, limit=5)).data
        values = {
            "versions": versions, "unpublished": mine, "live": self.head["live_version"],
            "behind": await runtime.journeys.behind(self.id) if self.head["live_version"] else 0,
            "batches": [batch_line(row, users, self.formats) for row in batches],
        }  # fmt: skip
        return Panel("versions", self.formats.text(N_("Versions")), "clock", self.href(), values)

    async def _moving(self) -> Panel:
        """Who would go along to the live version."""
        found = await runtime_of(self.request).journeys.migrate(self.id, {}, dry_run=True)
        values = {"version": found.version, "moves": moves_view(found.moves, self.live, self.live, self.formats)}
        title = self.formats.text(N_("People in older versions"))
        return Panel("migrate", title, "users", self.href(panel="versions"), values)

    def _shows_results(self) -> bool:
        """Figures speak of all channels."""
        return bool(self.head["live_version"]) and principal_of(self.request).channels is None

    async def _results(self) -> Panel:
        runtime = runtime_of(self.request)
        outcome = await runtime.results.of("journey", self.id)
        known = {**steps_of(tidy(self.live)), **steps_of(self.draft)}
        names = {key: step_title(each, self.formats) for key, each in known.items()}
        title = self.formats.text(N_("Results"))
        tracked = (await runtime.tracking_choice.now()).settings.counted
        panel = panel_of(outcome, self.formats, names, tracked=tracked)
        return Panel("results", title, "chart-bar", self.href(), {"results": panel})

    def _unpublished(self) -> bool:
        return self.may_change and bool(self.head["live_version"]) and self._version() is None

    async def _publication(self) -> Panel:
        """What publishing would do, or why it cannot be done yet."""
        title = self.formats.text(N_("Publish"))
        panel = Panel("publish", title, "rocket-launch", self.href(), {"found": None, "changes": [], "warnings": []})
        if self.head["live_version"]:
            panel.values["changes"] = changes(tidy(self.live), self.draft, self.templates, self.formats)
        if not self.faults:
            found = await runtime_of(self.request).journeys.publish(
                self.id, principal_of(self.request).id, dry_run=True
            )
            warnings = [(self._place(each, self.draft)[1], fault_words(each, self.formats)) for each in found.warnings]
            panel.values |= {
                "moves": moves_view(found.moves, self.live, self.draft, self.formats),
                "found": found, "warnings": [(self.href(**query), words) for query, words in warnings],
                "trigger": trigger_words(self.draft.get("trigger") or {}, self.formats, self.named),
            }  # fmt: skip
        return panel
