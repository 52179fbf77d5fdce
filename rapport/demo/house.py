"""What the people of the demo's shop have agreed on: hours, promises, a team, and words and clicks that save time."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from base.errors import Conflict
from campaigns.automation.models import MacroInput, RuleInput
from campaigns.automation.rules import Maker
from inbox.canned import CannedInput
from inbox.folding import FigureRules
from inbox.hours.models import HoursInput
from inbox.routing.models import TeamInput
from inbox.sla.models import PolicyInput
from inbox.views import ViewInput
from rapport.demo.remembering import told_at
from rapport.demo.setting import COLLEAGUES
from rapport.demo.stage import Stage
from rapport.runtime import Runtime

HOURS: dict[str, Any] = {
    "name": "Harbour Tea", "zone": "Europe/Amsterdam", "holidays": {"country": "NL"},
    "week": {day: [["09:00", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
}  # fmt: skip
PROMISE: dict[str, Any] = {
    "name": "Everybody is answered today", "lengths": {"first_response_min": 60, "next_response_min": 240},
    "by_priority": {"high": {"first_response_min": 15}},
}  # fmt: skip
#: Two teams with everybody in both; what a conversation is filed under says which of them has it.
SUPPORT, ORDERS = "Support", "Orders"
TEAM_OF = {"parcel": ORDERS, "order": ORDERS, "damage": ORDERS}
#: Since when hours, promises and teams have been there: before anything that is told of the past.
SINCE = timedelta(days=150)
CANNED: tuple[dict[str, Any], ...] = (
    {"shortcut": "thanks", "title": "Thanks for the order",
     "text": "Hi {{ profile.first_name | default('there') }}, thank you for order {{ order.number }}!"},
    {"shortcut": "brew", "title": "How to brew green tea",
     "text": "Two grams to a cup, water of 75 °C, one minute. It can be poured up three times."},
    {"shortcut": "return", "title": "Sending something back",
     "text": "Send it to Harbour Tea, Haven 3, Leiden, within 30 days. We pay you back as soon as it is here."},
    {"shortcut": "退货", "title": "退货说明", "text": "收到后30天内可以退货。寄回莱顿，我们收到后立即退款。"},
)  # fmt: skip
MACROS: tuple[dict[str, Any], ...] = (
    {"name": "Refund under way", "actions": [
        {"type": "reply", "text": "Hi {{ profile.first_name | default('there') }}, your refund is on its way."},
        {"type": "labels", "add": ["refund"]},
        {"type": "task", "text": "Look whether the refund has arrived", "assignee": "owner", "due": "P3D"},
        {"type": "status", "status": "resolved"},
    ]},
    {"name": "Waits for the parcel service", "actions": [
        {"type": "labels", "add": ["parcel"]}, {"type": "status", "status": "pending"},
    ]},
)  # fmt: skip
RULE: dict[str, Any] = {
    "name": "Whoever buys for a shop comes first", "on": {"type": "event", "event": "message.received"},
    "when": {"field": "tags", "op": "any_of", "value": ["vip", "wholesale"]},
    "actions": [{"type": "priority", "priority": "high"}],
}  # fmt: skip
VIEW: dict[str, Any] = {
    "name": "Pressing", "shared": True,
    "filter": {"status": ["open"], "priority": ["high", "urgent"], "waiting": True},
}  # fmt: skip


async def prepare_terms(runtime: Runtime, held: Stage) -> None:
    """Once, before the past is loaded, because it is counted and measured by them: hours, promises, teams."""
    if held.house_built:
        return
    who = await _colleagues(runtime)
    with told_at(runtime.clock() - SINCE):
        hours = await _made(runtime.business_hours.create(HoursInput.model_validate(HOURS)))
        promise = {**PROMISE, "hours_id": hours.id if hours is not None else None}
        await _made(runtime.sla_policies.create(PolicyInput.model_validate(promise)))
        for name in (SUPPORT, ORDERS):
            team = {"name": name, "members": [{"user_id": each} for each in who]}
            await _made(runtime.teams.create(TeamInput.model_validate(team)))
        if hours is not None:
            await runtime.figures.choose(FigureRules(hours_id=hours.id), who[0])


async def prepare_house(runtime: Runtime, held: Stage) -> None:
    """Once, when there are people; what somebody has changed or taken away since stays so."""
    if held.house_built:
        return
    await prepare_terms(runtime, held)
    who = await _colleagues(runtime)
    for reply in CANNED:
        await _made(runtime.canned.create(CannedInput.model_validate(reply), who[0]))
    for macro in MACROS:
        await _made(runtime.macros.create(MacroInput.model_validate(macro), who[0]))
    await _made(runtime.automation_rules.create(RuleInput.model_validate(RULE), Maker(who[0])))
    await _made(runtime.views.create(ViewInput.model_validate(VIEW), who[0]))
    held.house_built = True


async def _colleagues(runtime: Runtime) -> list[str]:
    addresses = {email for email, _ in COLLEAGUES}
    return [user.id for user in await runtime.users.users() if user.email in addresses]


async def _made(making: Awaitable[Any]) -> Any:
    """What is made; None where a start that was cut off has made it already."""
    with suppress(Conflict):
        return await making
    return None
