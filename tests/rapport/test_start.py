"""What `up` says when a port is taken: one sentence at once, before a server is started."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from base.errors import Misconfigured
from base.settings import load
from rapport import ports, start
from rapport.app import mail_address

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        yield int(somebody.getsockname()[1])


async def ended(*arguments: str, **settings: str) -> tuple[int | None, str]:
    """Exit code and words of a command that cannot do its work."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rapport", *arguments, cwd=ROOT, env={**environment, **settings},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(90):
        words, _ = await process.communicate()
    return process.returncode, words.decode()


async def test_up_on_a_taken_port_starts_nothing(taken: int, tmp_path: Path) -> None:
    code, words = await ended("up", "--port", str(taken), "--data", str(tmp_path / "data"))
    assert code == 1 and words.startswith(f"rapport: Port {taken} on 127.0.0.1 cannot be used"), words
    assert "--port" in words and "Traceback" not in words
    assert not (tmp_path / "data").exists()


async def test_a_taken_port_for_mail_that_somebody_chose_is_said_too(
    taken: int, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    given = {"RAPPORT_MAIL_LISTEN": f"127.0.0.1:{taken}"}
    code, words = await ended("up", "--port", str(free_port()), "--data", str(tmp_path / "data"), **given)
    assert code == 1 and f"Port {taken}" in words and "RAPPORT_MAIL_LISTEN" in words, words
    assert not (tmp_path / "data").exists()


async def test_web_on_a_taken_port_ends_with_a_sentence(taken: int, tmp_path: Path) -> None:
    given = {"RAPPORT_MONGO_URL": "mongodb://127.0.0.1:9/", "RAPPORT_REDIS_URL": "redis://127.0.0.1:9/"}
    code, words = await ended("web", "--port", str(taken), "--data", str(tmp_path), **given)
    assert code == 1 and f"Port {taken}" in words and "Traceback" not in words, words


def test_a_second_up_on_the_machine_takes_mail_elsewhere(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "MAIL_PORT", taken)
    listen = start._for_one_machine(load(), demo=False).mail_listen
    assert listen is not None and mail_address(listen)[1] != taken


def test_what_can_and_what_cannot_be_listened_on(taken: int, free_port: Callable[[], int]) -> None:
    assert ports.objection("127.0.0.1", free_port()) is None
    assert ports.objection("127.0.0.1", 0) is None
    assert ports.objection("127.0.0.1", taken)
    assert ports.objection("no-such-host.invalid", 8080)


@pytest.mark.parametrize("listen", ["", "8025", "127.0.0.1:", "127.0.0.1:smtp"])
def test_an_address_for_mail_that_is_none(listen: str) -> None:
    with pytest.raises(Misconfigured, match="looks like"):
        mail_address(listen)
