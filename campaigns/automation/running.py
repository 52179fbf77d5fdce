"""Asks the rules, one after the other, and carries out what those that fit ask for; every outcome is written down.

A run is a duty: how far it is stands in its row with each action, in the transaction of what the action changed, so
that whoever carries it on after a death does each action once. Runs of one conversation are worked at one after the
other. A rule that fails harms only itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from base.clock import Clock
from base.duty import MAX_CRASHES, LeaseLost
from base.errors import Conflict, NotFound, WrongInput
from base.ids import unique_key
from base.mongo import UNAVAILABLE, Database, Document, Session
from campaigns.assigning import Assigning
from campaigns.automation.carrying import Carrying, Doer, Outcome
from campaigns.automation.happening import Ran, ran
from campaigns.automation.judging import (
    ANSWERS_WITHIN,
    LOOPS_MAX,
    OPEN,
    answer_objection,
    conversation_view,
    event_view,
    is_for,
    judged,
    loop_in,
    order_values,
)
from campaigns.automation.models import ON_CONVERSATION, AnyAction, RuleInput
from campaigns.automation.rules import rule_input
from campaigns.automation.store.rules import RuleStore
from campaigns.automation.store.runs import RunStore
from campaigns.automation.timed import TimedRules
from campaigns.canned import Answering
from campaigns.causes import Causes, chain_of
from campaigns.conditions import Scope
from campaigns.facts import FactReader
from inbox.acts import Act
from inbox.models import Actor
from inbox.store import ConversationStore
from profiles.events import Event, EventStore

log = logging.getLogger(__name__)

#: How long a run waits for one of the same conversation that came before.
BEHIND = timedelta(milliseconds=200)
#: A rule that took its worker along so often is left out of this run.
TRIES_MAX = 3
#: What a task says of a rule that was switched off.
RULE_PAUSED = "rule_paused"


class TellsAdmins(Protocol):
    """Tells whoever looks after rules."""

    async def rule_paused(self, rule: Document) -> None:
        """A rule ran in circles and was switched off."""
        ...


@dataclass
class Asked:
    """What the rules of one run look at."""

    row: Document
    event: Event | None
    talk: Document | None
    chain: list[list[str]] = field(default_factory=list)
    did: bool = False


@dataclass(frozen=True)
class Tried:
    """What a rule would do: whether it fits, why not, by which values; each action with what speaks against it."""

    fits: bool
    why: str
    values: dict[str, Any]
    actions: list[tuple[str, str, str]]


class RuleRunner:
    """Drains due runs."""

    def __init__(
        self, database: Database, rules: RuleStore, runs: RunStore, events: EventStore,
        conversations: ConversationStore, facts: FactReader, carrying: Carrying, assigning: Assigning,
        timed: TimedRules, causes: Causes, telling: TellsAdmins, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._rules = rules
        self._runs = runs
        self._events = events
        self._conversations = conversations
        self._facts = facts
        self._carrying = carrying
        self._assigning = assigning
        self._timed = timed
        self._causes = causes
        self._telling = telling
        self._clock = clock

    async def drain(self, limit: int) -> int:
        """See to what time has brought, then ask the rules about what is due; how many rows were looked at. Several may
        do it at once."""
        return await self._timed.drain(limit) + await self._ask(limit)

    async def _ask(self, limit: int) -> int:
        rows = await self._runs.duties.claim(["due"], self._clock(), limit=limit)
        for row in rows:
            try:
                await self._run(row)
            except LeaseLost:
                log.info("a run of rules is carried on elsewhere", extra={"run": row["_id"]})
            except UNAVAILABLE:
                raise
            except Exception:  # it is due again when its lease ends, and set aside when that happens too often
                log.exception("a run of rules failed", extra={"run": row["_id"]})
        return len(rows)

    async def _run(self, row: Document) -> None:
        if row["attempts"] > MAX_CRASHES:
            await self._runs.close(row, "dead", did=True)
            return
        if not await self._runs.is_first(row):
            await self._runs.put_off(row, self._clock() + BEHIND)
            return
        async with self._runs.duties.held(row):
            asked = await self._asked(row)
            for rule in await self._rules.all():
                channel_id = (asked.talk or row).get("channel_id")
                if is_for(rule, row["event"], row.get("rule_id"), channel_id) and await self._one(asked, rule):
                    break
            await self._runs.close(row, "done", did=asked.did)

    async def _asked(self, row: Document) -> Asked:
        event = await self._events.get(row["event_id"]) if row.get("event_id") else None
        talk = await self._talk(row)
        chain: list[list[str]] = list(row["chain"])
        if event is not None and not chain and (led := (await self._causes.of([event])).get(event.id)):
            chain = led
            await self._noted(row, {"$set": {"chain": chain}})
            row["chain"] = chain
        return Asked(row, event, talk, chain, any(each["outcome"] == "fitted" for each in row["results"]))

    async def _talk(self, row: Document) -> Document | None:
        """The conversation it is about, else the person's latest that is open."""
        if row.get("conversation_id"):
            return await self._conversations.head(row["conversation_id"])
        known = await self._conversations.of_profile(row["profile_id"], limit=20)
        found = next((each.id for each in known if each.status in OPEN), None)
        return await self._conversations.row(found) if found else None

    # -- one rule ----------------------------------------------------------------------------------------------

    async def _one(self, asked: Asked, rule: Document) -> bool:
        """Ask a rule; whether those after it are not asked any more."""
        place = next((i for i, each in enumerate(asked.row["results"]) if each["rule_id"] == rule["_id"]), None)
        result = asked.row["results"][place] if place is not None else None
        if result is not None and result["outcome"] != "acting":
            return bool(result["outcome"] == "fitted" and rule["stop"])
        try:
            return await self._judged_or_done(asked, rule, place, result)
        except (LeaseLost, Conflict, *UNAVAILABLE):  # a conversation that is changed all the time: once more, later
            raise
        except Exception as error:
            log.exception("a rule failed", extra={"rule": rule["_id"], "run": asked.row["_id"]})
            await self._ended(asked, rule, "failed", why=type(error).__name__)
            return False

    async def _judged_or_done(
        self, asked: Asked, rule: Document, place: int | None, result: Document | None
    ) -> bool:  # fmt: skip
        written = rule_input(rule)
        if result is None:
            outcome, verdicts = await self._verdict(asked, rule, written)
            if outcome != "acting":
                await self._ended(asked, rule, outcome)
                return False
            place, result = await self._begun(asked, rule, verdicts)
        elif result["rev"] != rule["rev"] or result["tries"] >= TRIES_MAX:
            await self._ended(asked, rule, "changed" if result["rev"] != rule["rev"] else "crashed")
            return False
        else:
            await self._noted(asked.row, {"$inc": {f"results.{place}.tries": 1}})
        assert place is not None  # noqa: S101 - it has begun
        for number in range(len(result["steps"]), len(written.actions)):
            await self._act(asked, rule, written.actions[number], place, number)
        await self._fitted(asked, rule, place)
        return written.stop

    async def _verdict(self, asked: Asked, rule: Document, written: RuleInput) -> tuple[str, list[bool]]:
        if asked.talk is None:
            return "no_conversation", []
        if "since" in asked.row and await self._timed.since(rule, asked.talk) != asked.row["since"]:
            return "answered", []
        fits, verdicts = judged(written.when, await self._scope(asked.event, asked.talk, written), self._clock())
        if not fits:
            return "did_not_fit", verdicts
        objection = loop_in(rule["_id"], asked.chain)
        if objection == "loop" and not await self._changes(asked, rule, written):
            return "own_effect", verdicts
        if objection == "loop" and await self._rules.count(rule["_id"], "loops") >= LOOPS_MAX:
            paused = await self._rules.pause(rule["_id"], "loops")
            if paused is not None:
                await self._telling.rule_paused(paused)
        return objection or "acting", verdicts

    async def _changes(self, asked: Asked, rule: Document, written: RuleInput) -> bool:
        """Whether a rule would still do something: what only says once more what is so already ends by itself."""
        if asked.talk is None or any(each.type not in ON_CONVERSATION for each in written.actions):
            return True
        doer = await self._doer(rule, asked)
        return await self._carrying.changes(written.actions, asked.talk, doer, asked.row["at"])

    async def _scope(self, event: Event | None, talk: Document, written: RuleInput) -> Scope:
        """Everything a condition may look at, read by now."""
        values: dict[str, Any] = {
            "conversation": conversation_view(talk, self._clock()), "event": event_view(event), "order": {},
        }  # fmt: skip
        if written.when is None:
            return Scope(None, values)
        needs = written.when.needs
        if "order" in needs:
            orders = (await self._facts.orders_of([talk["profile_id"]]))[talk["profile_id"]]
            values["order"] = order_values(orders, event)
        subject = None
        if needs & {"profile", "history"}:
            found = await self._facts.subjects([talk["profile_id"]], written.when.history_names)
            subject = found.get(talk["profile_id"])
        return Scope(subject, values)

    async def _begun(self, asked: Asked, rule: Document, verdicts: list[bool]) -> tuple[int, Document]:
        result = {
            "rule_id": rule["_id"], "rev": rule["rev"], "name": rule["name"], "outcome": "acting", "steps": [],
            "tries": 1, "verdicts": verdicts, "at": self._clock(),
        }  # fmt: skip
        await self._noted(asked.row, {"$push": {"results": result}})
        asked.row["results"].append(result)
        return len(asked.row["results"]) - 1, result

    async def _ended(self, asked: Asked, rule: Document, outcome: str, *, why: str = "") -> None:
        """It did not act, or not to its end."""
        results: list[Document] = asked.row["results"]
        place = next((i for i, each in enumerate(results) if each["rule_id"] == rule["_id"]), None)
        if place is not None:
            await self._noted(asked.row, {"$set": {f"results.{place}.outcome": outcome, f"results.{place}.why": why}})
            results[place]["outcome"] = outcome
            asked.did = asked.did or bool(results[place]["steps"])
            return
        result = {
            "rule_id": rule["_id"], "rev": rule["rev"], "name": rule["name"], "outcome": outcome, "why": why,
            "steps": [], "at": self._clock(),
        }  # fmt: skip
        await self._noted(asked.row, {"$push": {"results": result}})
        results.append(result)
        asked.did = asked.did or outcome not in ("did_not_fit", "no_conversation", "own_effect", "answered")

    async def _fitted(self, asked: Asked, rule: Document, place: int) -> None:
        steps = asked.row["results"][place]["steps"]
        left = [{"type": each["type"], "why": each["why"]} for each in steps if each["why"]]
        did = [each["type"] for each in steps if not each["why"]]
        run = Ran("rule", rule["_id"], rule["name"], asked.row["_id"], did, left, rule["_id"], "campaign")
        told = [ran(run, asked.talk, self._clock())] if asked.talk else []

        async def work(session: Session) -> None:
            await self._noted(asked.row, {"$set": {f"results.{place}.outcome": "fitted"}}, session)
            await self._rules.count(rule["_id"], "ran", session)
            await self._events.record(told, session)

        await self._database.in_transaction(work)
        asked.row["results"][place]["outcome"] = "fitted"
        asked.did = True

    # -- one action --------------------------------------------------------------------------------------------

    async def _act(self, asked: Asked, rule: Document, action: AnyAction, place: int, number: int) -> None:
        row, noted = asked.row, False

        def change(outcome: Outcome) -> Document:
            step = {
                "type": action.type, "why": outcome.why, "sentence": outcome.sentence[:500],
                "about": dict(outcome.about), "at": self._clock(),
            }  # fmt: skip
            return {"$push": {f"results.{place}.steps": step}}

        async def within(session: Session, _row: Document, _acts: Sequence[Act]) -> None:
            nonlocal noted
            await self._noted(row, change(Outcome()), session)
            noted = True

        talk = await self._conversations.row(asked.talk["_id"]) if asked.talk else None
        if talk is None:
            raise NotFound("The conversation is gone.")
        asked.talk = talk
        objection = await self._objection(asked, rule, action, place)
        if objection is not None:
            outcome = Outcome(objection)
        else:
            doer = replace(await self._doer(rule, asked), chain=chain_of(rule["_id"], row))
            key = unique_key(row["_id"], rule["_id"], number)
            outcome = await self._carrying.carry_out(
                action, talk, doer, key, row["at"], within=within if action.type in ON_CONVERSATION else None
            )
        if not noted:
            await self._noted(row, change(outcome))
        row["results"][place]["steps"].append({"type": action.type, "why": outcome.why})
        asked.talk = await self._conversations.row(talk["_id"]) or talk

    async def _objection(self, asked: Asked, rule: Document, action: AnyAction, place: int) -> str | None:
        """What speaks against an answer by now: who is answered, how often, and what has become of the order."""
        if action.type != "reply" or asked.talk is None:
            return None
        since = self._clock() - ANSWERS_WITHIN
        last = asked.talk.get("last_reply_at")
        answered = await self._runs.answers_since(rule["_id"], asked.row, max(since, last) if last else since)
        objection = answer_objection(asked.talk, asked.event, answered)
        written = rule_input(rule)
        if objection is None and written.when is not None and "order" in written.when.needs:
            scope = await self._scope(asked.event, asked.talk, written)
            kept = asked.row["results"][place]["verdicts"]
            if not judged(written.when, scope, self._clock(), kept)[0]:
                return "order_changed"
        return objection

    async def _doer(self, rule: Document, asked: Asked) -> Doer:
        """A rule reaches what whoever saved it may see now; of one who is gone, what they saw when they saved it."""
        people = await self._assigning.active()
        maker, reach = people.get(rule["made_by"]), rule["reach"]
        if maker is not None and maker.channels is not None:
            reach = sorted(maker.channels if reach is None else maker.channels & set(reach))
        held = people.get((asked.talk or {}).get("assignee_id") or "")
        told = asked.event
        cause: dict[str, Any] = {"name": asked.row["event"]}
        if told is not None:
            cause = {"id": told.id, "name": told.name, "occurred_at": told.occurred_at}
        by = Actor(rule["_id"], rule["name"], "campaign")
        return Doer(by, "rule", Answering(held.name if held else ""), reach, rule["made_by"] or "", cause)

    async def _noted(self, row: Document, change: Document, session: Session | None = None) -> None:
        if not await self._runs.note(row, change, session):
            raise LeaseLost("The run is somebody else's now.")

    # -- trying one out ----------------------------------------------------------------------------------------

    async def try_out(self, rule: Document, conversation_id: str) -> Tried:
        """What a rule would do on a conversation by now; nothing is done. An event rule is judged with the person's
        latest event of that name. Raises `NotFound`."""
        talk = await self._conversations.head(conversation_id)
        if talk is None:
            raise NotFound("There is no such conversation.")
        written, on = rule_input(rule), rule["on"]
        event = None
        if on["type"] == "event":
            event = next(iter(await self._events.find(talk["profile_id"], [on["event"]], limit=1)), None)
        scope, now = await self._scope(event, talk, written), self._clock()
        fits, _ = judged(written.when, scope, now)
        on_channel = not written.channel_ids or talk["channel_id"] in written.channel_ids
        why = "" if fits and on_channel else "did_not_fit" if on_channel else "other_channel"
        doer = await self._doer(rule, Asked({"event": "try"}, event, talk))
        actions = [await self._tried(each, talk, doer, event, now) for each in written.actions]
        return Tried(not why, why, written.when.values(scope) if written.when else {}, actions)

    async def _tried(
        self, action: AnyAction, talk: Document, doer: Doer, event: Event | None, now: datetime
    ) -> tuple[str, str, str]:
        if action.type == "reply" and (objection := answer_objection(talk, event, 0)):
            return action.type, objection, ""
        try:
            outcome = await self._carrying.tried(action, talk, doer, now)
        except (Conflict, NotFound, WrongInput) as error:
            outcome = Outcome(error.code, str(error))
        return action.type, outcome.why, outcome.sentence
