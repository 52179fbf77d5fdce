"""Runs on the real database: they begin, walk, wait, are woken and end."""
# ruff: noqa: E501 - steps of a journey read best in one line

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, NotFound, WrongInput
from campaigns.store import RunBelongings
from campaigns.viewing import SentMails
from channels.failures import Failure, SendFailed
from profiles.consent import ConsentAct
from profiles.events import Event
from profiles.store.belongings import Joining
from tests.campaigns.conftest import LINKS, World

HELLO: dict[str, Any] = {
    "id": "hello",
    "type": "send",
    "content": {"text": "Hello {{ profile.first_name }}"},
    "next": None,
}


async def test_an_event_begins_a_run_that_sends_waits_and_ends(world: World) -> None:
    journey = await world.journey(
        {**HELLO, "next": "wait"}, {"id": "wait", "type": "wait", "for": "P2D", "next": "bye"},
        {**HELLO, "id": "bye", "content": {"text": "Bye, {{ event.properties.plan }}"}},
        trigger={"type": "event", "event": "signed_up", "where": [{"field": "properties.plan", "op": "eq", "value": "pro"}]},
    )  # fmt: skip
    anna, bert = await world.person("Anna Lee"), await world.person("Bert")
    await world.happens("signed_up", anna, plan="pro")
    await world.happens("signed_up", bert, plan="free")
    await world.happens("signed_up", None, plan="pro")
    await world.settle()
    run = await world.run(profile_id=anna)
    assert (run["node"], run["wait"]["kind"], run["state"]) == ("wait", "time", "waiting")
    assert abs(run["due_at"] - now() - timedelta(days=2)) < timedelta(hours=2)
    assert world.sent() == ["Hello Anna"]
    await world.travel(days=2)
    await world.settle()
    assert world.sent() == ["Hello Anna", "Bye, pro"]
    run = await world.run()
    assert run["state"] == "ended" and run["end"]["reason"] == "completed" and "due_at" not in run and "todo" not in run
    assert await world.codes(run["_id"]) == [
        "wait.send", "send.accepted", "wait.over", "wait.send", "send.accepted", "end.completed",
    ]  # fmt: skip
    counts = await world.journeys.counts(journey)
    assert (counts["hello"].passed, counts["wait"].passed, counts["bye"].passed, counts["bye"].waiting) == (1, 1, 1, 0)
    await world.runs.recount(journey)
    assert await world.journeys.counts(journey) == counts


async def test_an_event_handled_twice_enrols_once(world: World) -> None:
    await world.journey(HELLO, trigger={"type": "event", "event": "x"}, reentry={"mode": "after_exit"})
    anna = await world.person()
    await world.happens("x", anna, key="k1")
    await world.settle()
    assert world.sent() == ["Hello Anna"]
    await world.db.collection("events").update_many({"name": "x"}, {"$set": {"state": "pending", "due_at": now()}})
    await world.settle()
    assert len(await world.rows()) == 1 and len(world.sent()) == 1
    await world.happens("x", anna, key="k2")
    await world.settle()
    assert [row["entry_key"] for row in await world.rows()] == ["0|person", "1|person"] and len(world.sent()) == 2


async def test_two_reactors_on_the_same_events_enrol_each_once(world: World) -> None:
    import asyncio

    await world.journey(HELLO, trigger={"type": "event", "event": "x"}, reentry={"mode": "after_exit"})
    people = await world.people(40)
    for profile_id in people:
        await world.happens("x", profile_id)
    other = world.new_worker()
    await world.db.collection("events").update_many({}, {"$set": {"due_at": now() - timedelta(seconds=1)}})
    rows = await world.events.duties.claim(["pending"], now(), limit=500)
    reasons: dict[str, str] = {}
    named = [row for row in rows if row["name"] == "x"]
    await asyncio.gather(world.worker.reactor._act(named, reasons), other.reactor._act(named, reasons))
    assert len(await world.rows()) == 40 and reasons == {}


async def test_a_reply_ends_the_run_where_the_goal_says_so(world: World) -> None:
    await world.journey(
        {"id": "wait", "type": "wait", "for": "P3D", "next": "hello"}, HELLO,
        trigger={"type": "event", "event": "x"}, goal={"when": {"event": "message.received"}, "on_meet": "exit"},
    )  # fmt: skip
    anna = await world.person()
    await world.happens("x", anna)
    await world.settle()
    await world.says(anna, "I am here")
    await world.settle()
    run = await world.run()
    assert run["end"]["reason"] == "goal" and world.sent() == []


async def test_an_answer_takes_its_way_and_silence_the_other(world: World) -> None:
    step = {
        "id": "listen", "type": "wait_event", "timeout": "P1D", "timeout_next": "tip",
        "any": [{"event": "message.received", "next": "tag", "where": [{"field": "properties.text", "op": "contains", "value": "yes"}]}],
    }  # fmt: skip
    await world.journey(
        step, {**HELLO, "id": "tip", "content": {"text": "Tip"}},
        {"id": "tag", "type": "update", "add_tags": ["engaged"], "score": 5, "set": {"attributes.answered": True}, "next": "check"},
        {"id": "check", "type": "branch", "cases": [{"when": {"field": "tags", "op": "contains", "value": "engaged"}, "next": "thanks"}], "else": None},
        {**HELLO, "id": "thanks", "content": {"text": "Thanks"}},
        trigger={"type": "event", "event": "x"},
    )  # fmt: skip
    anna, bert = await world.person("Anna"), await world.person("Bert")
    for profile_id in (anna, bert):
        await world.happens("x", profile_id)
    await world.settle()
    await world.says(anna, "no thanks")
    await world.settle()
    assert world.sent() == []
    await world.says(anna, "Yes!")
    await world.settle()
    assert world.sent() == ["Thanks"]
    profile = await world.profiles.get(anna)
    assert (
        profile is not None
        and profile.tags == ["engaged"]
        and profile.score == 5
        and profile.attributes == {"answered": True}
    )
    await world.travel(days=1)
    await world.settle()
    assert world.sent() == ["Thanks", "Tip"]


async def test_an_event_before_the_wait_counts_if_the_wait_looks_back(world: World) -> None:
    steps = [
        {"id": "pause", "type": "wait", "for": "PT1H", "next": "listen"},
        {"id": "listen", "type": "wait_event", "any": [{"event": "y", "next": None}], "since": "entry", "timeout": "P1D", "timeout_next": "hello"},
        HELLO,
    ]  # fmt: skip
    await world.journey(*steps, trigger={"type": "event", "event": "x"})
    anna = await world.person()
    await world.happens("x", anna)
    await world.settle()
    await world.happens("y", anna)
    await world.settle()
    assert (await world.run())["node"] == "pause"
    await world.travel(hours=1)
    await world.settle()
    assert (await world.run())["end"]["reason"] == "completed" and world.sent() == []


async def test_an_event_between_reading_and_writing_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came after the facts were read and before the wait could be seen: nobody wakes the run, it looks again."""
    await world.journey(
        {"id": "listen", "type": "wait_event", "any": [{"event": "y", "next": "hello"}], "timeout": "P1D", "timeout_next": None},
        HELLO, trigger={"type": "event", "event": "x"},
    )  # fmt: skip
    anna = await world.person()
    await world.happens("x", anna)
    await world.react()
    write = world.runs.write

    async def late(changes: Any, rows: Any) -> Any:
        monkeypatch.setattr(world.runs, "write", write)
        await world.happens("y", anna)
        await world.react()  # nobody is waiting for it yet
        return await write(changes, rows)

    monkeypatch.setattr(world.runs, "write", late)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_channels_are_tried_in_order(world: World) -> None:
    await world.journey(
        {**HELLO, "channels": ["windowed", "mail", "chat"], "content": {"text": "Hi"}},
        trigger={"type": "event", "event": "x"},
    )
    anna = await world.person(channel="windowed", email="anna@example.com")
    assert len(await world.profiles.identities_of(anna)) == 2
    await world.travel(days=2)  # the reply window of the first is closed, and there is no approved template
    await world.happens("x", anna)
    await world.settle()
    assert (world.sent("windowed"), world.sent("mail")) == ([], ["Hi"])
    mail = world.provider("mail").sent[0]
    assert mail.to.external_id == "anna@example.com" and mail.mail is not None and mail.mail.html == "<p>Hi</p>"
    codes = await world.codes((await world.run())["_id"])
    assert codes == ["wait.send", "wait.send", "send.accepted", "end.completed"]
    sends = await world.inbox.sends.raw({})
    assert [(row["state"], (row.get("reason") or {}).get("code")) for row in sends] == [
        ("skipped", "window_closed"),
        ("accepted", None),
    ]


async def test_an_approved_template_goes_out_when_the_window_is_closed(world: World) -> None:
    content = {
        "text": "Hi {{ profile.first_name }}",
        "whatsapp": {"name": "hi_v1", "language": "en", "body": ["{{ profile.first_name }}"]},
    }
    await world.journey(
        {**HELLO, "content": content}, trigger={"type": "event", "event": "x"}, reentry={"mode": "after_exit"}
    )
    anna = await world.person(channel="windowed")
    await world.happens("x", anna)
    await world.settle()
    await world.travel(days=2)
    await world.happens("x", anna)
    await world.settle()
    first, second = world.provider("windowed").sent
    assert first.template is None and first.text == "Hi Anna"
    assert second.template is not None and second.template.body == ("Anna",)


async def test_marketing_asks_for_consent_and_an_opt_out_in_the_middle_counts(world: World) -> None:
    journey = await world.journey({**HELLO, "group": "news"}, trigger={"type": "event", "event": "x"})
    anna = await world.person()
    identity = (await world.profiles.identities_of(anna))[0]
    await world.happens("x", anna)
    await world.react()
    await world.worker.walker.advance(100)  # asked for, not yet sent
    await world.consent.act(ConsentAct(identity.id, "news", False, "keyword"))
    await world.settle()
    assert world.sent() == []
    run = await world.run()
    lines = await world.runs.log_of(run["_id"])
    assert lines[1]["code"] == "send.skipped" and lines[1]["outcome"] == "skipped"
    assert (await world.journeys.counts(journey))["hello"].skipped == 1


async def test_a_marketing_mail_carries_the_way_out_of_it_and_an_order_notice_does_not(world: World) -> None:
    content = {"subject": "News", "text": "Hi. No more: {{ unsubscribe_url }} Choose: {{ preferences_url }}"}
    for group, kind in (("news", "marketing"), (None, "transactional")):
        step = {**HELLO, "content": content, **({"group": group} if group else {})}
        await world.journey(step, trigger={"type": "event", "event": kind}, **{"class": kind})
    anna = await world.person(channel="mail")
    for kind in ("marketing", "transactional"):
        await world.happens(kind, anna)
        await world.settle()
    marketing, notice = world.provider("mail").sent
    assert marketing.mail is not None and notice.mail is not None and notice.mail.list_unsubscribe_url is None
    assert (marketing.mail.list_id, notice.mail.list_id) == ("news.shop.example", None)
    header, text = marketing.mail.list_unsubscribe_url or "", marketing.text or ""
    assert header and f"No more: {header}" in text
    identity = (await world.profiles.identities_of(anna))[0]
    link = LINKS.open("unsubscribe", header.removeprefix("https://crm.example/u/"))
    assert link is not None and (link.identity_id, link.purpose) == (identity.id, "news")
    send = await world.db.collection("sends").find_one({"_id": link.about})
    assert send is not None and send["class"] == "marketing"
    choose = LINKS.open("preferences", text.split("/p/")[1].split()[0])
    assert choose is not None and choose.identity_id == identity.id


async def test_a_marketing_mail_is_seen_in_a_browser_by_its_receiver_for_a_while(world: World) -> None:
    content = {"subject": "News", "body": "<p>Hi {{ profile.name }} <a href='{{ view_in_browser_url }}'>look</a></p>"}
    await world.journey({**HELLO, "content": content}, trigger={"type": "event", "event": "x"})
    anna = await world.person(channel="mail")
    await world.happens("x", anna)
    await world.settle()
    (mail,) = world.provider("mail").sent
    assert mail.mail is not None
    link = LINKS.open("view", (mail.mail.html or "").split("https://crm.example/v/")[1].split("'")[0].split('"')[0])
    (send,) = await world.inbox.sends.raw({})
    assert link is not None and (link.about, link.identity_id) == (send["_id"], send["identity_id"])
    mails = SentMails(world.inbox.sends, {"journey": world.worker.source}, now)
    viewed = await mails.view(send["_id"], send["identity_id"])
    assert viewed is not None and viewed.subject == "News" and "Hi Anna" in viewed.html
    assert await mails.view(send["_id"], "idn_" + "0" * 26) is None, "somebody else's"
    await world.travel(days=91)
    assert await mails.view(send["_id"], send["identity_id"]) is None, "too old"


async def test_mautic_7226_one_refused_recipient_harms_no_other(world: World) -> None:
    """mautic#7226: one rejected address made the whole batch resend for ever."""
    await world.journey(
        {**HELLO, "next": "t"},
        {"id": "t", "type": "wait", "for": "PT0S", "next": None},
        trigger={"type": "event", "event": "x"},
    )
    people = await world.people(60)
    world.provider().script = lambda message: (
        SendFailed(Failure.CONTENT_REJECTED, "no") if message.text == "Hello P" and message.to.external_id == "p7" else None
    )  # fmt: skip
    for profile_id in people:
        await world.happens("x", profile_id)
    await world.settle()
    assert len(world.sent()) == 59
    assert {row["state"] for row in await world.rows()} == {"ended"}
    states = sorted(row["state"] for row in await world.inbox.sends.raw({}))
    assert states.count("failed") == 1 and states.count("accepted") == 59


async def test_mautic_9797_reentry_leaves_no_second_schedule(world: World) -> None:
    """mautic#9797: after a re-entry both the old and the new run stayed scheduled."""
    await world.journey(
        {"id": "wait", "type": "wait", "for": "PT1H", "next": "hello"}, HELLO,
        trigger={"type": "event", "event": "x"}, reentry={"mode": "after_exit", "if_active": "restart"},
    )  # fmt: skip
    anna = await world.person()
    for _ in range(3):
        await world.happens("x", anna)
        await world.settle()
    rows = await world.rows()
    assert [(row["state"], (row.get("end") or {}).get("reason")) for row in rows] == [
        ("ended", "restarted"), ("ended", "restarted"), ("waiting", None),
    ]  # fmt: skip
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_mautic_16026_16075_reentry_works_without_deleting_rows(world: World) -> None:
    await world.journey(HELLO, trigger={"type": "event", "event": "x"}, reentry={"mode": "cooldown", "cooldown": "P7D"})
    anna = await world.person()
    for days in (0, 3, 5, 1):
        await world.travel(days=days)
        await world.happens("x", anna)
        await world.settle()
    assert len(world.sent()) == 2  # at day 0 and day 8; day 9 is too soon again


async def test_queue_one_waits_for_the_run_ahead(world: World) -> None:
    await world.journey(
        {"id": "wait", "type": "wait", "for": "PT1H", "next": "hello"},
        {**HELLO, "content": {"text": "{{ event.properties.n }}"}},
        trigger={"type": "event", "event": "x"}, reentry={"mode": "after_exit", "if_active": "queue_one"},
    )  # fmt: skip
    anna = await world.person()
    for n in (1, 2, 3):
        await world.happens("x", anna, n=n)
        await world.settle()
    assert len(await world.rows()) == 2  # the third found one waiting already
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == ["1"]
    second = await world.run(state="waiting")
    assert second["wait"]["kind"] == "time"  # its own hour began when the first ended
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == ["1", "2"]


async def test_per_key_runs_side_by_side(world: World) -> None:
    await world.journey(
        {"id": "wait", "type": "wait", "for": "PT1H", "next": "hello"}, HELLO,
        trigger={"type": "event", "event": "x", "key": "properties.order"}, reentry={"mode": "per_key"},
    )  # fmt: skip
    anna = await world.person()
    for order in ("a", "b", "a"):
        await world.happens("x", anna, order=order)
    await world.settle()
    assert sorted(row["entry_key"] for row in await world.rows()) == ["0|key:a", "0|key:b"]


async def test_entry_filter_and_first_contact(world: World) -> None:
    vip = {"field": "tags", "op": "contains", "value": "vip"}
    await world.journey(HELLO, trigger={"type": "event", "event": "x"}, entry_filter=vip)
    await world.journey(
        {**HELLO, "content": {"text": "Welcome"}}, trigger={"type": "message_received", "first_contact": True}
    )
    anna = await world.person()
    await world.happens("x", anna)
    await world.says(anna, "hi")
    await world.says(anna, "hi again")
    await world.settle()
    assert world.sent() == ["Welcome"]


async def test_a_poisonous_event_is_set_aside_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import campaigns.qualifying as qualifying

    await world.journey(HELLO, trigger={"type": "event", "event": "x"})
    anna, bert = await world.person("Anna"), await world.person("Bert")
    await world.happens("x", anna, bad=True)
    await world.happens("x", bert)
    real = qualifying.carried

    def carried(event: Any) -> Any:
        if event.properties.get("bad"):
            raise RuntimeError("poison")
        return real(event)

    monkeypatch.setattr(qualifying, "carried", carried)
    await world.settle()
    assert world.sent() == ["Hello Bert"]
    dead = await world.db.collection("events").find({"state": "dead"}).to_list(None)
    assert len(dead) == 1 and "RuntimeError" in dead[0]["reason"]


async def test_a_listener_that_fails_holds_up_no_journey(world: World) -> None:
    async def poisoned(events: Sequence[Event]) -> None:
        if any(event.properties.get("bad") for event in events):
            raise RuntimeError("poison")

    heard: list[str] = []

    async def hears(events: Sequence[Event]) -> None:
        heard.extend(event.id for event in events)

    reactor = world.worker.reactor
    reactor._listeners = (poisoned, hears, *reactor._listeners)
    await world.journey(HELLO, trigger={"type": "event", "event": "x"})
    anna, bert = await world.person("Anna"), await world.person("Bert")
    await world.happens("x", anna, bad=True)
    await world.happens("x", bert)
    await world.settle()
    assert sorted(world.sent()) == ["Hello Anna", "Hello Bert"]
    dead = await world.db.collection("events").find({"state": "dead"}).to_list(None)
    assert [row["_id"] in heard for row in dead] == [True]
    assert "poisoned could not act upon it: RuntimeError." in dead[0]["reason"]


async def test_a_run_that_fails_is_set_aside_alone_and_can_be_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import campaigns.engine as engine

    await world.journey(
        {"id": "w", "type": "wait", "for": "PT0S", "next": "hello"}, HELLO, trigger={"type": "event", "event": "x"}
    )
    anna, bert = await world.person("Anna"), await world.person("Bert")
    for profile_id in (anna, bert):
        await world.happens("x", profile_id)
    real = engine.next_action

    def broken(definition: Any, run: Any, facts: Any, at: Any) -> Any:
        if run.profile_id == anna:
            raise RuntimeError("bug")
        return real(definition, run, facts, at)

    monkeypatch.setattr(engine, "next_action", broken)
    await world.settle()
    assert world.sent() == ["Hello Bert"]
    run = await world.run(profile_id=anna)
    assert run["state"] == "dead" and "RuntimeError" in run["end"]["detail"]
    said = await world.journeys.explain(run["_id"])
    assert said.why.code == "end.error" and said.until is None
    monkeypatch.setattr(engine, "next_action", real)
    await world.journeys.retry(run["_id"])
    await world.settle()
    assert world.sent() == ["Hello Bert", "Hello Anna"]
    with pytest.raises(Conflict):
        await world.journeys.retry(run["_id"])


async def test_a_task_holds_the_run_until_a_person_is_done(world: World) -> None:
    await world.journey(
        {"id": "call", "type": "task", "text": "Call them", "due": "P1D", "wait_done": True, "timeout": "P3D", "next": "hello"},
        HELLO, trigger={"type": "event", "event": "x"},
    )  # fmt: skip
    anna = await world.person()
    await world.happens("x", anna)
    await world.settle()
    told = await world.journeys.explain((await world.run())["_id"])
    assert told.until is not None and abs(told.until - now() - timedelta(days=3)) < timedelta(hours=2)
    assert told.why.params["until"] == told.until
    await world.travel(minutes=2)
    await world.settle()
    tasks = (await world.tasks.page()).data
    assert len(tasks) == 1 and tasks[0]["text"] == "Call them" and tasks[0]["profile_id"] == anna
    assert world.sent() == []
    await world.tasks.done(tasks[0]["_id"], "usr_1", "reached")
    await world.tasks.done(tasks[0]["_id"], "usr_2")
    await world.settle()
    assert world.sent() == ["Hello Anna"]
    assert (await world.tasks.get(tasks[0]["_id"]))["done_by"] == "usr_1"


async def test_enrol_by_call_is_idempotent_by_key(world: World) -> None:
    journey = await world.journey(
        {"id": "w", "type": "wait", "for": "PT1H", "next": "hello"},
        {**HELLO, "content": {"text": "{{ journey.code }} {{ event.properties.code }}"}}, reentry={"mode": "per_key"},
    )  # fmt: skip
    anna = await world.person()
    first = await world.journeys.enrol(journey, anna, key="k", data={"code": "X1"})
    again = await world.journeys.enrol(journey, anna, key="k", data={"code": "X2"})
    assert first.created and not again.created and again.run["_id"] == first.run["_id"]
    other = await world.journeys.enrol(journey, anna)
    assert other.created
    with pytest.raises(NotFound):
        await world.journeys.enrol(journey, "prf_nobody")
    with pytest.raises(WrongInput):
        await world.journeys.enrol(journey, anna, data={"x": "y" * 40_000})
    await world.travel(hours=1)
    await world.settle()
    assert sorted(world.sent()) == ["", "X1 X1"] or "X1 X1" in world.sent()
    draft = await world.journeys.create({"name": "d"})
    with pytest.raises(Conflict):
        await world.journeys.enrol(draft["_id"], anna)


async def test_exit_and_explain(world: World) -> None:
    journey = await world.journey({"id": "w", "type": "wait", "name": "A day", "for": "P1D", "next": "hello"}, HELLO)
    anna = await world.person()
    run = (await world.journeys.enrol(journey, anna)).run
    await world.settle()
    said = await world.journeys.explain(run["_id"])
    assert (said.node, said.node_type, said.node_name, said.why.code) == ("w", "wait", "A day", "wait.time")
    assert said.until is not None and said.journey == "J" and "Waits until" in said.why.sentence
    assert [line.code for line in said.log] == ["entered", "wait.time"]
    await world.journeys.exit(run["_id"], "usr_1")
    await world.journeys.exit(run["_id"], "usr_2")
    said = await world.journeys.explain(run["_id"])
    assert said.state == "ended" and said.why.code == "end.exited" and said.why.params == {"by": "usr_1"}
    await world.travel(days=2)
    await world.settle()
    assert world.sent() == []


async def test_a_change_of_zone_moves_a_wait(world: World) -> None:
    from profiles.edit import ProfileEditor, ProfilePatch

    journey = await world.journey({"id": "w", "type": "wait", "until": {"time": "09:00"}, "next": None})
    anna = await world.person()
    run = (await world.journeys.enrol(journey, anna)).run
    await world.settle()
    before = (await world.run(run["_id"]))["due_at"]
    editor = ProfileEditor(world.profiles, world.events, world.resolver, world.db, now)
    await editor.patch(anna, ProfilePatch(time_zone="Pacific/Kiritimati"))
    await world.settle()
    after = (await world.run(run["_id"]))["due_at"]
    assert after != before and after > now()


async def test_archiving_ends_everybody(world: World) -> None:
    journey = await world.journey({"id": "w", "type": "wait", "for": "P1D", "next": None})
    people = await world.people(5)
    for profile_id in people:
        await world.journeys.enrol(journey, profile_id)
    await world.settle()
    await world.journeys.set_status(journey, "archived")
    await world.settle()
    assert {row["end"]["reason"] for row in await world.rows()} == {"archived"}
    with pytest.raises(Conflict):
        await world.journeys.set_status(journey, "live")


async def test_draining_lets_nobody_in_and_everybody_out(world: World) -> None:
    journey = await world.journey(
        {"id": "w", "type": "wait", "for": "PT1H", "next": "hello"}, HELLO, trigger={"type": "event", "event": "x"}
    )
    anna, bert = await world.person("Anna"), await world.person("Bert")
    await world.happens("x", anna)
    await world.settle()
    await world.journeys.set_status(journey, "draining")
    await world.happens("x", bert)
    await world.settle()
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_people_keep_their_version(world: World) -> None:
    journey = await world.journey({"id": "w", "type": "wait", "for": "PT1H", "next": "hello"}, HELLO)
    anna, bert = await world.person("Anna"), await world.person("Bert")
    await world.journeys.enrol(journey, anna)
    await world.settle()
    draft = (await world.journeys.get(journey))["draft"]
    steps = [draft["steps"][0], {**HELLO, "content": {"text": "New {{ profile.first_name }}"}}]
    await world.journeys.patch(journey, {"steps": steps})
    preview = await world.journeys.publish(journey, dry_run=True)
    assert (preview.version, preview.runs_staying, preview.changed, preview.added) == (2, 1, ("hello",), ())
    assert (await world.journeys.get(journey))["live_version"] == 1
    await world.journeys.publish(journey)
    await world.journeys.enrol(journey, bert)
    await world.settle()
    await world.travel(hours=1)
    await world.settle()
    assert sorted(world.sent()) == ["Hello Anna", "New Bert"]
    assert [row["version"] for row in await world.journeys.versions(journey)] == [2, 1]


async def test_merged_people_are_one_person(world: World) -> None:
    """The run of a profile merged away goes on for the survivor."""
    journey = await world.journey({"id": "w", "type": "wait", "for": "PT1H", "next": "hello"}, HELLO)
    anna, double = await world.person("Anna"), await world.person("Anna too")
    await world.journeys.enrol(journey, double)
    await world.settle()
    rows = world.db.collection("profiles")
    await rows.update_one({"_id": double}, {"$set": {"merged_into": anna}})
    await world.db.collection("identities").update_many({"profile_id": double}, {"$set": {"profile_id": anna}})
    runs = RunBelongings(world.db, world.runs, now)
    assert await runs.move(Joining("mrg_1", double, anna)) == 1
    assert (await world.run())["profile_id"] == anna
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_an_erased_person_gets_nothing(world: World) -> None:
    journey = await world.journey({"id": "w", "type": "wait", "for": "PT1H", "next": "hello"}, HELLO)
    anna = await world.person()
    await world.journeys.enrol(journey, anna)
    await world.settle()
    await world.profiles.delete([anna])
    await world.db.collection("identities").delete_many({"profile_id": anna})
    await world.travel(hours=1)
    await world.settle()
    assert world.sent() == [] and (await world.run())["state"] == "ended"


async def test_flow_counts_and_ways(world: World) -> None:
    journey = await world.journey(
        {"id": "b", "type": "branch", "cases": [{"when": {"field": "score", "op": "gt", "value": 5}, "next": "hello"}], "else": "w"},
        HELLO, {"id": "w", "type": "wait", "for": "P1D", "next": "hello"},
    )  # fmt: skip
    for profile_id in await world.people(3):
        await world.journeys.enrol(journey, profile_id)
    await world.settle()
    flow = await world.journeys.flow(journey)
    places = {node.id: (node.row, node.column, node.counts.waiting, node.counts.passed) for node in flow.nodes}
    assert places == {"b": (0, 0, 0, 3), "w": (1, 0, 3, 0), "hello": (2, 0, 0, 0)}
    assert {(edge.source, edge.way, edge.target) for edge in flow.edges} == {
        ("b", "cases[0].next", "hello"), ("b", "else", "w"), ("w", "next", "hello"), ("hello", "next", None),
    }  # fmt: skip
    assert flow.runs == {"waiting": 3} and await world.journeys.totals(journey) == {"waiting": 3}
    assert len((await world.journeys.enrolments(journey, node="w", state="waiting", limit=2)).data) == 2
    first = await world.journeys.left(journey, "b", "passed", limit=2)
    second = await world.journeys.left(journey, "b", "passed", limit=2, cursor=first.next_cursor)
    assert len({line["profile_id"] for line in (*first.data, *second.data)}) == 3 and second.next_cursor is None


async def test_quiet_hours_defer_a_send(world: World) -> None:
    at = now()
    clock = (at + timedelta(hours=-1)).strftime("%H:%M"), (at + timedelta(hours=1)).strftime("%H:%M")
    await world.journey(
        HELLO, trigger={"type": "event", "event": "x"}, quiet_hours={"from": clock[0], "to": clock[1], "zone": "UTC"}
    )
    anna = await world.person()
    await world.happens("x", anna)
    await world.settle()
    (send,) = await world.inbox.sends.raw({})
    assert send["state"] == "deferred" and send["reason"]["code"] == "quiet_hours" and world.sent() == []
    run = await world.run()
    assert run["wait"]["kind"] == "send" and run["due_at"] > now()


async def test_a_template_that_cannot_be_filled_in_is_skipped_with_its_reason(world: World) -> None:
    template = await world.template_rows.add("bad", "chat", {"body": "{{ 1 // 0 }}", "locales": {}}, None)
    await world.journey(
        {"id": "s", "type": "send", "template_id": template["_id"], "next": "hello"},
        HELLO,
        trigger={"type": "event", "event": "x"},
    )
    anna = await world.person()
    await world.happens("x", anna)
    await world.settle()
    sends = await world.inbox.sends.raw({})
    assert sends[0]["state"] == "skipped" and sends[0]["reason"]["code"] == "template_failed"
    assert world.sent() == ["Hello Anna"]  # the next step went on


async def test_parcelvoy_a_second_run_of_the_same_person_drops_no_message(world: World) -> None:
    """parcelvoy: a lock per campaign and person made a second run at the same time lose its message."""
    await world.journey(
        {**HELLO, "content": {"text": "Order {{ event.properties.order }}"}},
        trigger={"type": "event", "event": "x", "key": "properties.order"}, reentry={"mode": "per_key"},
    )  # fmt: skip
    anna = await world.person()
    for order in "abcde":
        await world.happens("x", anna, order=order)
    await world.settle()
    assert sorted(world.sent()) == [f"Order {order}" for order in "abcde"]


async def test_parcelvoy_an_unsubscribed_person_does_not_hang_at_the_send(world: World) -> None:
    """parcelvoy: an unsubscribed person stayed at a send for ever."""
    await world.journey(
        {**HELLO, "next": "w"},
        {"id": "w", "type": "wait", "for": "PT0S", "next": None},
        trigger={"type": "event", "event": "x"},
    )
    anna = await world.person()
    await world.consent.act(ConsentAct((await world.profiles.identities_of(anna))[0].id, "marketing", False, "keyword"))
    await world.happens("x", anna)
    await world.settle()
    assert world.sent() == [] and (await world.run())["end"]["reason"] == "completed"


async def test_mautic_4356_7057_9285_what_can_never_succeed_is_not_tried_for_ever(world: World) -> None:
    """mautic#4356, #7057, #9285: bounced, expired and already sent steps were retried without end."""
    world.provider().script = lambda message: SendFailed(Failure.RECIPIENT_UNREACHABLE, "gone")
    await world.journey({**HELLO, "if_failed": "exit"}, trigger={"type": "event", "event": "x"})
    anna = await world.person()
    await world.happens("x", anna)
    await world.settle()
    (send,) = await world.inbox.sends.raw({})
    assert send["state"] == "failed" and send["tries"] == 1
    assert (await world.run())["end"]["reason"] == "send_failed"


def test_novu_12334_nothing_that_can_still_fire_expires() -> None:
    """novu#12334: job rows expired sooner than the longest wait, so waits of 180 days never fired."""
    from campaigns.store import INDEXES

    for models in INDEXES.values():
        assert not [model for model in models if "expireAfterSeconds" in model.document]


@pytest.mark.parametrize(
    ("kind", "wish", "sent"),
    [
        ("marketing", None, 1), ("marketing", "repeat", 2), ("transactional", None, 2), ("transactional", "leave", 1),
    ],
)  # fmt: skip
async def test_what_becomes_of_a_message_that_may_have_gone_out_is_its_authors_choice(
    world: World, kind: str, wish: str | None, sent: int
) -> None:
    """By default a mailing is never sent twice and a notice never lost; the author of the step may want otherwise."""
    calls = itertools.count()
    world.provider().script = lambda message: SendFailed(Failure.UNCERTAIN) if next(calls) == 0 else None
    step = {**HELLO, "next": None, **({"if_unknown": wish} if wish else {})}
    await world.journey(step, trigger={"type": "event", "event": "x"}, **{"class": kind})
    person = await world.person()
    await world.happens("x", person)
    await world.settle()
    await world.travel(minutes=10)
    await world.settle()
    (send,) = await world.inbox.sends.raw({"source.kind": "journey"})
    assert next(calls) == sent and send["state"] == ("accepted" if sent == 2 else "unknown")
    assert (await world.run())["state"] == "ended"


async def test_a_wait_of_many_years_is_kept(world: World) -> None:
    journey = await world.journey({"id": "w", "type": "wait", "for": "P9Y", "next": None})
    run = (await world.journeys.enrol(journey, await world.person())).run
    await world.settle()
    assert (await world.run(run["_id"]))["due_at"] > now() + timedelta(days=9 * 365)
    await world.travel(days=9 * 366)
    await world.settle()
    assert (await world.run(run["_id"]))["state"] == "ended"


async def test_d9_no_run_without_a_due_time_or_an_end(world: World) -> None:
    """Whatever the provider does, each run is either over or will be looked at."""
    answers = [
        None,
        SendFailed(Failure.TEMPORARY),
        SendFailed(Failure.UNCERTAIN),
        SendFailed(Failure.RATE_LIMITED),
        SendFailed(Failure.UNKNOWN),
    ]
    calls = iter(range(10_000))
    world.provider().script = lambda message: answers[next(calls) % len(answers)]
    await world.journey(
        {**HELLO, "next": "w"},
        {"id": "w", "type": "wait", "for": "P1D", "next": None},
        trigger={"type": "event", "event": "x"},
    )
    for profile_id in await world.people(20):
        await world.happens("x", profile_id)
    for _ in range(3):
        await world.react()
        await world.worker.walker.advance(500)
        await world.inbox.delivery.deliver(500)
    for row in await world.rows():
        assert row["state"] == "ended" or row.get("due_at") is not None


async def test_what_happened_to_the_other_wakes_a_run_that_came_by_a_merge(world: World) -> None:
    """The double waits for what the survivor has done already."""
    wait = {"type": "wait_event", "any": [{"event": "paid", "next": "hello"}], "since": "PT2H", "timeout": "P9D"}
    await world.journey({"id": "w", **wait, "timeout_next": None}, HELLO, trigger={"type": "event", "event": "x"})
    anna, double = await world.person("Anna"), await world.person("Anna too")
    await world.happens("x", double)
    await world.settle()
    await world.happens("paid", anna)
    await world.settle()
    assert world.sent() == []
    rows = world.db.collection("profiles")
    await rows.update_one({"_id": double}, {"$set": {"merged_into": anna}})
    await world.db.collection("identities").update_many({"profile_id": double}, {"$set": {"profile_id": anna}})
    await RunBelongings(world.db, world.runs, now).move(Joining("mrg_1", double, anna))
    await world.settle()
    assert world.sent() == ["Hello Anna"]


async def test_points_of_a_journey_carry_their_reason_and_end(world: World) -> None:
    step = {"id": "u", "type": "update", "score": 20, "score_reason": "Asked for a sample", "score_for": "P30D"}
    journey = await world.journey({**step, "next": None})
    anna = await world.person()
    await world.journeys.enrol(journey, anna)
    await world.settle()
    row = await world.db.collection("profiles").find_one({"_id": anna})
    assert row is not None
    (gift,) = row["score_gifts"]
    assert (gift["points"], gift["reason"], gift["until"] - gift["at"]) == (
        20,
        "Asked for a sample",
        timedelta(days=30),
    )
    assert row["score"] == 20 and row["score_parts"][0]["name"] == "Asked for a sample"
    for wrong in ({"score_reason": "x"}, {"score_for": "P1D"}):
        with pytest.raises(WrongInput):
            await world.journey({"id": "u", "type": "update", "add_tags": ["a"], **wrong, "next": None})
