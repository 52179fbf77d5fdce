"""Settings → Bots, and taking a conversation from one; without a script."""

import re

from campaigns.automation.bots.models import BotInput
from profiles.events import Event
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

HERE = "/settings/bots"
FORM = {
    "name": "Tilly <b>", "url": "https://bot.example/in", "silent_s": "30", "person_words": "human，人工",
    "active": "1",
}  # fmt: skip


async def test_a_bot_is_made_once_changed_and_taken_away(desk: Desk) -> None:
    admin, shop = await desk.person("admin", name="Ada Admin"), await channel(desk.runtime, name="Shop")
    page = await admin.page(f"{HERE}/new")
    (made,) = re.findall(r'name="id" value="(bot_[0-9a-z]{26})"', page)
    shown = await admin.post(f"{HERE}/new", 200, **FORM, id=made, channel_ids=shop.id)
    assert "whsec_" in shown and "rpt_" in shown and "Tilly &lt;b&gt;" in shown
    assert (await admin.post(f"{HERE}/new", 303, **FORM, id=made, channel_ids=shop.id)).endswith(made)
    again = await admin.page(f"{HERE}/{made}")
    assert "whsec_" not in again and "rpt_" not in again
    assert 'data-testid="fault-channel_ids"' in await admin.post(f"{HERE}/new", 422, **FORM, channel_ids=shop.id)
    for change, fault in ({"url": "ftp://x"}, "url"), ({"silent_s": "1"}, "silent_s"), ({"name": ""}, "name"):
        assert f'data-testid="fault-{fault}"' in await admin.post(f"{HERE}/{made}", 422, **{**FORM, **change})
    assert "whsec_" in await admin.post(f"{HERE}/{made}/secret", 200)
    assert "rpt_" in await admin.post(f"{HERE}/{made}/token", 200)
    removed = await admin.post(f"{HERE}/{made}/remove", 303)
    assert 'data-testid="undo"' in await admin.page(removed)
    await admin.post(f"{HERE}/{made}/restore", 303)
    assert (await desk.runtime.bots.get(made))["person_words"] == ["human", "人工"]
    agent = await desk.person("agent", name="Bo Agent")
    await agent.page(HERE, 403)
    limited = await desk.person("admin", channels=[shop.id], name="Cy Admin")
    await limited.page(f"{HERE}/{made}", 403)


async def test_a_conversation_says_who_has_it_and_is_taken_over(desk: Desk) -> None:
    shop = await channel(desk.runtime, name="Shop with a bot")
    wanted = BotInput(name="Tilly", url="https://bot.example/in", channel_ids=[shop.id])
    made = await desk.runtime.bots.create(wanted, "usr_x")
    desk.runtime.bot_rows._known_until = 0.0
    talk = await wrote(desk.runtime, shop, "mei")
    agent = await desk.person("agent", name="Bo Agent")
    page = await agent.page(f"/inbox/{talk.id}")
    assert 'data-testid="bot-banner"' in page and "Tilly" in page
    assert 'data-testid="take-over"' not in await (await desk.person("viewer", name="Vi")).page(f"/inbox/{talk.id}")
    viewer = await desk.person("viewer", name="Vy")
    await viewer.post(f"/inbox/{talk.id}/take-over", 403)
    taken = await agent.page(await agent.post(f"/inbox/{talk.id}/take-over", 303))
    assert "Taken over from the bot" in taken
    (undo,) = re.findall(r'action="(/inbox/acts/act_[0-9a-z]{26}/undo)"', taken)
    back = await agent.page(await agent.post(undo, 303, back=f"/inbox/{talk.id}"))
    assert 'data-testid="bot-banner"' in back and "Bo Agent gave this back to the bot" in back
    assert (await desk.runtime.conversations.get(talk.id)).owner == "bot"
    await agent.post(f"/inbox/{talk.id}/take-over", 303)
    again = await agent.post(f"/inbox/{talk.id}/take-over", 303)
    assert "did=" not in again, "what people have is not taken over"
    after = await desk.runtime.conversations.get(talk.id)
    assert (after.owner, after.status, after.assignee_id is not None) == ("agents", "open", True)
    page = await agent.page(f"/inbox/{talk.id}")
    assert 'data-testid="bot-banner"' not in page and "Bo Agent took this over from Tilly" in page
    assert 'data-testid="to-bot"' in page and "Give it to Tilly, the bot" in page
    given = await agent.post(f"/inbox/{talk.id}/change", 303, hand_to_bot="1")
    page = await agent.page(given)
    assert 'data-testid="bot-banner"' in page and "Given to the bot" in page
    assert 'data-testid="row-bot"' in await agent.page("/inbox?view=all&status=pending")
    assert "Bo Agent gave this to the bot" in page and 'data-testid="to-bot"' not in page
    (undo,) = set(re.findall(r'action="(/inbox/acts/act_[0-9a-z]{26}/undo)"', page))
    await agent.post(undo, 303)
    after = await desk.runtime.conversations.get(talk.id)
    assert (after.owner, after.status, after.assignee_id is not None) == ("agents", "open", True)
    await agent.post("/inbox/bulk", 303, hand_to_bot="1", id=talk.id)
    rows = await desk.runtime.db.collection("events").find({"conversation_id": talk.id}).to_list(None)
    await desk.runtime.bot_poster.hear([Event.model_validate(row) for row in rows])
    (post,) = await desk.runtime.bot_posts.by_host.claim(10, ())
    await desk.runtime.bot_posts.settle(post, "failed", "status_404")
    admin = await desk.person("admin", name="Ada Admin")
    assert "404" in await admin.page(f"{HERE}/{made.row['_id']}")
    assert (await desk.runtime.conversations.get(talk.id)).owner == "bot"
    assert 'data-testid="bulk-bot"' in await agent.page("/inbox?select=1")
