"""The journey builder: from a recipe to a published journey by keyboard alone, live and undoable; and on a phone."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from base.clock import now
from tests.browser.conftest import Colleagues
from tests.browser.windows import NARROW, Windows, live, never_reloaded
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def journey_of(page: Page) -> str:
    found = re.search(r"jrn_\w+", page.url)
    assert found is not None
    return found[0]


async def focused(page: Page, test_id: str) -> None:
    """Walk by Tab until the focus is there."""
    for _ in range(80):
        own = await page.evaluate(
            "id => document.activeElement?.closest('[data-testid]')?.dataset.testid === id", test_id
        )
        if own:
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{test_id} is not reached by Tab")


async def test_from_a_recipe_to_a_published_journey_by_keyboard_alone(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/journeys/recipes")
    await focused(page, "install-thank_you_review")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("journey-state")).to_have_text("Draft")
    await live(page)
    journey = journey_of(page)
    steps = page.get_by_test_id("flow").locator("[data-step]")
    count = await steps.count()

    # Down the flow by arrows, a step behind the first one, its settings.
    await page.get_by_test_id("start").get_by_role("link").focus()
    await page.keyboard.press("ArrowDown")
    first = await page.evaluate("document.activeElement.closest('[data-step]').dataset.step")
    await page.keyboard.press("+")
    await expect(page.get_by_test_id("chooser")).to_be_visible()
    await focused(page, "add-task")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("step-task")).to_have_class(re.compile("step-wrong"))
    await expect(steps).to_have_count(count + 1)
    await expect(page.get_by_test_id("faults")).to_contain_text("1 thing is missing")
    await expect(page.get_by_label("What is to be done")).to_be_focused()
    await page.keyboard.type("Call them")
    await expect(page.get_by_test_id("step-task")).to_contain_text("Call them")
    await expect(page.get_by_test_id("faults")).to_have_count(0)

    # Moved, taken away, brought back.
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("step-task").get_by_role("link").first).to_be_focused()
    await page.keyboard.press("Alt+ArrowUp")
    await expect(page.get_by_test_id("step-task").get_by_role("link").first).to_be_focused()

    async def moved() -> bool:
        draft = (await world.api.get(f"/journeys/{journey}"))["draft"]
        return [step["id"] for step in draft["steps"]][:2] == ["task", first]

    await eventually(moved, "the step in its new place")
    await page.keyboard.press("Delete")
    await expect(page.get_by_test_id("step-task")).to_have_count(0)
    await expect(page.get_by_role("status").filter(has_text="The step is removed.")).to_be_visible()
    await page.keyboard.press("Control+z")
    await expect(page.get_by_test_id("step-task")).to_be_visible()
    await page.keyboard.press("Control+Shift+z")
    await expect(page.get_by_test_id("step-task")).to_have_count(0)
    await page.keyboard.press("Control+z")
    await expect(page.get_by_test_id("step-task")).to_be_visible()

    # Publishing says what would follow.
    await page.get_by_test_id("start").get_by_role("link").focus()
    await page.keyboard.press("Shift+Tab")
    await focused(page, "set-publish")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("who-moves")).to_contain_text("Nobody is in it")
    assert await never_reloaded(page)
    await focused(page, "publish-now")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("journey-state")).to_have_text("Live")
    head = await world.api.get(f"/journeys/{journey}")
    assert (head["status"], head["live_version"]) == ("live", 1)
    await world.api.call("PUT", f"/journeys/{journey}/status", {"status": "archived"})


async def test_a_second_version_takes_people_along_and_puts_them_back_by_keyboard_alone(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    waits = [{"id": "old", "type": "wait", "name": "Patience", "for": "P3D", "next": "new"},
             {"id": "new", "type": "wait", "name": "More patience", "for": "P9D", "next": "end"}]  # fmt: skip
    draft = {"name": "Second thoughts", "trigger": {"type": "api"}, "steps": [*waits, {"id": "end", "type": "exit"}]}
    journey = (await world.api.post("/journeys", draft))["id"]
    await world.api.post(f"/journeys/{journey}/publish", {})
    await world.journeys_known()
    person = await world.api.post("/profiles", {"identities": [f"email:along-{world.number()}@example.com"]})
    run = await world.api.post(f"/journeys/{journey}/enrolments", {"profile_id": person["id"]})

    async def at(step: str) -> bool:
        found = await world.api.get(f"/enrolments/{run['id']}")
        return bool(found["node"] == step and found["state"] == "waiting")

    await eventually(lambda: at("old"), "the run to wait")
    page = await windows.open(colleagues.ada)
    await page.goto(f"/journeys/{journey}")
    await live(page)
    await page.get_by_test_id("step-old").get_by_role("link").first.focus()
    await page.keyboard.press("Delete")
    await expect(page.get_by_test_id("step-old")).to_have_count(0)
    await page.get_by_test_id("start").get_by_role("link").focus()
    await page.keyboard.press("Shift+Tab")
    await focused(page, "set-publish")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("moves")).to_contain_text("Patience")
    await page.get_by_role("radio", name=re.compile("stays on the version")).focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_test_id("people-along")).to_be_checked()
    where = page.get_by_role("combobox", name="Where people of the step Patience go")
    await where.focus()
    await page.keyboard.type("More")
    await expect(where).to_have_value("new")
    await focused(page, "publish-now")
    await page.keyboard.press("Enter")
    await eventually(lambda: at("new"), "the run to go along")
    assert (await world.api.get(f"/journeys/{journey}"))["live_version"] == 2
    batches = world.runtime.db.collection("journey_migrations")

    async def over() -> bool:
        """It looks for a minute for whoever was on their way when it began; that minute is over now."""
        past = {"created_at": now() - timedelta(minutes=2), "due_at": now() - timedelta(seconds=1)}
        await batches.update_many({"journey_id": journey, "state": "pending"}, {"$set": past})
        return await batches.find_one({"journey_id": journey, "state": "done"}) is not None

    await eventually(over, "the batch to end")
    await page.goto(f"/journeys/{journey}?panel=versions")
    await expect(page.get_by_test_id("migration")).to_contain_text("1 person taken along")
    await focused(page, "undo-migration")
    await page.keyboard.press("Enter")
    await eventually(lambda: at("old"), "the run to be put back")
    await world.api.call("PUT", f"/journeys/{journey}/status", {"status": "archived"})


async def test_on_a_phone_steps_are_stacked_and_settings_are_a_sheet(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.ada, size=NARROW)
    await page.goto("/journeys/recipes")
    await page.get_by_test_id("install-thank_you_review").click()
    await expect(page.get_by_test_id("outline")).to_be_visible()
    await expect(page.get_by_test_id("flow")).to_be_hidden()
    await page.get_by_test_id("row-wait").get_by_role("link").first.click()
    await expect(page.get_by_test_id("panel")).to_be_visible()
    await page.get_by_role("spinbutton", name="How long").fill("9")
    await expect(page.get_by_test_id("row-wait")).to_contain_text("9")
    await page.get_by_role("link", name="Close").click()
    await expect(page.get_by_test_id("panel")).to_have_count(0)
    await page.get_by_test_id("undo").click()
    await expect(page.get_by_test_id("row-wait")).not_to_contain_text("9")
    await world.api.call("PUT", f"/journeys/{journey_of(page)}/status", {"status": "archived"})


async def test_without_a_script_a_step_comes_in_and_is_filled_in(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.ada, java_script_enabled=False)
    await page.goto("/journeys/recipes")
    await page.get_by_test_id("from-scratch").click()
    await page.get_by_test_id("trigger-type").select_option("api")
    await page.get_by_test_id("save").click()
    await page.get_by_test_id("plus-start").click()
    await page.get_by_test_id("add-wait").click()
    await page.get_by_role("spinbutton", name="How long").fill("4")
    await page.get_by_test_id("save").click()
    await expect(page.get_by_test_id("step-wait")).to_contain_text("for 4 days")
    await page.get_by_test_id("remove-step").click()
    await expect(page.get_by_test_id("step-wait")).to_have_count(0)
    await page.get_by_test_id("undo").click()
    await expect(page.get_by_test_id("step-wait")).to_be_visible()
    await page.get_by_test_id("open-settings").click()
    await page.get_by_label("Name", exact=True).first.fill("By hand")
    await page.get_by_test_id("save").click()
    await page.get_by_test_id("set-publish").click()
    await page.get_by_test_id("publish-now").click()
    await expect(page.get_by_test_id("journey-state")).to_have_text("Live")
    await world.api.call("PUT", f"/journeys/{journey_of(page)}/status", {"status": "archived"})
