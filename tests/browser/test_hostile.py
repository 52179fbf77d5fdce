"""Whatever somebody writes stays text: on every page, in mails, in what comes in live, in the palette."""

import dataclasses
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from rapport.embedded import Servers
from tests.browser.hostile import CORPUS, LOOK, HostileApi, HostileWhatsApp, mails, watch
from tests.browser.test_every_page import furnished
from tests.browser.windows import Windows, live, signed_in
from tests.journeys.outside import eventually
from tests.journeys.talks import Person
from tests.journeys.world import World, opened_world

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
async def hostile(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world of its own, in which every free field is one of the texts."""
    async with opened_world(servers, tmp_path_factory.mktemp("hostile"), "hostile") as world:
        yield dataclasses.replace(world, api=HostileApi(world.api))


async def test_nothing_that_anybody_writes_is_more_than_text(hostile: World, browser: Browser) -> None:
    windows = Windows(browser, hostile.url, hostile.runtime)
    admin = await signed_in(windows, "Hester <img src=x onerror=hit()>", "admin")
    line = await hostile.whatsapp()
    whatsapp = HostileWhatsApp(**{each.name: getattr(line, each.name) for each in dataclasses.fields(line)})
    places = await furnished(hostile, whatsapp)
    mailbox = await hostile.mailbox()
    writers = [Person.number(hostile.number(), f"Mail {n}") for n in range(6)]
    await mails(mailbox, writers)
    talks = await eventually(lambda: _talks(hostile, mailbox.id, len(writers)), "the mails")
    crowd = [Person.number(hostile.number(), "Crowd") for _ in CORPUS]
    for each in crowd:
        await whatsapp.says(each, "Hello")
    await eventually(lambda: _talks(hostile, whatsapp.id, len(crowd)), "the crowd")
    assert isinstance(hostile.api, HostileApi) and hostile.api.taken > 40, "the texts stand nowhere"

    page, faults = await windows.open(admin), list[str]()
    await watch(page, hostile.url, faults)
    pages = {**places, **{f"mail {n}": f"/inbox/{talk}?view=all" for n, talk in enumerate(talks)}}
    for name, path in pages.items():
        await page.goto(path)
        await _expect_inert(page, name, faults)

    await _written_live(page, places["conversation"], whatsapp, faults)
    assert not faults, faults
    await windows.close()


async def _written_live(page: Page, path: str, whatsapp: HostileWhatsApp, faults: list[str]) -> None:
    """What scripts put into the page: new rows and lines, the palette, the search."""
    await page.goto("/inbox?view=all")
    await live(page)
    newcomer = Person.number(77_001, "Newcomer")
    await whatsapp.says(newcomer, "I am new here")
    await expect(page.get_by_test_id("conversation-row").filter(has_text="Newcomer")).to_have_count(1)
    await page.get_by_test_id("conversation-row").filter(has_text="Newcomer").click()
    for number in range(len(CORPUS)):
        await whatsapp.says(newcomer, f"Line {number}:")
    await expect(page.get_by_test_id("message").filter(has_text=re.compile(r"Line \d+:"))).to_have_count(len(CORPUS))
    await _expect_inert(page, "live", faults)
    await page.keyboard.press("Control+k")
    await page.keyboard.type("<img src=x onerror=hit()> zzz")  # what no macro is called
    await _expect_inert(page, "palette", faults)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/search**")
    await _expect_inert(page, "search", faults)


async def _expect_inert(page: Page, name: str, faults: list[str]) -> None:
    await page.wait_for_load_state("load")
    found = await page.evaluate(LOOK)
    assert not found, f"{name} ({page.url}): {found}"
    assert not faults, f"{name} ({page.url}): {faults}"


async def _talks(world: World, channel_id: str, least: int) -> list[str]:
    rows = world.runtime.db.collection("conversations").find({"channel_id": channel_id}, {"_id": 1})
    found = [row["_id"] async for row in rows]
    return found if len(found) >= least else []
