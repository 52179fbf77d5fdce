"""Renders marketers' templates in a child process that can be killed: whatever they wrote, the worker lives on."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from base.errors import FieldError, RapportError, WrongInput
from campaigns.contents import Rendered, as_html, closest_locale, looks_like_html, one_line, plain_text, wording_for
from campaigns.namespaces import LINKS
from campaigns.wording.blocks import Brand
from campaigns.wording.letters import escaped, letter
from campaigns.wording.letters import sources as block_sources
from campaigns.wording.parts import offer_use, offers_in, reach, snippet_use, snippets_in, texts_of
from channels.vocabulary import Button, TemplateCall

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent
#: Wall-clock time for one item, after which the child is killed; and for the child to start.
ITEM_WALL_S, START_WALL_S = 1.9, 15.0
#: Bytes of one batch on its way to the child.
BATCH_MAX = 32_000_000


class RenderFailed(RapportError):
    """It cannot be rendered for this person.

    `code`: syntax, forbidden, undefined, too_slow, too_large, failed; unavailable when there is no renderer.
    """

    def __init__(self, code: str, message: str, *, part: str = "", line: int | None = None) -> None:
        super().__init__(message, code=code)
        self.part = part
        self.line = line


@dataclass(frozen=True)
class RenderItem:
    """One person's message: a dumped `InlineContent`, the namespaces, the person's language and zone."""

    content: Mapping[str, Any]
    context: Mapping[str, Any]
    locale: str | None = None
    zone: str | None = None


class Shelf(Protocol):
    """What templates share."""

    async def brand(self) -> Brand:
        """How letters look."""
        ...

    async def snippets(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """Those named, and those that stand in them: key → `{html, text, locales}`. Unknown ones are left out."""
        ...


class EmptyShelf:
    """No look of one's own, no snippets."""

    async def brand(self) -> Brand:
        """The plain one."""
        return Brand()

    async def snippets(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """None."""
        return {}


@dataclass(frozen=True)
class _Shared:
    """What was taken from the shelf for one batch."""

    brand: Brand
    snippets: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Personal:
    """What a content shows that is made for each person alone: codes of these offers, and whether links of theirs."""

    offers: frozenset[str]
    links: bool


@dataclass
class _Batch:
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: (wording, language) → the key of its parts.
    keys: dict[tuple[int, str], str] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)


class Renderer:
    """One child per process, started when first needed and again after it was killed. Batches queue up."""

    def __init__(
        self, *, project_zone: str = "UTC", default_locale: str = "en", shelf: Shelf | None = None
    ) -> None:  # fmt: skip
        self._shelf = shelf or EmptyShelf()
        self._project_zone = project_zone
        self._default_locale = default_locale
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def render(self, item: RenderItem, *, strict: bool = False) -> Rendered:
        """One message. Raises `RenderFailed`. `strict`: a name that does not exist is an error (preview, test)."""
        answer = (await self.render_many([item], strict=strict))[0]
        if isinstance(answer, RenderFailed):
            raise answer
        return answer

    async def render_many(self, items: Sequence[RenderItem], *, strict: bool = False) -> list[Rendered | RenderFailed]:
        """One answer per item, in order; an item that fails, hangs or grows harms only itself."""
        known = {(id(item.content), item.locale): wording_for(item.content, item.locale) for item in items}
        chosen = [known[(id(item.content), item.locale)] for item in items]
        shared = await self._taken([wording for wording, _ in known.values()])
        batch = _Batch()
        for item, (wording, locale) in zip(items, chosen, strict=True):
            batch.items.append(self._asked(batch, item, wording, locale, shared))
        async with self._turn:
            answers = await self._answers(batch, strict)
        spoken = [
            locale or item.locale or self._default_locale for item, (_, locale) in zip(items, chosen, strict=True)
        ]
        return [
            _assembled(answer, locale, shared.brand, language)
            for answer, (_, locale), language in zip(answers, chosen, spoken, strict=True)
        ]

    async def _taken(self, wordings: Sequence[Mapping[str, Any]]) -> _Shared:
        named = snippets_in(*(text for wording in wordings for text in texts_of(wording)))
        blocks = any(wording.get("blocks") for wording in wordings)
        return _Shared(
            await self._shelf.brand() if blocks else Brand(), await self._shelf.snippets(named) if named else {}
        )

    async def offers_in(self, contents: Sequence[Mapping[str, Any]]) -> list[frozenset[str]]:
        """For each content the keys of the offers whose codes it shows, in its snippets too."""
        return [each.offers for each in await self.personal_in(contents)]

    async def personal_in(self, contents: Sequence[Mapping[str, Any]]) -> list[Personal]:
        """For each content what in it is made for each person alone, in its snippets too. The same content is looked
        through once, however often it is given."""
        named = {id(content): (content, list(texts_of(content))) for content in contents}
        keys = {place: snippets_in(*texts) for place, (_, texts) in named.items()}
        wanted = set().union(*keys.values())
        snippets = await self._shelf.snippets(wanted) if wanted else {}
        inside = {key: list(texts_of(each)) for key, each in snippets.items()}
        found: dict[int, Personal] = {}
        for place, (content, texts) in named.items():
            reached = reach(keys[place], lambda key: snippets_in(*inside.get(key, ())))
            whole = [*texts, *(text for key in reached for text in inside.get(key, ()))]
            found[place] = Personal(frozenset(offers_in(*whole)), has_blocks(content) or names_links(whole))
        return [found[id(content)] for content in contents]

    async def named_in(self, content: Mapping[str, Any]) -> list[str]:
        """Snippets, those in them too, and offers that a content shows, as they are called among uses."""
        own = snippets_in(*texts_of(content))
        snippets = await self._shelf.snippets(own) if own else {}
        reached = reach(own, lambda key: snippets_in(*texts_of(snippets.get(key, {}))))
        (offers,) = await self.offers_in([content])
        return sorted([*(snippet_use(key) for key in reached), *(offer_use(key) for key in offers)])

    async def check(self, content: Mapping[str, Any]) -> None:
        """Raise `WrongInput` with a path for every wording that cannot be read or uses what is forbidden."""
        faults = []
        wordings = [
            ("", dict(content)),
            *((f"locales.{name}.", own) for name, own in content.get("locales", {}).items()),
        ]
        for path, wording in wordings:
            alone = {**wording, "locales": {}}
            answer = (await self.render_many([RenderItem(alone, {})]))[0]
            if isinstance(answer, RenderFailed) and answer.code != "undefined":
                at = f" (line {answer.line})" if answer.line else ""
                faults.append(FieldError(f"{path}{answer.part}", f"{answer}{at}"))
        if faults:
            raise WrongInput("The template has faults.", faults)

    async def close(self) -> None:
        """Stop the child."""
        async with self._turn:
            await self._kill()

    def _asked(
        self, batch: _Batch, item: RenderItem, wording: Mapping[str, Any], locale: str | None, shared: _Shared
    ) -> dict[str, Any]:  # fmt: skip
        language = locale or item.locale or self._default_locale
        key = batch.keys.get((id(wording), language))
        if key is None:
            parts = _parts(wording, shared, language)
            key = batch.keys[(id(wording), language)] = hashlib.sha256(orjson.dumps(parts)).hexdigest()
            batch.templates.setdefault(key, parts)
        return {
            "template": key, "context": item.context, "locale": language, "zone": item.zone,
            "project_zone": self._project_zone,
        }  # fmt: skip

    async def _answers(self, batch: _Batch, strict: bool) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        while len(answers) < len(batch.items):
            left = batch.items[len(answers) :]
            answers += await self._some_answers(batch.templates, left, strict)
        return answers

    async def _some_answers(
        self, templates: Mapping[str, Any], items: Sequence[Mapping[str, Any]], strict: bool
    ) -> list[dict[str, Any]]:
        """Answers from the front of `items`: all of them, or up to and with the one that cost the child its life."""
        try:
            line = orjson.dumps({"templates": templates, "items": items, "strict": strict}, default=str) + b"\n"
        except (TypeError, ValueError):
            return [_failure("failed", "The data for this template cannot be used.")] * len(items)
        if len(line) > BATCH_MAX and len(items) > 1:
            return await self._some_answers(templates, items[: len(items) // 2], strict)
        child = await self._started()
        writing = asyncio.create_task(_write(child, line))
        answers: list[dict[str, Any]] = []
        try:
            while len(answers) < len(items):
                answers.append(await self._one_answer(child))
                if _is_fatal(answers[-1]):
                    break
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            if len(answers) < len(items) or _is_fatal(answers[-1]):  # or answers nobody reads would still come
                await self._kill()
        return answers

    async def _one_answer(self, child: asyncio.subprocess.Process) -> dict[str, Any]:
        if child.stdout is None:
            raise RuntimeError("the child was started without a pipe")
        try:
            line = await asyncio.wait_for(child.stdout.readline(), ITEM_WALL_S)
        except TimeoutError:
            return _failure("too_slow", "The template takes too long.")
        except ValueError:  # a line longer than the reader's limit
            return _failure("too_large", "The result is too long.")
        if not line:
            return _failure("too_large", "The template needs too much memory.")
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def _started(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "campaigns.render_child",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                cwd=ROOT, env=_surroundings(), limit=8_000_000,
            )  # fmt: skip
            await self._ready(self._child)
        return self._child

    async def _ready(self, child: asyncio.subprocess.Process) -> None:
        """The first answer takes as long as an interpreter needs to start; items are timed only after it."""
        ask = {"templates": {"": {}}, "items": [{"template": "", "context": {}}], "strict": False}
        try:
            await _write(child, orjson.dumps(ask) + b"\n")
            async with asyncio.timeout(START_WALL_S):
                if child.stdout is not None and await child.stdout.readline():
                    return
        except TimeoutError:
            log.warning("the renderer did not start in time")
        await self._kill()
        raise RenderFailed("unavailable", "Templates cannot be rendered at the moment.")

    async def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            try:
                child.kill()
            except ProcessLookupError:
                pass  # it was just gone
        await child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _surroundings() -> dict[str, str]:
    """Nothing of ours but where the code is, and where its byte code is kept: compiling takes half of a start."""
    kept = {"PYTHONPYCACHEPREFIX": sys.pycache_prefix} if sys.pycache_prefix else {}
    return {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **kept}


async def _write(child: asyncio.subprocess.Process, line: bytes) -> None:
    if child.stdin is None:
        return
    try:
        child.stdin.write(line)
        await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # it died; the missing answer says so


def has_blocks(content: Mapping[str, Any]) -> bool:
    """Whether any language of it is made of blocks, whose footer holds links."""
    return any(each.get("blocks") for each in (content, *(content.get("locales") or {}).values()))


def names_links(texts: Iterable[str]) -> bool:
    """Whether a template may show one of the links that are made for each person."""
    return any(name in text for text in texts for name in LINKS)


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "line": None, "part": ""}, "fatal": True}


def _is_fatal(answer: Mapping[str, Any]) -> bool:
    return bool(answer.get("fatal")) or (answer.get("error") or {}).get("code") == "too_large"


def _parts(wording: Mapping[str, Any], shared: _Shared, language: str) -> dict[str, dict[str, Any]]:
    """The sources by name. HTML is escaped as such; all else is plain text."""
    found = _sources(wording, shared.brand)
    made: dict[str, dict[str, Any]] = {}
    for name, (source, markup) in found.items():
        made[name] = {"source": source, "markup": markup}
        if snippets_in(source):
            made[name]["snippets"] = {
                key: snippet_source(each, language, markup=markup) for key, each in shared.snippets.items()
            }
    return made


def snippet_source(snippet: Mapping[str, Any], language: str, *, markup: bool) -> str:
    """The words of a snippet in the closest language; plain ones become HTML where HTML is written."""
    chosen = closest_locale(language, tuple(snippet.get("locales") or ()))
    own = snippet["locales"][chosen] if chosen else snippet
    if not markup:
        return str(own.get("text") or (plain_text(own["html"]) if own.get("html") else ""))
    return str(own.get("html") or escaped(own.get("text") or "").replace("\n", "<br>\n"))


def _sources(wording: Mapping[str, Any], brand: Brand) -> dict[str, tuple[str, bool]]:
    body = wording.get("body")
    sources: dict[str, tuple[str, bool]] = {}
    if wording.get("subject"):
        sources["subject"] = (wording["subject"], False)
    if wording.get("blocks"):
        sources |= block_sources(wording["blocks"], brand)
    elif body:
        sources["body"] = (body, looks_like_html(body))
    if wording.get("text"):
        sources["text"] = (wording["text"], False)
    for place, button in enumerate(wording.get("buttons") or ()):
        for name in ("title", "payload", "url"):
            if button.get(name):
                sources[f"buttons[{place}].{name}"] = (button[name], False)
    approved = wording.get("whatsapp") or {}
    for name in ("name", "language"):
        if approved.get(name):
            sources[f"whatsapp.{name}"] = (approved[name], False)
    for name in ("header", "body", "buttons"):
        for place, source in enumerate(approved.get(name) or ()):
            sources[f"whatsapp.{name}[{place}]"] = (source, False)
    return sources


def _assembled(
    answer: Mapping[str, Any], locale: str | None, brand: Brand, language: str
) -> Rendered | RenderFailed:  # fmt: skip
    error = answer.get("error")
    if error:
        part = error["part"].removesuffix(".text") if error["part"].startswith("blocks[") else error["part"]
        return RenderFailed(error["code"], error["message"], part=part, line=error["line"])
    parts: Mapping[str, str] = answer["parts"]
    body, text = parts.get("body", ""), parts.get("text")
    if "blocks[0]" in parts:
        subject = one_line(parts.get("subject", ""))
        body, made = letter(parts, brand, title=subject, language=language.replace("_", "-"))
        text = made if text is None else text
    markup = looks_like_html(body)
    return Rendered(
        subject=one_line(parts["subject"]) if "subject" in parts else None,
        html=body if markup else (as_html(body) if body else None),
        text=(text if text is not None else (plain_text(body) if markup else body)).strip(),
        buttons=_buttons(parts),
        whatsapp=_approved(parts),
        locale=locale,
        warnings=tuple(answer["missing"]),
    )


def _buttons(parts: Mapping[str, str]) -> tuple[Button, ...]:
    made, place = [], 0
    while f"buttons[{place}].title" in parts:
        at = f"buttons[{place}]"
        made.append(Button(title=parts[f"{at}.title"], payload=parts.get(f"{at}.payload"), url=parts.get(f"{at}.url")))
        place += 1
    return tuple(made)


def _approved(parts: Mapping[str, str]) -> TemplateCall | None:
    if "whatsapp.name" not in parts:
        return None
    lists = {}
    for name in ("header", "body", "buttons"):
        found, place = [], 0
        while f"whatsapp.{name}[{place}]" in parts:
            found.append(parts[f"whatsapp.{name}[{place}]"])
            place += 1
        lists[name] = tuple(found)
    return TemplateCall(name=parts["whatsapp.name"], language=parts.get("whatsapp.language", "en"), **lists)
