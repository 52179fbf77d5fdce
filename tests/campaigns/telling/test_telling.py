"""Colleagues are told what concerns them: once, the way they chose, when they may be disturbed, and nothing beyond."""

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.feed import Notice
from base.http import HttpFailed, HttpReply
from campaigns.tasks import TaskInput
from campaigns.telling.carrying import Said
from campaigns.telling.hooks import posted
from desk.store import fingerprint, session_id
from inbox.models import Actor, ReplyInput
from profiles.events import NewEvent
from profiles.follow_up import FollowUpInput
from profiles.notes import NoteInput
from tests.campaigns.telling.conftest import HOOK, House
from tests.dying import WRITES, Dying


async def test_who_is_told_of_what(house: House) -> None:
    """Everybody is told all they may see, and nobody what they did themselves."""
    ada, bo, eve = [await house.colleague(name, every=["app"]) for name in ("Ada", "Bo", "Eve")]
    scoped = await house.colleague("Sam", [house.other], every=["app"])
    gone = await house.colleague("Gil", every=["app"])
    await house.runtime.users.change_user(str(gone.id), {"active": False})
    house.fresh()
    talk, actions = await house.writes(), house.runtime.desk_actions
    everybody = (ada, bo, eve, scoped, gone)

    async def told() -> list[list[str]]:
        await house.react()
        return [await house.told(each) for each in everybody]

    assert await told() == [["waiting"], ["waiting"], ["waiting"], [], []]
    await house.writes(text="Are you there?")
    assert await told() == [["waiting"], ["waiting"], ["waiting"], [], []]  # once for each wait
    await actions.assign(talk.id, ada.id, ada)
    await actions.assign(talk.id, bo.id, ada)
    assert await told() == [["waiting"], ["waiting", "assigned"], ["waiting"], [], []]
    await actions.set_participants(talk.id, [str(eve.id), str(scoped.id), str(gone.id)], ada)
    await house.writes(text="Hello?")
    await house.runtime.outbox.reply(
        talk.id, bo, ReplyInput(text="@Ada look", note=True), "n", mentions=[str(each.id) for each in everybody]
    )
    await house.runtime.notes.add(
        talk.profile_id, NoteInput(text="@Ada and @Sam"), str(eve.id), mentions=[str(ada.id), str(scoped.id)]
    )
    assert await told() == [
        ["waiting", "mentioned", "mentioned"], ["waiting", "assigned", "message"],
        ["waiting", "message", "mentioned"], [], [],
    ]  # fmt: skip
    sent = {"send_id": "snd_1", "source": "reply", "source_id": ada.id, "conversation_id": talk.id}
    about = {"profile_id": talk.profile_id, "channel_id": talk.channel_id, "conversation_id": talk.id}
    await house.runtime.events.record([
        NewEvent("message.failed", "f:1", now(), properties=sent, **about),
        NewEvent("message.failed", "f:2", now(), properties={**sent, "source": "journey"}, **about),
        NewEvent("sla.breached", "s:1", now(), properties={"conversation_id": talk.id}, **about),
    ])  # fmt: skip
    assert [each[-2:] for each in await told()][:3] == [
        ["mentioned", "failed"], ["failed", "sla_breached"], ["failed", "sla_breached"],
    ]  # fmt: skip
    await actions.set_status(talk.id, "spam", ada)
    before = await told()
    await house.writes(text="Buy this")
    await actions.assign(talk.id, eve.id, ada)
    assert await told() == before


async def test_who_sees_a_person_by_no_channel_of_theirs_hears_nothing_of_them(house: House) -> None:
    sam = await house.colleague("Sam", [house.other], mentioned=["app", "hook"])
    talk = await house.writes()
    note = NoteInput(text="@Sam")
    await house.runtime.notes.add(talk.profile_id, note, "usr_1", mentions=[str(sam.id)])
    await house.react()
    assert await house.told(sam) == []
    seen = await house.writes("Boris", "boris", house.other)
    await house.runtime.notes.add(seen.profile_id, note, "usr_1", mentions=[str(sam.id)])
    await house.react()
    assert await house.told(sam) == ["mentioned"]
    await house.runtime.users.change_user(str(sam.id), {"channels": [house.channel]})
    house.fresh()
    await house.tell()
    (duty,) = await house.rows("tellings")
    assert (duty["state"], duty["said"], house.outside.posted) == ("skipped", "out_of_scope", [])


async def test_told_once_however_many_workers_and_deaths(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies at any write, before or after it: one row, one duty, and one thing to whoever gets it."""
    bo = await house.colleague("Bo", message=["app", "hook"], mentioned=["app"])
    talk = await house.writes()
    await house.runtime.desk_actions.assign(talk.id, bo.id, Actor("usr_1", "Ada"))
    await house.react()
    dying, at, after = Dying(monkeypatch, WRITES), 1, False

    async def work() -> None:
        await house.react()
        await house.later(minutes=1)

    async def revived() -> None:
        """All leases of the dead run out."""
        past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
        for room, states in (("events", ["pending"]), ("tellings", ["planned"])):
            await house.runtime.db.collection(room).update_many({"state": {"$in": states}}, past)

    for _ in range(120):
        for room in ("notifications", "tellings"):
            await house.runtime.db.collection(room).delete_many({})
        house.outside.posted.clear()
        about = {"profile_id": talk.profile_id, "channel_id": talk.channel_id, "conversation_id": talk.id}
        event = NewEvent("message.received", f"m:{at}:{after}", now(), properties={"text": "x"}, **about)
        await house.runtime.events.record([event])
        await dying.on(at, after, work)
        ended = dying.count < at
        await revived()
        await work()
        assert [row["kind"] for row in await house.rows("notifications")] == ["message"], (at, after)
        assert [row["state"] for row in await house.rows("tellings")] == ["done"], (at, after)
        assert len({headers["webhook-id"] for _, headers, _ in house.outside.posted}) == 1, (at, after)
        at, after = (at, True) if not after else (at + 1, False)
        if ended:
            break
    else:
        raise AssertionError("there is no end to it")
    assert at > 5 and len(house.outside.posted) == 1
    rows = await house.rows("feed", type="notification.created")
    assert rows and all(row["user_ids"] == [bo.id] and "text" not in row["data"] for row in rows)


async def test_mail_comes_in_one_letter_and_not_for_what_was_seen(house: House) -> None:
    bo = await house.colleague("Bo", every=["app", "mail"])
    talks = [await house.writes(name, f"+3160000000{n}") for n, name in enumerate(("Anna Bos", "Mei Tan", "Jan Vos"))]
    for talk in talks:
        await house.runtime.desk_actions.assign(talk.id, bo.id, Actor("usr_1", "Ada"))
    await house.react()
    assert (await house.told(bo)).count("assigned") == 3
    await house.later(minutes=10)
    assert house.outside.letters == []
    await house.runtime.notifications.read_about(str(bo.id), [talks[0].id])
    await house.later(minutes=6)
    ((letter, _),) = house.outside.letters
    assert letter.to == "bo@example.org" and letter.subject == "[Harbour Tea] 4 things concern you"
    assert "Mei Tan" in letter.text and "Jan Vos" in letter.text and "Anna Bos" not in letter.text
    assert "https://desk.example/notifications" in letter.text and "https://desk.example/account#telling" in letter.text
    await house.later(days=1)
    assert len(house.outside.letters) == 1
    states = [row["state"] for row in await house.rows("tellings")]
    assert set(states) <= {"done", "skipped"}, states


async def test_an_answer_of_a_colleague_is_an_end_of_it(house: House) -> None:
    bo = await house.colleague("Bo", message=["app", "mail"])
    talk = await house.writes()
    await house.runtime.desk_actions.assign(talk.id, bo.id, Actor("usr_1", "Ada"))
    await house.writes(text="And?")
    await house.runtime.outbox.reply(talk.id, Actor("usr_1", "Ada"), ReplyInput(text="Yes"), "k")
    await house.later(minutes=20)
    assert [row["said"] for row in await house.rows("tellings")] == ["answered"] and not house.outside.letters


async def test_quiet_is_quiet_until_morning(house: House) -> None:
    bo = await house.colleague("Bo")
    hour = now()
    quiet = {"from": (hour - timedelta(hours=1)).strftime("%H:%M"), "to": (hour + timedelta(hours=2)).strftime("%H:%M")}
    await house.choose(str(bo.id), kinds={"assigned": ["app", "hook", "mail"]}, quiet=quiet, mail_after_min=0)
    talk = await house.writes()
    await house.runtime.desk_actions.assign(talk.id, bo.id, Actor("usr_1", "Ada"))
    await house.react()
    await house.tell()
    assert not house.outside.posted and not house.outside.letters
    assert await house.told(bo) == ["assigned"]  # the desk itself tells
    for row in await house.rows("tellings"):
        assert row["due_at"].strftime("%H:%M") == quiet["to"] and row["state"] == "planned"
    await house.choose(str(bo.id), kinds={"assigned": ["app", "hook", "mail"]}, mail_after_min=0)
    await house.later(hours=3)
    assert len(house.outside.said) == 1 and len(house.outside.letters) == 1
    await house.choose(str(bo.id), kinds={"assigned": ["app"]}, paused_until=now() + timedelta(days=1))
    assert (await house.runtime.telling_choices.of(str(bo.id))).choice.paused_until is not None


async def test_who_is_away_is_told_when_they_are_back(house: House) -> None:
    bo, ada, agents = await house.colleague("Bo"), Actor("usr_1", "Ada"), house.runtime.agents
    for presence, states in (("away", ["away"]), ("gone", ["online", "away"])):
        await house.choose(str(bo.id), kinds={"assigned": ["hook"]}, quiet={"while": presence})
        for state in states:
            said = len(house.outside.said)
            await agents.say(str(bo.id), state)
            talk = await house.writes(who=f"+3161234560{len(presence + state)}{said}")
            await house.runtime.desk_actions.assign(talk.id, bo.id, ada)
            await house.react()
            await house.tell()
            await house.later(minutes=5)
            assert len(house.outside.said) == said, (presence, state)
            await agents.say(str(bo.id), "online", on_phone=presence == "gone")
            await house.later(minutes=2)
            assert len(house.outside.said) == said + 1, (presence, state)
    await house.choose(str(bo.id), kinds={"assigned": ["hook"]})
    await agents.say(str(bo.id), "away")
    await house.runtime.desk_actions.assign((await house.writes(who="+31612349999")).id, bo.id, ada)
    await house.react()
    await house.tell()
    assert len(house.outside.said) == said + 2, "who has not chosen it is told wherever they are"


async def test_a_browser_is_pushed_to_until_it_is_signed_out(house: House) -> None:
    bo = await house.colleague("Bo", assigned=["app", "push"])
    first, second = await house.browser(str(bo.id)), await house.browser(str(bo.id), "two")
    ada = Actor("usr_1", "Ada")

    async def happens(name: str | None = "Anna Bos", who: str = "+31612345678") -> list[Any]:
        house.outside.posted.clear()
        talk = await house.writes(name, who)
        await house.runtime.desk_actions.assign(talk.id, None, ada)
        await house.runtime.desk_actions.assign(talk.id, bo.id, ada)
        await house.react()
        await house.tell()
        return house.outside.pushed

    told = await happens()
    assert [each["title"] for each in told] == ["The conversation with Anna Bos is yours now"] * 2
    assert told[0]["path"].startswith("/inbox/cnv_") and told[0]["tag"] in told[0]["path"]
    _, headers, body = house.outside.posted[0]
    assert headers["Content-Encoding"] == "aes128gcm" and headers["Urgency"] == "high" and int(headers["TTL"]) > 0
    assert headers["Authorization"].startswith("vapid t=") and b"31612345678" not in body
    key = await house.runtime.push_keys.public()
    assert headers["Authorization"].endswith(f"k={key}")
    (kept,) = await house.rows("push_keys")
    assert kept["private"].startswith("v1.") and kept["public"] == key

    # a customer without a name is known by the number, and that is nobody's business
    assert "31699999999" not in str(await happens(None, "+31699999999"))
    assert "a customer" in (await happens("+31 6 1234 9999", "x-1"))[0]["title"]
    assert "a customer" in (await happens("anna@example.org", "x-2"))[0]["title"]

    await house.runtime.users.close_session(first)
    await happens()
    assert [url for url, _, _ in house.outside.posted] == ["https://push.example.org/two"]
    house.outside.script = lambda url: HttpReply(410, {}, b"")
    await happens()
    assert await house.rows("push_subscriptions") == []
    house.outside.script = None
    assert await happens() == []
    assert (await house.rows("tellings", way="push"))[-1]["state"] in ("skipped", "done")
    await house.browser(str(bo.id), "three")
    await house.runtime.browsers.signed_out(session_id(fingerprint(second)))
    assert len(await house.rows("push_subscriptions")) == 1


async def test_who_does_not_answer_is_asked_again_and_who_refuses_is_not(house: House) -> None:
    bo = await house.colleague("Bo", assigned=["push", "hook", "mail"])
    await house.browser(str(bo.id))
    await house.browser(str(bo.id), "slow")
    await house.choose(str(bo.id), kinds={"assigned": ["push", "hook", "mail"]}, mail_after_min=0)
    answers: dict[str, Any] = {
        "slow": HttpReply(429, {"retry-after": "7"}, b""), "hooks": HttpFailed("timeout", "late", sent=True),
        "bo@": "The server is full.",
    }  # fmt: skip
    house.outside.script = lambda url: next((each for mark, each in answers.items() if mark in url), None)
    talk = await house.writes()
    await house.runtime.desk_actions.assign(talk.id, bo.id, Actor("usr_1", "Ada"))
    await house.react()
    await house.tell()
    assert {row["way"]: row["failures"] for row in await house.rows("tellings")} == {"push": 1, "hook": 1, "mail": 1}
    assert await house.told(bo) == ["assigned"]
    answers.clear()
    await house.later(minutes=1)
    assert {row["state"] for row in await house.rows("tellings")} == {"done"}
    urls = [url.rpartition("/")[2] for url, _, _ in house.outside.posted if "push" in url]
    assert sorted(urls) == ["one", "slow", "slow"]  # who has it is not told twice
    assert len({key for _, key in house.outside.letters}) == 1 and len(house.outside.letters) == 2

    answers["hooks"] = HttpReply(403, {}, b"")
    await house.runtime.desk_actions.assign(talk.id, None, Actor("usr_1", "Ada"))
    await house.runtime.desk_actions.assign(talk.id, bo.id, Actor("usr_1", "Ada"))
    await house.react()
    await house.tell()
    (row,) = await house.rows("tellings", way="hook", state="failed")
    assert row["said"] == "http 403"


async def test_what_is_due_is_told_once(house: House) -> None:
    bo, ada = await house.colleague("Bo", task=["app"], endpoint=["app"]), Actor("usr_1", "Ada")
    noticing, tasks = house.runtime.noticing, house.runtime.tasks
    await tasks.create(TaskInput(text="Old", assignee_id=bo.id, due_at=now() - timedelta(days=1)), bo.id)
    await noticing.look()
    talk = await house.writes()
    due = now() + timedelta(milliseconds=50)
    await tasks.create(TaskInput(text="Call", assignee_id=bo.id, due_at=due), bo.id)
    await tasks.create(TaskInput(text="Nobody's", due_at=due), bo.id)
    await house.runtime.follow_ups.set(
        talk.profile_id, FollowUpInput(at=due, text="Promised", assignee_id=bo.id), str(bo.id)
    )
    await tasks.create_once({
        "key": "endpoint", "text": "Webhooks are off", "assignee_id": bo.id, "due_at": due, "profile_id": None,
        "conversation_id": None, "order_id": None, "source": {"kind": "webhook_endpoint", "id": "whk_1"},
    })  # fmt: skip
    house.runtime.noticing._clock = lambda: now() + timedelta(seconds=1)
    house.fresh()
    for _ in range(3):
        await noticing.look()
    assert sorted(await house.told(bo)) == ["endpoint", "task", "task"]
    await tasks.create(TaskInput(text="For you", assignee_id=bo.id), str(ada.id))
    await house.react()
    assert sorted(await house.told(bo)) == ["endpoint", "task", "task", "task"]


async def test_what_is_posted_says_where_it_leads_and_no_more(house: House) -> None:
    bo = await house.colleague("Bo", mentioned=["hook"])
    ada = await house.colleague("Ada")
    talk = await house.writes(text="My number is 0612345678")
    note = ReplyInput(text="@Bo call 0612345678", note=True)
    await house.runtime.outbox.reply(talk.id, ada, note, "n", mentions=[str(bo.id)])
    await house.react()
    assert (await house.runtime.notifications.page(str(bo.id))).data == []  # not in the desk, by their choice
    await house.tell()
    (said,) = house.outside.said
    assert said["text"] == f"Ada mentions you in a note on Anna Bos\nhttps://desk.example/inbox/{talk.id}"
    assert said["url"].endswith(talk.id) and "0612345678" not in str(said)
    assert (await house.runtime.telling_choices.of(str(bo.id))).hook_host == "hooks.example.org"
    (kept,) = await house.rows("telling_choices", _id=bo.id)
    assert HOOK not in str(kept)
    assert Notice("x").user_ids is None


async def test_a_task_about_a_conversation_that_is_not_seen_is_told_to_nobody(house: House) -> None:
    """Although its person is seen by another channel: its words are about what was said on that one."""
    sam = await house.colleague("Sam", [house.other], task=["app", "hook"])
    talk = await house.writes("Anna", "anna", house.channel)
    seen = await house.writes("Anna", "anna", house.other)
    await house.runtime.merger.merge(talk.profile_id, seen.profile_id, by="usr_1")
    house.runtime.noticing._clock = lambda: now() + timedelta(seconds=1)
    await house.runtime.noticing.look()
    for about, text in ((talk, "Refund 99"), (seen, "Call her")):
        wanted = TaskInput(
            text=text, assignee_id=sam.id, profile_id=talk.profile_id, conversation_id=about.id, due_at=now()
        )
        await house.runtime.tasks.create(wanted, "usr_1")
    await house.react()
    await house.runtime.noticing.look()
    await house.later(seconds=5)
    rows = await house.rows("notifications", user_id=sam.id)
    assert {row["conversation_id"] for row in rows} == {seen.id}
    assert rows and all(row["channel_id"] == house.other for row in rows)
    assert house.outside.said and "Refund 99" not in str(house.outside.said)


def test_what_customers_call_themselves_is_no_call_to_everybody_on_slack() -> None:
    said = Said("T", ("<!channel> <https://evil.example|Rapport> & Co has written to you",), "/inbox/cnv_1", "cnv_1")
    (text,) = posted("https://hooks.slack.com/services/T1", said, {"_id": "tel_1"}, "https://desk.example").values()
    assert text == (
        "&lt;!channel&gt; &lt;https://evil.example|Rapport&gt; &amp; Co has written to you\n"
        "https://desk.example/inbox/cnv_1"
    )
