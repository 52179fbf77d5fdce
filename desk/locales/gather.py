"""Finds every sentence that has to be translated: in the desk's code and templates, and in the tables of the domain.

`python -m desk.locales.gather` writes what is missing into each catalogue, empty, for a person to fill in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from channels.adapter import settings_schema
from channels.failures import CONSEQUENCES
from channels.registry import adapter_classes
from desk.i18n import LANGUAGES, SOURCE
from inbox.acts import NOT_FOR_BOTS
from profiles.joining import OBJECTIONS

DESK = Path(__file__).resolve().parent.parent
LOCALES = DESK / "locales"
METHODS = [("api/**", "ignore"), ("**.py", "python"), ("templates/**.html", "jinja2")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None, "NN_": (1, 2)}
OPTIONS = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "newstyle_gettext": "true"}}

#: What a person may read of a fault: the sentences given to these, in these packages.
SAYING = frozenset(
    {"WrongInput", "NotFound", "Refused", "Conflict", "TooMany", "TooLarge", "Unavailable", "Unauthenticated",
     "FieldError", "UnknownOrder", "Unreadable", "Problem", "Reason", "Closed", "Skip", "Defer", "TooSlow", "in_time",
     "N_", "NewerMessages"}
)  # fmt: skip
PACKAGES = ("desk", "campaigns", "inbox", "orders", "profiles", "channels/store.py", "webhooks/outgoing")

Found = tuple[str | tuple[str, ...], str]


def from_desk() -> Iterator[Found]:
    """(message, place) of the desk's own sentences."""
    found = extract_from_dir(str(DESK), method_map=METHODS, options_map=OPTIONS, keywords=KEYWORDS)
    for file_name, _, message, _, _ in found:
        yield message, f"desk/{file_name}"


def from_domain() -> Iterator[Found]:
    """(message, place) of sentences that stand in tables below the desk: failures, objections to a merge, why a bot
    takes nothing, the providers' cards."""
    for consequence in CONSEQUENCES.values():
        yield consequence.sentence, "channels/failures.py"
    yield from ((sentence, "profiles/joining.py") for sentence in OBJECTIONS.values())
    yield from ((sentence, "inbox/acts.py") for sentence in NOT_FOR_BOTS.values())
    for name, adapter in adapter_classes().items():
        card, place = adapter.card, f"channels/providers/{name}"
        yield from ((text, place) for text in (card.label, card.summary, *(step.text for step in card.steps)))
        for field in settings_schema(card).get("properties", {}).values():
            yield from ((str(field[key]), place) for key in ("title", "description") if field.get(key))


def from_faults() -> Iterator[Found]:
    """(message, place) of every constant sentence in an error or a reason that the desk may show."""
    for package in PACKAGES:
        place = DESK.parent / package
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            if "api" not in path.parts:
                yield from ((sentence, package) for sentence in _sentences(ast.parse(path.read_text("utf-8"))))


def _sentences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SAYING:
            for given in (*node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(given, ast.Constant) and isinstance(given.value, str) and " " in given.value:
                    yield given.value


def template() -> Catalog:
    """Everything there is to say."""
    catalog = Catalog(project="Rapport", charset="utf-8", fuzzy=False)
    for message, place in (*from_desk(), *from_domain(), *from_faults()):
        catalog.add(message, locations=[(place, 0)])
    return catalog


def read(language: str) -> Catalog:
    """A language's catalogue as it stands."""
    with (LOCALES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


def missing(catalog: Catalog) -> list[str]:
    """Sentences without a translation, or with one that a person has to look at again."""
    found = []
    for message in catalog:
        forms = message.string if isinstance(message.string, list | tuple) else [message.string]
        if message.id and (message.fuzzy or not all(forms)):
            found.append(str(message.id))
    return found


def update(language: str) -> int:
    """Add what is new, drop what nobody says any more; how many sentences are still empty."""
    catalog = read(language)
    catalog.update(template(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    with (LOCALES / language / "LC_MESSAGES" / "messages.po").open("wb") as file:
        write_po(file, catalog, width=110, no_location=True, sort_output=True, omit_header=False)
    return len(missing(catalog))


def main() -> None:
    """Bring every catalogue up to date."""
    for language in LANGUAGES:
        if language != SOURCE:
            print(language, update(language), "still empty")  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
