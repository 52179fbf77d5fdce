"""Each recipe as it is adopted, run by the real engine: who gets what when, and who gets nothing any more."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import WrongInput
from campaigns.recipes import recipe, recipes
from orders.models import StatusInput
from profiles.consent import ConsentAct
from profiles.edit import ProfilePatch
from tests.campaigns.conftest import Mate, World

NAMES = [each.name for each in recipes()]
NOON, NIGHT = 12, 23


def zone_at(hour: int) -> str:
    """A zone in which it is that hour now."""
    off = (hour - now().hour + 11) % 24 - 11
    return f"Etc/GMT{-off:+d}" if off else "Etc/GMT"


async def moves(world: World, profile_id: str, hour: int) -> None:
    await world.editor.patch(profile_id, ProfilePatch(time_zone=zone_at(hour)), source="api", by="t")


async def buyer(world: World, hour: int = NOON, name: str = "Anna", **more: Any) -> str:
    """Somebody where it is that hour."""
    profile_id = await world.person(name, **more)
    await moves(world, profile_id, hour)
    return profile_id


async def reaches(world: World, order_id: str, *statuses: str) -> None:
    for status in statuses:
        await world.orders.advance(order_id, StatusInput.model_validate({"status": status}))


async def later(world: World, *spans: Mapping[str, float]) -> None:
    """Let so much time pass, and work after each."""
    await world.settle()
    for span in spans:
        await world.travel(**span)
        await world.settle()


async def refuses(world: World, profile_id: str) -> None:
    for identity in await world.profiles.identities_of(profile_id):
        await world.consent.act(ConsentAct(identity.id, "marketing", False, "keyword"))


async def codes(world: World) -> list[str]:
    """Why sends were not made."""
    rows = await world.inbox.sends.raw({})
    return [row["reason"]["code"] for row in rows if row["state"] == "skipped"]


# -- adopting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_every_recipe_is_published_unchanged_and_adopted_once_per_key(world: World, name: str) -> None:
    if recipe(name).segments:
        await world.segment({"field": "stage", "op": "eq", "value": "lead"})
    made = await asyncio.gather(*(world.journeys.install(name, live=True, key="k") for _ in range(3)))
    assert len(set(made)) == 1 and (await world.journeys.get(made[0]))["status"] == "live"
    assert len((await world.heads.page()).data) == 1
    rows = await world.db.collection("templates").find({"deleted_at": None}).to_list(None)
    assert len(rows) == len(recipe(name).templates), "templates are made once, whoever asks at the same moment"
    await world.journeys.install(name)
    segments = await world.db.collection("segments").find({}).to_list(None)
    own = [each for each in segments if each.get("made_by")]
    assert len(own) == len(recipe(name).segments), "a recipe makes its segment once for all its journeys"


def names_of(plan: Any) -> list[str]:
    """All that colleagues read of it."""
    parts = [*plan.templates.values(), *plan.segments.values(), plan.journey, *plan.journey["steps"]]
    told = [each.get(name) for each in parts for name in ("name", "description")]
    return [each for each in (*told, *(step.get("text") for step in plan.journey["steps"])) if each]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_in_the_readers_language(name: str) -> None:
    english, chinese = (names_of(recipe(name).filled({}, language)) for language in ("en", "zh_CN"))
    assert len(english) == len(chinese) and all(isinstance(each, str) for each in english + chinese)
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in each) for each in chinese), chinese
    assert not any("\u4e00" <= sign <= "\u9fff" for each in english for sign in each), english
    assert names_of(recipe(name).filled({}, "fr")) == english


async def test_a_recipe_adopted_in_chinese_has_chinese_names(world: World) -> None:
    head = await world.journeys.get(await world.journeys.install("abandoned_checkout", language="zh_CN"))
    assert head["name"] == "弃单挽回" and head["draft"]["steps"][1]["name"] == "第一次提醒"
    names = sorted([row["name"] async for row in world.db.collection("templates").find({})])
    assert names == ["弃单挽回 1", "弃单挽回 2"]


async def test_what_is_filled_in_stands_in_the_words_and_what_is_not_leaves_no_gap() -> None:
    link = "https://shop.example/reviews?from=mail"
    with_it, without = recipe("review_ask").filled({"review_url": link}), recipe("review_ask").filled({})
    words, bare = with_it.templates["review"], without.templates["review"]
    assert f"Your review: {link}\n\n" in words["text"] and f'href="{link}"' in words["body"]
    assert link in words["locales"]["zh"]["text"]
    assert "Your review" not in bare["text"] and "写评价" not in bare["locales"]["zh"]["text"]
    for wrong in (
        "{{ profile.email }}",
        "javascript:alert(1)",
        "no link",
        'https://x.example/"><b>',
        7,
        "https://a\nb",
    ):
        with pytest.raises(WrongInput) as caught:
            recipe("review_ask").filled({"review_url": wrong})
        assert caught.value.errors[0].path == "params.review_url"


# -- abandoned checkout --------------------------------------------------------------------------------------------

CHECKOUT = ({"hours": 1}, {"days": 1})


async def checkout(world: World, profile_id: str, number: str = "C-1", **more: Any) -> Any:
    lines = [
        {"name": "Glass teapot", "quantity": 1, "unit_price": {"amount_minor": 2450, "currency": "EUR"}},
        {"name": "Cup", "quantity": 4},
    ]
    return await world.order(profile_id, number, "checkout", lines=lines, url="https://shop.example/c/1", **more)


async def test_abandoned_checkout_reminds_twice(world: World) -> None:
    await world.journeys.install("abandoned_checkout", {"discount": "COMEBACK"}, live=True)
    anna, mei = await buyer(world), await buyer(world, name="Mei", locale="zh_CN")
    await checkout(world, anna)
    await checkout(world, mei, "C-2")
    await later(world)
    assert world.sent() == []
    await later(world, *CHECKOUT)
    ours = [text for text in world.sent() if "Anna" in text]
    theirs = [text for text in world.sent() if "Mei" in text]
    assert len(ours) == len(theirs) == 2
    assert "\n1 × Glass teapot · €24.50\n4 × Cup\n" in ours[0] and "1 × Glass teapot" in ours[1]
    assert "Glass teapot × 1 · " in theirs[0] and "Cup × 4" in theirs[1]
    assert "https://shop.example/c/1" in ours[0] and "COMEBACK" in ours[1]
    assert "您的购物车" in theirs[0] and "优惠码 COMEBACK" in theirs[1]


@pytest.mark.parametrize("how", ["the same checkout", "another order", "by another address", "a newer checkout"])
@pytest.mark.parametrize("when", ["before it is due", "while it is on its way", "in quiet hours"])
async def test_klaviyo_abandoned_checkout_sends_nothing_after_a_purchase(world: World, how: str, when: str) -> None:
    await world.journeys.install("abandoned_checkout", live=True)
    anna = await buyer(world, NIGHT if when == "in quiet hours" else NOON, email="anna@home.example")
    await checkout(world, anna, checkout_id="K-1")
    await world.settle()
    if how == "a newer checkout":
        await checkout(world, anna, "C-2", checkout_id="K-2")
        await world.settle()
    if when != "before it is due":
        await world.travel(hours=1)
        await world.worker.walker.advance(100)
    if when == "in quiet hours":
        await world.settle()
        (send,) = await world.inbox.sends.raw({})
        assert send["state"] == "deferred" and send["reason"]["code"] == "quiet_hours"
    bought = {
        "the same checkout": {"checkout_id": "K-1"},
        "another order": {},
        "by another address": {"identity": "email:anna@home.example", "source": "shopify"},
        "a newer checkout": {"checkout_id": "K-2"},
    }[how]
    await world.order(anna, "A-1", "paid", **bought)
    if when == "while it is on its way":
        await world.inbox.delivery.deliver(100)
    await moves(world, anna, NOON)
    await later(world, {"hours": 12}, *CHECKOUT, {"days": 3})
    assert world.sent() == [] and world.sent("mail") == []
    ends = {row["end"]["reason"] for row in await world.rows()}
    assert ends <= {"goal", "exit_condition", "replaced", "restarted"}, ends


async def test_klaviyo_two_checkouts_are_reminded_of_once_about_the_newer(world: World) -> None:
    await world.journeys.install("abandoned_checkout", live=True)
    anna = await buyer(world)
    await checkout(world, anna)
    await world.settle()
    await world.travel(minutes=30)
    lines = [{"name": "Blue cup", "quantity": 1}]
    await world.order(anna, "C-2", "checkout", lines=lines)
    await later(world, {"minutes": 40})
    assert world.sent() == [], "the clock begins anew"
    await later(world, *CHECKOUT)
    assert len(world.sent()) == 2 and "Blue cup" in world.sent()[0]


async def test_abandoned_checkout_asks_for_consent(world: World) -> None:
    await world.journeys.install("abandoned_checkout", live=True)
    anna = await buyer(world)
    await refuses(world, anna)
    await checkout(world, anna)
    await later(world, *CHECKOUT)
    assert world.sent() == [] and await codes(world) == ["no_consent"] * 2


# -- order notices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hour", [NOON, NIGHT])
async def test_order_notices_go_at_once_at_any_hour_and_to_who_refused_marketing(world: World, hour: int) -> None:
    for name in ("order_confirmation", "order_shipped", "order_delivered", "post_refund"):
        await world.journeys.install(name, live=True)
    anna = await buyer(world, hour, locale="zh_CN")
    await refuses(world, anna)
    lines = [{"name": "龙井茶", "quantity": 2}]
    order = await world.order(anna, "A-1", "paid", lines=lines, url="https://shop.example/o/1")
    await world.settle()
    (confirmation,) = world.sent()
    assert "感谢您的订单 A-1（" in confirmation and "龙井茶 × 2" in confirmation
    tracking = {"number": "SF100", "company": "顺丰", "url": "https://track.example/SF100"}
    await world.orders.advance(order.id, StatusInput.model_validate({"status": "shipped", "tracking": tracking}))
    await later(world, {"minutes": 5})
    assert "运单号：SF100" in world.sent()[1] and "https://track.example/SF100" in world.sent()[1]
    await reaches(world, order.id, "delivered")
    await later(world, {"days": 1})
    assert "您的订单 A-1 已送达" in world.sent()[2] and "使用前" in world.sent()[3]
    await reaches(world, order.id, "refunded")
    await later(world)
    assert "已退款" in world.sent()[4] and len(world.sent()) == 5


async def test_notices_are_made_once_per_order_and_not_of_what_is_over(world: World) -> None:
    for name in ("order_confirmation", "order_shipped", "order_delivered"):
        await world.journeys.install(name, live=True)
    anna = await buyer(world)
    order = await world.order(anna, "A-1", "pending")
    await reaches(world, order.id, "cancelled")
    await later(world, {"days": 2})
    assert world.sent() == [], "called off before anybody could confirm it"
    other = await world.order(anna, "A-2", "paid")
    await later(world)
    await reaches(world, other.id, "shipped", "shipped", "delivered", "delivered")
    await later(world, {"minutes": 5})
    assert len(world.sent()) == 2, "shipped is no news once it has arrived"
    await reaches(world, other.id, "refunded")
    await later(world, {"days": 1})
    assert len(world.sent()) == 2, "no how-to for what was given back"


async def test_no_how_to_while_they_wait_for_an_answer(world: World) -> None:
    await world.journeys.install("order_delivered", live=True)
    anna = await buyer(world)
    await world.order(anna, "A-1", "delivered")
    await later(world)
    await world.says(anna, "The lid is broken")
    await later(world, {"days": 1})
    assert len(world.sent()) == 1 and (await world.run())["end"]["reason"] == "exit_step"


async def test_an_e_mail_has_html_and_marketing_shows_the_way_out(world: World) -> None:
    await world.journeys.install("order_confirmation", live=True)
    await world.journeys.install("review_ask", live=True)
    anna = await buyer(world, channel="mail")
    order = await world.order(anna, "A-1", "paid", lines=[{"name": "Cup <b>", "quantity": 1}])
    await reaches(world, order.id, "delivered")
    await later(world, {"days": 7})
    notice, ask = world.provider("mail").sent
    assert notice.mail is not None and ask.mail is not None
    assert "1 × Cup &lt;b&gt;" in (notice.mail.html or "") and "no more" not in (notice.mail.html or "")
    assert "/unsubscribe" in (ask.mail.html or "") or "no more of these" in (ask.mail.html or "")


# -- after delivery ------------------------------------------------------------------------------------------------

AFTER_DELIVERY = {"review_ask": 7, "cross_sell": 10, "nps": 14}


@pytest.mark.parametrize("name", AFTER_DELIVERY)
async def test_after_delivery_one_message_in_their_language(world: World, name: str) -> None:
    await world.journeys.install(name, live=True)
    mei = await buyer(world, locale="zh_CN")
    order = await world.order(mei, "A-1", "paid", lines=[{"name": "龙井茶", "quantity": 1}])
    await later(world, {"days": 2})
    await reaches(world, order.id, "delivered")
    await later(world, {"days": AFTER_DELIVERY[name], "hours": -1})
    assert world.sent() == []
    await later(world, {"hours": 1}, {"days": 9})
    (text,) = world.sent()
    assert "您" in text and ("龙井茶" in text or name == "nps")


@pytest.mark.parametrize("name", AFTER_DELIVERY)
@pytest.mark.parametrize("what", ["refunded", "cancelled", "a conversation", "no consent", "talk in quiet hours"])
async def test_after_delivery_nothing_is_sent_once(world: World, name: str, what: str) -> None:
    await world.journeys.install(name, live=True)
    quiet = what == "talk in quiet hours"
    anna = await buyer(world, NIGHT if quiet else NOON)
    order = await world.order(anna, "A-1", "paid")
    await later(world, {"days": 2})
    await reaches(world, order.id, "delivered")
    await later(world)
    if what in ("refunded", "cancelled"):
        await reaches(world, order.id, what)
    if what == "a conversation":
        await world.says(anna, "Where is the lid?")
    if what == "no consent":
        await refuses(world, anna)
    await later(world, {"days": AFTER_DELIVERY[name]})
    if quiet:
        assert [each["state"] for each in await world.inbox.sends.raw({})] == ([] if name == "nps" else ["deferred"])
        await world.says(anna, "Where is the lid?")
        await moves(world, anna, NOON)
    await later(world, {"days": 1}, {"days": 9})
    assert world.sent() == []


async def test_no_review_ask_when_a_part_was_paid_back(world: World) -> None:
    await world.journeys.install("review_ask", live=True)
    order = await world.order(await buyer(world), "A-1", "delivered")
    await later(world)
    await reaches(world, order.id, "partially_refunded")
    await later(world, {"days": 7})
    assert world.sent() == []


async def test_a_conversation_that_is_over_does_not_stand_in_the_way(world: World) -> None:
    await world.journeys.install("review_ask", live=True)
    anna = await buyer(world)
    await world.order(anna, "A-1", "delivered")
    await later(world)
    await world.says(anna, "Thank you!")
    await later(world, {"days": 1})
    await world.db.collection("conversations").update_many({}, {"$set": {"open": False, "status": "resolved"}})
    await later(world, {"days": 6})
    assert len(world.sent()) == 1


@pytest.mark.parametrize("when", ["before it is due", "while it is on its way"])
async def test_cross_sell_sends_nothing_after_a_purchase(world: World, when: str) -> None:
    await world.journeys.install("cross_sell", live=True)
    anna = await buyer(world, email="anna@home.example")
    order = await world.order(anna, "A-1", "paid")
    await later(world, {"days": 2})
    await reaches(world, order.id, "delivered")
    await later(world)
    if when == "while it is on its way":
        await world.travel(days=10)
        await world.worker.walker.advance(100)
    await world.order(anna, "A-2", "paid", identity="email:anna@home.example", source="shopify")
    await later(world, {"days": 10})
    assert world.sent() == [] and world.sent("mail") == []
    assert (await world.run())["end"]["reason"] == "goal"


@pytest.mark.parametrize(
    ("answer", "tag", "thanks", "tasks"),
    [("10", "nps-promoter", "makes our day", 0), ("9!", "nps-promoter", "makes our day", 0),
     (" 8", "nps-passive", "made it a 10", 0), ("0", "nps-detractor", "frank", 1), ("6分", "nps-detractor", "frank", 1),
     ("what?", None, None, 0), ("100", None, None, 0)],
)  # fmt: skip
async def test_nps(world: World, answer: str, tag: str | None, thanks: str | None, tasks: int) -> None:
    await world.journeys.install("nps", live=True)
    anna = await buyer(world)
    await world.order(anna, "A-1", "delivered")
    await later(world, {"days": 14})
    assert len(world.sent()) == 1
    await world.says(anna, answer)
    await later(world, {"days": 5})
    profile = await world.profiles.get(anna)
    assert profile is not None and profile.tags == ([tag] if tag else [])
    assert len(world.sent()) == (2 if thanks else 1) and (thanks or "") in world.sent()[-1]
    assert len((await world.tasks.page()).data) == tasks
    await world.order(anna, "A-2", "delivered")
    await later(world, {"days": 14})
    assert len(world.sent()) == (2 if thanks else 1), "asked once in 90 days"


# -- new, old and dear customers -----------------------------------------------------------------------------------


async def subscribes(world: World, profile_id: str) -> None:
    for identity in await world.profiles.identities_of(profile_id):
        await world.consent.act(ConsentAct(identity.id, "marketing", True, "form"))


async def test_the_welcome_series_ends_with_the_first_order(world: World) -> None:
    await world.journeys.install("welcome_series", {"discount": "HELLO"}, live=True)
    anna, bert = await buyer(world), await buyer(world, name="Bert", locale="zh")
    for each in (anna, bert):
        await subscribes(world, each)
    await later(world, {"days": 2})
    assert len(world.sent()) == 4
    await world.order(anna, "A-1", "paid")
    await later(world, {"days": 3}, {"days": 9})
    assert len(world.sent()) == 5 and "HELLO" in world.sent()[-1] and "您的首单" in world.sent()[-1]


async def test_no_welcome_series_for_customers(world: World) -> None:
    await world.journeys.install("welcome_series", live=True)
    anna = await buyer(world)
    await world.order(anna, "A-1", "paid")
    await subscribes(world, anna)
    await later(world, {"days": 2})
    assert world.sent() == []


@pytest.mark.parametrize(
    ("tier", "days", "word"),
    [("vip", 0, "think of first"), ("level1", 30, "much has come in"), (None, 60, "some months")],
)
async def test_win_back_by_tier(world: World, tier: str | None, days: int, word: str) -> None:
    await world.journeys.install("win_back", live=True)
    anna = await long_gone(world, tier)
    await world.settle()
    spans = [{"days": 30} for _ in range(days // 30)]
    for span in spans:
        assert world.sent() == []
        await later(world, span)
    assert len(world.sent()) == 1 and word in world.sent()[0]
    await later(world, {"days": 30}, {"days": 30})
    assert len(world.sent()) == 1 and (await world.run())["profile_id"] == anna


async def long_gone(world: World, tier: str | None) -> str:
    """Somebody whose last order was sixty days ago, let in: planned a day before, and the day has come."""
    anna = await buyer(world)
    people, plans = world.db.collection("profiles"), world.db.collection("planned_entries")
    await people.update_one({"_id": anna}, {"$set": {"tier": tier}})
    placed = (now() - timedelta(days=59)).replace(microsecond=0)
    await world.order(anna, "A-1", "paid", placed_at=placed.isoformat(), occurred_at=placed.isoformat())
    await world.take_in()
    (plan,) = await plans.find({}).to_list(None)
    assert plan["due_at"] > now()
    before = placed - timedelta(days=1)
    key = f"{before.isoformat(timespec='milliseconds')}:{before.year}"
    await people.update_one({"_id": anna}, {"$set": {"orders.last_at": before}})
    await plans.update_one({}, {"$set": {"due_at": plan["due_at"] - timedelta(days=1), "key": key}})
    await world.take_in()
    return anna


@pytest.mark.parametrize("when", ["between", "on its way", "in quiet hours"])
async def test_win_back_sends_nothing_after_a_purchase(world: World, when: str) -> None:
    await world.journeys.install("win_back", live=True)
    anna = await long_gone(world, "vip" if when != "between" else None)
    if when == "in quiet hours":
        await moves(world, anna, NIGHT)
        await world.settle()
    else:
        await world.worker.walker.advance(100)
    await world.order(anna, "A-2", "paid")
    await moves(world, anna, NOON)
    await later(world, {"days": 30}, {"days": 30})
    assert world.sent() == [] and (await world.run())["end"]["reason"] == "goal"


async def test_birthday_every_year_and_on_the_28th(world: World) -> None:
    await world.journeys.install("birthday", {"discount": "CAKE"}, live=True)
    anna = await buyer(world, locale="zh_CN")
    born = (now() + timedelta(hours=(NOON - now().hour + 11) % 24 - 11)).date()  # today, where it is noon
    await world.editor.patch(anna, ProfilePatch(attributes={"birthday": f"--{born:%m-%d}"}), source="api", by="t")
    await world.look()
    (row,) = await world.db.collection("planned_entries").find({}).to_list(None)
    await world.db.collection("planned_entries").update_one(
        {"_id": row["_id"]}, {"$set": {"due_at": now() - timedelta(hours=1), "key": f"--{born:%m-%d}:{born.year}"}}
    )
    await world.take_in()
    await later(world)
    assert len(world.sent()) == 1 and "祝您生日快乐" in world.sent()[0] and "CAKE" in world.sent()[0]
    await world.take_in()
    await later(world)
    assert len(world.sent()) == 1
    (row,) = await world.db.collection("planned_entries").find({}).to_list(None)
    assert row["key"].endswith(str(born.year + 1)), "next year again"


# -- people ----------------------------------------------------------------------------------------------------------


async def test_after_a_refund_a_colleague_asks_unless_somebody_does_already(world: World) -> None:
    await world.journeys.install("post_refund", live=True)
    anna, bert = await buyer(world), await buyer(world, name="Bert")
    for profile_id, number in ((anna, "A-1"), (bert, "B-1")):
        order = await world.order(profile_id, number, "paid")
        await reaches(world, order.id, "refunded")
    await later(world)
    assert len(world.sent()) == 2
    await world.says(bert, "Thank you")
    await later(world, {"days": 3})
    (task,) = (await world.tasks.page()).data
    assert task["profile_id"] == anna and len(world.sent()) == 2


async def key_customer(world: World) -> str:
    await world.journeys.install("vip_care", live=True)
    await world.segment_builder.drain()
    anna = await buyer(world)
    await world.look()
    await world.editor.patch(anna, ProfilePatch(tier="vip"), source="api", by="t")
    await world.look()
    await world.settle()
    return anna


async def test_care_for_key_customers_waits_for_a_person_and_then_thanks(world: World) -> None:
    world.mates.people = [Mate("usr_1"), Mate("usr_2")]
    await key_customer(world)
    (task,) = (await world.tasks.page()).data
    assert world.sent() == []
    await world.tasks.done(task["_id"], "usr_1", "called")
    await later(world)
    assert len(world.sent()) == 1 and "thank you for your trust" in world.sent()[0]


async def test_care_that_comes_too_late_is_handed_over(world: World) -> None:
    world.mates.people = [Mate("usr_1"), Mate("usr_2")]
    await key_customer(world)
    await later(world, {"days": 3})
    tasks = (await world.tasks.page()).data
    assert len(tasks) == 2 and any("take over" in each["text"] for each in tasks)
    await later(world, {"days": 3})
    assert world.sent() == [] and (await world.run())["end"]["reason"] == "exit_step"


# -- what runs out ---------------------------------------------------------------------------------------------------

TEA = [{"name": "Sencha", "quantity": 1, "sku": "TEA-1"}]


async def bought(world: World, profile_id: str, number: str, days_ago: float, **more: Any) -> Any:
    at = (now() - timedelta(days=days_ago)).isoformat()
    return await world.order(profile_id, number, "paid", **{"placed_at": at, "occurred_at": at, "lines": TEA, **more})


@pytest.mark.parametrize("learned", ["own", "all"])
async def test_replenishment_reminds_before_it_runs_out(world: World, learned: str) -> None:
    await world.journeys.install("replenishment", live=True)
    mei = await buyer(world, locale="zh_CN")
    if learned == "own":
        await bought(world, mei, "A-1", 60)
        await bought(world, mei, "A-2", 30)
    for number in range(5 if learned == "all" else 0):
        other = await world.person(f"P{number}")
        await bought(world, other, f"B{number}", 100)
        await bought(world, other, f"C{number}", 70)
    await bought(world, mei, "A-3", 0)
    await later(world, {"days": 26})
    assert world.sent() == []
    await later(world, {"days": 2})
    (text,) = world.sent()
    assert "Sencha" in text and "您的" in text
    await later(world, {"days": 30})
    assert len(world.sent()) == 1


@pytest.mark.parametrize("how", ["early", "on its way", "by another address", "refunded"])
async def test_replenishment_sends_nothing_after_a_purchase_of_the_same(world: World, how: str) -> None:
    await world.journeys.install("replenishment", live=True)
    anna = await buyer(world, email="anna@home.example")
    await bought(world, anna, "A-1", 60)
    await bought(world, anna, "A-2", 30)
    order = await bought(world, anna, "A-3", 0)
    await later(world, {"days": 5})
    if how == "on its way":
        await world.travel(days=23)
        await world.worker.walker.advance(100)
        assert len(await world.inbox.sends.raw({})) == 1
    by = {"identity": "email:anna@home.example", "source": "shopify"} if how == "by another address" else {}
    if how == "refunded":
        await reaches(world, order.id, "refunded")
    else:
        await bought(world, anna, "A-4", 0, **by)
    await later(world, {"days": 20 if how != "on its way" else 0}, {"days": 4})
    assert world.sent() == [] and world.sent("mail") == []
    first = next(row for row in await world.rows() if row["entry_key"] == f"0|key:{order.id}")
    assert first["end"]["reason"] == "exit_condition"


async def test_replenishment_knows_nothing_of_what_nobody_bought_again(world: World) -> None:
    await world.journeys.install("replenishment", live=True)
    anna = await buyer(world)
    await bought(world, anna, "A-1", 0)
    await later(world, {"days": 40})
    assert world.sent() == [] and (await world.run())["end"]["reason"] == "exit_condition"
    await bought(world, anna, "A-2", 0, lines=[{"name": "Another thing", "quantity": 1}])
    await later(world, {"days": 40})
    assert world.sent() == []
