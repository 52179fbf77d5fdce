"""Settings → Bots: programs that answer first; and taking a conversation from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import Conflict, WrongInput
from base.ids import is_id, new_id
from base.mongo import Document
from campaigns.automation.bots.book import MISSING
from campaigns.automation.bots.models import PERSON_WORDS, SILENT_MAX_S, SILENT_MIN_S, SILENT_S, BotInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.definition_forms import checked, id_in
from desk.pages.inbox import actor_of, after_act, conversation_for
from desk.render import page
from inbox.acts import Change
from inbox.bulk import Order

routes = web.RouteTableDef()
HERE = "/settings/bots"
EMPTY: Mapping[str, Any] = {
    "name": "", "url": "", "channel_ids": [], "silent_s": SILENT_S, "person_words": list(PERSON_WORDS), "active": True,
}  # fmt: skip
_SAYS = {
    "name": N_("Write a name."),
    "url": N_("A web address such as https://example.com/bot, without names, passwords or # in it."),
    "silent_s": N_("Between 5 and 600 seconds."), "channel_ids": N_("A channel is gone, or has another bot already."),
    "person_words": N_("At most 50 words or phrases of at most 60 signs, separated by commas."),
}  # fmt: skip
#: What became of a message that a bot was told.
SAID = {
    "taken": N_("It has taken it"), "answered": N_("It has answered"), "quiet": N_("It had nothing to say"),
    "asked_for_person": N_("They asked for a person"), "silent": N_("It was silent"),
    "undelivered": N_("Its answer did not go out"), "circles": N_("It talked in circles"),
    "asked_to_stop": N_("They had said STOP"), "consent_word": N_("They allowed messages again"),
    "given_again": N_("It was given to it again"),
    "not_its_own": N_("People have it"), "switched_off": N_("It was off"), "gone": N_("The message is gone"),
    "crashed": N_("It was given up after several attempts"), "connect": N_("It could not be reached"),
    "refused_address": N_("The address lies inside the house and is not called"), "timeout": N_("No answer in time"),
    "cut": N_("The connection broke"), "too_large": N_("The answer is too large"), "bad_url": N_("That is no address"),
}  # fmt: skip


@routes.get(HERE)
@require("admin")
async def bots(request: web.Request) -> web.StreamResponse:
    """All of them."""
    refuse_scoped(reading(request))
    removed = request.query.get("removed", "")
    names = await _channels(request)
    values = {
        "bots": await runtime_of(request).bots.all(), "channels": names,
        "removed": removed if is_id(removed, "bot") else "",
    }  # fmt: skip
    return await page(request, "settings/bots.html", values)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    refuse_scoped(reading(request))
    return await _form(request, None, {**EMPTY, "id": new_id("bot")}, {})


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Make it, and show its secret and token, this once. The same form sent twice makes one."""
    refuse_scoped(reading(request))
    form = await read_form(request)
    given, made = _written(form), str(form.get("id", ""))
    made = made if is_id(made, "bot") else new_id("bot")
    try:
        bot = await runtime_of(request).bots.create(checked(BotInput, given, _SAYS), principal_of(request).id, made)
    except (Conflict, WrongInput) as error:
        if error.code == "exists":
            raise web.HTTPSeeOther(f"{HERE}/{made}") from None
        return await _form(request, None, {**given, "id": made}, _faults(error))
    return await _form(request, bot.row, bot.row, {}, secret=bot.secret, token=bot.key)


@routes.get(HERE + "/{bot_id}")
@require("admin")
async def show(request: web.Request) -> web.StreamResponse:
    """How it stands, and what it was told."""
    row = await _bot(request)
    return await _form(request, row, row, {})


@routes.post(HERE + "/{bot_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form; faults stand beside their fields."""
    row, given = await _bot(request), _written(await read_form(request))
    try:
        wanted = checked(BotInput, given, _SAYS)
        await runtime_of(request).bots.change(row["_id"], wanted.model_dump())
    except (Conflict, WrongInput) as error:
        return await _form(request, row, given, _faults(error))
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}?saved=1")


@routes.post(HERE + "/{bot_id}/secret")
@require("admin")
async def exchange(request: web.Request) -> web.StreamResponse:
    """A new secret, shown this once."""
    row = await _bot(request)
    return await _form(request, row, row, {}, secret=await runtime_of(request).bots.exchange(row["_id"]))


@routes.post(HERE + "/{bot_id}/token")
@require("admin")
async def new_token(request: web.Request) -> web.StreamResponse:
    """A new token, shown this once."""
    row, by = await _bot(request), principal_of(request).id
    return await _form(request, row, row, {}, token=await runtime_of(request).bots.new_key(row["_id"], by))


@routes.post(HERE + "/{bot_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    row = await _bot(request)
    await runtime_of(request).bots.remove(row["_id"])
    raise web.HTTPSeeOther(f"{HERE}?removed={row['_id']}")


@routes.post(HERE + "/{bot_id}/restore")
@require("admin")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    row = await runtime_of(request).bots.restore(id_in(request, "bot_id", "bot", MISSING))
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}")


@routes.post("/inbox/{conversation_id}/take-over")
@require("agent")
async def take_over(request: web.Request) -> web.StreamResponse:
    """The bot has it no longer: it is the reader's, with a way back. Where people have it already nothing is done."""
    found, reader = await conversation_for(request), principal_of(request)
    order = Order(Change(take_over=True), actor_of(reader), [found.id], channels=reader.reach)
    act = await runtime_of(request).bulk.begin(order)
    return await after_act(request, found, act if act["changed"] else None)


# -- the form ------------------------------------------------------------------------------------------------------


def _written(form: Any) -> dict[str, Any]:
    words = str(form.get("person_words", "")).replace("，", ",").replace("、", ",").split(",")
    return {
        "name": str(form.get("name", "")).strip(), "url": str(form.get("url", "")).strip(),
        "channel_ids": [str(each) for each in form.getall("channel_ids", []) if is_id(str(each), "chn")],
        "silent_s": str(form.get("silent_s", "")).strip(), "active": bool(form.get("active")),
        "person_words": list(dict.fromkeys(each.strip() for each in words if each.strip())),
    }  # fmt: skip


def _faults(error: Conflict | WrongInput) -> dict[str, str]:
    if isinstance(error, Conflict):
        return {"channel_ids": _SAYS["channel_ids"]} if error.code == "channel_taken" else {"": str(error)}
    return {fault.path.partition(".")[0]: _SAYS.get(fault.path.partition(".")[0], fault.message)
            for fault in error.errors} or {"": str(error)}  # fmt: skip


async def _form(
    request: web.Request, bot: Document | None, given: Mapping[str, Any], faults: Mapping[str, str], *,
    secret: str = "", token: str = "",
) -> web.Response:  # fmt: skip
    runtime = runtime_of(request)
    values: dict[str, Any] = {
        "bot": bot, "given": given, "faults": faults, "channels": await _channels(request), "secret": secret,
        "token": token, "saved": "saved" in request.query, "words": ", ".join(given["person_words"]),
        "silent_min": SILENT_MIN_S, "silent_max": SILENT_MAX_S, "said_words": SAID,
        "posts": await runtime.bot_posts.latest(bot["_id"]) if bot else [],
    }  # fmt: skip
    return await page(request, "settings/bot_form.html", values, status=422 if faults else 200)


async def _channels(request: web.Request) -> dict[str, str]:
    runtime = runtime_of(request)
    kinds = {card.provider: card.kind for card in runtime.registry.cards()}
    return {each.id: each.name for each in await runtime.channels.list() if kinds.get(each.provider) != "shop"}


async def _bot(request: web.Request) -> Document:
    refuse_scoped(reading(request))
    row: Document = await runtime_of(request).bots.get(id_in(request, "bot_id", "bot", MISSING))
    return row
