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
