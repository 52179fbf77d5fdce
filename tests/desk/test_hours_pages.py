"""Settings → Business hours without a script."""

import pytest

from desk.pages.hours import read_spans
from tests.desk.conftest import Desk

HERE = "/settings/hours"
FORM = {
    "name": "Shop", "zone": "Europe/Amsterdam", "mon": "9-12:30， 13：30～18:00", "country": "NL", "sat": "",
    "date-0": "2026-12-24", "spans-0": "9–13", "day-name-0": "Christmas Eve <b>", "date-1": "", "spans-1": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
async def none_yet(desk: Desk) -> None:
    """Each test begins without hours."""
    await desk.runtime.db.collection("business_hours").delete_many({})


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", []), ("9-17", [("09:00", "17:00")]),
        ("09:00–12:30, 13:30–24:00", [("09:00", "12:30"), ("13:30", "24:00")]),
        ("9：00 至 12：00、13.30-18", [("09:00", "12:00"), ("13:30", "18:00")]), ("always", [("alway", "?")]),
    ],
)  # fmt: skip
def test_spans_are_read_as_people_write_them(text: str, spans: list[tuple[str, str]]) -> None:
    assert read_spans(text) == spans


async def test_a_week_is_written_changed_taken_away_and_put_back(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    assert "No business hours yet" in await admin.page(HERE)
    where = await admin.post(f"{HERE}/new", 303, **FORM)
    here = where.partition("?")[0]
    page = await admin.page(here)
    assert "09:00–12:30, 13:30–18:00" in page and "Christmas Eve &lt;b&gt;" in page and "open_on" in page
    (row,) = await desk.runtime.business_hours.all()
    assert row.written.holidays and row.written.holidays.country == "NL" and not row.written.week.sat
    await admin.post(here, 303, **{**FORM, "name": "Store", "open_on": "2027-04-27", "date-0": "", "spans-0": "",
                                   "day-name-0": ""})  # fmt: skip
    (row,) = await desk.runtime.business_hours.all()
    assert row.written.name == "Store" and row.written.holidays and row.written.holidays.open_on
    assert not row.written.special
    gone = await admin.post(f"{here}/remove", 303)
    assert 'data-testid="undo"' in await admin.page(gone)
    await admin.post(f"{here}/restore", 303)
    assert "Store" in await admin.page(HERE)


async def test_faults_stand_beside_their_fields_and_nothing_is_lost(desk: Desk) -> None:
    admin = await desk.person("admin", name="Ada Admin")
    wrong = {**FORM, "tue": "22:00–06:00", "zone": "Mars/Base", "country": "DE", "subdivision": "XX", "spans-0": "noon"}
    page = await admin.post(f"{HERE}/new", 422, **wrong)
    for name in ("tue", "zone", "subdivision", "special-0"):
        assert f'data-testid="fault-{name}"' in page, name
    assert "22:00–06:00" in page and "BY" in page
    await admin.post(f"{HERE}/new", 303, **FORM)
    assert "already" in await admin.post(f"{HERE}/new", 422, **FORM)


async def test_others_look_and_do_not_write(desk: Desk) -> None:
    admin, agent = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Bo Agent")
    here = (await admin.post(f"{HERE}/new", 303, **FORM)).partition("?")[0]
    page = await agent.page(here)
    assert 'data-testid="save"' not in page and 'data-testid="coming"' in page
    for path in (f"{HERE}/new", here, f"{here}/remove", f"{here}/restore"):
        await agent.post(path, 403, **FORM)
    assert [each.written.name for each in await desk.runtime.business_hours.all()] == ["Shop"]
