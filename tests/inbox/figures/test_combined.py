"""Reports narrowed by any of channel, colleague, team and label at once: numbers, rows and sums say the same."""

import itertools
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from inbox.figures.cells import COMBINED, DIMENSIONS, FIELDS, changes_of, dimension_for, fields_in, values_of
from inbox.figures.facts import KINDS, NO_END
from inbox.figures.periods import Span, period
from inbox.figures.tables import REPORTS
from inbox.reports import Asked, Reports
from inbox.store import FigureStore
from inbox.store.figures import Narrowed
from tests.inbox.conftest import House
from tests.inbox.figures.test_folding import figures_of, in_step

DAY0 = datetime(2026, 3, 25, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Kathmandu")
AGENTS, TEAMS, CHANNELS = ("usr_a", "usr_b", None), ("tea_1", "tea_2", None), ("chn_1", "chn_2", "chn_3")
LABELS = ([""], ["a"], ["a", "b|c"], ["b|c"], ["none"])
TOLD = {"agent": ("usr_a", ""), "team": ("tea_2", ""), "label": ("a", "b|c")}
SEEN = (None, ("chn_1",), ("chn_1", "chn_3"), ())


def some(count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Facts of every kind over eight days."""
    dice, rows = random.Random(seed), {}
    for n in range(count):
        kind = dice.choice([each for each in KINDS if each != "closed"])
        at = DAY0 + timedelta(minutes=dice.randrange(8 * 24 * 60))
        row: dict[str, Any] = {
            "conversation_id": f"cnv_{n}", "profile_id": f"prf_{n % 7}", "identity_id": None, "kind": kind, "key": "",
            "at": at, "n": dice.randint(1, 3) if kind in ("received", "sent") else 1, "labels": dice.choice(LABELS),
            "channel_id": dice.choice(CHANNELS), "agent_id": dice.choice(AGENTS), "team_id": dice.choice(TEAMS),
        }  # fmt: skip
        if kind in ("first_response", "next_response", "resolution"):
            row |= {"ms": dice.randrange(10**8), "business_ms": dice.randrange(10**7)}
        if kind in ("csat", "nps"):
            row["score"] = dice.randint(1, 5)
        if kind in ("created", "reopened"):
            end = at + timedelta(hours=dice.randrange(1, 90))
            row["until"] = dice.choice((end, NO_END))
            if row["until"] == end:
                closed = {name: row[name] for name in row if name != "until"} | {"kind": "closed", "at": end}
                rows[f"f{n:04} closed"] = closed
        rows[f"f{n:04}"] = row
    return rows


async def kept(house: House, rows: Mapping[str, dict[str, Any]]) -> Reports:
    store = FigureStore(house.database)
    await house.database.in_transaction(lambda session: store.replace([], rows, session))
    await house.database.in_transaction(lambda session: store.add(changes_of([], rows.values()), session))
    return Reports(store)


def fits(row: Mapping[str, Any], narrowed: Narrowed) -> bool:
    """What narrowing means, without any cell."""
    whose = {"agent": [row["agent_id"] or ""], "team": [row["team_id"] or ""], "label": row["labels"]}
    is_seen = narrowed.channels is None or row["channel_id"] in narrowed.channels
    return is_seen and all(value in whose[name] for name, value in narrowed.values.items())


def narrowings() -> Iterable[Narrowed]:
    """Every subset, with somebody and with nobody, in every scope."""
    for size in range(4):
        for names in itertools.combinations(TOLD, size):
            for values in itertools.product(*(TOLD[each] for each in names)):
                for channels in SEEN:
                    yield Narrowed(channels, **dict(zip(names, values, strict=True)))


async def behind(reports: Reports, asked: Asked, column: str, of: str | None) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = await reports.rows(asked, column, of, limit=100, cursor=cursor)
        found += page.data
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_a_combined_number_is_what_counting_finds_and_what_its_rows_add_up_to(house: House) -> None:
    rows = some(420, 1)
    reports = await kept(house, rows)
    span = period(DAY0 + timedelta(hours=5), DAY0 + timedelta(days=7, hours=3))
    inside = [row for row in rows.values() if span.since <= row["at"] < span.until]
    dice, ways = random.Random(3), ("day", "channel", "agent", "team", "label")
    for narrowed in narrowings():
        by: Any = dice.choice(ways)
        asked = Asked("volume", span, ZONE, by, narrowed=narrowed)
        made = await reports.table(asked)
        fitting = [row for row in inside if fits(row, narrowed)]
        for place, column in enumerate(made.definition.columns):
            wanted = sum(row["n"] for row in fitting if row["kind"] in column.kinds)
            assert made.total.values[place] == wanted, (narrowed, by, column.key)
        if by != "label":
            for place in range(len(made.definition.columns)):
                assert sum(each.values[place] or 0 for each in made.rows) == made.total.values[place], (narrowed, by)
        for each in (*made.rows[:2], None):
            column = dice.choice(made.definition.columns)
            found = await behind(reports, asked, column.key, each.key if each else None)
            value = (each or made.total).values[made.definition.columns.index(column)]
            assert sum(row["n"] for row in found) == value, (narrowed, by, column.key, each)
            assert all(fits(row, narrowed) for row in found)


@pytest.mark.parametrize("name", REPORTS)
async def test_every_report_combines(house: House, name: str) -> None:
    rows = some(500, 2)
    reports, definition = await kept(house, rows), REPORTS[name]
    span = period(DAY0, DAY0 + timedelta(days=6))
    for by in definition.by:
        for narrowed in (Narrowed(("chn_1", "chn_2"), "usr_a", "tea_2", "a"), Narrowed(None, "usr_a", None, "b|c"),
                         Narrowed(None, None, "", "a"), Narrowed(("chn_3",), "usr_b", "tea_1")):  # fmt: skip
            asked = Asked(name, span, ZONE, by, narrowed=narrowed)
            made = await reports.table(asked)
            for place, column in enumerate(definition.columns):
                if column.unit != "count":
                    continue
                for each in (*made.rows, None):
                    value = (each or made.total).values[place]
                    if each is None or value:
                        found = await behind(reports, asked, column.key, each.key if each else None)
                        assert sum(row["n"] for row in found) == value, (by, narrowed, column.key)


async def test_a_row_that_the_narrowing_leaves_out_has_nothing_behind_it(house: House) -> None:
    reports = await kept(house, some(900, 4))
    span = Span(DAY0, DAY0 + timedelta(days=8))
    for by, of, narrowed in (
        ("agent", "usr_b", Narrowed(None, "usr_a", "tea_1")), ("label", "b|c", Narrowed(None, None, "tea_1", "a")),
        ("channel", "chn_2", Narrowed(("chn_1",), "usr_a", None, "a")),
    ):  # fmt: skip
        asked: Any = Asked("volume", span, ZONE, by, narrowed=narrowed)
        assert of not in {row.key for row in (await reports.table(asked)).rows}
        assert await behind(reports, asked, "created", of) == []
        assert await behind(reports, asked, "created", None)


async def test_what_was_counted_before_there_were_combinations_is_combined(house: House) -> None:
    rows, figures = some(300, 5), figures_of(house)
    reports = await kept(house, rows)
    cells = house.database.collection("inbox_days")
    await cells.delete_many({"dimension": {"$in": list(COMBINED)}})  # as it was before
    span = Span(DAY0, DAY0 + timedelta(days=8))
    late = {"f9999": {**rows["f0001"], "kind": "created", "agent_id": "usr_a", "team_id": "tea_2", "labels": ["a"]}}
    await kept(house, late)  # something is counted meanwhile
    done = 0
    while not (await house.inbox.figures.combined())["done"]:
        await figures.combine_past()
        await figures.combine_past() if done == 0 else None
        done += 1
    assert await figures.combine_past() == 0
    await in_step(house)
    assert not (await house.inbox.figures.past())["done"]  # messages get their teams
    asked = Asked("volume", span, ZONE, "day", narrowed=Narrowed(None, "usr_a", "tea_2", "a"))
    made = await reports.table(asked)
    created = [row for row in (*rows.values(), *late.values()) if row["kind"] == "created"]
    fitting = [row for row in created if fits(row, asked.narrowed)]
    assert made.total.values[0] == len(fitting) > 1


async def test_a_combined_report_examines_what_it_is_made_of(house: House) -> None:
    """A quarter of a busy house: ten channels, forty colleagues in eight teams, thirty labels."""
    cells, dice = house.database.collection("inbox_days"), random.Random(6)
    rows = {}
    for n in range(30_000):
        agent = dice.randrange(40)
        value = f"usr_{agent}|tea_{agent % 8 if n % 9 else n % 5}|label{dice.randrange(30)}"
        day = (date(2026, 1, 1) + timedelta(days=dice.randrange(90))).isoformat()
        place = ("created", "agent+team+label", value, f"chn_{dice.randrange(10)}", day)
        rows["|".join(place)] = dict(zip(("kind", "dimension", "value", "channel_id", "day"), place, strict=True)) | {
            "q": {str(dice.randrange(96)): {"n": 1}}, **fields_in(place[1], value)
        }  # fmt: skip
    for start in range(0, len(rows), 5000):
        await cells.insert_many([{"_id": key, **row} for key, row in list(rows.items())[start : start + 5000]])
    days = {"$gte": "2026-01-01", "$lte": "2026-04-01"}
    for told in ({"agent": "usr_3", "team": "tea_3", "label": "label1"}, {"team": "tea_3", "label": "label1"}):
        narrowed = Narrowed(None, **told)
        fitting = {FIELDS[name]: value for name, value in told.items()}
        wanted = {"kind": {"$in": ["created"]}, "dimension": "agent+team+label", "day": days, **fitting}
        plan = (await cells.find(wanted).hint(f"of_{narrowed.first}").explain())["executionStats"]
        first = {FIELDS[str(narrowed.first)]: narrowed.values[str(narrowed.first)]}
        of_first = sum(first.items() <= row.items() for row in rows.values())
        of_all = sum(fitting.items() <= row.items() for row in rows.values())
        assert plan["totalDocsExamined"] == plan["nReturned"] == of_all
        assert plan["totalKeysExamined"] <= of_first + 90 * 12


def test_cells_that_answer() -> None:
    assert dimension_for(()) == "channel" and dimension_for({"team"}) == "team"
    assert dimension_for({"team", "agent"}) == "agent+team" and dimension_for({"team", "label"}) == "agent+team+label"
    fact = {"agent_id": None, "team_id": "tea_1", "labels": ["a|b", "c"]}
    told = {(dimension, value): fields_in(dimension, value) for dimension, value in values_of(fact)}
    assert told["agent+team+label", "|tea_1|a|b"] == {"agent_id": "", "team_id": "tea_1", "label": "a|b"}
    assert told["agent+team", "|tea_1"] == {"agent_id": "", "team_id": "tea_1"} and told["label", "c"] == {}
    assert {dimension for dimension, _ in told} == set(DIMENSIONS)
