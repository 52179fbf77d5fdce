"""One change of many conversations, named one by one or by a filter, and the way back.

An act is a row and a duty: each conversation is changed in one transaction together with what can be undone of it and
with how far the act is, so whoever carries it on after a death neither repeats nor leaves out one.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from base.clock import Clock
from base.duty import LeaseLost
from base.errors import Conflict, NotFound, WrongInput
from base.ids import id_before, new_id
from base.mongo import UNAVAILABLE, Document, Session
from inbox.acts import Act, Change, Plan, checked, plans_of, trace, undone_act
from inbox.conversations import ConversationActions, Within
from inbox.finding import Finding
from inbox.models import Actor
from inbox.owning import BotNames, BotsOn
from inbox.store import ActStore, ConversationStore, MessageStore
from inbox.store.acts import KEPT, LEASE_S
from inbox.view_filter import ConversationFilter, ViewFilter
from profiles.models import SHUT_OUT

log = logging.getLogger(__name__)

#: So many are changed while whoever asked waits; more in the background.
AT_ONCE = 200
#: Ids that may be named in one act, and how far those that a filter finds are counted.
IDS_MAX, COUNT_MAX = 1000, 100_000
BATCH = 100
ROUNDS = 12
WORKING = ("running", "undoing")
#: The same for acts that do more with each than change it: words go out, which takes longer.
ACCOMPANIED_AT_ONCE = 20
#: The kind of an act that is a macro's, on one conversation or many: it may change nothing of them themselves.
MACRO = "macro"


@dataclass(frozen=True)
class Assignee:
    """Who is to have them. `channels` None: may answer on all."""

    id: str
    name: str
    channels: Sequence[str] | None = None


@dataclass(frozen=True)
class Order:
    """What is to be changed of which conversations, by whom. `channels`: what the asking person may see; None: all."""

    change: Change
    by: Actor
    ids: Sequence[str] = ()
    #: Instead of ids: all that were there when it was asked and belong when their turn comes.
    found_by: ViewFilter | None = None
    channels: Sequence[str] | None = None
    assignee: Assignee | None = None
    team_name: str | None = None
    #: What it is part of, and the id it was given there.
    kind: str = "change"
    act_id: str | None = None
    #: What is told of it beside the change: `{name, did?, left?}` of a macro.
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ahead:
    """What one conversation of an act comes to: the change of itself, and what was done beside it and left there.

    `did`: `{type, about}`, kept so that it can be taken back; `left`: `{why, type?, sentence?}`.
    """

    change: Change
    assignee_name: str | None = None
    team_name: str | None = None
    did: Sequence[Document] = ()
    left: Sequence[Document] = ()


class Companion(Protocol):
    """Does with each conversation of an act of its kind what is no change of the conversation."""

    async def ahead(self, act: Document, conversation_id: str) -> Ahead:
        """Do it, before the conversation is changed. The same again does nothing twice. Raises `NotFound`."""
        ...

    async def noted(self, act: Document, row: Document, ahead: Ahead, session: Session) -> None:
        """It is written down as done with a conversation as read, in this transaction."""
        ...

    async def back(self, act: Document, kept: Document) -> list[str]:
        """Take back what `kept["did"]` says; types of what stays. The same again changes nothing."""
        ...


class _Stale(Exception):
    """The conversation has changed since it was looked at."""


class Bulk:
    """The use cases."""

    def __init__(
        self, acts: ActStore, actions: ConversationActions, conversations: ConversationStore, messages: MessageStore,
        finding: Finding, clock: Clock, *, bots: BotsOn | None = None, bot_names: BotNames | None = None,
    ) -> None:  # fmt: skip
        """`bots`: who has the conversations of a channel first; `bot_names`: how they are called."""
        self._bots = bots
        self._bot_names = bot_names
        self._acts = acts
        self._actions = actions
        self._conversations = conversations
        self._messages = messages
        self._finding = finding
        self._clock = clock
        self._companions: dict[str, Companion] = {}

    def accompany(self, kind: str, companion: Companion) -> None:
        """Acts of this kind do more with each conversation than change it."""
        self._companions[kind] = companion

    async def begin(self, order: Order) -> Document:
        """Change up to `AT_ONCE` (`ACCOMPANIED_AT_ONCE`) now, more in the background; the act as it stands then. Raises
        `WrongInput`."""
        row = await self._row(order)
        await self._acts.add(row)
        return await self._carried_on(row) if row["lease"] else row

    async def get(self, act_id: str) -> Document:
        """An act as it stands. Raises `NotFound`."""
        row = await self._acts.get(act_id)
        if row is None:
            raise NotFound("There is no such change, or it was made too long ago.")
        return row

    async def find(self, act_id: str) -> Document | None:
        """An act as it stands; None for one that is not there (any more)."""
        return await self._acts.get(act_id)

    async def undo(self, act_id: str, by: Actor, channels: Sequence[str] | None = None) -> Document:
        """Take it back, also while it is still under way; what others have changed since is left, and what is not on
        `channels` (what the asking person may see today; None: all). The same again changes nothing. Raises
        `NotFound`."""
        before = await self.get(act_id)
        if before["state"] in ("undoing", "undone"):
            return before
        small = before["changed"] <= self._at_once(before["kind"])
        fields = {
            "state": "undoing", "undone_by": _actor_row(by), "after": None, "left_out": [], "left": 0, "undone": 0,
            "attempts": 0, "channels": None if channels is None else list(channels), **self._begun(small),
        }  # fmt: skip
        fields["found_by"] = None
        turned = await self._acts.turn(act_id, ("running", "done"), {"$set": fields})
        row = turned or await self.get(act_id)
        return await self._carried_on(row) if turned and small else row

    async def drain(self, limit: int = 1) -> int:
        """Carry on with acts that are due; how many were worked at. For the clockwork; several may do it at once."""
        rows = await self._acts.duties.claim(WORKING, self._clock(), limit=limit)
        for row in rows:
            await self._carried_on(row)
        return len(rows)

    # -- the row -----------------------------------------------------------------------------------------------

    async def _row(self, order: Order) -> Document:
        now = self._clock()
        change = order.change if order.kind in self._companions else checked(order.change, now)
        ids, found_by = sorted(set(order.ids)), order.found_by
        if len(ids) > IDS_MAX or (found_by is not None) == bool(ids or order.kind == SHUT_OUT):
            raise WrongInput(f"Name 1 to {IDS_MAX} conversations, or a filter that finds them.")
        total = len(ids)
        if found_by is not None:
            total = await self._conversations.count(_wanted(order), at_most=COUNT_MAX)
        return {
            "_id": order.act_id or new_id("act"), "kind": order.kind, "by": _actor_row(order.by), "at": now,
            "expires_at": now + KEPT, "state": "running",
            "change": change.model_dump(mode="json", exclude_unset=True), "ids": ids,
            "fence": 0, "attempts": 0,
            "channels": None if order.channels is None else list(order.channels),
            "assignee": None if order.assignee is None else asdict(order.assignee), "team_name": order.team_name,
            "after": None, "total": total, "done": 0, "changed": 0, "left": 0, "left_out": [],
            "found_by": None if found_by is None else {"filter": found_by.written(), "me": order.by.id},
            "upto": id_before("cnv", now + timedelta(milliseconds=1)),
            **self._begun(total <= self._at_once(order.kind)),
            **({"told": dict(order.told)} if order.told else {}),
        }  # fmt: skip

    def _at_once(self, kind: str) -> int:
        return ACCOMPANIED_AT_ONCE if kind in self._companions else AT_ONCE

    def _begun(self, at_once: bool) -> Document:
        """Ours for a lease when it is done at once; else due for the next worker."""
        if not at_once:
            return {"lease": None, "due_at": self._clock()}
        return {"lease": secrets.token_hex(12), "due_at": self._clock() + timedelta(seconds=LEASE_S)}

    # -- carrying it out ---------------------------------------------------------------------------------------

    async def _carried_on(self, act: Document) -> Document:
        step = self._change_batch if act["state"] == "running" else self._undo_batch
        try:
            async with self._acts.duties.held(act):
                while await step(act):
                    pass
        except LeaseLost:
            log.info("an act is carried on elsewhere", extra={"act": act["_id"]})
        return await self.get(act["_id"])

    async def _change_batch(self, act: Document) -> bool:
        """The next conversations; False when there are none left."""
        ids, seen = await self._next(act)
        rows = await self._conversations.rows(ids)
        for each in ids:
            await self._change_one(act, each, rows.get(each))
            act["after"] = each
        if seen is None:
            # The filter may hold somebody's name, and has done its work.
            await self._noted(act, {"state": "done", "ended_at": self._clock(), "lease": None, "found_by": None}, {})
            return False
        if act["after"] != seen:
            await self._noted(act, {"after": seen}, {})
            act["after"] = seen
        return True

    async def _next(self, act: Document) -> tuple[list[str], str | None]:
        """The next conversations that belong, and the last one looked at for them; None: that was all."""
        after = act["after"] or ""
        if act["found_by"] is None:
            ids = [each for each in act["ids"] if each > after][:BATCH]
            return ids, ids[-1] if ids else None
        view = ViewFilter.model_validate(act["found_by"]["filter"])
        wanted = ConversationFilter(view, act["found_by"]["me"], act["channels"])
        found = await self._conversations.walk(wanted, after=after, upto=act["upto"], limit=BATCH)
        belonging = await self._finding.belonging(found, wanted)
        return [each.id for each in belonging], found[-1].id if found else None

    async def _change_one(self, act: Document, conversation_id: str, row: Document | None) -> None:
        objection, ahead = _objection(act, row), None
        try:
            if objection is None:
                ahead = await self._ahead(act, conversation_id)
                await self._written(act, conversation_id, await self._plans(act, ahead, row), ahead)
                return
        except (NotFound, Conflict, WrongInput) as error:
            objection = error.code
        except (*UNAVAILABLE, LeaseLost):
            raise
        except Exception:
            log.exception("one of many could not be changed", extra={"act": act["_id"], "id": conversation_id})
            objection = "failed"
        if ahead is not None and ahead.did:  # it is not changed, and what was done beside it can be taken back
            rest = replace(ahead, left=(*ahead.left, {"why": objection}))
            await self._written(act, conversation_id, [], rest)
            return
        left_out = {"id": conversation_id, "why": objection}
        await self._noted(act, self._past(act, conversation_id), {"done": 1, "left": 1}, [left_out])

    async def _ahead(self, act: Document, conversation_id: str) -> Ahead:
        """What it comes to, and all of it done but the change. What is begun here is finished, whoever dies."""
        companion = self._companions.get(act["kind"])
        if companion is None:
            name = act["assignee"]["name"] if act["assignee"] else None
            return Ahead(Change.model_validate(act["change"]), name, act.get("team_name"))
        await self._noted(act, {"doing": conversation_id}, {})
        return await companion.ahead(act, conversation_id)

    async def _plans(self, act: Document, ahead: Ahead, row: Document | None) -> list[Plan]:
        names = {"assignee_name": ahead.assignee_name, "team_name": ahead.team_name}
        bot_id = (row or {}).get("bot_id")
        if ahead.change.take_over and self._bot_names and bot_id:
            names["bot_name"] = (await self._bot_names([bot_id])).get(bot_id)
        bots = await self._bots([row["channel_id"]]) if ahead.change.hand_to_bot and self._bots and row else {}
        at = act["at"]
        if act["kind"] in self._companions and ahead.change.parts:
            at = self._clock()  # its turn comes later, and what it comes to was reckoned then
            return plans_of(checked(ahead.change, at), actor_in(act["by"]), at, **names, bots=bots)
        return plans_of(ahead.change, actor_in(act["by"]), at, **names, bots=bots)

    async def _written(self, act: Document, conversation_id: str, plans: Sequence[Plan], ahead: Ahead) -> None:
        noting = self._noting(act, conversation_id, ahead)
        await self._actions.change(conversation_id, plans, actor_in(act["by"]), noting)

    def _past(self, act: Document, conversation_id: str) -> Document:
        """How far an act is behind this one; taking back goes its own way."""
        after = {"after": conversation_id} if act["state"] == "running" else {}
        return {**after, "doing": None} if act["kind"] in self._companions else after

    def _told_of_one(self, act: Document, ahead: Ahead) -> Document:
        """What became of the only conversation of an act stands in the act itself."""
        if act["kind"] not in self._companions or act["total"] != 1:
            return {}
        change = ahead.change.model_dump(mode="json", exclude_unset=True)
        told = {"told.did": list(ahead.did), "told.left": list(ahead.left)}
        return {"change": change, "team_name": ahead.team_name, **told}

    def _noting(self, act: Document, conversation_id: str, ahead: Ahead) -> Within:
        async def within(session: Session, row: Document, acts: Sequence[Act]) -> None:
            changed = bool(acts or ahead.did)
            if changed:
                kept = {
                    "_id": f"{act['_id']}:{conversation_id}", "conversation_id": row["_id"], "at": self._clock(),
                    "parts": [trace(row, each) for each in acts], "expires_at": act["expires_at"],
                    **({"did": list(ahead.did)} if ahead.did else {}),
                }  # fmt: skip
                await self._acts.add_trace(kept, session)
            counts = {"done": 1, "changed": int(changed), **({"partly": 1} if ahead.left else {})}
            left_out = [{"id": row["_id"], **each} for each in ahead.left]
            past = self._past(act, conversation_id) | self._told_of_one(act, ahead)
            if changed and (companion := self._companions.get(act["kind"])):
                await companion.noted(act, row, ahead, session)
            if not await self._acts.note(act, past, counts, left_out=left_out, session=session):
                raise LeaseLost("The act is somebody else's now.")

        return within

    async def _noted(
        self, act: Document, fields: Document, counts: dict[str, int], left_out: Sequence[Document] = ()
    ) -> None:  # fmt: skip
        if not await self._acts.note(act, fields, counts, left_out=left_out):
            raise LeaseLost("The act is somebody else's now.")

    # -- and back ----------------------------------------------------------------------------------------------

    async def _undo_batch(self, act: Document) -> bool:
        """The next conversations it changed; False when there are none left."""
        if act.get("doing"):  # who was at it has died or lost it: only what was finished is known, and taken back
            rows = await self._conversations.rows([act["doing"]])
            await self._change_one(act, act["doing"], rows.get(act["doing"]))
            act["doing"] = None
        traces = await self._acts.traces(act["_id"], act["after"], BATCH)
        for each in traces:
            await self._undo_one(act, each)
            act["after"] = each["_id"]
        if not traces:
            await self._noted(act, {"state": "undone", "ended_at": self._clock(), "lease": None}, {})
        return bool(traces)

    async def _undo_one(self, act: Document, kept: Document) -> None:
        why = "changed_since"
        for _ in range(ROUNDS):
            row = await self._conversations.row(kept["conversation_id"])
            if row is None or not _in_reach(act, row):
                why = "not_found"
                break
            try:
                if await self._undone(act, kept, row):
                    return
            except _Stale:
                continue
            except (NotFound, Conflict, WrongInput) as error:
                why = error.code
            break
        left_out = {"id": kept["conversation_id"], "why": why}
        await self._noted(act, {"after": kept["_id"]}, {"left": 1}, [left_out])

    async def _undone(self, act: Document, kept: Document, row: Document) -> bool:
        """Set back what can be; False when that is nothing."""
        by, waits = actor_in(act["undone_by"]), await self._waits_since(kept, row)

        def plan(fresh: Document, part: Document) -> Act | None:
            if fresh["rev"] != row["rev"]:
                raise _Stale
            return undone_act(fresh, part, by, waits)

        acts = [undone_act(row, part, by, waits) for part in kept["parts"]]
        stays = await self._companions[act["kind"]].back(act, kept) if kept.get("did") else []
        left = sum(each is None for each in acts) + len(stays)
        if left == len(acts) + len(kept.get("did", ())):
            return False
        plans = [lambda fresh, part=part: plan(fresh, part) for part in kept["parts"]]
        left_out = [{"id": row["_id"], "why": "stays", "type": each} for each in stays]

        async def within(session: Session, _row: Document, _acts: Sequence[Act]) -> None:
            counts = {"undone": 1, "left": int(left > 0)}
            if not await self._acts.note(act, {"after": kept["_id"]}, counts, left_out=left_out, session=session):
                raise LeaseLost("The act is somebody else's now.")

        await self._actions.change(kept["conversation_id"], plans, by, within)
        return True

    async def _waits_since(self, kept: Document, row: Document) -> datetime | None:
        """When the customer first wrote after the act, and after whoever answered since."""
        if not any(each["part"] == "status" for each in kept["parts"]):
            return None
        after = max([kept["at"], *([row["last_reply_at"]] if row.get("last_reply_at") else [])])
        line = await self._messages.latest(row["_id"], ["in"], after=after)
        return line["provider_at"] if line else None


def _wanted(order: Order) -> ConversationFilter:
    return ConversationFilter(order.found_by or ViewFilter(), order.by.id, order.channels)


def _objection(act: Document, row: Document | None) -> str | None:
    """Why an act may not touch a conversation; None: it may. Pure."""
    assignee, offered = act["assignee"], act.get("told", {}).get("channel_ids")
    if row is None or not _in_reach(act, row):
        return "not_found"
    if assignee and assignee["channels"] is not None and row["channel_id"] not in assignee["channels"]:
        return "not_their_channel"
    if offered and row["channel_id"] not in offered:
        return "not_offered"
    return None


def _in_reach(act: Document, row: Document) -> bool:
    return act["channels"] is None or row["channel_id"] in act["channels"]


def _actor_row(by: Actor) -> Document:
    return {"id": by.id, "name": by.name, "type": by.type}


def actor_in(row: Document) -> Actor:
    """Who acts, as an act keeps it."""
    return Actor(row["id"], row["name"], row["type"])
