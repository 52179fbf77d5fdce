"""The pages of segments without a script: built, looked at, saved, changed, read, taken away and put back."""

import re
from html import unescape
from typing import Any

import pytest

from profiles.edit import ProfilePatch
from profiles.membership import SegmentInput
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.desk.conftest import Browser, Desk

HERE = "/segments"


async def person(desk: Desk, name: str, *tags: str, **more: Any) -> str:
    ref = IdentityRef(kind="email", value=f"{name.lower()}@seg.example")
    (known,) = await desk.runtime.resolver.identify([Reference([ref])])
    await desk.runtime.editor.patch(known.profile_id, ProfilePatch(name=name, add_tags=list(tags), **more))
    return str(known.profile_id)


@pytest.fixture(scope="module")
async def people(desk: Desk) -> dict[str, str]:
    anna = await person(desk, "Anna", "vip", "regular", attributes={"city": "Delft"})
    ben = await person(desk, "Ben", "vip", attributes={"city": "Leiden"})
    return {"Anna": anna, "Ben": ben, "Cora": await person(desk, "Cora")}


@pytest.fixture(scope="module")
async def marketer(desk: Desk) -> Browser:
    return await desk.person("marketer", name="Mia Marketer")


def inputs(page: str) -> dict[str, str]:
    """The fields of the builder as a browser would send them."""
    form = page.split('data-testid="builder"', 1)[1].split("</form>", 1)[0]
    found: dict[str, str] = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and not ('type="checkbox"' in tag and "checked" not in tag):
            found[unescape(name[1])] = unescape(value[1]) if value else ""
    for name, body in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', body) or re.search(r'value="([^"]*)"', body)
        found[name] = unescape(chosen[1]) if chosen else ""
    found.pop("csrf", None)
    return found


def seen(page: str) -> str:
    words = page.split('data-testid="seen-count"', 1)[1].split(">", 1)[1].split("</p>", 1)[0]
    return " ".join(re.sub(r"<[^>]*>", " ", words).split())


async def press(browser: Browser, path: str, act: str, fields: dict[str, str], expected: int = 200) -> str:
    return await browser.post(path, expected, act=act, **fields)


async def test_a_segment_is_built_by_its_buttons(desk: Desk, marketer: Browser, people: dict[str, str]) -> None:
    page = await marketer.page(f"{HERE}/new")
    fields = inputs(page) | {"name": "Best in Delft", "r.0:value": "vip"}
    page = await press(marketer, f"{HERE}/new", "preview", fields)
    assert seen(page) == "2 people are in it now" and "Anna" in page and "Cora" not in page
    assert "tags include any of “vip”" in page
    page = await press(marketer, f"{HERE}/new", "add:r", inputs(page))
    fields = inputs(page) | {"r.1:what": "other", "r.1:key": "city"}
    assert "1 condition is not complete yet" in page and seen(page).startswith("2 ")
    page = await press(marketer, f"{HERE}/new", "preview", fields)
    fields = inputs(page)
    assert (fields["r.1:what"], fields["r.1:op"], fields["name"]) == ("attributes.city", "eq", "Best in Delft")
    page = await press(marketer, f"{HERE}/new", "preview", fields | {"r.1:value": "Delft"})
    assert seen(page) == "1 person is in it now" and "tags include any of “vip” and city is “Delft”" in page
    path = await press(marketer, f"{HERE}/new", "save", inputs(page), 303)
    row = await desk.runtime.segments.get(path.rpartition("/")[2])
    assert row["rule"] == {"all": [
        {"field": "tags", "op": "any_of", "value": ["vip"]},
        {"field": "attributes.city", "op": "eq", "value": "Delft"},
    ]}  # fmt: skip
    assert 'data-state="building"' in await marketer.page(path)
    assert "The members are being found" in await marketer.page(f"{path}/members")
    await desk.runtime.segment_builder.drain()
    assert 'data-state="live"' in await marketer.page(f"{path}/standing")
    listed = await marketer.page(f"{path}/members")
    assert people["Anna"] in listed and people["Ben"] not in listed
    filtered = await marketer.page(f"/profiles?segment={row['_id']}")
    assert people["Anna"] in filtered and people["Ben"] not in filtered and "Best in Delft" in filtered

    # The rule is changed: the members before are served until the new ones are found.
    page = await press(marketer, path, "remove:r.1", inputs(await marketer.page(path)))
    assert seen(page).startswith("2 ")
    await press(marketer, path, "save", inputs(page), 303)
    page = await marketer.page(path)
    assert "The members of the rule before are served" in page and 'data-testid="members">1<' in page
    await desk.runtime.segment_builder.drain()
    assert people["Ben"] in await marketer.page(f"{path}/members")

    # Taken away and put back, under its id.
    gone = await press(marketer, f"{path}/delete", "", {}, 303)
    assert "is deleted" in await marketer.page(gone) and row["_id"] not in {
        each["_id"] for each in (await desk.runtime.segments.page()).data
    }
    await marketer.page(path, 404)
    await desk.runtime.segment_builder.drain()
    assert await press(marketer, f"{path}/restore", "", {}, 303) == path
    await desk.runtime.segment_builder.drain()
    assert {people["Anna"], people["Ben"]} <= set(re.findall(r"prf_\w+", await marketer.page(f"{path}/members")))
    await press(marketer, f"{path}/restore", "", {}, 303)  # once more changes nothing


async def test_faults_stand_beside_their_rows(marketer: Browser, people: dict[str, str]) -> None:
    fields = inputs(await marketer.page(f"{HERE}/new")) | {"name": ""}
    page = await press(marketer, f"{HERE}/new", "save", fields, 422)
    assert "Fill in what is missing" in page.split('data-fault="r.0"')[1].split("</div>")[0]
    page = await press(marketer, f"{HERE}/new", "save", fields | {"r.0:value": "vip"}, 422)
    assert "A segment needs a name" in page
    score = {"name": "x", "r:join": "all", "r.0:what": "score", "r.0:op": "gte", "r.0:value": "many",
             "r.1:what": "segment", "r.1:segment": "seg_" + "0" * 26}  # fmt: skip
    for act, status in (("preview", 200), ("save", 422)):
        page = await press(marketer, f"{HERE}/new", act, score, status)
        assert "This needs a number." in page.split('data-fault="r.0"')[1].split("</div>")[0]
        assert inputs(page)["r.0:value"] == "many"
    page = await press(marketer, f"{HERE}/new", "save", score | {"r.0:value": "5"}, 422)
    assert "not there any more" in page.split('data-fault="r.1"')[1].split("</div>")[0]


async def test_every_kind_of_row_can_be_begun_and_groups_nest(marketer: Browser) -> None:
    page = await press(marketer, f"{HERE}/new", "group:r", inputs(await marketer.page(f"{HERE}/new")))
    page = await press(marketer, f"{HERE}/new", "group:r.1", inputs(page))
    assert 'data-testid="add-r.1.1"' in page and 'data-testid="group-r.1.1"' not in page
    fields = inputs(page)
    for what in re.findall(
        r'<option value="([a-z_.A-Z]+)"', page.split('name="r.1.1.0:what"')[1].split("</select>")[0]
    ):
        drawn = await press(marketer, f"{HERE}/new", "preview", fields | {"r.1.1.0:what": what})
        again = inputs(drawn)
        assert again["r.1.1.0:what"] == what and again["r.1.1.0:was"] == what, what
    page = await press(marketer, f"{HERE}/new", "preview", fields | {"r.1.1.0:what": "event"})
    page = await press(marketer, f"{HERE}/new", "where:r.1.1.0", inputs(page) | {"r.1.1.0:event": "order.paid"})
    given = {"r.1.1.0.0:what": "total", "r.1.1.0.0:type": "number"}
    page = await press(marketer, f"{HERE}/new", "preview", inputs(page) | given)
    assert "r.1.1.0.0:value" in inputs(page)
    page = await press(
        marketer, f"{HERE}/new", "preview", inputs(page) | {"r.1.1.0.0:op": "gte", "r.1.1.0.0:value": "5"}
    )
    assert "paid for an order (where total is at least 5)" in page


@pytest.mark.parametrize("key", ["bought", "lapsed", "vip", "new", "once", "left", "silent", "subscribed", "birthday"])
async def test_examples_open_the_builder_filled_in(marketer: Browser, key: str) -> None:
    page = await marketer.page(f"{HERE}/new?example={key}")
    assert inputs(page)["name"] and "kept as it is" not in page.lower() and re.match(r"\d+ p", seen(page))


async def test_what_is_too_deep_is_shown_and_stays(desk: Desk, marketer: Browser) -> None:
    deep = {"any": [{"all": [{"any": [{"all": [{"reachable": "line"}, {"reachable": "email"}]}]}]}]}
    path = await _made(desk, "Deep", deep)
    page = await marketer.page(path)
    assert "reachable on" in page and "Kept as it is" in page
    await press(marketer, path, "save", inputs(page) | {"name": "Deep one"}, 303)
    row = await desk.runtime.segments.get(path.rpartition("/")[2])
    assert (row["name"], row["rule"]) == ("Deep one", deep)


async def test_who_saves_over_somebody_elses_change_is_told(desk: Desk, marketer: Browser) -> None:
    path = await _made(desk, "Shared", {"field": "tags", "op": "any_of", "value": ["vip"]})
    fields = inputs(await marketer.page(path))
    await press(marketer, path, "save", fields | {"name": "First"}, 303)
    page = await press(marketer, path, "save", fields | {"name": "Second"}, 422)
    assert "Somebody else has changed this segment" in page
    await press(marketer, path, "save", inputs(page), 303)
    assert (await desk.runtime.segments.get(path.rpartition("/")[2]))["name"] == "Second"


async def test_who_may(desk: Desk, people: dict[str, str]) -> None:
    path = await _made(desk, "Read only", {"field": "tags", "op": "any_of", "value": ["vip"]})
    await desk.runtime.segment_builder.drain()
    for role, channels in (("viewer", None), ("agent", None), ("admin", ["chn_" + "0" * 26])):
        browser = await desk.person(role, channels, name="Lena Limited")
        page = await browser.page(path)
        assert "tags include any of “vip”" in page and "data-builder" not in page and 'data-testid="delete"' not in page
        assert ('data-testid="members"' in page) == (channels is None)
        assert people["Anna"] in await browser.page(f"{path}/members")  # came by no channel, so everybody's
        assert 'data-testid="new-segment"' not in await browser.page(HERE)
        await browser.page(f"{HERE}/new", 403)
        for way in (f"{HERE}/new", path, f"{path}/delete", f"{path}/restore"):
            await browser.post(way, 403, act="preview", name="x")


async def test_the_list_says_who_asks_for_members_and_strange_ids_are_nobodys(desk: Desk, marketer: Browser) -> None:
    inner = await _made(desk, "Inner", {"field": "tags", "op": "any_of", "value": ["vip"]})
    outer = await _made(desk, "Outer", {"not": {"segment": inner.rpartition("/")[2]}})
    page = await marketer.page(HERE)
    assert "not in segment “Inner”" in page and f'<a href="{outer}">Outer</a>' in page
    refused = await marketer.post(f"{inner}/delete", 409)
    assert 'data-testid="in-use"' in refused and f'Segment <a href="{outer}">Outer</a>' in refused
    circle = {"name": "Inner", "seen": inputs(await marketer.page(inner))["seen"], "r.0:what": "segment"}
    circle["r.0:segment"] = outer.rpartition("/")[2]
    page = await press(marketer, inner, "save", circle, 422)
    assert "The segments would ask for each other: Inner → Outer → Inner" in page
    for strange in ("x", "seg_" + "0" * 26):
        await marketer.page(f"{HERE}/{strange}", 404)
        await marketer.page(f"{HERE}/{strange}/members", 404)
    await marketer.post(f"{HERE}/{'seg_' + '0' * 26}/restore", 404)


async def _made(desk: Desk, name: str, rule: dict[str, Any]) -> str:
    return f"{HERE}/{(await desk.runtime.segments.create(SegmentInput(name=name, rule=rule)))['_id']}"
