"""Browser windows that watch themselves: whatever a page complains about fails the test that opened it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect

from rapport.runtime import Runtime

#: A busy machine is no fault of the desk.
PATIENCE_MS = 60_000
PASSWORD = "correct horse battery"
WIDE, NARROW = (1440, 900), (375, 812)

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Windows:
    """Opens windows for people, and gathers what went wrong in them."""

    browser: Browser
    url: str
    runtime: Runtime
    contexts: list[BrowserContext] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def open(
        self, state: Any = None, *, size: tuple[int, int] = WIDE, locale: str = "en-GB", **options: Any
    ) -> Page:
        """A window of its own: own cookies, own storage. `state`: of somebody who is signed in."""
        width, height = size
        context = await self.browser.new_context(
            base_url=self.url, viewport={"width": width, "height": height}, locale=locale, storage_state=state,
            timezone_id="Europe/Berlin", **options,
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        context.set_default_navigation_timeout(PATIENCE_MS)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("response", self._response)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        """Errors and warnings; violations of the content security policy are among them."""
        if message.type in ("error", "warning"):
            place = message.location.get("url", "")
            self.faults.append(f"{message.type}: {message.text} ({place})")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} {response.request.method} {response.url}")

    def forgive(self, pattern: str) -> None:
        """What the test itself brought about is no fault."""
        self.faults[:] = [fault for fault in self.faults if not re.search(pattern, fault)]

    async def close(self) -> None:
        """Close all; whatever was complained about is raised."""
        for context in self.contexts:
            await context.close()
        assert not self.faults, "\n".join(dict.fromkeys(self.faults))


async def signed_in(windows: Windows, name: str, role: str) -> Any:
    """A colleague who came in by the sign-in page; the browser's state, to be used for any number of windows."""
    accounts, email = windows.runtime.accounts, f"{name.split()[0].lower()}@harbour-tea.example"
    _, link = await accounts.invite(email, name, role)
    await accounts.follow_link(link, PASSWORD, agent="test", address="::1")
    page = await windows.open()
    await page.goto("/sign-in")
    await page.get_by_label("Mail address").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/inbox*")
    state = await page.context.storage_state()
    await page.context.close()
    return state


async def live(page: Page) -> None:
    """Return when the page follows the event stream and its keys work, and mark it: a reload would lose the mark."""
    await expect(page.locator("html")).to_have_attribute("data-live", "yes")
    await expect(page.locator("html")).to_have_attribute("data-ready", "yes")
    await page.evaluate("window.neverReloaded = true")


async def never_reloaded(page: Page) -> bool:
    """Whether it is still the page that was marked."""
    return bool(await page.evaluate("window.neverReloaded === true"))
