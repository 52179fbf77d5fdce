"""The web chat in a real browser on a page of another origin: answered, cut off, resumed, known, on a phone."""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from playwright.async_api import Locator, Page, expect

from base.signing import hmac_hex
from channels.vocabulary import Button
from inbox.models import Actor, ReplyInput
from tests.browser.conftest import Colleagues
from tests.browser.shop import Shop
from tests.browser.windows import NARROW, Windows, live, never_reloaded
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECRET = "canary-identity-secret"
SHOTS = os.environ.get("RAPPORT_TEST_SHOTS", "")


def picture(width: int = 320, height: int = 200) -> bytes:
    """A PNG with a soft slope of colours."""
    rows = b"".join(
        b"\0" + b"".join(bytes((90 + 120 * x // width, 130 + 80 * y // height, 120)) for x in range(width))
        for y in range(height)
    )
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


PNG = picture()


@dataclass
class Site:
    """A shop on the web and its chat at the desk."""

    world: World
    url: str
    channel: str

    def at(self, lang: str = "en", channel: str = "", **settings: Any) -> str:
        query = f"lang={lang}&settings={quote(json.dumps(settings))}"
        return f"{self.url}/pots?{query}{f'&channel={channel}' if channel else ''}"

    async def another(self, **settings: Any) -> str:
        given = {"allowed_origins": [self.url], "identity_secret": SECRET, **settings}
        made = await self.world.channel("webchat", f"Chat {self.world.number()}", given)
        return str(made["id"])

    async def talk(self, text: str, channel: str = "") -> str:
        """The conversation in which somebody wrote this."""

        async def look() -> list[str]:
            rows = await self.world.api.rows(f"/conversations?channel={channel or self.channel}")
            return [row["id"] for row in rows if (row.get("last_message") or {}).get("text") == text]

        return str((await eventually(look, f"a conversation with {text}"))[0])


@pytest.fixture(scope="module")
async def site(world: World) -> AsyncIterator[Site]:
    shop = Shop(desk=world.url)
    runner = web.AppRunner(shop.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://localhost:{runner.addresses[0][1]}"  # the desk is on 127.0.0.1: another site in every way
    site = Site(world, url, "")
    site.channel = shop.channel = await site.another(
        title="Harbour Tea", greeting="Hello! Questions about tea?", hours_text="We answer Mon to Fri, 9 to 17.",
        away_text="We are making tea and will be with you shortly.", ask_email="optional",
    )  # fmt: skip
    yield site
    await runner.cleanup()


def bubble(page: Page, text: str) -> Locator:
    return page.get_by_test_id("line").filter(has_text=text)


async def opened(page: Page, address: str) -> None:
    await page.goto(address)
    await page.get_by_test_id("launcher").click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def write(page: Page, text: str) -> None:
    await page.get_by_test_id("text").fill(text)
    await page.keyboard.press("Enter")


async def test_of_the_buttons_of_a_line_one_is_pressed_and_once(windows: Windows, site: Site) -> None:
    visitor = await windows.open()
    await opened(visitor, site.at())
    await write(visitor, "How large is the small one?")
    talk = await site.talk("How large is the small one?")
    asked = ReplyInput(text="Which one?", buttons=[Button(title="Pot", payload="p"), Button(title="Cup", payload="c")])
    await site.world.runtime.outbox.reply(talk, Actor("usr_x", "Ada"), asked, "which-one")
    line = bubble(visitor, "Which one?")
    await line.get_by_role("button", name="Cup").click()
    for _ in range(2):
        await expect(line.get_by_role("button", name="Cup")).to_have_attribute("aria-pressed", "true")
        await expect(line.get_by_role("button", name="Pot")).to_be_disabled()
        await expect(visitor.get_by_test_id("line").filter(has_text="Cup").last).to_have_attribute("data-state", "sent")
        await visitor.reload()  # afterwards it is the server that says so
        if not await visitor.get_by_role("dialog").is_visible():
            await visitor.get_by_test_id("launcher").click()


THANKED = {
    "en": ("Was the small pot right?", "How did we do?", "5 · Very good", "Thank you for your answer", "So quick!"),
    "zh-CN": ("小壶合适吗？", "您对这次服务满意吗", "5 · 非常满意", "感谢您的评价", "回复很快！"),
}  # fmt: skip


@pytest.mark.parametrize("lang", THANKED)
async def test_a_mark_is_thanked_for_and_the_next_words_go_with_it(windows: Windows, site: Site, lang: str) -> None:
    first, question, mark, thanks, words = THANKED[lang]
    await site.world.api.call("PUT", "/rating-rules", {"on": True, "channel_ids": [site.channel], "delay_min": 0})
    try:
        visitor = await windows.open(size=NARROW, locale=lang)
        await opened(visitor, site.at(lang=lang))
        await write(visitor, first)
        talk = await site.talk(first)
        await site.world.runtime.desk_actions.set_status(talk, "resolved", Actor("usr_x", "Ada"))
        await bubble(visitor, question).get_by_role("button", name=mark).click()
        await expect(bubble(visitor, thanks)).to_have_count(1)
        await write(visitor, words)

        async def kept() -> list[Any]:
            rows = await site.world.api.rows(f"/ratings?conversation={talk}")
            return [(row["score"], row["comment"]) for row in rows if row["comment"]]

        assert await eventually(kept, "the comment") == [(5, words)]
        said = [row["text"] for row in await site.world.api.rows(f"/conversations/{talk}/messages")]
        assert said.count(words) == 1
        await expect(bubble(visitor, thanks)).to_have_count(1)
        if SHOTS:
            await visitor.screenshot(path=f"{SHOTS}/thanked-{lang}.png")
    finally:
        await site.world.api.call("PUT", "/rating-rules", {"on": False})


async def test_a_visitor_and_an_agent_talk(windows: Windows, colleagues: Colleagues, site: Site) -> None:
    visitor = await windows.open()
    await opened(visitor, site.at())
    await expect(visitor.get_by_test_id("text")).to_be_focused()
    await expect(bubble(visitor, "Questions about tea?")).to_be_visible()
    await write(visitor, "Is the glass teapot back? See https://shop.example/pot.")
    mine = bubble(visitor, "Is the glass teapot back?")
    await mine.evaluate("line => { line.isTheSame = true; }")
    await expect(mine).to_have_attribute("data-state", "sent")
    await expect(mine.get_by_role("link")).to_have_attribute("href", "https://shop.example/pot")
    talk = await site.talk("Is the glass teapot back? See https://shop.example/pot.")

    bo = await windows.open(colleagues.bo)
    await bo.goto(f"/inbox/{talk}?view=all")
    await live(bo)
    await expect(bo.get_by_test_id("message").filter(has_text="glass teapot")).to_have_count(1)
    await expect(mine).to_have_attribute("data-state", "seen")
    assert await mine.evaluate("line => line.isTheSame === true")  # or a screen reader would read it again

    # Each sees the other type.
    await visitor.get_by_test_id("text").press_sequentially("Or the ", delay=30)
    await expect(bo.get_by_test_id("typing")).to_contain_text("is typing")
    await bo.get_by_test_id("composer-text").press_sequentially("Yes, since ", delay=30)
    await expect(visitor.get_by_test_id("typing")).to_contain_text("Bo Agent is typing")
    await bo.get_by_test_id("composer-text").fill("Yes, since this morning.")
    await bo.get_by_test_id("send").click()
    await expect(bubble(visitor, "Yes, since this morning.")).to_contain_text("Bo Agent")
    await expect(visitor.get_by_test_id("typing")).to_be_empty()
    answer = bo.get_by_test_id("message").filter(has_text="Yes, since this morning.")
    await expect(answer).to_have_attribute("data-status", "read")

    # What the agent thinks of a message stands on it, here and there, also after a reload.
    asked = bo.get_by_test_id("message").filter(has_text="glass teapot")
    await asked.hover()
    await asked.get_by_test_id("react").click()
    await asked.get_by_test_id("react-with").first.click()
    await expect(mine.get_by_test_id("reaction")).to_have_text("👍")
    await visitor.reload()
    await expect(bubble(visitor, "Is the glass teapot back?").get_by_test_id("reaction")).to_be_visible()

    # A note stays inside; a closed chat counts what is new; opened again it is read.
    await visitor.keyboard.press("Escape")
    await expect(visitor.get_by_role("dialog")).to_be_hidden()
    await expect(visitor.get_by_test_id("launcher")).to_be_focused()
    await bo.locator("label", has=bo.get_by_test_id("mode-note")).click()
    await bo.get_by_test_id("composer-text").fill("A regular, be nice")
    await bo.get_by_test_id("send").click()
    await bo.get_by_test_id("composer-text").fill("Shall I put one aside?")
    await bo.get_by_test_id("send").click()
    aside = bo.get_by_test_id("message").filter(has_text="put one aside")
    await expect(aside).to_have_attribute("data-status", "delivered")
    await expect(visitor.get_by_role("button", name="Open chat, 1 unread")).to_be_visible()
    await visitor.get_by_test_id("launcher").click()
    await expect(aside).to_have_attribute("data-status", "read")
    assert "regular" not in await visitor.get_by_test_id("panel").inner_text()

    # A reload resumes the thread, and the draft's half is forgotten.
    await visitor.reload()
    await expect(bubble(visitor, "Shall I put one aside?")).to_have_count(1)
    await expect(bubble(visitor, "Is the glass teapot back?")).to_have_count(1)
    assert await never_reloaded(bo)


async def test_a_visitor_reacts_by_mouse_and_by_keys_and_takes_it_back(
    windows: Windows, colleagues: Colleagues, site: Site
) -> None:
    visitor = await windows.open()
    await opened(visitor, site.at())
    await write(visitor, "Is the iron pot back?")
    talk = await site.talk("Is the iron pot back?")
    for text in ("It is, since this morning.", "Shall I keep one for you?"):
        await site.world.api.post(f"/conversations/{talk}/messages", {"text": text})
    bo = await windows.open(colleagues.bo)
    await bo.goto(f"/inbox/{talk}?view=all")
    await live(bo)
    line, last = bubble(visitor, "since this morning"), bubble(visitor, "keep one for you")
    there = bo.get_by_test_id("message").filter(has_text="since this morning").get_by_test_id("reactions")
    await line.evaluate("line => { line.isTheSame = true; }")

    # By the mouse: the button shows beside the bubble, and what is chosen stands below it, at both ends, live.
    await expect(line.get_by_test_id("react")).to_have_css("opacity", "0")
    await line.hover()
    await line.get_by_role("button", name="React to this message").click()
    await line.get_by_role("button", name="React with 👍").click()
    await expect(line.get_by_test_id("react-with")).to_have_count(0)
    await expect(line.get_by_test_id("my-reaction")).to_have_text("👍")
    await expect(there).to_have_text("👍")
    await visitor.reload()
    await expect(line.get_by_test_id("my-reaction")).to_have_text("👍")
    await line.evaluate("line => { line.isTheSame = true; }")

    # By keys: one stop for Tab, at the last message; up and down go on from there. Escape closes it and not the chat.
    await visitor.get_by_test_id("text").focus()
    for _ in range(12):
        await visitor.keyboard.press("Shift+Tab")
        if await last.get_by_test_id("react").evaluate("each => each.matches(':focus')"):
            break
    await expect(last.get_by_test_id("react")).to_be_focused()
    await visitor.keyboard.press("ArrowUp")
    await expect(line.get_by_test_id("react")).to_be_focused()
    await visitor.keyboard.press("Enter")
    await expect(line.get_by_role("button", name="React with 👍")).to_be_focused()
    await visitor.keyboard.press("Escape")
    await expect(line.get_by_test_id("react")).to_be_focused()
    await expect(visitor.get_by_role("dialog")).to_be_visible()
    await visitor.keyboard.press("Enter")
    await visitor.keyboard.press("ArrowRight")
    await visitor.keyboard.press("Enter")
    await expect(line.get_by_test_id("react")).to_be_focused()
    await expect(line.get_by_test_id("my-reaction")).to_have_text("❤️")
    await expect(there).to_have_text("❤️")

    # The same again takes it back, in the row as on the message itself.
    await visitor.keyboard.press("Enter")
    await expect(line.locator("[aria-pressed=true]")).to_be_focused()
    await visitor.keyboard.press("Enter")
    await expect(line.get_by_test_id("my-reaction")).to_have_count(0)
    await expect(there).to_have_count(0)
    assert await line.evaluate("line => line.isTheSame === true")  # or a screen reader would read it again

    # Without a network it waits, the last wish alone, also over a reload of the page.
    await visitor.context.set_offline(True)
    for emoji in ("🎉", "🙏"):
        await line.hover()
        await line.get_by_test_id("react").click()
        await line.get_by_role("button", name=f"React with {emoji}").click()
    await expect(line.get_by_test_id("my-reaction")).to_have_text("🙏")
    page = await visitor.context.new_page()
    await visitor.close()
    await page.context.set_offline(False)
    await page.goto(site.at())
    await expect(there).to_have_text("🙏")
    await expect(bubble(page, "since this morning").get_by_test_id("my-reaction")).to_have_text("🙏")
    await bubble(page, "since this morning").get_by_role("button", name="Your reaction: 🙏. Take it back").click()
    await expect(there).to_have_count(0)
    assert await never_reloaded(bo)


async def test_on_a_phone_in_chinese_one_taps_to_react(windows: Windows, colleagues: Colleagues, site: Site) -> None:
    page = await windows.open(size=NARROW, locale="zh-CN", has_touch=True, is_mobile=True)
    await page.goto(site.at(lang="zh-CN"))
    await page.get_by_role("button", name="打开聊天").tap()
    await write(page, "铁壶到货了吗？")
    talk = await site.talk("铁壶到货了吗？")
    await site.world.api.post(f"/conversations/{talk}/messages", {"text": "今天早上刚到货。"})
    line = bubble(page, "今天早上刚到货。")
    button = line.get_by_role("button", name="回应这条消息")
    await expect(button).to_have_css("opacity", "1")
    box = await button.bounding_box()
    assert box is not None and min(box["width"], box["height"]) >= 36 and box["x"] + box["width"] <= NARROW[0]
    await button.tap()
    await line.get_by_role("button", name="用 🎉 回应").tap()
    await expect(line.get_by_role("button", name="您的回应：🎉。点按可撤回")).to_be_visible()

    async def kept() -> list[str]:
        rows = await site.world.api.rows(f"/conversations/{talk}/messages")
        return [each["emoji"] for row in rows for each in row["reactions"]]

    assert await eventually(kept, "a reaction") == ["🎉"]
    await line.get_by_test_id("my-reaction").tap()
    await expect(line.get_by_test_id("my-reaction")).to_have_count(0)
    await page.get_by_test_id("text").tap()
    await button.tap()
    await expect(line.get_by_test_id("react-with")).to_have_count(6)
    await page.get_by_test_id("text").tap()
    await expect(line.get_by_test_id("react-with")).to_have_count(0)


async def test_nothing_is_lost_or_doubled_when_the_network_is_cut(
    windows: Windows, colleagues: Colleagues, site: Site
) -> None:
    visitor = await windows.open()
    await opened(visitor, site.at())
    await write(visitor, "Before the tunnel")
    await expect(bubble(visitor, "Before the tunnel")).to_have_attribute("data-state", re.compile("sent|seen"))
    talk = await site.talk("Before the tunnel")
    await expect(bubble(visitor, "Before the tunnel")).to_have_count(1)

    await visitor.context.set_offline(True)
    await expect(visitor.get_by_test_id("state")).to_be_visible()
    for text in ("In the tunnel", "Still in it"):
        await write(visitor, text)
        await expect(bubble(visitor, text)).to_have_attribute("data-state", "waiting")
    await site.world.api.post(f"/conversations/{talk}/messages", {"text": "Are you there?"})
    await visitor.context.set_offline(False)
    for text in ("In the tunnel", "Still in it"):
        await expect(bubble(visitor, text)).not_to_have_attribute("data-state", re.compile("waiting|sending"))
    await expect(bubble(visitor, "Are you there?")).to_have_count(1)
    await expect(visitor.get_by_test_id("state")).to_be_hidden()

    # What was written without a network survives the page, too.
    await visitor.context.set_offline(True)
    await write(visitor, "Closed the laptop")
    page = await visitor.context.new_page()
    await visitor.close()
    await page.context.set_offline(False)
    await page.goto(site.at())
    await expect(bubble(page, "Closed the laptop")).to_have_count(1)

    async def all_there() -> bool:
        lines = [each["text"] for each in await site.world.messages(talk, "in")]
        return sorted(lines) == sorted(["Before the tunnel", "In the tunnel", "Still in it", "Closed the laptop"])

    await eventually(all_there, "each line once")
    windows.forgive("ERR_INTERNET_DISCONNECTED")


async def test_where_no_socket_gets_through_the_chat_goes_on_by_asking(
    windows: Windows, colleagues: Colleagues, site: Site
) -> None:
    visitor = await windows.open()
    await visitor.route_web_socket(re.compile("/socket$"), lambda ws: ws.close())
    await opened(visitor, site.at())
    await write(visitor, "By another way")
    await expect(bubble(visitor, "By another way")).to_have_attribute("data-state", re.compile("sent|seen"))
    talk = await site.talk("By another way")
    await site.world.api.post(f"/conversations/{talk}/messages", {"text": "It works as well"})
    await expect(bubble(visitor, "It works as well")).to_have_count(1)

    async def read() -> bool:
        return any(each["status"] == "read" for each in await site.world.messages(talk, "out"))

    await eventually(read, "a receipt")
    assert len(await site.world.messages(talk, "in")) == 1


async def test_files_go_both_ways(windows: Windows, colleagues: Colleagues, site: Site, tmp_path: Path) -> None:
    visitor = await windows.open()
    await opened(visitor, site.at())
    await visitor.get_by_test_id("file").set_input_files({"name": "pot.png", "mimeType": "image/png", "buffer": PNG})
    picture = visitor.get_by_test_id("lines").locator("img[alt='pot.png']")
    await expect(picture).to_have_count(1)
    await expect(picture).to_have_js_property("naturalWidth", 320)
    await write(visitor, "This one")
    talk = await site.talk("This one")
    bo = await windows.open(colleagues.bo)
    await bo.goto(f"/inbox/{talk}?view=all")
    await expect(bo.get_by_test_id("messages").locator("img[alt='pot.png']")).to_have_js_property("naturalWidth", 320)
    headers = {"Authorization": f"Bearer {site.world.api.token}", "X-File-Name": "offer.txt"}
    async with site.world.api.session.post("/api/v1/files", data=b"49 EUR", headers=headers) as answer:
        file_id = (await answer.json())["id"]
    await site.world.api.post(
        f"/conversations/{talk}/messages", {"text": "Our offer", "attachments": [{"file_id": file_id}]}
    )
    link = bubble(visitor, "Our offer").get_by_role("link", name="offer.txt")
    async with visitor.expect_download() as download:
        await link.click()
    assert (await (await download.value).path()).read_bytes() == b"49 EUR"

    await visitor.get_by_test_id("file").set_input_files(
        {"name": "setup.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ\x90\x00" + bytes(200)}
    )
    await expect(visitor.get_by_role("alert")).to_contain_text("Files of this kind are not taken.")
    windows.forgive(r"\b422\b")


async def test_who_signed_in_is_known_and_who_only_says_so_is_not(
    windows: Windows, colleagues: Colleagues, site: Site
) -> None:
    claim = {"user_id": "c-77", "name": "Mei Tan", "hash": hmac_hex(SECRET, b"c-77")}
    desktop = await windows.open()
    await opened(desktop, site.at(identity=claim))
    await write(desktop, "From my desktop")
    talk = await site.talk("From my desktop")
    row = await site.world.api.get(f"/conversations/{talk}")
    found = await site.world.api.rows("/profiles?identity=customer_id:c-77")
    assert [each["id"] for each in found] == [row["profile_id"]]

    phone = await windows.open(size=NARROW)
    await phone.goto(site.at())
    believed = await phone.evaluate("claim => window.Rapport.identify(claim)", claim)
    assert believed is True
    await phone.evaluate("window.Rapport.open()")
    await expect(bubble(phone, "From my desktop")).to_have_count(1)
    await phone.evaluate("window.Rapport.reset()")
    await expect(bubble(phone, "From my desktop")).to_have_count(0)

    liar = await windows.open()
    await liar.goto(site.at())
    assert await liar.evaluate("claim => window.Rapport.identify(claim)", {**claim, "hash": "0" * 64}) is False
    await liar.evaluate("window.Rapport.open()")
    await expect(bubble(liar, "From my desktop")).to_have_count(0)
    windows.forgive("does not fit this user_id")


async def test_a_page_that_is_not_allowed_shows_nothing_and_says_why(windows: Windows, site: Site) -> None:
    page = await windows.open()
    address = site.at().replace("localhost", "127.0.0.1")
    await page.goto(address)
    await expect(page.get_by_role("heading", name="Glass teapot")).to_be_visible()
    await eventually_warned(windows, "is not among the allowed websites")
    assert await page.locator("#rapport-chat").count() == 0
    windows.forgive("allowed websites")


async def eventually_warned(windows: Windows, words: str) -> None:
    async def look() -> bool:
        return any(words in fault for fault in windows.faults)

    await eventually(look, f"a warning: {words}")


async def test_a_shop_may_ask_who_is_there_first(windows: Windows, site: Site) -> None:
    channel = await site.another(ask_name="required", ask_email="required", position="left", colour="#f2c200")
    page = await windows.open()
    await opened(page, site.at(channel=channel))
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.get_by_label("E-mail address").fill("no address")
    await page.get_by_role("button", name="Start the chat").click()
    await expect(page.get_by_role("alert").filter(has_text="Please enter your name.")).to_be_visible()
    await expect(page.get_by_role("alert").filter(has_text="does not look like")).to_be_visible()
    await page.get_by_label("Name").fill("Gerd Gate")
    await page.get_by_label("E-mail address").fill("gerd@people.example")
    await page.get_by_role("button", name="Start the chat").click()
    await expect(page.get_by_test_id("text")).to_be_focused()
    await write(page, "Now I may write")
    talk = await site.talk("Now I may write", channel)
    row = await site.world.api.get(f"/conversations/{talk}")
    profile = await site.world.api.get(f"/profiles/{row['profile_id']}")
    assert profile["name"] == "Gerd Gate" and profile["emails"][0]["value"] == "gerd@people.example"


async def test_a_phone_in_chinese_has_the_chat_in_full(windows: Windows, site: Site) -> None:
    page = await windows.open(size=NARROW, locale="zh-CN", has_touch=True, is_mobile=True, reduced_motion="reduce")
    await page.goto(site.at(lang="zh-CN"))
    await page.get_by_role("button", name="打开聊天").tap()
    panel = page.get_by_role("dialog", name="Harbour Tea")
    box = await panel.bounding_box()
    assert box is not None and (box["x"], box["y"], box["width"], box["height"]) == (0, 0, *NARROW)
    await page.get_by_label("输入消息…").fill("玻璃茶壶有货吗？")
    await page.get_by_role("button", name="发送消息").tap()
    await expect(bubble(page, "玻璃茶壶有货吗？")).to_contain_text("已发送")
    await page.get_by_label("邮箱地址").fill("mei@people.example")
    await page.get_by_role("button", name="保存").tap()
    await expect(page.get_by_text("我们会回复到 mei@people.example")).to_be_visible()
    await page.get_by_role("dialog").get_by_role("button", name="关闭聊天").tap()
    await expect(panel).to_be_hidden()
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("colour", ["#0f766e", "#f2c200", "#1a1a1a"])
async def test_the_chat_stands_in_nobodys_way(windows: Windows, site: Site, theme: Any, colour: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright")
    page = await windows.open(color_scheme=theme, reduced_motion="reduce")
    await page.goto(site.at(colour=colour))
    text = f"Can everybody read this, {colour} {theme}? https://shop.example"
    await expect(page.get_by_test_id("launcher")).to_be_visible()
    for step in ("closed", "open", "written", "reacting"):
        if step == "open":
            await page.get_by_test_id("launcher").click()
        if step == "written":
            await write(page, text)
            await expect(page.get_by_test_id("ask")).to_be_visible()
            await page.wait_for_timeout(300)
        if step == "reacting":
            talk = await site.talk(text)
            await site.world.api.post(f"/conversations/{talk}/messages", {"text": "Everybody can."})
            await bubble(page, "Everybody can.").hover()
            await page.get_by_test_id("react").click()
            await page.get_by_test_id("react-with").first.click()
            await page.get_by_test_id("react").click()
        found = (await axe.Axe().run(page, context="#rapport-chat")).response["violations"]
        grave = [
            (each["id"], each["nodes"][0]["failureSummary"])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not grave, (step, grave)


@pytest.mark.skipif(not SHOTS, reason="RAPPORT_TEST_SHOTS names no folder for pictures")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), NARROW], ids=["1280", "375"])
@pytest.mark.parametrize("lang", ["en", "zh-CN"])
async def test_pictures_of_the_chat(
    windows: Windows, colleagues: Colleagues, site: Site, theme: Any, size: tuple[int, int], lang: str
) -> None:
    folder = Path(SHOTS) / "webchat"
    folder.mkdir(parents=True, exist_ok=True)
    page = await windows.open(size=size, color_scheme=theme, locale=lang)
    name = f"{size[0]}-{theme}-{lang}"
    await page.goto(site.at(lang=lang))
    await expect(page.get_by_test_id("launcher")).to_be_visible()
    await page.screenshot(path=folder / f"{name}-closed.png")
    await page.get_by_test_id("launcher").click()
    await page.wait_for_timeout(300)
    await page.screenshot(path=folder / f"{name}-new.png")
    text = f"Is the glass teapot dishwasher safe? {name}" if lang == "en" else f"玻璃茶壶可以放洗碗机吗？{name}"
    await write(page, text)
    talk = await site.talk(text)
    buttons = {"text": "It is, all but the lid. Shall I put one aside for you?"}
    await site.world.api.post(f"/conversations/{talk}/messages", buttons)
    await expect(bubble(page, "Shall I put one aside")).to_be_visible()
    await page.get_by_test_id("file").set_input_files({"name": "pot.png", "mimeType": "image/png", "buffer": PNG})
    await page.wait_for_timeout(1500)
    await page.screenshot(path=folder / f"{name}-talk.png")
    line = bubble(page, "Shall I put one aside")
    for step in ("reacting", "reacted"):
        await line.hover()
        await line.get_by_test_id("react").click()
        await page.screenshot(path=folder / f"{name}-{step}.png")
        await line.get_by_test_id("react-with").first.click()
        await page.screenshot(path=folder / f"{name}-{step}-after.png")
        await page.wait_for_timeout(800)
    desk = await windows.open(colleagues.ada, size=size, color_scheme=theme, locale=lang)
    await desk.goto(f"/inbox/{talk}?view=all")
    await live(desk)
    await page.get_by_test_id("text").press_sequentially("And the lid", delay=20)
    await expect(desk.get_by_test_id("typing")).not_to_be_empty()
    await desk.get_by_test_id("composer-text").press_sequentially("Not the", delay=20)
    await expect(page.get_by_test_id("typing")).not_to_be_empty()
    await page.screenshot(path=folder / f"{name}-typing.png")
    await desk.screenshot(path=folder / f"{name}-desk.png")
    await desk.set_viewport_size({"width": size[0], "height": 2200})
    await desk.goto(f"/settings/channels/{site.channel}")
    await desk.screenshot(path=folder / f"{name}-settings.png")
