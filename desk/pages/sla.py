"""Settings → SLA: what is promised, as sentences that are read and filled in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict, NotFound, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.api.sla_policies import shown_policy
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in, removed_id, saved_or_said
from desk.render import formats_of, page
from inbox.sla.models import LENGTH_MAX_MIN, PAUSES, SOON_MIN, TARGETS, URGENCIES, Lengths, PolicyInput, Target
from inbox.sla.policies import MISSING, StandingPolicy

routes = web.RouteTableDef()
HERE = "/settings/sla"
USUAL = PolicyInput(
    name="-", lengths=Lengths(first_response_min=60, next_response_min=240, resolution_min=2880)
)  # fmt: skip
PRIORITIES = {
    "urgent": N_("Urgent"), "high": N_("High"), "medium": N_("Medium"), "low": N_("Low"),
}  # fmt: skip
PAUSE_LABELS = {"pending": N_("pending"), "snoozed": N_("snoozed")}
#: How each promise is said.
SAID: Mapping[Target, str] = {
    "first_response": N_("the first answer within %(time)s"), "next_response": N_("every further one within %(time)s"),
    "resolution": N_("all done within %(time)s"),
}  # fmt: skip
TAKEN = N_("There is an SLA with this name already.")
_LENGTH = N_("Write a time such as 30m, 4h, 1h 30m or 2d: at least a minute, at most 90 days.")
_SAYS = {
    "name": N_("Write a name."), "hours_id": N_("These business hours are gone."), "soon_min": _LENGTH,
    "reach": N_("A label has at most 60 signs, there are at most 40, and each channel must still be there."),
    "": N_("Promise something: a first answer, further answers, or an end."),
}  # fmt: skip
_UNITS = {
    "m": 1, "min": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60,
    "分": 1, "分钟": 1, "小时": 60, "时": 60, "天": 24 * 60, "周": 7 * 24 * 60,
}  # fmt: skip
_PIECE = re.compile(r"(\d{1,6})\s*(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + r")")


@dataclass(frozen=True)
class Line:
    """One SLA in the list: whom it holds for, what is promised, how its clocks run."""

    id: str
    name: str
    active: bool
    reach: str
    promises: tuple[str, ...]
    clock: str


@dataclass(frozen=True)
class Names:
    """What things are called, by id."""

    channels: Mapping[str, str]
    hours: Mapping[str, str]
    teams: Mapping[str, str]


def read_length(text: str) -> int | None:
    """Minutes of a length as somebody writes it: `90`, `1h 30m`, `2天`; None when it is none. Pure."""
    plain = unicodedata.normalize("NFKC", text).strip().lower()
    if plain.isdecimal() and plain.isascii():
        return int(plain[:9])
    pieces = _PIECE.findall(plain)
    if not pieces or _PIECE.sub("", plain).strip(" ,"):
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in pieces)


def write_length(minutes: int | None, formats: Formats) -> str:
    """The reverse of `read_length`, in the units of the reader's language; empty for None. Pure."""
    if minutes is None:
        return ""
    days, rest = divmod(minutes, 24 * 60)
    hours, left = divmod(rest, 60)
    parts = ((days, N_("%(n)sd")), (hours, N_("%(n)sh")), (left, N_("%(n)sm")))
    return " ".join(formats.text(unit, {"n": number}) for number, unit in parts if number)


def line_of(policy: StandingPolicy, names: Names, formats: Formats) -> Line:
    """An SLA as sentences. Pure."""
    written, _ = policy.written, formats.text
    promises = [_promise("", written.lengths, formats)]
    promises += [
        _promise(PRIORITIES[each], written.by_priority[each], formats)
        for each in URGENCIES
        if each in written.by_priority
    ]
    return Line(
        policy.id, written.name, written.active, _reach(written, names, formats),
        tuple(each for each in promises if each), _clock(written, names.hours, formats),
    )  # fmt: skip


def _promise(when: str, lengths: Any, formats: Formats) -> str:
    said = [
        formats.text(SAID[target], {"time": write_length(lengths.of(target), formats)})
        for target in TARGETS if lengths.of(target)
    ]  # fmt: skip
    text = formats.text(N_(", ")).join(said)
    return formats.text(N_("%(priority)s: %(promises)s"), {"priority": formats.text(when), "promises": text}) if (
        when and text
    ) else text[:1].upper() + text[1:]  # fmt: skip


def _reach(written: PolicyInput, known: Names, formats: Formats) -> str:
    reach, _, comma = written.reach, formats.text, formats.text(N_(", "))
    parts = []
    if reach.channel_ids:
        names = [known.channels.get(each, _(N_("a channel that is gone"))) for each in reach.channel_ids]
        parts.append(_(N_("on %(channels)s"), {"channels": comma.join(names)}))
    if reach.labels:
        parts.append(_(N_("with the label %(labels)s"), {"labels": comma.join(reach.labels)}))
    if reach.team_ids:
        names = [known.teams.get(each, _(N_("a team that is gone"))) for each in reach.team_ids]
        parts.append(_(N_("of the team %(teams)s"), {"teams": comma.join(names)}))
    return _(N_("Conversations %(which)s"), {"which": comma.join(parts)}) if parts else _(N_("All conversations"))


def _clock(written: PolicyInput, hours: Mapping[str, str], formats: Formats) -> str:
    _, name = formats.text, hours.get(written.hours_id or "")
    runs = _(N_("The clock runs by “%(hours)s”"), {"hours": name}) if name else _(N_("The clock always runs"))
    stands = [_(PAUSE_LABELS[each]) for each in PAUSES if each in written.pauses]
    if not stands:
        return _(N_("%(runs)s."), {"runs": runs})
    return _(N_("%(runs)s, but not while it is %(states)s."), {"runs": runs, "states": _(N_(" or ")).join(stands)})


# -- pages ---------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("viewer")
async def all_policies(request: web.Request) -> web.StreamResponse:
    """All promises in the order in which they are asked."""
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    names = await _names(request)
    shown = [shown_policy(principal, each) for each in await runtime.sla_policies.all()]
    lines = [line_of(each, names, formats) for each in shown if each]
    may_change = principal.may_everywhere("admin")
    values = {
        "lines": lines, "may_change": may_change,
        "removed": removed_id(request, "slp", "admin"),
    }  # fmt: skip
    return await page(request, "settings/sla.html", values)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """A form with usual times."""
    refuse_scoped(reading(request))
    formats = formats_of(request, principal_of(request))
    return await _form(request, None, {**given_of(USUAL, formats), "name": ""}, {})


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Write it down; faults stand beside their fields."""
    refuse_scoped(reading(request))
    given = written(await read_form(request))
    faults = await saved_or_said(*checked(given), runtime_of(request).sla_policies.create, _faults_of, HERE)
    return await _form(request, None, given, faults)


@routes.get(HERE + "/{policy_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One promise in its form."""
    policy = await _policy(request)
    return await _form(request, policy, given_of(policy.written, formats_of(request, principal_of(request))), {})


@routes.post(HERE + "/{policy_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form."""
    refuse_scoped(reading(request))
    policy, given = await _policy(request), written(await read_form(request))
    book = runtime_of(request).sla_policies

    def save(wanted: PolicyInput) -> Any:
        return book.change(policy.id, wanted.model_dump(mode="json"))

    faults = await saved_or_said(*checked(given), save, _faults_of, HERE)
    return await _form(request, policy, given, faults)


@routes.post(HERE + "/{policy_id}/up")
@require("admin")
async def up(request: web.Request) -> web.StreamResponse:
    """Ask it before the one above it."""
    refuse_scoped(reading(request))
    policy = await _policy(request)
    policies = runtime_of(request).sla_policies
    ids = [each.id for each in await policies.all()]
    place = ids.index(policy.id) if policy.id in ids else 0
    if place:
        ids[place - 1 : place + 1] = [ids[place], ids[place - 1]]
        await policies.order(ids)
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/{policy_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    refuse_scoped(reading(request))
    policy = await _policy(request)
    await runtime_of(request).sla_policies.remove(policy.id)
    raise web.HTTPSeeOther(f"{HERE}?removed={policy.id}")


@routes.post(HERE + "/{policy_id}/restore")
@require("admin")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    policy = await runtime_of(request).sla_policies.restore(_id(request))
    raise web.HTTPSeeOther(f"{HERE}/{policy.id}")


# -- the form ------------------------------------------------------------------------------------------------------


def written(form: Any) -> dict[str, Any]:
    """The fields as they were sent, all as texts."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    lengths = {f"{target}-{name}": text(f"{target}-{name}") for target in TARGETS for name in ("all", *URGENCIES)}
    return {
        **lengths, "name": text("name"), "hours_id": text("hours_id"), "labels": text("labels"), "soon": text("soon"),
        "channel_ids": [str(each) for each in form.getall("channel_ids", [])],
        "team_ids": [str(each) for each in form.getall("team_ids", [])],
        "pauses": [str(each) for each in form.getall("pauses", [])], "active": bool(text("active")),
    }  # fmt: skip


def given_of(policy: PolicyInput, formats: Formats) -> dict[str, Any]:
    """The form of a promise as it stands."""
    lengths = {}
    for target in TARGETS:
        lengths[f"{target}-all"] = write_length(policy.lengths.of(target), formats)
        for name in URGENCIES:
            own = policy.by_priority.get(name)
            lengths[f"{target}-{name}"] = write_length(own.of(target), formats) if own else ""
    return {
        **lengths, "name": policy.name, "hours_id": policy.hours_id or "", "labels": ", ".join(policy.reach.labels),
        "soon": write_length(policy.soon_min, formats), "channel_ids": policy.reach.channel_ids,
        "team_ids": policy.reach.team_ids,
        "pauses": policy.pauses, "active": policy.active,
    }  # fmt: skip


def checked(given: Mapping[str, Any]) -> tuple[PolicyInput | None, dict[str, str]]:
    """The input, or field → what is wrong with it."""
    faults: dict[str, str] = {}

    def length(name: str) -> int | None:
        if not given[name]:
            return None
        found = read_length(given[name])
        if found is None or not 1 <= found <= LENGTH_MAX_MIN:
            faults[name] = _LENGTH
        return found

    def lengths(name: str) -> dict[str, int | None]:
        return {f"{target}_min": length(f"{target}-{name}") for target in TARGETS}

    labels = unicodedata.normalize("NFKC", given["labels"]).replace("、", ",").split(",")
    fields = {
        "name": given["name"], "lengths": lengths("all"), "hours_id": given["hours_id"] or None,
        "by_priority": {name: each for name in URGENCIES if any((each := lengths(name)).values())},
        "reach": {
            "channel_ids": given["channel_ids"], "labels": [each.strip() for each in labels if each.strip()],
            "team_ids": given["team_ids"],
        },
        "pauses": given["pauses"], "soon_min": length("soon") or SOON_MIN, "active": given["active"],
    }  # fmt: skip
    if faults:
        return None, faults
    try:
        return PolicyInput.model_validate(fields), {}
    except ValidationError as error:
        heads = [str(each["loc"][0]) if each["loc"] else "" for each in error.errors()]
        return None, {
            "soon" if head == "soon_min" else head: _SAYS.get(head, N_("Please check this.")) for head in heads
        }


def _faults_of(error: Conflict | WrongInput) -> dict[str, str]:
    if isinstance(error, Conflict):
        return {"name": TAKEN} if error.code == "name_taken" else {"": str(error)}
    return {fault.path: _SAYS.get(fault.path, fault.message) for fault in error.errors} or {"": str(error)}


async def _form(
    request: web.Request, policy: StandingPolicy | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    formats = formats_of(request, principal_of(request))
    names = await _names(request)
    values = {
        "policy": policy, "given": given, "faults": faults, "channels": names.channels, "hours": names.hours,
        "teams": names.teams,
        "priorities": PRIORITIES, "targets": TARGETS, "pause_labels": PAUSE_LABELS,
        "may_change": principal_of(request).may_everywhere("admin"), "saved": "saved" in request.query,
        "differs": any(given[f"{target}-{name}"] for target in TARGETS for name in URGENCIES),
        "line": line_of(policy, names, formats) if policy else None,
    }  # fmt: skip
    return await page(request, "settings/sla_form.html", values, status=422 if faults else 200)


async def _names(request: web.Request) -> Names:
    """Channels this person may see, business hours and teams."""
    runtime, principal = runtime_of(request), principal_of(request)
    return Names(
        {each.id: each.name for each in await runtime.channels.list() if principal.may_see(each.id)},
        {each.id: each.written.name for each in await runtime.business_hours.all()},
        {each.id: each.name for each in await runtime.teams.all()},
    )


def _id(request: web.Request) -> str:
    return id_in(request, "policy_id", "slp", MISSING)


async def _policy(request: web.Request) -> StandingPolicy:
    shown = shown_policy(principal_of(request), await runtime_of(request).sla_policies.get(_id(request)))
    if shown is None:
        raise NotFound(MISSING)
    return shown
