"""Where the sealing keys come from, and what `replay` may choose."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from base.errors import Misconfigured, WrongInput
from base.secret_box import SecretBox
from base.settings import load
from rapport.keys import FILE, secret_box
from rapport.replay import chosen_deliveries


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    settings = load(data=tmp_path / "data")
    with pytest.raises(Misconfigured, match="RAPPORT_SECRET_KEYS"):
        secret_box(settings, create=False)
    token = secret_box(settings, create=True).seal("x", "c")
    assert secret_box(settings, create=False).open(token, "c") == "x"
    assert stat.S_IMODE((tmp_path / "data" / FILE).stat().st_mode) == 0o600


def test_keys_of_the_environment_win(tmp_path: Path) -> None:
    key = SecretBox.new_key()
    settings = load(data=tmp_path, secret_keys=(SecretStr(key),))
    token = secret_box(settings, create=True).seal("x", "c")
    assert not (tmp_path / FILE).exists()
    assert SecretBox([key]).open(token, "c") == "x"


def test_a_replay_needs_a_choice() -> None:
    with pytest.raises(WrongInput, match="--id"):
        chosen_deliveries()
    with pytest.raises(WrongInput, match="chn_"):
        chosen_deliveries(channel="$ne")


def test_choices_become_a_filter() -> None:
    channel = "chn_" + "0" * 26
    where = chosen_deliveries(channel=channel, state="dead", since=datetime(2026, 1, 2))  # noqa: DTZ001
    assert where == {
        "channel_id": channel, "state": "dead", "received_at": {"$gte": datetime(2026, 1, 2, tzinfo=UTC)},
    }  # fmt: skip
