"""What delivery asks before a journey's send goes out, and tells after it: all is judged once more, on fresh data.

The order: does the run still stand at this step, is the journey paused, has the goal been reached or an exit condition
come true (an order paid, cancelled or refunded in the meantime is seen here, whichever of the person's identities it
came by), is the person in the control group, are these quiet hours. Then the message is rendered with today's values.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from base.clock import Clock
from base.mongo import Document
from campaigns.bells import Ringer
from campaigns.contents import Rendered, chat_message, mail_message
from campaigns.effects import KIND
from campaigns.engine import goal_or_exit
from campaigns.facts import Ask, FactReader
from campaigns.gates import quiet_until
from campaigns.interest import needs
from campaigns.live import LiveJourneys
from campaigns.models import Definition, SendStep
from campaigns.namespaces import context_of
from campaigns.render import Renderer, RenderFailed, RenderItem
from campaigns.run import Facts, Finish, Need, RunState
from campaigns.store import EnrolmentStore, JourneyStore, TemplateStore
from campaigns.store.enrolments import is_live, run_of
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from inbox.models import Send
from inbox.policy import Open, window
from inbox.sources import Answer, Defer, Prepared, Skip
from profiles.consent import MARKETING
from profiles.consent_links import ConsentLink, ConsentLinks
from profiles.models import Identity
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

#: A send of a paused journey is looked at again after this; a resume waits at most so long.
PAUSED_FOR = timedelta(seconds=30)
#: A template that took too long is tried again for this long: the machine may have been busy.
SLOW_FOR = timedelta(minutes=10)

_OVER = "The run is over, so this message is not needed any more."
_ELSEWHERE = "The run has moved on, so this message is not needed any more."
_REASONS: Mapping[str, str] = {
    "goal": "The goal of the journey has been reached, so this message is not needed any more.",
    "exit_condition": "The journey's exit condition came true, so this message is not needed any more.",
}


class Links(Protocol):
    """Makes the personal addresses a message may carry."""

    def for_send(self, send: Send) -> Mapping[str, str]:
        """`unsubscribe_url`, `preferences_url`, `view_in_browser_url`, as far as there are any."""
        ...


class NoLinks:
    """Where no public pages are served."""

    def for_send(self, send: Send) -> Mapping[str, str]:
        """None."""
        return {}


class PersonalLinks:
    """The way out of the mailing and to the preference centre, for the address a send goes to."""

    def __init__(self, links: ConsentLinks) -> None:
        self._links = links

    def for_send(self, send: Send) -> Mapping[str, str]:
        """Both name the send, so that the ledger knows which message a no came from."""
        purpose = str(send.content.get("purpose") or MARKETING)
        no = ConsentLink("unsubscribe", send.identity_id, purpose, send.id)
        choice = ConsentLink("preferences", send.identity_id, "", send.id)
        return {"unsubscribe_url": self._links.url(no), "preferences_url": self._links.url(choice)}


@dataclass(frozen=True)
class _Case:
    """One send with its run."""

    send: Send
    run: RunState
    definition: Definition
    step: SendStep
    facts: Facts


class JourneySource:
    """The `SendSource` of journeys."""

    kind = KIND

    def __init__(
        self, journeys: JourneyStore, store: EnrolmentStore, live: LiveJourneys, facts: FactReader,
        templates: TemplateStore, profiles: ProfileStore, channels: ChannelStore, registry: Registry,
        renderer: Renderer, doorbell: Ringer, clock: Clock, *, links: Links | None = None,
    ) -> None:  # fmt: skip
        self._journeys = journeys
        self._store = store
        self._live = live
        self._facts = facts
        self._templates = templates
        self._profiles = profiles
        self._channels = channels
        self._registry = registry
        self._renderer = renderer
        self._doorbell = doorbell
        self._clock = clock
        self._links = links or NoLinks()

    async def prepare(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Answer]:
        """One answer per send: may it go, and with which words."""
        answers, going = await self._judged(sends, now)
        identities = await self._profiles.identities(case.send.identity_id for case in going)
        return answers | await self._rendered(going, identities, now)

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """An order paid, an answer, a pause since `prepare`: writing the message and the calls before it take time."""
        answers, _ = await self._judged(sends, now)
        return answers

    async def settled(self, sends: Sequence[Send]) -> None:
        """The runs that wait for these sends go on. A lost call costs a run one re-check."""
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

    # -- judging -----------------------------------------------------------------------------------------------

    async def _judged(self, sends: Sequence[Send], now: datetime) -> tuple[dict[str, Skip | Defer], list[_Case]]:
        """Those that must not go, with the reason, and those that may."""
        runs = await self._store.many(send.source.enrolment_id or "" for send in sends)
        statuses = await self._journeys.statuses(send.source.id or "" for send in sends)
        answers: dict[str, Skip | Defer] = {}
        standing: list[tuple[Send, Document]] = []
        for send in sends:
            row = runs.get(send.source.enrolment_id or "")
            answer = _standing(send, row, statuses.get(send.source.id or ""), now)
            if answer is None and row is not None:
                standing.append((send, row))
            else:
                answers[send.id] = answer or Skip("run_over", _OVER)
        going = []
        for case in await self._cases(standing, answers):
            gate = self._gate(case, now)
            if gate is not None:
                answers[case.send.id] = gate
            else:
                going.append(case)
        return answers, going

    async def _cases(
        self, standing: Sequence[tuple[Send, Document]], answers: dict[str, Skip | Defer]
    ) -> list[_Case]:  # fmt: skip
        definitions = await self._live.definitions({(row["journey_id"], row["version"]) for _, row in standing})
        asks, known = [], []
        for send, row in standing:
            definition = definitions[(row["journey_id"], row["version"])]
            step = definition.by_id.get(row["node"]) if definition else None
            if definition is None or not isinstance(step, SendStep):
                answers[send.id] = Skip("step_gone", "The step this message belongs to can no longer be read.")
                continue
            run = run_of(row)
            asks.append(Ask(run, definition, _needs(definition, run)))
            known.append((send, run, definition, step))
        facts = await self._facts.read(asks)
        return [_Case(send, run, definition, step, facts[run.id]) for send, run, definition, step in known]

    def _gate(self, case: _Case, now: datetime) -> Skip | Defer | None:
        if not case.facts.profile:
            return Skip("profile_gone", "The person has been erased.")
        over = goal_or_exit(case.definition, case.run, case.facts, now)
        if over is not None:
            reason = over.reason if isinstance(over, Finish) else "goal"
            return Skip(reason, _REASONS[reason])
        if case.run.holdout:
            return Skip("holdout", "The person is in the control group and gets no message.")
        own_zone = case.facts.profile.get("time_zone")
        quiet = quiet_until(case.definition.quiet_hours, own_zone, self._facts.project_zone, now)
        return Defer(quiet, "quiet_hours", "It waits for the end of the quiet hours.") if quiet else None

    # -- writing the message -----------------------------------------------------------------------------------

    async def _rendered(
        self, cases: Sequence[_Case], identities: Mapping[str, Identity], now: datetime
    ) -> dict[str, Answer]:
        if not cases:
            return {}
        wanted = {case.step.template_id for case in cases if case.step.template_id}
        templates = await self._templates.many(wanted)
        answers: dict[str, Answer] = {}
        items: list[tuple[_Case, RenderItem]] = []
        for case in cases:
            content = self._content(case, templates)
            if content is None:
                answers[case.send.id] = Skip("template_gone", "The template of this message is not there any more.")
                continue
            profile = case.facts.profile
            context = context_of(case.facts, case.run, case.definition, self._links.for_send(case.send))
            items.append((case, RenderItem(content, context, profile.get("locale"), profile.get("time_zone"))))
        made = await self._renderer.render_many([item for _, item in items])
        for (case, _), rendered in zip(items, made, strict=True):
            if isinstance(rendered, RenderFailed):
                answers[case.send.id] = _not_rendered(case.send, rendered, now)
            else:
                if rendered.warnings:
                    log.info("empty values", extra={"send": case.send.id, "names": rendered.warnings})
                answers[case.send.id] = await self._message(case, rendered, identities.get(case.send.identity_id), now)
        return answers

    def _content(self, case: _Case, templates: Mapping[str, Document]) -> Mapping[str, Any] | None:
        if case.step.content is not None:
            return case.step.content.model_dump()
        row = templates.get(case.step.template_id or "")
        return row["content"] if row else None

    async def _message(self, case: _Case, rendered: Rendered, identity: Identity | None, now: datetime) -> Answer:
        opened = await self._channels.both(case.send.channel_id)
        if opened is None:
            return Skip("channel_gone", "The channel it was to be sent on is no longer connected.")
        adapter = self._registry.get(opened[0].provider)
        to = Address(channel_id=case.send.channel_id, external_id="?")  # delivery fills in the address of today
        if adapter.card.kind == "email":
            head = OutboundMail(subject="", list_unsubscribe_url=self._unsubscribe(case))
            return _checked(mail_message(rendered, case.send.send_key, to, head))
        able = adapter.capabilities_for(identity.external_id if identity else None)
        template = rendered.whatsapp if able.templates else None
        if template is not None and rendered.text and identity is not None:
            inside = isinstance(window(able, identity, now, automatic=True), Open)
            template = None if inside else template
        message = chat_message(rendered, case.send.send_key, to, able=able, template=template)
        return _checked(message)

    def _unsubscribe(self, case: _Case) -> str | None:
        """Order notices carry no way out of the mailing list: they are none."""
        if case.send.send_class != "marketing":
            return None
        return self._links.for_send(case.send).get("unsubscribe_url")


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


def _needs(definition: Definition, run: RunState) -> frozenset[Need]:
    wanted: set[Need] = {"profile", *(need for need in needs(definition, run.node) if need != "candidates")}
    properties = (run.data.get("event") or {}).get("properties") or {}
    if properties.get("order_id") or properties.get("external_id"):
        wanted.add("order")
    return frozenset(wanted)


def _not_rendered(send: Send, failed: RenderFailed, now: datetime) -> Answer:
    if failed.code == "unavailable" or (failed.code == "too_slow" and now - send.planned_at < SLOW_FOR):
        return Defer(now + timedelta(seconds=30), "not_rendered", "The message could not be written yet; we try again.")
    part = f" ({failed.part})" if failed.part else ""
    return Skip("template_failed", f"The template could not be filled in{part}: {failed}")


def _checked(message: OutboundMessage) -> Answer:
    if not (message.text or message.template or (message.mail and message.mail.html)):
        return Skip("empty", "The message has no text for this person.")
    return Prepared(message)
