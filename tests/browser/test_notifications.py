"""The bell in a browser: it rings while one looks elsewhere, is worked by keyboard, and without any script."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from inbox.models import Actor
from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import NARROW, Windows, live
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Begun = Callable[[str, str], Awaitable[Talk]]


async def test_the_bell_rings_and_is_answered_by_keyboard(
    world: World, windows: Windows, colleagues: Colleagues, begun: Begun
) -> None:
    talk = await begun("Sofie Bell", "Hello")
    runtime = world.runtime
    page = await windows.open(colleagues.bo)
    await page.goto("/notifications")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    if await page.get_by_test_id("read-all").count():
        await page.get_by_test_id("read-all").click()
    await page.goto("/templates")
    await live(page)
    badge = page.locator("[data-bell-count]")
    await expect(badge).to_be_hidden()
    bo = next(each for each in await runtime.users.users() if each.name == "Bo Agent")
    await runtime.desk_actions.assign(talk.row["id"], None, Actor("usr_1", "Ada Admin"))
    await runtime.desk_actions.assign(talk.row["id"], bo.id, Actor("usr_1", "Ada Admin"))
    await expect(badge).to_be_visible()
    await page.get_by_test_id("bell").locator("summary").focus()
    await page.keyboard.press("Enter")
    line = page.get_by_test_id("bell-list").get_by_test_id("notice").first
    await expect(line).to_contain_text("The conversation with Sofie Bell is yours now")
    await page.keyboard.press("ArrowDown")
    await expect(line).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/inbox/{talk.row['id']}*")
    await expect(badge).to_be_hidden()

    # while the conversation stands open, its news are seen at once
    await live(page)
    await talk.channel.says(talk.one, "Are you there?")
    await expect(page.get_by_text("Are you there?").last).to_be_visible()
    await expect(badge).to_be_hidden()


async def test_without_script_it_is_a_page(windows: Windows, colleagues: Colleagues) -> None:
    page = await windows.open(colleagues.bo, size=NARROW, java_script_enabled=False)
    await page.goto("/today")
    await page.get_by_test_id("bell").locator("summary").click()
    await page.get_by_test_id("to-notifications").click()
    await page.wait_for_url("**/notifications")
    await page.get_by_test_id("choose").click()
    await page.wait_for_url("**/account#telling")
    box = page.locator('input[name="waiting"][value="app"]')
    await box.check()
    await page.get_by_test_id("save-telling").click()
    await page.wait_for_url("**/account?done=telling#telling")
    await expect(box).to_be_checked()


async def test_a_browser_is_registered_and_shows_what_it_is_told(windows: Windows, colleagues: Colleagues) -> None:
    """No push service can be reached from here: the browser's half of it is played."""
    page = await windows.open(colleagues.cleo)
    await page.context.grant_permissions(["notifications"])
    await page.add_init_script("""
      const keys = { p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                     auth: "BTBZMqHH6r4Tts7J_aSIgg" };
      Notification.requestPermission = async () => "granted";
      const endpoint = "https://push.example.org/cleo";
      PushManager.prototype.subscribe = async () => ({ toJSON: () => ({ endpoint, keys }) });
    """)
    await page.goto("/account")
    await live(page)
    await page.get_by_test_id("push-on").click()
    await page.wait_for_url("**/account?done=pushed#telling")
    await expect(page.get_by_test_id("browsers").get_by_text("this one")).to_be_visible()
    await page.get_by_test_id("browsers").get_by_role("button").first.click()
    await page.wait_for_url("**/account?done=browser#telling")
    await expect(page.get_by_test_id("browsers")).to_have_count(0)
