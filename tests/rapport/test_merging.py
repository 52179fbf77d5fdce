"""Merging two people and parting them again, through all rooms of the house, with deaths and crossings on the way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest

import profiles.merge
from base.clock import now
from base.errors import Conflict
from campaigns.automation.replies.store import AutomaticReplyStore
from campaigns.automation.store import RunStore
from campaigns.store import CallStore, OfferStore, PlannedStore
from campaigns.store.planned import event_row
from campaigns.stream.store import MarkStore
from campaigns.tasks import TaskInput
from campaigns.telling.models import Notification
from campaigns.telling.store import NotificationStore
from campaigns.tracking.store import CreditStore, TrackingStore
from campaigns.tracking.tokens import link_id_of
from inbox.drafts import DraftInput, DraftKey
from inbox.models import Actor, ReplyInput
from profiles.edit import ProfilePatch
from profiles.follow_up import FollowUpInput
from profiles.models import Dispute
from profiles.notes import NoteInput
from profiles.store import ProfileFilter
from tests.dying import WRITES, Dying
from tests.rapport.merging import ROOMS, Town, opened
from webhooks.outgoing.store import PostStore


@pytest.fixture(scope="module")
async def _town(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, shaped_database) as town:
        yield town


@pytest.fixture
async def town(_town: Town) -> AsyncIterator[Town]:
    yield _town
    await _town.empty()


async def furnished(town: Town) -> tuple[str, str]:
    """Two people with something of theirs in every room."""
    anna, double = await town.says("anna"), await town.says("double", email="double@example.org")
    for name, who in (("anna", anna), ("double", double)):
        await town.buys(name, 1000)
        await town.answers(name, name == "anna")
        await town.enters(who)
        await town.runtime.tasks.create(TaskInput(text=f"Call {name}", profile_id=who), None)
        await town.runtime.editor.patch(who, ProfilePatch(tags=[name, "both"], attributes={"city": name, name: 1}))
        await town.runtime.editor.patch(who, ProfilePatch(stage="lead"))
        await town.runtime.notes.add(who, NoteInput(text=f"About {name}"), "usr_1")
        call = {"key": f"call-{who}", "profile_id": who, "host": "x.example", "state": "done"}
        await CallStore(town.runtime.db, now).plan([call])
        await PostStore(town.runtime.db, now).plan([{"key": f"post-{who}", "profile_id": who, "host": "x.example"}])
        await RunStore(town.runtime.db, now).plan([{"key": f"run-{who}", "profile_id": who, "lane": who}])
        await OfferStore(town.runtime.db, now).make("ofr_spring", f"TEA-{name}", who, None)
        later = now() + timedelta(days=1)
        waits = event_row("jrn_elsewhere", who, f"evt_{name}", now(), due_at=later, until=later)
        await PlannedStore(town.runtime.db, now).wait([waits])
        link_id = link_id_of("jrn_elsewhere", f"https://shop.example/{who}")
        await TrackingStore(town.runtime.db, now).know(
            {link_id: (f"https://shop.example/{who}", "jrn_elsewhere", [who])}
        )
        late = {"_id": f"snd_{who}", "profile_id": who, "source_id": "jrn_elsewhere", "sent_at": now()}
        await CreditStore(town.runtime.db, now).note_late([late])
        await town.runtime.profile_files.attach(who, name.encode(), f"{name}.txt", None, "usr_1")
        days = 2 if name == "anna" else 1
        promise = FollowUpInput(at=now() + timedelta(days=days), text=f"Promised {name}", assignee_id="usr_1")
        await town.runtime.follow_ups.set(who, promise, "usr_1")
        talk = (await town.rows("conversations", profile_id=who))[0]
        await town.runtime.outbox.reply(talk["_id"], Actor("usr_x", "Ada"), ReplyInput(text="Hi"), f"k-{who}")
        await town.runtime.drafts.save(DraftKey(talk["_id"], "usr_x"), talk, DraftInput(text="And"), 0)
        await MarkStore(town.runtime.db, now).put(f"failed:snd_{who}", who, {"done": True})
        asked = {"_id": f"rat_{who}", "key": who, "state": "asked", "asked_at": now(), "conversation_id": talk["_id"],
                 "profile_id": who, "identity_id": talk["identity_id"], "channel_id": talk["channel_id"]}  # fmt: skip
        await town.runtime.rating_rows.plan([asked])
        told = Notification("usr_1", "message", f"m-{who}", talk["_id"], now(), talk["_id"], who, talk["channel_id"])
        await NotificationStore(town.runtime.db, now).add([(told, ("app",))])
        said = {**asked, "_id": f"arp_{who}", "state": "said", "kind": "greeting", "settled_at": now()}
        await AutomaticReplyStore(town.runtime.db).plan([said])
        await town.runtime.bot_posts.plan([{**said, "_id": f"bpo_{who}", "bot_id": "bot_x", "host": "bot.example"}])
    await town.runtime.relations.add(anna, "partner", double)
    await town.runtime.crediting.look()
    await town.runtime.searching.keep()
    await town.runtime.figures.read_past()
    await town.runtime.figures.keep()
    return anna, double


async def test_everything_goes_to_the_survivor_and_old_ids_lead_there(town: Town) -> None:
    anna, double = await furnished(town)
    outlook = await town.runtime.merger.outlook(anna, double)
    assert not outlook.objections and outlook.merge_id is None
    before = {room: len(await town.rows(room)) for room in ROOMS}
    done = await town.runtime.merger.merge(anna, double, by="usr_1")
    assert (done.state, done.moves) == ("done", outlook.moves)
    assert set(done.moves) == set(ROOMS)
    await town.done()
    for room in ROOMS:
        assert not await town.rows(room, profile_id=double), room
        told = 1 if room == "events" else 0
        assert len(await town.rows(room, profile_id=anna)) == before[room] + told, room
    person = await town.runtime.profiles.get(double)
    assert person is not None and (person.id, person.merged_from) == (anna, double)
    assert (person.orders.count, person.orders.revenue) == (2, {"EUR": 2000})
    assert person.tags == ["anna", "both", "double"] and person.attributes == {"city": "anna", "anna": 1, "double": 1}
    assert [each.state for each in person.consents] == ["granted", "denied"]
    assert {each["field"] for each in (await town.rows("merges"))[0]["set_aside"]} >= {"name", "attributes.city"}
    (told_event,) = await town.rows("events", name="profile.merged")
    assert (told_event["profile_id"], told_event["properties"]["other_id"]) == (anna, double)
    assert (await town.runtime.profiles.page(ProfileFilter())).data[0].id == anna


async def test_of_two_follow_ups_the_earlier_stays_and_the_other_becomes_a_task(town: Town) -> None:
    anna, double = await furnished(town)
    kept = {who: (await town.runtime.profiles.get(who)).next_follow_up for who in (anna, double)}  # type: ignore[union-attr]
    done = await town.runtime.merger.merge(anna, double, by="usr_1")
    person = await town.runtime.profiles.get(anna)
    assert person is not None and person.next_follow_up == kept[double]
    while await town.runtime.reactor.react(100):
        pass
    await town.runtime.db.collection("events").update_many(
        {"name": "profile.merged"}, {"$set": {"state": "pending", "due_at": now(), "attempts": 0}}
    )  # who acted on it died before closing it
    while await town.runtime.reactor.react(100):
        pass
    (task,) = await town.rows("tasks", **{"source.kind": "follow_up"})
    assert (task["text"], task["due_at"], task["assignee_id"]) == ("Promised anna", kept[anna].at, "usr_1")
    assert (task["profile_id"], task["state"]) == (anna, "open")

    await town.runtime.merger.unmerge(str(done.merge_id), by="usr_2")
    while await town.runtime.reactor.react(100):
        pass
    (task,) = await town.rows("tasks", **{"source.kind": "follow_up"})
    assert task["state"] == "cancelled"
    for who in (anna, double):
        assert (await town.runtime.profiles.get(who)).next_follow_up == kept[who]  # type: ignore[union-attr]


async def test_an_undone_merge_leaves_everything_as_it_was(town: Town) -> None:
    anna, double = await furnished(town)
    before = await town.everything(anna, double)
    done = await town.runtime.merger.merge(anna, double, by="usr_1")
    undone = await town.runtime.merger.unmerge(str(done.merge_id), by="usr_2")
    assert (undone.state, undone.kept) == ("undone", {})
    await town.done()
    assert await town.everything(anna, double) == before
    again = await town.runtime.merger.unmerge(str(done.merge_id), by="usr_2")
    assert again == undone
    names = [row["name"] for row in await town.rows("events") if row["name"].startswith("profile.unm")]
    assert len(names) == 2


async def test_what_came_since_goes_with_its_identity(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    done = await town.runtime.merger.merge(anna, double, by=None)
    assert await town.says("double", "A new line") == anna
    await town.buys("double", 500)
    await town.answers("double", False)
    await town.runtime.editor.patch(anna, ProfilePatch(name="Anna Bos", add_tags=["since"], tier="gold"))
    undone = await town.runtime.merger.unmerge(str(done.merge_id), by=None)
    await town.done()
    rows = await town.rows("messages", profile_id=double)
    assert [row["text"] for row in rows] == ["Hello", "A new line"]
    people = await town.runtime.profiles.many([anna, double])
    assert people[anna].orders.count == 0 and people[double].orders.count == 1
    assert [each.state for each in people[double].consents] == ["denied"] and not people[anna].consents
    assert people[anna].name == "Anna Bos" and people[anna].tags == ["since"]
    assert people[double].name == "Double" and undone.kept in ({}, {"name": "Anna"})


async def test_two_open_conversations_stay_and_a_reply_goes_to_its_own_identity(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    await town.runtime.merger.merge(anna, double, by=None)
    talks = await town.rows("conversations", profile_id=anna)
    assert [talk["status"] for talk in talks] == ["open", "open"]
    for talk, name in zip(talks, ("anna", "double"), strict=True):
        message = await town.runtime.outbox.reply(talk["_id"], Actor("usr_x"), ReplyInput(text=name), f"r-{name}")
        (send,) = await town.rows("sends", message_id=message.id)
        assert send["identity_id"] == talk["identity_id"] == await town.identity(name)
        assert send["profile_id"] == anna


async def test_of_two_runs_of_one_journey_the_further_goes_on_and_undoing_brings_both_back(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    short, long = await town.enters(anna), await town.enters(double)
    await town.runtime.db.collection("enrolments").update_one({"_id": long}, {"$set": {"visits": {"soon": 1, "w": 1}}})
    before = await town.everything(anna, double)
    done = await town.runtime.merger.merge(anna, double, by=None)
    runs = {row["_id"]: row for row in await town.rows("enrolments", profile_id=anna)}
    assert runs[short]["state"] == "ended" and runs[short]["end"]["reason"] == "merged"
    assert runs[long]["state"] == "waiting" and runs[long]["entry_key"] != runs[short]["entry_key"]
    explained = await town.runtime.journeys.explain(short)
    assert explained.why.code == "end.merged"
    assert (await town.runtime.journeys.enrol(town.waiting, double, key="x")).created is False
    await town.runtime.merger.unmerge(str(done.merge_id), by=None)
    await town.done()
    assert await town.everything(anna, double) == before
    assert (await town.runtime.journeys.explain(short)).log[-1].code == "merge.undone"


async def test_the_latest_word_at_an_address_counts_and_a_denial_when_both_came_at_once(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    at = now()
    await town.answers("anna", True, "news", at)
    await town.answers("double", False, "news", at)
    await town.answers("anna", True, "offers", at)
    await town.answers("anna", False, "offers", at)
    await town.runtime.merger.merge(anna, double, by=None)
    ids = [await town.identity("anna"), await town.identity("double")]
    allowed = await town.runtime.consent.allowed([(each, purpose) for each in ids for purpose in ("news", "offers")])
    assert [verdict.ok for verdict in allowed.values()] == [True, False, False, True]
    assert len(await town.runtime.consent.ledger(anna)) == 4


async def test_chains_are_followed_and_undone_from_the_end(town: Town) -> None:
    first, second, third = [await town.says(name) for name in ("one", "two", "three")]
    before = await town.everything(first, second, third)
    inner = await town.runtime.merger.merge(second, third, by=None)
    outer = await town.runtime.merger.merge(first, second, by=None)
    assert (await town.runtime.profiles.current([third]))[third] == first
    with pytest.raises(Conflict) as refused:
        await town.runtime.merger.unmerge(str(inner.merge_id), by=None)
    assert refused.value.code == "merged_on"
    await town.runtime.merger.unmerge(str(outer.merge_id), by=None)
    assert (await town.runtime.profiles.current([third]))[third] == second
    await town.runtime.merger.unmerge(str(inner.merge_id), by=None)
    await town.done()
    assert await town.everything(first, second, third) == before


async def test_an_earlier_merge_is_undone_and_the_later_one_stays(town: Town) -> None:
    anna, berta, clara = [await town.says(name) for name in ("anna", "berta", "clara")]
    for who, tag in ((anna, "a"), (berta, "b"), (clara, "c")):
        await town.runtime.editor.patch(who, ProfilePatch(tags=[tag], attributes={tag: 1}))
    await town.enters(clara)
    await town.enters(berta)
    first = await town.runtime.merger.merge(anna, berta, by=None)
    second = await town.runtime.merger.merge(anna, clara, by=None)
    await town.done()
    listed = await town.runtime.merger.of_profile(anna)
    assert {row["_id"]: row["undoable"] for row in listed} == {first.merge_id: True, second.merge_id: True}
    await town.runtime.merger.unmerge(str(first.merge_id), by=None)
    await town.done()
    one, two = [await town.rows("profiles", merged_into=None, _id=each) for each in (anna, berta)]
    assert (one[0]["tags"], one[0]["attributes"]) == (["a", "c"], {"a": 1, "c": 1})
    assert (two[0]["tags"], two[0]["attributes"]) == (["b"], {"b": 1})
    live = await town.rows("enrolments", state={"$in": ["waiting", "held"]})
    assert sorted(row["profile_id"] for row in live) == sorted([anna, berta])
    await town.runtime.merger.unmerge(str(second.merge_id), by=None)
    await town.done()
    assert (await town.rows("profiles", _id=anna))[0]["tags"] == ["a"]
    assert len(await town.rows("enrolments", state={"$in": ["waiting", "held"]}, profile_id=clara)) == 1


async def test_what_cannot_be_one_person_is_refused_with_the_reason(town: Town) -> None:
    for name in ("anna", "berta"):
        await town.runtime.resolver.refer("customer_id", name, create=True)
    rows = await town.rows("profiles")
    one, other = (row["_id"] for row in rows)
    assert (await town.runtime.merger.outlook(one, other)).objections == ("different_customers",)
    with pytest.raises(Conflict) as refused:
        await town.runtime.merger.merge(one, other, by=None)
    assert refused.value.code == "different_customers"
    same = await town.runtime.merger.merge(one, one, by=None)
    assert same.merge_id is None and not await town.rows("merges")


async def test_merges_that_cross_end_as_one(town: Town) -> None:
    ids = [await town.says(name) for name in ("one", "two")]
    merger = town.runtime.merger
    results = await asyncio.gather(
        merger.merge(ids[0], ids[1], by=None), merger.merge(ids[1], ids[0], by=None), return_exceptions=True
    )
    assert not [each for each in results if isinstance(each, BaseException)]
    await town.done()
    alive = await town.rows("profiles", merged_into=None)
    assert len(alive) == 1 and len(await town.rows("merges")) == 1
    for room in ROOMS:
        assert {row["profile_id"] for row in await town.rows(room)} <= {alive[0]["_id"]}, room


async def test_webhooks_during_a_merge_end_on_the_survivor(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")

    async def write(name: str) -> None:
        for number in range(12):
            await town.says(name, f"{name} {number}")
            await town.buys(name, 10)

    done, *_ = await asyncio.gather(
        town.runtime.merger.merge(anna, double, by=None), write("anna"), write("double"), write("double")
    )
    await town.done()
    for room in ROOMS:
        assert not await town.rows(room, profile_id=double), room
    person = await town.runtime.profiles.get(anna)
    assert person is not None and (person.orders.count, person.orders.revenue) == (36, {"EUR": 360})
    assert len(await town.rows("messages", direction="in")) == 38
    await asyncio.gather(town.runtime.merger.unmerge(str(done.merge_id), by=None), write("double"), write("anna"))
    await town.done()
    people = await town.runtime.profiles.many([anna, double])
    assert (people[anna].orders.count, people[double].orders.count) == (24, 36)
    for room in ("conversations", "messages"):
        owners = {(row["identity_id"], row["profile_id"]) for row in await town.rows(room)}
        assert owners == {(await town.identity("anna"), anna), (await town.identity("double"), double)}


async def test_suggestions_are_answered_by_a_merge_and_asked_again_when_it_is_undone(town: Town) -> None:
    anna, double, other = [await town.says(name) for name in ("anna", "double", "other")]
    pairs = [Dispute(anna, double, "email", "email:x@y.example"), Dispute(double, other, "phone", "phone:+1")]
    await town.runtime.profiles.suggestions.note(pairs, now())
    done = await town.runtime.merger.merge(anna, double, by=None)
    assert [row["state"] for row in await town.rows("suggestions")] == ["merged", "open"]
    await town.runtime.merger.unmerge(str(done.merge_id), by=None)
    assert [row["state"] for row in await town.rows("suggestions")] == ["open", "open"]


async def test_choices_of_a_person_stay(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    done = await town.runtime.merger.merge(anna, double, by="usr_1", choices={"name": "other"})
    person = await town.runtime.profiles.get(anna)
    assert person is not None and person.name == "Double"
    await town.says("anna", "Hello again")
    person = await town.runtime.profiles.get(anna)
    assert person is not None and person.name == "Double"
    await town.runtime.merger.unmerge(str(done.merge_id), by=None)
    people = await town.runtime.profiles.many([anna, double])
    assert [people[each].name for each in (anna, double)] == ["Anna", "Double"]


async def test_the_owner_who_was_last_in_touch_stays(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    for who, owner in ((anna, "usr_a"), (double, "usr_d")):
        await town.runtime.editor.patch(who, ProfilePatch(owner_id=owner))
    (talk,) = await town.rows("conversations", profile_id=double)
    await town.runtime.outbox.reply(talk["_id"], Actor("usr_d"), ReplyInput(text="Hi"), "k")
    await town.runtime.merger.merge(anna, double, by=None)
    person = await town.runtime.profiles.get(anna)
    assert person is not None and person.owner_id == "usr_d"
    (event,) = await town.rows("events", name="profile.merged")
    assert event["properties"]["owner_ids"] == ["usr_a", "usr_d"]


async def test_an_erased_person_leaves_no_before_image(town: Town) -> None:
    anna, double = await furnished(town)
    await town.runtime.merger.merge(anna, double, by=None)
    row = await town.runtime.privacy.erasures.at_once(double, by="usr_tester")
    await town.done()
    past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
    await town.runtime.db.collection("erasures").update_one({"_id": row["_id"]}, past)
    await town.runtime.privacy.erasures.drain()
    assert not await town.rows("merges") and not await town.rows("profiles")


async def test_who_is_being_erased_takes_nobody_along(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    row = await town.runtime.privacy.erasures.ask(double, by="usr_tester")  # it waits for something
    for one, other in ((anna, double), (double, anna)):
        with pytest.raises(Conflict, match="being erased"):
            await town.runtime.merger.merge(one, other, by=None)
    await town.runtime.privacy.erasures.drain(only=row["_id"])
    assert await town.runtime.profiles.get(anna) is not None and await town.runtime.profiles.get(double) is None


async def test_an_undone_merge_holds_nothing_of_who_was_parted_later(town: Town) -> None:
    anna, clara = await town.says("anna"), await town.says("clara")
    berta = await town.says("berta", email="berta@example.org")
    first = await town.runtime.merger.merge(anna, berta, by=None)
    second = await town.runtime.merger.merge(anna, clara, by=None)
    third = await town.runtime.merger.merge(await town.says("dora"), anna, by=None)
    for each in (third, second, first):
        await town.done()
        await town.runtime.merger.unmerge(str(each.merge_id), by=None)
    await town.done()
    told = await town.runtime.privacy.dossiers.at_once(anna, by="usr_x")
    assert len(told["rooms"]["merges"]) == 3 and "berta" not in str(told["rooms"]["merges"]).lower()
    assert "anna" in str(told["rooms"]["merges"]).lower()
    row = await town.runtime.privacy.erasures.at_once(berta, by="usr_tester")
    await town.done()
    past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
    await town.runtime.db.collection("erasures").update_one({"_id": row["_id"]}, past)
    await town.runtime.privacy.erasures.drain()
    left = await town.rows("merges")
    assert len(left) == 2 and "berta" not in str(left).lower()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_dying_at_any_write_leaves_a_merge_that_is_carried_on(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merge and unmerge, each killed before and after every single write; afterwards it is whole, or never was."""
    monkeypatch.setattr(profiles.merge, "LOOKS", profiles.merge.LOOKS[:1])  # nobody dies at those, and all are alike
    dying, merger = Dying(monkeypatch, (*WRITES, "replace_one")), town.runtime.merger
    anna, double = await furnished(town)
    before = await town.everything(anna, double)
    deaths = 0
    for after in (False, True):
        at = 0
        died = True
        while died:
            at += 1
            died = await dying.on(at, after, lambda: merger.merge(anna, double, by=None))
            await town.done()
            if (await town.runtime.profiles.current([double]))[double] == double:  # it was never decided
                assert await town.everything(anna, double) == before
                await merger.merge(anna, double, by=None)
            for room in ROOMS:
                assert not await town.rows(room, profile_id=double), (at, room)
            latest = (await town.rows("merges"))[-1]["_id"]
            undone = await dying.on(at, after, lambda merge_id=latest: merger.unmerge(merge_id, by=None))
            await town.done()
            if (await town.runtime.profiles.current([double]))[double] == anna:
                await merger.unmerge(latest, by=None)
                await town.done()
            assert await town.everything(anna, double) == before, at
            await forgotten(town)
            deaths += died + undone
    assert deaths > 60


async def forgotten(town: Town) -> None:
    """What an undone merge leaves behind is gone, or each would have more to carry than the one before."""
    await town.runtime.db.collection("merges").delete_many({})
    told = {"name": {"$in": ["profile.merged", "profile.unmerged"]}}
    await town.runtime.db.collection("events").delete_many(told)


async def stages(town: Town) -> list[tuple[str, str, bool]]:
    return [(row["from"], row["to"], "merge_id" in row) for row in await town.rows("stage_log")]


async def told_of_stages(town: Town) -> list[tuple[str, str, bool]]:
    rows = await town.rows("events", name="profile.stage_changed")
    return [(row["properties"]["from"], row["properties"]["to"], "merge_id" in row["properties"]) for row in rows]


async def test_a_merge_that_moves_the_survivor_is_logged_and_told_once_and_taken_back(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    await town.runtime.editor.patch(double, ProfilePatch(stage="customer"))
    done = await town.runtime.merger.merge(anna, double, by="usr_1")
    await town.done()
    person = await town.runtime.profiles.get(anna)
    assert person is not None and person.stage == "customer"
    assert await stages(town) == await told_of_stages(town) == [("new", "customer", False), ("new", "customer", True)]
    row = (await town.rows("stage_log", merge_id=done.merge_id))[0]
    assert (row["profile_id"], row["source"], row["by"]) == (anna, "merge", "usr_1")
    for _ in range(2):
        await town.runtime.merger.unmerge(str(done.merge_id), by="usr_2")
        await town.done()
    back = ("customer", "new", True)
    assert (await stages(town))[-1] == (await told_of_stages(town))[-1] == back and len(await stages(town)) == 3
    for who, stage in ((anna, "new"), (double, "customer")):
        person = await town.runtime.profiles.get(who)
        assert person is not None and person.stage == stage
    assert [each["to"] for each in await town.rows("stage_log", profile_id=double)] == ["customer"]
    again = await town.runtime.merger.merge(anna, double, by="usr_1")
    assert again.merge_id != done.merge_id and len(await stages(town)) == 4


async def test_a_stage_that_was_changed_since_stays_and_is_no_move(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    await town.runtime.editor.patch(double, ProfilePatch(stage="customer"))
    done = await town.runtime.merger.merge(anna, double, by=None)
    await town.runtime.editor.patch(anna, ProfilePatch(stage="repeat"))
    undone = await town.runtime.merger.unmerge(str(done.merge_id), by=None)
    assert undone.kept["stage"] == "new"
    assert [each[1] for each in await stages(town)] == ["customer", "customer", "repeat"]
    same = await town.runtime.merger.merge(double, anna, by=None, choices={"stage": "this"})
    assert same.state == "done" and len(await stages(town)) == 3


@pytest.mark.parametrize("after", [False, True])
async def test_whoever_dies_a_move_by_merge_is_logged_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    dying = Dying(monkeypatch, WRITES)
    for place in (2, 5, 9, 20):
        await town.empty()
        anna, double = await town.says("anna"), await town.says("double")
        await town.runtime.editor.patch(double, ProfilePatch(stage="customer"))
        await dying.on(place, after, partial(town.runtime.merger.merge, anna, double, by=None))
        await town.later()
        await town.runtime.merger.merge(anna, double, by=None)
        await town.done()
        assert len(await stages(town)) == len(await told_of_stages(town)) == 2
        (merge,) = await town.rows("merges")
        await dying.on(place, after, partial(town.runtime.merger.unmerge, merge["_id"], by=None))
        await town.later()
        await town.runtime.merger.unmerge(merge["_id"], by=None)
        await town.done()
        assert len(await stages(town)) == len(await told_of_stages(town)) == 3
