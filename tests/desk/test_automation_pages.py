"""Settings → Macros and Automation, and a macro run from a conversation, all without a script."""

import re

from campaigns.automation.models import MacroInput
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote

MACROS, RULES = "/settings/macros", "/settings/automation"
#: A condition as the form of segments sends it.
OPEN = {
    "f/when~r:what": "group", "f/when~r:join": "all",
    "f/when~r.0:what": "attributes.this-run.conversation.status", "f/when~r.0:type": "text", "f/when~r.0:op": "eq",
    "f/when~r.0:value": "open",
}  # fmt: skip


async def test_a_macro_is_put_together_changed_and_taken_away(desk: Desk) -> None:
    person = await desk.person()
    assert "No macros yet" in await person.page(MACROS)
    form = {"name": "Refund", "scope": "everybody"}
    page = await person.post(f"{MACROS}/new", 200, **form, act="new", kind="reply")
    assert 'name="f/actions/0/text"' in page and 'value="reply"' in page
    typed = {**form, "f/actions/0:type": "reply", "f/actions/0/text": "On its way <b>"}
    page = await person.post(f"{MACROS}/new", 200, **typed, act="new", kind="status")
    assert 'value="status"' in page and "On its way &lt;b&gt;" in page
    both = {**typed, "f/actions/1:type": "status", "f/actions/1/status": "resolved"}
    page = await person.post(f"{MACROS}/new", 200, **both, act="up:f/actions/1")
    assert page.index('value="status"') < page.index('value="reply"')
    page = await person.post(f"{MACROS}/new", 422, name="Refund", scope="me", act="save")
    assert "Choose at least one action" in page
    faulty = {**both, "f/actions/0/text": "{{ event.name }}"}
    page = await person.post(f"{MACROS}/new", 422, **faulty, act="save")
    assert "knows profile, order, agent and conversation" in page and 'value="status"' in page
    here = await person.post(f"{MACROS}/new", **both, act="save")
    here = here.partition("?")[0]
    page = await person.page(MACROS)
    assert "Answer the customer: On its way &lt;b&gt;" in page and "Set its state: Resolved" in page
    page = await person.post(here, 200, **both, act="less:f/actions/0")
    assert "On its way" not in page and 'name="f/actions/0:type" value="status"' in page
    page = await person.post(f"{MACROS}/new", 422, **{**both, "name": "refund"}, act="save")
    assert "There is a macro with this name already" in page
    viewer = await desk.person("viewer", name="Vi Viewer")
    assert 'data-testid="save"' not in await viewer.page(here)
    await viewer.post(f"{here}/remove", 403)
    assert 'data-testid="undo"' in await person.page(await person.post(f"{here}/remove"))
    assert await person.post(f"{here}/restore") == here


async def test_a_macro_runs_from_a_conversation_and_is_taken_back(desk: Desk) -> None:
    shop, person = await channel(desk.runtime, name="Shop account"), await desk.person()
    talk = await wrote(desk.runtime, shop, "mo", name="Mo Meyer")
    task = {"type": "task", "text": "Look"}
    actions = [{"type": "labels", "add": ["refund"]}, {"type": "assign", "to": "owner"}, task]
    macro = await desk.runtime.macros.create(
        MacroInput.model_validate({"name": "Refund by macro", "actions": actions}), "usr_x"
    )
    page = await person.page(f"/inbox/{talk.id}")
    (run,) = re.findall(r'name="run" value="(act_[0-9a-z]{26})"', page)
    assert "Refund by macro" in page
    for _ in range(2):
        led = await person.post(f"/inbox/{talk.id}/macro", macro=macro.id, run=run)
        assert led == f"/inbox/{talk.id}?did={run}"
    page = await person.page(led)
    assert "Macro Refund by macro: Make a task · Label: refund" in page
    assert "Left: Give it to somebody (nobody was found)" in page
    assert (await desk.runtime.conversations.get(talk.id)).labels == ("refund",)
    led = await person.post(f"/inbox/acts/{run}/undo", back=f"/inbox/{talk.id}")
    assert "Taken back: Macro Refund by macro" in await person.page(led)
    assert (await desk.runtime.conversations.get(talk.id)).labels == ()
    await (await desk.person("viewer", name="Vi Viewer")).post(f"/inbox/{talk.id}/macro", 403, macro=macro.id)


async def test_a_macro_runs_on_all_that_a_list_finds(desk: Desk) -> None:
    shop, person = await channel(desk.runtime, name="Many account"), await desk.person()
    talks = [await wrote(desk.runtime, shop, f"many{n}", name=f"Many {n}") for n in range(3)]
    actions = [{"type": "labels", "add": ["many"]}, {"type": "task", "text": "Look"}, {"type": "ask_rating"}]
    macro = await desk.runtime.macros.create(
        MacroInput.model_validate({"name": "Many at once", "actions": actions}), "usr_x"
    )
    page = await person.page(f"/inbox?channel={shop.id}&view=all&select=1")
    (run,) = re.findall(r'name="run" value="(act_[0-9a-z]{26})"', page)
    assert "Many at once" in page and 'data-testid="bulk-run"' in page
    chosen = {"where": f"channel={shop.id}&view=all", "all": "1", "run_macro": "1", "run": run}
    await person.post("/inbox/bulk", 422, **chosen)
    for _ in range(2):
        led = await person.post("/inbox/bulk", **chosen, macro=macro.id)
        assert led.endswith(f"did={run}")
    page = await person.page(led)
    assert "Macro Many at once · " in page and "3 conversations" in page
    assert "in 3 something was left (Ask for a rating: ratings are switched off)" in page
    assert {(await desk.runtime.conversations.get(each.id)).labels for each in talks} == {("many",)}
    led = await person.post(f"/inbox/acts/{run}/undo", back="/inbox")
    assert "Taken back: Macro Many at once" in await person.page(led)
    assert {(await desk.runtime.conversations.get(each.id)).labels for each in talks} == {()}
    theirs = {"conversation_id": {"$in": [each.id for each in talks]}, "state": "open"}
    assert await desk.runtime.db.handle["tasks"].count_documents(theirs) == 0


async def test_a_rule_is_written_ordered_switched_tried_and_taken_away(desk: Desk) -> None:
    shop, person = await channel(desk.runtime, name="Rules account"), await desk.person("admin", name="Ada Admin")
    talk = await wrote(desk.runtime, shop, "nora", "Please help", name="Nora Nilsson")
    assert "No rules yet" in await person.page(RULES)
    page = await person.page(f"{RULES}/new")
    assert "When a customer writes" in page
    assert "Conversations for which" in page and "People for whom" not in page
    page = await person.post(f"{RULES}/new", 200, **{"name": "Timed", "f/on:type": "timed"}, act="preview")
    assert 'name="f/on/after:n" value="15"' in page
    page = await person.post(f"{RULES}/new", 200, **{"name": "x", "f/on:type": "event"}, act="add:f/when~r")
    assert "f/when~r.0:what" in page
    action = {"f/actions/0:type": "labels", "f/actions/0/add": "vip, 退款"}
    rule = {"name": "Greet", "active": "1", "f/on:type": "event", "f/on/event": "message.received", **action, **OPEN}
    unfinished = {**rule, "f/when~r.0:value": ""}
    page = await person.post(f"{RULES}/new", 422, **unfinished, act="save")
    assert "Fill in what is missing" in page
    here = (await person.post(f"{RULES}/new", **rule, act="save")).partition("?")[0]
    page = await person.page(RULES)
    assert "When a customer writes" in page and "Only if: state of the conversation is" in page
    assert "Change labels: vip, 退款" in page and "has not fitted yet" in page
    made = await desk.runtime.automation_rules.get(here.rpartition("/")[2])
    assert made.written.kept()["when"] == {"all": [{"field": "conversation.status", "op": "eq", "value": "open"}]}
    assert 'value="open"' in await person.page(here)

    timed = {"f/on:type": "timed", "f/on/what": "waiting", "f/on/after:n": "1", "f/on/after:unit": "minutes"}
    other = (await person.post(f"{RULES}/new", name="Second", act="save", **timed, **action)).partition("?")[0]
    page = await person.page(RULES)
    assert "When the customer waits for our answer for 1 minute" in page and page.index("Greet") < page.index("Second")
    assert await person.post(f"{other}/up") == RULES
    page = await person.page(RULES)
    assert page.index("Second") < page.index("Greet") and 'data-testid="switch-on"' in page
    await person.post(f"{here}/switch")
    assert 'data-testid="switch-off"' not in await person.page(RULES)
    await person.post(f"{here}/switch", on="1")

    assert "Nora Nilsson" in await person.page(f"{here}/try")
    page = await person.page(f"{here}/try?other=/inbox/{talk.id}")
    assert "It fits" in page and "Change labels" in page
    assert "Not asked yet" in await person.page(f"{here}/runs")
    while await desk.runtime.reactor.react(500) + await desk.runtime.rule_runner.drain(100):
        pass
    await wrote(desk.runtime, shop, "nora", "Again", name="Nora Nilsson", minutes_ago=0)
    while await desk.runtime.reactor.react(500) + await desk.runtime.rule_runner.drain(100):
        pass
    page = await person.page(f"{here}/runs")
    assert "Nora Nilsson" in page and "Done" in page and "→ Change labels" in page
    page = await person.page(f"/inbox/{talk.id}")
    assert "Greet" in page, "its line names the rule"
    for path in (RULES, here, f"{here}/runs"):
        page = await (await desk.person("viewer", name="Vi Viewer")).page(path)
        assert 'data-testid="save"' not in page and 'data-testid="up"' not in page
    await (await desk.person(name="Bo Agent")).post(f"{here}/remove", 403)
    assert 'data-testid="undo"' in await person.page(await person.post(f"{here}/remove"))
    assert await person.post(f"{here}/restore") == here
