"""The inbox, live for two browsers at once, by keyboard, and without any script."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import PASSWORD, Windows, live, never_reloaded, signed_in
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Begin = Callable[[str, str], Awaitable[Talk]]


def line(page: Page, text: str):  # type: ignore[no-untyped-def]
    """The line of the thread with this text."""
    return page.get_by_test_id("messages").get_by_test_id("message").filter(has_text=text)


async def test_an_agent_answers_and_the_second_browser_sees_it_without_reload(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Anna Visser", "Is the oolong back in stock?")
    bo, cleo = await windows.open(colleagues.bo), await windows.open(colleagues.cleo)
    for page in (bo, cleo):
        await page.goto(f"{talk.path}?view=all")
        await live(page)
        await expect(line(page, "Is the oolong back in stock?")).to_have_count(1)

    # Bo answers; Cleo sees the message, and each tick as the provider's receipts come.
    await bo.get_by_test_id("composer-text").fill("Yes, since this morning.")
    await bo.get_by_test_id("send").click()
    await expect(line(bo, "Yes, since this morning.")).to_have_count(1)
    await expect(line(cleo, "Yes, since this morning.")).to_have_attribute("data-status", "sent")
    call = world.outside.of(talk.channel.account, talk.one.phone)[-1]
    for tick in ("delivered", "read"):
        await talk.channel.receipt(call.message_id, tick, talk.one)
        for page in (bo, cleo):
            await expect(line(page, "Yes, since this morning.")).to_have_attribute("data-status", tick)

    # The customer answers, Cleo takes over and resolves; Bo sees all of it.
    await talk.channel.says(talk.one, "Lovely, two packs please")
    for page in (bo, cleo):
        await expect(line(page, "Lovely, two packs please")).to_have_count(1)
    await cleo.wait_for_timeout(2000)  # long enough to have read it: nobody answers what has only just flashed up
    await cleo.get_by_test_id("composer-text").fill("They are on their way.")
    await cleo.keyboard.press("Control+Enter")
    await expect(line(bo, "They are on their way.")).to_have_attribute("data-status", "sent")
    row = bo.get_by_test_id("conversation-row").filter(has_text="Anna Visser")
    await expect(row).to_contain_text("They are on their way.")
    await cleo.get_by_test_id("resolve").click()
    await expect(bo.get_by_test_id("reopen")).to_be_visible()
    await expect(bo.get_by_test_id("system-line").filter(has_text="Cleo Agent resolved")).to_have_count(1)
    assert await never_reloaded(bo) and await never_reloaded(cleo)
    assert len(world.outside.of(talk.channel.account, talk.one.phone)) == 2


async def test_somebody_new_appears_in_the_list_and_a_note_stays_inside(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    bo = await windows.open(colleagues.bo)
    await bo.goto("/inbox?view=all")
    await live(bo)
    talk = await begun("Newcomer Nora", "Hello, is anybody there?")
    row = bo.get_by_test_id("conversation-row").filter(has_text="Newcomer Nora")
    await expect(row).to_contain_text("Hello, is anybody there?")
    assert await never_reloaded(bo)

    await row.get_by_role("link").click()
    await expect(bo.get_by_test_id("conversation-title")).to_have_text("Newcomer Nora")
    await expect(bo.get_by_test_id("customer-pane")).to_contain_text("Newcomer Nora")
    await bo.locator("label", has=bo.get_by_test_id("mode-note")).click()
    await bo.get_by_test_id("composer-text").fill("A regular of the market stall")
    await bo.get_by_test_id("send").click()
    await expect(line(bo, "A regular of the market stall")).to_have_class(re.compile("line-note"))
    await world.quiet()
    assert world.outside.of(talk.channel.account, talk.one.phone) == []


async def test_the_inbox_is_worked_by_keyboard_alone(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    first = await begun("Keyboard Kim", "One")
    second = await begun("Keyboard Lou", "Two")
    page = await windows.open(colleagues.ada)
    await page.goto("/inbox?view=all&q=Keyboard")
    await live(page)
    await expect(page.get_by_test_id("conversation-row")).to_have_count(2)
    title = page.get_by_test_id("conversation-title")
    await page.keyboard.press("j")
    await expect(title).to_have_text("Keyboard Lou")
    await page.keyboard.press("j")
    await expect(title).to_have_text("Keyboard Kim")
    await page.keyboard.press("k")
    await expect(title).to_have_text("Keyboard Lou")
    await expect(page).to_have_url(re.compile(second.path))

    await page.keyboard.press("r")
    await expect(page.get_by_test_id("composer-text")).to_be_focused()
    await page.keyboard.type("Written without a mouse")
    await page.keyboard.press("Control+Enter")
    await expect(line(page, "Written without a mouse")).to_have_attribute("data-status", "sent")
    call = (await eventually(lambda: world.outside.of(second.channel.account, second.one.phone), "the answer"))[0]
    assert call.text == "Written without a mouse"

    await page.keyboard.press("Escape")  # out of the text field, where letters are letters
    await page.keyboard.press("e")
    await expect(title).to_have_text("Keyboard Kim")  # resolved, and on to the next
    rows = {row["id"]: row["status"] for row in await world.api.rows(f"/conversations?channel={first.channel.id}")}
    assert (rows[first.row["id"]], rows[second.row["id"]]) == ("open", "resolved")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).not_to_be_visible()


async def test_the_list_is_narrowed_saved_and_found_again_by_keyboard_alone(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    one, other = await begun("Palette Pam", "茶壶在哪里？我等了三天"), await begun("Palette Pia", "Thanks!")
    await world.api.call("PATCH", f"/conversations/{one.row['id']}", {"priority": "urgent", "labels": ["late"]})
    page = await windows.open(colleagues.bo)
    await page.goto("/inbox?view=all")
    await live(page)
    await page.keyboard.press("f")
    await page.get_by_label("Urgent").check()
    await page.keyboard.press("Enter")
    rows = page.get_by_test_id("conversation-row")
    pam, pia = rows.filter(has_text="Palette Pam"), rows.filter(has_text="Palette Pia")
    await expect(pia).to_have_count(0)
    await expect(pam.get_by_test_id("row-label")).to_have_text(["late"])
    await page.keyboard.press("f")
    await page.get_by_label("Save as a view").fill("Burning now")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("view=viw_"))
    await page.goto(f"{other.path}?view=all")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("burning")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("view=viw_"))
    await expect(pam).to_have_count(1)
    await expect(pia).to_have_count(0)

    # The palette does what the page can do, and searches for the rest.
    await page.goto(f"{other.path}?view=all")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("resolve")
    await page.keyboard.press("Enter")
    await eventually(lambda: _is_resolved(world, other.row["id"]), "the other one is resolved")
    await eventually(lambda: _is_found(world, "茶壶"), "the message can be searched for")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("茶壶")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("found-message").filter(has_text="Palette Pam")).to_have_count(1)


async def _is_resolved(world: World, conversation_id: str) -> bool:
    return bool((await world.api.get(f"/conversations/{conversation_id}"))["status"] == "resolved")


async def _is_found(world: World, words: str) -> bool:
    return bool((await world.api.get(f"/search?q={words}"))["messages"])


async def test_a_view_keeps_what_is_ticked_before_it_was_shown(windows: Windows, colleagues: Colleagues) -> None:
    page = await windows.open(colleagues.bo)
    await page.goto("/inbox?view=all")
    await live(page)
    await page.get_by_test_id("filters").click()
    await page.get_by_label("Urgent").check()
    await page.get_by_label("Save as a view").fill("Urgent and said at length")
    await page.get_by_test_id("save-view").click()
    await page.wait_for_url("**/inbox?view=viw_*")
    await page.get_by_test_id("filters").click()
    await expect(page.get_by_label("Urgent")).to_be_checked()
    await page.keyboard.press("Escape")
    name, tab = page.get_by_test_id("status-filter"), page.get_by_test_id("view-mine")
    ends = await name.evaluate("each => each.getBoundingClientRect().right")
    assert ends <= await tab.evaluate("each => each.getBoundingClientRect().left")


async def test_a_session_that_ended_leads_back_to_the_page_and_not_to_a_part_of_it(
    windows: Windows, world: World, begun: Begin
) -> None:
    state = await signed_in(windows, "Eve Agent", "agent")
    page = await windows.open(state)
    talk = await begun("Ended Edna", "Hello?")
    await page.goto(f"{talk.path}?view=all")
    await live(page)
    (eve,) = [each for each in await world.runtime.users.users() if each.name == "Eve Agent"]
    await world.runtime.users.close_sessions_of(eve.id)
    await begun("Ended Edda", "And me?")
    await page.keyboard.press("j")
    await page.wait_for_url("**/sign-in?next=*")
    windows.forgive(r"\b401\b")
    await page.get_by_label("Mail address").fill(eve.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/inbox/cnv_*")
    await expect(page.get_by_test_id("composer-text")).to_be_visible()


async def test_an_agent_answers_without_any_script(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Plain Paul", "No scripts here")
    page = await windows.open(colleagues.bo, java_script_enabled=False)
    await page.goto("/inbox?view=all")
    await page.get_by_test_id("conversation-row").filter(has_text="Plain Paul").get_by_role("link").click()
    await page.get_by_test_id("composer-text").fill("None needed.")
    await page.get_by_test_id("send").click()
    await expect(line(page, "None needed.")).to_have_count(1)
    await eventually(lambda: world.outside.of(talk.channel.account, talk.one.phone), "the answer")
    await page.get_by_test_id("resolve").click()
    await page.goto(talk.path)
    await expect(page.get_by_test_id("reopen")).to_be_visible()


async def test_a_phone_shows_one_pane_at_a_time(windows: Windows, colleagues: Colleagues, begun: Begin) -> None:
    await begun("Pocket Pia", "From one phone to another")
    page = await windows.open(colleagues.bo, size=(375, 812), has_touch=True, is_mobile=True)
    await page.goto("/inbox?view=all")
    row = page.get_by_test_id("conversation-row").filter(has_text="Pocket Pia")
    await row.get_by_role("link").tap()
    await expect(page.get_by_test_id("composer-text")).to_be_visible()
    await expect(row).not_to_be_visible()
    await page.get_by_role("link", name="Back to the list").tap()
    await expect(row).to_be_visible()
    await expect(page.get_by_test_id("composer-text")).not_to_be_visible()
