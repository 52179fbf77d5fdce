"""Settings: one clear sentence for each fault."""

from pathlib import Path

import pytest

from base.errors import Misconfigured
from base.settings import load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env` of the developer's."""
    monkeypatch.chdir(tmp_path)


def test_defaults_are_enough() -> None:
    assert load().port == 8080


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RAPPORT_PORT", "many", "RAPPORT_PORT"),
        ("RAPPORT_BASE_URL", "rapport.example", "needs http:// or https://"),
        ("RAPPORT_TIME_ZONE", "Mars/Olympus", "IANA"),
        ("RAPPORT_ALLOW_PRIVATE_ADDRESSES", "everything", "127.0.0.0/8"),
        ("RAPPORT_COLOUR", "red", "RAPPORT_COLOUR is not a setting"),
    ],
)
def test_a_fault_names_the_variable_and_the_help(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as caught:
        load()
    assert expected in str(caught.value)


def test_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_PORT", "1234")
    assert load(port=4321).port == 4321


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_MONGO_URL", "mongodb://u:pass@db/")
    assert "pass" not in repr(load())
