"""What is wrong with a journey is said in the reader's language, whatever it is."""

import ast
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import campaigns
from base.clock import now
from base.errors import FieldError
from campaigns.untracked import untracked
from desk.i18n import Formats
from desk.pages.journey_faults import fault_words

HOUSE = Path(campaigns.__file__).parent
#: Where the sentences about a definition come from.
SPEAKERS = ("models.py", "recurrence.py", "wallclock.py", "untracked.py", "validate.py", "journeys.py")
#: What carries a sentence as its first word.
RAISED = ("ValueError", "UndefinedError", "Forbidden", "TooMuch")
#: Sentences of the API about a call and not about a journey.
OF_CALLS = ("is one of", "is larger than")


def said(node: ast.expr) -> str:
    """A text of the source; what is filled in stands as `segment`, which is one of the things that are named."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "segment" for each in node.values)
    return ""


def sentences(file: str) -> set[str]:
    """Texts given to `FieldError` and to what is raised."""
    found = set()
    for node in ast.walk(ast.parse((HOUSE / file).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = {"FieldError": 1, **dict.fromkeys(RAISED, 0)}.get(node.func.id)
            if place is not None and len(node.args) > place:
                found.add(said(node.args[place]))
    return found - {""}


@pytest.mark.parametrize("file", SPEAKERS)
def test_every_fault_has_words_of_the_desk(file: str) -> None:
    formats = Formats("en", ZoneInfo("UTC"), now())
    plain = {
        each: fault_words(FieldError("steps[0].x", each), formats)
        for each in sentences(file) if not each.startswith(OF_CALLS)
    }  # fmt: skip
    assert plain or file == "untracked.py"
    assert [each for each, words in plain.items() if words.startswith("This does not fit")] == []


def test_what_looks_at_links_and_openings_is_found() -> None:
    draft = {
        "trigger": {"type": "message", "what": "opened"},
        "goal": {"when": {"any": [{"event": "message.clicked"}, {"event": "order.paid"}]}},
        "steps": [
            {"id": "w", "type": "wait_event", "any": [{"event": "message.replied"}, {"event": "message.clicked"}]},
            {"id": "p", "type": "split", "winner": {"metric": "opened"}},
            {"id": "n", "type": "note", "text": "clicked"},
        ],
    }
    found = {each.path: each.message.split()[0] for each in untracked(draft, ())}
    assert found == {
        "trigger.what": "openings", "goal.when.any[0].event": "links", "steps[0].any[1].event": "links",
        "steps[1].winner.metric": "openings",
    }  # fmt: skip
    assert {each.path for each in untracked(draft, {"clicked"})} == {"trigger.what", "steps[1].winner.metric"}
    assert untracked(draft, {"clicked", "opened"}) == []
    formats = Formats("en", ZoneInfo("UTC"), now())
    assert {fault_words(each, formats).split()[0] for each in untracked(draft, ())} == {"Links", "Openings"}
