"""Broadcasts: one message to many people, written, reviewed, started, watched, tried again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from base.mongo import Document
from campaigns.broadcasts.book import Status, Wish
from campaigns.broadcasts.models import Late, must_read
from desk.api.contract import Call, Operations, Reply, not_there
from desk.api.scope import must_see_person, refuse_scoped, seen_ids
from desk.api.sends import SendView, send_view
from desk.api.shapes import Body, PageQuery, Patch, ProfileId, Time, View, listed
from inbox.models import SendState

operations = Operations("broadcasts")

#: People looked at while those are counted for whom it is too late; more would keep the caller waiting.
LATE_LOOKED_AT = 50_000
ArmName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,20}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]


class BroadcastFields(Body):
    """A broadcast as its author writes it. `audience`: segments, a rule, and who is left out."""

    name: str = Field("", max_length=120)
    description: str = Field("", max_length=2000)
    channel_ids: list[str] = Field(default_factory=list, max_length=20, description="Tried in this order.")
    template_id: str | None = Field(None, max_length=40)
    content: dict[str, Any] | None = None
    audience: dict[str, Any] | None = Field(
        None, examples=[{"segment_ids": [], "rule": {"field": "tags", "op": "any_of", "value": ["tea"]}, "exclude": {}}]
    )
    send_class: Literal["marketing", "transactional", "service"] = Field("marketing", alias="class")
    group: str | None = Field(None, max_length=60, description="The consent group it belongs to.")
    schedule: dict[str, Any] | None = Field(
        None, examples=[{"type": "local", "date": "2026-12-05", "time": "09:00", "late": "next_day"}]
    )
    rate: dict[str, Any] | None = Field(None, examples=[{"per_minute": 600}])
    ramp: list[int] | None = Field(None, max_length=100, description="How many on the first day, on the second …")
    ab: dict[str, Any] | None = Field(
        None,
        examples=[
            {"arms": [{"name": "a"}, {"name": "b"}], "metric": "clicked", "sample_percent": 20, "decide_after": "PT4H"}
        ],
    )
    holdout_percent: int = Field(0, ge=0, le=90)
    quiet_hours: dict[str, Any] | None = Field(None, examples=[{"from": "21:00", "to": "08:00", "zone": "profile"}])
    on_quiet: Literal["defer", "skip"] = "defer"
    on_cap: Literal["defer", "skip"] = "defer"
    recheck: bool = Field(False, description="Whether each must still be in the audience when their turn comes.")
    wording: Literal["latest", "pinned"] = "latest"
    utm: dict[str, Any] | None = Field(
        None, examples=[{"campaign": "spring", "term": "-"}],
        description="Added to links in place of what the workspace says; `-` adds nothing.",
    )  # fmt: skip

    def written(self) -> dict[str, Any]:
        """What the author wrote, under the names of the contract."""
        named = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return {named[name]: value for name, value in self.given().items() if name != "rev"}


class BroadcastPatch(Patch, BroadcastFields):
    """Top-level fields to replace in the draft; null takes one away. With `rev` nobody's work is overwritten."""

    rev: int | None = Field(None, ge=1, le=2**31)


class BroadcastStatusInput(Body):
    """`overdue`: what becomes, on resume, of those whose own local time came during the pause. `rev`: of what was
    read; 409 when somebody has saved since."""

    status: Wish
    overdue: Late = "send_now"
    rev: int | None = Field(None, ge=1, le=2**31)


class TestInput(Body):
    """Who gets it: ids of colleagues, mail addresses, ids of allowed people; and as whom it is written."""

    to: list[Annotated[str, StringConstraints(min_length=3, max_length=320)]] = Field(min_length=1, max_length=20)
    profile_id: ProfileId | None = None
    arm: ArmName | None = None


class RetryInput(Body):
    """`unknown`: also where nobody knows whether the message came; some may then get it twice."""

    unknown: bool = False


class WinnerInput(Body):
    """The wording that the rest gets."""

    arm: ArmName


class TestersInput(Body):
    """Mail addresses and ids of people to whom tests may go, beside all colleagues."""

    addresses: list[Annotated[str, StringConstraints(min_length=3, max_length=320)]] = Field(max_length=200)


class BroadcastQuery(PageQuery):
    """Narrows the list."""

    status: Status | None = None


class RecipientQuery(PageQuery):
    """Narrows the list. `reason`: the code of why somebody got nothing."""

    state: SendState | None = None
    reason: Code | None = None
    arm: ArmName | None = None


class WinnerView(View):
    """Which wording won, and why: `won`, `too_small`, `draw` or `chosen`."""

    arm: str
    why: str
    certain: bool
    sentence: str
    at: Time
    by: str | None
    figures: list[dict[str, Any]]


class BroadcastView(View):
    """A broadcast. `counts` are exact, of people: as they were counted last in lists, of this moment for one alone;
    null for a caller who may not see all of its channels."""

    id: str
    name: str
    status: Status
    definition: dict[str, Any]
    rev: int
    counts: dict[str, Any] | None
    start_at: Time | None
    started_at: Time | None
    paused_at: Time | None
    paused_by: str | None
    paused_because: str | None
    ended_at: Time | None
    decide_at: Time | None
    winner: WinnerView | None
    created_by: str | None
    created_at: Time
    updated_at: Time


class StartedView(BroadcastView):
    """`late`: for how many it is too late where they live, by what the schedule says of them; `late_at_least`: not
    everybody was looked at."""

    late: int
    late_at_least: bool


class WaveView(View):
    """People were gone through: `first`, `newcomers` or `retry`. `seen` of `total`; `again` were tried once more, and
    for `left` there is no address to try any more."""

    number: int
    kind: str
    state: Literal["pending", "done"]
    seen: int
    total: int
    again: int | None
    left: int | None
    at: Time
    done_at: Time | None


class BroadcastDetail(BroadcastView):
    """With its waves and what each wording has come to."""

    waves: list[WaveView]
    arms: list[dict[str, Any]]


class ReviewView(View):
    """Who would get it and who not, by reason, with up to five of each. Exact for everybody looked at so far; `stale`:
    the draft has changed since."""

    state: Literal["pending", "done"]
    seen: int
    total: int
    stale: bool
    people: int
    gets: int
    late: int
    skipped: dict[str, int]
    reasons: dict[str, str]
    channels: dict[str, int]
    arms: dict[str, int]
    samples: dict[str, list[str]]
    at: Time


class TestedView(View):
    """How many tests are on their way."""

    sends: int


class TestersView(View):
    """Where tests may go."""

    addresses: list[str]


def _sees_all(call: Call, head: Document) -> bool:
    return all(call.principal.may_see(each) for each in head["channel_ids"])


def _shown(call: Call, head: Document, counts: Any = None) -> dict[str, Any]:
    fields = {name: head.get(name) for name in BroadcastView.model_fields}
    known = head["counts"] if counts is None else counts
    return {**fields, "id": head["_id"], "definition": head["body"], "counts": known if _sees_all(call, head) else None}


def broadcast_view(call: Call, head: Document) -> BroadcastView:
    """As people and programs see it."""
    return BroadcastView.model_validate(_shown(call, head))


def wave_view(wave: Document) -> WaveView:
    """As people and programs see it."""
    return WaveView.model_validate({name: wave.get(name) for name in WaveView.model_fields})


async def _seen(call: Call) -> Document:
    """The broadcast of the path. What uses none of the caller's channels is not there."""
    head: Document = await call.runtime.broadcasts.get(call.path["id"])
    channels = head["channel_ids"]
    if call.principal.channels is not None and not any(call.principal.may_see(each) for each in channels):
        raise not_there()
    return head


async def _mine(call: Call) -> Document:
    """The same for a change: a broadcast is about everybody, so who is limited to some channels only looks."""
    head = await _seen(call)
    refuse_scoped(call)
    return head


@operations("GET", "/broadcasts", roles=["viewer"], query=BroadcastQuery, returns=list[BroadcastView])
async def list_broadcasts(call: Call) -> Any:
    """List broadcasts, newest first."""
    wanted: BroadcastQuery = call.query
    found = await call.runtime.broadcasts.page(
        status=wanted.status, channels=call.principal.reach, limit=wanted.limit,
        cursor=wanted.cursor,
    )  # fmt: skip
    return listed(found, [broadcast_view(call, each) for each in found.data])


@operations("POST", "/broadcasts", roles=["marketer"], body=BroadcastFields, returns=BroadcastView, status=201)
async def create_broadcast(call: Call) -> Any:
    """Write a new broadcast. Things may still be missing; what is wrong is refused with its path.

    A broadcast is about everybody: who is limited to some channels may neither write nor change, start nor stop one.
    """
    refuse_scoped(call)
    return broadcast_view(call, await call.runtime.broadcasts.create(call.body.written(), call.principal.id))


@operations("GET", "/broadcasts/test-list", roles=["marketer"], returns=TestersView)
async def list_testers(call: Call) -> Any:
    """Where tests may go, beside all colleagues."""
    refuse_scoped(call)
    return TestersView(addresses=await call.runtime.broadcast_tests.allowed())


@operations("PUT", "/broadcasts/test-list", roles=["admin"], body=TestersInput, returns=TestersView)
async def replace_testers(call: Call) -> Any:
    """Say where tests may go, beside all colleagues."""
    refuse_scoped(call)
    kept = await call.runtime.broadcast_tests.allow(call.body.addresses, call.principal.id)
    return TestersView(addresses=kept)


@operations("GET", "/broadcasts/{id:brd}", roles=["viewer"], returns=BroadcastDetail)
async def get_broadcast(call: Call) -> Any:
    """One broadcast with its figures of this moment."""
    head = await _seen(call)
    figures = await call.runtime.broadcasts.figures(head["_id"])
    whole = _sees_all(call, head)
    return BroadcastDetail.model_validate(
        {
            **_shown(call, head, figures.counts), "waves": [wave_view(each) for each in figures.waves],
            "arms": list(figures.trial) if whole else [],
        }
    )  # fmt: skip


@operations("PATCH", "/broadcasts/{id:brd}", roles=["marketer"], body=BroadcastPatch, returns=BroadcastView)
async def change_broadcast(call: Call) -> Any:
    """Change a draft. 409 `not_a_draft` for any other."""
    head, body = await _mine(call), call.body
    changed = await call.runtime.broadcasts.patch(head["_id"], body.written(), call.principal.id, rev=body.rev)
    return broadcast_view(call, changed)


@operations("PUT", "/broadcasts/{id:brd}/status", roles=["marketer"], body=BroadcastStatusInput, returns=StartedView)
async def set_broadcast_status(call: Call) -> Any:
    """Schedule, start at once, pause, resume, cancel, or bring back to a draft what was not begun.

    A pause or an end reaches every worker with its next message; nobody is repeated or left out by it.
    """
    head, wanted = await _mine(call), call.body
    begins = head["status"] in ("draft", "scheduled") and wanted.status in ("scheduled", "running")
    late, complete = 0, True
    if begins:
        late, complete = await call.runtime.broadcasts.late_people(must_read(head["body"]), LATE_LOOKED_AT)
    changed = await call.runtime.broadcasts.set_status(
        head["_id"], wanted.status, call.principal.id, overdue=wanted.overdue, rev=wanted.rev
    )
    return StartedView.model_validate({**_shown(call, changed), "late": late, "late_at_least": not complete})


@operations("POST", "/broadcasts/{id:brd}/review", roles=["marketer"], returns=ReviewView, status=202)
async def begin_broadcast_review(call: Call) -> Any:
    """Count in the background who would get it, and who not and why. Ask again with GET."""
    head = await _mine(call)
    wave = await call.runtime.broadcasts.begin_review(head["_id"])
    return Reply(_review_view(wave, head), 202)


@operations("GET", "/broadcasts/{id:brd}/review", roles=["marketer"], returns=ReviewView)
async def get_broadcast_review(call: Call) -> Any:
    """What the review has found so far. 404 when none was asked for."""
    head = await _mine(call)
    wave = await call.runtime.broadcasts.review(head["_id"])
    if wave is None:
        raise not_there()
    return _review_view(wave, head)


def _review_view(wave: Document, head: Document) -> ReviewView:
    found = wave["found"]
    blank: dict[str, Any] = {"people": 0, "gets": 0, "late": 0}
    blank |= {name: {} for name in ("skipped", "reasons", "channels", "arms", "samples")}
    fields = {name: wave[name] for name in ("state", "seen", "total", "at")}
    return ReviewView.model_validate({**blank, **found, **fields, "stale": wave["rev"] != head["rev"]})


@operations("POST", "/broadcasts/{id:brd}/test", roles=["marketer"], body=TestInput, returns=TestedView, status=202)
async def test_broadcast(call: Call) -> Any:
    """Send it to colleagues or allowed addresses, marked as a test. Counts nowhere. 403 `not_allowed` for others."""
    head, wanted = await _mine(call), call.body
    as_profile = await must_see_person(call, wanted.profile_id) if wanted.profile_id else None
    sent = await call.runtime.broadcast_tests.send(
        head["_id"], wanted.to, as_profile=as_profile, arm=wanted.arm, key=call.idempotency_key
    )
    return Reply(TestedView(sends=sent), 202)


@operations("GET", "/broadcasts/{id:brd}/recipients", roles=["viewer"], query=RecipientQuery, returns=list[SendView])
async def list_recipients(call: Call) -> Any:
    """List everybody it was about, with what became of it; who got nothing stands there with the reason.

    For a caller limited to channels a page may hold fewer than `limit`.
    """
    head = await _seen(call)
    wanted: RecipientQuery = call.query
    found = await call.runtime.broadcasts.recipients(
        head["_id"], state=wanted.state, reason=wanted.reason, arm=wanted.arm,
        channels=call.principal.reach, limit=wanted.limit, cursor=wanted.cursor,
    )  # fmt: skip
    seen = await seen_ids(call, {each.profile_id for each in found.data})
    return listed(found, [send_view(each) for each in found.data if each.profile_id in seen])


@operations("POST", "/broadcasts/{id:brd}/retry", roles=["marketer"], body=RetryInput, returns=WaveView, status=202)
async def retry_broadcast(call: Call) -> Any:
    """Try once more whom the last attempt failed to reach, and nobody else."""
    head = await _mine(call)
    wave = await call.runtime.broadcasts.retry(head["_id"], call.principal.id, unknown=call.body.unknown)
    return Reply(wave_view(wave), 202)


@operations("POST", "/broadcasts/{id:brd}/newcomers", roles=["marketer"], returns=WaveView, status=202)
async def send_to_newcomers(call: Call) -> Any:
    """Send it to those who have come into the audience since it was planned."""
    head = await _mine(call)
    return Reply(wave_view(await call.runtime.broadcasts.newcomers(head["_id"], call.principal.id)), 202)


@operations("POST", "/broadcasts/{id:brd}/winner", roles=["marketer"], body=WinnerInput, returns=BroadcastView)
async def choose_winner(call: Call) -> Any:
    """Say which wording the rest gets, before or instead of the automatic decision. The first word stands."""
    head = await _mine(call)
    return broadcast_view(call, await call.runtime.broadcasts.choose(head["_id"], call.body.arm, call.principal.id))
