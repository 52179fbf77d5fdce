"""Canned replies by the API: filled in for one customer, refused with a blank, nobody else's shown."""

import pytest

from tests.desk.api.conftest import World, answer_of
from tests.desk.api.test_views import ask

TEXT = "Hi {{ profile.first_name | default('there') }}, order {{ order.number }} is on its way. {{ agent.first_name }}"


async def test_a_reply_is_filled_in_for_the_customer(own_world: World) -> None:
    talk, profile = own_world.ours.conversation, own_world.ours.profile
    async with own_world.client() as client:
        made = await ask(client, "POST", "/canned-replies", {"shortcut": "way", "text": TEXT}, 201)
        assert (made["uses"], made["scope"], made["channel_ids"]) == (0, "everybody", [])
        wanted = {"conversation_id": talk}
        filled = await ask(client, "POST", f"/canned-replies/{made['id']}/render", wanted)
        assert filled["blanks"] == [] and "{{" not in filled["text"] and filled["text"].endswith("All")
        change = {"text": "{{ profile.attributes.nowhere | upper }} {{ conversation.channel }} {{ profile.locale }}"}
        await ask(client, "PATCH", f"/canned-replies/{made['id']}", change)
        filled = await ask(client, "POST", f"/canned-replies/{made['id']}/render", wanted)
        assert filled["blanks"] == ["{{ profile.attributes.nowhere | upper }}", "{{ profile.locale }}"]
        assert filled["text"].startswith("{{ profile.attributes.nowhere | upper }} ")
        body = {"text": filled["text"], "canned_ids": [made["id"]]}
        refused = await ask(client, "POST", f"/conversations/{talk}/messages", body, 422)
        assert refused["errors"][0]["path"] == "text"
        await ask(client, "POST", f"/conversations/{talk}/messages", {**body, "text": "All filled in"}, 201)
        assert (await ask(client, "GET", f"/canned-replies/{made['id']}"))["uses"] == 1
        assert profile not in str(await ask(client, "GET", "/canned-replies"))


@pytest.mark.parametrize(
    "text", ["{{ event.name }}", "{{ profile.name", "{{ profile.name | nofilter }}", "{{ ''.__class__ }}", "{% nope %}"]
)
async def test_what_cannot_be_read_is_refused_when_it_is_written(own_world: World, text: str) -> None:
    async with own_world.client() as client:
        refused = await ask(client, "POST", "/canned-replies", {"shortcut": "x", "text": text}, 422)
        assert refused["errors"][0]["path"] == "text"


async def test_conditions_are_filled_in_whole_or_not_at_all(own_world: World) -> None:
    wanted = {"conversation_id": own_world.ours.conversation}
    text = "{% if profile.name %}Dear {{ profile.name }}{% endif %}{% if not profile.tier %}, welcome{% endif %}"
    async with own_world.client() as client:
        made = await ask(client, "POST", "/canned-replies", {"shortcut": "cond", "text": text}, 201)
        path = f"/canned-replies/{made['id']}"
        filled = await ask(client, "POST", f"{path}/render", wanted)
        assert filled["text"].startswith("Dear ") and filled["text"].endswith(", welcome") and not filled["blanks"]
        await ask(client, "PATCH", path, {"text": text + "{{ profile.tier }}"})
        filled = await ask(client, "POST", f"{path}/render", wanted)
        assert filled["text"] == text + "{{ profile.tier }}" and "{{ profile.tier }}" in filled["blanks"]


async def test_channels_limit_where_and_to_whom_they_are_shown(own_world: World) -> None:
    ours, foreign = own_world.ours, own_world.foreign
    async with own_world.client() as client, own_world.client("scoped:agent") as scoped:
        limited = {"shortcut": "theirs", "text": "t", "channel_ids": [foreign.channel]}
        theirs = await ask(client, "POST", "/canned-replies", limited, 201)
        both = {"shortcut": "both", "text": "t", "channel_ids": [foreign.channel, ours.channel]}
        both = await ask(client, "POST", "/canned-replies", both, 201)
        here = {"conversation": ours.conversation, "q": "t"}
        found = {each["id"] for each in (await ask(client, "GET", "/canned-replies", params=here))["data"]}
        assert both["id"] in found and theirs["id"] not in found
        seen = (await ask(scoped, "GET", "/canned-replies"))["data"]
        assert theirs["id"] not in str(seen) and foreign.channel not in str(seen) and both["id"] in str(seen)
        await ask(scoped, "GET", f"/canned-replies/{theirs['id']}", status=404)
        await ask(scoped, "PATCH", f"/canned-replies/{both['id']}", {"title": "x"}, 403)
        await ask(scoped, "POST", "/canned-replies", {"shortcut": "s", "text": "t"}, 403)
        own = {"shortcut": "s", "text": "t", "scope": "me"}
        await ask(scoped, "POST", "/canned-replies", {**own, "channel_ids": [foreign.channel]}, 404)
        made = await ask(scoped, "POST", "/canned-replies", own, 201)
        await ask(client, "GET", f"/canned-replies/{made['id']}", status=404)
        wanted = {"conversation_id": foreign.conversation}
        await ask(scoped, "POST", f"/canned-replies/{made['id']}/render", wanted, 404)
        await ask(scoped, "GET", "/canned-replies", status=404, params={"conversation": foreign.conversation})


async def test_taken_away_and_put_back(own_world: World) -> None:
    async with own_world.client() as client:
        made = await ask(client, "POST", "/canned-replies", {"shortcut": "gone", "text": "t"}, 201)
        path = f"/canned-replies/{made['id']}"
        taken = await ask(client, "POST", "/canned-replies", {"shortcut": "GONE", "text": "t"}, 409)
        assert taken["code"] == "name_taken"
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)
        assert (await ask(client, "POST", f"{path}/restore"))["shortcut"] == "gone"
        files = {"file_ids": ["fil_" + "0" * 26]}
        assert (await ask(client, "PATCH", path, files, 422))["errors"][0]["path"] == "file_ids.0"
        async with client.get("/api/v1/canned-replies", params={"limit": "1"}) as answer:
            first = await answer_of(answer)
        assert len(first["data"]) == 1 and first["next_cursor"]


async def test_a_team_and_an_address(own_world: World) -> None:
    """A member sees and changes what is the team's, others do not; only administrators name an address."""
    ours = own_world.ours
    async with own_world.client() as client, own_world.client("agent") as other:
        team = await ask(client, "POST", "/teams", {"name": "Pots"}, 201)
        wanted = {"shortcut": "pots", "text": "t", "scope": "team", "team_id": team["id"]}
        made = await ask(client, "POST", "/canned-replies", wanted, 201)
        assert (made["scope"], made["team_id"]) == ("team", team["id"])
        path = f"/canned-replies/{made['id']}"
        assert made["id"] in str(await ask(client, "GET", "/canned-replies"))
        here = {"conversation": ours.conversation}
        assert made["id"] not in str(await ask(client, "GET", "/canned-replies", params=here))
        for method, more, body in (("GET", "", None), ("PATCH", "", {"text": "x"}), ("DELETE", "", None),
                                   ("POST", "/render", {"conversation_id": ours.conversation})):  # fmt: skip
            await ask(other, method, path + more, body, 404)
        assert made["id"] not in str(await ask(other, "GET", "/canned-replies"))
        await ask(other, "POST", "/canned-replies", {**wanted, "shortcut": "p2"}, 403)
        dynamic = {"shortcut": "slot", "url": "https://nowhere.invalid/slot"}
        await ask(other, "POST", "/canned-replies", {**dynamic, "scope": "me"}, 403)
        await ask(client, "POST", "/canned-replies", {**dynamic, "text": "both"}, 422)
        refused = await ask(client, "POST", "/canned-replies", {**dynamic, "url": "http://127.0.0.1/x"}, 422)
        assert refused["errors"][0]["path"] == "url"
        made = await ask(client, "POST", "/canned-replies", dynamic, 201)
        render = f"/canned-replies/{made['id']}/render"
        filled = await ask(other, "POST", render, {"conversation_id": ours.conversation})
        assert filled["text"] == "" and filled["fault"]["code"] == "not_reached" and filled["fault"]["sentence"]
        await ask(other, "PATCH", f"/canned-replies/{made['id']}", {"title": "Kept"})
        await ask(other, "PATCH", f"/canned-replies/{made['id']}", {"url": "https://other.invalid/"}, 403)
