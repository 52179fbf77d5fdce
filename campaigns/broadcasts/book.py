"""What people and programs do with broadcasts: write, review, start, pause, resume, cancel, try again, look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import orjson

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.ids import is_id, new_id
from base.mongo import Document
from base.pages import Page
from campaigns.broadcasts.figures import counts_of, results_of
from campaigns.broadcasts.heads import begins_at, broadcast_of, wording
from campaigns.broadcasts.minding import Minder
from campaigns.broadcasts.models import REST, Broadcast, Late, Local, check_draft, must_read
from campaigns.broadcasts.places import Places
from campaigns.broadcasts.source import UNDECIDED
from campaigns.broadcasts.store import BroadcastStore, WaveStore
from campaigns.broadcasts.timing import first_turn
from campaigns.broadcasts.winner import figures_of
from campaigns.store import TemplateStore
from campaigns.wallclock import zone_or
from inbox.models import Send
from inbox.store import MailingStore, SendStore
from profiles.store.segments import SegmentStore

Status = Literal["draft", "scheduled", "running", "paused", "done", "cancelled"]
Wish = Literal["draft", "scheduled", "running", "paused", "cancelled"]
#: How often a change is tried again because somebody else wrote the same broadcast.
ROUNDS = 6
RETRIED = ("failed", "unknown")


@dataclass(frozen=True)
class Figures:
    """What a broadcast has come to: exact counts, its waves, and the winner if one was looked for."""

    counts: Mapping[str, Any]
    waves: Sequence[Document]
    trial: Sequence[Mapping[str, object]]


class Broadcasts:
    """The use cases. Rows are those of `BroadcastStore`."""

    def __init__(
        self, store: BroadcastStore, waves: WaveStore, mailings: MailingStore, sends: SendStore, places: Places,
        minder: Minder, templates: TemplateStore, segments: SegmentStore, feed: Feed, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._waves = waves
        self._mailings = mailings
        self._sends = sends
        self._places = places
        self._minder = minder
        self._templates = templates
        self._segments = segments
        self._feed = feed
        self._clock = clock

    # -- writing -----------------------------------------------------------------------------------------------

    async def create(self, body: Mapping[str, Any], by: str | None = None) -> Document:
        """A new draft. Things may be missing; what is wrong raises `WrongInput` with its path."""
        check_draft(body)
        return await self._store.add(body, by)

    async def patch(
        self, broadcast_id: str, changes: Mapping[str, Any], by: str | None = None, *, rev: int | None = None
    ) -> Document:
        """Replace the top-level fields given (null takes one away). Raises `Conflict` once it has left the draft, and
        with `rev` when somebody saved since."""
        for _ in range(ROUNDS):
            head = await self.get(broadcast_id)
            if head["status"] != "draft":
                raise Conflict("Only a draft can be changed; bring it back to a draft first.", code="not_a_draft")
            if rev is not None and head["rev"] != rev:
                raise _changed_meanwhile()
            body = {name: value for name, value in {**head["body"], **changes}.items() if value is not None}
            check_draft(body)
            saved = await self._store.change(head, {"body": body, "updated_by": by})
            if saved is not None:
                return saved
        raise _contended()

    # -- looking -----------------------------------------------------------------------------------------------

    async def get(self, broadcast_id: str) -> Document:
        """One. Raises `NotFound`."""
        head = await self._store.get(broadcast_id) if is_id(broadcast_id, "brd") else None
        if head is None:
            raise NotFound("There is no such broadcast.")
        return head

    async def page(
        self, *, status: str | None = None, channels: Sequence[str] | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Newest first, with the figures as they were counted last. `channels`: only those that use one of them."""
        return await self._store.page(status=status, channels=channels, limit=limit, cursor=cursor)

    async def figures(self, broadcast_id: str) -> Figures:
        """Counted now, in the index of the ledger. Raises `NotFound`."""
        head = await self.get(broadcast_id)
        counts = counts_of(await self._mailings.tally(broadcast_id))
        trial = broadcast_of(head).ab if head["status"] != "draft" else None
        results = figures_of(results_of(trial, counts)) if trial else []
        return Figures(counts, await self._waves.of(broadcast_id), results)

    async def recipients(
        self, broadcast_id: str, *, state: str | None = None, reason: str | None = None, arm: str | None = None,
        channels: Sequence[str] | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> Page[Send]:  # fmt: skip
        """Everybody the broadcast was about, newest row first: the ledger's rows. Raises `NotFound`."""
        await self.get(broadcast_id)
        return await self._sends.page(
            source_kind="broadcast", source_id=broadcast_id, state=state, reason=reason, arm=arm, channels=channels,
            limit=limit, cursor=cursor,
        )  # fmt: skip

    # -- reviewing ---------------------------------------------------------------------------------------------

    async def begin_review(self, broadcast_id: str) -> Document:
        """Count in the background who would get it and who not, for what the draft says now. Raises `NotFound`,
        `WrongInput` with what is still missing, `Conflict` once it was started."""
        head = await self.get(broadcast_id)
        if head["status"] not in ("draft", "scheduled"):
            raise Conflict("It has been started: its figures tell who gets it.", code="started")
        await self._checked(must_read(head["body"]))
        known = await self._waves.review(broadcast_id)
        if known is not None and known["rev"] == head["rev"] and known["state"] == "pending":
            return known
        return await self._waves.renew_review(broadcast_id, head["rev"])

    async def review(self, broadcast_id: str) -> Document | None:
        """How far it is, or what it found; None when nobody asked. `rev` tells of which revision."""
        await self.get(broadcast_id)
        return await self._waves.review(broadcast_id)

    # -- running -----------------------------------------------------------------------------------------------

    async def set_status(
        self, broadcast_id: str, wish: Wish, by: str | None = None, *, overdue: Late = "send_now",
        grace: timedelta = timedelta(), rev: int | None = None,
    ) -> Document:  # fmt: skip
        """Schedule, start at once, pause, resume, cancel, or bring back to a draft what was not begun. The same status
        again changes nothing.

        `grace`: nothing is begun before so long has passed, so that it can be brought back to a draft.
        On resume `overdue` says what becomes of those whose own time came during the pause (only with local times).
        `rev`: only what was read is begun or stopped, not what somebody saved since.
        Raises `WrongInput` with every fault of a draft, `Conflict` where it is too late or was changed meanwhile.
        """
        if wish not in get_args(Wish):
            sentence = f"is one of {', '.join(get_args(Wish))}"
            raise WrongInput("There is no such status.", [FieldError("status", sentence)])
        for _ in range(ROUNDS):
            head = await self.get(broadcast_id)
            if head["status"] == wish:
                return head
            if rev is not None and head["rev"] != rev:
                raise _changed_meanwhile()
            fields = await self._step(head, wish, overdue, grace)
            changed = await self._store.change(head, {**fields, "updated_by": by})
            if changed is not None:
                return await self._followed(changed)
        raise _contended()

    async def _step(self, head: Document, wish: Wish, overdue: Late, grace: timedelta) -> Document:
        now, status = self._clock(), head["status"]
        if wish == "draft":
            if status != "scheduled":
                raise Conflict("Only what was not begun can be brought back to a draft.", code="begun")
            return {"status": "draft", "start_at": None, "decide_at": None, "pinned": None}
        if wish == "cancelled":
            if status in ("done", "cancelled"):
                raise Conflict("It is over; nothing is left to be cancelled.", code="over")
            return {"status": wish, "ended_at": now, "moving": {"do": "end", "at": now}, "active": True}
        if wish == "paused":
            if status != "running":
                raise Conflict("Only a broadcast that is running can be paused.", code="not_running")
            moving = {"do": "hold", "at": now}
            return {
                "status": wish, "paused_at": now, "paused_by": "person", "paused_because": None, "paused_figures": None,
                "moving": moving,
            }  # fmt: skip
        if status == "paused":
            return await self._resumed(head, wish, overdue, now)
        if status in ("draft", "scheduled"):
            return await self._scheduled(head, now, at_once=wish == "running", grace=grace)
        raise Conflict("It is over; ask for newcomers or for another attempt instead.", code="over")

    async def _resumed(self, head: Document, wish: Wish, overdue: Late, now: datetime) -> Document:
        if wish != "running":
            raise Conflict("It was begun already; resume it with running.", code="begun")
        if overdue != "send_now" and not isinstance(broadcast_of(head).schedule, Local):
            sentence = "has a meaning only where people are written to at their own local time"
            raise WrongInput("Nothing is overdue here.", [FieldError("overdue", sentence)])
        counts = counts_of(await self._mailings.tally(head["_id"]))
        ring = [{"at": now, "failed": counts["lost"], "ended": counts["ended"]}]
        release = {"do": "release", "at": now, "overdue": overdue}
        return {
            "status": "running", "paused_at": None, "paused_by": None, "paused_because": None,
            "paused_figures": None, "moving": release,
            "release": release, "ring": ring, "active": True,
        }  # fmt: skip

    async def _scheduled(self, head: Document, now: datetime, *, at_once: bool, grace: timedelta) -> Document:
        broadcast = must_read(head["body"])
        await self._checked(broadcast)
        start = first_turn(broadcast, now)
        if at_once and not isinstance(broadcast.schedule, Local):
            start = now
        start = max(start, now + grace)
        decide_at = None
        if broadcast.ab is not None and broadcast.ab.decide_after is not None:
            zone, _ = zone_or(None, self._places.project_zone)
            decide_at = broadcast.ab.decide_after.after(start, zone)
        templates = await self._templates.many(broadcast.template_ids)
        return {
            "status": "scheduled", "start_at": start, "decide_at": decide_at, "active": True,
            "not_before": now + grace,
            "pinned": _pinned(broadcast, templates) if broadcast.is_pinned else None,
            "has_approved": any(row["content"].get("whatsapp") for row in templates.values()),
        }  # fmt: skip

    async def _followed(self, head: Document) -> Document:
        """What can be done at once is not left to the clockwork."""
        if head["status"] == "scheduled" and begins_at(head) <= self._clock():
            head = await self._minder.begin(head) or await self.get(head["_id"])
        await self._feed.append([Notice("broadcast.updated", {"broadcast_id": head["_id"]})])
        return head

    async def late_people(self, broadcast: Broadcast, limit: int) -> tuple[int, bool]:
        """How many live where their time is past already if it began now, and whether these are all; looks at `limit`
        people at most."""
        if not isinstance(broadcast.schedule, Local):
            return 0, True
        return await self._places.late(broadcast, self._clock(), limit)

    # -- once more ---------------------------------------------------------------------------------------------

    async def retry(self, broadcast_id: str, by: str | None = None, *, unknown: bool = False) -> Document:
        """Another attempt for everybody whose last one failed; with `unknown` also where nobody knows whether the
        message came, so that some may get it twice. The wave that does it. Raises `NotFound`, `Conflict`."""
        states = list(RETRIED if unknown else RETRIED[:1])
        return await self._another(broadcast_id, "retry", by, states=states, until=new_id("snd"))

    async def newcomers(self, broadcast_id: str, by: str | None = None) -> Document:
        """Send it to those who have come into the audience since. The wave that does it. Raises as `retry`,
        and `WrongInput` when something that it names is gone."""
        await self._checked(broadcast_of(await self.get(broadcast_id)))
        return await self._another(broadcast_id, "newcomers", by)

    async def _another(self, broadcast_id: str, kind: str, by: str | None, **more: Any) -> Document:
        for _ in range(ROUNDS):
            head = await self.get(broadcast_id)
            if head["status"] not in ("running", "done"):
                raise Conflict("This is possible while it runs and when it is done.", code="not_begun")
            if not await self._waves.all_done(broadcast_id):
                raise Conflict("People are still being gone through; try again in a moment.", code="planning")
            number = head["waves"] + 1
            wave = await self._waves.add(broadcast_id, number, kind, by=by, **more)
            counts = counts_of(await self._mailings.tally(broadcast_id))
            ring = [{"at": self._clock(), "failed": counts["lost"], "ended": counts["ended"]}]
            fields = {"status": "running", "waves": number, "active": True, "ended_at": None, "ring": ring}
            if await self._store.change(head, {**fields, "updated_by": by}) is not None:
                return wave
        raise _contended()

    async def choose(self, broadcast_id: str, arm: str, by: str | None = None) -> Document:
        """Say which wording the rest gets, before or instead of the automatic decision. The first word stands."""
        for _ in range(ROUNDS):
            head = await self.get(broadcast_id)
            trial = broadcast_of(head).ab if head["status"] in ("running", "paused") else None
            if trial is None or not trial.has_sample:
                raise Conflict("Nobody waits for a winner in this broadcast.", code="no_trial")
            if head["winner"] is not None:
                raise Conflict("The winner is known already.", code="decided")
            if arm not in [each.name for each in trial.arms]:
                raise WrongInput("There is no such arm.", [FieldError("arm", "names an arm of this broadcast")])
            results = results_of(trial, counts_of(await self._mailings.tally(broadcast_id)))
            winner = {
                "arm": arm, "why": "chosen", "certain": False, "sentence": f"{arm} was chosen by hand.",
                "at": self._clock(), "by": by, "figures": figures_of(results),
            }  # fmt: skip
            decided = await self._store.change(head, {"winner": winner, "updated_by": by})
            if decided is not None:
                await self._mailings.release(broadcast_id, UNDECIDED, self._clock())
                if not isinstance(broadcast_of(head).schedule, Local):  # their own times stay
                    await self._mailings.hurry(broadcast_id, REST, max(self._clock(), head["start_at"]))
                return decided
        raise _contended()

    # -- checking ----------------------------------------------------------------------------------------------

    async def _checked(self, broadcast: Broadcast) -> None:
        """What it names must be there. Raises `WrongInput`."""
        faults: list[FieldError] = []
        there = {road.channel_id for road in await self._places.roads(broadcast)}
        for place, channel_id in enumerate(broadcast.channel_ids):
            if channel_id not in there:
                faults.append(FieldError(f"channel_ids[{place}]", "names no channel that is connected and can send"))
        existing = await self._templates.existing(broadcast.template_ids)
        if broadcast.template_ids - existing:
            faults.append(FieldError("template_id", "names a template that is not there"))
        asked = self._places.segments_of(broadcast)
        known = {row["_id"] for row in await self._segments.many(asked)}
        if asked - known:
            faults.append(FieldError("audience", f"names a segment that is not there: {sorted(asked - known)[0]}"))
        elif unbuilt := asked - (await self._segments.live_keys(asked)).keys():
            sentence = f"the members of {sorted(unbuilt)[0]} are still being found; try again in a moment"
            faults.append(FieldError("audience", sentence))
        if faults:
            raise WrongInput("This broadcast cannot be started yet.", faults)


def _pinned(broadcast: Broadcast, templates: Mapping[str, Document]) -> str:
    """Arm (empty: the broadcast's own) → what it says, as JSON text."""
    names = ["", *(arm.name for arm in (broadcast.ab.arms if broadcast.ab else ()))]
    made = {name: wording(broadcast, name or None, templates) for name in names}
    return orjson.dumps({name: content for name, content in made.items() if content is not None}).decode()


def _changed_meanwhile() -> Conflict:
    return Conflict("Somebody else has changed this broadcast meanwhile.", code="changed_meanwhile")


def _contended() -> Conflict:
    return Conflict("This broadcast is being changed too often just now; please try again.", code="contended")
