"""One world and one browser for all stories; colleagues are signed in once, windows are opened per test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from rapport.embedded import Servers
from tests.browser.windows import Windows, signed_in
from tests.journeys.talks import Person, WhatsApp
from tests.journeys.world import World, opened_world

ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage"]


@pytest.fixture(scope="package")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with opened_world(servers, tmp_path_factory.mktemp("browser"), "browser") as world:
        yield world


@pytest.fixture(scope="package")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def windows(browser: Browser, world: World) -> AsyncIterator[Windows]:
    """Windows of one test; it fails when any of them complained."""
    windows = Windows(browser, world.url, world.runtime)
    yield windows
    await windows.close()


@dataclass(frozen=True)
class Colleagues:
    """Browser states of people who are signed in."""

    ada: Any  # the first administrator
    bo: Any  # an agent
    cleo: Any  # another one


@pytest.fixture(scope="package")
async def colleagues(browser: Browser, world: World) -> Colleagues:
    """Ada comes in by the first administrator's link, Bo and Cleo by the sign-in page."""
    windows = Windows(browser, world.url, world.runtime)
    secret = await world.runtime.accounts.first_administrator_link()
    page = await windows.open()
    await page.goto(f"/welcome/{secret}")
    await page.get_by_label("Your name").fill("Ada Admin")
    await page.get_by_label("Mail address").fill("ada@harbour-tea.example")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Save and sign in").click()
    await page.wait_for_url("**/inbox*")
    found = Colleagues(await page.context.storage_state(), None, None)
    found = replace(found, bo=await signed_in(windows, "Bo Agent", "agent"))
    found = replace(found, cleo=await signed_in(windows, "Cleo Agent", "agent"))
    await windows.close()
    return found


@dataclass(frozen=True)
class Talk:
    """A conversation of somebody new."""

    channel: WhatsApp
    one: Person
    row: dict[str, Any]

    @property
    def path(self) -> str:
        """Its page."""
        return f"/inbox/{self.row['id']}"


@pytest.fixture(scope="package")
async def whatsapp(world: World) -> WhatsApp:
    return await world.whatsapp()


@pytest.fixture
async def begun(world: World, whatsapp: WhatsApp) -> Callable[[str, str], Awaitable[Talk]]:
    """Somebody new writes; the conversation as soon as it is there."""

    async def begin(name: str, text: str) -> Talk:
        one = Person.number(world.number(), name)
        await whatsapp.says(one, text)
        return Talk(whatsapp, one, await world.conversation(whatsapp.id, one))

    return begin
