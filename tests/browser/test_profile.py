"""The page of a person: on a phone who it is, what happened, then the rest; days that are said in words."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import NARROW, Windows

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Begin = Callable[[str, str], Awaitable[Talk]]


async def test_on_a_phone_the_timeline_follows_the_name(windows: Windows, colleagues: Colleagues, begun: Begin) -> None:
    talk = await begun("Pia Phone", "Hello from the phone")
    page = await windows.open(colleagues.bo, size=NARROW)
    await page.goto(f"/profiles/{talk.row['profile_id']}")
    tops = []
    for part in ("profile-name", "timeline", "follow-up"):
        box = await page.get_by_test_id(part).first.bounding_box()
        assert box is not None
        tops.append(box["y"])
    assert tops == sorted(tops) and tops[1] < NARROW[1]
    assert await page.evaluate("(at => at.scrollWidth - at.clientWidth)(document.querySelector('.content'))") <= 0
    await page.get_by_test_id("plan").click()
    await expect(page.get_by_label("What is to be done")).to_be_in_viewport()


async def test_a_day_is_said_in_words_of_the_desk(windows: Windows, colleagues: Colleagues, begun: Begin) -> None:
    talk = await begun("Dana Day", "Hello")
    page = await windows.open(colleagues.bo)
    await page.goto(f"/profiles/{talk.row['profile_id']}#follow-up")
    when = page.get_by_label("When", exact=True).last
    await when.fill("2031-03-04T09:30")
    await expect(page.locator('[data-says="fu-at"]')).to_contain_text("4 March 2031")
