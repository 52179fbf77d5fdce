"""The tracking script in a real browser on a page of another origin: consent, pages, forms, cuts, users, the chat."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, Route, expect

from base.signing import hmac_hex
from desk.pages.tracking import snippet_of
from tests.browser.conftest import Colleagues
from tests.browser.windows import Windows
from tests.journeys.outside import eventually
from tests.journeys.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SECRET = "canary-identity-secret"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Harbour Tea</title>
<link rel="icon" href="data:,">{chat}{snippet}</head><body><h1>Tea</h1><a href="/other">Other</a>
<form data-rapport="Newsletter" action="/thanks"><input name="email" type="email" id="mail">
<input name="colour" id="colour">
<input name="password" type="password" id="secret"><input type="hidden" name="hidden" value="hidden-value">
<input name="number" id="number"><button id="send">Send</button></form>
<form id="quiet" action="/thanks"><input name="email" type="email" id="quiet-mail">
<button id="quiet-send">Send</button></form>
</body></html>"""


@dataclass
class Site:
    """A website with the script, and its account."""

    world: World
    url: str
    channel: str
    chat: str

    async def calls(self) -> list[dict[str, Any]]:
        """All that was kept, once each as the server counts."""
        found: dict[str, dict[str, Any]] = {}
        async for row in self.world.db["deliveries"].find({"channel_id": self.channel}):
            for call in json.loads(bytes(row["body"]))["batch"]:
                found[call["messageId"]] = call
        return list(found.values())

    async def said(self, word: str) -> dict[str, Any]:
        """The first kept call with this word in it."""

        async def look() -> dict[str, Any] | None:
            return next((call for call in await self.calls() if word in json.dumps(call)), None)

        return dict(await eventually(look, f"a call with {word}", within_s=60))

    async def events(self, name: str, anonymous: str) -> list[dict[str, Any]]:
        """Events of whoever this browser is by now."""
        key = f"anonymous:{anonymous}"
        profile = await self.world.runtime.profiles.by_identity(key)
        if profile is None:
            return []
        found = await self.world.runtime.events.for_profile(profile.id, 100)
        return [each.to_json() for each in found if each.name == name]


@pytest.fixture
async def site(world: World) -> AsyncIterator[Site]:
    site = Site(world, "", "", "")
    key = secrets.token_hex(16)

    async def page(request: web.Request) -> web.Response:
        chat = f'<script src="{world.url}/widget/{site.chat}.js" async></script>' if "chat" in request.query else ""
        text = PAGE.format(chat=chat, snippet=snippet_of(world.url, key))
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://localhost:{runner.addresses[0][1]}"  # the desk is on 127.0.0.1: another site in every way
    settings = {"write_key": key, "allowed_origins": [site.url], "identity_secret": SECRET}
    site.channel = str((await world.channel("segment", f"Site {world.number()}", settings))["id"])
    chat = {"allowed_origins": [site.url], "identity_secret": SECRET, "ask_email": "no"}
    site.chat = str((await world.channel("webchat", f"Chat {world.number()}", chat))["id"])
    yield site
    await runner.cleanup()


async def agreed(page: Page, address: str) -> str:
    """A page whose visitor has agreed; the browser's id."""
    await page.goto(address)
    await page.wait_for_function("typeof window.rapport.anonymousId === 'function'")
    assert await page.evaluate("rapport.anonymousId()") is None
    await page.evaluate("rapport.consent(true)")
    return str(await page.evaluate("rapport.anonymousId()"))


async def test_nothing_before_consent_then_pages_campaigns_and_forms(
    windows: Windows, colleagues: Colleagues, site: Site
) -> None:
    page = await windows.open()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    await page.goto(f"{site.url}/start?utm_source=letter&utm_campaign=spring&email=secret@x.example#top")
    await page.wait_for_function("typeof window.rapport.anonymousId === 'function'")
    await page.evaluate("rapport.track('looked', {n: 1})")
    await page.wait_for_timeout(1500)
    assert not sent and await page.evaluate("Object.keys(localStorage).length") == 0
    assert await page.evaluate("document.cookie") == ""

    await page.evaluate("rapport.consent(true)")
    anonymous = await page.evaluate("rapport.anonymousId()")
    first = await site.said("/start")
    assert first["anonymousId"] == anonymous and first["context"]["campaign"] == {"source": "letter", "name": "spring"}
    assert first["properties"]["url"] == f"{site.url}/start" and "secret@x" not in json.dumps(await site.calls())
    await site.said("looked")
    await page.evaluate("history.pushState({}, '', '/in-the-app')")
    await site.said("/in-the-app")

    await page.fill("#mail", "mei@people.example")
    await page.fill("#colour", "green")
    await page.fill("#secret", "canary-password")
    await page.fill("#number", "4111 1111 1111 1111")
    await page.wait_for_timeout(800)
    assert not any("mei@people" in json.dumps(call) for call in await site.calls()), "only what is sent off is told"
    await page.click("#send")
    await page.wait_for_url("**/thanks*")
    form = await site.said("form.submitted")
    assert form["properties"] == {"form": "Newsletter", "colour": "green"}
    who = await site.said("mei@people.example")
    assert who["type"] == "identify" and who["anonymousId"] == anonymous
    told = json.dumps(await site.calls())
    assert "canary-password" not in told and "4111" not in told and "hidden-value" not in told
    await page.fill("#quiet-mail", "quiet@people.example")
    await page.click("#quiet-send")
    await page.wait_for_timeout(1200)
    assert "quiet@people" not in json.dumps(await site.calls())

    # One anonymous person, whose typed address is weak: it joins nobody.
    async def kept() -> bool:
        return len(await site.events("page.viewed", anonymous)) >= 3

    await eventually(kept, "the page views", within_s=60)
    profile = await site.world.runtime.profiles.by_identity(f"anonymous:{anonymous}")
    assert profile is not None and [each.verified for each in profile.emails] in ([], [False])

    ada = await windows.open(colleagues.ada)
    await ada.goto("/settings/tracking")
    seen = ada.get_by_test_id(f"site-{site.channel}").get_by_test_id("seen")
    await expect(seen).to_contain_text("We have seen page views")

    await page.evaluate("rapport.consent(false)")
    assert await page.evaluate("Object.keys(localStorage)") == ["rapport.consent"]
    assert await page.evaluate("rapport.anonymousId()") is None


async def test_no_signal_is_passed_over(windows: Windows, site: Site) -> None:
    await site.world.runtime.channels.update(site.channel, settings={"wait_for_consent": False})
    page = await windows.open()
    await page.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")

    async def served() -> bool:
        async with site.world.api.session.get(await key_path(site)) as answer:
            return '"consent": false' in await answer.text()

    await eventually(served, "the new settings", within_s=30)
    await page.goto(f"{site.url}/signal")
    await page.wait_for_function("typeof window.rapport.anonymousId === 'function'")
    await page.wait_for_timeout(1500)
    assert await page.evaluate("rapport.anonymousId()") is None and not await site.calls()
    other = await windows.open()
    await other.goto(f"{site.url}/no-signal")
    await site.said("/no-signal")


async def key_path(site: Site) -> str:
    account = await site.world.runtime.channels.account(site.channel)
    assert account is not None
    return f"/t/{account.secrets('write_key')[0]}.js"


async def test_a_cut_loses_nothing_and_doubles_nothing(windows: Windows, site: Site) -> None:
    page = await windows.open()
    cut = True

    async def maybe(route: Route) -> None:
        if cut and route.request.method == "POST":
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/t/*", maybe)
    anonymous = await agreed(page, f"{site.url}/cut")
    await page.evaluate("for (let n = 0; n < 5; n++) rapport.track('while.cut', {n})")
    await page.wait_for_timeout(1500)
    assert not await site.calls()
    cut = False
    windows.forgive("Failed to load resource|ERR_FAILED")
    await page.goto(f"{site.url}/other")

    async def told() -> bool:
        return len(await site.events("while.cut", anonymous)) == 5

    await eventually(told, "what was queued", within_s=60)
    await page.wait_for_timeout(1500)
    assert len(await site.events("while.cut", anonymous)) == 5
    windows.forgive("Failed to load resource|ERR_FAILED")


async def test_who_is_signed_in_counts_only_with_the_hash_and_leaves_with_a_reset(windows: Windows, site: Site) -> None:
    page = await windows.open()
    first = await agreed(page, f"{site.url}/account")
    await page.evaluate("rapport.identify('victim-1', {name: 'Nobody'}, {hash: 'f'.repeat(64)})")
    await page.evaluate("rapport.track('as.liar')")

    async def kept() -> bool:
        return bool(await site.events("as.liar", first))

    await eventually(kept, "the event", within_s=60)
    assert await site.world.runtime.profiles.by_identity("customer_id:victim-1") is None

    await page.evaluate("rapport.reset()")
    second = await page.evaluate("rapport.anonymousId()")
    assert second != first
    await page.evaluate(f"rapport.identify('u-77', {{name: 'Mei Tan'}}, {{hash: '{hmac_hex(SECRET, b'u-77')}'}})")
    await page.evaluate("rapport.track('as.mei')")

    async def mei() -> Any:
        profile = await site.world.runtime.profiles.by_identity("customer_id:u-77")
        return profile if profile and await site.events("as.mei", second) else None

    profile = await eventually(mei, "the customer", within_s=60)
    assert profile.name == "Mei Tan"
    before = await site.world.runtime.profiles.by_identity(f"anonymous:{first}")
    assert before is not None and before.id != profile.id, "who used the browser before is somebody else"


async def test_the_chat_and_the_script_know_one_person(windows: Windows, site: Site) -> None:
    page = await windows.open()
    anonymous = await agreed(page, f"{site.url}/with-chat?chat=1")
    await page.evaluate("rapport.track('before.chat')")
    await site.said("before.chat")
    await page.get_by_test_id("launcher").click()
    await page.get_by_test_id("text").fill("Is the teapot back?")
    await page.keyboard.press("Enter")

    async def one() -> bool:
        rows = await site.world.api.rows(f"/conversations?channel={site.chat}")
        events = await site.events("before.chat", anonymous)
        return bool(rows and events and rows[0]["profile_id"] == events[0]["profile_id"])

    await eventually(one, "one person", within_s=90)


async def test_other_websites_are_refused_and_trusted_keys_never_served(site: Site) -> None:
    path, session = (await key_path(site)).removesuffix(".js"), site.world.api.session
    body = json.dumps({"batch": [{"type": "track", "event": "x", "anonymousId": "a" * 32, "messageId": "m1"}]})
    for origin in ("https://evil.example", "null", ""):
        headers = {"Content-Type": "text/plain", **({"Origin": origin} if origin else {})}
        async with session.post(path, data=body, headers=headers) as answer:
            assert answer.status == 403 and "Access-Control-Allow-Origin" not in answer.headers, origin
    for content, status in ((b"no json", 422), (b'{"batch": []}', 422), (b"x" * 70_000, 413)):
        async with session.post(path, data=content, headers={"Origin": site.url}) as answer:
            assert answer.status == status, (content[:20], await answer.text())
    async with session.post(path, data=body, headers={"Origin": site.url}) as answer:
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == site.url
    async with session.get(f"{path}.js", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.status == 200 and int(answer.headers["Content-Length"]) < 5000
    trusted = secrets.token_hex(16)
    await site.world.channel("segment", "Server", {"write_key": trusted, "trusted": True})
    for key in (trusted, "nobody-has-this-key"):
        async with session.get(f"/t/{key}.js") as answer:
            assert answer.status == 404
