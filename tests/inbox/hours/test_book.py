"""Business hours as rows: one of a name, undo, and what others ask of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from base.errors import Conflict, NotFound, WrongInput
from inbox.hours.models import HoursInput
from tests.inbox.conftest import House

MONDAY = datetime(2026, 6, 1, 10, tzinfo=UTC)
SHOP = HoursInput.model_validate({"name": "Shop", "zone": "UTC", "week": {"mon": [["09:00", "12:00"]]}})


async def test_of_two_with_one_name_one_is_made(house: House) -> None:
    book = house.inbox.business_hours
    twin = SHOP.model_copy(update={"name": " sHOP "})
    made = await asyncio.gather(book.create(SHOP), book.create(twin), return_exceptions=True)
    assert sorted(isinstance(each, Conflict) for each in made) == [False, True]
    (kept,) = await book.all()
    await book.remove(kept.id)
    with pytest.raises(NotFound):
        await book.remove(kept.id)
    other = await book.create(SHOP)
    with pytest.raises(Conflict):
        await book.restore(kept.id)
    await book.remove(other.id)
    assert (await book.restore(kept.id)).id == (await book.restore(kept.id)).id == kept.id


async def test_two_changes_at_once_both_hold(house: House) -> None:
    book = house.inbox.business_hours
    made = await book.create(SHOP)
    await asyncio.gather(book.change(made.id, {"name": "Store"}), book.change(made.id, {"zone": "Asia/Shanghai"}))
    kept = await book.get(made.id)
    assert (kept.written.name, kept.written.zone) == ("Store", "Asia/Shanghai")
    with pytest.raises(WrongInput) as refused:
        await book.change(made.id, {"week": {"mon": [["09:00", "08:00"]]}})
    assert refused.value.errors[0].path == "week.mon"


async def test_others_ask_whether_it_is_open(house: House) -> None:
    book = house.inbox.business_hours
    made = await book.create(SHOP)
    assert await book.is_open(made.id, MONDAY)
    assert await book.opens_at(made.id, MONDAY + timedelta(hours=2)) == MONDAY + timedelta(days=6, hours=23)
    await book.change(made.id, {"week": {}})
    assert not await book.is_open(made.id, MONDAY) and await book.opens_at(made.id, MONDAY) is None
    await book.remove(made.id)
    assert await book.is_open(made.id, MONDAY) and await book.opens_at(made.id, MONDAY) == MONDAY
