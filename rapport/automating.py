"""Macros and rules, and what carries their actions out."""

from __future__ import annotations

from dataclasses import dataclass

from base.ids import unique_key
from base.mongo import Document
from campaigns.automation.bots.store import BotStore
from campaigns.automation.carrying import Carrying
from campaigns.automation.checking import Checking
from campaigns.automation.listening import RuleEars
from campaigns.automation.macros import Macros
from campaigns.automation.rules import AutomationRules
from campaigns.automation.running import RULE_PAUSED, RuleRunner
from campaigns.automation.store import MacroStore, RuleStore, RunStore, TimerStore
from campaigns.automation.timed import TimedRules
from campaigns.canned import CannedWords
from campaigns.tasks import Tasks
from desk.store import DeskStore
from inbox.ratings import Ratings
from inbox.room import Inbox
from rapport.campaigning import Campaigns
from rapport.people import People
from rapport.plumbing import Plumbing


@dataclass(frozen=True)
class Ears:
    """Rows of rules and their runs, and who plans these."""

    rules: RuleStore
    runs: RunStore
    timers: TimerStore
    listening: RuleEars


@dataclass(frozen=True)
class Automation:
    """What the doors use, and what is drained."""

    macros: Macros
    carrying: Carrying
    rules: AutomationRules
    runner: RuleRunner
    runs: RunStore


def open_ears(plumbing: Plumbing) -> Ears:
    """What is needed before anything happens."""
    rules, runs = RuleStore(plumbing.db, plumbing.clock), RunStore(plumbing.db, plumbing.clock)
    timers = TimerStore(plumbing.db)
    return Ears(rules, runs, timers, RuleEars(rules, runs, timers, plumbing.doorbell, plumbing.clock))


def open_automation(
    plumbing: Plumbing, people: People, inbox: Inbox, campaigns: Campaigns, ratings: Ratings, bots: BotStore, ears: Ears
) -> Automation:  # fmt: skip
    """Nothing is read or written here."""
    db, clock, doorbell = plumbing.db, plumbing.clock, plumbing.doorbell
    words = CannedWords(campaigns.renderer, plumbing.http, campaigns.call_secrets, clock)
    carrying = Carrying(
        inbox.conversations, inbox.actions, inbox.outbox, inbox.teams, inbox.canned, words, plumbing.channels,
        campaigns.facts, people.editor, campaigns.tasks, campaigns.assigning, campaigns.call_rows, campaigns.entrance,
        campaigns.live, ratings, bots.on_channels, doorbell, clock, zone=plumbing.settings.time_zone,
    )  # fmt: skip
    checking = Checking(
        campaigns.assigning, inbox.teams, inbox.canned, words, campaigns.live, people.terms, plumbing.channels
    )  # fmt: skip
    macros = Macros(
        MacroStore(db, clock), checking, carrying, inbox.conversations, inbox.bulk, inbox.afterthoughts,
        inbox.answering, people.events, campaigns.assigning, clock,
    )  # fmt: skip
    timed = TimedRules(
        ears.rules, ears.runs, ears.timers, inbox.conversations, inbox.messages, inbox.business_hours, doorbell, clock,
        zone=plumbing.settings.time_zone,
    )  # fmt: skip
    runner = RuleRunner(
        db, ears.rules, ears.runs, people.events, inbox.conversations, campaigns.facts, carrying, campaigns.assigning,
        timed, campaigns.causes, ToldByTasks(campaigns.tasks, people.users), clock,
    )  # fmt: skip
    rules = AutomationRules(ears.rules, checking, inbox.business_hours)
    return Automation(macros, carrying, rules, runner, ears.runs)


class ToldByTasks:
    """Tells every administrator of the whole deployment by a task; one who has seen to it frees the others."""

    def __init__(self, tasks: Tasks, users: DeskStore) -> None:
        self._tasks = tasks
        self._users = users

    async def rule_paused(self, rule: Document) -> None:
        """See `campaigns.automation.running.TellsAdmins`."""
        cause = unique_key("rule paused", rule["_id"], rule["rev"])
        for user in await self._users.users():
            if user.role != "admin" or not user.active or user.channels is not None:
                continue
            await self._tasks.create_once(
                {
                    "key": unique_key(cause, user.id), "shared_key": cause,
                    "text": f"The rule “{rule['name']}” ran in circles and is switched off. Look at "
                    "its runs, then switch it on again.",
                    "assignee_id": user.id, "due_at": rule["updated_at"], "profile_id": None, "conversation_id": None,
                    "order_id": None,
                    "source": {
                        "kind": "rule", "id": rule["_id"], "code": RULE_PAUSED, "params": {"name": rule["name"]},
                    },
                }
            )  # fmt: skip
