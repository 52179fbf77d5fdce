"""Sets the stage: colleagues, channels that point to the pretended providers, journeys that run."""

from __future__ import annotations

from typing import Any

from base.errors import Conflict
from profiles.consent import ConsentAct
from profiles.custom_fields import FieldInput, Option
from profiles.store.profiles import ProfileFilter
from rapport.demo.cast import Channel
from rapport.demo.stage import NAMES, Stage
from rapport.runtime import Runtime

FAVOURITE = FieldInput(
    key="favourite_tea", labels={"en": "Favourite tea", "zh_CN": "最爱的茶"}, type="choice", shown=["profile", "inbox"],
    options=[
        Option(value="green", labels={"en": "Green", "zh_CN": "绿茶"}),
        Option(value="oolong", labels={"en": "Oolong", "zh_CN": "乌龙"}),
        Option(value="black", labels={"en": "Black", "zh_CN": "红茶"}),
    ],
)  # fmt: skip
#: Whom the first broadcast of the demo is for.
REGULARS = ("vip", "wholesale")
SPRING: dict[str, Any] = {
    "name": "First flush is here", "audience": {"rule": {"field": "tags", "op": "any_of", "value": list(REGULARS)}},
    "content": {
        "subject": "The first flush has arrived",
        "body": "Hi {{ profile.first_name | default('there') }}, the first flush of this spring has arrived. "
        "Fifty tins, reserved for you until Sunday.",
        "locales": {"zh_CN": {"subject": "头春茶到了", "body": "{{ profile.name }}，今年的头春茶到了，为您留到周日。"}},
    },
    "holdout_percent": 5,
}  # fmt: skip
BLACK_TEA: dict[str, Any] = {
    "name": "Black tea week", "audience": {"rule": {"all": []}, "exclude": {}},
    "content": {"text": "One week, all black teas 15 % off: https://harbour-tea.example/black"},
    "ab": {"metric": "read", "sample_percent": 20, "decide_after": "PT4H", "arms": [
        {"name": "a", "share": 50},
        {"name": "b", "share": 50, "content": {"text": "Black tea week: which one is yours? 15 % off until Sunday."}},
    ]},
    "rate": {"per_minute": 600},
}  # fmt: skip
COLLEAGUES = (("mia@harbour-tea.example", "Mia Jansen"), ("liwei@harbour-tea.example", "李薇"),
              ("tom@harbour-tea.example", "Tom Okafor"))  # fmt: skip
#: Recipes with waits short enough to watch.
RECIPES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("thank_you_review", {"wait": "PT2M"}),
    ("payment_reminder", {"first_wait": "PT1M", "second_wait": "PT2M", "task_wait": "PT2M"}),
    ("welcome", {"wait": "PT2M"}),
)


async def prepare_stage(runtime: Runtime, held: Stage) -> None:
    """May run at every start: makes what is missing, points channels to the ports of this start."""
    for provider in NAMES:
        await _channel(runtime, held, provider)
    await _webchat(runtime, held)
    for email, name in COLLEAGUES:
        try:
            await runtime.accounts.invite(email, name, "agent")
        except Conflict:
            continue
    await _lifecycle(runtime)
    for recipe, params in RECIPES:
        await runtime.journeys.install(recipe, params, live=True, key=f"demo:{recipe}")


async def prepare_broadcasts(runtime: Runtime, held: Stage) -> None:
    """One that everybody has got and one that is still being written, once, when there are people."""
    if (await runtime.broadcasts.page(limit=1)).data:
        return
    channels = [held.channels[each] for each in ("telegram", "email")]
    await _regulars_agree(runtime)
    sent = await runtime.broadcasts.create({**SPRING, "channel_ids": channels})
    await runtime.broadcasts.set_status(sent["_id"], "running")
    await runtime.broadcasts.create({**BLACK_TEA, "channel_ids": channels[:1]})


async def _regulars_agree(runtime: Runtime) -> None:
    """Most of those for whom the broadcast is have said that they want such messages."""
    for tag in REGULARS:
        found = await runtime.profiles.page(ProfileFilter(tag=tag), limit=200)
        for number, person in enumerate(found.data):
            for identity in await runtime.profiles.identities_of(person.id):
                act = ConsentAct(identity.id, "marketing", number % 7 != 0, "form", proof="harbour-tea.example")
                await runtime.consent.act(act)


async def _lifecycle(runtime: Runtime) -> None:
    """People move by their orders, and one field is asked for. What somebody has changed since stays."""
    agreed = await runtime.terms.now(fresh=True)
    if agreed.revs["stages"] == 0:
        orders = {"customer": 1, "repeat": 2}
        rows = [{**each.model_dump(), "orders": orders.get(each.key)} for each in agreed.stages]
        await runtime.terms.save("stages", 0, rows, by=None)
    try:
        await runtime.fields.create(FAVOURITE)
    except Conflict:
        return


async def _channel(runtime: Runtime, held: Stage, provider: Channel) -> None:
    known = held.channels.get(provider)
    if known is not None and await runtime.channels.get(known) is not None:
        await runtime.channels.update(known, settings=held.settings_of(provider), state="connected")
        return
    created = await runtime.channels.add(provider, NAMES[provider], held.settings_of(provider))
    held.channels[provider] = created.id


async def _webchat(runtime: Runtime, held: Stage) -> None:
    if held.webchat and await runtime.channels.get(held.webchat) is not None:
        await runtime.channels.update(held.webchat, settings=held.webchat_settings(), state="connected")
        return
    created = await runtime.channels.add("webchat", f"Chat on {held.shop_urls[0]}", held.webchat_settings())
    held.webchat = created.id
