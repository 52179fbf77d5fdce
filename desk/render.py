"""Pages from templates: one Jinja environment per language, and what every template may use."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import web
from heroicons.jinja import heroicon_mini, heroicon_outline
from jinja2 import BytecodeCache, Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from desk import i18n
from desk.assets import Assets
from desk.auth import PRINCIPAL, Principal, authenticate, csrf_of, is_script
from desk.i18n import LANGUAGES, Formats, chosen_language, number_words, zone_of
from desk.keys import runtime_of
from desk.middleware import NONCE, POSITION
from desk.pages.moments import value_words
from desk.pages.standing_words import StateChoice, own_choices
from desk.sections import content_sections, profile_sections, settings_menu

FOLDER = Path(__file__).parent / "templates"
LANGUAGE_COOKIE = "rapport-language"
#: Drawn filled: they are signs, not symbols of a thing.
SOLID = frozenset({"check-badge", "exclamation-circle", "question-mark-circle"})
THEMES = ("system", "light", "dark")


class Renderer:
    """Draws templates for one process."""

    def __init__(self, assets: Assets) -> None:
        self.assets = assets
        self._environments = {language: _environment(language, assets) for language in LANGUAGES}

    def draw(self, template: str, language: str, values: Mapping[str, Any]) -> str:
        """The text of a template."""
        return self._environments[language].get_template(template).render(values)


RENDERER: web.AppKey[Renderer] = web.AppKey("renderer", Renderer)
#: How much is new to somebody; set by `desk.app`, because the API stands beside, not below.
Unread = Callable[[Principal], Awaitable[int]]
UNREAD: web.AppKey[Unread] = web.AppKey("unread", Callable)  # type: ignore[arg-type]


def _environment(language: str, assets: Assets) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, extensions=["jinja2.ext.i18n", "jinja2.ext.do"], auto_reload=False,
        bytecode_cache=_compiled(),
    )  # fmt: skip
    environment.install_gettext_translations(i18n.translations(language), newstyle=True)  # type: ignore[attr-defined]
    spoken: Any = environment.globals["ngettext"]
    environment.globals["ngettext"] = _with_separators(spoken, language)
    environment.globals.update(asset=assets.url, icon=icon, hue_of=hue_of, initials=initials, said=said)
    environment.globals.update(settings_menu=settings_menu, profile_sections=profile_sections)
    environment.globals.update(content_sections=content_sections, value_words=value_words)
    return environment


def _compiled() -> BytecodeCache | None:
    """Templates are compiled once for all processes: each costs some 20 ms, and nobody else is answered meanwhile. In a
    folder below the system's temporary one that only this account can write; None where there is none."""
    try:
        return FileSystemBytecodeCache()
    except (OSError, RuntimeError):
        return None


def _with_separators(ngettext: Callable[..., str], language: str) -> Callable[..., str]:
    """Sentences with a number say it as the language writes it."""

    @pass_context
    def counted(context: Context, one: str, many: str, num: int, /, **values: Any) -> str:
        return ngettext(context, one, many, num, **{"num": number_words(num, language), **values})

    return counted


@lru_cache(maxsize=512)
def icon(name: str, size: int = 20) -> Markup:
    """An outlined icon, decoration only: who uses it alone gives the control a label. Small ones get a bolder line."""
    if name in SOLID:
        drawn = heroicon_mini(name, size=size, class_="icon")
    else:
        drawn = heroicon_outline(name, size=size, class_="icon", stroke_width="1.9" if size <= 16 else "1.5")
    return Markup(drawn.replace("class-=", "class="))  # noqa: S704 - the package's own SVG


@lru_cache(maxsize=8192)
def hue_of(text: str) -> int:
    """One of 24 hues, the same for the same text for ever."""
    return hashlib.blake2s(text.encode(), digest_size=2).digest()[0] % 24


@lru_cache(maxsize=8192)
def initials(name: str) -> str:
    """One or two signs that stand for a name; one for Chinese names, where the family name is enough."""
    words = [word for word in name.replace("@", " ").replace("+", " ").split() if word[0].isalnum()]
    if not words:
        return "·"
    first = words[0][0].upper()
    return first if len(words) == 1 or ord(first) > 0x2E80 else first + words[-1][0].upper()


@pass_context
def said(context: Context, sentence: str | None) -> str:
    """A sentence of the domain (failure reason, card text), which is an English msgid, in the reader's language."""
    return i18n.translations(context["language"]).gettext(sentence) if sentence else ""


# -- for requests --------------------------------------------------------------------------------------------------


def language_of(request: web.Request, principal: Principal | None) -> str:
    """The person's language, the one chosen on the sign-in page, or the browser's."""
    own = principal.user.language if principal and principal.user else request.cookies.get(LANGUAGE_COOKIE)
    return chosen_language(own, request.headers.get("Accept-Language", ""))


def formats_of(request: web.Request, principal: Principal | None) -> Formats:
    """How this person reads times."""
    runtime = runtime_of(request)
    own = principal.user.time_zone if principal and principal.user else None
    fallback = getattr(getattr(runtime, "settings", None), "time_zone", "UTC")
    language, zone = language_of(request, principal), zone_of(own, fallback)
    return Formats(language, zone, runtime.clock(), covers=principal.masks if principal else frozenset())


def reader_of(request: web.Request) -> Formats:
    """How the signed-in person reads times, inside a handler marked with `require`."""
    return formats_of(request, request[PRINCIPAL])


def arriving_of(request: web.Request) -> int | None:
    """How many percent of the sample data are there while it is loaded; else None."""
    asked = getattr(runtime_of(request), "arriving", None)
    percent: int | None = asked() if asked is not None else None
    return percent


async def _own_states(request: web.Request, principal: Principal | None, formats: Formats) -> list[StateChoice]:
    """What the reader can say of themselves; nothing for a part of a page, which does not show it."""
    if principal is None or is_script(request):
        return []
    return await own_choices(runtime_of(request), principal, formats)


async def _unread(request: web.Request, principal: Principal | None) -> int | None:
    """How much is new to the reader; None for a part of a page and for who is told nothing."""
    if principal is None or principal.user is None or is_script(request):
        return None
    return await request.config_dict[UNREAD](principal)


async def page(
    request: web.Request, template: str, values: Mapping[str, Any] | None = None, *, status: int = 200
) -> web.Response:
    """An HTML answer: `values` on top of what every page knows (person, formats, nonce, CSRF token, path)."""
    principal = await authenticate(request)
    formats = formats_of(request, principal)
    known = {
        "principal": principal,
        "formats": formats,
        "language": formats.language,
        "languages": LANGUAGES,
        "theme": (principal.user.theme if principal and principal.user else None) or "system",
        "nonce": request.get(NONCE, ""),
        "csrf": csrf_of(request),
        "path": request.path,
        "position": request.get(POSITION, 0),
        "arriving": arriving_of(request),
        "agents_export": getattr(getattr(runtime_of(request), "settings", None), "agents_may_export", False),
        "own_states": await _own_states(request, principal, formats),
        "unread": await _unread(request, principal),
        "fragment": request.headers.get("HX-Request") == "true",
    }
    text = request.config_dict[RENDERER].draw(template, formats.language, {**known, **(values or {})})
    headers = {"Vary": "HX-Request, Cookie, Accept-Language"}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
