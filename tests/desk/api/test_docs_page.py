"""The API page in a browser: found, filled in, tried; nothing breaks its strict policy."""

import pytest
from playwright.async_api import async_playwright

from tests.desk.api.conftest import World


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 375])
async def test_operations_are_found_and_tried(world: World, chromium: str, width: int) -> None:
    complaints: list[str] = []
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{world.url}/api/docs#list_profiles")
        await page.fill("[data-token]", world.tokens["viewer"])
        await page.wait_for_selector("#list_profiles form")
        await page.fill("#list_profiles [name=q]", "anna")
        assert "/api/v1/profiles?q=anna'" in await page.inner_text("#list_profiles .curl-box pre")
        assert world.tokens["viewer"] not in await page.inner_text("body")
        await page.click("#list_profiles button.button-main")
        assert "200" in await page.inner_text("#list_profiles .trial-status")
        assert world.ours.profile in await page.inner_text("#list_profiles .trial-answer")
        await page.fill("[data-search]", "post orders")
        shown = await page.locator("[data-operation]:visible").evaluate_all("all => all.map(each => each.id)")
        assert shown == ["record_order", "advance_order"]
        await page.click("#record_order summary")
        assert '"external_id": "1042"' in await page.input_value("#record_order [data-body]")
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(overflow) <= 0
        await browser.close()
    assert not complaints
