"""The page of all channels is what the providers say of themselves."""

import pytest

from channels.quality import PAGE, page, rules_of
from channels.registry import adapter_classes


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(adapter_classes().values()), "run python -m channels.quality"


def test_every_provider_has_a_list_without_gaps() -> None:
    text = page(adapter_classes().values())
    for adapter in adapter_classes().values():
        assert text.count(f"| [{adapter.card.label}](") >= 1, adapter.card.provider


@pytest.mark.parametrize("readme", ["", "| rule | state | note |\n|---|---|---|\n| text | maybe | |\n"])
def test_a_list_that_is_none_is_refused(readme: str) -> None:
    with pytest.raises(ValueError, match=r"no table|maybe"):
        rules_of(readme)


def test_a_list_ends_with_its_table() -> None:
    lines = ["# X", "| a | b |", "|---|---|", "| 1 | 2 |", "", "| rule | state | note |", "|---|---|---|"]
    lines += ["| text | done | |", "| x | exempt | no \\| way |", "", "| y | todo | |"]
    assert [(rule.name, rule.state) for rule in rules_of("\n".join(lines))] == [("text", "done"), ("x", "exempt")]
