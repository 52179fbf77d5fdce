"""What differs between two versions, in words; what is wrong with a draft, in words."""

from base.clock import now
from base.errors import FieldError
from campaigns.definition import read
from desk.i18n import Formats, zone_of
from desk.pages.journey_diff import changes
from desk.pages.journey_faults import fault_words

FORMATS = Formats("en", zone_of("UTC"), now())
BEFORE = {
    "name": "One", "trigger": {"type": "order", "status": "paid"}, "steps": [
        {"id": "w", "type": "wait", "for": "P3D", "next": "b"},
        {"id": "b", "type": "branch", "cases": [{"when": {"field": "score", "op": "gte", "value": 5}, "next": "t"}]},
        {"id": "t", "type": "task", "text": "Call", "name": "Phone"},
    ],
}  # fmt: skip
AFTER = {
    "name": "Two", "trigger": {"type": "order", "status": "delivered"}, "class": "service", "steps": [
        {"id": "w", "type": "wait", "for": "P5D", "next": "b"},
        {"id": "b", "type": "branch", "cases": [{"when": {"field": "score", "op": "gte", "value": 5}, "next": "x"}]},
        {"id": "x", "type": "exit", "reason": "done"},
    ],
}  # fmt: skip


def test_steps_that_came_went_and_changed_are_said():
    found = [(each.how, each.what, each.words) for each in changes(BEFORE, AFTER, {}, FORMATS)]
    assert found == [
        ("changed", "What starts it", "When the order is paid → When the order is delivered"),
        ("changed", "Name", "One → Two"),
        ("changed", "Messages are", ""),
        ("changed", "Wait", "for 3 days → for 5 days"),
        ("changed", "Branch", "leads elsewhere"),
        ("added", "Exit", "Done"),
        ("removed", "Phone", "Call"),
    ]
    assert changes(AFTER, AFTER, {}, FORMATS) == []


def test_a_setting_without_words_is_named():
    old, new = (
        {"steps": [{"id": "s", "type": "send", "template_id": "t", "if_failed": each}]} for each in ("exit", "continue")
    )
    (found,) = changes(old, new, {}, FORMATS)
    assert found.words == "If it fails, the person"


def test_faults_of_an_empty_draft_are_said_in_plain_words():
    raw = {"trigger": {"type": "event"}, "steps": [
        {"id": "s", "type": "send"}, {"id": "w", "type": "wait"}, {"id": "b", "type": "branch", "cases": [{}]},
        {"id": "u", "type": "update"}, {"id": "t", "type": "task"}, {"id": "e", "type": "wait_event", "any": []},
        {"id": "c", "type": "send", "content": {}}, {"id": "x", "type": "wait", "until": {}},
        {"id": "l", "type": "send", "content": {"text": "x"}, "utm": {"source": "{nobody}", "term": "x" * 201}},
    ]}  # fmt: skip
    reading = read(raw)
    for fault in (*reading.faults, *reading.missing):
        assert not fault_words(fault, FORMATS).startswith("This does not fit"), fault
    assert fault_words(FieldError("x", "is odd"), FORMATS) == "This does not fit: is odd"
