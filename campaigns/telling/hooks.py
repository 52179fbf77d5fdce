"""The way to an address of one's own: a post that Slack and what speaks like it show as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from base.clock import Clock, iso
from base.http import HttpClient, HttpFailed
from base.mongo import Document
from base.secret_box import SecretLost
from campaigns.telling.carrying import Outcome, Said
from campaigns.telling.choosing import Choices
from campaigns.telling.models import Reader

TIMEOUT_S, READ_MAX = 15.0, 100_000
#: Takes a text, and refuses a post with anything else in it.
SLACK = "hooks.slack.com"
#: Statuses after which the same post may be taken later.
PASSING = frozenset({408, 425, 429})


class HookCarrier:
    """Posts."""

    def __init__(self, choices: Choices, http: HttpClient, clock: Clock, *, base_url: str) -> None:
        self._choices = choices
        self._http = http
        self._clock = clock
        self._base_url = base_url

    async def carry(self, person: Reader, said: Said, telling: Document) -> Outcome:
        """As `campaigns.telling.carrying.Carrier`."""
        try:
            url = await self._choices.hook_url(person.id)
        except SecretLost:
            return Outcome("failed", "secret_lost")
        if url is None:
            return Outcome("skipped", "switched_off")
        body = orjson.dumps(posted(url, said, telling, self._base_url))
        headers = {"Content-Type": "application/json", "webhook-id": telling["_id"]}
        try:
            reply = await self._http.request(
                "POST", url, headers=headers, data=body, timeout_s=TIMEOUT_S, max_bytes=READ_MAX
            )
        except HttpFailed as failed:
            return Outcome("again" if failed.is_passing else "failed", failed.reason)
        if 200 <= reply.status < 300:
            return Outcome("done")
        passing = reply.status >= 500 or reply.status in PASSING
        after = reply.asks_again_at(self._clock())
        return Outcome("again" if passing else "failed", f"http {reply.status}", after=after)


def posted(url: str, said: Said, telling: Document, base_url: str) -> Mapping[str, Any]:
    """The body: `text` for people, and for others what it is about. Pure."""
    address = f"{base_url}{said.path}"
    if urlsplit(url).hostname == SLACK:
        return {"text": "\n".join([*map(for_slack, said.lines), address])}
    text = "\n".join([*said.lines, address])
    return {"id": telling["_id"], "text": text, "title": said.title, "url": address, "at": iso(telling["created_at"])}


def for_slack(line: str) -> str:
    """A line as Slack shows it, whatever a customer calls themselves: no link and no call to everybody comes of it
    (https://api.slack.com/reference/surfaces/formatting#escaping, read 2026-11-29). Pure."""
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
