"""A marketer builds a segment by clicking, sees whom it finds while writing, saves it, reads its members, changes."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Colleagues
from tests.browser.windows import Windows, live
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def people(world: World, town: str, *names: str) -> None:
    for i, name in enumerate(names):
        body = {"identities": [f"email:{name.lower()}-{world.number()}@seg.example"], "name": f"{name} of {town}",
                "tags": ["tea club"] if i < 2 else [], "attributes": {"city": town}}  # fmt: skip
        await world.api.post("/profiles", body)


async def chooses(page: Page, name: str, label: str) -> None:
    await page.locator(f'[name="{name}"]').select_option(label=label)


async def test_a_segment_is_built_saved_and_changed(windows: Windows, colleagues: Colleagues, world: World) -> None:
    await people(world, "Haarlem", "Pia", "Quin", "Rosa")
    page = await windows.open(colleagues.ada)
    await page.goto("/segments")
    await page.get_by_test_id("nav-segments").click()
    await page.get_by_test_id("new-segment").click()
    await page.get_by_label("Name", exact=True).fill("Haarlem")
    count, words = page.get_by_test_id("seen-count"), page.get_by_test_id("seen-words")

    # The number follows what is written, and so does the sentence.
    await page.evaluate("window.stays = true")
    await chooses(page, "r.0:what", "Another field …")
    await page.locator('[name="r.0:key"]').fill("city")
    await page.locator('[name="r.0:key"]').press("Tab")
    await expect(page.locator('[name="r.0:what"]')).to_have_value("attributes.city")
    value = page.locator('[name="r.0:value"]')
    await value.press_sequentially("Haarlem", delay=30)
    await expect(count).to_have_text(re.compile(r"^\s*3 people are in it now"))
    await expect(value).to_be_focused()
    await expect(words).to_have_text("city is “Haarlem”")
    await expect(page.get_by_test_id("seen-sample").get_by_role("listitem")).to_have_count(3)

    # A second condition, by keyboard: its first field has the focus, and what is unfinished is left out.
    await page.get_by_test_id("add-r").press("Enter")
    what = page.locator('[name="r.1:what"]')
    await expect(what).to_be_focused()
    await expect(page.get_by_test_id("seen")).to_contain_text("1 condition is not complete yet")
    await page.locator('[name="r.1:value"]').fill("tea club")
    await expect(count).to_contain_text("2 people")
    await page.get_by_test_id("remove-r.1").press("Enter")
    await expect(count).to_contain_text("3 people")
    await expect(page.get_by_test_id("add-r")).to_be_focused()

    # A group with the stages to choose from; nothing was read anew by the browser.
    await page.get_by_test_id("group-r").click()
    await chooses(page, "r.1.0:what", "Stage")
    await page.locator(".checks summary").click()
    await page.get_by_role("checkbox", name="New", exact=True).check()
    await expect(words).to_have_text("city is “Haarlem” and stage is one of New")
    await expect(count).to_contain_text("3 people")
    await page.locator(".checks summary").press("Escape")
    await page.get_by_test_id("remove-r.1").click()
    await expect(page.get_by_test_id("remove-r.1")).to_have_count(0)
    assert await page.evaluate("window.stays")

    # Saved: built in the background, with its progress; then its members.
    await page.get_by_test_id("save").click()
    await expect(page.get_by_test_id("standing").first).to_have_attribute("data-state", "live")
    await expect(page.get_by_test_id("members").first).to_have_text("3")
    await page.get_by_test_id("tab-members").click()
    await expect(page.get_by_test_id("member-row")).to_have_count(3)

    # Changed.
    await page.get_by_test_id("tab-rule").click()
    await page.get_by_test_id("add-r").click()
    await page.locator('[name="r.1:value"]').fill("tea club")
    await expect(count).to_contain_text("2 people")
    await page.get_by_test_id("save").click()
    await expect(page.get_by_test_id("members").first).to_have_text("2")
    await page.get_by_test_id("tab-members").click()
    await expect(page.get_by_test_id("member-row")).to_have_count(2)
    await page.goto("/segments")
    row = page.get_by_test_id("segment-row").filter(has_text="city is “Haarlem”")
    await expect(row).to_contain_text("Haarlem")
    await row.get_by_role("link", name="Haarlem").click()
    await page.get_by_test_id("delete").click()
    await page.get_by_test_id("undo").click()
    await expect(page.get_by_test_id("members").first).to_have_text("2")


async def test_a_fault_stands_beside_its_row_while_writing(windows: Windows, colleagues: Colleagues) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/segments/new?example=lapsed")
    await live(page)
    await expect(page.get_by_test_id("seen-words")).to_have_text("last paid for an order more than 90 days ago")
    await page.locator('[name="r.0:n"]').fill("99999")
    await expect(page.locator('[data-fault="r.0"]')).to_contain_text("longer than a hundred years")
    await page.locator('[name="r.0:n"]').fill("60")
    await expect(page.locator('[data-fault="r.0"]')).to_be_empty()
    await expect(page.get_by_test_id("seen-words")).to_have_text("last paid for an order more than 60 days ago")
