"""What the demo sets up for its agents: each thing is one the house itself would take, and is made once."""

from typing import Any

from campaigns.automation.models import MacroInput
from channels.providers.meta.whatsapp.templates import template_of
from rapport.demo import house
from rapport.demo.providers import APPROVED, _approved
from rapport.demo.setting import COLLEAGUES
from rapport.demo.stage import Stage
from tests.rapport.merging import opened


async def test_what_the_house_has_agreed_on_is_made_once_and_stays_as_somebody_left_it(
    mongo_url: str, redis_url: str, shaped_database: str
) -> None:
    async with opened(mongo_url, redis_url, shaped_database) as town:
        runtime, held = town.runtime, Stage(shaped_database)
        for email, name in COLLEAGUES:
            await runtime.accounts.invite(email, name, "agent")
        await house.prepare_house(runtime, held)
        (policy,) = await runtime.sla_policies.all()
        teams = await runtime.teams.all()
        assert held.house_built and policy.written.hours_id is not None
        assert [len(each.written.members) for each in teams] == [len(COLLEAGUES)] * 2
        held.house_built = False  # as if it had died before that was kept
        await house.prepare_house(runtime, held)
        counts: dict[str, Any] = {
            name: await runtime.db.collection(name).count_documents({})
            for name in ("sla_policies", "teams", "canned_replies", "macros", "automation_rules", "views")
        }
        assert counts == {"sla_policies": 1, "teams": 2, "canned_replies": len(house.CANNED),
                          "macros": len(house.MACROS), "automation_rules": 1, "views": 1}  # fmt: skip


def test_macros_and_templates_are_such_as_are_taken() -> None:
    assert [MacroInput.model_validate(each).name for each in house.MACROS]
    found = [template_of(_approved(*each)) for each in APPROVED]
    assert all(each is not None and each.status == "approved" and each.body_values for each in found)
