"""Macros: several actions on a conversation at one click, with a way back.

A run is an act (`inbox.bulk`) on one conversation or many, and this is its companion: what changes a conversation is
one transaction and can be taken back as a whole; an answer can be taken back as long as any answer can, a task that was
made is called off. What cannot be done is left and said, the rest is done. Everything stands under keys of the run, so
that a click sent twice runs it once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from base.clock import Clock
from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id, new_id, unique_key
from base.mongo import UNAVAILABLE, Document, DuplicateKeyError, Session
from campaigns.assigning import Assigning
from campaigns.automation.carrying import Carrying, Doer, Outcome
from campaigns.automation.checking import Checking
from campaigns.automation.happening import Ran, ran
from campaigns.automation.models import (
    ON_CONVERSATION,
    AnyAction,
    MacroInput,
    faults_of,
    may_write,
    read_actions,
    written,
)
from campaigns.automation.store.macros import MacroStore
from campaigns.automation.store.rules import fold
from campaigns.canned import Answering
from inbox.acts import Change
from inbox.afterthoughts import Afterthoughts
from inbox.answering import Answering as AnsweringBook
from inbox.bulk import MACRO, Ahead, Bulk, Order, actor_in
from inbox.models import Actor
from inbox.store import ConversationStore
from inbox.view_filter import ViewFilter
from profiles.events import EventStore

log = logging.getLogger(__name__)

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5
#: As many as a list can show, of one person and of all.
OWN_MAX, SHARED_MAX = 100, 200
MISSING = "There is no such macro."
#: What becomes of an action of one's own macro for which one's role is not enough any more.
BARRED = Outcome("not_allowed", "The role of who runs this is not enough for it.")


@dataclass(frozen=True)
class Macro:
    """A macro as it stands; without an owner it is everybody's."""

    id: str
    name: str
    owner_id: str | None
    channel_ids: tuple[str, ...]
    actions: tuple[AnyAction, ...]
    uses: int
    used_at: datetime | None
    stands: bool
    rev: int
    created_at: datetime
    updated_at: datetime

    @property
    def scope(self) -> str:
        """Who sees it."""
        return "everybody" if self.owner_id is None else "me"


@dataclass(frozen=True)
class Runner:
    """Who runs one. `channels` None: may answer on all."""

    by: Actor
    called: Answering
    channels: Sequence[str] | None = None
    role: str = "agent"

    def may_have_done(self, action_type: str) -> bool:
        """Whether what they are is enough for such an action; see `models.WRITTEN_BY`."""
        return may_write(action_type, self.role, self.channels)


class Macros:
    """The use cases. What is somebody else's own is not there."""

    def __init__(
        self, store: MacroStore, checking: Checking, carrying: Carrying, conversations: ConversationStore, bulk: Bulk,
        afterthoughts: Afterthoughts, answering: AnsweringBook, events: EventStore, assigning: Assigning, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._checking = checking
        self._carrying = carrying
        self._conversations = conversations
        self._bulk = bulk
        self._afterthoughts = afterthoughts
        self._answering = answering
        self._events = events
        self._assigning = assigning
        self._clock = clock
        bulk.accompany(MACRO, self)

    # -- definitions -------------------------------------------------------------------------------------------

    async def seen_by(self, user_id: str) -> list[Macro]:
        """Everybody's and one's own, by name."""
        return [_macro(row) for row in await self._store.seen_by(user_id)]

    async def get(self, macro_id: str, user_id: str) -> Macro:
        """One that this person sees. Raises `NotFound`."""
        found = await self.known(macro_id, user_id)
        if not found.stands:
            raise NotFound(MISSING)
        return found

    async def known(self, macro_id: str, user_id: str) -> Macro:
        """The same, also when it was taken away. Raises `NotFound`."""
        row = await self._store.get(macro_id) if is_id(macro_id, "mac") else None
        if row is None or row["owner_id"] not in (None, user_id):
            raise NotFound(MISSING)
        return _macro(row)

    async def create(self, wanted: MacroInput, user_id: str) -> Macro:
        """A new one. Raises `Conflict` when the name is taken or there are too many, `WrongInput` with paths for what
        is not there."""
        owner_id = None if wanted.scope == "everybody" else user_id
        await self._require_room(owner_id)
        await self._checked(wanted, user_id)
        fields = {**_fields(wanted, owner_id), "created_by": user_id}
        return await _named(lambda: self._store.add(new_id("mac"), fields))

    async def change(self, macro_id: str, user_id: str, given: Mapping[str, Any]) -> Macro:
        """Replace the parts given. Raises `NotFound`, `Conflict`, `WrongInput`."""
        for _ in range(ROUNDS):
            known = await self.get(macro_id, user_id)
            wanted = read_macro({**as_written(known), **given})
            owner_id = None if wanted.scope == "everybody" else user_id
            if owner_id != known.owner_id:
                await self._require_room(owner_id)
            await self._checked(wanted, user_id)
            fields = _fields(wanted, owner_id)
            try:
                row = await self._store.change(macro_id, known.rev, fields)
            except DuplicateKeyError:
                raise _taken() from None
            if row is not None:
                return _macro(row)
        raise Conflict("This macro is being changed too often just now.", code="contended")

    async def remove(self, macro_id: str, user_id: str) -> None:
        """Take one away; for 30 days it can be put back. Raises `NotFound`."""
        await self.get(macro_id, user_id)
        await self._store.remove(macro_id)

    async def restore(self, macro_id: str, user_id: str) -> Macro:
        """Put one back; nothing is done to one that stands. Raises `NotFound`, `Conflict`."""
        await self.known(macro_id, user_id)
        try:
            await self._store.restore(macro_id)
        except DuplicateKeyError:
            raise _taken() from None
        return await self.get(macro_id, user_id)

    async def _checked(self, wanted: MacroInput, user_id: str) -> None:
        await self._checking.channels(wanted.channel_ids)
        await self._checking.actions(wanted.actions, user_id)

    async def _require_room(self, owner_id: str | None) -> None:
        if await self._store.count(owner_id) >= (SHARED_MAX if owner_id is None else OWN_MAX):
            raise Conflict("There are too many macros already; take one away first.", code="too_many")

    # -- running one -------------------------------------------------------------------------------------------

    async def run(self, macro_id: str, conversation_id: str, runner: Runner, run_id: str | None = None) -> Document:
        """Run it on a conversation; the act, with what was done and what was left and why in `told`. The same `run_id`
        again is the same act. Raises `NotFound`."""
        talk = await self._conversations.head(conversation_id)
        if talk is None:
            raise NotFound("There is no such conversation.")
        return await self.run_on_many(macro_id, runner, ids=[talk["_id"]], run_id=run_id)

    async def run_on_many(
        self, macro_id: str, runner: Runner, *, ids: Sequence[str] = (), found_by: ViewFilter | None = None,
        run_id: str | None = None,
    ) -> Document:  # fmt: skip
        """Run it on conversations named or found, as it is written now; the act, which `Bulk` carries on and takes
        back. The same `run_id` again is the same act. Raises `NotFound`, `WrongInput`."""
        macro = await self.get(macro_id, runner.by.id or "")
        earlier = await self._bulk.find(run_id) if run_id else None
        if earlier is not None:
            return _same(earlier, macro, runner)
        called = {"name": runner.called.name, "email": runner.called.email, "masks": sorted(runner.called.masks)}
        told = {
            "macro_id": macro.id, "name": macro.name, "actions": written(macro.actions), "called": called,
            "channel_ids": list(macro.channel_ids), "own": macro.owner_id is not None, "role": runner.role,
        }  # fmt: skip
        order = Order(
            Change(), runner.by, ids, found_by, runner.channels, kind=MACRO, act_id=run_id or new_id("act"), told=told,
        )  # fmt: skip
        try:
            act = await self._bulk.begin(order)
        except DuplicateKeyError:
            return _same(await self._bulk.get(run_id or ""), macro, runner)
        await self._store.count_use(macro.id)
        return act

    async def _done_ahead(
        self, actions: Sequence[AnyAction], talk: Document, runner: Runner, run_id: str, barred: Collection[str]
    ) -> Ahead:
        at, undo_s = self._clock(), (await self._answering.rules()).undo_s
        doer = Doer(runner.by, "macro", runner.called, runner.channels, runner.by.id or "")
        unable: list[tuple[AnyAction, Outcome]] = []
        changing = [each for each in actions if each.type in ON_CONVERSATION]
        wanted = await self._carrying.wanted(changing, talk, doer, run_id, at, unable)
        done: list[Document] = []
        left: list[Document] = []
        for place, action in enumerate(actions):
            if action.type in ON_CONVERSATION:
                continue
            key = unique_key(run_id, place)
            outcome = BARRED if action.type in barred else await self._outcome(action, talk, doer, key, at, undo_s)
            if outcome.why:
                left.append(_left(action, outcome))
            else:
                done.append({"type": action.type, "about": dict(outcome.about)})
        left += [_left(*each) for each in unable]
        return Ahead(wanted.change, wanted.assignee_name, wanted.team_name, done, left)

    async def _outcome(
        self, action: AnyAction, talk: Document, doer: Doer, key: str, at: datetime, undo_s: int
    ) -> Outcome:
        """What became of an action. One that fails leaves those before it standing, so it is said and no more."""
        try:
            return await self._carrying.carry_out(action, talk, doer, key, at, undo_s=undo_s)
        except UNAVAILABLE:
            raise
        except Conflict as error:
            return Outcome(error.code, str(error))
        except Exception:
            log.exception("an action of a macro failed", extra={"action": action.type, "id": talk["_id"]})
            return Outcome("failed", "It could not be done.")

    # -- as companion of an act on many (`inbox.bulk.Companion`) -------------------------------------------------

    async def ahead(self, act: Document, conversation_id: str) -> Ahead:
        """See `inbox.bulk.Companion`."""
        talk = await self._conversations.head(conversation_id)
        if talk is None:
            raise NotFound("There is no such conversation.")
        told = act["told"]
        called = told["called"]
        answering = Answering(called["name"], called["email"], frozenset(called["masks"]))
        role, channels = await self._rights(act)
        if channels is not None and talk["channel_id"] not in channels:
            raise NotFound("There is no such conversation.")
        runner = Runner(actor_in(act["by"]), answering, channels, role)
        actions, key = read_actions(told["actions"]), unique_key(act["_id"], talk["_id"])
        asked = replace(runner, channels=act["channels"], role=told.get("role", "agent"))
        able = {each.type for each in actions if runner.may_have_done(each.type) and asked.may_have_done(each.type)}
        barred = {each.type for each in actions} - able if told.get("own") else set()
        return await self._done_ahead(actions, talk, runner, key, barred)

    async def _rights(self, act: Document) -> tuple[str, Sequence[str] | None]:
        """Role and channels of who runs it: of a colleague as they are by now, also when it has been under way for
        long. Raises `Conflict` for one who does not answer any more."""
        role, channels, by_id = act["told"].get("role", "agent"), act["channels"], act["by"]["id"]
        if not is_id(by_id, "usr"):  # a program: as it was when it asked
            return role, channels
        colleague = await self._assigning.colleague(by_id)
        if colleague is None or colleague.role not in ("admin", "agent"):
            raise Conflict("Who runs this answers nobody any more.", code="not_allowed")
        if colleague.channels is not None:
            channels = sorted(colleague.channels if channels is None else colleague.channels & set(channels))
        return colleague.role, channels

    async def back(self, act: Document, kept: Document) -> list[str]:
        """See `inbox.bulk.Companion`."""
        talk = await self._conversations.row(kept["conversation_id"])
        actor, key = actor_in(act["undone_by"]), unique_key(act["_id"], kept["conversation_id"])
        return [
            each["type"]
            for place, each in enumerate(kept["did"])
            if not await self._taken_back(each, talk, actor, unique_key(key, "back", place))
        ]

    async def noted(self, act: Document, row: Document, ahead: Ahead, session: Session) -> None:
        """See `inbox.bulk.Companion`."""
        told, by = act["told"], act["by"]
        left = [{"type": each["type"], "why": each["why"]} for each in ahead.left if "type" in each]
        unable = {each["type"] for each in left}
        did = [each["type"] for each in told["actions"] if each["type"] not in unable]
        run = Ran("macro", told["macro_id"], told["name"], act["_id"], did, left, by["id"], by["type"])
        await self._events.record([ran(run, row, self._clock())], session)

    async def _taken_back(self, done: Document, talk: Document | None, by: Actor, key: str) -> bool:
        about = done["about"]
        try:
            if done["type"] == "reply":
                await self._afterthoughts.undo(about["message_id"], by)
                return True
            person_id = talk["profile_id"] if talk else ""
            return await self._carrying.take_back(done["type"], about, person_id, by, key)
        except (Conflict, NotFound, WrongInput):
            return False


def read_macro(fields: Mapping[str, Any]) -> MacroInput:
    """Raises `WrongInput` with paths."""
    try:
        return MacroInput.model_validate(dict(fields))
    except ValidationError as error:
        raise WrongInput("The macro has faults.", faults_of(error)) from None


def as_written(macro: Macro) -> dict[str, Any]:
    """As somebody would write it."""
    return {
        "name": macro.name, "scope": macro.scope, "channel_ids": list(macro.channel_ids),
        "actions": written(macro.actions),
    }  # fmt: skip


def _fields(wanted: MacroInput, owner_id: str | None) -> Document:
    return {
        "name": wanted.name, "folded": fold(wanted.name), "owner_id": owner_id,
        "channel_ids": list(dict.fromkeys(wanted.channel_ids)), "actions": written(wanted.actions),
    }  # fmt: skip


def _macro(row: Document) -> Macro:
    return Macro(
        row["_id"], row["name"], row["owner_id"], tuple(row["channel_ids"]), read_actions(row["actions"]), row["uses"],
        row["used_at"], row["stands"], row["rev"], row["created_at"], row["updated_at"],
    )  # fmt: skip


def _left(action: AnyAction, outcome: Outcome) -> Document:
    return {"type": action.type, "why": outcome.why, "sentence": outcome.sentence}


def _same(act: Document, macro: Macro, runner: Runner) -> Document:
    """The act of an earlier click. Raises `Conflict` when it was for something else."""
    told = act.get("told") or {}
    if act["kind"] != MACRO or told.get("macro_id") != macro.id or act["by"]["id"] != runner.by.id:
        raise Conflict("This run was for something else.", code="run_taken")
    return act


async def _named(save: Callable[[], Awaitable[Document]]) -> Macro:
    try:
        return _macro(await save())
    except DuplicateKeyError:
        raise _taken() from None


def _taken() -> Conflict:
    return Conflict("There is a macro with this name already.", code="name_taken")
