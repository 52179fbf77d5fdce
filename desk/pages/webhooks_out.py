"""Settings → Webhooks: which addresses of ours are told of what, what came of it, and once more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import Conflict, NotFound, Refused, WrongInput
from base.ids import is_id, new_id
from base.mongo import Document
from desk.api.scope import Reader, reading, seen_ids
from desk.api.webhook_endpoints import check_channels, may_look_after, reason_of
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import checked, faults_of, id_in
from desk.render import formats_of, page
from webhooks.outgoing.endpoints import EndpointInput
from webhooks.outgoing.names import ALL, FAMILIES, KNOWN, close_to, fault_in
from webhooks.outgoing.standing import PATIENCE

routes = web.RouteTableDef()
HERE = "/settings/webhooks"
PER_PAGE = 50
BODY_SHOWN = 40_000
EMPTY: Mapping[str, Any] = {"url": "", "description": "", "events": [], "channels": None}
MISSING = N_("There is no such endpoint.")
FAMILY_LABELS = {
    "message": N_("Messages"), "conversation": N_("Conversations"), "profile": N_("Customers"), "order": N_("Orders"),
    "checkout": N_("Checkouts"), "consent": N_("Consent"), "contact": N_("Reachability"), "address": N_("Addresses"),
    "segment": N_("Segments"), "automation": N_("Automation"),
    "task": N_("Tasks"), "note": N_("Notes"), "call": N_("Calls"), "meeting": N_("Meetings"), "visit": N_("Visits"),
    "follow_up": N_("Follow-ups"), "file": N_("Files"), "csat": N_("Satisfaction"), "nps": N_("Recommendation"),
    "sla": N_("Response times"),
}  # fmt: skip
POST_STATES = {
    "planned": (N_("Waiting"), ""), "again": (N_("Is tried again"), "warn"), "done": (N_("Delivered"), "good"),
    "failed": (N_("Failed"), "danger"),
}  # fmt: skip
ENDPOINT_STATES = {
    "on": (N_("On"), "good"), "failing": (N_("Fails"), "warn"), "off": (N_("Off"), ""),
    "disabled": (N_("Switched off by itself"), "danger"),
}  # fmt: skip
#: Why there was no whole answer, or no try at all.
ERRORS = {
    "refused_address": N_("The address lies inside the house and is not called"),
    "connect": N_("It could not be reached"), "timeout": N_("No answer within 15 seconds"),
    "cut": N_("The connection broke"), "too_large": N_("The answer is too large"), "bad_url": N_("That is no address"),
    "switched_off": N_("It was switched off"), "removed": N_("It was removed"),
    "event_gone": N_("What it speaks of is gone"), "crashed": N_("It was given up after several attempts"),
}  # fmt: skip
_SAYS = {
    "description": N_("At most 200 characters."),
    "url": N_("A web address such as https://example.com/hook, without names, passwords or # in it."),
}


@dataclass(frozen=True)
class PostRow:
    """One post in the log."""

    id: str
    at: datetime
    event: str
    state: str
    state_label: str
    tone: str
    said: str
    tries: str
    next_at: datetime | None


@dataclass(frozen=True)
class TryRow:
    """One time it was posted."""

    at: datetime
    said: str
    took: str
    detail: str
    answer: str


def post_row(row: Document, formats: Formats) -> PostRow:
    """A post as the log shows it."""
    state = "again" if row["state"] == "planned" and row["tries"] else row["state"]
    label, tone = POST_STATES[state]
    reason = reason_of(row)
    said = formats.text(ERRORS[reason]) if reason in ERRORS else outcome(row["tries"], formats)
    next_at = row.get("due_at") if state == "again" else None
    return PostRow(
        row["_id"], row["created_at"], row["event"], state, formats.text(label), tone, said,
        formats.number(len(row["tries"])), next_at,
    )  # fmt: skip


def try_row(tried: Document, formats: Formats) -> TryRow:
    """A try as its page shows it."""
    took = f"{formats.number(tried['ms'])} ms" if "ms" in tried else ""
    return TryRow(tried["at"], outcome([tried], formats), took, tried.get("detail") or "", tried.get("answer") or "")


def outcome(tries: Sequence[Document], formats: Formats) -> str:
    """What came of the last of these."""
    if not tries:
        return ""
    last = tries[-1]
    if "status" in last:
        return f"HTTP {last['status']}"
    return formats.text(ERRORS.get(last.get("error", ""), N_("No answer")))


def standing(row: Document) -> str:
    """`on`, `failing`, `off` or `disabled`."""
    return "failing" if row["state"] == "on" and row["failing_since"] is not None else str(row["state"])


# -- the list ------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("admin")
async def endpoints(request: web.Request) -> web.StreamResponse:
    """All of them that the reader may look after."""
    runtime, reader = runtime_of(request), reading(request)
    formats = formats_of(request, principal_of(request))
    rows = [row for row in await runtime.endpoints.all() if may_look_after(reader, row["channels"])]
    removed = request.query.get("removed", "")
    values = {
        "endpoints": [
            {**row, "chip": chip_of(row, formats), "told": told_words(row["events"], formats)} for row in rows
        ],
        "removed": removed if is_id(removed, "whk") else "",
    }  # fmt: skip
    return await page(request, "settings/webhooks.html", values)


def chip_of(row: Document, formats: Formats) -> tuple[str, str]:
    """Its state in a word, and the tone of it."""
    label, tone = ENDPOINT_STATES[standing(row)]
    return formats.text(label), tone


def told_words(events: Sequence[str], formats: Formats) -> str:
    """What it is told of, shortly."""
    return formats.text(N_("Everything")) if ALL in events else ", ".join(events)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    return await _form(request, {**EMPTY, "id": new_id("whk")}, {})


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Make it and show its secret, this once. The same form sent twice makes one."""
    form = await read_form(request)
    given, made = written(form), str(form.get("id", ""))
    if not is_id(made, "whk"):
        made = new_id("whk")
    try:
        wanted = _input(given, formats_of(request, principal_of(request)))
        await check_channels(reading(request), wanted.channels)
        row, secret = await runtime_of(request).endpoints.create(wanted, principal_of(request).id, made)
    except (WrongInput, Refused, NotFound) as error:
        return await _form(request, {**given, "id": made}, _faults(error))
    except Conflict as error:
        if error.code == "exists":
            raise web.HTTPSeeOther(f"{HERE}/{made}") from None
        return await _form(request, {**given, "id": made}, {"": str(error)})
    return await _show(request, row, secret=secret)


# -- one of them ---------------------------------------------------------------------------------------------------


@routes.get(HERE + "/{endpoint_id}")
@require("admin")
async def show(request: web.Request) -> web.StreamResponse:
    """How it stands, what it was told, and what it wants to hear."""
    return await _show(request, await _endpoint(request))


@routes.post(HERE + "/{endpoint_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form; faults stand beside their fields."""
    row, given = await _endpoint(request), written(await read_form(request))
    try:
        wanted = _input(given, formats_of(request, principal_of(request)))
        await check_channels(reading(request), wanted.channels)
        await runtime_of(request).endpoints.change(row["_id"], wanted.model_dump())
    except (WrongInput, Refused, NotFound) as error:
        return await _show(request, row, given=given, faults=_faults(error))
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}?saved=1")


@routes.post(HERE + "/{endpoint_id}/state")
@require("admin")
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch it on or off."""
    row, form = await _endpoint(request), await read_form(request)
    await runtime_of(request).endpoints.change(row["_id"], {"state": "on" if form.get("state") == "on" else "off"})
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}")


@routes.post(HERE + "/{endpoint_id}/secret")
@require("admin")
async def exchange(request: web.Request) -> web.StreamResponse:
    """A new secret, shown this once."""
    row = await _endpoint(request)
    secret = await runtime_of(request).endpoints.exchange(row["_id"])
    return await _show(request, await runtime_of(request).endpoints.get(row["_id"]), secret=secret, exchanged=True)


@routes.post(HERE + "/{endpoint_id}/test")
@require("admin")
async def test(request: web.Request) -> web.StreamResponse:
    """Post something that happened to nobody; its page tells what came of it."""
    row = await _endpoint(request)
    post = await runtime_of(request).endpoints.test(row["_id"])
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}/deliveries/{post['_id']}")


@routes.post(HERE + "/{endpoint_id}/redeliver")
@require("admin")
async def redeliver_failed(request: web.Request) -> web.StreamResponse:
    """Send all that failed again."""
    row = await _endpoint(request)
    count = await runtime_of(request).endpoints.redeliver_failed(row["_id"])
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}?again={count}")


@routes.post(HERE + "/{endpoint_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    row = await _endpoint(request)
    await runtime_of(request).endpoints.remove(row["_id"])
    raise web.HTTPSeeOther(f"{HERE}?removed={row['_id']}")


@routes.post(HERE + "/{endpoint_id}/restore")
@require("admin")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    row = await runtime_of(request).endpoints.known(id_in(request, "endpoint_id", "whk", MISSING))
    _must_look_after(request, row)
    await runtime_of(request).endpoints.restore(row["_id"])
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}")


@routes.get(HERE + "/{endpoint_id}/deliveries/{post_id}")
@require("admin")
async def delivery(request: web.Request) -> web.StreamResponse:
    """One post: what it says, and each try."""
    endpoint, row = await _endpoint(request), await _post(request)
    formats = formats_of(request, principal_of(request))
    body, is_cut = shown_body(row.get("body") or "")
    person = row["profile_id"]
    reader: Reader = reading(request)
    values = {
        "endpoint": endpoint, "row": post_row(row, formats), "webhook_id": row["event_id"], "body": body, "cut": is_cut,
        "tries": [try_row(each, formats) for each in reversed(row["tries"])], "again": "again" in request.query,
        "may_repeat": endpoint["state"] == "on" and not row.get("test"),
        "person": person if person and await seen_ids(reader, [person]) else "",
    }  # fmt: skip
    return await page(request, "settings/webhook_post.html", values)


@routes.post(HERE + "/{endpoint_id}/deliveries/{post_id}/again")
@require("admin")
async def redeliver(request: web.Request) -> web.StreamResponse:
    """Send one again."""
    endpoint, row = await _endpoint(request), await _post(request)
    await runtime_of(request).endpoints.redeliver(endpoint["_id"], row["_id"])
    raise web.HTTPSeeOther(f"{HERE}/{endpoint['_id']}/deliveries/{row['_id']}?again=1")


def shown_body(text: str) -> tuple[str, bool]:
    """The body for a person to read, and whether it was cut."""
    laid = json.dumps(json.loads(text), indent=2, ensure_ascii=False) if text else ""
    return laid[:BODY_SHOWN], len(laid) > BODY_SHOWN


# -- the form ------------------------------------------------------------------------------------------------------


def written(form: Any) -> dict[str, Any]:
    """The fields as the use case takes them. What a star covers is not named beside it."""
    ticked = [str(each) for each in form.getall("events", [])]
    own = [line.strip() for line in str(form.get("own_events", "")).splitlines()]
    names = list(dict.fromkeys(each for each in [*ticked, *own] if each))
    families = {each.removesuffix(".*") for each in names if each.endswith(".*")}
    kept = [each for each in names if each.endswith(".*") or each.partition(".")[0] not in families]
    channels = [str(each) for each in form.getall("channels", [])]
    return {
        "url": str(form.get("url", "")).strip(), "description": str(form.get("description", "")).strip(),
        "events": [ALL] if ALL in names else kept, "channels": channels or None,
    }  # fmt: skip


def _input(given: Mapping[str, Any], formats: Formats) -> EndpointInput:
    return checked(EndpointInput, given, {**_SAYS, "events": events_fault(given["events"], formats)})


def events_fault(events: Sequence[str], formats: Formats) -> str:
    """What is wrong with what was chosen, in the reader's language."""
    wrong = next((each for each in events if fault_in(each) is not None), "")
    close = close_to(wrong)
    if not events:
        said = N_("Choose at least one event.")
    elif "*" in wrong:
        said = N_("“%(name)s”: the star stands alone or ends a family, as in order.*")
    elif wrong and close:
        said = N_("There is no event “%(name)s”. Did you mean %(close)s?")
    else:
        said = N_("There is no event “%(name)s”.") if wrong else N_("Names have at most 100 characters.")
    return formats.text(said, {"name": wrong, "close": close})


def _faults(error: WrongInput | Refused | NotFound) -> dict[str, str]:
    if isinstance(error, WrongInput):
        found = faults_of(error, "")
        if error.code == "refused_address":
            found["url"] = N_("It lies inside the house. If it is meant, list it in RAPPORT_ALLOW_PRIVATE_ADDRESSES.")
        elif any(name.startswith("channels[") for name in found):
            return {"channels": N_("One of these channels is not there any more.")}
        return found
    return {"channels": N_("Choose channels that you may see.")}


async def _form(request: web.Request, given: Mapping[str, Any], faults: Mapping[str, str]) -> web.Response:
    values = {**await _choices(request, given), "given": given, "faults": faults}
    return await page(request, "settings/webhook_new.html", values, status=422 if faults else 200)


async def _choices(request: web.Request, given: Mapping[str, Any]) -> dict[str, Any]:
    """What can be ticked, and what is."""
    principal, events = principal_of(request), given["events"]
    channels = [each for each in await runtime_of(request).channels.list() if principal.may_see(each.id)]
    own = [each for each in events if each not in KNOWN and each.removesuffix(".*") not in FAMILIES and each != ALL]
    families = [
        (family, label, [(f"{family}.{what}", what) for what in FAMILIES[family]],
         sum(each.partition(".")[0] == family for each in events))
        for family, label in FAMILY_LABELS.items()
    ]  # fmt: skip
    return {
        "families": families, "own_events": "\n".join(own), "channel_choices": channels,
        "limited": principal.channels is not None,
    }  # fmt: skip


async def _show(
    request: web.Request, row: Document, *, secret: str = "", exchanged: bool = False,
    given: Mapping[str, Any] | None = None, faults: Mapping[str, str] | None = None,
) -> web.Response:  # fmt: skip
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    troubled = request.query.get("only") == "trouble"
    found = await runtime.endpoints.deliveries(
        row["_id"], limited=principal_of(request).channels is not None, state="failed" if troubled else None,
        limit=PER_PAGE, cursor=request.query.get("cursor"),
    )  # fmt: skip
    here, count = f"{HERE}/{row['_id']}", request.query.get("again", "")
    query = "only=trouble&" if troubled else ""
    shown = given if given is not None else row
    off_at = row["failing_since"] + PATIENCE if row["failing_since"] is not None else None
    values = {
        **await _choices(request, shown), "given": shown, "faults": faults or {}, "endpoint": row, "here": here,
        "chip": chip_of(row, formats), "standing": standing(row), "off_at": off_at, "secret": secret,
        "exchanged": exchanged, "saved": "saved" in request.query, "troubled": troubled,
        "again": formats.number(int(count)) if count.isascii() and count.isdigit() and len(count) < 9 else "",
        "failed": await runtime.endpoints.failed(row["_id"]), "rows": [post_row(each, formats) for each in found.data],
        "next_href": f"{here}?{query}cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "settings/webhook.html", values, status=422 if faults else 200)


async def _endpoint(request: web.Request) -> Document:
    row: Document = await runtime_of(request).endpoints.get(id_in(request, "endpoint_id", "whk", MISSING))
    _must_look_after(request, row)
    return row


def _must_look_after(request: web.Request, row: Document) -> None:
    if not may_look_after(reading(request), row["channels"]):
        raise NotFound(MISSING)


async def _post(request: web.Request) -> Document:
    post_id = id_in(request, "post_id", "whd", N_("There is no such delivery; they are kept for 30 days."))
    limited = principal_of(request).channels is not None
    endpoint_id = request.match_info["endpoint_id"]
    row: Document = await runtime_of(request).endpoints.delivery(endpoint_id, post_id, limited=limited)
    if row["state"] == "skipped":
        raise NotFound(N_("There is no such delivery; they are kept for 30 days."))
    return row
