"""The editor of a template: fields or blocks, a preview as somebody, what is wrong with it, a test to oneself.

The letter itself is drawn in a frame of its own, from an answer that may run nothing and load nothing but pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from base.mongo import Document
from campaigns.contents import Rendered
from campaigns.library.checks import Finding
from campaigns.templates import read_template
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in, put_back_of
from desk.pages.shown_as import ShownAs, SpokenWords, shown_as, spoken_words
from desk.pages.template_form import (
    BLOCKS,
    BUTTONS_SHOWN,
    FIELDS,
    PARTS,
    VARIABLES,
    TemplateDraft,
    act,
    draft_of,
    fresh,
    own_variables,
    packed,
    packed_block,
    read,
    without_language,
)
from desk.pages.template_words import template_words
from desk.pages.templates import HERE, KINDS, MISSING
from desk.render import page, reader_of

routes = web.RouteTableDef()
#: Nothing runs in the frame, nothing is asked for but pictures, and only our own pages may show it.
LETTER_POLICY = (
    "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
LANGUAGES = ("en", "zh_CN", "zh_TW", "de", "fr", "es", "it", "nl", "pt", "ja", "ko")
TONES = {"error": "danger", "warning": "warn", "hint": "info"}


@dataclass(frozen=True)
class BlockField:
    """One field of a block."""

    name: str
    label: str
    kind: str
    value: Any


@dataclass(frozen=True)
class BlockView:
    """One block in the editor."""

    place: int
    type: str
    label: str
    fields: list[BlockField]


@dataclass(frozen=True)
class FindingView:
    """One of the findings, in the reader's language."""

    tone: str
    words: str
    place: str


@dataclass(frozen=True)
class Seen:
    """The preview: the parts, what is found, as whom."""

    rendered: Rendered | None
    findings: list[FindingView]
    kilobytes: str
    person: str
    #: In which language it is, and what of it stands in another.
    spoken: SpokenWords
    #: A WhatsApp template as approved, with our values in it.
    approved: str


#: How a fault looks in the place of the letter, on its white ground.
_TOLD = "margin:16px;font:15px/1.5 system-ui,sans-serif;color:#595959"


@routes.post(HERE + "/letter")
@require("viewer")
async def letter(request: web.Request) -> web.StreamResponse:
    """The letter of the form, for the frame beside it."""
    form = await read_form(request)
    draft = read(form.items())
    who = await _who(request, form)
    try:
        rendered = await _preview(request, draft, who, any_subject=True)
        markup = rendered.html or ""
    except WrongInput as error:
        markup = letter_fault(error, reader_of(request))
    if "dark" in form:
        markup = dark(markup)
    return web.Response(text=markup, content_type="text/html", headers={"Content-Security-Policy": LETTER_POLICY})


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty one of the kind asked for."""
    refuse_scoped(reading(request))
    kind = request.query.get("kind", "email")
    return await _drawn(request, None, fresh(kind if kind in ("email", "chat", "whatsapp") else "email"))


@routes.get(HERE + "/{template_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One in the editor."""
    row = await _row(request)
    saved = "saved" in request.query
    return await _drawn(request, row, draft_of(row), good=N_("Saved.") if saved else "")


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """A button of the editor."""
    return await _pressed(request, None)


@routes.post(HERE + "/{template_id}")
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """The same for one that is there."""
    return await _pressed(request, await _row(request))


def dark(markup: str) -> str:
    """As a mail program in dark colours shows it."""
    return markup.replace("(prefers-color-scheme:dark)", "all").replace("color-scheme:light dark", "color-scheme:dark")


def letter_fault(error: WrongInput, formats: Formats) -> str:
    """What stands in the frame in place of a letter that cannot be drawn."""
    faults = "; ".join(template_words(each.message, formats) for each in error.errors) or formats.text(str(error))
    return f'<p style="{_TOLD}">{web_escaped(faults)}</p>'


def web_escaped(text: str) -> str:
    """For HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def _row(request: web.Request) -> Document:
    found: Document = await runtime_of(request).templates.get(id_in(request, "template_id", "tpl", MISSING))
    return found


async def _pressed(request: web.Request, row: Document | None) -> web.StreamResponse:
    refuse_scoped(reading(request))
    form = await read_form(request)
    draft, deed = read(form.items()), str(form.get("act", ""))
    formats = reader_of(request)
    if deed == "save":
        try:
            saved = await _saved(request, row, draft, str(form.get("rev", "")))
        except (WrongInput, Conflict) as error:
            return await _drawn(request, row, draft, form=form, bad=_said(error, formats), status=422)
        raise web.HTTPSeeOther(f"{HERE}/{saved['_id']}?saved")
    if deed == "test":
        try:
            mail = await _tried(request, row, draft, await _who(request, form))
        except (WrongInput, Conflict) as error:
            return await _drawn(request, row, draft, form=form, bad=_said(error, formats), status=422)
        good = formats.text(N_("On its way to %(mail)s, marked as a test."), mail=mail)
        return await _drawn(request, row, draft, form=form, good=good)
    if deed == "drop_language":
        draft = without_language(draft)
    elif deed not in ("preview", "links"):
        draft = act(draft, f"lang:{form.get('new_lang', '')}" if deed == "add_language" else deed)
    return await _drawn(request, row, draft, form=form, reach=deed == "links")


async def _saved(request: web.Request, row: Document | None, draft: TemplateDraft, rev: str) -> Document:
    given, runtime, by = draft.input(), runtime_of(request), principal_of(request).id
    template = read_template(given)
    if row is None:
        made: Document = await runtime.templates.create(template, by)
        return made
    parts = dict.fromkeys(("subject", "body", "blocks", "text", "buttons", "whatsapp"))
    seen = int(rev) if rev.isdigit() else row["rev"]
    changed: Document = await runtime.templates.patch(row["_id"], {**parts, **given}, by, rev=seen)
    return changed


async def _tried(request: web.Request, row: Document | None, draft: TemplateDraft, who: ShownAs) -> str:
    runtime = runtime_of(request)
    mail: str | None = (await runtime.users.addresses()).get(principal_of(request).id)
    if mail is None:
        raise WrongInput("A test goes to a colleague.")
    await runtime.proofs.send(
        _content(draft), mail, source_id=row["_id"] if row else "new", profile_id=who.id or None,
        locale=draft.lang or None,
    )  # fmt: skip
    return mail


def _content(draft: TemplateDraft, *, any_subject: bool = False) -> dict[str, Any]:
    """What the renderer takes. Raises `WrongInput` for what is no template yet."""
    given = {**draft.input(), "name": draft.name or "…"}
    if any_subject and draft.kind == "email" and not given.get("subject"):
        given["subject"] = "…"
    return read_template(given).model_dump(exclude={"name", "kind", "tags"})


async def _preview(
    request: web.Request, draft: TemplateDraft, who: ShownAs, *, any_subject: bool = False
) -> Rendered:
    """The language at hand; the main one as who is chosen gets it, in theirs. `any_subject`: one that is still to be
    written keeps nobody from seeing the letter."""
    content = _content(draft, any_subject=any_subject)
    if not draft.lang and not who.id:
        content["locales"] = {}
    made: Rendered = await runtime_of(request).templates.preview(content, who.id or None, locale=draft.lang or None)
    return made


async def _who(request: web.Request, form: Mapping[str, Any]) -> ShownAs:
    """As whom it is shown: one of those whom the words find, the first where none is chosen."""
    return await shown_as(request, str(form.get("as") or ""), str(form.get("person") or ""))


async def _drawn(
    request: web.Request, row: Document | None, draft: TemplateDraft, *, form: Mapping[str, Any] | None = None,
    good: str = "", bad: str = "", reach: bool = False, status: int = 200,
) -> web.Response:  # fmt: skip
    formats, who = reader_of(request), await _who(request, form or {})
    may_change = principal_of(request).may_everywhere("marketer")
    seen = await _seen(request, draft, who, reach=reach)
    wording = {**dict.fromkeys(PARTS), **draft.wording}
    call = {"name": "", "language": "", "header": (), "body": (), "buttons": (), **(wording["whatsapp"] or {})}
    buttons = [*(wording.get("buttons") or ()), *({"title": "", "url": ""} for _ in range(BUTTONS_SHOWN))][
        :BUTTONS_SHOWN
    ]
    snippets = (await runtime_of(request).snippets.page(limit=50)).data
    offers = (await runtime_of(request).offers.page(limit=50)).data
    values = {
        "template": row, "draft": draft, "call": call, "wording": wording,
        "blocks": blocks_view(wording["blocks"], formats),
        "palette": {name: formats.text(label) for name, label in BLOCKS.items()}, "buttons": buttons,
        "packed": packed(draft), "removed": packed_block(draft), "seen": seen, "who": who, "may_change": may_change,
        "rev": str((form or {}).get("rev", "")) or (row["rev"] if row else ""), "narrow": "narrow" in (form or {}),
        "dark": "dark" in (form or {}), "good": good, "bad": bad, "kinds": KINDS,
        "back": put_back_of(request),
        "more_languages": [each for each in LANGUAGES if each not in draft.languages],
        "variables": [
            *((formats.text(label), source) for label, source in VARIABLES),
            *own_variables((await runtime_of(request).terms.now()).fields, formats.language),
            *((each["name"], f"{{% include '{each['key']}' %}}") for each in snippets),
            *((each["name"], f"{{{{ coupon('{each['key']}') }}}}") for each in offers),
        ],
    }  # fmt: skip
    return await page(request, "templates/editor.html", values, status=status)


def blocks_view(blocks: Any, formats: Formats) -> list[BlockView]:
    """Blocks with their fields as they are entered."""
    made = []
    for place, block in enumerate(blocks or ()):
        names = [name for name in FIELDS if name in _FIELDS_OF[block["type"]]]
        fields = [
            BlockField(name, formats.text(FIELDS[name][0]), FIELDS[name][1], _value(block, name)) for name in names
        ]
        made.append(BlockView(place, block["type"], formats.text(BLOCKS[block["type"]]), fields))
    return made


_FIELDS_OF: Mapping[str, tuple[str, ...]] = {
    "header": ("title", "with_logo"), "text": ("text", "align"), "image": ("url", "alt", "link"),
    "button": ("label", "url", "align"), "products": ("title", "at_most"), "summary": ("number_label", "total_label"),
    "columns": ("left", "right"), "divider": (), "footer": ("text", "unsubscribe_label", "preferences_label"),
}  # fmt: skip
_DEFAULTS: Mapping[str, Any] = {
    "with_logo": True, "at_most": 10, "number_label": "Order", "total_label": "Total",
    "unsubscribe_label": "Unsubscribe", "preferences_label": "Choose what you get",
}  # fmt: skip


def _value(block: Mapping[str, Any], name: str) -> Any:
    if name == "align":
        return block.get(name, "center" if block["type"] == "button" else "start") == "center"
    return block.get(name, _DEFAULTS.get(name, ""))


async def _seen(request: web.Request, draft: TemplateDraft, who: ShownAs, *, reach: bool) -> Seen:
    runtime, formats = runtime_of(request), reader_of(request)
    try:
        content = _content(draft)
    except WrongInput as error:
        return Seen(None, _unfinished(error, formats), "", who.name, SpokenWords(), "")
    kind: Any = draft.kind
    found = await runtime.checker.check(kind, content, who.id or None, reach=reach)
    spoken = SpokenWords()
    try:
        rendered: Rendered | None = await _preview(request, draft, who)
        if rendered is not None and (draft.lang or who.id):
            spoken = await spoken_words(request, content, rendered, who.id, draft.lang, formats)
    except (WrongInput, NotFound):
        rendered = None
    size = formats.number(round(len((rendered.html or "").encode()) / 1024, 1)) if rendered and rendered.html else ""
    approved = await _approved(runtime, rendered) if rendered and rendered.whatsapp else ""
    return Seen(rendered, [_finding(each, formats) for each in found], size, who.name, spoken, approved)


async def _approved(runtime: Any, rendered: Rendered) -> str:
    """The platform's own words with our values in their places; empty where they are not known."""
    call = rendered.whatsapp
    if call is None:
        return ""
    for channel in await runtime.channels.list():
        for each in await runtime.approved.of(channel.id):
            if (each.name, each.language) == (call.name, call.language):
                return filled(str(each.body), call.body)
    return ""


def filled(body: str, values: Sequence[str]) -> str:
    """Values in the places of an approved text, in their order; a place without one stays as it is."""
    waiting = iter(values)
    return re.sub(r"\{\{\s*\w+\s*\}\}", lambda found: next(waiting, found[0]), body)


def _finding(each: Finding, formats: Formats) -> FindingView:
    place = f"{each.part}" + (f":{each.line}" if each.line else "")
    told = each.values.get("fault")
    words = formats.text(each.message, **each.values) if told is None else template_words(str(told), formats)
    return FindingView(TONES[each.level], words, place)


def _unfinished(error: WrongInput, formats: Formats) -> list[FindingView]:
    return [FindingView("danger", template_words(each.message, formats), each.path) for each in error.errors]


def _said(error: WrongInput | Conflict, formats: Formats) -> str:
    told = [(each.path, template_words(each.message, formats)) for each in getattr(error, "errors", ())]
    faults = [f"{path}: {words}" if path else words for path, words in told]
    return " · ".join([formats.text(str(error)), *faults])
