"""A macro is put together and run from the palette, a rule is written: with scripts, nothing loads anew."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import Windows, live, never_reloaded
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Begin = Callable[[str, str], Awaitable[Talk]]


async def _added(page: Any, kind: str) -> None:
    await page.get_by_test_id("action-kind").select_option(kind)
    await page.get_by_test_id("add-action").click()


async def test_a_macro_is_put_together_and_run_from_the_palette(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Macro Mia", "Where is my money?")
    page = await windows.open(colleagues.bo)
    await page.goto("/settings/macros/new")
    await live(page)
    await page.get_by_test_id("name").fill("Refund by palette")
    await _added(page, "labels")
    await page.get_by_label("Add labels").fill("refund, money")
    await _added(page, "task")
    await page.get_by_label("What is to be done").fill("Has it arrived?")
    await _added(page, "status")
    await expect(page.get_by_test_id("actions").get_by_role("heading")).to_have_text(
        ["Change labels", "Make a task", "Set its state"]
    )
    await expect(page.get_by_label("Add labels")).to_have_value("refund, money")
    assert await never_reloaded(page)
    await page.get_by_test_id("save").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()

    await page.goto(f"{talk.path}?view=all")
    await live(page)
    await page.keyboard.press("Control+k")
    await page.keyboard.type("refund by palette")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("status")).to_have_text("Resolved")
    await expect(page.locator(".toast")).to_contain_text("Macro Refund by palette: Make a task")
    await expect(page.get_by_test_id("label")).to_have_text(["refund", "money"])
    await page.locator(".toast-undo").click()
    await expect(page.get_by_test_id("resolve")).to_be_visible()
    await expect(page.get_by_test_id("label")).to_have_count(0)
    assert await never_reloaded(page)


async def test_a_rule_is_written_and_reads_as_a_sentence(windows: Windows, colleagues: Colleagues) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/settings/automation/new")
    await live(page)
    await page.get_by_test_id("name").fill("Nobody answers")
    await page.get_by_label("Time goes by").check()
    await page.locator('[name="f/on/after:n"]').fill("20")
    await expect(page.get_by_test_id("seen")).to_contain_text("When the customer waits for our answer for 20 minutes")
    await page.get_by_test_id("add-f/when~r").click()
    field = page.locator('[name="f/when~r.0:what"]')
    await field.select_option("attributes.this-run.conversation.status")
    value = page.locator('[name="f/when~r.0:value"]')
    await expect(value.first).to_be_attached()
    await _added(page, "priority")
    await expect(page.get_by_test_id("seen")).to_contain_text("Set its priority: High")
    assert await never_reloaded(page)
