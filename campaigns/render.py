"""Renders marketers' templates in a child process that can be killed: whatever they wrote, the worker lives on."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from base.errors import FieldError, RapportError, WrongInput
from campaigns.contents import Rendered, as_html, looks_like_html, one_line, plain_text, wording_for
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


@dataclass
class _Batch:
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)


class Renderer:
    """One child per process, started when first needed and again after it was killed. Batches queue up."""

    def __init__(self, *, project_zone: str = "UTC", default_locale: str = "en") -> None:
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
        chosen = [wording_for(item.content, item.locale) for item in items]
        batch = _Batch()
        for item, (wording, locale) in zip(items, chosen, strict=True):
            batch.items.append(self._asked(batch, item, wording, locale))
        async with self._turn:
            answers = await self._answers(batch, strict)
        return [_assembled(answer, locale) for answer, (_, locale) in zip(answers, chosen, strict=True)]

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

    def _asked(self, batch: _Batch, item: RenderItem, wording: Mapping[str, Any], locale: str | None) -> dict[str, Any]:
        parts = _parts(wording)
        key = hashlib.sha256(orjson.dumps(parts)).hexdigest()
        batch.templates.setdefault(key, parts)
        return {
            "template": key, "context": item.context, "locale": locale or item.locale or self._default_locale,
            "zone": item.zone, "project_zone": self._project_zone,
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
                cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}, limit=8_000_000,
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


async def _write(child: asyncio.subprocess.Process, line: bytes) -> None:
    if child.stdin is None:
        return
    try:
        child.stdin.write(line)
        await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # it died; the missing answer says so


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "line": None, "part": ""}, "fatal": True}


def _is_fatal(answer: Mapping[str, Any]) -> bool:
    return bool(answer.get("fatal")) or (answer.get("error") or {}).get("code") == "too_large"


def _parts(wording: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The sources by name. HTML is escaped as such; all else is plain text."""
    body = wording.get("body")
    sources: dict[str, tuple[str, bool]] = {}
    if wording.get("subject"):
        sources["subject"] = (wording["subject"], False)
    if body:
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
    return {name: {"source": source, "markup": markup} for name, (source, markup) in sources.items()}


def _assembled(answer: Mapping[str, Any], locale: str | None) -> Rendered | RenderFailed:
    error = answer.get("error")
    if error:
        return RenderFailed(error["code"], error["message"], part=error["part"], line=error["line"])
    parts: Mapping[str, str] = answer["parts"]
    body, text = parts.get("body", ""), parts.get("text")
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
