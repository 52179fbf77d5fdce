"""Conversations shown as one, and apart again: no line in two threads, none in none, no channel lost."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import Conflict, NotFound, WrongInput
from channels.vocabulary import Person
from inbox.models import Actor, Conversation, ReplyInput
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

BO = Actor("usr_bo", "Bo")
ANNA = Person(name="Anna", email="anna@example.org", verified=True)
PLACES = ("scripted", "keyed", "echoing")


async def _anna(house: House, count: int = 2) -> tuple[list[str], list[str]]:
    """One customer who wrote on so many channels: the channels and the conversations."""
    channels = [await house.channel(provider) for provider in PLACES[:count]]
    talks = [
        await house.conversation(channel, f"anna-{n}", PLACES[n], person=ANNA) for n, channel in enumerate(channels)
    ]
    assert len({talk.profile_id for talk in talks}) == 1
    return channels, [talk.id for talk in talks]


async def _says(house: House, channels: Sequence[str], n: int, message_id: str, text: str = "Hi", **more: Any) -> str:
    arrival = house.arrival(channels[n], f"anna-{n}", message_id, text, provider=PLACES[n], person=ANNA, **more)
    result = await house.inbox.receiver.receive([arrival])
    return result.outcomes[0].conversation_id or ""


async def _get(house: House, conversation_id: str) -> Conversation:
    found = await house.inbox.conversations.get(conversation_id)
    assert found is not None
    return found


async def _thread(house: House, conversation_id: str) -> list[str]:
    talk = await _get(house, conversation_id)
    page = await house.inbox.messages.page(list(talk.threads), limit=200)
    return [each.id for each in page.data if each.direction != "system"]


async def test_two_are_one_and_two_again(house: House) -> None:
    channels, (first, second) = await _anna(house)
    before = [await house.inbox.conversations.row(key) for key in (first, second)]
    look = await house.inbox.merging.look(first, [second])
    assert (look.act_id, look.messages, [each.id for each in look.parts]) == (None, 1, [second])
    merge = await house.inbox.merging.merge(first, [second], AGENT)
    talk = await _get(house, second)
    assert (talk.id, talk.merged_from, talk.parts, talk.unread, talk.message_count) == (first, second, (second,), 2, 2)
    assert len(await _thread(house, first)) == 2
    assert [each.id for each in await house.inbox.conversations.of_profile(talk.profile_id)] == [first]
    assert (await house.event_names())["conversation.merged"] == 1
    await _says(house, channels, 1, "m2", "And another thing")
    talk = await _get(house, first)
    assert (talk.unread, talk.message_count) == (3, 3)
    assert talk.last_message is not None and talk.last_message.text == "And another thing"
    assert talk.last_message.channel_id == channels[1]
    assert merge.act_id is not None
    for _ in range(2):
        await house.inbox.merging.unmerge(merge.act_id, BO)
    one, two = await _get(house, first), await _get(house, second)
    assert (one.parts, one.message_count, one.unread, one.waiting_since) == ((), 1, 1, before[0]["waiting_since"])  # type: ignore[index]
    assert (two.id, two.status, two.message_count, two.unread) == (second, "open", 2, 2)
    assert two.last_message is not None and two.last_message.text == "And another thing"
    assert (await house.event_names())["conversation.unmerged"] == 1


async def test_news_for_a_merged_thread_wake_the_head_once(house: House, second_house: House) -> None:
    channels, keys = await _anna(house, 3)
    await house.inbox.merging.merge(keys[0], keys[1:], AGENT)
    await house.inbox.actions.set_status(keys[0], "resolved", AGENT)
    at = house.clock()
    both = [
        each.inbox.receiver.receive([
            house.arrival(channels[n], f"anna-{n}", f"news-{n}", provider=PLACES[n], person=ANNA, at=at)
        ]) for n, each in ((1, house), (2, second_house))
    ]  # fmt: skip
    results = await asyncio.gather(*both)
    assert [each.outcomes[0].conversation_id for each in results] == keys[1:]
    talk = await _get(house, keys[0])
    assert (talk.status, talk.unread, talk.waiting_since) == ("open", 2, at)
    lines = await house.inbox.messages.raw({"conversation_id": keys[0], "system.code": "reopened"})
    assert len(lines) == 1
    parts = await house.inbox.messages.raw({"conversation_id": {"$in": keys[1:]}, "direction": "in"})
    numbers = sorted(row["head_seq"] for row in parts if "head_seq" in row)
    assert len(set(numbers)) == 2 and numbers[-1] <= talk.seq
    # both parts in one batch, and the head's own line beside them
    await house.inbox.actions.mark_read(keys[0], AGENT)
    arrivals = [house.arrival(channels[n], f"anna-{n}", f"more-{n}", provider=PLACES[n], person=ANNA) for n in range(3)]
    await house.inbox.receiver.receive(arrivals)
    assert (await _get(house, keys[0])).unread == 3


async def test_a_merge_loses_no_reply_channel(house: House) -> None:
    """Zammad 5712: after a merge one could only answer on the first one's channel."""
    channels, keys = await _anna(house, 3)
    await house.inbox.merging.merge(keys[0], keys[1:], AGENT)
    await _says(house, channels, 2, "latest")
    default = await house.inbox.outbox.reply(keys[0], AGENT, ReplyInput(text="where they wrote last"), "a")
    chosen = await house.inbox.outbox.reply(keys[1], AGENT, ReplyInput(text="chosen"), "b")
    own = await house.inbox.outbox.reply(keys[0], AGENT, ReplyInput(text="own"), "c", exactly=True)
    assert [each.channel_id for each in (default, chosen, own)] == [channels[2], channels[1], channels[0]]
    await house.deliver_all()
    sent = {name: [each.text for each in house.adapter(name).calls] for name in PLACES}
    assert sent == {"scripted": ["own"], "keyed": ["chosen"], "echoing": ["where they wrote last"]}
    assert house.adapter("keyed").calls[0].to.external_id == "anna-1"
    again = await house.inbox.outbox.reply(keys[0], AGENT, ReplyInput(text="where they wrote last"), "a")
    assert again.id == default.id
    talk = await _get(house, keys[0])
    assert talk.waiting_since is None and talk.message_count == 7
    quoted = (await house.inbox.messages.raw({"conversation_id": keys[1], "direction": "in"}))[0]
    answer = ReplyInput(text="to that one", reply_to=quoted["_id"])
    assert (await house.inbox.outbox.reply(keys[0], AGENT, answer, "d")).channel_id == channels[1]


async def test_what_is_taken_back_or_failed_in_a_part_counts_on_the_head(house: House) -> None:
    _, keys = await _anna(house)
    await house.inbox.merging.merge(keys[0], keys[1:], AGENT)
    before = await _get(house, keys[0])
    line = await house.inbox.outbox.reply(keys[1], AGENT, ReplyInput(text="Oops"), "k", undo_s=600)
    assert (await _get(house, keys[0])).waiting_since is None
    await house.inbox.afterthoughts.undo(line.id, AGENT)
    after = await _get(house, keys[0])
    assert (after.waiting_since, after.message_count, after.first_reply_at) == (before.waiting_since, 2, None)
    assert after.last_message is not None and before.last_message is not None
    assert after.last_message.id == before.last_message.id


async def test_what_comes_after_the_merged_one_was_closed_for_long_begins_anew(house: House) -> None:
    channels, keys = await _anna(house)
    await house.inbox.merging.merge(keys[0], keys[1:], AGENT)
    await house.inbox.actions.set_status(keys[0], "resolved", AGENT)
    house.clock.ahead = timedelta(days=30)
    fresh = await _says(house, channels, 1, "much-later")
    assert fresh not in keys and (await _get(house, fresh)).status == "open"
    assert (await _get(house, keys[0])).status == "resolved"
    assert await _says(house, channels, 1, "and-again") == fresh


async def test_only_one_persons_private_conversations_are_merged(house: House) -> None:
    _, keys = await _anna(house)
    other = await house.conversation(await house.channel(), "boris")
    merging = house.inbox.merging
    with pytest.raises(WrongInput):
        await merging.merge(keys[0], [other.id], AGENT)
    with pytest.raises(NotFound):
        await merging.merge(keys[0], ["cnv_" + "0" * 26], AGENT)
    assert (await merging.merge(keys[0], [keys[0]], AGENT)).act_id is None
    group = await house.conversation(await house.channel("mail"), "anna-g", "mail", person=ANNA, group_id="g1")
    with pytest.raises(WrongInput):
        await merging.merge(keys[0], [group.id], AGENT)
    with pytest.raises(NotFound):
        await merging.unmerge("act_" + "0" * 26, AGENT)


async def test_a_merge_of_merged_ones_is_flat_and_comes_apart_from_the_last(house: House) -> None:
    channels, keys = await _anna(house, 3)
    merging = house.inbox.merging
    first = await merging.merge(keys[1], [keys[2]], AGENT)
    second = await merging.merge(keys[0], [keys[1]], AGENT)
    assert set((await _get(house, keys[2])).threads) == set(keys)
    assert first.act_id is not None and second.act_id is not None
    with pytest.raises(Conflict):
        await merging.unmerge(first.act_id, AGENT)
    await merging.unmerge(second.act_id, AGENT)
    assert (await _get(house, keys[2])).id == keys[1] and (await _get(house, keys[0])).parts == ()
    await _says(house, channels, 2, "m2")
    assert (await _get(house, keys[1])).unread == 3
    await merging.unmerge(first.act_id, AGENT)
    assert [(await _get(house, key)).id for key in keys] == keys


async def test_unmerge_gives_back_what_was_and_keeps_what_came(house: House) -> None:
    channels, keys = await _anna(house, 3)
    actions, merging = house.inbox.actions, house.inbox.merging
    until = house.clock() + timedelta(days=3)
    await actions.set_labels(keys[0], ["mine"], AGENT)
    await actions.set_labels(keys[1], ["theirs"], AGENT)
    await actions.set_priority(keys[1], "high", AGENT)
    await actions.set_status(keys[1], "snoozed", AGENT, snoozed_until=until)
    await actions.set_status(keys[2], "resolved", AGENT)
    merge = await merging.merge(keys[0], keys[1:], AGENT)
    talk = await _get(house, keys[0])
    assert (talk.labels, talk.priority) == (("mine", "theirs"), "high")
    await actions.change_labels(keys[0], BO, add=["since"])
    await _says(house, channels, 2, "news")
    assert merge.act_id is not None
    await merging.unmerge(merge.act_id, AGENT)
    one, two, three = [await _get(house, key) for key in keys]
    assert (one.labels, one.priority, one.status) == (("mine", "since"), "none", "open")
    assert (two.status, two.snoozed_until, two.labels) == ("snoozed", until, ("theirs",))
    assert (three.status, three.message_count, three.unread) == ("open", 2, 1)


async def test_a_merge_killed_at_every_await(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, keys = await _anna(house, 3)
    dying, merging = Dying(monkeypatch), house.inbox.merging
    for at in range(1, 30):
        for after in (False, True):
            died = await dying.on(at, after, lambda: merging.merge(keys[0], keys[1:], AGENT))
            await _consistent(house, keys)
            merge = await merging.merge(keys[0], keys[1:], AGENT)
            act = {"act_id": merge.act_id} if merge.act_id else await merging.latest(await _get(house, keys[0]))
            assert act is not None
            act_id = act.get("act_id") or act["_id"]
            died_too = await dying.on(at, after, lambda act_id=act_id: merging.unmerge(act_id, AGENT))
            await _consistent(house, keys)
            await merging.unmerge(act_id, AGENT)
            assert [(await _get(house, key)).id for key in keys] == keys
        if not died and not died_too:
            return
    raise AssertionError("a merge writes more often than that")


async def test_who_comes_too_late_for_the_head_leaves_nothing_on_the_part(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer to a part while somebody changes what it is shown with: it is written anew, and once."""
    _, keys = await _anna(house, 2)
    await house.inbox.merging.merge(keys[0], keys[1:], AGENT)
    before, outbox, guard = await house.inbox.conversations.row(keys[1]), house.inbox.outbox, house.inbox.outbox._guard
    told: list[str] = []

    async def meanwhile(*asked: Any) -> None:
        await guard(*asked)
        if not told:
            told.append("priority")
            await house.inbox.actions.set_priority(keys[0], "high", BO)

    monkeypatch.setattr(outbox, "_guard", meanwhile)
    await outbox.reply(keys[1], AGENT, ReplyInput(text="x"), "k")
    after = await house.inbox.conversations.row(keys[1])
    assert before is not None and after is not None and told
    assert (after["seq"], after["rev"]) == (before["seq"] + 1, before["rev"] + 1)
    await _consistent(house, keys)


async def _consistent(house: House, keys: Sequence[str]) -> None:
    """Parts and heads name each other, each line is in exactly one thread, and each slot has one open holder."""
    rows = {row["_id"]: row for row in await house.inbox.conversations.raw({})}
    heads = [row for row in rows.values() if not row.get("merged_into")]
    for row in rows.values():
        assert (row["status"] == "merged") == bool(row.get("merged_into"))
        if row.get("merged_into"):
            head = rows[row["merged_into"]]
            assert row["_id"] in head["parts"] and not head.get("merged_into") and not row.get("parts")
    for head in heads:
        assert all(rows[part].get("merged_into") == head["_id"] for part in head.get("parts", ()))
    shown = [line for head in heads for line in await _thread(house, head["_id"])]
    lines = await house.inbox.messages.raw({"direction": {"$ne": "system"}})
    assert sorted(shown) == sorted(row["_id"] for row in lines)
    for head in heads:
        said = await house.inbox.messages.count({
            "conversation_id": {"$in": [head["_id"], *head.get("parts", ())]}, "direction": {"$ne": "system"},
        })  # fmt: skip
        assert head["message_count"] == said
        if head["status"] == "resolved":
            assert not head.get("open") and not head.get("waiting_since")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("in"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("merge"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("unmerge"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("reply"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("resolve"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("later"), st.just(0), st.just(0)),
    ),
    min_size=4, max_size=14,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_whatever_the_order_no_line_is_lost_or_doubled(house: House, steps: list[Any]) -> None:
    await _walk(house, steps)


async def _walk(house: House, steps: list[Any]) -> None:
    for name in ("conversations", "messages", "conversation_acts", "events", "sends", "identities", "profiles"):
        await house.database.collection(name).delete_many({})
    house.clock.ahead = timedelta(0)
    channels, keys = await _anna(house, 3)
    acts: list[str] = []
    for number, (what, one, other) in enumerate(steps):
        house.clock.ahead += timedelta(seconds=1)
        try:
            if what == "in":
                await _says(house, channels, one, f"m{number}")
            elif what == "merge":
                merge = await house.inbox.merging.merge(keys[one], [keys[other]], AGENT)
                acts += [merge.act_id] if merge.act_id else []
            elif what == "unmerge" and acts:
                await house.inbox.merging.unmerge(acts[one % len(acts)], AGENT)
            elif what == "reply":
                await house.inbox.outbox.reply(keys[one], AGENT, ReplyInput(text="x"), f"k{number}")
            elif what == "resolve":
                await house.inbox.actions.set_status(keys[one], "resolved", AGENT)
            elif what == "later":
                house.clock.ahead += timedelta(days=20)
        except Conflict:
            pass
        await _consistent(house, keys)
    received = sum(what == "in" for what, _, _ in steps) + 3
    assert await house.inbox.messages.count({"direction": "in"}) == received


async def test_four_who_merge_split_and_answer_at_once_lose_and_double_nothing(
    house: House, second_house: House
) -> None:
    """In two processes; each answer is asked for in both at once."""
    channels, keys = await _anna(house, 3)
    seed = random.randrange(10**6)
    chance, acts, talks, heard, said = random.Random(seed), list[str](), list(keys), 3, 0

    async def one(here: House, who: int) -> None:
        nonlocal heard, said
        for number in range(8):
            key, other, mark = chance.choice(talks), chance.choice(talks), f"{who}-{number}"
            what = chance.choice(("in", "in", "merge", "unmerge", "reply", "reply", "note", "split", "status"))
            try:
                if what == "in":
                    await _says(here, channels, chance.randrange(3), mark)
                    heard += 1
                elif what == "merge":
                    acts.append((await here.inbox.merging.merge(key, [other], AGENT)).act_id or "act_")
                elif what == "unmerge" and acts:
                    await here.inbox.merging.unmerge(chance.choice(acts), BO)
                elif what == "reply":
                    answer = ReplyInput(text=mark)
                    both = [each.inbox.outbox.reply(key, AGENT, answer, mark) for each in (house, second_house)]
                    lines = await asyncio.gather(*both, return_exceptions=True)
                    ids = {each.id for each in lines if not isinstance(each, BaseException)}
                    assert len(ids) <= 1, (seed, mark)
                    said += len(ids)
                elif what == "note":
                    await here.inbox.actions.note(key, BO, mark, mark)
                elif what == "status":
                    await here.inbox.actions.set_status(key, chance.choice(("open", "resolved")), BO)
                elif what == "split":
                    (line, *_) = await here.inbox.messages.raw({"conversation_id": key, "direction": "in"}) or [{}]
                    talks.append((await here.inbox.splitting.split(key, line.get("_id", ""), BO)).id)
            except (Conflict, NotFound, WrongInput):
                pass

    await asyncio.gather(*(one(each, who) for who, each in enumerate((house, second_house, house, second_house))))
    await _consistent(house, keys)
    count = house.inbox.messages.count
    assert (await count({"direction": "in"}), await count({"direction": "out"})) == (heard, said), seed
    assert len(await house.inbox.sends.raw({})) == said, seed
