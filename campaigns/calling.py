"""Calls to addresses outside, each under a key of its own, signed, repeated while that helps.

Journeys make them (the key is that of the visit; the run goes on with the answer) and automation does, whose calls are
written when they are planned and answer to nobody.

Calls are duties of their own and are made side by side: an address that answers slowly has its own few places, and
nobody waits behind it, neither other calls nor the runs that walk. What is posted is written down before the first
try, so that every try says the same. Who dies in the middle of a call leaves it to the next, which repeats it under
the same `Idempotency-Key`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from base.clock import Clock
from base.http import HttpClient, HttpFailed, HttpReply
from base.mongo import Document
from base.side_by_side import SideBySide
from base.signing import standard_headers
from campaigns.bells import Ringer
from campaigns.facts import Ask, FactReader
from campaigns.filling import NothingToFill, filled, filled_address, has_names, lone_name
from campaigns.live import LiveJourneys
from campaigns.models import WebhookStep
from campaigns.namespaces import LINKS, context_of
from campaigns.render import Renderer, RenderFailed, RenderItem
from campaigns.store import CallStore, EnrolmentStore
from campaigns.store.enrolments import is_live, run_of
from profiles.models import storable

#: Tries of one call, and how long after each failure the next one comes. All of them within a day.
TRIES = 6
BACKOFF = (timedelta(seconds=30), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=8))
#: Answers that may be others tomorrow.
TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
#: Bytes of an answer that are kept, and that are read at most.
ANSWER_MAX, READ_MAX = 32_000, 1_000_000
#: A call of a paused journey is looked at again after this.
PAUSED_FOR = timedelta(seconds=30)
#: Texts of one body that are templates.
LEAVES_MAX = 200


class Secrets(Protocol):
    """Knows what calls are signed with."""

    async def signing(self) -> list[str]:
        """The secrets in use, the newest first; while one is exchanged there are two."""
        ...


class Caller:
    """Drains due calls."""

    def __init__(
        self, store: CallStore, runs: EnrolmentStore, live: LiveJourneys, facts: FactReader, renderer: Renderer,
        http: HttpClient, secrets: Secrets, doorbell: Ringer, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._runs = runs
        self._live = live
        self._facts = facts
        self._renderer = renderer
        self._http = http
        self._secrets = secrets
        self._doorbell = doorbell
        self._clock = clock
        self._calls = SideBySide(store.by_host, self._called, self._worn_out)

    async def drain(self, limit: int) -> int:
        """Begin as many due calls as there is room for; how many. Does not wait for slow answers."""
        return await self._calls.drain(limit)

    async def idle(self) -> None:
        """Wait for the calls under way."""
        await self._calls.idle()

    async def close(self) -> None:
        """Give up what is under way; it is due again when its lease ends."""
        await self._calls.close()

    # -- one call ----------------------------------------------------------------------------------------------

    async def _worn_out(self, row: Document) -> None:
        await self._settle(row, "failed", {"code": "crashed"})

    async def _called(self, row: Document) -> None:
        if "enrolment_id" not in row:
            await self._posted(row, row["timeout_s"], row["address"], row["body"].encode())
            return
        run, step = await self._standing(row)
        if run is None or step is None:
            await self._store.settle(row, "cancelled", {"said": {"code": "run_over"}})
            return
        if run["state"] == "held" or (await self._live.now()).statuses.get(row["journey_id"]) == "paused":
            await self._store.put_off(row, self._clock() + PAUSED_FOR, {})
            return
        body, address = row.get("body"), row.get("address") or step.url
        if body is None:
            written = await self._written(row, run, step)
            if isinstance(written, str):
                await self._settle(row, "failed", {"code": "template_failed", "detail": written[:300]})
                return
            body, address = written
            if not await self._store.hold(row, {"body": body, "address": address}):
                return
        await self._posted(row, step.timeout_s, address, body.encode())

    async def _standing(self, row: Document) -> tuple[Document | None, WebhookStep | None]:
        """The run, if it still waits for this call, and its step."""
        run = await self._runs.get(row["enrolment_id"])
        if run is None or not is_live(run) or (run["node"], run["visit"]) != (row["node"], row["visit"]):
            return None, None
        definition = await self._live.definition(row["journey_id"], row["version"])
        step = definition.by_id.get(row["node"]) if definition else None
        return run, step if isinstance(step, WebhookStep) else None

    async def _posted(self, row: Document, timeout_s: float, address: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json", **await self._signed(row["key"], body)}
        try:
            reply = await self._http.request(
                "POST", address, headers=headers, data=body, timeout_s=timeout_s, max_bytes=READ_MAX
            )
        except HttpFailed as failed:
            await self._failed(row, {"code": failed.reason, "detail": str(failed)[:300]}, failed.is_passing, None)
            return
        if 200 <= reply.status < 300:
            await self._settle(row, "done", *answer_of(reply))
        else:
            said = {"code": "status", "status": reply.status}
            await self._failed(row, said, reply.status in TEMPORARY, reply.asks_again_at(self._clock()))

    async def _signed(self, key: str, body: bytes) -> dict[str, str]:
        return {
            "Idempotency-Key": key, **standard_headers(await self._secrets.signing(), key, self._clock(), body),
        }  # fmt: skip

    async def _failed(self, row: Document, said: Mapping[str, Any], passing: bool, not_before: datetime | None) -> None:
        tries, now = row["tries"] + 1, self._clock()
        again = next_try(tries, row["created_at"], now, not_before) if passing else None
        if again is None:
            await self._settle(row, "failed", said, tries=tries)
        else:
            await self._store.put_off(row, again, {"tries": tries, "said": dict(said)})

    async def _settle(
        self, row: Document, state: str, said: Mapping[str, Any], answer: Any = None, *, tries: int | None = None
    ) -> None:
        counted = tries if tries is not None else row["tries"] + 1
        fields = {"said": {**said, "tries": counted}, "answer": answer, "tries": counted}
        if await self._store.settle(row, state, fields) and "enrolment_id" in row:
            here = {"_id": row["enrolment_id"], "node": row["node"], "visit": row["visit"], "wait.kind": "call"}
            await self._runs.poke([(here, self._clock())])
            await self._doorbell.ring("advance")

    # -- what is posted ----------------------------------------------------------------------------------------

    async def _written(self, row: Document, run_row: Document, step: WebhookStep) -> tuple[str, str] | str:
        """The body as it will go out and the address it goes to, or why they cannot be written."""
        definition = await self._live.definition(row["journey_id"], row["version"])
        if definition is None:
            return "The version of the journey can no longer be read."
        run = run_of(run_row)
        facts = (await self._facts.read([Ask(run, definition, frozenset({"profile", "order"}))]))[run.id]
        names = {name: value for name, value in context_of(facts, run, definition, {}).items() if name not in LINKS}
        try:
            address = filled_address(step.url, names)
        except NothingToFill as nothing:
            return str(nothing)
        if step.body is None:
            kept = {"type": "journey.webhook", "timestamp": self._clock(), "data": {**names, "run_id": run.id}}
            return orjson.dumps(kept, default=str).decode(), address
        leaves = [leaf for leaf in _leaves(step.body) if has_names(leaf) and lone_name(leaf) is None]
        leaves += [leaf for leaf in _leaves(step.body) if "{%" in leaf and leaf not in leaves]
        profile = facts.profile
        items = [
            RenderItem({"text": leaf}, names, profile.get("locale"), profile.get("time_zone"))
            for leaf in dict.fromkeys(leaves[:LEAVES_MAX])
        ]
        made = await self._renderer.render_many(items) if items else []
        failed = next((each for each in made if isinstance(each, RenderFailed)), None)
        if failed is not None:
            return str(failed)
        texts = {str(item.content["text"]): each.text for item, each in zip(items, made, strict=True)}  # type: ignore[union-attr]
        return orjson.dumps(_replaced(step.body, texts, names), default=str).decode(), address


def next_try(tries: int, begun: datetime, now: datetime, not_before: datetime | None) -> datetime | None:
    """When a call that failed so often is tried again, spread a little; None: not any more."""
    if tries >= TRIES:
        return None
    wait = BACKOFF[tries - 1] * random.uniform(0.8, 1.2)
    again = max(now + wait, not_before or now)
    return again if again <= begun + timedelta(days=1) else None


def answer_of(reply: HttpReply) -> tuple[dict[str, Any], Any]:
    """What is said of an answer, and what is kept of it: JSON of at most `ANSWER_MAX` bytes."""
    said: dict[str, Any] = {"status": reply.status}
    if not reply.body.strip():
        return said, None
    if len(reply.body) > ANSWER_MAX:
        return {**said, "not_kept": "too_large"}, None
    answer = storable(reply.json())
    return (said, answer) if answer is not None else ({**said, "not_kept": "no_json"}, None)


def _leaves(value: Any) -> list[str]:
    """All texts inside."""
    if isinstance(value, str):
        return [value]
    inside: Sequence[Any] = (
        list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    )
    return [leaf for each in inside for leaf in _leaves(each)]


def _replaced(value: Any, texts: Mapping[str, str], names: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return texts[value] if value in texts else filled(value, names)
    if isinstance(value, Mapping):
        return {name: _replaced(inside, texts, names) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inside, texts, names) for inside in value]
    return value
