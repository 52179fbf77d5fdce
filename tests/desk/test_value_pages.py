"""Score and tiers through HTTP on the real stores: forms without a script, their effect, the way back, a person."""

import re

import pytest

from profiles.models import IdentityRef, NewEvent
from profiles.resolve import Reference
from profiles.scoring import DEFAULT


@pytest.fixture(scope="module")
async def marketer(desk):
    return await desk.person("marketer", name="Mara Marketer")


async def customer(desk, name, *events, orders=0, minor=0):
    (known,) = await desk.runtime.resolver.identify(
        [Reference([IdentityRef(kind="email", value=f"{name}@example.com")], name=name.capitalize())]
    )
    at = desk.runtime.clock()
    await desk.runtime.events.record([NewEvent(each, f"{each}:{name}", at, known.profile_id) for each in events])
    if orders:
        summary = {"count": orders, "revenue": {"EUR": minor}, "revenue_minor": [minor], "last_at": at, "first_at": at}
        await desk.runtime.profiles.write(known.profile_id, {"orders": summary})
    await settle(desk)
    desk.runtime.valuing._shown = None  # the sample is the same people for a while
    return known.profile_id


async def settle(desk):
    while await desk.runtime.valuing.sweep():
        pass
    while await desk.runtime.appraisal.drain(200):
        pass


def fields_of(text, form):
    """What a browser would send of a form as it stands."""
    part = text.split(f'data-testid="{form}"', 1)[1].split("</form>", 1)[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", part):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and 'type="checkbox"' not in tag:
            found[name[1]] = value[1] if value else ""
    for name, inner in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', part, re.S):
        options = re.findall(r'<option value="([^"]*)"([^>]*)>', inner)
        found[name] = next((value for value, more in options if "selected" in more), options[0][0])
    for name, inner in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', part, re.S):
        found[name] = inner.replace("&#34;", '"')
    found.pop("csrf", None)
    return found


async def test_a_form_sent_as_it_stands_changes_nothing(desk, marketer):
    fields = fields_of(await marketer.page("/settings/score"), "score-form")
    assert await marketer.post("/settings/score", **fields) == "/settings/score?saved=1"
    held = await desk.runtime.valuing.score()
    assert held.settings.rules == DEFAULT.rules
    fields = fields_of(await marketer.page("/settings/tiers"), "tiers-form")
    before = (await desk.runtime.valuing.tiers()).settings
    await marketer.post("/settings/tiers", **fields)
    after = (await desk.runtime.valuing.tiers()).settings
    assert after == before


async def test_rules_show_their_effect_are_saved_and_taken_back(desk, marketer):
    await customer(desk, "anna", "order.paid")
    fields = fields_of(await marketer.page("/settings/score"), "score-form")
    at = next(name[7:] for name, value in fields.items() if name.startswith("points-") and value == "+30")
    changed = {**fields, f"points-{at}": "+80", f"within-{at}": "P30D", f"half-{at}": "10"}
    shown = await marketer.post("/settings/score/effect", 200, **changed)
    assert '<form method="post" action="/settings/score"' in shown, "Save saves from there as well"
    assert 'data-testid="risen">1<' in shown and "Bought recently" in shown and "before" in shown
    rules = (await desk.runtime.valuing.score()).settings.rules
    assert rules[0].points == 30
    await marketer.post("/settings/score", **changed)
    held = await desk.runtime.valuing.score()
    rule = next(each for each in held.settings.rules if each.id == "bought")
    assert (rule.points, rule.half_life, rule.rule) == (80, "P10D", {"event": "order.paid", "within": "P30D"})
    saved = await marketer.page("/settings/score?saved=1")
    assert 'data-testid="undo"' in saved and 'data-testid="progress"' in saved
    await settle(desk)
    assert 'data-testid="progress"' not in await marketer.page("/settings/score")
    await marketer.post("/settings/score/undo", rev=str(held.rev))
    assert (await desk.runtime.valuing.score()).settings.rules == DEFAULT.rules


async def test_rows_are_added_and_taken_off(desk, marketer):
    fields = fields_of(await marketer.page("/settings/score"), "score-form")
    kinds = {
        value: name[5:] for name, value in fields.items() if name.startswith("kind-") and not fields[f"id-{name[5:]}"]
    }
    more = {
        f"points-{kinds['event']}": "7", f"event-{kinds['event']}": "message.received", f"times-{kinds['event']}": "3",
        f"points-{kinds['field']}": "-4", f"field-{kinds['field']}": "last_seen_at",
        f"op-{kinds['field']}": "older_than", f"value-{kinds['field']}": "90",
        f"points-{kinds['json']}": "9",
        f"json-{kinds['json']}": '{"any": [{"field": "tags", "op": "any_of", "value": ["a"]}]}',
        f"name-{kinds['json']}": "Friends", "off-0": "1",
    }  # fmt: skip
    await marketer.post("/settings/score", **{**fields, **more})
    rules = (await desk.runtime.valuing.score()).settings.rules
    assert [each.rule for each in rules[-3:]] == [
        {"event": "message.received", "count": {"gte": 3}},
        {"field": "last_seen_at", "op": "older_than", "value": "P90D"},
        {"any": [{"field": "tags", "op": "any_of", "value": ["a"]}]},
    ]  # fmt: skip
    assert DEFAULT.rules[0].id not in {each.id for each in rules}
    again = fields_of(await marketer.page("/settings/score"), "score-form")
    await marketer.post("/settings/score", **again)
    assert (await desk.runtime.valuing.score()).settings.rules == rules
    await desk.runtime.valuing.save_score(DEFAULT.model_dump(mode="json"))


@pytest.mark.parametrize(("field", "value", "said"), [
    ("half-0", "soon", "Days are a whole number."), ("points-0", "many", "Please check this rule."),
    ("points-0", "900", "rule-bad"), ("hot", "0", "hot"), ("event-0", "", "rule-bad"),
])  # fmt: skip
async def test_faults_stand_where_they_are(desk, marketer, field, value, said):
    before = await desk.runtime.valuing.score()
    fields = fields_of(await marketer.page("/settings/score"), "score-form")
    text = await marketer.post("/settings/score", 422, **{**fields, field: value})
    assert said in text and "cannot be read yet" in text
    assert (await desk.runtime.valuing.score()).rev == before.rev


async def test_two_who_save_at_once_do_not_overwrite_each_other(desk, marketer):
    fields = fields_of(await marketer.page("/settings/score"), "score-form")
    await desk.runtime.valuing.save_score({"rules": [], "hot": 44})
    text = await marketer.post("/settings/score", 422, **{**fields, "hot": "55"})
    assert "Somebody has changed this meanwhile" in text and 'value="55"' in text
    assert (await desk.runtime.valuing.score()).settings.hot == 44
    await desk.runtime.valuing.save_score(DEFAULT.model_dump(mode="json"))


async def test_tiers_show_their_effect_and_are_suggested(desk, marketer):
    assert "too few customers" in await marketer.page("/settings/tiers?suggest=1")
    await customer(desk, "best", orders=20, minor=500_000)
    for place in range(10):
        await customer(desk, f"c{place}", orders=1 + place, minor=2_000 * (place + 1))
    fields = fields_of(await marketer.page("/settings/tiers"), "tiers-form")
    shown = await marketer.post(
        "/settings/tiers/effect",
        200,
        **{**fields, "total-of-0": "15", "f-0": "11", "f-1": "12", "f-2": "13", "f-3": "14"},
    )
    assert 'data-testid="moved">0<' not in shown and "Move down" in shown
    text = await marketer.page("/settings/tiers?suggest=1")
    assert "Nothing is saved yet" in text and (await desk.runtime.valuing.tiers()).rev <= 1
    await marketer.post("/settings/tiers", **{**fields, "name-0-zh_CN": "贵宾", "m-0": "60.50"})
    settings = (await desk.runtime.valuing.tiers()).settings
    assert settings.tiers[0].locales == {"zh_CN": "贵宾"} and settings.monetary[0] == 6050
    wrong = await marketer.post("/settings/tiers", 422, **{**fields, "f-1": "1", "r-of-1": "9", "rev": "2"})
    assert "Four whole numbers" in wrong and "Marks go from 1 to 5" in wrong
    await settle(desk)


async def test_a_page_tells_why_and_a_tier_is_given_and_taken_back(desk, marketer):
    eva = await customer(desk, "eva", "order.paid", "checkout.started", orders=12, minor=300_000)
    text = await marketer.page(f"/profiles/{eva}")
    assert 'data-testid="score">65<' in text and "Began a checkout" in text and "Key customer" in text
    assert 'data-testid="traits"' in text and "Risk of leaving" in text and "by the rules, marks 555" in text
    where = await marketer.post(f"/profiles/{eva}/tier", tier="level3")
    text = await marketer.page(where)
    assert 'data-testid="tier">Level 3<' in text and "given by Mara Marketer" in text
    assert 'data-testid="tier-undo"' in text
    await settle(desk)
    assert (await desk.runtime.profiles.get(eva)).tier == "level3"
    await marketer.post(f"/profiles/{eva}/tier", tier="")
    assert (await desk.runtime.profiles.get(eva)).tier == "vip"
    await marketer.post(f"/profiles/{eva}/tier", 422, tier="nonsense")


async def test_who_may_look_and_who_may_change(desk, marketer):
    viewer = await desk.person("viewer", name="Vera Viewer")
    limited = await desk.person("marketer", ["chn_" + "0" * 26], name="Lina Limited")
    somebody = await customer(desk, "secret-person", "order.paid")
    for reader in (viewer, limited):
        for where in ("/settings/score", "/settings/tiers"):
            text = await reader.page(where)
            assert 'data-testid="effect"' not in text and "Secret-person" not in text
            await reader.post(where, 403, hot="50")
            await reader.post(f"{where}/effect", 403, hot="50")
            await reader.post(f"{where}/undo", 403, rev="1")
    await viewer.post(f"/profiles/{somebody}/tier", 403, tier="vip")
