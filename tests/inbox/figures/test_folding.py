"""Facts kept in the database: whatever happens, dies or is done twice, cells are the sum of facts and facts what is
so."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from base.errors import WrongInput
from inbox.figures.cells import EVER, changes_of
from inbox.figures.periods import Span, period
from inbox.figures.tables import REPORTS
from inbox.folding import FigureRules, Figures
from inbox.hours.models import HoursInput
from inbox.models import Actor, ReplyInput
from inbox.reports import Asked, Reports
from inbox.store import FactRoom, FigureStore
from inbox.store.figures import Narrowed
from profiles.events import Event
from profiles.holdings import Traces
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BO = Actor("usr_bo", "Bo")


def figures_of(house: House) -> Figures:
    inbox = house.inbox
    return Figures(
        house.database, inbox.figures, inbox.sla_clocks, inbox.business_hours, inbox.teams, house.clock
    )  # fmt: skip


async def heard(house: House, figures: Figures) -> None:
    rows = await house.database.collection("events").find({}).to_list(None)
    await figures.hear([Event.model_validate(row) for row in rows])


async def due(house: House) -> None:
    await house.database.collection("inbox_facts_due").update_many({}, {"$set": {"due_at": LONG_AGO}})


async def folded(house: House, figures: Figures) -> None:
    """Everything that happened is counted."""
    await heard(house, figures)
    await due(house)
    await figures.keep()


async def answers(house: House, talk_id: str, key: str, by: Actor = AGENT) -> None:
    await house.inbox.outbox.reply(talk_id, by, ReplyInput(text="Good day"), key)
    await house.all_due()
    await house.deliver_all()


async def facts(house: House, *kinds: str) -> list[dict[str, Any]]:
    wanted = {"kind": {"$in": list(kinds)}} if kinds else {}
    return await house.database.collection("inbox_facts").find(wanted).sort([("at", 1), ("kind", 1)]).to_list(None)


async def in_step(house: House) -> None:
    """Cells are what adding up all facts makes."""
    kept = {}
    for row in await house.database.collection("inbox_days").find({}).to_list(None):
        place = row["kind"], row["dimension"], row["value"], row["channel_id"], row["day"]
        flat = {"n": row["n"]} if row["day"] == EVER else _flat(row["q"], "q")
        flat = {name: by for name, by in flat.items() if by}
        if flat:
            kept[place] = flat
    wanted = {place: dict(fields) for place, fields in changes_of([], await facts(house)).items()}
    assert kept == wanted


def _flat(value: Any, path: str) -> dict[str, int]:
    if not isinstance(value, dict):
        return {path: value}
    return {name: by for key, each in value.items() for name, by in _flat(each, f"{path}.{key}").items()}


def lately(house: House, name: str = "volume", by: Any = None, **more: Any) -> Asked:
    now = house.clock()
    narrowed = more.pop("narrowed", Narrowed())
    span = period(now - timedelta(hours=30), now + timedelta(hours=12))
    return Asked(name, span, ZoneInfo("Europe/Amsterdam"), by, narrowed=narrowed, **more)


async def behind(reports: Reports, asked: Asked, column: str, of: str | None = None) -> int:
    """What the rows behind a number come to."""
    total, cursor = 0, None
    while True:
        page = await reports.rows(asked, column, of, limit=2, cursor=cursor)
        total += sum(row["n"] for row in page.data)
        cursor = page.next_cursor
        if cursor is None:
            return total


async def every_number_has_its_rows(house: House, asked: Asked) -> None:
    reports = Reports(house.inbox.figures)
    made = await reports.table(asked)
    for row in (*made.rows, None):
        values = made.total.values if row is None else row.values
        for column, value in zip(made.definition.columns, values, strict=True):
            if column.unit == "count" and (value or row is None):
                assert await behind(reports, asked, column.key, row.key if row else None) == value, (row, column.key)


async def test_a_day_at_the_desk(house: House, second_house: House) -> None:
    figures, reports = figures_of(house), Reports(house.inbox.figures)
    actions, channel = house.inbox.actions, await house.channel()
    other = await house.channel("keyed")
    anna, ben = await house.conversation(channel, "anna"), await house.conversation(other, "ben", "keyed")
    await actions.set_labels(anna.id, ["=1+1", "late"], AGENT)
    await actions.assign(anna.id, "usr_bo", AGENT, assignee_name="Bo")
    house.clock.ahead = timedelta(minutes=40)
    await answers(house, anna.id, "k1", BO)
    await actions.set_status(anna.id, "resolved", BO)
    await folded(house, figures)
    (first,) = await facts(house, "first_response")
    assert 2_390_000 < first["ms"] < 2_420_000 and first["agent_id"] == "usr_bo"
    await in_step(house)
    house.clock.ahead = timedelta(hours=3)
    await house.inbox.receiver.receive([house.arrival(channel, "anna", "again")])
    house.clock.ahead = timedelta(hours=4)
    await answers(house, anna.id, "k2")
    await asyncio.gather(heard(house, figures), heard(second_house, figures_of(second_house)))
    await due(house)
    await asyncio.gather(*(each.drain() for each in (figures, figures_of(second_house)) for _ in range(4)))
    assert await facts(house, "first_response") == [first]
    assert len(await facts(house, "next_response")) == 1
    await in_step(house)
    for name, definition in REPORTS.items():
        for by in definition.by:
            await every_number_has_its_rows(house, lately(house, name, by))
    made = await reports.table(lately(house, "backlog", "channel"))
    assert {row.key: row.values for row in made.rows} == {channel: (2, 1, 1), other: (1, 0, 1)}
    assert made.total.values == (3, 1, 2)
    labels = await reports.table(lately(house, "volume", "label"))
    assert [row.key for row in labels.rows] == ["", "=1+1", "late"] and labels.total.values[0] == 2
    theirs = lately(house, "volume", "channel", narrowed=Narrowed([other]))
    assert [row.key for row in (await reports.table(theirs)).rows] == [other]
    assert await behind(reports, theirs, "created", channel) == 0
    assert await reports.people(lately(house, "resolution")) == 1
    own = lately(house, "first-response", "day", narrowed=Narrowed(agent="usr_bo"))
    assert (await reports.table(own)).total.values[0] == 1
    with pytest.raises(WrongInput):
        await reports.table(lately(house, "csat", "week_hour"))
    assert ben.channel_id == other


async def test_undone_merged_and_split_are_counted_as_they_are(house: House) -> None:
    figures, inbox = figures_of(house), house.inbox
    channel = await house.channel()
    talk = await house.conversation(channel, "anna")
    await inbox.receiver.receive([house.arrival(channel, "anna", "m2", "More")])
    await answers(house, talk.id, "k1")
    before = await _numbers(house, figures)
    branch = await inbox.splitting.split(talk.id, (await _said(house, talk.id))[1], AGENT)
    await folded(house, figures)
    assert {row["conversation_id"] for row in await facts(house, "created")} == {talk.id, branch.id}
    assert [row["conversation_id"] for row in await facts(house, "first_response")] == [branch.id]
    await in_step(house)
    merge = await inbox.merging.merge(talk.id, [branch.id], AGENT)
    await folded(house, figures)
    assert [row["conversation_id"] for row in await facts(house, "closed")] == [branch.id]
    assert await inbox.figures.waiting() == 0
    await in_step(house)
    assert merge.act_id
    await inbox.merging.unmerge(merge.act_id, AGENT)
    await folded(house, figures)
    assert not await facts(house, "closed")
    await in_step(house)
    assert before["received"] == (await _numbers(house, figures))["received"] == 2


async def _said(house: House, talk_id: str) -> list[str]:
    rows = await house.inbox.messages.raw({"conversation_id": talk_id, "direction": {"$ne": "system"}})
    return [row["_id"] for row in rows]


async def _numbers(house: House, figures: Figures) -> dict[str, int]:
    await folded(house, figures)
    found: dict[str, int] = {}
    for row in await facts(house):
        found[row["kind"]] = found.get(row["kind"], 0) + row["n"]
    return found


async def test_it_dies_anywhere_and_counts_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = figures_of(house)
    dying = Dying(monkeypatch, ("update_many", "update_one", "bulk_write", "delete_one", "find_one_and_update"))
    channel = await house.channel()
    for at in range(1, 20):
        died = False
        for after in (False, True):
            talk = await house.conversation(channel, f"p{at}{after}")
            await house.inbox.figures.want([talk.id], house.clock())
            await due(house)
            died = await dying.on(at, after, figures.drain)
            await due(house)
            await figures.keep()
            assert len(await facts(house, "created")) == 2 * (at - 1) + 1 + after
            await in_step(house)
        if not died:
            return
    raise AssertionError("counting writes more often than that")


async def test_what_comes_while_it_is_read_is_read_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, channel = figures_of(house), await house.channel()
    talk = await house.conversation(channel, "anna")
    await heard(house, figures)
    await due(house)
    real = figures._derived

    async def derived(ids: Sequence[str]) -> Any:
        found = await real(ids)
        await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
        await heard(house, figures)
        return found

    monkeypatch.setattr(figures, "_derived", derived)
    await figures.drain()
    assert not await facts(house)
    monkeypatch.setattr(figures, "_derived", real)
    await due(house)
    await figures.keep()
    assert len(await facts(house, "resolution")) == 1
    await in_step(house)


async def test_the_past_is_read_and_other_hours_count_anew(house: House) -> None:
    figures, channel = figures_of(house), await house.channel()
    talk = await house.conversation(channel, "anna")
    house.clock.ahead = timedelta(hours=1)
    await answers(house, talk.id, "k1")
    while await figures.read_past():
        await due(house)
        await figures.keep()
    (first,) = await facts(house, "first_response")
    assert first["business_ms"] == first["ms"]
    never = await house.inbox.business_hours.create(HoursInput(name="Never", zone="Europe/Amsterdam"))
    await figures.choose(FigureRules(channel_hours={channel: never.id}), "usr_1")
    await figures.read_past()
    await due(house)
    await figures.keep()
    (again,) = await facts(house, "first_response")
    assert (again["business_ms"], again["ms"]) == (0, first["ms"])
    await in_step(house)
    by_hours = await Reports(house.inbox.figures).table(lately(house, "first-response", "day", business=True))
    assert by_hours.total.values[1] == 0


async def test_a_cell_that_is_off_is_set_right_at_night(house: House) -> None:
    figures, channel = figures_of(house), await house.channel()
    talk = await house.conversation(channel, "anna")
    await answers(house, talk.id, "k1")
    await folded(house, figures)
    today = house.clock().astimezone(UTC).date()
    assert await figures.compared(today) == 0
    cells = house.database.collection("inbox_days")
    await cells.update_one({"kind": "sent", "dimension": "channel", "day": {"$ne": EVER}}, {"$set": {"q.3.n": 7}})
    await cells.insert_one({"_id": "odd", "kind": "sent", "dimension": "agent", "value": "usr_x", "channel_id": channel,
                            "day": today.isoformat(), "q": {"5": {"n": 2}}})  # fmt: skip
    assert await figures.compared(today) == 2
    assert await figures.compared(today) == 0


async def test_who_is_erased_stays_a_number(house: House) -> None:
    figures, reports, channel = figures_of(house), Reports(house.inbox.figures), await house.channel()
    talk = await house.conversation(channel, "anna")
    await folded(house, figures)
    asked = lately(house, "backlog", "channel")
    assert (await reports.table(asked)).total.values == (1, 0, 1)
    room = FactRoom(house.database, house.clock)
    await house.inbox.conversations.remove([talk.id])
    assert await room.erase(Traces((talk.profile_id,))) == 2
    assert await room.erase(Traces((talk.profile_id,))) == 0
    await folded(house, figures)
    assert (await reports.table(asked)).total.values == (1, 1, 0)
    assert {row["conversation_id"] for row in await facts(house)} == {None}
    await in_step(house)
    await every_number_has_its_rows(house, asked)


async def test_a_report_over_very_many_facts_reads_few(house: House) -> None:
    """A million facts of a quarter: what is read depends on days, channels and colleagues."""
    cells = house.database.collection("inbox_days")
    day0 = datetime(2026, 1, 1, tzinfo=UTC)
    slots = {str(slot): {"n": 11, "ms": 11_000, "b": 11_000, "h": {"1": 11}, "bh": {"1": 11}} for slot in range(96)}
    rows = [
        {"_id": f"{dimension}{value}{channel}{day}", "kind": "first_response", "dimension": dimension, "value": value,
         "channel_id": f"chn_{channel}", "day": (day0 + timedelta(days=day)).date().isoformat(), "q": slots}
        for day in range(90) for channel in range(10)
        for dimension, value in (("channel", ""), ("agent", f"usr_{channel}"), ("team", "tea_1"))
    ]  # fmt: skip
    for kind in ("received", "sent", "created"):
        rows += [{**row, "_id": f"{kind}{row['_id']}", "kind": kind, "q": {}} for row in rows[:2700]]
    for start in range(0, len(rows), 1000):
        await cells.insert_many(rows[start : start + 1000])
    span = Span(day0, day0 + timedelta(days=90))
    made = await Reports(FigureStore(house.database)).table(
        Asked("first-response", span, ZoneInfo("Asia/Kolkata"), "day")
    )
    assert made.total.values[0] == 90 * 10 * 96 * 11 and len(made.rows) == 91
    wanted = {"kind": {"$in": ["first_response"]}, "dimension": "channel",
              "day": {"$gte": "2026-01-01", "$lte": "2026-04-01"}}  # fmt: skip
    plan = await cells.find(wanted).hint("by_day").explain()
    assert plan["executionStats"]["totalKeysExamined"] <= 90 * 10 + 10
    rows = [
        {"_id": f"f{n}", "kind": "first_response", "agent_id": f"usr_{n % 2}", "at": day0 + timedelta(minutes=n),
         "n": 1, "channel_id": f"chn_{n % 3}", "labels": [""]}
        for n in range(3000)
    ]  # fmt: skip
    await house.database.collection("inbox_facts").insert_many(rows)
    for channels, agent in ((None, None), (["chn_1", "chn_2"], None), (None, "usr_1"), (["chn_1"], "usr_1")):
        narrowed = Narrowed(channels, agent)
        plan = await house.inbox.figures.explained(["first_response"], span, narrowed, 51)
        assert plan["executionStats"]["totalKeysExamined"] <= 4 * 51, narrowed
        assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"]), narrowed
