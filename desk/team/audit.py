"""Who did and saw what: a row for each change, each look at a customer and each coming in. Names of fields, no values.

Pure, but for `AuditBook`. Which request is told of, and how, is here; `desk/auditing.py` hangs it into the application.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from base.clock import Clock
from base.ids import PREFIXES, new_id
from base.mongo import Document
from base.pages import Page
from desk.team.store import AuditStore

log = logging.getLogger(__name__)

Kind = Literal["change", "look", "sign_in"]
KINDS: tuple[Kind, ...] = ("change", "look", "sign_in")
ID = re.compile(r"[a-z]{3}_[0-9a-z]{26}")
#: Prefixes of what is a customer, or shows one: looking at it is told of.
SHOWS_CUSTOMERS = frozenset({"prf", "cnv", "msg", "ord", "exp", "dos", "fil", "enr"})
#: The doors of coming in.
SIGN_INS = frozenset({"entrance.sign_in", "entrance.welcome", "entrance.give_code", "entrance.oidc_back"})
#: What changes nothing although it is posted.
CHANGES_NOTHING = frozenset({
    "notifications.seen", "composing.typing", "composing.save_draft", "composing.look", "save_draft", "delete_draft",
    "template_editor.letter", "snippets.letter",
    "score.effect", "tiers.effect",
    "preview_segment", "preview_score_rules", "preview_tiers", "check_template", "render_template",
    "render_canned_reply", "canned.begin", "canned.put_in", "try_automation_rule", "try_channel_replies",
})  # fmt: skip
#: What programs bring all day long: the timeline and the orders say where each came from.
BROUGHT_BY_PROGRAMS = frozenset({"track_events", "upsert_profile", "record_order"})
ABOUT_MAX, FIELDS_MAX, FIELD_LETTERS = 20, 40, 60
#: The same look by the same person within this time is one, seconds: pages look again by themselves.
LOOK_AGAIN_S = 600
LOOKS_KEPT = 20_000
_ADDRESS = re.compile(r"@|\d[\d ()/-]{5,}\d")


@dataclass(frozen=True)
class Act:
    """What a request was. `ids`: in its path; `fields`: names of what was sent."""

    kind: Kind
    what: str
    area: str
    by: str | None
    by_kind: str
    session: str | None
    address: str
    outcome: int
    ids: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


def kind_of(method: str, what: str, by_kind: str | None, ids: Iterable[str], outcome: int, query: str) -> Kind | None:
    """Whether a request is told of, and as what; None: it is not. Pure.

    `by_kind`: user, token, or None for nobody; `query`: what was searched for.
    """
    if what in SIGN_INS and (method == "POST" or what == "entrance.oidc_back"):
        return "sign_in" if outcome != 429 else None  # who is held up already fills no books
    if by_kind is None:
        return None
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        brought = by_kind == "token" and what in BROUGHT_BY_PROGRAMS
        return None if what in CHANGES_NOTHING or brought else "change"
    if method != "GET" or not (outcome < 300 or outcome == 403):
        return None
    shows = any(each[:3] in SHOWS_CUSTOMERS for each in ids)
    return "look" if shows or names_somebody(query) else None


def names_somebody(query: str) -> bool:
    """Whether a search is for an address or a number, and so for one person. Pure."""
    return _ADDRESS.search(query) is not None


def ids_in(texts: Iterable[str]) -> tuple[str, ...]:
    """All ids of ours in some texts, each once, in their order. Pure."""
    found = dict.fromkeys(each for text in texts for each in ID.findall(text) if each[:3] in PREFIXES)
    return tuple(found)[:ABOUT_MAX]


def area_of(path: str) -> str:
    """Which part of the house a path is in: `profiles`, `settings/people`. Pure."""
    parts = [each for each in path.removeprefix("/api/v1").split("/") if each]
    if parts[:1] == ["settings"] and len(parts) > 1:
        return "/".join(parts[:2])
    return parts[0] if parts else ""


#: Ids of conversations → those of their people.
People = Callable[[Sequence[str]], Awaitable[Mapping[str, Document]]]


class AuditBook:
    """Writes rows and reads them."""

    def __init__(self, store: AuditStore, clock: Clock, talks: People) -> None:
        """`talks`: rows of conversations by their ids."""
        self._store = store
        self._clock = clock
        self._talks = talks
        self._looks: dict[tuple[str | None, str, tuple[str, ...]], float] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def note(self, act: Act) -> None:
        """Keep it: a change before its answer goes out, a look soon after. What cannot be kept is logged, for the
        change itself has happened."""
        if act.kind != "look":
            await self._keep(act)
        elif self._is_new(act):
            task = asyncio.create_task(self._keep(act))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def page(
        self, *, by: str | None = None, about: str | None = None, kind: Kind | None = None, what: str | None = None,
        since: datetime | None = None, until: datetime | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Rows, newest first, as far as they fit."""
        wanted = {"by": by, "about": about, "kind": kind, "what": what}
        given = {name: value for name, value in wanted.items() if value is not None}
        return await self._store.page(given, since=since, until=until, limit=limit, cursor=cursor)

    async def idle(self) -> None:
        """Return when all looks are kept."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    def _is_new(self, act: Act) -> bool:
        """Not the same again within a while. In this process alone: a second row does no harm."""
        now, key = time.monotonic(), (act.by, act.area, act.ids)
        if now - self._looks.get(key, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return False
        if len(self._looks) >= LOOKS_KEPT:
            self._looks = {each: at for each, at in self._looks.items() if now - at < LOOK_AGAIN_S / 2}
        self._looks[key] = now
        return True

    async def _keep(self, act: Act) -> None:
        try:
            await self._store.add(await self._row(act))
        except Exception:
            told = {"what": act.what, "by": act.by, "about": act.ids, "outcome": act.outcome}
            log.exception("a row of the audit could not be kept", extra=told)

    async def _row(self, act: Act) -> Document:
        people = [each for each in act.ids if each.startswith("prf_")]
        talks = [each for each in act.ids if each.startswith("cnv_")]
        if talks and not people:
            people = [row["profile_id"] for row in (await self._talks(talks)).values() if row.get("profile_id")]
        fields = sorted({each[:FIELD_LETTERS] for each in act.fields})[:FIELDS_MAX]
        return {
            "_id": new_id("aud"), "at": self._clock(), "kind": act.kind, "what": act.what, "area": act.area,
            "by": act.by, "by_kind": act.by_kind, "session": act.session, "address": act.address,
            "outcome": act.outcome, "about": list(act.ids), "profile_ids": people, "changed": fields,
        }  # fmt: skip
