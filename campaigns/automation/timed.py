"""Rules that wait for time: when what they wait for has stood long enough in a conversation, they are asked, once.

Whatever happens in a conversation makes it due to be reckoned (`listening`); reckoning sets a timer per rule, or takes
it away. When a timer is due all is read anew: who has answered meanwhile has stopped it, whatever the timer says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from base.clock import Clock, iso
from base.duty import MAX_CRASHES
from base.mongo import Document
from campaigns.automation.judging import in_reach, since_of
from campaigns.automation.store.rules import RuleStore
from campaigns.automation.store.runs import RunStore
from campaigns.automation.store.timers import TimerStore
from campaigns.bells import Ringer
from campaigns.wallclock import Duration
from inbox.hours.book import BusinessHours
from inbox.store import ConversationStore, MessageStore

#: Conversations of one stretch when a rule begins to hold.
STRETCH = 500


class TimedRules:
    """Sets timers, and asks for a run where one has come."""

    def __init__(
        self, rules: RuleStore, runs: RunStore, timers: TimerStore, conversations: ConversationStore,
        messages: MessageStore, hours: BusinessHours, doorbell: Ringer, clock: Clock, *, zone: str,
    ) -> None:  # fmt: skip
        self._rules = rules
        self._runs = runs
        self._timers = timers
        self._conversations = conversations
        self._messages = messages
        self._hours = hours
        self._doorbell = doorbell
        self._clock = clock
        self._zone = ZoneInfo(zone)
        #: Up to which edition of the business hours all rules have been compared; None: not since the start.
        self._edition: int | None = None

    async def drain(self, limit: int) -> int:
        """Reckon what is due to be reckoned, and ask for runs of what has come; how many rows. Several may do it at
        once."""
        return await self._begin() + await self._reckon(limit) + await self._come(limit)

    async def since(self, rule: Document, talk: Document) -> datetime | None:
        """Since when what a rule waits for stands in a conversation; None: it does not."""
        touched = await self._touched([talk]) if rule["on"]["what"] == "untouched" else {}
        return since_of(rule["on"]["what"], talk, touched.get(talk["_id"]))

    # -- reckoning ---------------------------------------------------------------------------------------------

    async def _begin(self) -> int:
        """A rule has begun to hold, or its hours were changed: a stretch of the conversations that are there is to be
        reckoned."""
        await self._by_other_hours()
        rule = await self._rules.beginning()
        if rule is None:
            return 0
        rows = await self._conversations.open_after(rule["begins_after"], STRETCH)
        await self._timers.look((row.get("merged_into") or row["_id"] for row in rows), self._clock())
        last = rows[-1]["identity_id"] if len(rows) >= STRETCH else None
        await self._rules.begun(rule, last)
        return len(rows) + 1

    async def _by_other_hours(self) -> None:
        """Rules whose business hours have changed begin anew, so that what stands already is moved too. Where no hours
        have changed since the last look, that is one small read."""
        edition = await self._hours.edition()  # before all that is compared: what changes meanwhile is another one
        if edition != self._edition:
            await self._compare_hours()
            self._edition = edition

    async def _compare_hours(self) -> None:
        rules = [each for each in await self._rules.all() if each["active"] and each["on"].get("hours_id")]
        if not rules:
            return
        calendars = await self._hours.calendars({each["on"]["hours_id"] for each in rules})
        for rule in rules:
            kept = calendars.get(rule["on"]["hours_id"])
            rev = kept[0] if kept else None
            if "hours_rev" not in rule or rule["hours_rev"] != rev:
                await self._timers.look_again(rule["_id"], self._clock())
                await self._rules.begin_anew(rule, rev)

    async def _reckon(self, limit: int) -> int:
        looks = await self._timers.looks.claim(["due"], self._clock(), limit=limit)
        if not looks:
            return 0
        talks = await self._conversations.rows(each["_id"] for each in looks)
        heads = await self._conversations.rows(
            row["merged_into"] for row in talks.values() if row.get("merged_into")
        )  # fmt: skip
        rows = {each["_id"]: each for each in (*talks.values(), *heads.values())}
        rules = [each for each in await self._rules.all() if each["on"]["type"] == "timed"]
        await self._set(list(rows.values()), rules)
        await self._timers.looked(looks)
        return len(looks)

    async def _set(self, talks: Sequence[Document], rules: Sequence[Document]) -> None:
        known = await self._timers.of([each["_id"] for each in talks])
        asks_touch = any(rule["on"]["what"] == "untouched" for rule in rules)
        touched = await self._touched(talks) if asks_touch else {}
        wanted: dict[str, Mapping[str, Any]] = {}
        for talk in talks:
            for rule in rules:
                since = since_of(rule["on"]["what"], talk, touched.get(talk["_id"])) if in_reach(rule, talk) else None
                due_at = await self.due_at(rule, since) if since is not None else None
                if due_at is not None:
                    over = due_at <= rule["active_since"]
                    wanted[f"{rule['_id']}:{talk['_id']}"] = {
                        "_id": f"{rule['_id']}:{talk['_id']}", "rule_id": rule["_id"], "conversation_id": talk["_id"],
                        "since": since, "due_at": due_at, "state": "done" if over else "due",
                    }  # fmt: skip
        changed = [each for key, each in wanted.items() if not _stands(known.get(key), each)]
        await self._timers.set(changed, known.keys() - wanted.keys())

    async def due_at(self, rule: Document, since: datetime) -> datetime | None:
        """When what stands since then has stood long enough, in open time where the rule counts that; None: never."""
        after, hours_id = Duration.parse(rule["on"]["after"]), rule["on"].get("hours_id")
        kept = (await self._hours.calendars([hours_id])).get(hours_id) if hours_id else None
        if kept is None:
            return after.after(since, self._zone)
        return kept[1].add(since, after.roughly())

    async def _touched(self, talks: Sequence[Document]) -> dict[str, datetime]:
        """Conversation → when one of us last did something in it, where that was after it was opened."""
        found = {}
        for talk in talks:
            threads = [talk["_id"], *(talk.get("parts") or ())]
            at = await self._messages.touched_at(threads, talk.get("reopened_at") or talk["created_at"])
            if at is not None:
                found[talk["_id"]] = at
        return found

    # -- and then ----------------------------------------------------------------------------------------------

    async def _come(self, limit: int) -> int:
        timers = await self._timers.timers.claim(["due"], self._clock(), limit=limit)
        if not timers:
            return 0
        rules = {each["_id"]: each for each in await self._rules.all()}
        talks = await self._conversations.rows(each["conversation_id"] for each in timers)
        planned = [
            await self._due(each, rules.get(each["rule_id"]), talks.get(each["conversation_id"])) for each in timers
        ]
        if any(planned):
            await self._doorbell.ring("automate")
        return len(timers)

    async def _due(self, timer: Document, rule: Document | None, talk: Document | None) -> bool:
        """Ask for a run, unless it has been answered meanwhile; whether that was done."""
        if timer["attempts"] > MAX_CRASHES or rule is None or talk is None or rule["on"]["type"] != "timed":
            await self._timers.drop(timer)
            return False
        since = await self.since(rule, talk) if in_reach(rule, talk) else None
        if since != timer["since"]:
            await self._timers.drop(timer)
            await self._timers.look([talk["_id"]], self._clock())
            return False
        due_at = await self.due_at(rule, since) if since is not None else None
        if due_at is None or due_at > self._clock():
            await self._timers.settle(timer, "due" if due_at else "done", due_at)
            return False
        await self._runs.plan([_run(rule, talk, timer["since"])])
        await self._timers.settle(timer, "done")
        return True


def _stands(known: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a timer is set already, or has come for the same stretch of time."""
    if known is None or known["since"] != wanted["since"]:
        return False
    return bool(known["state"] == "done" or known["due_at"] == wanted["due_at"] or "lease" in known)


def _run(rule: Document, talk: Document, since: datetime) -> Document:
    return {
        "key": f"timed:{rule['_id']}:{talk['_id']}:{iso(since)}", "event": f"timed.{rule['on']['what']}",
        "rule_id": rule["_id"], "conversation_id": talk["_id"], "profile_id": talk["profile_id"],
        "channel_id": talk["channel_id"], "lane": talk["_id"], "since": since,
    }  # fmt: skip
