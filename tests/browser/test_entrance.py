"""Coming in, going out, and the language of the desk."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Colleagues
from tests.browser.windows import Windows
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def test_the_first_administrators_link_leads_to_a_password_and_the_inbox_once(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open(colleagues.ada)
    await page.goto("/")
    await expect(page).to_have_url(re.compile("/inbox"))
    await page.get_by_test_id("user-menu").click()
    await expect(page.get_by_test_id("user-menu")).to_contain_text("Ada Admin")
    assert await world.runtime.accounts.first_administrator_link() is None


async def test_a_link_of_a_colleague_takes_no_weak_password_and_works_once(windows: Windows, world: World) -> None:
    _, secret = await world.runtime.accounts.invite("dee@harbour-tea.example", "Dee Agent", "agent")
    page = await windows.open()
    await page.goto(f"/welcome/{secret}")
    password = page.get_by_label("Password")
    await password.fill("aaaaaaaaaaaa")
    await page.get_by_role("button", name="Save and sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("too easy to guess")
    windows.forgive(r"\b422\b")
    await page.get_by_label("Password").fill("tea with milk and honey")
    await page.get_by_role("button", name="Save and sign in").click()
    await page.wait_for_url("**/inbox*")
    await page.goto(f"/welcome/{secret}")
    await expect(page.get_by_test_id("error-detail")).to_be_visible()
    windows.forgive(r"\b404\b")


async def test_a_wrong_password_is_told_and_signing_out_closes_the_door(
    windows: Windows, colleagues: Colleagues, world: World
) -> None:
    page = await windows.open()
    await page.goto("/inbox")
    await expect(page).to_have_url(re.compile("/sign-in"))
    await page.get_by_label("Mail address").fill("bo@harbour-tea.example")
    await page.get_by_label("Password").fill("wrong horse battery")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_test_id("sign-in-error")).to_be_visible()
    windows.forgive(r"\b403\b")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/inbox*")
    await page.get_by_test_id("user-menu").click()
    await page.get_by_test_id("sign-out").click()
    await page.wait_for_url("**/sign-in*")
    await page.goto("/inbox")
    await expect(page).to_have_url(re.compile("/sign-in"))
    await page.go_back()
    await expect(page.get_by_test_id("nav-inbox")).to_have_count(0)


async def test_the_desk_speaks_chinese_when_asked_and_remembers_it(windows: Windows, colleagues: Colleagues) -> None:
    page = await windows.open(colleagues.cleo)
    await page.goto("/journeys")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Journeys")
    await page.get_by_test_id("user-menu").click()
    await page.get_by_role("button", name="简体中文").click()
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.get_by_role("heading", level=1)).not_to_have_text("Journeys")
    await page.goto("/profiles")
    assert re.search(r"[\u4e00-\u9fff]", await page.get_by_role("heading", level=1).inner_text())
    await page.get_by_test_id("user-menu").click()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Profiles")
