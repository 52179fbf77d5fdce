"""Today and Tasks, as people use them without a script."""

import re
from datetime import timedelta
from html import unescape

from base.clock import now
from campaigns.tasks import TaskInput
from inbox.models import Actor, ReplyInput
from inbox.routing.models import TeamInput
from orders.models import OrderInput
from profiles.follow_up import FollowUpInput
from profiles.models import Dispute
from tests.desk.world import channel, wrote
from tests.dying import WRITES, Dying

#: What can be done twice, with a way back each time.
MARKED = ("order", "failed", "pair")
ROW = re.compile(r'data-testid="stream-row" data-kind="(\w+)" data-key="([^"]+)"')


def rows(page):
    """(kind, key) of the rows, in their order."""
    return [(kind, unescape(key)) for kind, key in ROW.findall(page)]


def kinds(page):
    return [kind for kind, _ in rows(page)]


def key_of(page, kind):
    return next(key for each, key in rows(page) if each == kind)


async def undo_of(where, browser):
    """Take back what led here."""
    page = await browser.page(where)
    assert 'data-testid="undo"' in page, page[:2000]
    undo = unescape(page.split('name="undo" value="', 1)[1].split('"', 1)[0])
    await browser.post("/today/undo", undo=undo, back="/today")


async def settle(runtime):
    """What follows from events, and the looks at people."""
    for _ in range(6):
        if not await runtime.reactor.react(500) + await runtime.appraisal.drain(500):
            return


async def full_day(runtime, me, account):
    """Something of each kind for `me`."""
    talk = await wrote(runtime, account, "31611", "Is it in stock?", name="Tess Waiting", minutes_ago=30)
    await runtime.tasks.create(TaskInput(text="Call the printer", assignee_id=me, due_at=now()), me)
    called = await wrote(runtime, account, "31612", name="Fred Followed")
    await runtime.desk_actions.set_status(called.id, "resolved", Actor(me, "Me"))
    wanted = FollowUpInput(at=now() - timedelta(hours=1), text="Ask about spring", assignee_id=me)
    await runtime.follow_ups.set(called.profile_id, wanted, me)
    warm = await wrote(runtime, account, "31613", name="Hanna Hot")
    await runtime.desk_actions.set_status(warm.id, "resolved", Actor(me, "Me"))
    await runtime.profiles.write(warm.profile_id, {"manual_points": 90, "owner_id": me})
    cold = await wrote(runtime, account, "31614", name="Ida Idle")
    await runtime.desk_actions.set_status(cold.id, "resolved", Actor(me, "Me"))
    long_ago = now() - timedelta(days=40)
    await runtime.profiles.write(cold.profile_id, {"owner_id": me, "created_at": long_ago})
    await runtime.orders.record(OrderInput.model_validate({
        "external_id": "7001", "identity": f"{account.id}:31614", "status": "pending",
        "placed_at": now() - timedelta(days=3), "total": {"amount_minor": 990, "currency": "EUR"},
    }), "api")  # fmt: skip
    return talk, warm, cold


async def failing(runtime, talk):
    """A reply that did not go out."""
    message = await runtime.outbox.reply(talk.id, Actor("usr_x", "X"), ReplyInput(text="Yes"), f"k-{talk.id}")
    (send,) = await runtime.sends.belongings._rows.find({"message_id": message.id}).to_list(None)
    reason = {"code": "blocked", "sentence": "The person has blocked us.", "detail": None}
    change = {"state": "failed", "standing_at": now(), "reason": reason}
    await runtime.sends.belongings._rows.update_one({"_id": send["_id"]}, {"$set": change, "$unset": {"due_at": ""}})
    return send["_id"]


async def test_each_kind_is_done_put_off_handed_over_and_taken_back(desk):
    runtime, ada = desk.runtime, await desk.person("agent", name="Ada Adams")
    ben = await desk.person("agent", name="Ben Brown")
    account = await channel(runtime)
    talk, warm, _ = await full_day(runtime, ada.user_id, account)
    one, other = [await wrote(runtime, account, each, name="Twin") for each in ("31615", "31616")]
    for each in (one, other):
        await runtime.desk_actions.set_status(each.id, "resolved", Actor(ada.user_id, "Ada"))
    pair = Dispute(one.profile_id, other.profile_id, "email", "email:twin@example.org", "unverified")
    await runtime.profiles.suggestions.note([pair], now())
    broken = await wrote(runtime, account, "31617", name="Fay Failed")
    await failing(runtime, broken)
    await runtime.desk_actions.set_status(broken.id, "resolved", Actor(ada.user_id, "Ada"))
    await settle(runtime)

    page = await ada.page("/today")
    assert set(kinds(page)) == {"conversation", "task", "follow_up", "order", "failed", "hot", "pair"}
    assert kinds(page)[0] == "conversation", "what somebody waits for comes first"
    assert "Ida Idle" in page and "idle" not in kinds(page), "one row per person: the order stands for her"
    assert "Hanna Hot" in page and "Not paid yet" in page and "The person has blocked us." in page

    for kind in ("conversation", "task", "follow_up", "order", "failed", "hot", "pair"):
        key = key_of(page, kind)
        where = await ada.post("/today/acts", key=key, act="done", back="/today")
        assert key not in [each for _, each in rows(await ada.page("/today"))], f"{kind} is done"
        assert await ada.post("/today/acts", key=key, act="done", back="/today") == "/today" or kind in MARKED
        await undo_of(where, ada)
        assert key in [each for _, each in rows(await ada.page("/today"))], f"{kind} is back"

        until = (now() + timedelta(days=2)).isoformat()
        where = await ada.post("/today/acts", key=key, act="snooze", until=until, back="/today?show=")
        assert key not in [each for _, each in rows(await ada.page("/today"))], f"{kind} is put off"
        await undo_of(where, ada)
        assert key in [each for _, each in rows(await ada.page("/today"))], f"{kind} is here again"

        where = await ada.post("/today/acts", key=key, act="hand_over", assignee=ben.user_id, back="/today")
        assert key not in [each for _, each in rows(await ada.page("/today"))], f"{kind} is Ben's"
        assert key in [each for _, each in rows(await ben.page("/today"))], f"Ben has {kind}"
        await undo_of(where, ada)
        assert key in [each for _, each in rows(await ada.page("/today"))], f"{kind} is Ada's again"

    # an answer of ours: nobody is hot without contact any more
    await runtime.outbox.reply(warm.id, Actor(ada.user_id, "Ada"), ReplyInput(text="Hello"), "warm-1")
    await runtime.watching._store.touched({warm.profile_id: now()}, {})
    assert "hot" not in kinds(await ada.page("/today"))
    assert (await runtime.conversations.get(talk.id)).status == "open"


async def test_somebody_idle_comes_rung_by_rung(desk):
    runtime, ada = desk.runtime, await desk.person("agent", name="Ines Idle")
    account = await channel(runtime)
    cold = await wrote(runtime, account, "31621", name="Otto Old")
    await runtime.desk_actions.set_status(cold.id, "resolved", Actor(ada.user_id, "Ines"))
    since = now() - timedelta(days=40)
    await runtime.profiles.write(cold.profile_id, {"owner_id": ada.user_id, "created_at": since})
    await settle(runtime)
    page = await ada.page("/today?show=people")
    key = key_of(page, "idle")
    assert key.endswith(":30") and "No contact for 40 days" in page
    where = await ada.post("/today/acts", key=key, act="done", back="/today")
    assert "idle" not in kinds(await ada.page("/today"))
    await runtime.profiles.write(cold.profile_id, {"name": "Otto Older"})
    await settle(runtime)
    assert "idle" not in kinds(await ada.page("/today")), "done stays done whatever else changes"
    await undo_of(where, ada)
    assert "idle" in kinds(await ada.page("/today"))
    await ada.post("/today/acts", key=key, act="done", back="/today")
    # the next rung
    earlier = since - timedelta(days=25)
    await runtime.watching._store.keep([(cold.profile_id, {"contact_at": earlier, "idle_at": now()}, [])])
    assert key_of(await ada.page("/today"), "idle").endswith(":60")
    # a follow-up: nobody has to be reminded any more
    wanted = FollowUpInput(at=now() + timedelta(days=9), text="Then", assignee_id=ada.user_id)
    await runtime.follow_ups.set(cold.profile_id, wanted, ada.user_id)
    await settle(runtime)
    assert "idle" not in kinds(await ada.page("/today"))


async def test_rows_of_who_is_away_go_to_their_deputy_else_to_their_team(desk):
    runtime = desk.runtime
    ada, ben = await desk.person("agent", name="Abby Away"), await desk.person("agent", name="Bo Mate")
    cleo = await desk.person("agent", name="Cleo Else")
    members = [{"user_id": each.user_id} for each in (ada, ben)]
    await runtime.teams.create(TeamInput.model_validate({"name": "Mates", "members": members}))
    await runtime.teams.create(TeamInput.model_validate({"name": "Else", "members": [{"user_id": cleo.user_id}]}))
    account = await channel(runtime)
    talk = await wrote(runtime, account, "31631", name="Paula Patient")
    await runtime.desk_actions.assign(talk.id, ada.user_id, Actor(ada.user_id, "Abby"))
    person = await wrote(runtime, account, "31632", name="Felix Later")
    await runtime.desk_actions.set_status(person.id, "resolved", Actor(ada.user_id, "Abby"))
    wanted = FollowUpInput(at=now() - timedelta(hours=1), text="Call Felix", assignee_id=ada.user_id)
    await runtime.follow_ups.set(person.profile_id, wanted, ada.user_id)

    async def see(browser):
        page = await browser.page("/today")
        return "Paula Patient" in page, "Call Felix" in page

    assert await see(ada) == (True, True) and await see(ben) == (False, False)
    away = next(each.key for each in (await runtime.agents.rules()).states if not each.counts_as_here)
    until = now() + timedelta(days=3)
    await runtime.agents.say(ada.user_id, away, until=until)
    assert await see(ben) == (True, True), "her team"
    assert "for Abby Away, who is away" in await ben.page("/today")
    assert await see(cleo) == (False, False), "and no other"
    await ada.post("/presence", whole="1", state=away, until=(until + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"),
                   deputy=cleo.user_id)  # fmt: skip
    assert await see(cleo) == (True, True), "whom she has named"
    assert await see(ben) == (False, False), "and nobody else"
    assert "Stands in for you" in await ada.page("/presence")
    usual = (await runtime.agents.rules()).usual.key
    await ada.post("/presence", state=usual, back="/today")
    assert await see(cleo) == (False, False) and await see(ada) == (True, True)


async def test_scope_and_masks_hold(desk):
    runtime = desk.runtime
    mine, foreign = await channel(runtime, name="Mine"), await channel(runtime, name="Foreign")
    ada = await desk.person("agent", [mine.id], name="Scopeson")
    seen = await wrote(runtime, mine, "31641", name="Seen Person")
    hidden = await wrote(runtime, foreign, "31642", name="Hidden Person")
    for each in (seen, hidden):
        await runtime.tasks.create(TaskInput(text=f"See to {each.display_name}", profile_id=each.profile_id), None)
    page = await ada.page("/today")
    assert "Seen Person" in page and "Hidden Person" not in page
    assert "Hidden Person" not in await ada.page("/tasks?whose=nobody")
    key = f"conversation:{hidden.id}"
    before = (await runtime.conversations.get(hidden.id)).status
    assert await ada.post("/today/acts", key=key, act="done") == "/today", "as if it was not there"
    assert (await runtime.conversations.get(hidden.id)).status == before
    other = await desk.person("agent", [foreign.id], name="Foreigner")
    await ada.post("/today/acts", 422, key=f"conversation:{seen.id}", act="hand_over", assignee=other.user_id)
    await ada.post("/today/acts", 422, key="task:nothing", act="explode")
    # names that are addresses are covered, the row stays
    await runtime.users.change_user(ada.user_id, {"masks": ["phones", "emails"]})
    await runtime.tasks.create(TaskInput(text="Write to zoe@example.org", assignee_id=ada.user_id, due_at=now()), None)
    covered = await ada.page("/today")
    assert "zoe@example.org" not in covered and "Write to" in covered


async def test_tasks_by_due(desk):
    runtime = desk.runtime
    ada, ben = await desk.person("agent", name="Tia Tasks"), await desk.person("agent", name="Tom Mate")
    members = [{"user_id": each.user_id} for each in (ada, ben)]
    await runtime.teams.create(TeamInput.model_validate({"name": "Taskers", "members": members}))
    for text, due in (("T-overdue", -2), ("T-week", 72), ("T-later", 24 * 30)):
        wanted = TaskInput(text=text, assignee_id=ada.user_id, due_at=now() + timedelta(hours=due))
        await runtime.tasks.create(wanted, ada.user_id)
    where = await ada.post("/tasks", text="T-never", due="", assignee=ada.user_id)
    page = await ada.page(where)
    assert "The task is there." in page
    assert [page.index(each) for each in ("T-overdue", "T-week", "T-later", "T-never")] == sorted(
        page.index(each) for each in ("T-overdue", "T-week", "T-later", "T-never"))  # fmt: skip
    assert page.index("Overdue") < page.index("Within a week") < page.index("Without a date")
    await ada.post("/tasks", text="T-for-tom", due="2030-01-01T10:00", assignee=ben.user_id)
    assert "T-for-tom" not in await ada.page("/tasks")
    assert "T-for-tom" in await ada.page("/tasks?whose=team") and "Tom Mate" in await ada.page("/tasks?whose=team")
    assert "T-for-tom" in await ada.page("/tasks?whose=all") and "T-for-tom" in await ben.page("/tasks")
    await ada.post("/tasks", 422, text="  ", due="", assignee="")
    key = next(key for kind, key in rows(page) if kind == "task")
    where = await ada.post("/today/acts", key=key, act="done", back="/tasks?whose=mine")
    assert "T-overdue" not in await ada.page("/tasks") and "T-overdue" in await ada.page("/tasks?state=done")
    await undo_of(where, ada)
    assert "T-overdue" in await ada.page("/tasks")
    # in parts, dated ones first, each once
    seen, cursor = [], None
    while True:
        part = await runtime.task_rows.by_due([ada.user_id], "open", limit=1, cursor=cursor)
        seen += [each["text"] for each in part.data]
        cursor = part.next_cursor
        if cursor is None:
            break
    assert seen == ["T-overdue", "T-week", "T-later", "T-never"]


async def test_the_rules_are_written_and_taken_back(desk):
    runtime, ada = desk.runtime, await desk.person("marketer", name="Rula Rules")
    page = await ada.page("/settings/today")
    assert 'value="14, 30, 60"' in page and "No tier, but an owner" in page
    fields = {"idle:vip": "7, 3", "unpaid_after_h": "x"}
    wrong = await ada.post("/settings/today", 422, **fields)
    assert 'value="7, 3"' in wrong and "rising" in wrong
    where = await ada.post("/settings/today", **{"idle:vip": "3，7", "idle:owned": "", "unpaid_after_h": "12"})
    rules = await runtime.watching.rules()
    assert rules.idle == {"vip": [3, 7]} and rules.unpaid_after_h == 12 and rules.unnoticed_after_h is None
    saved = await ada.page(where)
    notice = saved.split("notice-good", 1)[1].split("</form>", 1)[0]
    undo = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', notice))
    undo.pop("csrf")
    await ada.post("/settings/today", **undo)
    assert (await runtime.watching.rules()).idle["vip"] == [14, 30, 60]
    assert await runtime.watching.look_back() == 1 and await runtime.watching.look_back() in (0, 1)
    viewer = await desk.person("agent", name="Vera Only")
    await viewer.post("/settings/today", 403, unpaid_after_h="1")


async def test_a_look_at_people_that_dies_anywhere_is_made_up_for(desk, monkeypatch):
    """Killed at every write, before and after: whoever looks again leaves what one look would have left, and a contact
    in between is not lost."""
    runtime, account = desk.runtime, await channel(desk.runtime)
    dying = Dying(monkeypatch, (*WRITES, "delete_many"))
    watching, rows = runtime.watching, runtime.db.handle["stream_people"]
    names = ("hot", "idle", "none")
    talks = {name: await wrote(runtime, account, f"3169{n}", name=name) for n, name in enumerate(names)}
    ids = {name: talk.profile_id for name, talk in talks.items()}
    long_ago = now() - timedelta(days=40)
    hot = await watching._threshold()
    await settle(runtime)

    async def look():
        """As the appraisal does: with people as they were read."""
        people = await runtime.db.handle["profiles"].find({"_id": {"$in": list(ids.values())}}).to_list(None)
        owned = {"owner_id": "usr_1", "created_at": long_ago, "tier": None, "next_follow_up": None}
        scores = {ids["hot"]: hot, ids["idle"]: 0}
        await watching.seen([each | (owned | {"score": scores[each["_id"]]} if each["_id"] in scores else
                                     {"owner_id": None, "tier": None, "score": 0}) for each in people])  # fmt: skip

    async def standing():
        found = {row["_id"]: row async for row in rows.find({"_id": {"$in": list(ids.values())}})}
        return {name: {k: v for k, v in found[each].items() if k != "hot_since"} if each in found else None
                for name, each in ids.items()}  # fmt: skip

    contact, deaths, at, died = {ids["idle"]: now()}, 0, 1, True
    while died:
        for after in (False, True):
            await rows.delete_many({"_id": {"$in": [ids["hot"], ids["idle"]]}})
            await rows.update_one({"_id": ids["none"]}, {"$set": {"owner_id": "usr_1", "score": 0}}, upsert=True)
            died = await dying.on(at, after, look)
            deaths += died
            await look()
            found = await standing()
            assert found["hot"]["hot"] is True and found["none"] is None, (at, after)
            assert found["idle"]["contact_at"] == found["hot"]["contact_at"], (at, after)
            assert (now() - found["idle"]["contact_at"]).days == 40 and found["idle"]["idle_at"] < now(), (at, after)
            await watching._store.touched(contact, {"": 1})
            await dying.on(at, after, look)
            await look()
            kept = (await standing())["idle"]["contact_at"]
            assert abs(kept - contact[ids["idle"]]) < timedelta(milliseconds=1), (at, after)
        at += 1
    assert deaths >= 4
