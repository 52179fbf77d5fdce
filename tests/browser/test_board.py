"""The stage board: dragged, moved by key and by form, with a reason where one is asked for, and back."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import NARROW, Windows, live
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Begin = Callable[[str, str], Awaitable[Talk]]


async def stage_of(world: World, talk: Talk) -> str:
    return str((await world.api.get(f"/profiles/{talk.row['profile_id']}"))["stage"])


def card(page: Page, stage: str, name: str):  # type: ignore[no-untyped-def]
    return page.get_by_test_id(f"column-{stage}").get_by_test_id("card").filter(has_text=name)


async def test_a_card_is_dragged_and_put_back(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Berta Drag", "Hello")
    page = await windows.open(colleagues.bo)
    await page.goto("/profiles/board")
    await live(page)
    await card(page, "new", "Berta Drag").drag_to(page.get_by_test_id("column-lead"))
    await expect(card(page, "lead", "Berta Drag")).to_be_visible()
    await expect(page.get_by_test_id("moved")).to_contain_text("Berta Drag")
    assert await stage_of(world, talk) == "lead"
    await page.get_by_test_id("undo").click()
    await expect(card(page, "new", "Berta Drag")).to_be_visible()
    assert await stage_of(world, talk) == "new"


async def test_by_key_and_with_a_reason(windows: Windows, colleagues: Colleagues, world: World, begun: Begin) -> None:
    talk = await begun("Carla Key", "Hello")
    page = await windows.open(colleagues.bo)
    await page.goto("/profiles/board")
    await card(page, "new", "Carla Key").get_by_role("link", name="Carla Key").focus()
    await page.keyboard.press("Alt+ArrowRight")
    await expect(card(page, "lead", "Carla Key").get_by_role("link", name="Carla Key")).to_be_focused()
    await card(page, "lead", "Carla Key").drag_to(page.get_by_test_id("column-lost"))
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Cancel").click()
    assert await stage_of(world, talk) == "lead"
    await card(page, "lead", "Carla Key").drag_to(page.get_by_test_id("column-lost"))
    await dialog.get_by_label("Reason").select_option(label="Too expensive")
    await dialog.get_by_role("button", name="Move").click()
    await expect(page.get_by_test_id("moved")).to_contain_text("Lost")
    await expect(card(page, "lost", "Carla Key")).to_be_visible()
    moves = await world.api.rows(f"/profiles/{talk.row['profile_id']}/stage")
    assert (moves[0]["to_stage"], moves[0]["reason"]) == ("lost", "price")


async def test_on_a_phone_and_without_script(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Dora Form", "Hello")
    page = await windows.open(colleagues.bo, size=NARROW, java_script_enabled=False)
    await page.goto("/profiles/board")
    mine = card(page, "new", "Dora Form")
    await mine.get_by_text("Move to").click()
    await mine.get_by_label("Stage").select_option("lost")
    await mine.get_by_role("button", name="Move", exact=True).click()
    await page.get_by_label("Reason").select_option("no_need")
    await page.get_by_test_id("move").click()
    await expect(page.get_by_test_id("moved")).to_contain_text("Dora Form")
    assert await stage_of(world, talk) == "lost"


async def test_somebody_elses_move_shows_by_itself(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Elsa Live", "Hello")
    page = await windows.open(colleagues.bo)
    await page.goto("/profiles/board")
    await live(page)
    await world.api.post(f"/profiles/{talk.row['profile_id']}/stage", {"stage": "customer"})
    await expect(card(page, "customer", "Elsa Live")).to_be_visible(timeout=15_000)


async def test_nothing_moves_under_the_pointer_until_it_is_asked_for(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    first, second = await begun("Fred First", "Hello"), await begun("Greta Gone", "Hello")
    page = await windows.open(colleagues.bo)
    await page.goto("/profiles/board")
    await live(page)
    mine = card(page, "new", "Fred First")
    await mine.hover()
    before = await mine.bounding_box()
    await begun("Hanna Here", "Hello")
    news = page.get_by_test_id("column-new").get_by_role("button", name="1 new · show")
    await expect(news).to_be_visible()
    await expect(card(page, "new", "Hanna Here")).to_have_count(0)
    await world.api.post(f"/profiles/{second.row['profile_id']}/stage", {"stage": "lead"})
    await expect(card(page, "new", "Greta Gone")).to_have_attribute("data-went", "is in “Lead” now")
    assert await mine.bounding_box() == before
    await news.click()
    await expect(card(page, "new", "Hanna Here")).to_be_visible()
    await expect(card(page, "new", "Greta Gone")).to_have_count(0)
    await page.mouse.move(5, 5)
    await page.get_by_role("heading", level=1).click()  # nobody is at the board: it follows by itself
    await expect(card(page, "lead", "Greta Gone")).to_be_visible()
    assert await stage_of(world, first) == "new"


async def test_arrows_go_from_card_to_card(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    low, high = await begun("Ida Low", "Hello"), await begun("Jo High", "Hello")
    for talk in (low, high):
        await world.api.post(f"/profiles/{talk.row['profile_id']}/stage", {"stage": "lapsed"})
    aside = await begun("Kim Aside", "Hello")
    await world.api.post(f"/profiles/{aside.row['profile_id']}/stage", {"stage": "repeat"})
    page = await windows.open(colleagues.bo)
    await page.goto("/profiles/board")
    await card(page, "lapsed", "Jo High").get_by_role("link").focus()
    await page.keyboard.press("ArrowDown")
    await expect(card(page, "lapsed", "Ida Low").get_by_role("link")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowLeft")
    await expect(card(page, "repeat", "Kim Aside").get_by_role("link")).to_be_focused()


@pytest.mark.parametrize("width", [1280, 375])
async def test_the_last_column_is_reached_without_scrolling_sideways(
    windows: Windows, colleagues: Colleagues, begun: Begin, width: int
) -> None:
    await begun("Lou Wide", "Hello")
    page = await windows.open(colleagues.bo, size=(width, 800))
    await page.goto("/profiles/board")
    column = page.get_by_test_id("column-lost")
    if width == 375:
        await expect(column).to_be_hidden()
        await page.get_by_test_id("open-lost").click()
        await expect(page.get_by_test_id("column-new")).to_be_hidden()
        assert "open=lost" in page.url
        await page.reload()
    box = await column.bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert await page.evaluate("(at => at.scrollWidth - at.clientWidth)(document.querySelector('.board'))") <= 0


async def test_on_a_phone_a_moved_card_makes_way_for_the_next(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Mia Phone", "Hello")
    page = await windows.open(colleagues.bo, size=NARROW)
    await page.goto("/profiles/board")
    mine = card(page, "new", "Mia Phone")
    await mine.get_by_text("Move to").click()
    await mine.get_by_label("Stage").select_option("lead")
    await mine.get_by_role("button", name="Move", exact=True).click()
    await expect(mine).to_have_count(0)
    await expect(page.get_by_test_id("moved")).to_be_in_viewport()
    await expect(page.get_by_test_id("open-new")).to_have_attribute("aria-current", "true")
    assert await stage_of(world, talk) == "lead"
