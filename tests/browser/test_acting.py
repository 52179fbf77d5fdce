"""Acting on conversations with a mouse, by keys and on a phone: menus, many at once, shutting out, merging, undo."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues, Talk
from tests.browser.test_every_page import CUT_OFF, SHOTS, findings
from tests.browser.windows import NARROW, Windows, live, never_reloaded
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

Begin = Callable[[str, str], Awaitable[Talk]]


async def _shot(page: Any, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png")


async def test_a_conversation_is_labelled_put_off_and_brought_back_without_leaving_the_keyboard(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Labelled Lea", "Where is my parcel?")
    page = await windows.open(colleagues.bo)
    await page.goto(f"{talk.path}?view=all&q=Labelled")
    await live(page)
    await page.keyboard.press("l")
    await _shot(page, "more-menu")
    await page.keyboard.type("returns")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("label")).to_have_text("returns")
    await expect(page.locator(".toast")).to_contain_text("Label: returns")
    await page.keyboard.press("z")
    await expect(page.get_by_test_id("label")).to_have_count(0)
    await page.get_by_test_id("more").click()
    await page.get_by_test_id("priority-urgent").click()
    await expect(page.get_by_test_id("priority")).to_have_text("Urgent")
    await page.get_by_test_id("more").click()
    await page.get_by_test_id("follow").click()
    await page.get_by_test_id("snooze").click()
    await _shot(page, "snooze-menu")
    await page.get_by_test_id("snooze-open").click()
    await expect(page.get_by_test_id("status")).to_be_visible()
    await page.locator(".toast-undo").click()
    await expect(page.get_by_test_id("resolve")).to_be_visible()
    await page.get_by_test_id("more").click()
    await page.get_by_test_id("shut-out").click()
    await expect(page.get_by_test_id("shut-out-chip")).to_be_visible()
    await _shot(page, "shut-out")
    await page.get_by_test_id("let-in").click()
    await expect(page.get_by_test_id("resolve")).to_be_visible()
    assert await never_reloaded(page)


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_what_is_taken_back_is_opened_again_what_was_searched_for_and_who_is_called_are_marked(
    windows: Windows, colleagues: Colleagues, begun: Begin, locale: str
) -> None:
    """In both languages: words found in the list and on the page for searching, a colleague called in a note."""
    who = "王小明茶行" if locale == "zh-CN" else "Matched Mia"
    q, shown = ("小明", "小明") if locale == "zh-CN" else ("match", "Match")
    said = "<b>玻璃茶壶</b>可以洗吗" if locale == "zh-CN" else "May <b>glassware</b> be washed?"
    word = "茶壶" if locale == "zh-CN" else "glassware"
    talk = await begun(who, said)
    await begun(f"{who} 2", "?")
    page = await windows.open(colleagues.bo, locale=locale)
    await page.goto(f"{talk.path}?view=all&q={q}")
    await live(page)
    marks = page.locator(".row .row-name .hit-word")
    await expect(marks).to_have_text([shown, shown])
    await page.keyboard.press("n")
    await page.keyboard.type("<i>@cleo</i> please look, @nobody")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".line-note .mention")).to_have_text("@cleo")
    await expect(page.locator(".line-note .text")).to_contain_text("<i>@cleo</i> please look, @nobody")
    await _looked_at(page, f"marked-{locale}")
    await page.keyboard.press("Escape")
    for undo in ("z", "click"):
        await page.keyboard.press("e")
        await expect(page.get_by_test_id("conversation-title")).to_have_text(f"{who} 2")
        await (page.keyboard.press("z") if undo == "z" else page.locator(".toast-undo").click())
        await expect(page.get_by_test_id("conversation-title")).to_have_text(who)
        await expect(page.get_by_test_id("resolve")).to_be_visible()
        assert talk.path in page.url
        await expect(page.locator(".row a[aria-current] .row-name")).to_have_text(who)
    assert await never_reloaded(page)

    async def found() -> bool:
        await page.goto(f"/search?q={word}")
        return await page.get_by_test_id("found-message").count() > 0

    await eventually(found, "the words are read")
    await expect(page.get_by_test_id("found-message").locator(".hit-word").first).to_have_text(word)
    await expect(page.get_by_test_id("found-message").filter(has_text=said)).to_have_count(1)
    await _looked_at(page, f"found-{locale}")


async def _looked_at(page: Any, name: str) -> None:
    """Pictures in both themes, wide and on a phone, where they are asked for."""
    wide = page.viewport_size
    for theme in ("light", "dark") if SHOTS else ():
        await page.emulate_media(color_scheme=theme)
        for width in (wide["width"], NARROW[0]):
            await page.set_viewport_size({"width": width, "height": wide["height"]})
            await _shot(page, f"{name}-{theme}-{width}")
    await page.set_viewport_size(wide)


async def test_one_key_takes_it_another_answers_and_resolves_and_letters_can_be_switched_off(
    windows: Windows, colleagues: Colleagues, begun: Begin
) -> None:
    talk = await begun("Keyed Kim", "May I keep it?")
    page = await windows.open(colleagues.bo)
    await page.goto(f"{talk.path}?view=all&q=Keyed")
    await live(page)
    await page.keyboard.press("a")
    await expect(page.get_by_test_id("assign-me")).to_be_focused()
    await page.keyboard.press("a")
    await expect(page.get_by_test_id("assign")).to_contain_text("Bo Agent")
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("option").filter(has_text="Snooze:")).not_to_have_count(0)
    await expect(page.get_by_role("option", name="Snooze: Snooze")).to_have_count(0)
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await page.keyboard.type("Of course.")
    await page.keyboard.press("Control+Shift+Enter")
    await expect(page.get_by_test_id("status")).to_have_text("Resolved")
    await expect(page.get_by_test_id("message").filter(has_text="Of course.")).to_have_count(1)
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await _shot(page, "keys")
    await page.get_by_test_id("letters").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("n")
    await page.keyboard.press("?")
    await expect(page.get_by_test_id("mode-note")).not_to_be_checked()
    await expect(page.get_by_test_id("letters")).to_be_hidden()
    await page.get_by_test_id("user-menu").click()
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await page.get_by_test_id("letters").check()
    await page.keyboard.press("Escape")
    await page.keyboard.press("n")
    await expect(page.get_by_test_id("mode-note")).to_be_checked()
    assert await never_reloaded(page)


async def test_many_are_chosen_and_the_bar_says_what_it_did(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talks = [await begun(f"Batch Bob {n}", "Hello") for n in range(3)]
    page = await windows.open(colleagues.bo)
    await page.goto("/inbox?view=all&q=Batch")
    await live(page)
    await page.get_by_test_id("select").click()
    await expect(page.get_by_test_id("bulk")).to_be_visible()
    for box in await page.get_by_test_id("pick").all():
        await box.check()
    await expect(page.locator("[data-chosen]")).to_have_text("3 chosen")
    await page.locator(".bulk-more summary").click()
    await _shot(page, "choosing")
    await page.get_by_test_id("bulk-resolve").click()
    await expect(page.get_by_test_id("did")).to_contain_text("Resolved · 3 conversations")
    await _shot(page, "did")
    await page.get_by_test_id("undo-act").click()
    await expect(page.get_by_test_id("did")).to_contain_text("Taken back")
    rows = {row["id"]: row["status"] for row in await world.api.rows(f"/conversations?channel={talks[0].channel.id}")}
    assert {rows[each.row["id"]] for each in talks} == {"open"}


@pytest.mark.parametrize("size", [None, NARROW], ids=["wide", "375"])
async def test_conversations_of_one_person_are_read_and_merged_as_one(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin, size: Any
) -> None:
    kind = "narrow" if size else "wide"
    first, second = await begun(f"Merging Mia {kind}", "First thing"), await begun(f"Mia again {kind}", "Second thing")
    for name, key in (("conversations", "_id"), ("identities", "_id")):
        field = second.row["id"] if name == "conversations" else second.row["identity_id"]
        change = {"$set": {"profile_id": first.row["profile_id"]}}
        await world.runtime.db.collection(name).update_one({key: field}, change)
    page = await windows.open(colleagues.bo, **({"size": size} if size else {}))
    for path in (f"{first.path}?view=all&all=1", f"{first.path}/merge"):
        await page.goto(path)
        assert await page.evaluate(CUT_OFF) <= 0, path
        await _shot(page, f"{kind}-{'merge' if path.endswith('merge') else 'all'}")
        assert not await findings(page), path
    await page.get_by_test_id("merge-choice").check()
    await page.get_by_test_id("merge").click()
    await expect(page.get_by_test_id("messages")).to_contain_text("Second thing")
    await expect(page.get_by_test_id("via")).to_be_visible()
    await _shot(page, f"{kind}-merged")
    assert await page.evaluate(CUT_OFF) <= 0
    await page.get_by_test_id("more").click()
    await _shot(page, f"{kind}-more")
    await page.get_by_test_id("unmerge").click()
    await expect(page.get_by_test_id("messages")).not_to_contain_text("Second thing")


async def test_a_conversation_is_split_at_a_message_on_a_phone(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Split Sam", "The first matter")
    await talk.channel.says(talk.one, "The second matter")
    page = await windows.open(colleagues.bo, size=NARROW)
    await page.goto(f"{talk.path}?view=all")
    second = page.get_by_test_id("message").filter(has_text="The second matter")
    await expect(second).to_have_count(1)
    await second.locator(".line-more summary").click()
    await _shot(page, "split-menu")
    # what comes meanwhile does not shut the menu under the finger
    await talk.channel.says(talk.one, "The third matter")
    await expect(page.get_by_test_id("messages")).to_contain_text("The third matter")
    await second.get_by_test_id("split").click(timeout=5000)
    await expect(page.get_by_test_id("messages")).not_to_contain_text("The first matter")
    assert "view=all" in page.url  # the list that stood beside stays
    await _shot(page, "split")
    assert await page.evaluate(CUT_OFF) <= 0
    await page.get_by_test_id("unsplit").click()
    await expect(page.get_by_test_id("messages")).to_contain_text("The first matter")


async def test_what_was_taken_over_from_a_bot_goes_back_with_one_key(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Botted Ben", "What are your opening hours?")
    # It takes what it is told and has much time to answer: while one looks, nothing but a person takes it.
    bot = await world.api.post("/bots", {
        "name": "Tilly", "url": f"{world.outside.url}/own/tilly", "channel_ids": [talk.channel.id], "silent_s": 600,
    })  # fmt: skip

    async def given() -> bool:
        with suppress(AssertionError):
            return bool(await world.api.post(f"/conversations/{talk.row['id']}/hand-over", {"to": "bot"}))
        return False

    try:
        await eventually(given, "the bot on its channel")  # each process knows of it within a second
        page = await windows.open(colleagues.bo)
        await page.goto(f"{talk.path}?view=all")
        await live(page)
        for undo in ("z", "click"):
            await page.get_by_test_id("take-over").click()
            await expect(page.get_by_test_id("bot-banner")).to_have_count(0)
            await expect(page.locator(".toast")).to_contain_text("Taken over from the bot")
            await _shot(page, "taken-over")
            await (page.keyboard.press("z") if undo == "z" else page.locator(".toast-undo").click())
            await expect(page.get_by_test_id("bot-banner")).to_contain_text("Tilly has this conversation")
            await expect(page.locator(".toast")).to_contain_text("Taken back: Taken over from the bot")
        row = await world.api.get(f"/conversations/{talk.row['id']}")
        assert (row["owner"], row["assignee_id"]) == ("bot", None)
        assert await never_reloaded(page)
    finally:
        await world.api.call("DELETE", f"/bots/{bot['id']}")
