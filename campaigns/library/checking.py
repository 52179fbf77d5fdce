"""Checks a template as it would be sent: filled in strictly in every language, looked at, and its links asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from base.errors import WrongInput
from base.http import HttpClient, HttpFailed
from campaigns.contents import Kind, Rendered
from campaigns.library.checks import N_, Finding, findings, links_of
from campaigns.templates import SAMPLE_LINKS, Templates
from channels.registry import Registry
from channels.store import ChannelStore

#: Links asked at once and in all; seconds for one.
AT_ONCE, LINKS_MAX, LINK_S = 5, 30, 6.0
#: Answers of a page that is there but not for programs.
_THERE = frozenset({401, 403, 405, 406, 429, 999})


class Checker:
    """The use case."""

    def __init__(self, templates: Templates, channels: ChannelStore, registry: Registry, http: HttpClient) -> None:
        self._templates = templates
        self._channels = channels
        self._registry = registry
        self._http = http

    async def check(
        self, kind: Kind, content: Mapping[str, Any], profile_id: str | None = None,
        context: Mapping[str, Any] | None = None, *, reach: bool = False,
    ) -> list[Finding]:  # fmt: skip
        """All there is to say, the worst first. `reach`: links are asked whether somebody answers there."""
        able = [
            (each.name, self._registry.get(each.provider).capabilities)
            for each in await self._channels.list()
            if self._registry.get(each.provider).card.kind != "email"
        ]
        found: list[Finding] = []
        links: dict[str, None] = {}
        for locale in (None, *(content.get("locales") or ())):
            alone = content if locale else {**content, "locales": {}}
            try:
                rendered = await self._templates.preview(alone, profile_id, context, locale=locale)
            except WrongInput as error:
                found += [_fault(each.path, each.message, locale) for each in error.errors]
                continue
            found += findings(kind, content, rendered, able, sample_links=SAMPLE_LINKS.values())
            links |= dict.fromkeys(_asked(rendered))
        if reach:
            found += await self._unreachable(list(links)[:LINKS_MAX])
        unique = {(each.code, each.part, each.sentence): each for each in found}
        order = {"error": 0, "warning": 1, "hint": 2}
        return sorted(unique.values(), key=lambda each: order[each.level])

    async def _unreachable(self, links: Sequence[str]) -> list[Finding]:
        turn = asyncio.Semaphore(AT_ONCE)

        async def ask(link: str) -> Finding | None:
            async with turn:
                why = await self._why_not(link)
            text = N_("Nobody answers at %(link)s: %(why)s")
            values = {"link": link[:200], "why": why or ""}
            return Finding("error", "link_unreachable", text, values=values) if why else None

        return [each for each in await asyncio.gather(*map(ask, links)) if each is not None]

    async def _why_not(self, link: str) -> str | None:
        try:
            answer = await self._http.request("HEAD", link, timeout_s=LINK_S)
            if answer.status in (405, 501):
                answer = await self._http.request("GET", link, timeout_s=LINK_S)
        except HttpFailed as failed:
            return None if failed.reason == "too_large" else str(failed)
        fine = answer.status < 400 or answer.status in _THERE
        return None if fine else str(answer.status)


def _asked(rendered: Rendered) -> list[str]:
    samples = set(SAMPLE_LINKS.values())
    return [each for each in links_of(rendered) if each.startswith(("http://", "https://")) and each not in samples]


def _fault(path: str, message: str, locale: str | None) -> Finding:
    part = f"locales.{locale}.{path}" if locale else path
    return Finding("error", "cannot_be_filled_in", N_("%(fault)s"), part, values={"fault": message})
