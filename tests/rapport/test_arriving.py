"""How far the demo's past is: told by one process, read by another, and forgotten when the teller is gone."""

import os
import time
from pathlib import Path

import pytest

from rapport import arriving


def test_it_is_told_until_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "LOOK_S", 0)
    percent = arriving.reader(tmp_path)
    assert percent() is None
    for step in (0, 62):
        arriving.tell(tmp_path, step)
        assert percent() == step
    arriving.tell(tmp_path, 100)
    arriving.tell(tmp_path, 100)
    assert percent() is None and not list(tmp_path.iterdir())


def test_a_loader_that_is_no_more_says_nothing(tmp_path: Path) -> None:
    arriving.tell(tmp_path, 40)
    old = time.time() - arriving.ALIVE_S - 1
    os.utime(tmp_path / arriving.FILE, (old, old))
    assert arriving.reader(tmp_path)() is None
    (tmp_path / arriving.FILE).write_text("nonsense")
    assert arriving.reader(tmp_path)() is None
