"""Tasks that nobody wrote are said in the reader's language, by their code."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from base.clock import now
from campaigns.automation.running import RULE_PAUSED
from campaigns.broadcasts.minding import STOPPED as BROADCAST_STOPPED
from campaigns.policies.stopping import STOPPED as STEP_STOPPED
from campaigns.recipes import recipes
from desk.i18n import Formats
from desk.pages.broadcast_words import stopped_words
from desk.pages.journey_steps import LEFT_FOR, left_words
from desk.pages.task_words import CODES, task_place, task_words
from webhooks.outgoing.standing import SWITCHED_OFF

FIGURES = {"failed": 1200, "ended": 2400, "minutes": 10}


def reader(language: str) -> Formats:
    return Formats(language, ZoneInfo("UTC"), now())


def task(code: str, kind: str) -> dict[str, Any]:
    params = {"name": "Spring", "step": "hello", **FIGURES}
    return {
        "_id": "tsk_1",
        "text": "English words.",
        "source": {"kind": kind, "id": "x", "code": code, "params": params},
    }


@pytest.mark.parametrize(("code", "kind"), [(BROADCAST_STOPPED, "broadcast"), (STEP_STOPPED, "journey")])
def test_what_the_breaker_says_is_said_in_the_readers_language(code: str, kind: str) -> None:
    english = task_words(task(code, kind), {}, reader("en"))
    chinese = task_words(task(code, kind), {}, reader("zh_CN"))
    assert "“Spring”" in english and "1,200 of 2,400" in english
    assert "Spring" in chinese and "1,200" in chinese and "people" not in chinese and "messages" not in chinese
    assert task_place(task(code, kind)) in ("/broadcasts/x", "/settings/sending")


@pytest.mark.parametrize("code", SWITCHED_OFF.values())
def test_that_an_endpoint_was_switched_off_is_said_in_the_readers_language(code: str) -> None:
    told = {"_id": "tsk_1", "text": "English words.", "source": {
        "kind": "webhook_endpoint", "id": "whk_1", "code": code, "params": {"url": "https://shop.example/in"},
    }}  # fmt: skip
    english, chinese = (task_words(told, {}, reader(language)) for language in ("en", "zh_CN"))
    assert "https://shop.example/in" in english and "https://shop.example/in" in chinese
    assert "switched off" in english and "switched off" not in chinese
    assert task_place(told) == "/settings/webhooks/whk_1"


def test_that_a_rule_ran_in_circles_is_said_in_the_readers_language() -> None:
    source = {"kind": "rule", "id": "arl_1", "code": RULE_PAUSED, "params": {"name": "Spring"}}
    told = {"_id": "tsk_1", "text": "English words.", "source": source}
    english, chinese = (task_words(told, {}, reader(language)) for language in ("en", "zh_CN"))
    assert "“Spring” ran in circles" in english and "Spring" in chinese and "circles" not in chinese
    assert task_place(told) == "/settings/automation/arl_1"


def test_every_code_has_its_test() -> None:
    assert set(CODES) == {BROADCAST_STOPPED, STEP_STOPPED, RULE_PAUSED, *SWITCHED_OFF.values()}


def test_what_somebody_wrote_stays_as_it_is_written() -> None:
    own = {"_id": "tsk_2", "text": "Call Mei", "source": {"kind": "journey", "id": "jrn_1", "step": "task"}}
    assert task_words(own, {}, reader("zh_CN")) == "Call Mei" and task_place(own) == ""


def test_why_a_broadcast_has_stopped_names_its_own_figures() -> None:
    assert "12 of 40 messages failed within 30 minutes" in stopped_words(
        {"failed": 12, "ended": 40, "minutes": 30}, reader("en")
    )
    assert stopped_words(None, reader("en")).startswith("It stopped by itself")


def test_why_recipes_end_a_run_is_said_in_the_readers_language() -> None:
    steps = [step for each in recipes() for step in each.journey["steps"]]
    reasons = {step["reason"] for step in steps if step["type"] == "exit" and "reason" in step}
    assert reasons <= set(LEFT_FOR) and left_words("my_own_reason", reader("en")) == "My own reason"
    assert all(left_words(each, reader("zh_CN")) != left_words(each, reader("en")) for each in reasons)
