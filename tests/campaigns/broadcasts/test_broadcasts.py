"""From a draft to a ledger that adds up: who gets it, who not and why, pause, cancel, another attempt, newcomers."""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from base.ids import new_id
from campaigns.broadcasts.figures import adds_up
from campaigns.broadcasts.naming import BroadcastUses
from channels.failures import Failure, SendFailed
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from inbox.models import SendRequest, Source
from inbox.sources import written
from inbox.store.mailings import Tally
from profiles.consent import ConsentAct
from profiles.store.terms import TermStore
from profiles.uses import Use, Uses
from tests.campaigns.broadcasts.conftest import Post, opened


async def test_everybody_gets_it_once_and_the_ledger_adds_up(post: Post) -> None:
    people = await post.people(95)
    broadcast = await post.started()
    assert await post.states(broadcast) == {"planned": 95}
    await post.settle()
    assert sorted(post.world.sent()) == sorted(f"Hi P {i}" for i in range(95))
    counts = await post.counts(broadcast)
    assert counts["accepted"] == counts["people"] == len(people) and adds_up(counts)
    assert await post.status(broadcast) == "done"
    head = await post.broadcasts.get(broadcast)
    assert head["counts"]["accepted"] == 95 and not head["active"]


async def test_those_who_get_nothing_stand_in_the_ledger_with_the_reason(post: Post) -> None:
    people = await post.people(30)
    reachable, gone, silent = people[:10], people[10:15], people[15:20]
    for profile_id in gone:
        (identity,) = await post.world.profiles.identities_of(profile_id)
        await post.world.consent.suppress(identity.id, "bounce")
    for profile_id in silent:
        (identity,) = await post.world.profiles.identities_of(profile_id)
        await post.world.consent.act(ConsentAct(identity.id, "marketing", False, "keyword"))
    elsewhere = await post.people(7, "windowed")
    broadcast = await post.started(holdout_percent=20)
    await post.settle()
    counts = await post.counts(broadcast)
    reasons = counts["reasons"]
    held_out = reasons.pop("holdout")
    assert counts["people"] == 37 and adds_up(counts) and 0 < held_out < 20
    assert set(reasons) <= {"suppressed", "no_consent", "no_address"} and reasons["no_address"] <= len(elsewhere)
    assert counts["accepted"] == len(post.world.sent()) == 37 - held_out - sum(reasons.values())
    assert counts["skipped"] == held_out + sum(reasons.values()) and len(reachable) == 10
    listed = await post.broadcasts.recipients(broadcast, state="skipped", reason="suppressed", limit=3)
    assert {each.reason.code for each in listed.data if each.reason} == {"suppressed"}
    assert await post.world.inbox.delivery.deliver(100) == 0


async def test_the_figures_are_read_in_the_index_alone(post: Post) -> None:
    await post.people(20)
    broadcast = await post.started(holdout_percent=50)
    plan = await post.world.db.handle.command(
        "explain",
        {
            "aggregate": "sends", "cursor": {}, "hint": "by_broadcast",
            "pipeline": [
                {"$match": {"source.kind": "broadcast", "source.id": broadcast}},
                {"$group": {"_id": {"s": "$state", "r": "$reason.code", "a": "$source.node_id", "g": "$again"},
                            "n": {"$sum": 1}, "o": {"$sum": {"$cond": [{"$gt": ["$opened_at", None]}, 1, 0]}}}},
            ],
        },
        verbosity="executionStats",
    )  # fmt: skip
    assert "'FETCH'" not in str(plan) and "IXSCAN" in str(plan)
    tallies = await post.mailings.tally(broadcast)
    assert sum(each.count for each in tallies) == 20
    assert {(each.state, each.reason) for each in tallies} == {("planned", None), ("skipped", "holdout")}
    assert isinstance(tallies[0], Tally)


async def test_figures_count_everybody_once_while_rows_go_from_state_to_state(post: Post) -> None:
    """Without one moment for all of them, somebody whose row moves along the index was counted twice or not at all, and
    the number of people on the page went up and down."""
    broadcast, count, rows = new_id("brd"), 6000, post.world.db.collection("sends")
    source = {"kind": "broadcast", "id": broadcast}
    made = [{"_id": new_id("snd"), "send_key": new_id("evt"), "source": source, "state": "planned", "n": n}
            for n in range(count)]  # fmt: skip
    await rows.insert_many(made)
    moving = True

    async def move() -> None:
        for state in itertools.cycle(("accepted", "planned", "skipped", "claimed")):
            for share in range(6):
                if not moving:
                    return
                await rows.update_many({"source.id": broadcast, "n": {"$mod": [6, share]}}, {"$set": {"state": state}})

    movers = [asyncio.create_task(move()) for _ in range(3)]
    sums = [sum(each.count for each in await post.mailings.tally(broadcast)) for _ in range(15)]
    moving = False
    await asyncio.gather(*movers)
    await rows.delete_many({"source.id": broadcast})
    assert set(sums) == {count}


async def test_a_review_counts_who_and_why_before_anything_is_sent(post: Post) -> None:
    people = await post.people(50)
    (identity,) = await post.world.profiles.identities_of(people[0])
    await post.world.consent.suppress(identity.id, "bounce")
    await post.people(3, "windowed")
    head = await post.draft(holdout_percent=10)
    await post.broadcasts.begin_review(head["_id"])
    await post.plan()
    review = await post.broadcasts.review(head["_id"])
    assert review is not None and review["state"] == "done"
    found = review["found"]
    assert found["people"] == 53 and found["gets"] + sum(found["skipped"].values()) == 53
    assert found["skipped"]["no_address"] <= 3 and len(found["samples"]["gets"]) == 5
    assert await post.states(head["_id"]) == {} and post.world.sent() == []
    await post.broadcasts.set_status(head["_id"], "running")
    await post.plan()
    assert (await post.states(head["_id"]))["planned"] == found["gets"]


async def test_a_draft_says_what_is_wrong_and_a_start_what_is_missing(post: Post) -> None:
    with pytest.raises(WrongInput) as wrong:
        await post.draft(rate={"per_minute": 0}, schedule={"type": "local", "date": "soon"})
    assert {each.path for each in wrong.value.errors} >= {"rate.per_minute", "schedule.date"}
    bare = await post.broadcasts.create({"name": "Later"})
    with pytest.raises(WrongInput) as missing:
        await post.broadcasts.set_status(bare["_id"], "scheduled")
    assert {each.path for each in missing.value.errors} >= {"channel_ids", "audience"}
    draft = await post.draft(channel_ids=["chn_" + "0" * 26], audience={"segment_ids": ["seg_" + "0" * 26]})
    with pytest.raises(WrongInput) as unknown:
        await post.broadcasts.set_status(draft["_id"], "running")
    assert {each.path for each in unknown.value.errors} == {"channel_ids[0]", "audience"}


async def test_only_a_draft_can_be_changed(post: Post) -> None:
    at = (now() + timedelta(days=1)).isoformat()
    head = await post.draft(schedule={"type": "at", "at": at})
    head = await post.broadcasts.patch(head["_id"], {"name": "Better"}, rev=head["rev"])
    await post.broadcasts.set_status(head["_id"], "scheduled")
    with pytest.raises(Conflict):
        await post.broadcasts.patch(head["_id"], {"name": "Worse"})
    await post.look()
    assert await post.status(head["_id"]) == "scheduled"
    await post.broadcasts.set_status(head["_id"], "draft")
    assert (await post.broadcasts.patch(head["_id"], {"name": "Best"}))["name"] == "Best"


async def test_what_is_scheduled_begins_by_itself(post: Post) -> None:
    await post.people(3)
    head = await post.draft(schedule={"type": "at", "at": (now() + timedelta(minutes=30)).isoformat()})
    await post.broadcasts.set_status(head["_id"], "scheduled")
    soon = {"$set": {"start_at": now() + timedelta(minutes=5)}}
    await post.world.db.collection("broadcasts").update_one({"_id": head["_id"]}, soon)
    await post.look()
    await post.plan()
    rows = await post.rows(head["_id"])
    assert len(rows) == 3 and all(row["due_at"] > now() + timedelta(minutes=20) for row in rows) is False
    assert {row["state"] for row in rows} == {"planned"} and await post.deliver() == 0


async def test_the_failed_are_tried_once_more_and_nobody_else(post: Post) -> None:
    await post.people(30)
    bad: set[str] = set()

    def script(message: Any) -> Any:
        if int(message.to.external_id.removeprefix("chat")) < 6 and message.to.external_id not in bad:
            bad.add(message.to.external_id)
            return SendFailed(Failure.CONTENT_REJECTED, "no")
        return None

    post.world.provider().script = script
    broadcast = await post.started()
    await post.settle()
    assert (await post.counts(broadcast))["failed"] == 6 and await post.status(broadcast) == "done"
    await post.broadcasts.retry(broadcast)
    await post.settle()
    counts = await post.counts(broadcast)
    assert counts["failed"] == 0 and counts["accepted"] == counts["people"] == 30 and counts["retried"] == 6
    assert len(post.world.sent()) == 30 and await post.status(broadcast) == "done"
    await post.broadcasts.retry(broadcast)
    await post.settle()
    assert len(post.world.sent()) == 30


async def test_newcomers_get_it_and_nobody_twice(post: Post) -> None:
    await post.people(20)
    broadcast = await post.started()
    await post.settle()
    await post.people(5, begin=20)
    await post.broadcasts.newcomers(broadcast)
    await post.settle()
    assert len(post.world.sent()) == 25 and (await post.counts(broadcast))["accepted"] == 25
    await post.broadcasts.newcomers(broadcast)
    await post.settle()
    assert len(post.world.sent()) == 25


async def test_an_opt_out_after_planning_is_heard(post: Post) -> None:
    people = await post.people(4)
    broadcast = await post.started()
    (identity,) = await post.world.profiles.identities_of(people[0])
    await post.world.consent.act(ConsentAct(identity.id, "marketing", False, "keyword"))
    await post.settle()
    counts = await post.counts(broadcast)
    assert counts["accepted"] == 3 and counts["reasons"] == {"no_consent": 1}


async def test_an_audience_asked_again_leaves_out_who_has_left_it(post: Post) -> None:
    people = await post.people(6)
    profiles = post.world.db.collection("profiles")
    await profiles.update_many({}, {"$set": {"tags": ["vip"]}})
    audience = {"rule": {"field": "tags", "op": "any_of", "value": ["vip"]}}
    broadcast = await post.started(audience=audience, recheck=True)
    await profiles.update_one({"_id": people[0]}, {"$set": {"tags": []}})
    await post.settle()
    assert (await post.counts(broadcast))["reasons"] == {"left_audience": 1}


async def test_the_next_channel_takes_whom_the_first_has_lost(post: Post) -> None:
    person = await post.world.person("Anna", email="anna@example.org", verified=True)
    mail = post.world.ids["mail"]
    broadcast = await post.started(channel_ids=[post.world.ids["chat"], mail], content={"text": "Hi", "subject": "S"})
    chat = next(each for each in await post.world.profiles.identities_of(person) if each.channel_id)
    await post.world.consent.suppress(chat.id, "blocked")
    await post.settle()
    (row,) = await post.rows(broadcast)
    assert row["channel_id"] == mail and row["state"] == "accepted"
    assert post.world.sent() == [] and len(post.world.sent("mail")) == 1


async def test_who_unsubscribes_by_the_message_is_counted(post: Post) -> None:
    person = await post.world.person("Anna")
    broadcast = await post.started()
    await post.settle()
    (row,) = await post.rows(broadcast)
    act = ConsentAct(row["identity_id"], "marketing", False, "unsubscribe_link", proof=row["_id"])
    await post.world.consent.act(act)
    await post.hearing.hear(await post.world.events.find(person, ["consent.denied"]))
    assert (await post.counts(broadcast))["unsubscribed"] == 1


async def test_two_workers_plan_and_send_each_person_once(post: Post) -> None:
    """mautic#1737, #3669: senders that ran at once sent up to six copies."""
    await post.people(120)
    other = opened(post.world)
    head = await post.draft()
    await post.broadcasts.set_status(head["_id"], "running")
    for _ in range(12):
        await asyncio.gather(post.planner.drain(), other.planner.drain(), post.deliver(50), post.deliver(50))
    await post.settle()
    assert len(post.world.sent()) == 120 and (await post.counts(head["_id"]))["accepted"] == 120


async def test_a_test_goes_to_an_address_that_is_no_customers(post: Post) -> None:
    mail = OutboundMail(subject="[Test] S", html="<p>Hi</p>")
    message = OutboundMessage(key="k", to=Address(channel_id=post.world.ids["mail"], external_id="?"), mail=mail)
    request = SendRequest(
        "test-1", "service", Source("test", "brd_x"), "", "test:ben@example.org", post.world.ids["mail"],
        written(message),
    )  # fmt: skip
    for _ in range(2):
        await post.world.inbox.outbox.try_out([(request, "ben@example.org")])
        await post.settle()
    (sent,) = post.world.provider("mail").sent
    assert sent.to.external_id == "ben@example.org"
    (row,) = await post.world.inbox.sends.raw({"source.kind": "test"})
    assert row["state"] == "accepted" and "unsettled" not in row
    assert await post.world.db.collection("messages").count_documents({}) == 0
    assert await post.world.db.collection("identities").count_documents({}) == 0


async def test_what_was_sent_can_be_taken_back_while_its_grace_lasts(post: Post) -> None:
    await post.people(3)
    head = await post.draft()
    sent = await post.broadcasts.set_status(head["_id"], "running", grace=timedelta(seconds=10))
    assert sent["status"] == "scheduled" and sent["start_at"] - sent["updated_at"] > timedelta(seconds=9)
    await post.settle()
    assert not await post.rows(head["_id"])
    assert (await post.broadcasts.set_status(head["_id"], "draft"))["status"] == "draft"
    await post.broadcasts.set_status(head["_id"], "running", grace=timedelta(seconds=10))
    past = {"not_before": now() - timedelta(seconds=1), "start_at": now() - timedelta(seconds=1)}
    await post.world.db.collection("broadcasts").update_one({"_id": head["_id"]}, {"$set": past})
    await post.look()
    await post.settle()
    assert (await post.counts(head["_id"]))["accepted"] == 3


async def test_a_renamed_tag_is_found_by_the_rule_that_names_the_old_one(post: Post) -> None:
    people = await post.people(4)
    db = post.world.db
    await db.collection("profiles").update_many({"_id": {"$in": people[:2]}}, {"$set": {"tags": ["green tea"]}})
    head = await post.draft(audience={"rule": {"field": "tags", "op": "any_of", "value": ["tea"]}}, recheck=True)
    assert await TermStore(db).save_list("tag_names", 0, [{"tag": "tea", "to": "green tea"}])
    await post.broadcasts.set_status(head["_id"], "running")
    await post.settle()
    counts = await post.counts(head["_id"])
    assert counts["people"] == 2 == counts["accepted"]


async def test_a_segment_is_not_deleted_under_a_broadcast_that_is_to_come(post: Post) -> None:
    segment, other = "seg_" + "1" * 26, "seg_" + "2" * 26
    head = await post.draft(name="Spring", audience={"segment_ids": [segment], "exclude": {"segment_ids": [other]}})
    uses = Uses(BroadcastUses(post.store))
    for each in (segment, other):
        assert await uses.of_segment(each) == [Use("broadcast", head["_id"], "Spring")]
    assert await uses.of_segment("seg_" + "3" * 26) == []
    await post.broadcasts.set_status(head["_id"], "cancelled")
    assert await uses.of_segment(segment) == []
