"""A marketer composes a letter by clicking, keyboard and mouse, sees it drawn as it is written, and saves it."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues
from tests.browser.windows import Windows
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def test_a_letter_is_composed_drawn_and_saved(windows: Windows, colleagues: Colleagues, world: World) -> None:
    name = f"Berta {world.number()}"
    await world.api.post("/profiles", {"identities": [f"email:b-{world.number()}@tpl.example"], "name": name})
    page = await windows.open(colleagues.ada)
    await page.goto("/templates")
    await page.get_by_test_id("new-template").click()
    letter = page.frame_locator('[data-testid="letter"]')

    # What is written is drawn in the frame and checked beside it.
    await page.get_by_label("Name", exact=True).fill("Spring letter")
    await page.get_by_label("Subject").fill("Fresh teas")
    await page.get_by_label("Shown as").fill(name)
    words = page.locator('[name="b:1:text"]')
    await words.press_sequentially("Dear ", delay=10)
    await page.locator("[data-picker] summary").click()
    await page.locator("[data-picker] button", has_text="profile.name").click()
    await expect(words).to_be_focused()
    await expect(words).to_have_value("Dear {{ profile.name | default('') }}")
    await expect(letter.locator("body")).to_contain_text(f"Dear {name}")
    await expect(page.get_by_test_id("seen")).to_contain_text(f"As {name} gets it.")

    # Blocks come, go and move: by keyboard, undone, and dragged.
    await page.evaluate("window.stays = true")
    await page.get_by_test_id("add-button").press("Enter")
    await page.locator('[name="b:2:label"]').fill("Look")
    await page.locator('[name="b:2:url"]').fill("http://shop.example/")
    await expect(letter.get_by_role("link", name="Look")).to_be_visible()
    await expect(page.get_by_test_id("seen")).to_contain_text("not encrypted")
    await page.get_by_test_id("up-2").press("Enter")
    await expect(page.locator('[name="b:1:label"]')).to_have_value("Look")
    await expect(page.get_by_test_id("up-1")).to_be_focused()
    await page.get_by_test_id("remove-1").press("Enter")
    await expect(page.locator('[name="b:1:type"]')).to_have_value("text")
    await expect(page.get_by_test_id("put-back")).to_be_focused()
    await page.get_by_test_id("put-back").press("Enter")
    await expect(page.locator('[name="b:1:type"]')).to_have_value("button")
    await page.locator('[data-testid="block-1"] .letter-block-head').drag_to(page.get_by_test_id("block-2"))
    await expect(page.locator('[name="b:2:type"]')).to_have_value("button")
    assert await page.evaluate("window.stays"), "no page was read anew"

    # A second language begins with the words of the first.
    await page.locator('[name="new_lang"]').select_option("zh_CN")
    await page.get_by_test_id("add-language").click()
    await expect(page.locator('[name="lang"]')).to_have_value("zh_CN")
    await page.get_by_label("Subject").fill("春茶")
    await page.get_by_test_id("save").click()
    await expect(page.get_by_test_id("good")).to_contain_text("Saved.")
    await expect(page).to_have_url(re.compile(r"/templates/tpl_"))
    await page.get_by_test_id("delete").click()
    await page.get_by_test_id("undo").click()
    await expect(page.get_by_test_id("template-list")).to_contain_text("Spring letter")
