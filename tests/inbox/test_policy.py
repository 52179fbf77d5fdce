"""Windows, back-off and what may be repeated: values in, values out."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.capabilities import Capabilities, Idempotency
from channels.failures import CONSEQUENCES, Failure
from channels.vocabulary import Address, OutboundMessage, TemplateCall
from inbox.policy import (
    ECHO_WAIT,
    MAX_TRIES,
    TRIES_WITHIN,
    Attempt,
    AwaitEcho,
    Closed,
    End,
    Open,
    Retry,
    SendClass,
    after,
    backoff_s,
    rest_s,
    window,
    window_objection,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = Capabilities(text_limit=100, reply_window_s=86400, templates=True, template_outside_window=True)


TEMPLATE = TemplateCall(name="hello", language="en")


def said(template: TemplateCall | None = None, *, automatic: bool = True) -> OutboundMessage:
    to = Address(channel_id="chn_x", external_id="anna")
    return OutboundMessage(key="k", to=to, text="Hi", template=template, automatic=automatic)


@dataclass(frozen=True)
class Person:
    last_inbound_at: datetime | None
    window_sends: int = 0


@pytest.mark.parametrize(
    ("wrote", "is_open"),
    [
        (timedelta(0), True),
        (timedelta(hours=23, minutes=59, seconds=59), True),
        (timedelta(hours=24), False),
        (None, False),
    ],
)
def test_the_window_is_counted_from_their_last_message(wrote: timedelta | None, is_open: bool) -> None:
    person = Person(NOW - wrote if wrote is not None else None)
    assert isinstance(window(DAY, person, NOW, automatic=True), Open) is is_open
    assert (window_objection(DAY, person, NOW, said()) is None) is is_open
    assert window_objection(DAY, person, NOW, said(TEMPLATE)) is None


def test_a_quota_closes_the_window() -> None:
    five = DAY.model_copy(update={"window_quota": 5, "template_outside_window": False})
    assert isinstance(window(five, Person(NOW, 4), NOW, automatic=True), Open)
    closed = window(five, Person(NOW, 5), NOW, automatic=True)
    assert isinstance(closed, Closed) and closed.code == "window_quota"
    assert window_objection(five, Person(NOW, 5), NOW, said(TEMPLATE)) is not None
    assert window(Capabilities(text_limit=1), Person(None), NOW, automatic=True) == Open(None)


def test_a_person_may_answer_longer_than_a_machine() -> None:
    week = DAY.model_copy(update={"human_window_s": 7 * 86400, "template_outside_window": False})
    person = Person(NOW - timedelta(days=3))
    assert isinstance(window(week, person, NOW, automatic=True), Closed)
    assert isinstance(window(week, person, NOW, automatic=False), Open)
    assert window_objection(week, person, NOW, said()) is not None
    assert window_objection(week, person, NOW, said(automatic=False)) is None
    assert isinstance(window(week, Person(NOW - timedelta(days=7)), NOW, automatic=False), Closed)


failures = st.sampled_from(list(Failure))
classes: st.SearchStrategy[SendClass] = st.sampled_from(["marketing", "transactional", "service"])
kinds = st.sampled_from(list(Idempotency))
wishes: st.SearchStrategy[Literal["repeat", "leave"] | None] = st.sampled_from([None, "repeat", "leave"])


@given(
    failures, classes, kinds, st.integers(1, 9), st.integers(0, 30 * 3600), st.booleans(), st.integers(0, 999), wishes
)
def test_what_follows(
    failure: Failure, send_class: SendClass, kind: Idempotency, tries: int, age_s: int, uncertain: bool, seed: int,
    wish: Literal["repeat", "leave"] | None,
) -> None:  # fmt: skip
    first = NOW - timedelta(seconds=age_s)
    attempt = Attempt(failure, send_class, kind, tries, first, NOW, None, uncertain, wish)
    step = after(attempt, NOW, random.Random(seed))
    once = wish == "leave" or (wish is None and send_class == "marketing")
    if failure is Failure.UNCERTAIN and once and kind is not Idempotency.KEY:
        assert not isinstance(step, Retry), "a marketing send that may have gone out is never repeated"
    if failure is Failure.UNCERTAIN and wish == "repeat" and kind is not Idempotency.ECHO and isinstance(step, End):
        assert tries >= MAX_TRIES or age_s > 20 * 3600, "its author would rather have it twice than never"
    if isinstance(step, Retry):
        assert NOW < step.at <= first + TRIES_WITHIN
        assert failure is Failure.RATE_LIMITED or tries < MAX_TRIES
    if isinstance(step, AwaitEcho):
        assert kind is Idempotency.ECHO and step.until == NOW + ECHO_WAIT
    if isinstance(step, End):
        assert (step.state == "unknown") == (failure is Failure.UNCERTAIN or uncertain)
    if not CONSEQUENCES[failure].retry and failure is not Failure.UNCERTAIN:
        assert isinstance(step, End)


def test_an_echo_is_waited_for_once() -> None:
    attempt = Attempt(Failure.UNCERTAIN, "service", Idempotency.ECHO, 1, NOW, NOW)
    assert isinstance(after(attempt, NOW, random.Random(1)), AwaitEcho)
    assert isinstance(after(attempt, NOW + ECHO_WAIT, random.Random(1)), Retry)


@given(st.integers(1, 20), st.one_of(st.none(), st.floats(0, 7200)), st.integers(0, 999))
def test_nobody_comes_back_sooner_than_asked(tries: int, retry_after_s: float | None, seed: int) -> None:
    wait = backoff_s(tries, retry_after_s, random.Random(seed))
    assert wait >= max(1.0, retry_after_s or 0.0) or wait >= (retry_after_s or 0.0)
    assert wait <= max(4 * 3600.0, (retry_after_s or 0) * 1.1 + 1)


def test_an_account_rests_longer_the_longer_the_storm() -> None:
    rests = [rest_s(faults) for faults in (1, 7, 8, 16, 24, 400)]
    assert rests[:2] == [0, 0] and rests[2] > 0 and rests == sorted(rests) and rests[-1] <= 60
