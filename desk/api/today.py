"""Today: all that waits for a hand of the asking person, what is done with its rows, and what is shown in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from base.errors import FieldError, NotFound, Refused, WrongInput
from base.ids import is_id
from base.mongo import Document
from base.pages import cut, read_cursor, write_cursor
from campaigns.stream.acting import KEY_MAX, Undo
from campaigns.stream.items import KINDS, URGENCY, Item, Kind, Why, key_of
from campaigns.stream.ladders import StreamRules
from desk.api.contract import Call, Operations, not_there
from desk.api.merges import seen_pair
from desk.api.messages import actor_of
from desk.api.scope import Asking, Reader, may_see_act, refuse_scoped, seen_ids, seen_tasks
from desk.api.shapes import Body, PageQuery, Time, UserId, View, When, page
from desk.auth import Principal, principal_for
from desk.news import tell_of
from inbox.bulk import Assignee

operations = Operations("today")


class TodayQuery(PageQuery):
    """Narrows the list."""

    kind: Kind | None = None


class ItemView(View):
    """A row. `why`: what is the matter, the most urgent being `sla_breached`; `at`: since when it waits, or by when it
    is due; `assignee_id`: whose it is, null: whoever takes it; `other_profile_id`: the second person of a `pair`;
    `score` of who is `hot`; `days` without contact of who is `idle`. `key` is what an act names."""

    key: str
    kind: Kind
    why: Why
    at: Time
    name: str | None
    text: str | None
    assignee_id: str | None
    profile_id: str | None
    other_profile_id: str | None
    conversation_id: str | None
    order_id: str | None
    task_id: str | None
    send_id: str | None
    score: int | None
    days: int | None


class TodayAct(Body):
    """What is done with a row of the list."""

    key: str = Field(max_length=KEY_MAX, description="Of the row.")
    act: Literal["done", "snooze", "hand_over"]
    until: When | None = Field(None, description="For `snooze`.")
    assignee_id: UserId | None = Field(None, description="For `hand_over`.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.act == "snooze") != (self.until is not None):
            raise ValueError("until belongs to snooze")
        if (self.act == "hand_over") != (self.assignee_id is not None):
            raise ValueError("assignee_id belongs to hand_over")
        return self


class TodayActView(View):
    """`undo` is the body that takes it back (`POST /today/undo`)."""

    key: str
    act: Literal["done", "snooze", "hand_over"]
    undo: Undo


async def list_of(asking: Asking, principal: Principal, kinds: Iterable[Kind] = KINDS) -> list[Item]:
    """What the asking person has to do, as far as they see the people and channels it is about."""
    sees = partial(seen_ids, asking)
    wanted = frozenset(kinds)
    items: list[Item] = await asking.runtime.day.of(principal.id, principal.channels, sees)
    return [each for each in items if each.kind in wanted]


def part_of(items: Sequence[Item], limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
    """A part of the list and the cursor of the next one: rows that went meanwhile leave no gap. Raises `WrongInput`."""
    rest = list(items)
    if cursor is not None:
        place = read_cursor(cursor, int, datetime, str)
        rest = [each for each in rest if _place(each) > place]
    part, more = cut(rest, limit)
    return part, write_cursor(*_place(part[-1])) if more else None


async def seen_item(asking: Asking, key: str) -> Item:
    """A row the caller may act upon, whoever it belongs to. Raises `NotFound`, also when there is nothing to be done
    about it any more."""
    item: Item | None = await asking.runtime.day.find(key)
    if item is None or not await _sees(asking, item.channel_id, item.people):
        raise NotFound("There is no such row on the list (any more).")
    return item


async def must_see_key(asking: Asking, key: str, act_id: str | None) -> None:
    """Raise `NotFound` unless what a key names, whether it still is to be done or not, may be seen."""
    found, runtime = key_of(key), asking.runtime
    if found is None:
        raise not_there()
    if found.kind == "conversation":
        act: Document | None = await runtime.bulk.find(act_id) if act_id else None
        row = await runtime.conversations.row(found.id)
        if act is None or row is None or act["kind"] != "change" or act["ids"] != [found.id]:
            raise not_there()
        if not may_see_act(asking.principal, act) or not asking.principal.may_see(row["channel_id"]):
            raise not_there()
    elif found.kind == "task":
        if not await seen_tasks(asking, [await runtime.tasks.get(found.id)]):
            raise not_there()
    elif found.kind == "pair":
        await seen_pair(asking, found.id)
    elif found.kind == "failed":
        send = await runtime.sends.get(found.id)
        if send is None or not await _sees(asking, send.channel_id, [send.profile_id]):
            raise not_there()
    else:
        order = await runtime.order_store.get(found.id) if found.kind == "order" else None
        person = order.profile_id if order else found.id
        if not is_id(person, "prf") or not await _sees(asking, None, [person]):
            raise not_there()


async def act_on(asking: Asking, item: Item, act: str, until: datetime | None, assignee_id: str | None) -> Undo:
    """Carry it out. Raises `Refused`, `WrongInput`, `Conflict`."""
    acts, by = asking.runtime.day_acts, actor_of(asking.principal)
    if item.kind == "conversation" and not asking.principal.may("agent"):
        raise Refused("Your role does not allow this.", code="forbidden")
    if act == "done":
        undo: Undo = await acts.done(item, by)
    elif act == "snooze" and until is not None:
        undo = await acts.snooze(item, until, by)
    else:
        undo = await acts.hand_over(item, await _colleague(asking, assignee_id, item), by)
    await _told(asking, item.profile_id)
    return undo


async def take_back(asking: Asking, undo: Undo) -> None:
    """Raises `NotFound`, `Refused`, `Conflict`."""
    await must_see_key(asking, undo.key, undo.act_id)
    if undo.was is not None and await asking.runtime.users.user(undo.was) is None:
        raise not_there()  # what it was handed over from is nobody: no row is given to nobody
    if undo.act_id is not None and not asking.principal.may("agent"):
        raise Refused("Your role does not allow this.", code="forbidden")
    await asking.runtime.day_acts.undo(undo, actor_of(asking.principal))
    found = key_of(undo.key)
    await _told(asking, found.id if found and is_id(found.id, "prf") else None)


@operations("GET", "/today", roles=["viewer"], query=TodayQuery, returns=list[ItemView])
async def list_today(call: Call) -> Any:
    """All that waits for the asking person, the most urgent first.

    Their own, what nobody has, and what belongs to colleagues who are away and for whom they stand in."""
    wanted: TodayQuery = call.query
    items = await list_of(call, call.principal, [wanted.kind] if wanted.kind else KINDS)
    shown, following = part_of(items, wanted.limit, wanted.cursor)
    people = await call.runtime.profiles.many({each.profile_id for each in shown if each.profile_id})
    names = {key: person.display_name for key, person in people.items()}
    return page([item_view(each, names.get(each.profile_id or "")) for each in shown], following)


@operations("POST", "/today/acts", roles=["agent", "marketer"], body=TodayAct, returns=TodayActView)
async def act_on_today(call: Call) -> Any:
    """Do something with a row: it is done, put off, or handed over.

    Conversations are resolved, snoozed and assigned, tasks closed and follow-ups moved, for everybody. Of the others
    only the row goes: until its cause comes anew, or (snoozed, for the caller alone) until then.
    """
    wanted: TodayAct = call.body
    item = await seen_item(call, wanted.key)
    undo = await act_on(call, item, wanted.act, wanted.until, wanted.assignee_id)
    return TodayActView(key=item.key, act=wanted.act, undo=undo)


@operations("POST", "/today/undo", roles=["agent", "marketer"], body=Undo)
async def undo_on_today(call: Call) -> None:
    """Take an act back, with the body it was answered with.

    409 `changed_since` where somebody else has changed it meanwhile."""
    await take_back(call, call.body)


@operations("GET", "/stream-rules", roles=["viewer"], returns=StreamRules)
async def get_stream_rules(call: Call) -> Any:
    """After how long without contact people are shown in Today, by tier, and which orders."""
    return await call.runtime.watching.rules()


@operations("PUT", "/stream-rules", roles=["admin", "marketer"], body=StreamRules, returns=StreamRules)
async def replace_stream_rules(call: Call) -> Any:
    """Say what is shown in Today.

    `idle`: tier, or `owned` for who has an owner and no tier, and rising numbers of days. Everybody is looked at again
    in the background."""
    refuse_scoped(call)
    await call.runtime.watching.choose(call.body, call.principal.id)
    return await call.runtime.watching.rules()


def item_view(item: Item, name: str | None) -> ItemView:
    """As programs see it."""
    return ItemView(
        key=item.key, kind=item.kind, why=item.why, at=item.at, name=name, text=item.text,
        assignee_id=item.assignee_id, profile_id=item.profile_id, other_profile_id=item.other_id,
        conversation_id=item.conversation_id, order_id=item.order_id,
        task_id=item.id if item.kind == "task" else None, send_id=item.id if item.kind == "failed" else None,
        score=item.facts.get("score"), days=item.facts.get("days"),
    )  # fmt: skip


def _place(item: Item) -> tuple[int, datetime, str]:
    return URGENCY[item.why], item.at, item.key


async def _sees(asking: Asking, channel_id: str | None, people: Iterable[str]) -> bool:
    wanted = set(people)
    return asking.principal.may_see(channel_id) and (await seen_ids(asking, wanted)) >= wanted


async def _colleague(asking: Asking, user_id: str | None, item: Item) -> Assignee:
    """Who is to have it. Raises `WrongInput` for nobody, and for who answers no conversations."""
    user = await asking.runtime.users.user(user_id) if user_id and is_id(user_id, "usr") else None
    answers = item.kind != "conversation" or (user is not None and user.role in ("admin", "agent"))
    if user is None or not user.active or not answers:
        raise WrongInput("There is no such colleague.", [FieldError("assignee_id", "is nobody who could do it")])
    if not await _sees(Reader(principal_for(user), asking.runtime), item.channel_id, item.people):
        raise WrongInput("This colleague does not see this customer.", [FieldError("assignee_id", "sees them not")])
    return Assignee(user.id, user.name, None if user.channels is None else sorted(user.channels))


async def _told(asking: Asking, profile_id: str | None) -> None:
    if profile_id is not None:
        await tell_of(asking.runtime, profile_id, "today.updated")
