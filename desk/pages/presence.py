"""Who is here: how everybody stands, one's own state, what each can take; and the states there are (Settings)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import NotFound
from base.ids import is_id
from desk.api.scope import reading, refuse_scoped
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_
from desk.keys import runtime_of
from desk.pages.reads import people as colleagues_of
from desk.pages.standing_words import all_stand, own_choices
from desk.render import formats_of, page
from inbox.routing.models import CAPACITY_MAX, Ability, Agent, PresenceRules, State
from profiles.naming import free_key

routes = web.RouteTableDef()
HERE = "/presence"
RULES = "/settings/presence"
#: Empty rows to fill in, and rows that are read.
NEW_ROWS, ROWS_MAX = 2, 24
_WHEN = N_("Choose a time to come, or none.")
_PLACES = N_("A number from 0 to 1000, or nothing for what the house says.")
_BY_CHANNEL = N_("One a line, such as whatsapp 4.")
_WORDS = N_("At most 40 words of at most 60 characters, between commas.")
_FAULTS = {"capacity": _PLACES, "skills": _WORDS, "languages": _WORDS}


@routes.get(HERE)
@require("viewer")
async def here(request: web.Request) -> web.StreamResponse:
    """Everybody who answers customers, how they stand and what they have; what waits in the queues."""
    return await _here(request, {}, {})


@routes.post(HERE)
@require("agent")
async def say(request: web.Request) -> web.StreamResponse:
    """Say how one stands. The short form of the frame leaves the rest as it is."""
    runtime, form, by = runtime_of(request), await read_form(request), principal_of(request)
    own: Agent = await runtime.agents.row(by.id) or Agent(id=by.id)
    until, on_phone, deputy = None, own.on_phone, (await runtime.agents.deputies()).get(by.id)
    if "whole" in form:
        text, on_phone = str(form.get("until", "")).strip(), "on_phone" in form
        deputy = str(form.get("deputy", "")) or None
        try:
            until = _time(request, text)
        except ValueError:
            return await _here(request, dict(form), {"until": _WHEN})
    await runtime.agents.say(
        by.id, str(form.get("state", "")), until=until, on_phone=on_phone, deputy_id=deputy
    )  # fmt: skip
    raise web.HTTPSeeOther(local_path(str(form.get("back", HERE))))


@routes.get(HERE + "/{user_id:usr_[0-9a-z]{26}}")
@require("admin")
async def ability(request: web.Request) -> web.StreamResponse:
    """What a colleague can take."""
    refuse_scoped(reading(request))
    present = await runtime_of(request).agents.of(_id(request))
    return await _ability(request, present.person.name, given_of(present.agent), {})


@routes.post(HERE + "/{user_id:usr_[0-9a-z]{26}}")
@require("admin")
async def enable(request: web.Request) -> web.StreamResponse:
    """Set it."""
    refuse_scoped(reading(request))
    runtime, user_id, form = runtime_of(request), _id(request), await read_form(request)
    present = await runtime.agents.of(user_id)
    given = {name: str(form.get(name, "")).strip() for name in ("total", "by_channel", "skills", "languages")}
    wanted, faults = written(given)
    if wanted is None:
        return await _ability(request, present.person.name, given, faults)
    await runtime.agents.enable(user_id, wanted.model_dump(mode="json"))
    raise web.HTTPSeeOther(f"{HERE}/{user_id}?saved=1")


def given_of(agent: Agent) -> dict[str, str]:
    """The form of somebody as they are."""
    total = agent.capacity.total
    return {
        "total": "" if total is None else str(total),
        "by_channel": "\n".join(f"{key} {most}" for key, most in agent.capacity.by_channel.items()),
        "skills": ", ".join(agent.skills), "languages": ", ".join(agent.languages),
    }  # fmt: skip


def written(given: Mapping[str, str]) -> tuple[Ability | None, dict[str, str]]:
    """What was written, or field → what is wrong with it. Pure."""
    by_channel: dict[str, str] = {}
    for line in given["by_channel"].splitlines():
        key, _, most = line.strip().rpartition(" ")
        if line.strip():
            by_channel[key.strip()] = most
    capacity = {"total": given["total"] or None, "by_channel": by_channel}
    words = {name: given[name].replace("，", ",").replace("、", ",").split(",") for name in ("skills", "languages")}
    try:
        return Ability.model_validate({"capacity": capacity, **words}), {}
    except ValidationError as error:
        places = [".".join(map(str, each["loc"])) for each in error.errors()]
        found = {("by_channel" if "by_channel" in each else each.partition(".")[0]): each for each in places}
        return None, {("total" if key == "capacity" else key): _FAULTS.get(key, _BY_CHANNEL) for key in found}


async def _here(request: web.Request, given: Mapping[str, Any], faults: Mapping[str, str]) -> web.Response:
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    own = await runtime.agents.row(principal.id) if principal.user else None
    everybody = await all_stand(runtime, formats)
    teams = await runtime.teams.all()
    channels = principal.reach
    crew = await colleagues_of(runtime)
    queues = []
    for team in teams:
        people = [everybody[each] for each in team.workers if each in everybody]
        queues.append((team, await runtime.conversations.queued(team.id, channels), people))
    values = {
        "colleagues": [(each.id, each.name or each.email) for each in crew if each.id != principal.id],
        "everybody": list(everybody.values()), "queues": queues, "own": own, "faults": faults,
        "states": await own_choices(runtime, principal, formats), "given": given,
        "may_change": principal.may_everywhere("admin"),
    }  # fmt: skip
    return await page(request, "presence.html", values, status=422 if faults else 200)


async def _ability(
    request: web.Request, name: str, given: Mapping[str, str], faults: Mapping[str, str]
) -> web.Response:
    rules: PresenceRules = await runtime_of(request).agents.rules()
    values = {
        "name": name, "given": given, "faults": faults, "saved": "saved" in request.query, "house": rules.capacity,
    }  # fmt: skip
    return await page(request, "ability.html", values, status=422 if faults else 200)


def _time(request: web.Request, text: str) -> datetime | None:
    """A time by the reader's clock, to come. Raises ValueError."""
    formats = formats_of(request, principal_of(request))
    at = datetime.fromisoformat(text).replace(tzinfo=formats.zone) if text else None
    if at is not None and at <= formats.now:
        raise ValueError(text)
    return at


def _id(request: web.Request) -> str:
    user_id = request.match_info["user_id"]
    if not is_id(user_id, "usr"):
        raise NotFound("There is no such person.")
    return user_id


# -- the states there are --------------------------------------------------------------------------------------------


@routes.get(RULES)
@require("viewer")
async def show_rules(request: web.Request) -> web.StreamResponse:
    """The states in their order, and what each means."""
    rules: PresenceRules = await runtime_of(request).agents.rules()
    rows = [each.model_dump() for each in rules.states]
    return await _rules(request, rows, "" if rules.capacity is None else str(rules.capacity), "")


@routes.post(RULES)
@require("admin")
async def save_rules(request: web.Request) -> web.StreamResponse:
    """Save the list whole; a fault is said above what was written."""
    refuse_scoped(reading(request))
    runtime, form = runtime_of(request), await read_form(request)
    rules: PresenceRules = await runtime.agents.rules()
    rows = written_states(form, {each.key: each for each in rules.states})
    capacity = str(form.get("capacity", "")).strip()
    try:
        wanted = PresenceRules.model_validate({"states": rows, "capacity": capacity or None})
    except ValidationError as error:
        return await _rules(request, rows, capacity, _fault(error))
    await runtime.agents.choose_rules(wanted, principal_of(request).id)
    raise web.HTTPSeeOther(f"{RULES}?saved=1")


def written_states(form: Mapping[str, Any], known: Mapping[str, State]) -> list[dict[str, Any]]:
    """The rows of the form in the order of their numbers; a row without a name is taken away. Pure."""
    rows: list[tuple[int, int, dict[str, Any]]] = []
    taken = {*known, *(str(form.get(f"key:{i}", "")).strip() for i in range(ROWS_MAX))}
    for i in range(ROWS_MAX):
        names = {code: str(form.get(f"name:{code}:{i}", "")).strip()[:80] for code in LANGUAGES}
        names = {code: text for code, text in names.items() if text}
        if not names:
            continue
        key = str(form.get(f"key:{i}", "")).strip()
        if not key:
            key = free_key(next(iter(names.values())), taken, taken, otherwise="state")
            taken.add(key)
        kept = {code: text for code, text in known[key].names.items() if code not in LANGUAGES} if key in known else {}
        minutes, place = str(form.get(f"minutes:{i}", "")).strip(), str(form.get(f"place:{i}", "")).strip()
        means = str(form.get(f"means:{i}", "away"))
        rows.append((_number(place, 10_000), i, {
            "key": key, "names": {**kept, **names}, "takes_work": means == "works",
            "counts_as_here": means in ("works", "here"),
            "releases_after_s": _number(minutes, 0) * 60 if minutes and means == "away" else None,
        }))  # fmt: skip
    return [row for _, _, row in sorted(rows, key=lambda each: each[:2])]


_SAYS = {
    "capacity": N_("The most for everybody is a number from 1 to 1000, or nothing for any number."),
    "releases_after_s": N_("Conversations are given on after 1 to 10080 minutes."),
    "states": N_("There are two states at least, and twenty at most."),
}
_WHOLE = N_(
    "One state has to take work, and the last one has to be away: it is that of who has no window open. "
    "No two have one key."
)  # fmt: skip


def _fault(error: ValidationError) -> str:
    places = error.errors()[0]["loc"]
    return next((_SAYS[str(each)] for each in reversed(places) if str(each) in _SAYS), _WHOLE)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else otherwise


async def _rules(request: web.Request, rows: list[dict[str, Any]], capacity: str, fault: str) -> web.Response:
    values = {
        "rows": rows, "capacity": capacity, "fault": fault, "saved": "saved" in request.query,
        "languages_shown": LANGUAGES, "new_rows": NEW_ROWS, "most": CAPACITY_MAX,
        "may_change": principal_of(request).may_everywhere("admin"),
    }  # fmt: skip
    return await page(request, "settings/presence.html", values, status=422 if fault else 200)
