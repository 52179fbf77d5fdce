"""Answering in the browser: taken back, drafts, files, quotes, later, emoji, and news that comes while one writes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from inbox.answering import AnsweringRules
from tests.browser.conftest import Colleagues, Talk
from tests.browser.windows import Windows, live
from tests.desk.world import channel, wrote
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Begin = Callable[[str, str], Awaitable[Talk]]


@pytest.fixture
async def undo_s(world: World) -> AsyncIterator[int]:
    """Answers can be taken back for a long while."""
    await world.runtime.answering.choose(AnsweringRules(undo_s=40), "stories")
    yield 40
    await world.runtime.answering.choose(AnsweringRules(undo_s=0), "stories")


def line(page: Page, text: str):  # type: ignore[no-untyped-def]
    """The line of the thread with this text."""
    return page.get_by_test_id("messages").get_by_test_id("message").filter(has_text=text)


async def at(windows: Windows, who: object, talk: Talk, **options: object) -> Page:
    page = await windows.open(who, **options)  # type: ignore[arg-type]
    await page.goto(f"{talk.path}?view=all")
    await live(page)
    return page


async def test_an_answer_is_taken_back_written_on_and_a_draft_follows_its_writer(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin, undo_s: int
) -> None:
    talk = await begun("Undo Uma", "Do you ship to Norway?")
    bo = await at(windows, colleagues.bo, talk)
    text = bo.get_by_test_id("composer-text")
    await text.fill("No, we do not.")
    await bo.get_by_test_id("send").click()
    await expect(line(bo, "No, we do not.").get_by_test_id("undo")).to_be_visible()
    await expect(line(bo, "No, we do not.")).to_contain_text(re.compile(r"goes out in \d+ s"))
    await expect(text).to_have_value("")
    await text.fill("Begun since")
    await bo.keyboard.press("Escape")
    await bo.keyboard.press("z")
    await expect(line(bo, "No, we do not.")).to_have_count(0)
    await expect(text).to_have_value("No, we do not.\n\nBegun since")
    assert world.outside.of(talk.channel.account, talk.one.phone) == []

    # The words wait on the server: another window of the same person has them, a colleague has not.
    await text.fill("Yes, we do!")
    key = f"{talk.row['id']}:"
    drafts = world.runtime.db.collection("drafts")

    async def kept() -> bool:
        return await drafts.count_documents({"_id": {"$regex": f"^{key}"}, "text": "Yes, we do!"}) == 1

    await eventually(kept, "the draft on the server")
    other, cleo = await at(windows, colleagues.bo, talk), await at(windows, colleagues.cleo, talk)
    await expect(other.get_by_test_id("composer-text")).to_have_value("Yes, we do!")
    await expect(cleo.get_by_test_id("composer-text")).to_have_value("")


async def test_files_quotes_emoji_and_a_later_time(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Parcel Pam", "Where is my parcel?")
    page = await at(windows, colleagues.bo, talk)
    text = page.get_by_test_id("composer-text")
    picture = {"name": "map.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n" + b"\0" * 40}
    await page.get_by_test_id("files").set_input_files([picture])  # type: ignore[list-item]
    await expect(page.get_by_test_id("chosen-files")).to_contain_text("map.png")
    await expect(page.get_by_test_id("chosen-files")).to_contain_text("KB")
    await line(page, "Where is my parcel?").hover()
    await line(page, "Where is my parcel?").get_by_test_id("quote").click()
    await expect(page.get_by_test_id("quoting")).to_contain_text("Where is my parcel?")
    await text.fill("Here ")
    await page.get_by_test_id("emoji").click()
    await page.get_by_label("Search emoji").fill("包裹")
    await page.get_by_test_id("emoji-picker").get_by_role("button").first.click()
    await expect(text).to_have_value("Here 📦")
    await page.get_by_test_id("send").click()
    sent = line(page, "Here 📦")
    await expect(sent).to_have_attribute("data-status", re.compile("sent|failed"))
    await expect(sent.locator(".quote")).to_contain_text("Where is my parcel?")
    await expect(page.get_by_test_id("quoting")).to_be_hidden()

    await text.fill("Has it come?")
    await page.get_by_test_id("later").click()
    await page.locator("[name=send_at]").first.click()
    await expect(page.get_by_test_id("planned-line")).to_contain_text("Has it come?")
    await expect(line(page, "Has it come?")).to_have_count(0)
    await page.get_by_test_id("take-back").click()
    await expect(page.get_by_test_id("planned")).to_have_count(0)
    await expect(text).to_have_value("Has it come?")


async def test_news_that_came_while_one_wrote_is_asked_about(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Newsy Ned", "One please")
    page = await at(windows, colleagues.bo, talk)
    await page.get_by_test_id("composer-text").fill("One is on its way.")
    await page.context.set_offline(True)  # what comes now is not seen
    await talk.channel.says(talk.one, "Make that two")
    await page.get_by_test_id("send").click()
    await page.context.set_offline(False)
    windows.forgive("ERR_INTERNET_DISCONNECTED|409")
    unsent = line(page, "One is on its way.")
    await expect(unsent.get_by_test_id("send-anyway")).to_be_visible()
    await expect(line(page, "Make that two")).to_have_count(1)
    await unsent.get_by_test_id("edit-unsent").click()
    await expect(page.get_by_test_id("composer-text")).to_have_value("One is on its way.")
    await page.get_by_test_id("composer-text").fill("Two are on their way.")
    await page.wait_for_timeout(2000)  # long enough to have read it
    await page.get_by_test_id("send").click()
    await expect(line(page, "Two are on their way.")).to_have_attribute("data-status", "sent")
    calls = world.outside.of(talk.channel.account, talk.one.phone)
    assert [call.text for call in calls] == ["Two are on their way."]
    windows.forgive("ERR_INTERNET_DISCONNECTED|409|ERR_NETWORK_CHANGED")


async def stopped(page: Page, talk: Talk, text: str, news: str) -> None:
    """Write and send while something comes in unseen."""
    await page.get_by_test_id("composer-text").fill(text)
    await page.context.set_offline(True)  # what comes now is not seen
    await talk.channel.says(talk.one, news)
    await page.keyboard.press("Control+Enter")
    await page.context.set_offline(False)
    await expect(line(page, text).get_by_test_id("send-anyway")).to_be_visible()


async def test_what_was_stopped_outlives_a_reload_with_what_was_begun_since(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Stopped Sue", "One please")
    page = await at(windows, colleagues.bo, talk)
    text = page.get_by_test_id("composer-text")
    drafts = world.runtime.db.collection("drafts")

    async def kept(words: str) -> None:
        async def look() -> bool:
            found = await drafts.count_documents({"conversation_id": talk.row["id"], "text": words})
            return found == 1

        await eventually(look, f"a draft that says {words}")

    await stopped(page, talk, "One is on its way.", "Make that two")
    await kept("One is on its way.")
    await text.fill("And the lid?")
    await kept("One is on its way.\n\nAnd the lid?")
    await page.reload()
    await live(page)
    await expect(line(page, "One is on its way.")).to_have_count(0)
    await expect(text).to_have_value("One is on its way.\n\nAnd the lid?")

    # Sent anyway, what was begun since stays a draft of its own.
    await page.wait_for_timeout(2000)  # long enough to have read it
    await stopped(page, talk, "Two are on their way.", "Or three")
    await text.fill("And three lids?")
    await kept("Two are on their way.\n\nAnd three lids?")
    await page.keyboard.press("Control+Alt+Enter")
    await expect(line(page, "Two are on their way.")).to_have_attribute("data-status", "sent")
    await kept("And three lids?")
    await expect(text).to_have_value("And three lids?")
    await page.reload()
    await expect(text).to_have_value("And three lids?")
    calls = world.outside.of(talk.channel.account, talk.one.phone)
    assert [call.text for call in calls] == ["Two are on their way."]
    windows.forgive("ERR_INTERNET_DISCONNECTED|409|ERR_NETWORK_CHANGED")


async def test_what_was_stopped_is_sent_anyway_by_a_key_and_is_there_after_a_look_elsewhere(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    other, talk = await begun("Other Ole", "Hello"), await begun("Keyed Kai", "One please")
    page = await at(windows, colleagues.bo, talk)
    text = page.get_by_test_id("composer-text")
    await stopped(page, talk, "One is on its way.", "Make that two")
    button = line(page, "One is on its way.").get_by_test_id("send-anyway")
    await expect(button).to_have_attribute("aria-keyshortcuts", "Control+Alt+Enter")
    await page.get_by_test_id("conversation-row").filter(has_text="Other Ole").get_by_role("link").click()
    await expect(page.locator("#talk h2")).to_contain_text("Other Ole")
    await page.get_by_test_id("conversation-row").filter(has_text="Keyed Kai").get_by_role("link").click()
    await expect(text).to_have_value("One is on its way.")
    await page.wait_for_timeout(2000)  # long enough to have read it
    await stopped(page, talk, "Two, then.", "No, three")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.locator("#shortcuts div").filter(has_text="Send anyway").locator("kbd")).to_have_text(
        ["Ctrl", "Alt", "Enter"]
    )
    await page.keyboard.press("Control+Alt+Enter")  # the list of keys is open: nothing goes out
    await page.keyboard.press("Escape")
    await expect(page.locator("#shortcuts")).to_be_hidden()
    assert world.outside.of(talk.channel.account, talk.one.phone) == []
    await page.keyboard.press("Control+Alt+Enter")
    await expect(line(page, "Two, then.")).to_have_attribute("data-status", "sent")
    await page.reload()
    await expect(text).to_have_value("")
    windows.forgive("ERR_INTERNET_DISCONNECTED|409|ERR_NETWORK_CHANGED")
    assert world.outside.of(other.channel.account, other.one.phone) == []


async def test_who_looks_and_who_writes_is_seen_by_colleagues(
    windows: Windows, colleagues: Colleagues, begun: Begin
) -> None:
    talk, other = await begun("Busy Bea", "Anybody?"), await begun("Quiet Quin", "Hello")
    bo, cleo = await at(windows, colleagues.bo, talk), await at(windows, colleagues.cleo, other)
    row = cleo.get_by_test_id("conversation-row").filter(has_text="Busy Bea")
    await expect(row.get_by_test_id("lookers")).to_have_text("B")
    await row.get_by_role("link").click()
    for page, name in ((cleo, "Bo Agent"), (bo, "Cleo Agent")):
        await expect(page.get_by_test_id("viewers")).to_have_text(f"{name} also has this open")
    await bo.locator("label", has=bo.get_by_test_id("mode-note")).click()
    await bo.get_by_test_id("composer-text").press_sequentially("A regular")
    await expect(cleo.get_by_test_id("typing")).to_contain_text("Bo Agent is typing")
    await bo.goto("/profiles")
    await expect(cleo.get_by_test_id("viewers")).to_be_hidden()
    await expect(row.get_by_test_id("row-draft")).to_have_count(0)
    await bo.goto("/inbox?view=all")
    await bo.get_by_test_id("conversation-row").filter(has_text="Busy Bea").get_by_role("link").click()
    await expect(bo.get_by_test_id("composer-text")).to_have_value("A regular")


async def test_a_slash_finds_canned_replies_and_no_blank_goes_out(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Canny Cas", "Where do I send it back to?")
    hello, back = "Hi {{ profile.first_name }}!", "Send order {{ order.number }} to Leiden."
    for shortcut, text in (("canny-hello", hello), ("退货", back)):
        await world.api.post("/canned-replies", {"shortcut": shortcut, "text": text})
    page = await at(windows, colleagues.bo, talk)
    text, found = page.get_by_test_id("composer-text"), page.get_by_test_id("canned")
    await text.press_sequentially("and/or /canny")
    await expect(found.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(found).to_have_count(0)
    await page.keyboard.type("-")
    await expect(found.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(text).to_have_value("and/or Hi Canny!")
    await text.fill("Hi Canny! ")
    await page.get_by_test_id("canned-button").click()
    await page.keyboard.type("退")
    await expect(found.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Tab")
    await expect(text).to_have_value(f"Hi Canny! {back}")
    await page.get_by_test_id("send").click()
    assert world.outside.of(talk.channel.account, talk.one.phone) == []
    await page.keyboard.type("1042")  # the blank is marked
    await expect(text).to_have_value("Hi Canny! Send order 1042 to Leiden.")
    await page.get_by_test_id("send").click()
    await expect(line(page, "Send order 1042")).to_have_attribute("data-status", "sent")
    (reply,) = [each for each in (await world.api.rows("/canned-replies")) if each["shortcut"] == "退货"]
    assert reply["uses"] == 1


async def test_a_slash_that_finds_nothing_says_so_and_where_to_make_one(
    windows: Windows, colleagues: Colleagues, begun: Begin
) -> None:
    talk = await begun("Nothing Nan", "Do you repair lids?")
    page = await at(windows, colleagues.bo, talk)
    text, nothing = page.get_by_test_id("composer-text"), page.get_by_test_id("canned-none")
    await text.press_sequentially("Hi /lid-repair")
    await expect(nothing).to_contain_text("No canned reply has these words.")
    await expect(nothing).to_have_attribute("role", "status")
    await page.keyboard.press("Enter")  # no key of the text is taken away
    await expect(text).to_have_value("Hi /lid-repair\n")
    await expect(nothing).to_have_count(0)
    await page.keyboard.press("Backspace")
    await expect(nothing).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(nothing).to_have_count(0)
    await expect(text).to_be_focused()
    await page.keyboard.type("s ")
    await page.keyboard.type("/lid-repair")
    await expect(nothing).to_be_visible()
    await page.keyboard.press("Shift+Tab")
    await expect(nothing.get_by_role("link", name="Make one")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/settings/canned/new?shortcut=lid-repair")
    await expect(page.get_by_label("Shortcut")).to_have_value("lid-repair")
    await page.go_back()
    await expect(text).to_have_value("Hi /lid-repairs /lid-repair")


async def test_a_note_calls_a_colleague_by_the_first_letters_of_a_name(
    windows: Windows, colleagues: Colleagues, begun: Begin
) -> None:
    talk = await begun("Call Me", "Is this tea or coffee?")
    page = await at(windows, colleagues.bo, talk)
    text, found = page.get_by_test_id("composer-text"), page.get_by_test_id("calling")
    await page.keyboard.press("r")
    await page.keyboard.type("write to me@cl")
    await expect(found).to_have_count(0)
    await text.fill("")
    await page.get_by_test_id("mode-note").check(force=True)
    await text.press_sequentially("mail me@cleo, 请问@CLEO A")
    await expect(found.get_by_role("option")).to_have_text([re.compile("Cleo Agent")])
    await page.keyboard.press("Enter")
    await expect(text).to_have_value("mail me@cleo, 请问@Cleo Agent ")
    await expect(found).to_have_count(0)
    await page.keyboard.type("what is it?")
    await page.keyboard.press("Control+Enter")
    await expect(line(page, "what is it?")).to_be_visible()
    cleo = await windows.open(colleagues.cleo)
    await cleo.goto("/inbox?view=mentions")
    await expect(cleo.get_by_test_id("conversation-list")).to_contain_text("Call Me")
    pane = page.locator("#pane-note-text")
    await pane.press_sequentially("@age")
    await expect(found.get_by_role("option")).to_have_count(2)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Tab")
    await expect(pane).to_have_value("@Cleo Agent ")


async def test_a_reaction_and_a_first_message_by_keyboard_alone(
    windows: Windows, colleagues: Colleagues, world: World, begun: Begin
) -> None:
    talk = await begun("Rea Keys", "Thank you so much!")
    ada, bo = await at(windows, colleagues.ada, talk), await at(windows, colleagues.bo, talk)
    await bo.keyboard.press("v")
    await expect(bo.get_by_test_id("react-with").first).to_be_focused()
    await bo.keyboard.press("Enter")
    for page in (bo, ada):
        await expect(line(page, "Thank you so much!").get_by_test_id("reacted")).to_contain_text("👍")

    async def told() -> bool:
        given = world.outside.of(talk.channel.account, talk.one.phone)
        return [each.body.get("reaction", {}).get("emoji") for each in given] == ["👍"]

    await eventually(told, "the reaction at the provider")
    await line(bo, "Thank you so much!").get_by_test_id("unreact").focus()
    await bo.keyboard.press("Enter")
    await expect(line(ada, "Thank you so much!").get_by_test_id("reacted")).to_have_count(0)
    await bo.keyboard.press("Escape")
    await bo.keyboard.press("c")
    await bo.wait_for_url("**/inbox/new")
    await bo.keyboard.type("rea keys")
    await bo.keyboard.press("Enter")
    await bo.get_by_test_id("whom").get_by_role("link").first.focus()
    await bo.keyboard.press("Enter")
    await bo.get_by_test_id("first-text").fill("And one more thing")
    await bo.get_by_test_id("begin").press("Enter")
    await bo.wait_for_url(f"**{talk.path}")
    await expect(line(bo, "And one more thing")).to_be_visible()


async def test_who_is_new_in_the_copy_stands_below_it_while_it_is_written(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    account = await channel(world.runtime, "email", "Copies")
    mail = {"message_id": "<copies@x>", "subject": "Order", "to": ["boss@corp.example"]}
    talk = await wrote(world.runtime, account, "kim@corp.example", mail=mail)
    page = await windows.open(colleagues.bo)
    await page.goto(f"/inbox/{talk.id}?view=all")
    await live(page)
    await page.get_by_test_id("copies").locator("summary").click()
    told = page.get_by_test_id("copy-newcomers")
    await page.get_by_test_id("cc").fill("Boss <BOSS@corp.example>, kim@corp.example, ne")
    await expect(told).to_be_hidden()
    await page.get_by_test_id("cc").press_sequentially("w@x.org，Two@x.org")
    await expect(told).to_have_text("New in this conversation: new@x.org, two@x.org")
    await page.get_by_test_id("copies").locator("[data-copy-to]").first.click()
    await expect(told).to_contain_text("new@x.org, two@x.org")
    await page.get_by_test_id("cc").fill("")
    await expect(told).to_be_hidden()
    await page.get_by_test_id("composer-text").fill("Copied, too.")
    await page.get_by_test_id("cc").fill("new@x.org")
    await page.get_by_test_id("cc").press("Control+Enter")  # from wherever one is in the composer
    await expect(line(page, "Copied, too.")).to_have_count(1)
    await expect(page.get_by_test_id("composer-text")).to_have_value("")
