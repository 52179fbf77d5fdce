"""Carries actions out: each once under its key, and no further than whoever acts may reach.

What an action leaves behind stands under the key it was given, so that a repeat after a death does nothing again; what
it changes of a conversation is one transaction with whatever its caller notes there (`within`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import orjson

from base.clock import Clock
from base.errors import Conflict, NotFound, Refused, WrongInput
from base.ids import unique_key
from base.mongo import Document
from campaigns.assigning import Assigning
from campaigns.automation.models import (
    ON_CONVERSATION,
    AnyAction,
    AssignAction,
    FollowAction,
    HandToBotAction,
    JourneyAction,
    LabelAction,
    NoteAction,
    NotifyAction,
    PriorityAction,
    ReplyAction,
    SnoozeAction,
    StageAction,
    StatusAction,
    TagAction,
    TaskAction,
    TeamAction,
    WebhookAction,
)
from campaigns.bells import Ringer
from campaigns.canned import Answering, CannedWords, namespaces_of
from campaigns.causes import Chain
from campaigns.entering import Entrance, Entrant
from campaigns.facts import FactReader
from campaigns.live import LiveJourney, LiveJourneys
from campaigns.store.calls import CallStore
from campaigns.tasks import TaskPatch, Tasks
from channels.store import ChannelStore
from inbox.acts import LABELS_MAX, Change, checked, plans_of
from inbox.canned import CannedReplies, unfilled
from inbox.conversations import ConversationActions, Within
from inbox.models import Actor, ChosenFile, ReplyInput, conversation_of
from inbox.outbox import Outbox
from inbox.owning import BotsOn
from inbox.routing.models import may_answer
from inbox.store import ConversationStore, TeamStore
from profiles.edit import ProfileEditor, ProfilePatch

#: Seconds an address outside has for its answer.
CALL_TIMEOUT_S = 10


class AsksRatings(Protocol):
    """Asks people how satisfied they are."""

    async def ask(self, conversation_id: str) -> str | None:
        """Plan a question; why not, where none may be asked. Once for each time a conversation is resolved."""
        ...


@dataclass(frozen=True)
class Doer:
    """Whoever acts: a colleague by a macro, or a rule for whom it was made by. `channels` None: all of them.

    `called`: who answers, for texts; empty: nobody in particular. `user_id`: whose own canned replies may be used.
    """

    actor: Actor
    kind: str
    called: Answering
    channels: Collection[str] | None = None
    user_id: str = ""
    #: What brought it about, for who is told outside.
    cause: Mapping[str, Any] = field(default_factory=dict)
    #: The rules and journeys that led here, the one that acts last; empty: a person.
    chain: Chain = ()

    def reaches(self, channel_id: str | None) -> bool:
        """Whether something on this channel is within reach."""
        return self.channels is None or channel_id in self.channels


@dataclass(frozen=True)
class Outcome:
    """What became of an action: `why` it was left, as a code with a sentence; empty: it was done. `about`: ids of what
    it has left behind."""

    why: str = ""
    sentence: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


class Left(Exception):
    """An action is left: there is a reason, and it is nobody's fault."""

    def __init__(self, why: str, sentence: str = "") -> None:
        super().__init__(sentence or why)
        self.outcome = Outcome(why, sentence)


@dataclass(frozen=True)
class Wanted:
    """What is to become of a conversation, and the names that its line will say."""

    change: Change
    assignee_name: str | None = None
    team_name: str | None = None
    #: Channel → its bot, where one is to have it.
    bots: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Gathered:
    given: dict[str, Any] = field(default_factory=dict)
    assignee_name: str | None = None
    team_name: str | None = None


class Carrying:
    """Carries actions out."""

    def __init__(
        self, conversations: ConversationStore, actions: ConversationActions, outbox: Outbox, teams: TeamStore,
        canned: CannedReplies, words: CannedWords, channels: ChannelStore, facts: FactReader, editor: ProfileEditor,
        tasks: Tasks, assigning: Assigning, calls: CallStore, entrance: Entrance, live: LiveJourneys,
        ratings: AsksRatings, bots: BotsOn, doorbell: Ringer, clock: Clock, *, zone: str,
    ) -> None:  # fmt: skip
        self._bots = bots
        self._conversations = conversations
        self._actions = actions
        self._outbox = outbox
        self._teams = teams
        self._canned = canned
        self._words = words
        self._channels = channels
        self._facts = facts
        self._editor = editor
        self._tasks = tasks
        self._assigning = assigning
        self._calls = calls
        self._entrance = entrance
        self._live = live
        self._ratings = ratings
        self._doorbell = doorbell
        self._clock = clock
        self._zone = ZoneInfo(zone)
        self._others: Mapping[str, Callable[[Any, Document, Doer, str, datetime, int], Awaitable[Mapping[str, str]]]]
        self._others = {
            "reply": self._reply, "note": self._note, "task": self._task, "tags": self._tags, "stage": self._stage,
            "notify": self._notify, "webhook": self._webhook, "journey": self._journey, "ask_rating": self._ask_rating,
        }  # fmt: skip

    async def carry_out(
        self, action: AnyAction, talk: Document, doer: Doer, key: str, at: datetime, *, undo_s: int = 0,
        within: Within | None = None,
    ) -> Outcome:  # fmt: skip
        """See to one action on a conversation as read; what became of it. May be done again under the same `key`.

        `at`: when all of it began, from which times are counted; `undo_s`: seconds in which an answer can be taken
        back; `within`: writes more in the transaction of what changes the conversation. Raises what hinders it for the
        moment.
        """
        try:
            self._must_reach(talk, doer)
            if action.type in ON_CONVERSATION:
                wanted = await self.wanted([action], talk, doer, key, at)
                await self._actions.change(talk["_id"], self._plans(wanted, doer, at), doer.actor, within)
                return Outcome()
            return Outcome(about=await self._others[action.type](action, talk, doer, key, at, undo_s))
        except Left as left:
            return left.outcome
        except (NotFound, WrongInput, Refused, Conflict) as error:
            if error.code == "contended":
                raise
            return Outcome(error.code, str(error))

    async def tried(self, action: AnyAction, talk: Document, doer: Doer, at: datetime) -> Outcome:
        """What would become of an action, as far as that can be told without doing it."""
        try:
            self._must_reach(talk, doer)
            if action.type in ON_CONVERSATION:
                self._plans(await self.wanted([action], talk, doer, "try", at), doer, at)
            elif isinstance(action, ReplyAction):
                await self._may_answer_in(talk, doer)
                await self._words_of(action, talk, doer)
                await self._outbox.way(talk)
            elif isinstance(action, NotifyAction):
                await self._told(action, talk, "try")
            elif isinstance(action, JourneyAction):
                await self._running(action)
        except Left as left:
            return left.outcome
        except (NotFound, WrongInput, Refused, Conflict) as error:
            return Outcome(error.code, str(error))
        return Outcome()

    async def changes(self, actions: Sequence[AnyAction], talk: Document, doer: Doer, at: datetime) -> bool:
        """Whether these actions on the conversation would change anything of it as read."""
        left: list[tuple[AnyAction, Outcome]] = []
        wanted = await self.wanted(actions, talk, doer, "changes", at, left)
        if not wanted.change.parts:
            return False
        return any(plan(talk) is not None for plan in self._plans(wanted, doer, at))

    async def wanted(
        self, actions: Sequence[AnyAction], talk: Document, doer: Doer, key: str, at: datetime,
        left: list[tuple[AnyAction, Outcome]] | None = None,
    ) -> Wanted:  # fmt: skip
        """What these actions on the conversation come to together; of two that contradict each other the later one
        holds. What cannot be is added to `left`; without such a list it raises `Left`."""
        found = _Gathered()
        for place, action in enumerate(actions):
            try:
                await self._gather(found, action, talk, f"{key}:{place}", at)
            except Left as reason:
                if left is None:
                    raise
                left.append((action, reason.outcome))
        bots = await self._bots([talk["channel_id"]]) if found.given.get("hand_to_bot") else {}
        return Wanted(Change.model_validate(found.given), found.assignee_name, found.team_name, bots)

    async def _gather(self, found: _Gathered, action: AnyAction, talk: Document, key: str, at: datetime) -> None:
        given = found.given
        if isinstance(action, AssignAction):
            given["assignee_id"], found.assignee_name = await self._whom(action, talk, key)
            given.pop("hand_to_bot", None)
        elif isinstance(action, TeamAction):
            given["team_id"], found.team_name = await self._team(action)
        elif isinstance(action, StatusAction):
            given["status"] = action.status
            for name in ("snoozed_until", "hand_to_bot"):
                given.pop(name, None)
        elif isinstance(action, HandToBotAction):
            for name in ("status", "snoozed_until", "assignee_id"):
                given.pop(name, None)
            given["hand_to_bot"] = True
        elif isinstance(action, SnoozeAction):
            until = action.span.after(at, self._zone) if action.span else None
            given |= {"status": "snoozed", "snoozed_until": until}
            given.pop("hand_to_bot", None)
        elif isinstance(action, PriorityAction):
            given["priority"] = action.priority
        elif isinstance(action, LabelAction | FollowAction):
            if isinstance(action, FollowAction):
                await self._know_colleagues(action.add)
            moved = _moved(given.get(action.type), action.add, action.remove)
            if max(len(moved["add"]), len(moved["remove"])) > LABELS_MAX:
                raise Left("too_many", f"Not more than {LABELS_MAX} are added or removed at once.")
            given[action.type] = moved

    def _plans(self, wanted: Wanted, doer: Doer, at: datetime) -> Any:
        change = checked(wanted.change, self._clock())
        return plans_of(
            change, doer.actor, at, assignee_name=wanted.assignee_name, team_name=wanted.team_name,
            bots=wanted.bots,
        )  # fmt: skip

    async def take_back(self, action_type: str, about: Mapping[str, str], person_id: str, by: Actor, key: str) -> bool:
        """Take back what can be of an action that was no change of the conversation: a task, tags. Whether it was."""
        if action_type == "task" and about.get("task_id"):
            task = await self._tasks.get(about["task_id"])
            if task["state"] != "open":
                return bool(task["state"] == "cancelled")
            await self._tasks.patch(about["task_id"], TaskPatch(state="cancelled"), by.id)
            return True
        if action_type == "tags":
            patch = ProfilePatch(
                add_tags=[each for each in about.get("removed", "").split("\n") if each],
                remove_tags=[each for each in about.get("added", "").split("\n") if each],
            )
            await self._editor.patch(person_id, patch, source="api", by=by.id, key=key, strict=False)
            return True
        return False

    # -- the conversation --------------------------------------------------------------------------------------

    def _must_reach(self, talk: Document, doer: Doer) -> None:
        if not doer.reaches(talk["channel_id"]):
            raise Left("out_of_reach", "The conversation is on a channel beyond the reach of who acts.")

    async def _whom(self, action: AssignAction, talk: Document, key: str) -> tuple[str | None, str | None]:
        if action.to == "nobody":
            return None, None
        whom = await self._somebody(action.to, talk, key)
        people = await self._assigning.active()
        if whom is None or whom not in people:
            raise Left("nobody_there", "Nobody was found to give it to.")
        if not may_answer(people[whom], talk["channel_id"]):
            raise Left("not_their_channel", "This colleague does not answer on this channel.")
        return whom, people[whom].name

    async def _somebody(self, wanted: str, talk: Document, key: str) -> str | None:
        if wanted == "assignee":
            held: str | None = talk.get("assignee_id")
            return held
        if wanted == "owner":
            return await self._assigning.owner_of(talk["profile_id"])
        if wanted.startswith("usr_"):
            return wanted if wanted in await self._assigning.active() else None
        return await self._assigning.choose(
            wanted, talk["profile_id"], key=key, pool="automation", channel_id=talk["channel_id"]
        )

    async def _team(self, action: TeamAction) -> tuple[str | None, str | None]:
        if action.team_id is None:
            return None, None
        name = (await self._teams.names([action.team_id])).get(action.team_id)
        if name is None:
            raise Left("no_such_team", "The team is gone.")
        return action.team_id, name

    async def _know_colleagues(self, user_ids: Sequence[str]) -> None:
        people = await self._assigning.active()
        if any(each not in people for each in user_ids):
            raise Left("nobody_there", "A colleague who is to follow it is gone.")

    # -- words -------------------------------------------------------------------------------------------------

    async def _reply(
        self, action: ReplyAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        await self._may_answer_in(talk, doer)
        reply = await self._words_of(action, talk, doer)
        by = replace(doer.actor, for_user=doer.user_id or None)
        line = await self._outbox.reply(talk["_id"], by, reply, unique_key("automation", key), undo_s=undo_s)
        return {"message_id": line.id}

    async def _words_of(self, action: ReplyAction, talk: Document, doer: Doer) -> ReplyInput:
        if action.template is not None:
            return ReplyInput(template=action.template)
        if action.canned_id is None:
            return ReplyInput(text=await self._filled(action.text or "", talk, doer))
        kept = await self._canned.get(action.canned_id, doer.user_id)
        files = tuple(ChosenFile(file_id=each) for each in kept.file_ids)
        filled = self._asked(kept.url, kept.id, talk, doer) if kept.url else self._filled(kept.text, talk, doer)
        text = await filled
        return ReplyInput(text=text or None, attachments=files, canned_ids=(kept.id,))

    async def _may_answer_in(self, talk: Document, doer: Doer) -> None:
        """An answer goes out where the customer wrote last: of what was merged that may be any part."""
        parts = await self._conversations.rows(talk["parts"]) if talk.get("parts") else {}
        for part in parts.values():
            self._must_reach(part, doer)

    async def _note(
        self, action: NoteAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        note = ReplyInput(text=await self._filled(action.text, talk, doer, strict=False), note=True)
        line = await self._outbox.reply(talk["_id"], doer.actor, note, unique_key("automation", key))
        return {"message_id": line.id}

    async def _filled(self, text: str, talk: Document, doer: Doer, *, strict: bool = True) -> str:
        """The text with its blanks filled in. Raises `Left` where one cannot be."""
        if "{" not in text:
            return text
        about, person = await self._about(talk, doer)
        made = await self._words.fill(text, about, locale=person.get("locale"), zone=person.get("time_zone"))
        if strict and (made.blanks or unfilled(made.text)):
            raise Left("blanks", f"A blank could not be filled in: {', '.join(made.blanks)}.")
        return made.text

    async def _asked(self, url: str, reply_id: str, talk: Document, doer: Doer) -> str:
        """The text of a canned reply that comes from an address. Raises `Left` where none came."""
        asked = await self._words.ask(url, reply_id, (await self._about(talk, doer))[0])
        if asked.fault is not None:
            raise Left(asked.fault, asked.sentence)
        return asked.text

    async def _about(self, talk: Document, doer: Doer) -> tuple[dict[str, Any], Document]:
        """The namespaces of texts, and the person."""
        person = (await self._facts.profiles([talk["profile_id"]])).get(talk["profile_id"], {})
        orders = (await self._facts.orders_of([talk["profile_id"]]))[talk["profile_id"]]
        channel = await self._channels.get(talk["channel_id"])
        about = namespaces_of(person, orders, conversation_of(talk), channel.name if channel else "", doer.called)
        return about, dict(person)

    # -- colleagues --------------------------------------------------------------------------------------------

    async def _task(
        self, action: TaskAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        whom = await self._somebody(action.assignee, talk, key) if action.assignee else None
        due_at = action.due.after(at, self._zone) if action.due else None
        made = await self._tasks.create_once(
            self._work(action.text, talk, doer, unique_key("task", key)) | {"assignee_id": whom, "due_at": due_at}
        )
        return {"task_id": made["_id"]}

    async def _notify(
        self, action: NotifyAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        """One task for each who is told; the first to close theirs closes it for all."""
        seeing = await self._told(action, talk, key)
        shared = unique_key("notify", key)
        for each in seeing:
            work = self._work(action.text, talk, doer, unique_key("notify", key, each))
            await self._tasks.create_once(work | {"assignee_id": each, "due_at": at, "shared_key": shared})
        return {}

    async def _told(self, action: NotifyAction, talk: Document, key: str) -> list[str]:
        """Who is told: of those who are meant all who see the channel."""
        if action.to.startswith("role:"):
            whom = await self._assigning.of_role(action.to.removeprefix("role:"))
        else:
            found = await self._somebody(action.to, talk, key)
            whom = [found] if found else []
        people = await self._assigning.active()
        seeing = [each for each in whom if each in people and _sees(people[each], talk["channel_id"])]
        if not seeing:
            raise Left("nobody_there", "Nobody was found to tell.")
        return seeing

    def _work(self, text: str, talk: Document, doer: Doer, key: str) -> Document:
        return {
            "key": key, "text": text, "profile_id": talk["profile_id"], "conversation_id": talk["_id"],
            "order_id": None, "source": {"kind": doer.kind, "id": doer.actor.id, "by": doer.actor.id},
        }  # fmt: skip

    # -- the person --------------------------------------------------------------------------------------------

    async def _tags(
        self, action: TagAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        person = (await self._facts.profiles([talk["profile_id"]])).get(talk["profile_id"], {})
        held = set(person.get("tags") or ())
        patch = ProfilePatch(add_tags=list(action.add), remove_tags=list(action.remove))
        await self._patched(patch, talk, doer, key)
        return {
            "added": "\n".join(each for each in action.add if each not in held),
            "removed": "\n".join(each for each in action.remove if each in held),
        }

    async def _stage(
        self, action: StageAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        await self._patched(ProfilePatch(stage=action.stage), talk, doer, key)
        return {}

    async def _patched(self, patch: ProfilePatch, talk: Document, doer: Doer, key: str) -> None:
        await self._editor.patch(
            talk["profile_id"], patch, source="api", by=doer.actor.id, key=unique_key("automation", key), strict=False
        )

    async def _journey(
        self, action: JourneyAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        journey, cause = await self._running(action), f"automation:{key}"
        event = {
            "id": cause, "name": "journey.started", "occurred_at": at, "conversation_id": talk["_id"],
            "channel_id": talk["channel_id"], "properties": {"by": doer.actor.id},
        }  # fmt: skip
        entrant = Entrant(journey, talk["profile_id"], cause, at, cause, {"event": event}, doer.chain)
        (admission,) = await self._entrance.admit([entrant])
        if not admission.created and admission.reason != "already_entered":
            raise Left("not_admitted", f"The journey did not take the person in: {admission.reason}.")
        await self._doorbell.ring("advance")
        return {"run_id": admission.run_id or ""}

    async def _running(self, action: JourneyAction) -> LiveJourney:
        journey = (await self._live.now()).journeys.get(action.journey_id)
        if journey is None or journey.status == "draining":
            raise Left("not_running", "The journey does not take anybody in.")
        return journey

    async def _ask_rating(
        self, action: AnyAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        objection = await self._ratings.ask(talk["_id"])
        if objection is not None:
            raise Left(objection, "People are not asked here.")
        return {}

    # -- programs ----------------------------------------------------------------------------------------------

    async def _webhook(
        self, action: WebhookAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Mapping[str, str]:
        call_key = unique_key("call", key)
        shown = ("status", "channel_id", "team_id", "assignee_id", "labels", "priority", "waiting_since")
        told = {
            "type": f"{doer.kind}.webhook", "timestamp": at,
            "data": {
                "conversation": {"id": talk["_id"], **{name: talk.get(name) for name in shown}},
                "profile_id": talk["profile_id"], "by": {"id": doer.actor.id, "name": doer.actor.name},
                "event": dict(doer.cause) or None,
            },
        }  # fmt: skip
        body = orjson.dumps(told, default=str).decode()
        call = {
            "key": call_key, "profile_id": talk["profile_id"], "url": action.url, "address": action.url, "body": body,
            "host": urlsplit(action.url).netloc.lower(), "timeout_s": CALL_TIMEOUT_S,
        }  # fmt: skip
        await self._calls.plan([call])
        await self._doorbell.ring("call")
        return {"call_key": call_key}


def _moved(before: Mapping[str, Any] | None, add: Sequence[str], remove: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Two changes of a list, one after the other, as one. Pure."""
    added = [each for each in (before or {}).get("add", ()) if each not in remove]
    removed = [each for each in (before or {}).get("remove", ()) if each not in add]
    return {
        "add": tuple(dict.fromkeys([*added, *add])), "remove": tuple(dict.fromkeys([*removed, *remove])),
    }  # fmt: skip


def _sees(colleague: Any, channel_id: str) -> bool:
    return colleague.channels is None or channel_id in colleague.channels
