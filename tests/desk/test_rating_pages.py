"""The public page of a rating, and what the house sees of it; without a script."""

import aiohttp

from base.clock import now
from profiles.consent_links import ConsentLink
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

HERE = "/settings/ratings"


async def asked(desk: Desk, who: str, **more: str) -> tuple[str, str]:
    """A person who was asked: the conversation, and the path of the link."""
    account = await channel(desk.runtime, name=f"Shop of {who}")
    talk = await wrote(desk.runtime, account, who)
    rating = {
        "_id": "rat_" + talk.id.removeprefix("cnv_"), "key": who, "state": "asked", "asked_at": now(),
        "conversation_id": talk.id, "profile_id": talk.profile_id, "identity_id": talk.identity_id,
        "channel_id": account.id, **more,
    }  # fmt: skip
    await desk.runtime.rating_rows.plan([rating])
    link = ConsentLink("rate", talk.identity_id, "", rating["_id"])
    return talk.id, f"/r/{desk.runtime.consent_links.token(link)}"


async def test_a_mark_is_given_once_and_words_follow(desk: Desk) -> None:
    talk_id, path = await asked(desk, "grace")
    async with aiohttp.ClientSession(desk.url) as client:
        seen = await (await client.get(path)).text()
        assert 'data-testid="rate"' in seen and "How did we do?" in seen
        zh = await (await client.get(f"{path}?lang=zh_CN")).text()
        assert 'lang="zh' in zh
        assert (await client.post(path, data={"score": "9"})).status == 422
        for score in ("2", "5"):
            answer = await client.post(path, data={"score": score}, allow_redirects=False)
            assert answer.status == 303
        thanks = await (await client.get(path)).text()
        assert "2 of 5" in thanks and 'data-testid="words"' in thanks
        await client.post(path, data={"comment": "<b>Slow</b>"})
        assert (await client.get("/r/" + "A" * 60)).status == 404
    agent = await desk.person("agent", name="Bo Agent")
    page = await agent.page(HERE)
    assert "&lt;b&gt;Slow&lt;/b&gt;" in page and f"/inbox/{talk_id}" in page
    assert "a rating of 2 out of 5" in await agent.page(f"/inbox/{talk_id}")


async def test_the_rules_are_for_administrators_and_faults_are_said(desk: Desk) -> None:
    admin, agent = await desk.person("admin", name="Ada Admin"), await desk.person("agent", name="Bo Agent")
    form = {"on": "1", "delay_min": "30", "apart_days": "7", "question": "Were we <i>good</i>?"}
    await agent.post(HERE, 403, **form)
    assert "Choose whether and when" in await admin.post(HERE, 422, **{**form, "delay_min": "-1"})
    before = await desk.runtime.ratings.rules()
    saved = await admin.post(HERE, 303, **form)
    assert 'data-testid="undo"' in await admin.page(saved) and f"delay_min={before.delay_min}&" in saved
    rules = await desk.runtime.ratings.rules()
    assert rules.on and rules.delay_min == 30
    page = await admin.page(HERE)
    assert "Were we &lt;i&gt;good&lt;/i&gt;?" in page
    assert 'data-testid="save"' not in await agent.page(HERE)


async def test_who_sees_some_channels_sees_their_ratings(desk: Desk) -> None:
    talk_id, path = await asked(desk, "hidden")
    async with aiohttp.ClientSession(desk.url) as client:
        await client.post(path, data={"score": "1", "comment": "Only for them"})
    other = await channel(desk.runtime, name="Another")
    agent = await desk.person("agent", channels=[other.id], name="Cy Agent")
    page = await agent.page(HERE)
    assert "Only for them" not in page and talk_id not in page


async def test_a_recommendation_is_given_once_from_nought_to_ten(desk: Desk) -> None:
    talk_id, path = await asked(desk, "nora", kind="nps")
    async with aiohttp.ClientSession(desk.url) as client:
        seen = await (await client.get(path)).text()
        assert "Would you recommend us?" in seen and 'value="10"' in seen
        assert "Choose a number from 0 to 10" in await (await client.post(path, data={"score": "11"})).text()
        for form in ({"score": "0", "comment": "Hardly ever"}, {"score": "10"}):
            assert (await client.post(path, data=form, allow_redirects=False)).status == 303
        assert "0 of 10" in await (await client.get(path)).text()
    agent = await desk.person("agent", name="Di Agent")
    assert "Hardly ever" in await agent.page(f"{HERE}?kind=nps")
    assert "Hardly ever" not in await agent.page(HERE)
    assert "would recommend us: 0 of 10. Hardly ever" in await agent.page(f"/inbox/{talk_id}")


async def test_rules_of_recommendations_have_channels_and_a_way_back(desk: Desk) -> None:
    account = await channel(desk.runtime, name="Shop of rules")
    admin = await desk.person("admin", name="Eve Admin")
    form = {"on": "1", "delay_min": "30", "apart_days": "60", f"on_{account.id}": "no", f"delay_{account.id}": "5"}
    assert "1 to 365 days apart" in await admin.post(f"{HERE}/nps", 422, **{**form, "apart_days": "0"})
    saved = await admin.post(f"{HERE}/nps", 303, **form)
    page = await admin.page(saved)
    assert 'data-testid="undo"' in page and 'action="/settings/ratings/nps"' in page
    rules = await desk.runtime.ratings.nps_rules()
    assert rules.apart_days == 60 and not rules.on_channel(account.id).on
    assert rules.by_channel[account.id].delay_min == 5
