"""Snippets: the list, the form in all languages with a look at it, where each is used, removal and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from campaigns.library.snippets import SnippetInput
from campaigns.wording.parts import snippet_use
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, Formats
from desk.keys import runtime_of
from desk.pages.broadcast_form import LANGUAGES_MOST, wrong
from desk.pages.broadcast_wizard import LOCALES
from desk.pages.definition_forms import checked, id_in, made_with_key, put_back_of, removed_id
from desk.pages.shown_as import ShownAs, SpokenWords, shown_as, spoken_words
from desk.pages.template_editor import LETTER_POLICY, letter_fault
from desk.pages.template_words import template_words
from desk.pages.templates import worked_by_key
from desk.render import page, reader_of

routes = web.RouteTableDef()
HERE, PER_PAGE = "/snippets", 50
MISSING = N_("There is no such snippet.")
TAKEN = N_("There is or was a snippet with this key; take another one.")
_SAYS = {
    "name": N_("A name of at most 120 characters."),
    "key": N_("Small letters, digits, - and _, beginning with a letter or digit."),
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """The words in one language. The first has none: it is for everybody else."""

    locale: str = ""
    text: str = ""
    html: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return not (self.text.strip() or self.html.strip())


@dataclass(frozen=True)
class SnippetForm:
    """What stands in the form."""

    name: str = ""
    key: str = ""
    wordings: tuple[Said, ...] = (Said(),)

    def content(self) -> dict[str, Any]:
        """As the use case takes it. Raises `WrongInput` where a language is not named, named twice, or says nothing."""
        main, *others = self.wordings
        if main.is_empty:
            raise wrong("w.0", N_("Write the words: they go to everybody whose language is not among the others."))
        locales: dict[str, Any] = {}
        for number, each in enumerate(others, 1):
            if each.is_empty and not each.locale:
                continue
            if not each.locale:
                raise wrong(f"w.{number}", N_("Say which language this is."))
            if each.locale in locales:
                raise wrong(f"w.{number}", N_("This language is there twice."))
            if each.is_empty:
                raise wrong(f"w.{number}", N_("Write the words in this language, or take it away."))
            locales[each.locale] = {"text": each.text, "html": each.html or None}
        return {"text": main.text, "html": main.html or None, "locales": locales}


@dataclass(frozen=True)
class SnippetSeen:
    """The look at it."""

    text: str = ""
    has_html: bool = False
    fault: str = ""
    spoken: SpokenWords = field(default_factory=SpokenWords)


def form_of(row: Mapping[str, Any]) -> SnippetForm:
    """A stored one."""
    content = row["content"]
    others = (Said(name, own.get("text") or "", own.get("html") or "") for name, own in content["locales"].items())
    return SnippetForm(row["name"], row["key"], (Said("", content["text"], content.get("html") or ""), *others))


def read(form: Any) -> SnippetForm:
    """What was posted."""
    wordings = []
    for number in range(LANGUAGES_MOST):
        if f"w.{number}:text" not in form:
            break
        locale, text, html = (_text(form, f"w.{number}:{name}") for name in ("locale", "text", "html"))
        wordings.append(Said(locale.strip()[:20], text, html))
    return SnippetForm(_text(form, "name").strip(), _text(form, "key").strip(), tuple(wordings) or (Said(),))


def act(form: SnippetForm, deed: str) -> SnippetForm:
    """One language more or less: `language`, `unlanguage:2`."""
    if deed == "language":
        return replace(form, wordings=(*form.wordings, Said())[:LANGUAGES_MOST])
    what, _, place = deed.partition(":")
    if what == "unlanguage" and place.isascii() and place.isdigit() and int(place):
        return replace(form, wordings=tuple(each for at, each in enumerate(form.wordings) if at != int(place)))
    return form


@routes.get(HERE)
@require("viewer")
async def snippets(request: web.Request) -> web.StreamResponse:
    """All of them by key."""
    try:
        found = await runtime_of(request).snippets.page(limit=PER_PAGE, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    values = {
        "worked": await worked_by_key(request, [each["key"] for each in found.data], snippet_use),
        "snippets": found.data, "more": f"{HERE}?cursor={quote(found.next_cursor)}" if found.next_cursor else "",
        "removed": removed_id(request, "snp"), "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "templates/snippets.html", values)


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty one."""
    refuse_scoped(reading(request))
    return await _drawn(request, None, SnippetForm(), {})


@routes.post(HERE + "/letter")
@require("viewer")
async def letter(request: web.Request) -> web.StreamResponse:
    """Its HTML, for the frame beside the form: there nothing runs."""
    form = await read_form(request)
    words = read(form)
    try:
        who = await _who(request, form)
        rendered = await _rendered(request, words.content(), who.id, str(form.get("in") or ""))
        markup = rendered.html or ""
    except WrongInput as error:
        markup = letter_fault(error, reader_of(request))
    return web.Response(text=markup, content_type="text/html", headers={"Content-Security-Policy": LETTER_POLICY})


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """A button of the form."""
    return await _pressed(request, None)


@routes.get(HERE + "/{snippet_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One in its form."""
    row = await _row(request)
    return await _drawn(request, row, form_of(row), {}, saved="saved" in request.query)


@routes.post(HERE + "/{snippet_id}")
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """A button of the form of one that is there."""
    return await _pressed(request, await _row(request))


@routes.post(HERE + "/{snippet_id}/remove")
@require("marketer")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it out of the list, which offers to put it back. Where it is used it stays, and that is said."""
    refuse_scoped(reading(request))
    row = await _row(request)
    try:
        await runtime_of(request).snippets.delete(row["_id"])
    except Conflict:
        said = {"": N_("It is used in what stands below. Take it out there first.")}
        return await _drawn(request, row, form_of(row), said, status=409)
    raise web.HTTPSeeOther(f"{HERE}?removed={row['_id']}")


@routes.post(HERE + "/{snippet_id}/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    await runtime_of(request).snippets.restore(id_in(request, "snippet_id", "snp", MISSING))
    raise web.HTTPSeeOther(HERE)


async def _row(request: web.Request) -> Document:
    found: Document = await runtime_of(request).snippets.get(id_in(request, "snippet_id", "snp", MISSING))
    return found


async def _pressed(request: web.Request, row: Document | None) -> web.StreamResponse:
    refuse_scoped(reading(request))
    form, formats = await read_form(request), reader_of(request)
    words, deed = read(form), str(form.get("act") or "save")
    if deed != "save":
        return await _drawn(request, row, act(words, deed), {}, form=form)
    try:
        saved = await _saved(request, row, words, str(form.get("rev") or ""))
    except (WrongInput, Conflict) as error:
        return await _drawn(request, row, words, _said(error, formats), form=form, status=422)
    raise web.HTTPSeeOther(f"{HERE}/{saved['_id']}?saved")


async def _saved(request: web.Request, row: Document | None, words: SnippetForm, rev: str) -> Document:
    book, by, content = runtime_of(request).snippets, principal_of(request).id, words.content()

    async def make(key: str) -> Document:
        made: Document = await book.create(checked(SnippetInput, {**fields, "key": key}, _SAYS), by)
        return made

    fields = {"name": words.name, **content}
    if row is None:
        return await made_with_key(words.key, words.name, "snippet", make)
    given = checked(SnippetInput, {**fields, "key": row["key"]}, _SAYS)
    seen = int(rev) if rev.isascii() and rev.isdigit() and len(rev) < 9 else row["rev"]
    changed: Document = await book.change(row["_id"], {"name": given.name, **content}, by, rev=seen)
    return changed


def _said(error: WrongInput | Conflict, formats: Formats) -> dict[str, str]:
    """Field → what is wrong with it."""
    if isinstance(error, Conflict):
        return {"key": TAKEN} if error.code == "key_taken" else {"": formats.text(str(error))}
    found: dict[str, str] = {}
    for each in error.errors:
        name = each.path.removeprefix("#")
        place = name if name in ("name", "key") or name.startswith("w.") else "w.0"
        words = template_words(each.message, formats)
        found[place] = " · ".join(part for part in (found.get(place, ""), words) if part)
    return found or {"": formats.text(str(error))}


async def _who(request: web.Request, form: Mapping[str, Any]) -> ShownAs:
    chosen = str(form.get("as") or "")
    return await shown_as(request, str(form.get("who") or ""), chosen if is_id(chosen, "prf") else "")


async def _rendered(request: web.Request, content: Mapping[str, Any], profile_id: str, locale: str) -> Any:
    return await runtime_of(request).templates.preview(_whole(content), profile_id or None, locale=locale or None)


def _whole(content: Mapping[str, Any]) -> dict[str, Any]:
    """The snippet as if it were all of a message."""
    empty = dict.fromkeys(("subject", "blocks", "buttons", "whatsapp"))
    locales = {
        name: {"text": own["text"], "body": own["html"] or own["text"]} for name, own in content["locales"].items()
    }
    return {**empty, "text": content["text"], "body": content["html"] or content["text"], "locales": locales}


async def _looked(request: web.Request, words: SnippetForm, who: ShownAs, locale: str) -> SnippetSeen:
    formats = reader_of(request)
    try:
        content = words.content()
        rendered = await _rendered(request, content, who.id, locale)
    except (WrongInput, NotFound) as error:
        told = [formats.text(each.message) for each in getattr(error, "errors", ())]
        return SnippetSeen(fault=" · ".join(told[:2]) or formats.text(str(error)))
    spoken = await spoken_words(request, _whole(content), rendered, who.id, locale, formats)
    html = any(each.html for each in words.wordings)
    return SnippetSeen(rendered.text, html, spoken=SpokenWords(spoken.line))


async def _drawn(
    request: web.Request, row: Document | None, words: SnippetForm, faults: Mapping[str, str], *,
    form: Mapping[str, Any] | None = None, saved: bool = False, status: int = 200,
) -> web.Response:  # fmt: skip
    given, book = form or {}, runtime_of(request).snippets
    who, locale = await _who(request, given), str(given.get("in") or "")[:20]
    blank = row is None and words == SnippetForm()
    values = {
        "snippet": row, "words": words, "faults": faults, "saved": saved, "who": who, "locale": locale,
        "locales": LOCALES, "languages_known": LANGUAGES,
        "users": links_of(await book.users(row["key"])) if row else [],
        "seen": SnippetSeen() if blank else await _looked(request, words, who, locale),
        "rev": str(given.get("rev") or (row["rev"] if row else "")), "back": put_back_of(request),
        "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "templates/snippet.html", values, status=status)


#: What an id begins with → what it is, and where.
_USERS = {
    "tpl_": (N_("Template"), "/templates/"), "snp_": (N_("Snippet"), "/snippets/"),
    "jrn_": (N_("Journey"), "/journeys/"), "brd_": (N_("Broadcast"), "/broadcasts/"),
}  # fmt: skip


def links_of(users: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(what it is, its name, where it is) of templates, snippets, journeys and broadcasts."""
    kinds = [_USERS[str(each["_id"])[:4]] for each in users]
    return [(kind, each["name"], where + each["_id"]) for (kind, where), each in zip(kinds, users, strict=True)]


def _text(form: Any, name: str) -> str:
    return str(form.get(name) or "").replace("\r\n", "\n")[:200_000]
