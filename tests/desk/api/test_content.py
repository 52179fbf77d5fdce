"""Templates, snippets, offers and the look of letters through the API."""

from typing import Any

import pytest
from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of

API = "/api/v1"
MAIL = {"from_address": "hello@shop.example", "smtp_host": "localhost", "smtp_port": 2525, "smtp_tls": "none"}


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    return own_world


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await client.request(method, API + path, json=body)
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_a_template_of_blocks(world: World) -> None:
    blocks = [{"type": "text", "text": "Hello {{ profile.name }}"}, {"type": "footer"}]
    body = {"name": "Spring", "kind": "email", "subject": "Hi", "blocks": blocks, "tags": ["promo"]}
    async with world.client("marketer") as client:
        made = await ask(client, "POST", "/templates", body, 201)
        path = f"/templates/{made['id']}"
        assert [each["type"] for each in made["blocks"]] == ["text", "footer"] and made["tags"] == ["promo"]
        shown = await ask(client, "POST", f"{path}/render", {"profile_id": world.ours.profile})
        assert "Hello" in shown["text"] and "Unsubscribe" in shown["html"]
        await ask(client, "PATCH", path, {"body": "<p>Both</p>"}, 422)
        await ask(client, "PATCH", path, {"body": "<p>Now HTML</p>", "blocks": None})
        kept = (await ask(client, "GET", f"{path}/revisions"))["data"]
        assert [each["rev"] for each in kept] == [2, 1] and kept[1]["content"]["blocks"][0]["type"] == "text"
        back = await ask(client, "POST", f"{path}/restore", {"rev": 1})
        assert (back["rev"], back["body"], len(back["blocks"])) == (3, None, 2)
        assert [each["id"] for each in (await ask(client, "GET", "/templates?tag=promo&q=spr"))["data"]] == [made["id"]]
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)
        assert (await ask(client, "POST", f"{path}/restore", {}))["id"] == made["id"]


async def test_what_a_check_says(world: World) -> None:
    body = {
        "name": "Bad", "kind": "email", "subject": "Hi", "body": '<p>x</p><a href="http://127.0.0.1:9/x">Shop</a>',
        "locales": {"de": {"subject": "{{ nobody.knows }}"}},
    }  # fmt: skip
    async with world.client("marketer") as client:
        path = f"/templates/{(await ask(client, 'POST', '/templates', body, 201))['id']}/check"
        found = (await ask(client, "POST", path, {"links": True}))["findings"]
        by_code = {each["code"]: each for each in found}
        assert {"cannot_be_filled_in", "link_http", "no_unsubscribe"} <= set(by_code)
        assert by_code["cannot_be_filled_in"]["part"] == "locales.de.subject"
        assert "line 1" in by_code["cannot_be_filled_in"]["sentence"]
        assert "private address" in by_code["link_unreachable"]["sentence"], "nothing inside the house is asked"
        levels = [each["level"] for each in found]
        assert levels == sorted(levels, key=("error", "warning", "hint").index)


async def test_a_test_goes_to_a_colleague_and_counts_nowhere(world: World) -> None:
    runtime = world.runtime
    user, _ = await runtime.accounts.invite("mia@example.org", "Mia", "marketer")
    async with world.client("admin") as client:
        made = await ask(client, "POST", "/templates", {"name": "T", "text": "Hi {{ coupon('spring') }}"}, 201)
        path = f"/templates/{made['id']}/test"
        assert (await ask(client, "POST", path, {"to": user.id}, 409))["code"] == "no_mail_channel"
        await runtime.channels.add("email", "Mail", MAIL)
        await ask(client, "POST", path, {}, 422)
        key = (await ask(client, "POST", path, {"to": user.id}, 202))["send_key"]
    (row,) = await runtime.sends.raw({"send_key": key})
    assert (row["source"]["kind"], row["stranger"], row["profile_id"]) == ("test", "mia@example.org", "")
    assert row["content"]["mail"]["subject"].startswith("[Test]") and "SAMPLE-CODE" in row["content"]["text"]
    offer = (await runtime.offers.page()).data[0]
    assert await runtime.offers.tally(offer["_id"]) == (0, 0)


async def test_an_offer_and_its_codes(world: World) -> None:
    async with world.client("marketer") as client:
        made = await ask(client, "POST", "/offers", {"key": "list", "name": "List", "source": "list"}, 201)
        path = f"/offers/{made['id']}"
        assert await ask(client, "POST", f"{path}/codes", {"codes": ["A", "B", "A"]}) == {
            "added": 2, "known": [], "twice": ["A"],
        }  # fmt: skip
        assert await ask(client, "POST", f"{path}/codes", {"codes": ["B"]}) == {"added": 0, "known": ["B"], "twice": []}
        assert (await ask(client, "GET", path))["free"] == 2
        assert await ask(client, "POST", "/offers", {"key": "list", "name": "x", "pattern": "######"}, 409)
        await ask(client, "POST", "/offers", {"key": "weak", "name": "x", "pattern": "A-##"}, 422)
        user = await ask(client, "POST", "/templates", {"name": "Uses", "text": "{{ coupon('list') }}"}, 201)
        assert (await ask(client, "DELETE", path, status=409))["code"] == "in_use"
        await ask(client, "DELETE", f"/templates/{user['id']}", status=204)
        await ask(client, "DELETE", path, status=204)
        await ask(client, "POST", "/templates", {"name": "Uses", "text": "{{ coupon('list') }}"}, 422)
        assert (await ask(client, "POST", f"{path}/restore"))["free"] == 2
        assert (await ask(client, "GET", f"{path}/codes"))["data"] == []


async def test_what_a_journey_or_a_broadcast_says_in_its_own_words_stays(world: World) -> None:
    """Also without any template: who names it is said, and when they are done it may go."""
    async with world.client("marketer") as client:
        given = {"key": "own", "name": "Own", "pattern": "OWN-########"}
        offer = (await ask(client, "POST", "/offers", given, 201))["id"]
        snippet = (await ask(client, "POST", "/snippets", {"key": "foot", "name": "Foot", "text": "Bye"}, 201))["id"]
        words = {"text": "{{ coupon('own') }} {% include 'foot' %}"}
        step = {"id": "s", "type": "send", "content": words}
        journey = {"name": "Spring run", "trigger": {"type": "api"}, "steps": [step]}
        run = (await ask(client, "POST", "/journeys", journey, 201))["id"]
        mail = (await ask(client, "POST", "/broadcasts", {"name": "Spring mail", "content": words}, 201))["id"]
        for path in (f"/offers/{offer}", f"/snippets/{snippet}"):
            problem = await ask(client, "DELETE", path, status=409)
            assert problem["code"] == "in_use" and "Spring run, Spring mail" in problem["detail"]
        used_by = (await ask(client, "GET", f"/snippets/{snippet}"))["used_by"]
        assert used_by == [{"id": run, "name": "Spring run"}, {"id": mail, "name": "Spring mail"}]
        await ask(client, "PUT", f"/journeys/{run}/status", {"status": "archived"})
        assert "Spring run" not in (await ask(client, "DELETE", f"/offers/{offer}", status=409))["detail"]
        await ask(client, "PUT", f"/broadcasts/{mail}/status", {"status": "cancelled"})
        await ask(client, "DELETE", f"/offers/{offer}", status=204)
        await ask(client, "DELETE", f"/snippets/{snippet}", status=204)


async def test_a_snippet_and_the_look(world: World) -> None:
    async with world.client("marketer") as client:
        made = await ask(client, "POST", "/snippets", {"key": "hours", "name": "Hours", "text": "9 to 17"}, 201)
        user = await ask(client, "POST", "/templates", {"name": "U", "text": "Open {% include 'hours' %}"}, 201)
        assert (await ask(client, "GET", f"/snippets/{made['id']}"))["used_by"] == [{"id": user["id"], "name": "U"}]
        assert (await ask(client, "POST", f"/templates/{user['id']}/render", {}))["text"] == "Open 9 to 17"
        await ask(client, "PATCH", f"/snippets/{made['id']}", {"text": "{% include 'hours' %}"}, 422)
        await ask(client, "PUT", "/brand", {"name": "Tea", "accent": "red"}, 422)
        assert (await ask(client, "PUT", "/brand", {"name": "Tea", "accent": "#0b7a75"}))["accent"] == "#0b7a75"
        assert (await ask(client, "GET", "/brand"))["name"] == "Tea"
