"""What delivery asks before a journey's send goes out, and tells after it: all is judged once more, on fresh data.

The order: does the run still stand at this step, is the journey paused or the step stopped, has the goal been reached
or an exit condition come true (an order paid, cancelled or refunded in the meantime is seen here, whichever of the
person's identities it came by), is the address barred (suppressed, no consent, out of reach), is the person in the
control group. Then the message is rendered with today's values, delivery asks for the channel's rules, and then the
rules of the house are asked: quiet hours, caps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from base.clock import Clock
from base.mongo import Document
from campaigns.bells import Ringer
from campaigns.effects import KIND
from campaigns.engine import goal_or_exit
from campaigns.facts import Ask, FactReader
from campaigns.interest import needs
from campaigns.live import LiveJourneys
from campaigns.models import Definition, SendStep
from campaigns.namespaces import context_of
from campaigns.policies.gate import HouseRules
from campaigns.policies.models import Wishes
from campaigns.policies.stopping import StepBreaker
from campaigns.run import Facts, Finish, Need, RunState
from campaigns.store import EnrolmentStore, JourneyStore, TemplateStore
from campaigns.store.enrolments import is_live, run_of
from campaigns.validate import is_pinned
from campaigns.writing import Letter, MessageWriter
from channels.vocabulary import OutboundMessage
from inbox.models import Send
from inbox.sources import Answer, Defer, Prepared, Skip
from profiles.models import Identity
from profiles.store import ProfileStore

#: A send of a paused journey is looked at again after this; a resume waits at most so long.
PAUSED_FOR = timedelta(seconds=30)

_OVER = "The run is over, so this message is not needed any more."
_ELSEWHERE = "The run has moved on, so this message is not needed any more."
_STOPPED = "Too many messages of this step failed, so its sends are stopped; they go on when somebody resumes them."
_HELD_OUT = Skip("holdout", "The person is in the control group and gets no message.")
_REASONS: Mapping[str, str] = {
    "goal": "The goal of the journey has been reached, so this message is not needed any more.",
    "exit_condition": "The journey's exit condition came true, so this message is not needed any more.",
}


@dataclass(frozen=True)
class _Case:
    """One send with its run."""

    send: Send
    run: RunState
    definition: Definition
    step: SendStep
    facts: Facts
    version: int


class JourneySource:
    """The `SendSource` of journeys."""

    kind = KIND

    def __init__(
        self, journeys: JourneyStore, store: EnrolmentStore, live: LiveJourneys, facts: FactReader,
        templates: TemplateStore, profiles: ProfileStore, writer: MessageWriter, doorbell: Ringer, clock: Clock,
        rules: HouseRules, breaker: StepBreaker,
    ) -> None:  # fmt: skip
        self._journeys = journeys
        self._store = store
        self._live = live
        self._facts = facts
        self._templates = templates
        self._profiles = profiles
        self._writer = writer
        self._doorbell = doorbell
        self._clock = clock
        self._rules = rules
        self._breaker = breaker

    async def prepare(
        self, sends: Sequence[Send], barred: Mapping[str, Skip], now: datetime
    ) -> Mapping[str, Answer]:  # fmt: skip
        """One answer per send: may it go, and with which words. What the version asks of the rules of the house rides
        along, so that nobody has to look for the run once more."""
        answers, standing = await self._judged(sends, now)
        going = []
        for case in standing:
            no = barred.get(case.send.id) or (_HELD_OUT if case.run.holdout else None)
            if no is None:
                going.append(case)
            else:
                answers[case.send.id] = no
        identities = await self._profiles.identities(case.send.identity_id for case in going)
        wishes = {send.id: wished for send, wished in _wished(going)}
        found = answers | await self._written(going, identities, now)
        return {
            send_id: replace(answer, known=wishes[send_id]) if isinstance(answer, Prepared) else answer
            for send_id, answer in found.items()
        }

    async def house_rules(
        self, sends: Sequence[Send], now: datetime, known: Mapping[str, object]
    ) -> Mapping[str, Skip | Defer]:
        """Quiet hours and caps."""
        asked = [(send, wishes) for send in sends if isinstance(wishes := known.get(send.id), Wishes)]
        return await self._rules.objections(asked, now)

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """An order paid, an answer, a pause since `prepare`: writing the message and the calls before it take time."""
        answers, going = await self._judged(sends, now, to_write=False)
        return answers | await self._rules.taken(_wished(going), now)

    async def written_again(self, send: Send, now: datetime) -> OutboundMessage | None:
        """The message of that step with today's values, wherever the run has come to."""
        row = (await self._store.many([send.source.enrolment_id or ""])).get(send.source.enrolment_id or "")
        key = (row["journey_id"], row["version"]) if row else None
        definition = (await self._live.definitions({key})).get(key) if key else None
        step = definition.by_id.get(send.source.node_id or "") if definition else None
        if row is None or definition is None or not isinstance(step, SendStep):
            return None
        run = replace(run_of(row), node=step.id)
        facts = (await self._facts.read([Ask(run, definition, _needs(definition, run))]))[run.id]
        if not facts.profile:
            return None
        identities = await self._profiles.identities([send.identity_id])
        answer = (
            await self._written([_Case(send, run, definition, step, facts, row["version"])], identities, now)
        ).get(send.id)
        return answer.message if isinstance(answer, Prepared) else None

    async def settled(self, sends: Sequence[Send]) -> None:
        """The runs that wait for these sends go on. A lost call costs a run one re-check. Where too much fails, the
        step's sends stop."""
        now = self._clock()
        woken = await self._store.poke(
            [
                (
                    {
                        "_id": send.source.enrolment_id,
                        "node": send.source.node_id,
                        "visit": send.source.visit,
                        "wait.kind": "send",
                    },
                    now,
                )
                for send in sends
                if send.source.enrolment_id
            ]
        )
        if woken:
            await self._doorbell.ring("advance")
        await self._breaker.heard(sends, {send.source.id or "": str(send.content.get("journey", "")) for send in sends})

    # -- judging -----------------------------------------------------------------------------------------------

    async def _judged(
        self, sends: Sequence[Send], now: datetime, *, to_write: bool = True
    ) -> tuple[dict[str, Skip | Defer], list[_Case]]:
        """Those that must not go, with the reason, and those that may. `to_write` False: what is known of the person
        is read where a goal or an exit condition looks at it, else only whether there is one."""
        runs = await self._store.many(send.source.enrolment_id or "" for send in sends)
        statuses = await self._journeys.statuses(send.source.id or "" for send in sends)
        stopped = await self._breaker.stopped(sends)
        answers: dict[str, Skip | Defer] = {}
        standing: list[tuple[Send, Document]] = []
        for send in sends:
            row = runs.get(send.source.enrolment_id or "")
            answer = _standing(send, row, statuses.get(send.source.id or ""), now)
            if answer is None and send.id in stopped:
                answer = Defer(now + PAUSED_FOR, "step_stopped", _STOPPED)
            if answer is None and row is not None:
                standing.append((send, row))
            else:
                answers[send.id] = answer or Skip("run_over", _OVER)
        going = []
        for case in await self._cases(standing, answers, to_write=to_write):
            gate = self._gate(case, now)
            if gate is not None:
                answers[case.send.id] = gate
            else:
                going.append(case)
        return answers, going

    async def _cases(
        self, standing: Sequence[tuple[Send, Document]], answers: dict[str, Skip | Defer], *, to_write: bool
    ) -> list[_Case]:  # fmt: skip
        definitions = await self._live.definitions({(row["journey_id"], row["version"]) for _, row in standing})
        asks: list[Ask] = []
        alone: list[RunState] = []
        known = []
        for send, row in standing:
            definition = definitions[(row["journey_id"], row["version"])]
            step = definition.by_id.get(row["node"]) if definition else None
            if definition is None or not isinstance(step, SendStep):
                answers[send.id] = Skip("step_gone", "The step this message belongs to can no longer be read.")
                continue
            run = run_of(row)
            if to_write or definition.goal is not None or definition.exit_when is not None:
                asks.append(Ask(run, definition, _needs(definition, run)))
            else:
                alone.append(run)
            known.append((send, run, definition, step, row["version"]))
        facts = await self._facts.read(asks) if asks else {}
        there = await self._profiles.there(run.profile_id for run in alone) if alone else set()
        for run in alone:
            facts[run.id] = Facts(profile={"_id": run.profile_id} if run.profile_id in there else {})
        return [
            _Case(send, run, definition, step, facts[run.id], version) for send, run, definition, step, version in known
        ]

    def _gate(self, case: _Case, now: datetime) -> Skip | Defer | None:
        if not case.facts.profile:
            return Skip("profile_gone", "The person has been erased.")
        over = goal_or_exit(case.definition, case.run, case.facts, now)
        if over is not None:
            reason = over.reason if isinstance(over, Finish) else "goal"
            return Skip(reason, _REASONS[reason])
        return None

    # -- writing the message -----------------------------------------------------------------------------------

    async def _written(
        self, cases: Sequence[_Case], identities: Mapping[str, Identity], now: datetime
    ) -> dict[str, Answer]:
        contents = await self._contents(cases)
        letters = [
            Letter(
                case.send,
                contents[case.send.id],
                partial(context_of, case.facts, case.run, case.definition),
                case.facts.profile.get("locale"),
                case.facts.profile.get("time_zone"),
                identities.get(case.send.identity_id),
                case.step.template_id,
            )
            for case in cases
        ]
        return await self._writer.write(letters, now)

    async def _contents(self, cases: Sequence[_Case]) -> dict[str, Mapping[str, Any] | None]:
        """Send id → what it says: written in the step, published with the version, or the template of today."""
        wanted = {case.step.template_id for case in cases if case.step.template_id}
        templates = await self._templates.many(wanted)
        found: dict[str, Mapping[str, Any] | None] = {}
        written = {id(case.step): case.step.content.model_dump() for case in _one_of_each(cases) if case.step.content}
        for case in cases:
            if case.step.content is not None:
                found[case.send.id] = written[id(case.step)]
                continue
            named = case.step.template_id or ""
            row: Mapping[str, Any] | None = templates.get(named)
            if is_pinned(case.step, case.definition):
                row = (await self._live.wordings(case.run.journey_id, case.version)).get(named, row)
            found[case.send.id] = row["content"] if row else None
        return found


def _one_of_each(cases: Sequence[_Case]) -> Iterable[_Case]:
    """One case for each different step: those of one step say the same."""
    return {id(case.step): case for case in cases}.values()


def _standing(send: Send, row: Document | None, status: str | None, now: datetime) -> Skip | Defer | None:
    """Whether the run still waits for this send; None: it does."""
    if row is None or status is None or status == "archived" or not is_live(row):
        return Skip("run_over", _OVER)
    here = row["node"] == send.source.node_id and row["visit"] == send.source.visit
    wait = row.get("wait") or {}
    if not here or wait.get("kind") != "send" or send.channel_id not in wait["tried"][-1:]:
        return Skip("run_elsewhere", _ELSEWHERE)
    if status == "paused":
        return Defer(now + PAUSED_FOR, "journey_paused", "The journey is paused; it goes on when it is resumed.")
    if row.get("skip_next"):
        return Skip("overdue", "It was overdue when the journey was resumed, and late messages are not wanted.")
    return None


def _wished(cases: Sequence[_Case]) -> list[tuple[Send, Wishes]]:
    """What its author wants when the rules of the house speak against it."""
    return [
        (case.send, Wishes(case.definition.quiet_hours, case.send.content.get("if_quiet", "defer"),
                           case.send.content.get("if_capped", "defer")))
        for case in cases
    ]  # fmt: skip


def _needs(definition: Definition, run: RunState) -> frozenset[Need]:
    wanted: set[Need] = {"profile", *(need for need in needs(definition, run.node) if need != "candidates")}
    properties = (run.data.get("event") or {}).get("properties") or {}
    if properties.get("order_id") or properties.get("external_id"):
        wanted.add("order")
    return frozenset(wanted)
