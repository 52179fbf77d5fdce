"""Rules of automation: what follows by itself from what happens, or from what has stood for a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from base.mongo import Document
from campaigns.automation.models import Actions, ChannelId, RuleInput, Start, Title, read_actions, written
from campaigns.automation.rules import RULES_MAX, Maker, StandingRule
from desk.api.contract import Call, Operations, not_there
from desk.api.macros import MacroLeftView
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, ConversationId, PageQuery, Patch, Time, View, page, sliced
from desk.auth import Principal

operations = Operations("automation-rules")


class AutomationRulePatch(Patch):
    """Parts to replace, each as a whole."""

    name: Title = ""
    on: Start | None = None
    when: dict[str, Any] | None = Field(None, description="Null: it fits always.")
    channel_ids: tuple[ChannelId, ...] = Field((), max_length=200)
    actions: Actions = ()
    stop: bool = False
    active: bool = True


class AutomationRuleOrder(Body):
    """All rules, the first to be asked first."""

    ids: list[Annotated[str, StringConstraints(pattern="^arl_[0-9a-z]{26}$")]] = Field(max_length=RULES_MAX)


class AutomationRuleView(View):
    """A rule as it stands. `ran`: how often it fitted; `paused_why`: why it was switched off by itself."""

    id: str
    name: str
    on: dict[str, Any]
    when: dict[str, Any] | None
    channel_ids: list[str]
    actions: list[dict[str, Any]]
    stop: bool
    active: bool
    made_by: str | None
    ran: int
    ran_at: Time | None
    paused_why: str
    created_at: Time
    updated_at: Time


class StepView(View):
    """What became of an action; `why` it was left, empty: it was done."""

    type: str
    why: str
    sentence: str
    at: Time


class RuleRunView(View):
    """One time the rule was asked. Of those that did not fit the log is kept for 7 days, of others for 60."""

    id: str
    at: Time
    event: str
    conversation_id: str | None
    outcome: Literal[
        "acting",
        "fitted",
        "did_not_fit",
        "answered",
        "no_conversation",
        "own_effect",
        "loop",
        "changed",
        "crashed",
        "failed",
    ]
    why: str
    steps: list[StepView]


class TryBody(Body):
    """On which conversation."""

    conversation_id: ConversationId


class TryView(View):
    """What the rule would do. `why` it does not fit; the values its condition was judged by; the actions that would
    be left."""

    fits: bool
    why: str
    values: dict[str, Any]
    does: list[str]
    left: list[MacroLeftView]


def rule_view(rule: StandingRule) -> AutomationRuleView:
    """As people and programs see it."""
    kept = rule.written.kept()
    return AutomationRuleView(
        id=rule.id, **kept, made_by=rule.made_by, ran=rule.ran, ran_at=rule.ran_at, paused_why=rule.paused_why,
        created_at=rule.created_at, updated_at=rule.updated_at,
    )  # fmt: skip


def shown_rule(principal: Principal, rule: StandingRule) -> StandingRule | None:
    """A rule as somebody sees it who may not see all channels; None when it is for others alone. Pure."""
    channel_ids = rule.written.channel_ids
    seen = tuple(each for each in channel_ids if principal.may_see(each))
    if seen == channel_ids:
        return rule
    return replace(rule, written=rule.written.model_copy(update={"channel_ids": seen})) if seen else None


def maker_of(principal: Principal) -> Maker:
    """Who writes a rule down."""
    return Maker(principal.id, principal.channels)


def run_view(row: Document, rule_id: str) -> RuleRunView:
    """What a run says of one rule."""
    result = next(each for each in row["results"] if each["rule_id"] == rule_id)
    return RuleRunView(
        id=row["_id"], at=row["at"], event=row["event"], conversation_id=row.get("conversation_id"),
        outcome=result["outcome"], why=result.get("why") or "",
        steps=[StepView.model_validate(each) for each in result["steps"]],
    )  # fmt: skip


@operations("GET", "/automation-rules", roles=["viewer"], query=PageQuery, returns=list[AutomationRuleView])
async def list_automation_rules(call: Call) -> Any:
    """List rules in the order in which they are asked."""
    shown = [shown_rule(call.principal, each) for each in await call.runtime.automation_rules.all()]
    found, following = sliced([each for each in shown if each], lambda rule: rule.id, call.query)
    return page([rule_view(each) for each in found], following)


@operations(
    "POST", "/automation-rules", roles=["admin"], body=RuleInput, returns=AutomationRuleView, status=201
)  # fmt: skip
async def create_automation_rule(call: Call) -> Any:
    """Write a rule. It is asked after all others; 409 `name_taken` when there is one with this name.

    `when` is a rule of the one rule language, with `conversation.…`, `order.…` (the order the event is about, else
    the person's latest) and `event.…`. Conditions are judged when the rule acts, and once more for an answer.
    """
    refuse_scoped(call)
    return rule_view(await call.runtime.automation_rules.create(call.body, maker_of(call.principal)))


@operations(
    "PUT", "/automation-rules/order", roles=["admin"], body=AutomationRuleOrder, returns=list[AutomationRuleView]
)  # fmt: skip
async def order_automation_rules(call: Call) -> Any:
    """Say in which order rules are asked."""
    refuse_scoped(call)
    return page([rule_view(each) for each in await call.runtime.automation_rules.order(call.body.ids)], None)


@operations("GET", "/automation-rules/{id:arl}", roles=["viewer"], returns=AutomationRuleView)
async def get_automation_rule(call: Call) -> Any:
    """One rule."""
    return rule_view(await _seen(call))


@operations(
    "PATCH", "/automation-rules/{id:arl}", roles=["admin"], body=AutomationRulePatch, returns=AutomationRuleView
)  # fmt: skip
async def change_automation_rule(call: Call) -> Any:
    """Replace parts of a rule. From then on it reaches what its changer may see."""
    refuse_scoped(call)
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    if "actions" in given:
        given["actions"] = written(read_actions(given["actions"]))
    by = maker_of(call.principal)
    return rule_view(await call.runtime.automation_rules.change(call.path["id"], given, by))


@operations("DELETE", "/automation-rules/{id:arl}", roles=["admin"])
async def delete_automation_rule(call: Call) -> None:
    """Take a rule away; for 30 days it can be put back."""
    refuse_scoped(call)
    await call.runtime.automation_rules.remove(call.path["id"])


@operations("POST", "/automation-rules/{id:arl}/restore", roles=["admin"], returns=AutomationRuleView)
async def restore_automation_rule(call: Call) -> Any:
    """Undo a deletion."""
    refuse_scoped(call)
    return rule_view(await call.runtime.automation_rules.restore(call.path["id"]))


@operations(
    "GET", "/automation-rules/{id:arl}/runs", roles=["viewer"], query=PageQuery, returns=list[RuleRunView]
)  # fmt: skip
async def list_automation_rule_runs(call: Call) -> Any:
    """List when a rule was asked and what became of it, the latest first."""
    rule = await _seen(call)
    found = await call.runtime.rule_runs.page(
        rule.id, channels=call.principal.reach, limit=call.query.limit, cursor=call.query.cursor
    )
    return page([run_view(each, rule.id) for each in found.data], found.next_cursor)


@operations("POST", "/automation-rules/{id:arl}/try", roles=["agent"], body=TryBody, returns=TryView)
async def try_automation_rule(call: Call) -> Any:
    """Say what a rule would do on a conversation by now. Nothing is done."""
    rule = await _seen(call)
    talk = await call.runtime.conversations.get(call.body.conversation_id)
    if talk is None:
        raise not_there()
    call.must_see(talk.channel_id)
    row = await call.runtime.automation_rules.row(rule.id)
    tried = await call.runtime.rule_runner.try_out(row, talk.id)
    left = [MacroLeftView(type=kind, why=why, sentence=words) for kind, why, words in tried.actions if why]
    does = [kind for kind, why, _ in tried.actions if not why] if tried.fits else []
    return TryView(fits=tried.fits, why=tried.why, values=tried.values, does=does, left=left)


async def _seen(call: Call) -> StandingRule:
    found = shown_rule(call.principal, await call.runtime.automation_rules.get(call.path["id"]))
    if found is None:
        raise not_there()
    return found
