"""A morning's list worked off without leaving the keyboard."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import Windows, live
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Begin = Callable[[str, str], Awaitable[Talk]]


async def test_the_list_is_worked_off_by_keys_alone(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    await begun("Wanda Waits", "Is it here yet?")
    task = await world.api.post("/tasks", {"text": "Count the tins", "due_at": "2026-01-05T09:00:00Z"})
    page = await windows.open(colleagues.bo)
    await page.goto("/today?show=work")
    await live(page)
    row = page.locator(f'[data-key="task:{task["id"]}"]')
    await expect(row).to_be_visible()
    # down to the task, past whatever stands above it
    for _ in range(60):
        await page.keyboard.press("j")
        if await row.locator("[data-row]").evaluate("each => each === document.activeElement"):
            break
    await page.keyboard.press("e")
    await expect(page.get_by_test_id("undo")).to_be_visible()
    await expect(row).to_have_count(0)
    await page.keyboard.press("z")
    await expect(row).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.locator("#shortcuts")).to_contain_text("Later, or somebody else")
    await page.keyboard.press("Escape")
    await expect(page.locator("#shortcuts")).to_be_hidden()
    # later, by the menu
    for _ in range(60):
        await page.keyboard.press("j")
        if await row.locator("[data-row]").evaluate("each => each === document.activeElement"):
            break
    await page.keyboard.press("s")
    await expect(row.get_by_test_id("snooze").first).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(row).to_have_count(0)
    await page.keyboard.press("z")
    await expect(row).to_be_visible()


async def test_an_open_menu_covers_the_buttons_of_the_rows_below_it(
    windows: Windows, colleagues: Colleagues, begun: Begin
) -> None:
    for name in ("Mena Over", "Mena Under", "Mena Deep"):
        await begun(name, "Anybody there?")
    page = await windows.open(colleagues.bo)
    await page.goto("/today?show=inbox")
    await live(page)
    rows = page.get_by_test_id("stream-row").filter(has=page.get_by_test_id("more"))
    await rows.first.get_by_test_id("more").click()
    items = rows.first.locator(".sheet .item")
    await expect(items.first).to_be_visible()
    hidden = await items.evaluate_all(
        """items => items.filter(item => {
          const box = item.getBoundingClientRect();
          const at = part => document.elementFromPoint(box.left + box.width * part, box.top + box.height / 2);
          return box.bottom < innerHeight && ![0.05, 0.5, 0.95].every(part => item.contains(at(part)));
        }).map(item => item.textContent)"""
    )
    assert hidden == []


async def test_who_waits_is_answered_from_the_list(windows: Windows, colleagues: Colleagues, begun: Begin) -> None:
    """One click, and the words can be typed; closing it is in the menu."""
    talk = await begun("Willa Waits", "Do you open on Sunday?")
    page = await windows.open(colleagues.bo)
    await page.goto("/today?show=inbox")
    row = page.locator(f'[data-key="conversation:{talk.row["id"]}"]')
    while not await row.count():
        await page.locator(".more a").click()
    await row.get_by_test_id("answer").click()
    await expect(page.get_by_test_id("composer-text")).to_be_focused()
    await page.go_back()
    await row.get_by_test_id("more").click()
    await row.get_by_test_id("done").click()
    await expect(row).to_have_count(0)
