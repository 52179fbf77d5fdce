"""Approved templates in the inbox: chosen, filled in and sent, also outside of the reply window."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from base.errors import FieldError, NotFound, WrongInput
from base.ids import new_id
from channels.vocabulary import ApprovedTemplate, TemplateCall
from desk.api.scope import answered_talk, reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.pages.inbox import actor_of, conversation_for
from desk.pages.reads import faces_of
from desk.render import formats_of, page
from inbox.models import ReplyInput

routes = web.RouteTableDef()
SHOWN = 40
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Blank:
    """One value to fill in."""

    field: str
    label: str
    suggestion: str = ""


@dataclass(frozen=True)
class Offer:
    """A template that may be sent."""

    name: str
    language: str
    category: str
    header: str
    body: str
    footer: str
    blanks: tuple[Blank, ...]
    buttons: tuple[str, ...]


def offer_of(template: ApprovedTemplate, first_name: str) -> Offer:
    """A template with its blanks; the first of a greeting is likely the name."""
    blanks = [Blank(f"header.{n}", template.header_file or f"{{{{{n + 1}}}}}") for n in range(template.header_values)]
    for n, place in enumerate(places(template.body)):
        named = place in ("1", "name", "first_name", "customer_name")
        blanks.append(Blank(f"body.{n}", f"{{{{{place}}}}}", first_name if named else ""))
    blanks += [Blank(f"buttons.{n}", each.title) for n, each in enumerate(template.buttons) if each.value]
    return Offer(
        template.name, template.language, (template.category or "").lower(), template.header or "", template.body,
        template.footer or "", tuple(blanks), tuple(each.title for each in template.buttons),
    )  # fmt: skip


def places(wording: str) -> list[str]:
    """The names of the places in a wording, each once, in order."""
    return list(dict.fromkeys(_PLACE.findall(wording)))


def call_of(template: ApprovedTemplate, form: Mapping[str, Any]) -> TemplateCall:
    """The filled-in template. Raises `WrongInput` for a blank that was left empty."""

    def value(field: str) -> str:
        given = " ".join(str(form.get(field, "")).split())[:1000]
        if not given:
            raise WrongInput("Fill in every blank of the template.", [FieldError(field, "is empty")])
        return given

    body = tuple(value(f"body.{n}") for n in range(len(places(template.body))))
    header = tuple(value(f"header.{n}") for n in range(template.header_values))
    buttons = tuple(value(f"buttons.{n}") if each.value else "" for n, each in enumerate(template.buttons))
    return TemplateCall(
        name=template.name, language=template.language, body=body, header=header,
        buttons=buttons if any(buttons) else (),
    )  # fmt: skip


def said_by(template: ApprovedTemplate, call: TemplateCall) -> str:
    """The wording as the customer reads it."""
    values = dict(zip(places(template.body), call.body, strict=True))
    heading = call.header[0] if template.header and call.header else None
    header = _PLACE.sub(lambda _: heading or "", template.header or "")
    body = _PLACE.sub(lambda found: values.get(found[1], ""), template.body)
    return "\n\n".join(part for part in (header, body, template.footer or "") if part)


@routes.get("/inbox/{conversation_id}/templates")
@require("agent")
async def choose(request: web.Request) -> web.StreamResponse:
    """The approved templates of this conversation's channel."""
    found, runtime = await answered_talk(reading(request), await conversation_for(request)), runtime_of(request)
    formats, q = formats_of(request, principal_of(request)), request.query.get("q", "").strip()[:100]
    kept = await runtime.approved.of(found.channel_id, usable=True)
    wanted = [each for each in kept if q.casefold() in f"{each.name} {each.body} {each.language}".casefold()]
    name = found.display_name or ""
    faces = await faces_of(runtime)
    values = {
        "talk": found, "face": faces.of(found.channel_id, found.provider), "q": q, "any": bool(kept),
        "offers": [offer_of(each, name.split()[0] if name else "") for each in wanted[:SHOWN]],
        "more": max(0, len(wanted) - SHOWN), "client_key": new_id("msg"), "formats": formats,
    }  # fmt: skip
    return await page(request, "inbox/templates.html", values)


@routes.post("/inbox/{conversation_id}/templates")
@require("agent")
async def send(request: web.Request) -> web.StreamResponse:
    """Send one, filled in."""
    found = await answered_talk(reading(request), await conversation_for(request))
    form, runtime = await read_form(request), runtime_of(request)
    wanted = (str(form.get("name", "")), str(form.get("language", "")))
    kept = await runtime.approved.of(found.channel_id, usable=True)
    template = next((each for each in kept if (each.name, each.language) == wanted), None)
    if template is None:
        raise NotFound("This template is not approved any more.")
    call = call_of(template, form)
    written = ReplyInput(text=said_by(template, call), template=call)
    key = str(form.get("client_key", ""))[:80] or new_id("msg")
    by, once = actor_of(principal_of(request)), f"{key}:{template.name}"[:120]
    await runtime.outbox.reply(found.id, by, written, once, exactly=True)
    raise web.HTTPSeeOther(f"/inbox/{found.id}")
