"""Many promises at once are one push: the first goes out, the others soon and together, and nothing waits for them."""

import re
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.http import HttpReply
from campaigns.telling.store.tellings import CROWD_WAITS
from desk.telling import list_of
from inbox.models import Actor, ReplyInput
from profiles.events import NewEvent
from tests.campaigns.telling.conftest import House
from tests.dying import WRITES, Dying

ADA = Actor("usr_1", "Ada")
LATE = "/inbox?view=unassigned&sla=breached&order=due"
SAID_BETWEEN = ["The conversation with Mei Tan is yours now", "You are mentioned in a note on Anna Bos"]
WINDOW = {"seconds": CROWD_WAITS.total_seconds() + 1}


async def waiting(house: House, *names: str) -> list[Any]:
    """Conversations that nobody has."""
    return [await house.writes(name, f"+316000{len(name):02}{place:03}") for place, name in enumerate(names)]


async def promised(house: House, *talks: Any, name: str = "sla.breached") -> None:
    """What they were promised is late, or will be; all in the same moment."""
    await house.runtime.events.record([
        NewEvent(name, f"{name}:{talk.id}:{next(house.numbers)}", now(), properties={"conversation_id": talk.id},
                 profile_id=talk.profile_id, channel_id=talk.channel_id, conversation_id=talk.id)
        for talk in talks
    ])  # fmt: skip
    await house.react()
    await house.tell()


def titles(house: House) -> list[str]:
    return [each["title"] for each in house.outside.pushed]


async def unsettled(house: House) -> list[str]:
    return [row["state"] for row in await house.rows("tellings") if row["state"] != "done"]


async def test_the_first_goes_at_once_and_the_next_as_one_and_others_wait_for_neither(house: House) -> None:
    bo = await house.colleague("Bo", every=["app", "push"], message=["app"], waiting=["app"])
    await house.browser(str(bo.id))
    anna, *others = await waiting(house, "Anna Bos", "Mei Tan", "Jan Vos", "Eva Smit")
    await promised(house, anna)
    assert titles(house) == ["What Anna Bos was promised is overdue"]
    assert house.outside.pushed[0]["path"] == f"/inbox/{anna.id}"

    house.outside.posted.clear()
    for talk in others:
        await promised(house, talk)
    assert titles(house) == []
    note = ReplyInput(text="@Bo look", note=True)
    await house.runtime.outbox.reply(anna.id, ADA, note, "n", mentions=[str(bo.id)])
    await house.runtime.desk_actions.assign(others[0].id, bo.id, ADA)
    await house.react()
    await house.tell()
    assert sorted(titles(house)) == SAID_BETWEEN

    house.outside.posted.clear()
    await house.later(**WINDOW)
    (push,) = house.outside.pushed
    assert push["title"] == "3 more conversations are late" and "Jan Vos" in push["body"]
    assert push["path"] == "/inbox?view=all&assignee=me&assignee=none&sla=breached&order=due"
    assert push["tag"].startswith("tel_")
    await house.later(hours=1)
    assert len(titles(house)) == 1 and await unsettled(house) == []
    assert (await house.told(bo)).count("sla_breached") == 4  # the desk has a line for each

    await promised(house, anna, name="sla.due_soon")  # after quiet minutes it is a first one again
    assert titles(house)[1:] == ["What Anna Bos was promised is due soon"]


async def test_those_of_one_moment_are_one_push_to_each(house: House) -> None:
    """However many workers begin them side by side."""
    bo, mei = await house.colleague("Bo", sla_breached=["push"]), await house.colleague("Mei", sla_breached=["push"])
    for who in (bo, mei):
        await house.browser(str(who.id), who.name)
    await house.runtime.users.change_user(str(mei.id), {"language": "zh_CN"})
    house.fresh()
    talks = await waiting(house, *(f"Anna {'b' * n}" for n in range(18)))
    await promised(house, *talks)
    said = {url.rpartition("/")[2]: push for (url, _, _), push in
            zip(house.outside.posted, house.outside.pushed, strict=True)}  # fmt: skip
    assert len(house.outside.posted) == 2
    assert (said["Bo"]["title"], said["Bo"]["path"]) == ("18 conversations are late", LATE)
    assert re.fullmatch(r"[^a-zA-Z]*18[^a-zA-Z]*", said["Mei"]["title"]), said["Mei"]["title"]
    await house.later(**WINDOW)
    await house.later(hours=1)
    assert len(house.outside.posted) == 2 and await unsettled(house) == []


async def test_what_is_tried_again_holds_up_nobody_and_tells_nobody_twice(house: House) -> None:
    bo = await house.colleague("Bo", sla_breached=["push"])
    for place in ("one", "slow"):
        await house.browser(str(bo.id), place)
    house.outside.script = lambda url: HttpReply(429, {"retry-after": "600"}, b"") if "slow" in url else None
    anna, mei, jan = await waiting(house, "Anna Bos", "Mei Tan", "Jan Vos")
    await promised(house, anna)
    await promised(house, mei)
    await promised(house, jan)
    assert titles(house) == ["What Anna Bos was promised is overdue"] * 2
    await house.later(**WINDOW)
    assert titles(house)[2:] == ["2 more conversations are late"] * 2
    house.outside.script = None
    house.outside.posted.clear()
    await house.later(minutes=30)
    assert [url.rpartition("/")[2] for url, _, _ in house.outside.posted] == ["slow", "slow"]
    assert sorted(titles(house)) == ["2 more conversations are late", "What Anna Bos was promised is overdue"]
    await house.later(hours=5)
    assert len(titles(house)) == 2 and await unsettled(house) == []


async def test_what_is_over_takes_no_turn(house: House) -> None:
    bo = await house.colleague("Bo", sla_breached=["app", "push"])
    await house.browser(str(bo.id))
    anna, mei, jan = await waiting(house, "Anna Bos", "Mei Tan", "Jan Vos")
    await house.runtime.desk_actions.set_status(anna.id, "resolved", ADA)
    await promised(house, anna)
    assert titles(house) == []
    await promised(house, mei)
    assert titles(house) == ["What Mei Tan was promised is overdue"]
    await promised(house, jan)
    await house.runtime.notifications.read_about(str(bo.id), [jan.id])
    await house.later(**WINDOW)
    assert len(titles(house)) == 1
    assert sorted(row["said"] for row in await house.rows("tellings", state="skipped")) == ["answered", "read"]


async def test_all_is_told_and_each_push_is_one_wherever_a_worker_dies(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after every write: of four promises, one at first and three together, none is lost and none comes with
    two pushes."""
    bo = await house.colleague("Bo", sla_breached=["push"])
    await house.browser(str(bo.id))
    talks = await waiting(house, "Anna Bos", "Mei Tan", "Jan Vos", "Eva Smit")
    dying, at, after = Dying(monkeypatch, WRITES), 1, False

    async def work() -> None:
        await promised(house, talks[0])
        await promised(house, *talks[1:])
        await house.later(**WINDOW)

    async def revived() -> None:
        """All leases of the dead run out."""
        past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
        for room, states in (("events", ["pending"]), ("tellings", ["planned"])):
            await house.runtime.db.collection(room).update_many({"state": {"$in": states}}, past)

    for _ in range(160):
        for room in ("notifications", "tellings", "telling_turns", "events"):
            await house.runtime.db.collection(room).delete_many({})
        house.outside.posted.clear()
        await dying.on(at, after, work)
        ended = dying.count < at
        told = len(await house.rows("events", name="sla.breached"))
        await revived()
        await house.react()
        for _ in range(3):
            await house.later(**WINDOW)
        assert len(await house.rows("tellings")) == told and await unsettled(house) == [], (at, after)
        pushes = {each["tag"]: each["title"] for each in house.outside.pushed}
        assert len({(each["tag"], each["title"]) for each in house.outside.pushed}) == len(pushes), (at, after)
        counts = [int(found[0]) if (found := re.match(r"\d+", title)) else 1 for title in pushes.values()]
        assert sum(counts) == told and len(counts) <= 3, (at, after, pushes)
        at, after = (at, True) if not after else (at + 1, False)
        if ended:
            break
    else:
        raise AssertionError("there is no end to it")
    assert at > 10 and sorted(counts) == [1, 3]


@pytest.mark.parametrize(
    ("kinds", "owners", "path"),
    [(["sla_breached"], [None], LATE), (["sla_breached"], ["usr_1"], "/inbox?view=mine&sla=breached&order=due"),
     (["sla_breached", "sla_soon"], [None], "/inbox?view=unassigned&sla=soon&sla=breached&order=due"),
     (["sla_soon"], ["usr_2", None], "/inbox?view=all&sla=soon&sla=breached&order=due")],
)  # fmt: skip
def test_it_leads_to_the_list_of_them(kinds: list[str], owners: list[str | None], path: str) -> None:
    assert list_of("usr_1", [{"kind": kind} for kind in kinds], owners) == path
