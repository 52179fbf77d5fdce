"""Order follow-ups: the recipes, and that nothing is sent after an order was paid, cancelled or refunded."""

from typing import Any

import pytest

from base.errors import NotFound, WrongInput
from base.ids import new_id
from campaigns.definition import must_read
from campaigns.recipes import recipes
from campaigns.render import RenderItem
from campaigns.validate import check_whole
from orders.models import StatusInput
from tests.campaigns.conftest import World

WAITS = {"first_wait": "PT1H", "second_wait": "PT2H", "task_wait": "PT3H"}


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
async def test_every_recipe_is_whole_and_speaks_english_and_chinese(world: World, recipe: Any) -> None:
    plan = recipe.filled({})
    ids = {name: new_id("seg") for name in plan.segments} | {name: name for name in plan.templates}
    check_whole(must_read(plan.draft(ids)), frozenset(plan.templates))
    assert set(recipe.title) == set(recipe.summary) == set(recipe.needs) == {"en", "zh_CN"}
    for template in plan.templates.values():
        assert "zh" in template["locales"]
        content = {name: value for name, value in template.items() if name not in ("name", "kind")}
        await world.renderer.check(content)
        for locale in ("en", "zh_CN"):
            made = await world.renderer.render(RenderItem(content, {"profile": {}, "order": {}}, locale=locale))
            assert made.text and made.subject
            assert not any(mark in made.text + made.subject + (made.html or "") for mark in ("{{", "[["))
            assert ("您" in made.text or "小贴士" in made.text) is (locale == "zh_CN")
    with pytest.raises(WrongInput):
        recipe.filled({"nonsense": 1})
    with pytest.raises(WrongInput):
        recipe.filled({"channels": "soon"})


async def test_install_makes_the_journey_once_per_key(world: World) -> None:
    first = await world.journeys.install("welcome", {"wait": "PT5M"}, live=True, key="demo")
    again = await world.journeys.install("welcome", {"wait": "PT9M"}, live=True, key="demo")
    assert first == again and (await world.journeys.get(first))["status"] == "live"
    other = await world.journeys.install("welcome")
    assert other != first and (await world.journeys.get(other))["status"] == "draft"
    with pytest.raises(NotFound):
        await world.journeys.install("nothing")


async def test_the_payment_reminder_reminds_twice_and_hands_over(world: World) -> None:
    await world.journeys.install("payment_reminder", WAITS, live=True)
    anna = await world.person("Anna Lee")
    await world.order(anna, "A-17", payment_url="https://shop.example/pay/17")
    await world.settle()
    assert world.sent() == []
    for hours in (1, 2, 3):
        await world.travel(hours=hours)
        await world.settle()
    first, second = world.sent()
    assert (
        "A-17" in first
        and "€42.00" in first
        and "https://shop.example/pay/17" in first
        and first.startswith("Hello Anna")
    )
    assert "still unpaid" in second
    (task,) = (await world.tasks.page()).data
    order = (await world.orders.of_profile(anna))[0]
    assert task["order_id"] == order.id and task["profile_id"] == anna
    run = await world.run()
    assert run["end"]["reason"] == "exit_step" and run["entry_key"] == f"0|key:{order.id}"


@pytest.mark.parametrize("status", ["paid", "cancelled", "refunded", "authorised"])
async def test_no_reminder_once_the_order_needs_none(world: World, status: str) -> None:
    await world.journeys.install("payment_reminder", WAITS, live=True)
    anna = await world.person()
    order = await world.order(anna)
    await world.settle()
    await world.orders.advance(order.id, StatusInput.model_validate({"status": status}))
    for hours in (1, 2, 3):
        await world.travel(hours=hours)
        await world.settle()
    assert world.sent() == [] and (await world.tasks.page()).data == []
    assert (await world.run())["state"] == "ended"


async def test_an_order_that_is_paid_when_placed_is_never_reminded_of(world: World) -> None:
    await world.journeys.install("payment_reminder", WAITS, live=True)
    anna = await world.person()
    await world.order(anna, status="paid")
    await world.settle()
    await world.travel(hours=5)
    await world.settle()
    assert world.sent() == [] and await world.rows() == []


@pytest.mark.parametrize("how", ["event handled", "event still pending"])
async def test_payment_reminder_never_after_pay(world: World, how: str) -> None:
    """The payment comes between the request of the send and its delivery."""
    await world.journeys.install("payment_reminder", WAITS, live=True)
    anna = await world.person()
    order = await world.order(anna)
    await world.settle()
    await world.travel(hours=1)
    await world.worker.walker.advance(100)
    (send,) = await world.inbox.sends.raw({})
    assert send["state"] == "planned"
    await world.orders.advance(order.id, StatusInput.model_validate({"status": "paid"}))
    if how == "event handled":
        await world.react()
    await world.inbox.delivery.deliver(100)
    await world.settle()
    assert world.sent() == []
    (send,) = await world.inbox.sends.raw({})
    assert (send["state"], send["reason"]["code"]) == ("skipped", "goal")
    assert (await world.run())["end"]["reason"] == "goal"


@pytest.mark.parametrize("status", ["paid", "cancelled", "refunded"])
async def test_no_reminder_when_the_order_is_settled_while_the_message_is_on_its_way(
    world: World, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gates have let it pass and it is written already; only the call of the provider is still to come."""
    await world.journeys.install("payment_reminder", WAITS, live=True)
    order = await world.order(await world.person())
    await world.settle()
    await world.travel(hours=1)
    await world.worker.walker.advance(100)
    prepare = world.worker.source.prepare

    async def prepared_and_then_paid(sends: Any, barred: Any, now: Any) -> Any:
        answers = await prepare(sends, barred, now)
        await world.orders.advance(order.id, StatusInput.model_validate({"status": status}))
        return answers

    monkeypatch.setattr(world.worker.source, "prepare", prepared_and_then_paid)
    await world.inbox.delivery.deliver(100)
    await world.settle()
    assert world.sent() == []
    (send,) = await world.inbox.sends.raw({})
    assert send["state"] == "skipped" and send["reason"]["code"] in ("goal", "exit_condition")
    assert (await world.run())["state"] == "ended"


async def test_klaviyo_paid_under_another_address_counts_too(world: World) -> None:
    """Klaviyo: buyers with a second e-mail address still got the reminder. The order belongs to the person, not to an
    address, and one told by a shop and by a program under the same number is one purchase."""
    await world.journeys.install("payment_reminder", WAITS, live=True)
    anna = await world.person(email="anna@home.example")
    await world.order(anna, "A-9")
    await world.settle()
    await world.travel(hours=1)
    await world.worker.walker.advance(100)
    told_by_shop = {"identity": "email:anna@home.example", "status": "paid", "source": "shopify"}
    await world.order(anna, "A-9", **told_by_shop)
    await world.settle()
    assert world.sent() == [] and world.sent("mail") == []


async def test_thanks_and_review_after_delivery(world: World) -> None:
    await world.journeys.install("thank_you_review", {"wait": "P1D"}, live=True)
    anna = await world.person("Anna", locale="zh_CN")
    order = await world.order(anna, "A-3", "paid", lines=[{"name": "龙井茶", "quantity": 1}])
    await world.orders.advance(order.id, StatusInput.model_validate({"status": "delivered"}))
    await world.orders.advance(order.id, StatusInput.model_validate({"status": "delivered"}))
    await world.settle()
    await world.travel(days=1)
    await world.settle()
    thanks, review = world.sent()
    assert "您的订单 A-3 已送达" in thanks and "龙井茶" in review


async def test_no_review_ask_after_a_refund_or_while_they_wait_for_us(world: World) -> None:
    await world.journeys.install("thank_you_review", {"wait": "P1D"}, live=True)
    anna, bert = await world.person("Anna"), await world.person("Bert")
    for profile_id, number in ((anna, "A-1"), (bert, "B-1")):
        order = await world.order(profile_id, number, "paid")
        await world.orders.advance(order.id, StatusInput.model_validate({"status": "delivered"}))
    await world.settle()
    assert len(world.sent()) == 2
    refunded = (await world.orders.of_profile(anna))[0]
    await world.orders.advance(refunded.id, StatusInput.model_validate({"status": "refunded"}))
    await world.says(bert, "Where is my cup?")
    await world.settle()
    await world.travel(days=1)
    await world.settle()
    assert len(world.sent()) == 2
    ends = sorted(row["end"]["reason"] for row in await world.rows())
    assert ends == ["exit_condition", "exit_step"]


async def test_welcome(world: World) -> None:
    await world.journeys.install("welcome", {"wait": "PT1H"}, live=True)
    anna, bert = await world.person("Anna"), await world.person("Bert")
    await world.says(anna, "hello")
    await world.says(bert, "hello")
    await world.settle()
    assert len(world.sent()) == 2
    await world.says(anna, "and one more thing")
    await world.settle()
    await world.travel(hours=1)
    await world.settle()
    assert len(world.sent()) == 3 and "Did you know" in world.sent()[-1]
    profile = await world.profiles.get(anna)
    assert profile is not None and profile.tags == ["engaged"]
