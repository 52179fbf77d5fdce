"""Writing the database anew: cut short at any step the one or the other is whole, and the next start says which; a
server of one's own into an empty one, after which an erased person is in no byte of it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from base.errors import Misconfigured
from rapport import embedded
from rapport.embedded import COPY, FORMER, EmbeddedServers, Servers, end_swap, swap_in
from rapport.scrub import scrub_into

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the private servers need a POSIX system")


def dies_after(data: Path, steps: int) -> bool:
    """In a process of its own: end the scrub, killed before the n-th call that touches the disk. Whether it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    left = steps

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **more)

        return counted

    Path.rename, Path.unlink = dying(Path.rename), dying(Path.unlink)  # type: ignore[method-assign]
    os.unlink, os.rmdir = dying(os.unlink), dying(os.rmdir)
    embedded._sync, embedded._sync_tree = dying(embedded._sync), dying(embedded._sync_tree)
    try:
        swap_in(data, data / COPY / "mongod")
        end_swap(data)
    finally:
        os._exit(0)


def laid_out(data: Path) -> Path:
    for folder, content in (("mongod", "old"), ("scrub/mongod", "new")):
        (data / folder / "db").mkdir(parents=True)
        for name in ("a.wt", "b.wt"):
            (data / folder / "db" / name).write_text(content)
    (data / "valkey").mkdir()
    (data / "valkey" / "dump.rdb").write_text("bells")
    return data


def whole(data: Path) -> str:
    """Which database stands there, all of it."""
    (content,) = {(data / "mongod" / "db" / name).read_text() for name in ("a.wt", "b.wt")}
    return content


def test_killed_at_each_step_of_the_swap_one_of_the_two_is_whole_and_it_is_said(tmp_path: Path) -> None:
    seen: list[tuple[str, str | None]] = []
    for steps in range(60):
        data = laid_out(tmp_path / str(steps))
        if dies_after(data, steps):
            assert whole(data) == "new" and not (data / FORMER).exists() and not (data / COPY).exists()
            break
        said = end_swap(data)
        seen.append((whole(data), said))
        assert not (data / FORMER).exists() and not (data / COPY).exists()
        assert end_swap(data) is None, "once"
    else:
        pytest.fail("it never came to its end")
    assert [content for content, _ in seen] == sorted((content for content, _ in seen), reverse=True)  # old …, new …
    assert {content for content, _ in seen} == {"old", "new"} and len(seen) >= 10
    for content, said in seen[:-1]:
        assert said is not None and ("unchanged" in said or "nothing has changed" in said) == (content == "old"), said


@pytest.mark.timeout(180)
async def test_the_real_database_starts_after_a_death_between_the_two_renames(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder, word in ((data, "old"), (data / COPY, "new")):
        server = EmbeddedServers(folder, redis=False)
        started = await server.start()
        async with AsyncMongoClient[dict[str, str]](started.mongo_url) as client:
            await client.rapport.words.insert_one({"_id": word})
        await server.stop()
    embedded._sync_tree(data / COPY / "mongod")
    (data / "mongod").rename(data / FORMER)  # and here it died
    assert await words(data) == (["old"], "put back")
    server = EmbeddedServers(data / COPY, redis=False)
    started = await server.start()
    async with AsyncMongoClient[dict[str, str]](started.mongo_url) as client:
        await client.rapport.words.insert_one({"_id": "new"})
    await server.stop()
    swap_in(data, data / COPY / "mongod")  # and here, before the former one was deleted
    assert await words(data) == (["new"], "at its end")
    assert await words(data) == (["new"], "")


async def words(data: Path) -> tuple[list[str], str]:
    server = EmbeddedServers(data, redis=False)
    started = await server.start()
    try:
        async with AsyncMongoClient[dict[str, str]](started.mongo_url) as client:
            found = [row["_id"] async for row in client.rapport.words.find({})]
        said = server.mended or ""
        told = "put back" if "in place again" in said else "at its end" if "at its end" in said else ""
        assert told or not said
        return found, told
    finally:
        await server.stop()


# -- a MongoDB of one's own --------------------------------------------------------------------------------


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Servers, Servers]]:
    """Two replica sets of one that somebody else looks after."""
    present = EmbeddedServers(tmp_path / "present", redis=False)
    empty = EmbeddedServers(tmp_path / "empty", redis=False)
    yield await present.start(), await empty.start()
    await present.stop()
    await empty.stop()


def files_with(folder: Path, word: str) -> list[str]:
    return [str(each) for each in folder.rglob("*") if each.is_file() and word.encode() in each.read_bytes()]


@pytest.mark.timeout(180)
async def test_a_server_of_ones_own_is_written_into_an_empty_one(tmp_path: Path, two: tuple[Servers, Servers]) -> None:
    canary, other = secrets.token_hex(20), secrets.token_hex(20)
    old, new = two
    async with AsyncMongoClient[dict[str, str]](old.mongo_url) as client:
        rows = client.own.rows
        await rows.create_index("word", name="word")
        await rows.insert_many([{"_id": "gone", "word": canary}, {"_id": "stays", "word": other}])
        await rows.delete_one({"_id": "gone"})
        await client.admin.command("fsync", 1)
    with pytest.raises(Misconfigured, match="the one that is used now"):
        await scrub_into(old.mongo_url, old.mongo_url, "own", print)
    done = await scrub_into(old.mongo_url, new.mongo_url, "own", print)
    assert done.documents == 1
    async with AsyncMongoClient[dict[str, str]](new.mongo_url) as client:
        assert [row["word"] async for row in client.own.rows.find({})] == [other]
        assert "word" in await client.own.rows.index_information()
        await client.admin.command("fsync", 1)
    with pytest.raises(Misconfigured, match="has to be empty"):
        await scrub_into(old.mongo_url, new.mongo_url, "own", print)
    assert files_with(tmp_path / "present", canary), "must be findable before, or its absence proves nothing"
    assert not files_with(tmp_path / "empty", canary) and files_with(tmp_path / "empty", other)


def asked(folder: Path, *words: str, **settings: str) -> tuple[int, str]:
    """What `rapport scrub` answers to these words, in a process of its own: exit code and all it says."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **settings}
    done = subprocess.run(
        [sys.executable, "-m", "rapport", "scrub", "--data", str(folder), *words], env=env, cwd=folder,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(180)
async def test_the_command_line_writes_anew_and_says_what_comes_next(
    tmp_path: Path, two: tuple[Servers, Servers]
) -> None:  # fmt: skip
    old, new = two
    async with AsyncMongoClient[dict[str, str]](old.mongo_url) as client:
        await client.own.rows.insert_many([{"_id": "a"}, {"_id": "b"}])
    own = {"RAPPORT_MONGO_URL": old.mongo_url, "RAPPORT_DATABASE": "own"}
    code, said = await asyncio.to_thread(asked, tmp_path, **own)
    assert code == 1 and "give an empty server with --into" in said
    code, said = await asyncio.to_thread(asked, tmp_path, "--into", old.mongo_url, **own)
    assert code == 1 and "is the one that is used now" in said
    code, said = await asyncio.to_thread(asked, tmp_path, "--into", new.mongo_url, **own)
    assert code == 0 and "2 documents in" in said and "Now set RAPPORT_MONGO_URL to the new server" in said
    assert "Traceback" not in said and old.mongo_url not in said and new.mongo_url not in said
    async with AsyncMongoClient[dict[str, str]](new.mongo_url) as client:
        assert [row["_id"] async for row in client.own.rows.find({}).sort("_id", 1)] == ["a", "b"]
    code, said = await asyncio.to_thread(asked, tmp_path, "--into", new.mongo_url, **own)
    assert code == 1 and "has to be empty" in said
    code, said = await asyncio.to_thread(asked, tmp_path, "--into", new.mongo_url)
    assert code == 1 and "the private one needs no other" in said
