"""Broadcasts on the desk: four steps of one draft without script, sent, taken back, watched, tried again."""

import re

import pytest

from base.ids import new_id
from campaigns.library.offers import OfferInput
from campaigns.tracking.settings import TrackingSettings
from profiles.edit import ProfilePatch
from profiles.membership import SegmentInput
from tests.desk.test_pages import channel, wrote


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


@pytest.fixture(scope="module")
async def segment(desk):
    rule = {"field": "name", "op": "exists"}
    row = await desk.runtime.segments.create(SegmentInput(name="All with a name", rule=rule), "usr_1")
    await desk.runtime.segment_builder.drain()
    return row["_id"]


def rev_of(page):
    return re.search(r'name="rev" value="(\d+)"', page)[1]


async def test_a_draft_goes_through_its_four_steps_and_back_without_loss(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    await wrote(runtime, shop, "anna", name="Anna")
    page = await person.page("/broadcasts/new")
    assert "Shop account" in page and "Choose segments" in page
    await person.post("/broadcasts/new", name="Spring teas", whom="everybody", channel=shop.id, act="save", **CLASS)
    head = (await runtime.broadcasts.page()).data[0]
    here = f"/broadcasts/{head['_id']}"
    assert head["body"]["audience"]["rule"] == {"all": []} and head["body"]["channel_ids"] == [shop.id]
    page = await person.page(f"{here}/content")
    assert "Nothing is written yet." in page
    words = {"source": "own", "w.0:locale": "", "w.0:subject": "", "w.0:body": "Hi {{ profile.name }}", "w.0:text": ""}
    looked = await person.post(f"{here}/content", 200, act="preview", **words)
    assert "Hi {{" in looked and "data-testid=\"letter\"" in looked
    more = await person.post(f"{here}/content", 200, act="language", **words)
    assert 'name="w.1:locale"' in more
    chinese = {"w.1:locale": "zh_CN", "w.1:subject": "", "w.1:body": "你好", "w.1:text": ""}
    refused = await person.post(f"{here}/content", 422, act="save", **words, **{**chinese, "w.1:locale": ""})
    assert "Say which language this is." in refused and "你好" in refused
    await person.post(f"{here}/content", act="go:schedule", rev=rev_of(page), **words, **chinese)
    page = await person.page(f"{here}/schedule")
    schedule = {"type": "local", "date": "2031-05-01", "time": "09:00", "late": "skip", "per_minute": "60",
                "ramp": "100, 200", "quiet_from": "21:00", "quiet_to": "08:00", "quiet_zone": "profile"}  # fmt: skip
    wrong = await person.post(f"{here}/schedule", 422, act="save", **{**schedule, "date": "soon"})
    assert "This needs a day" in wrong and 'value="soon"' in wrong
    await person.post(f"{here}/schedule", act="save", rev=rev_of(page), **schedule)
    body = (await runtime.broadcasts.get(head["_id"]))["body"]
    assert body["schedule"] == {"type": "local", "date": "2031-05-01", "time": "09:00", "late": "skip"}
    assert body["rate"] == {"per_minute": 60} and body["ramp"] == [100, 200]
    assert body["content"] == {"body": "Hi {{ profile.name }}", "locales": {"zh_CN": {"body": "你好"}}}
    await runtime.broadcasts.begin_review(head["_id"])
    assert 'data-state="pending"' in await person.page(f"{here}/review")  # counted from zero, while one looks
    while await runtime.broadcast_planner.drain():
        pass
    page = await person.page(f"{here}/review")
    assert 'data-state="done"' in page and 'data-testid="send"' in page and "60" not in page[:200]
    back = await person.page(f"{here}/audience")
    assert 'value="Spring teas"' in back and re.search(r'value="everybody" checked', back)
    again = await person.page(f"{here}/schedule")
    assert 'value="2031-05-01"' in again and 'value="100, 200"' in again
    # A second window that saves over this one is told.
    stale = await person.post(f"{here}/content", 422, act="save", rev="1", **{**words, "w.0:body": "Other"})
    assert "Somebody else has changed this broadcast meanwhile." in stale and "Other" in stale
    await person.post(f"{here}/status", status="cancelled")
    assert "put away" in await person.page(here)


CLASS = {"class": "marketing", "group": "marketing"}


async def ready(desk, shop, **more):
    body = {"name": "News", "channel_ids": [shop.id], "content": {"text": "Hi"}, "audience": {"rule": {"all": []}}}
    return (await desk.runtime.broadcasts.create({**body, **more}))["_id"]


async def test_what_is_sent_can_be_taken_back_then_runs_is_paused_and_ends(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    await wrote(runtime, shop, "bert", name="Bert")
    made = await ready(desk, shop, holdout_percent=0)
    here = f"/broadcasts/{made}"
    page = await person.page(f"{here}/review")
    await person.post(f"{here}/send", rev=rev_of(page))
    page = await person.page(here)
    assert 'data-testid="undo-notice"' in page and "Take it back" in page
    await person.post(f"{here}/status", status="draft")
    assert (await runtime.broadcasts.get(made))["status"] == "draft"
    await runtime.broadcasts.set_status(made, "running")
    page = await person.page(here)
    assert 'data-testid="set-paused"' in page and 'data-testid="planning"' in page
    await person.post(f"{here}/status", status="paused")
    page = await person.page(here)
    assert 'data-testid="set-running"' in page and "Nobody is written to until it is resumed." in page
    assert "overdue" not in page
    await person.post(f"{here}/status", status="running")
    await runtime.db.collection("broadcast_waves").update_many({}, {"$set": {"due_at": runtime.clock()}})
    while await runtime.broadcast_planner.drain():
        pass
    page = await person.page(here)
    assert 'data-testid="figure-people"' in page
    listed = await person.page(f"{here}/recipients")
    assert "Bert" in listed
    assert "Nobody like this" in await person.page(f"{here}/recipients?state=read")
    file = await person.page(f"{here}/recipients.csv")
    assert "profile_id,name,channel" in file and "Bert" in file
    await person.post(f"{here}/status", status="cancelled")
    wrong = await person.post(f"{here}/retry", 409)
    assert "possible while it runs" in wrong
    await person.post(f"{here}/copy")
    assert (await runtime.broadcasts.page()).data[0]["name"] == "News (copy)"


async def test_segments_and_conditions_together_and_who_is_left_out(desk, shop, segment):
    runtime, person = desk.runtime, await desk.person("marketer")
    form = {"name": "Some", "whom": "some", "segment": segment, "channel": shop.id, "r:join": "all",
            "r.0:what": "name", "r.0:op": "contains", "r.0:value": "a", **CLASS}  # fmt: skip
    looked = await person.post("/broadcasts/new", 200, act="preview", **form)
    assert "All with a name" in looked and 'data-testid="seen-count"' in looked
    empty = await person.post("/broadcasts/new", 422, act="save", **{**form, "r.0:value": ""})
    assert 'data-fault="r.0"' in empty
    none = await person.post("/broadcasts/new", 422, act="save", name="None", whom="some", excluded=segment, **CLASS)
    assert "Say first whom they are left out of" in none
    await person.post("/broadcasts/new", act="go:list", excluded=new_id("seg"), **form)
    made = (await runtime.broadcasts.page()).data[0]
    assert made["body"]["audience"]["segment_ids"] == [segment] and made["body"]["audience"]["rule"]["all"]
    assert "All with a name, by conditions" in await person.page("/broadcasts")


async def test_who_only_looks_sees_figures_and_no_buttons(desk, shop):
    made = await ready(desk, shop)
    await desk.runtime.broadcasts.set_status(made, "running")
    viewer, agent = await desk.person("viewer"), await desk.person("agent")
    page = (await viewer.page(f"/broadcasts/{made}")).split("<main", 1)[1].split("</main>", 1)[0]
    assert "<form" not in page
    assert 'data-testid="new-broadcast"' not in await viewer.page("/broadcasts")
    for path in ("send", "status", "retry", "newcomers", "winner", "copy", "test", "audience", "content", "schedule"):
        await agent.post(f"/broadcasts/{made}/{path}", 403)
    await agent.post("/broadcasts/new", 403)
    await desk.runtime.broadcasts.set_status(made, "cancelled")


async def test_wordings_are_compared_and_one_is_chosen(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    made = await ready(desk, shop)
    here = f"/broadcasts/{made}"
    form = {"type": "now", "trying": "1", "metric": "read", "sample": "50", "min_sample": "1", "decide_n": "",
            "arm.0:name": "a", "arm.0:share": "50", "arm.0:source": "own", "arm.0:subject": "", "arm.0:body": "",
            "arm.1:name": "b", "arm.1:share": "50", "arm.1:source": "written", "arm.1:subject": "",
            "arm.1:body": "Hello"}  # fmt: skip
    third = await person.post(f"{here}/schedule", 200, act="arm", **form)
    assert 'name="arm.2:name" value="c"' in third and 'value="34"' in third
    wrong = await person.post(f"{here}/schedule", 422, act="save", **{**form, "arm.1:share": "20"})
    assert "100" in wrong
    await person.post(f"{here}/schedule", act="save", **form)
    trial = (await runtime.broadcasts.get(made))["body"]["ab"]
    assert trial["arms"][1] == {"name": "b", "share": 50, "content": {"body": "Hello"}} and not trial["automatic"]
    await runtime.broadcasts.set_status(made, "running")
    page = await person.page(here)
    assert "The rest waits for your word." in page and 'data-testid="choose-b"' in page
    await person.post(f"{here}/winner", arm="b")
    assert "“b” was chosen by hand" in await person.page(here)
    await runtime.broadcasts.set_status(made, "cancelled")


async def test_who_is_limited_to_a_channel_sees_its_people_only_and_changes_nothing(desk, shop):
    runtime = desk.runtime
    other = await channel(runtime, name="Other account")
    await wrote(runtime, other, "olga", name="Olga Other")
    await wrote(runtime, shop, "sara", name="Sara Shop")
    made = await ready(desk, shop, channel_ids=[shop.id, other.id], **{"class": "service"})
    await runtime.broadcasts.set_status(made, "running")
    while await runtime.broadcast_planner.drain():
        pass
    limited = await desk.person("marketer", [shop.id])
    stranger = await desk.person("marketer", [(await channel(runtime, name="Third account")).id])
    page = await limited.page(f"/broadcasts/{made}")
    assert 'data-testid="figures"' not in page and "Figures are shown to who sees all of its channels." in page
    listed = await limited.page(f"/broadcasts/{made}/recipients")
    assert "Sara Shop" in listed and "Olga Other" not in listed
    for path in (f"/broadcasts/{made}", f"/broadcasts/{made}/recipients", f"/broadcasts/{made}/audience"):
        await stranger.page(path, 404)
    await limited.page(f"/broadcasts/{made}/recipients.csv", 403)
    await limited.page("/broadcasts/new", 403)
    await limited.post(f"/broadcasts/{made}/status", 403, status="cancelled")
    await limited.post(f"/broadcasts/{made}/send", 403)
    await runtime.broadcasts.set_status(made, "cancelled")


async def test_people_are_left_out_by_conditions(desk, shop, segment):
    runtime, person = desk.runtime, await desk.person("marketer")
    form = {"name": "Left", "whom": "everybody", "channel": shop.id, "out~r:join": "all", "out~r.0:what": "name",
            "out~r.0:op": "contains", **CLASS}  # fmt: skip
    added = await person.post("/broadcasts/new", 200, act="add:out~r", name="Left", whom="everybody", **CLASS)
    assert 'name="out~r.0:what"' in added and 'name="r.0:what"' not in added
    wrong = await person.post("/broadcasts/new", 422, act="save", **form, **{"out~r.0:value": ""})
    assert "Fill in what is missing" in wrong.split('data-fault="out~r.0"')[1].split("</div>")[0]
    where = await person.post("/broadcasts/new", act="save", **form, **{"out~r.0:value": "Anna"})
    body = (await runtime.broadcasts.get(where.split("/")[2]))["body"]
    left = {"all": [{"field": "name", "op": "contains", "value": "Anna"}]}
    assert body["audience"]["exclude"] == {"segment_ids": [], "rule": left}
    here = f"/broadcasts/{where.split('/')[2]}"
    page = await person.page(f"{here}/audience")
    assert 'name="out~r.0:value" value="Anna"' in page
    gone = await person.post(f"{here}/audience", 200, act="remove:out~r.0", **form, **{"out~r.0:value": "Anna"})
    assert 'name="out~r.0:what"' not in gone
    await person.post(f"{here}/audience", act="save", rev=rev_of(page), name="Left", whom="everybody", **CLASS)
    body = (await runtime.broadcasts.get(where.split("/")[2]))["body"]
    assert "rule" not in body["audience"]["exclude"]


async def test_it_is_shown_as_anybody_one_may_see_with_the_language_that_is_used(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    talk = await wrote(runtime, shop, "wei", name="Wei Wu")
    await runtime.editor.patch(talk.profile_id, ProfilePatch(locale="zh-CN"))
    texts = {"subject": "Spring", "text": "Spring is here", "locales": {"zh_CN": {"text": "春天来了"}}}
    here = f"/broadcasts/{await ready(desk, shop, content=texts)}"
    words = {"source": "own", "w.0:locale": "", "w.0:subject": "Spring", "w.0:body": "Spring, {{ profile.name }}",
             "w.0:text": "", "w.1:locale": "zh_CN", "w.1:subject": "", "w.1:body": "春天来了",
             "w.1:text": ""}  # fmt: skip
    page = await person.post(f"{here}/content", 200, act="preview", who="Wei", **words)
    seen = page.split('data-part="seen"')[1]
    assert "春天来了" in seen and "In 简体中文" in seen and "From the main wording: Subject" in seen
    assert f'value="{talk.profile_id}" selected' in page
    page = await person.post(f"{here}/content", 200, act="preview", who="nobody at all", **words)
    assert "Nobody you may see is found" in page
    page = await person.post(f"{here}/content", 200, act="preview", **{**words, "as": "", "in": ""})
    assert 'data-testid="spoken"' not in page and ">Spring,</div>" in page.split('data-part="seen"')[1]
    page = await person.page(f"{here}/review?who=Wei")
    assert "As Wei Wu gets it" in page and "春天来了" in page.split('data-testid="shown"')[1]


async def test_both_wordings_are_shown_side_by_side(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    await wrote(runtime, shop, "ben", name="Ben Bo")
    here = f"/broadcasts/{await ready(desk, shop, content={'text': 'Own, {{ profile.name }}'})}"
    trial = {"type": "now", "trying": "1", "sample": "100", "min_sample": "50",
             "arm.0:name": "a", "arm.0:share": "50", "arm.0:source": "own", "arm.1:name": "b", "arm.1:share": "50",
             "arm.1:source": "written", "arm.1:subject": "",
             "arm.1:body": "Other, {{ profile.first_name }}", "metric": "clicked"}  # fmt: skip
    page = await person.post(f"{here}/schedule", 200, act="preview", who="Ben Bo", **trial)
    assert "Own, Ben Bo" in page.split('data-testid="arm-a"')[1]
    assert "Other, Ben" in page.split('data-testid="arm-b"')[1]
    await person.post(f"{here}/schedule", act="save", **trial)
    shown = (await person.page(f"{here}/review?who=Ben+Bo")).split('data-testid="shown"')[1]
    assert "Own, Ben Bo" in shown and "Other, Ben" in shown and "Wording b" in shown


async def test_a_trial_by_what_nobody_counts_is_told_before_sending(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    arms = [{"name": "a"}, {"name": "b", "content": {"text": "Other"}}]
    trial = {"arms": arms, "metric": "clicked", "sample_percent": 20, "decide_after": "PT1H"}
    here = f"/broadcasts/{await ready(desk, shop, ab=trial)}"
    page = await person.page(f"{here}/review")
    assert 'data-testid="blind-trial"' in page and "“clicked”, which is not tracked" in page
    assert "clicked, opened" in (await person.page(f"{here}/schedule")).split('data-testid="untracked"')[1][:200]
    await runtime.tracking_choice.choose(TrackingSettings(links=True), "usr_x")
    assert "blind-trial" not in await person.page(f"{here}/review")
    await runtime.tracking_choice.choose(TrackingSettings(), "usr_x")


async def test_who_is_left_out_is_said_with_whom_it_is_for(desk, shop, segment):
    person = await desk.person("marketer")
    audience = {"rule": {"all": []}, "exclude": {"segment_ids": [segment]}}
    page = await person.page(f"/broadcasts/{await ready(desk, shop, audience=audience)}/review")
    assert "Everybody · left out: All with a name" in page


async def test_what_somebody_saved_while_one_read_is_not_sent(desk, shop, monkeypatch):
    """Between the look at the draft and its start another window saves."""
    runtime, person = desk.runtime, await desk.person("marketer")
    made = await ready(desk, shop)
    here, start = f"/broadcasts/{made}", runtime.broadcasts.set_status

    async def saved_before(broadcast_id, *rest, **more):
        await runtime.broadcasts.patch(broadcast_id, {"content": {"text": "Unread"}})
        return await start(broadcast_id, *rest, **more)

    rev = rev_of(await person.page(f"{here}/review"))
    monkeypatch.setattr(runtime.broadcasts, "set_status", saved_before)
    await person.post(f"{here}/send", rev=rev)
    monkeypatch.undo()
    await person.post(f"{here}/send")
    assert (await runtime.broadcasts.get(made))["status"] == "draft"
    assert "The draft was changed meanwhile" in await person.page(f"{here}/review?changed=1")


async def test_an_offer_without_enough_codes_is_told_before_sending(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    await wrote(runtime, shop, "carl", name="Carl Cod")
    given = {"key": "short", "name": "Short", "source": "list"}
    offer = await runtime.offers.create(OfferInput.model_validate(given), None)
    here = f"/broadcasts/{await ready(desk, shop, content={'text': 'Yours: {{ coupon(' + repr('short') + ') }}'})}"
    await runtime.broadcasts.begin_review(here.rpartition("/")[2])
    while await runtime.broadcast_planner.drain():
        pass
    page = await person.page(f"{here}/review")
    gets = int(re.search(r'data-testid="gets">(\d+)<', page)[1])
    assert gets and f"The offer Short has 0 codes left for {gets} people." in page
    await runtime.offers.add_codes(offer["_id"], [f"C-{n}" for n in range(gets)])
    assert "short-offer" not in await person.page(f"{here}/review")
    await runtime.offers.change(offer["_id"], {"expires_at": runtime.clock()})
    assert "The offer Short has ended" in await person.page(f"{here}/review")


async def test_a_broadcast_adds_its_own_to_links_and_shows_them(desk, shop):
    runtime, person = desk.runtime, await desk.person("marketer")
    utm = {"source": "house", "medium": "mail", "campaign": "{campaign}"}
    await runtime.tracking_choice.choose(TrackingSettings.model_validate({"utm": utm}), "usr_x")
    here = f"/broadcasts/{await ready(desk, shop, content={'text': 'x'})}"
    words = {"source": "own", "w.0:locale": "", "w.0:subject": "", "w.0:body": "See https://shop.example/a",
             "w.0:text": ""}  # fmt: skip
    own = {"utm_source": "own", "utm_medium": "-"}
    page = await person.post(f"{here}/content", 200, act="preview", **words, **own)
    assert "https://shop.example/a?utm_source=own&amp;utm_campaign=news<" in page
    assert 'placeholder="house"' in page
    wrong = await person.post(f"{here}/content", 422, act="save", **words, utm_source="{nobody}")
    assert 'id="fault-utm"' in wrong and "fault" in wrong.split('id="fault-utm"')[1][:120]
    assert "may name {campaign}, {channel}, {step} and {id}" in wrong and "String should" not in wrong
    await person.post(f"{here}/content", act="save", **words, **own)
    body = (await runtime.broadcasts.get(here.split("/")[2]))["body"]
    assert body["utm"] == {"source": "own", "medium": "-"}
    assert "utm_source=own" in await person.page(f"{here}/review")
    await runtime.tracking_choice.choose(TrackingSettings(), "usr_x")
