"""Journeys as a marketer reads them: the list, the drawn flow, the people in it, and a run that explains itself."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import Windows, live, never_reloaded
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Begin = Callable[[str, str], Awaitable[Talk]]


async def test_from_the_list_over_the_flow_to_a_run_that_explains_why_it_waits(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    journey = await world.recipe("thank_you_review", wait="P3D", channels=["whatsapp"])
    await world.journeys_known()
    talk = await begun("Flora Fischer", "When will it arrive?")
    number = await delivered(world, talk)
    await eventually(lambda: waiting(world, journey, 1), "the run to wait")
    page = await windows.open(colleagues.ada)
    await page.goto("/journeys")
    await page.get_by_test_id("journey-list").locator(f'a[href="/journeys/{journey}"]').click()
    for step in ("thanks", "wait", "talking", "review", "leave"):
        await expect(page.get_by_test_id(f"step-{step}")).to_be_visible()
    # Counts are live: somebody else comes in while the page is open.
    await live(page)
    here = page.get_by_test_id("step-wait").get_by_title("People here now")
    await expect(here).to_have_text("1")
    await delivered(world, await begun("Gerd Haas", "Has it arrived?"))
    await expect(here).to_have_text("2")
    assert await never_reloaded(page)
    await here.click()
    await page.get_by_test_id("run-list").get_by_role("link", name="Flora Fischer").click()
    await expect(page.get_by_test_id("why")).to_contain_text(re.compile("wait", re.IGNORECASE))
    await expect(page.get_by_test_id("why")).to_contain_text(re.compile("in 2 d|in 3 d|2d|3d|day", re.IGNORECASE))
    log = page.get_by_test_id("run-log")
    await expect(log.get_by_role("listitem")).not_to_have_count(0)
    await expect(log).to_contain_text("Sent by WhatsApp")

    # The same from the customer's side.
    await page.get_by_role("heading", level=1).get_by_role("link", name="Flora Fischer").click()
    await expect(page.get_by_test_id("profile-name")).to_have_text("Flora Fischer")
    await page.get_by_test_id("tab-journeys").click()
    runs = page.locator(".brief-page").get_by_role("link", name=re.compile("Thank-you and review"))
    await expect(runs).to_have_count(1)
    await page.get_by_test_id("tab-orders").click()
    await page.get_by_role("link", name=number).click()
    await expect(page.get_by_test_id("order-status")).to_be_visible()
    await world.end_journeys()


async def test_a_recipe_becomes_a_draft_that_is_published_and_paused(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/journeys/recipes")
    await page.get_by_test_id("install-payment_reminder").click()
    await expect(page.get_by_test_id("journey-state")).to_be_visible()
    await expect(page.get_by_test_id("flow")).to_be_visible()
    drawn = re.search(r"jrn_\w+", page.url)
    assert drawn is not None
    await world.api.post(f"/journeys/{drawn[0]}/publish", {})
    await page.reload()
    await page.get_by_test_id("set-paused").click()
    await expect(page.get_by_test_id("set-live")).to_be_visible()
    assert (await world.api.get(f"/journeys/{drawn[0]}"))["status"] == "paused"
    await world.api.call("PUT", f"/journeys/{drawn[0]}/status", {"status": "archived"})


async def delivered(world: World, talk: Talk) -> str:
    """An order of theirs has arrived; its number."""
    number = f"HT-{world.number()}"
    lines = [{"name": "Glass teapot", "quantity": 1}]
    order = {"external_id": number, "identity": f"phone:+{talk.one.phone}", "status": "delivered", "lines": lines}
    await world.api.post("/orders", order, status=201)
    return number


async def waiting(world: World, journey_id: str, count: int) -> bool:
    runs = await world.api.rows(f"/journeys/{journey_id}/enrolments?state=waiting")
    return sum(run["node"] == "wait" for run in runs) == count
