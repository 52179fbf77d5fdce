"""The private servers: fast, closed to strangers, brought back when killed, data kept, nothing left over."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure
from redis.asyncio import Redis

from rapport import embedded
from rapport.embedded import (
    EmbeddedError,
    EmbeddedServers,
    MissingLibrary,
    Servers,
    find_running,
    install_line,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the private servers need a POSIX system")


@pytest.fixture(scope="module")
async def supervisor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedServers]:
    private = EmbeddedServers(tmp_path_factory.mktemp("embedded"), base_url="http://here:1", mail_listen="127.0.0.1:2")
    await private.start()
    yield private
    await private.stop()


def mongo(servers: Servers, **options: Any) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(servers.mongo_url, serverSelectionTimeoutMS=15000, **options)


async def until(holds: Callable[[], bool], limit_s: float = 20) -> None:
    async with asyncio.timeout(limit_s):
        while not holds():
            await asyncio.sleep(0.02)


def alive(pid: int | None) -> bool:
    return pid is not None and embedded._lives(pid)


async def test_mongod_is_a_replica_set_that_runs_transactions(supervisor: EmbeddedServers) -> None:
    async with mongo(supervisor.servers) as client:
        hello = await client.admin.command("hello")
        assert hello["setName"] == "rapport" and hello["isWritablePrimary"]
        async with client.start_session() as session, await session.start_transaction():
            await client.test_embedded.rows.insert_one({"a": 1}, session=session)
        assert await client.test_embedded.rows.count_documents({}) == 1


async def test_mongod_never_speaks_zlib_and_listens_on_loopback_alone(supervisor: EmbeddedServers) -> None:
    async with mongo(supervisor.servers) as client:
        options = (await client.admin.command("getCmdLineOpts"))["parsed"]
        # CVE-2025-14847 needs zlib to be agreed on, and nothing else will do
        agreed = await client.admin.command("hello", compression=["zlib"])
    assert options["net"]["compression"]["compressors"] == "snappy,zstd"
    assert options["net"]["bindIp"] == "127.0.0.1"
    assert not agreed.get("compression")


async def test_a_stranger_may_neither_read_nor_become_a_user(supervisor: EmbeddedServers) -> None:
    host = supervisor.servers.mongo_url.partition("@")[2]
    async with AsyncMongoClient(f"mongodb://{host}") as stranger:
        with pytest.raises(OperationFailure, match="requires authentication"):
            await stranger.rapport.profiles.find_one()
        with pytest.raises(OperationFailure, match="requires authentication"):
            await stranger.admin.command("createUser", "mallory", pwd="x", roles=["root"])


async def test_valkey_keeps_what_it_is_given_and_has_no_port(supervisor: EmbeddedServers) -> None:
    async with Redis.from_url(supervisor.servers.redis_url, decode_responses=True) as redis:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "port": "0",
        }
        assert wanted.items() <= (await redis.config_get("*")).items()


async def test_only_the_owner_may_look_into_the_data(supervisor: EmbeddedServers) -> None:
    folder = supervisor.data_dir
    for private in (folder / "mongod", folder / "mongod" / "db", folder / "valkey"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700, private
    for secret in (
        folder / "servers.json",
        folder / "mongod" / "key",
        folder / "mongod" / "credentials.json",
    ):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret


async def test_others_find_the_servers_of_a_running_supervisor(supervisor: EmbeddedServers, tmp_path: Path) -> None:
    assert find_running(supervisor.data_dir) == supervisor.servers
    assert find_running(tmp_path) is None


async def test_a_second_supervisor_on_the_same_data_is_refused(supervisor: EmbeddedServers) -> None:
    with pytest.raises(EmbeddedError, match="Another Rapport runs on"):
        await EmbeddedServers(supervisor.data_dir).start()
    assert find_running(supervisor.data_dir) == supervisor.servers


async def test_killed_servers_come_back_with_their_data_at_the_same_address(
    supervisor: EmbeddedServers,
) -> None:
    old = (supervisor.mongod_pid, supervisor.valkey_pid)
    async with mongo(supervisor.servers) as client, Redis.from_url(supervisor.servers.redis_url) as redis:
        await client.test_embedded.kept.insert_one({"_id": "before"})
        await redis.set("kept", "yes")
        await asyncio.sleep(1.2)  # the append-only file is written once a second
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: supervisor.running and old != (supervisor.mongod_pid, supervisor.valkey_pid))
        assert await client.test_embedded.kept.count_documents({"_id": "before"}) == 1
        assert await redis.get("kept") == b"yes"
    assert find_running(supervisor.data_dir) == supervisor.servers


async def test_data_and_address_outlive_a_stop_and_the_next_start_is_fast(tmp_path: Path) -> None:
    first = EmbeddedServers(tmp_path)
    servers = await first.start()
    async with mongo(servers) as client:
        await client.kept.rows.insert_one({"_id": 1})
    pids = (first.mongod_pid, first.valkey_pid)
    await first.stop()
    assert not any(alive(pid) for pid in pids) and find_running(tmp_path) is None
    second = EmbeddedServers(tmp_path)
    began = time.monotonic()
    assert await second.start() == servers
    assert time.monotonic() - began < 15  # 1.5 s on two quiet cores
    async with mongo(servers) as client:
        assert await client.kept.rows.find_one() == {"_id": 1}
    await second.stop()


async def test_another_port_is_taken_when_the_old_one_is_in_use(tmp_path: Path) -> None:
    first = EmbeddedServers(tmp_path, redis=False)
    servers = await first.start()
    assert servers.redis_url == ""
    await first.stop()
    port = int(servers.mongo_url.rpartition(":")[2].partition("/")[0])
    squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with squatter:
        second = EmbeddedServers(tmp_path, redis=False)
        moved = await second.start()
    assert moved != servers
    async with mongo(moved) as client:
        await client.kept.rows.insert_one({"_id": 1})
    await second.stop()


_SUPERVISE = """
import asyncio, pathlib, sys
from rapport.embedded import EmbeddedServers

async def main():
    await EmbeddedServers(pathlib.Path(sys.argv[1])).start()
    print("up", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def _killed_supervisor(data_dir: Path) -> Servers:
    """Starts a supervisor as a process of its own and kills it without a warning."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SUPERVISE, str(data_dir), stdout=subprocess.PIPE
    )
    assert process.stdout and (await process.stdout.readline()).startswith(b"up")
    servers = find_running(data_dir)
    process.kill()
    await process.wait()
    assert servers
    return servers


async def test_servers_of_a_killed_supervisor_die_with_it_and_the_next_one_takes_over(tmp_path: Path) -> None:
    servers = await _killed_supervisor(tmp_path)
    assert find_running(tmp_path) is None
    heir = EmbeddedServers(tmp_path)
    assert await heir.start() == servers
    await heir.stop()


async def test_a_server_that_outlived_its_supervisor_is_stopped_before_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems where a child can't ask to die with its parent."""
    monkeypatch.setattr(embedded, "_LAUNCHER", "import os, sys; os.execv(sys.argv[2], sys.argv[2:])")
    orphaned = EmbeddedServers(tmp_path)
    servers = await orphaned.start()
    leftovers = (orphaned.mongod_pid, orphaned.valkey_pid)
    for child in orphaned._children():
        assert child._keeper
        child._keeper.cancel()
    assert orphaned._lock
    orphaned._lock.close()
    heir = EmbeddedServers(tmp_path)
    assert await heir.start() == servers
    assert not any(alive(pid) for pid in leftovers)
    await heir.stop()


async def test_a_long_or_odd_path_gets_its_socket_in_a_short_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / "a folder with spaces" / ("x" * 120)
    private = EmbeddedServers(deep, mongo=False)
    servers = await private.start()
    async with Redis.from_url(servers.redis_url) as redis:
        assert await redis.ping()
    path = Path(servers.redis_url.removeprefix("unix://").partition("?")[0])
    assert len(str(path)) < 100 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await private.stop()
    assert not path.parent.exists()


async def test_a_missing_library_is_answered_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "mongod"
    complaint = "error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    broken.write_text(f"#!/bin/sh\necho '{broken}: {complaint}: No such file or directory' >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setattr(embedded, "_find_binary", lambda *_: broken)
    monkeypatch.setattr(embedded, "_os_release", lambda: {"ID": "debian", "VERSION_ID": "12"})
    with pytest.raises(MissingLibrary) as caught:
        await EmbeddedServers(tmp_path / "data", redis=False).start()
    assert str(caught.value) == "apt-get install libcurl4" and caught.value.library == "libcurl.so.4"


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "apt-get install libcurl4"),
        ({"ID": "debian", "VERSION_ID": "13"}, "apt-get install libcurl4t64"),
        ({"ID": "debian"}, "apt-get install libcurl4t64"),
        ({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "22.04"}, "apt-get install libcurl4"),
        ({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04"}, "apt-get install libcurl4t64"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora", "VERSION_ID": "9.4"}, "dnf install libcurl"),
        ({}, "install the package of your system that holds libcurl.so.4"),
    ],
)
def test_the_line_fits_the_system(release: dict[str, str], line: str) -> None:
    assert install_line("libcurl.so.4", release) == line


async def test_a_server_that_will_not_start_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded._Mongod, "prepare", lambda self: [str(self._binary), "--no-such-option"])
    private = EmbeddedServers(tmp_path)
    with pytest.raises(EmbeddedError, match="no-such-option"):
        await private.start()
    assert private.mongod_pid is None and private.valkey_pid is None
    assert find_running(tmp_path) is None


async def test_a_data_directory_that_can_not_be_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="can't be the data directory"):
        await EmbeddedServers(tmp_path / "file").start()


async def test_a_processor_that_is_too_old_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "mongod"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] || kill -ILL $$\n')
    broken.chmod(0o755)
    monkeypatch.setattr(embedded, "_find_binary", lambda *_: broken)
    with pytest.raises(EmbeddedError, match="AVX"):
        await EmbeddedServers(tmp_path / "data", redis=False).start()


async def test_a_grown_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_MAX_BYTES", 1)
    for _ in range(2):
        private = EmbeddedServers(tmp_path)
        await private.start()
        await private.stop()
    for log in ("mongod/mongod.log", "valkey/valkey.log"):
        assert (tmp_path / log).exists() and (tmp_path / f"{log}.1").exists()


async def test_a_log_that_grows_while_it_runs_is_put_aside_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WATCH_S", 0.1)
    private = EmbeddedServers(tmp_path)
    await private.start()
    pids = (private.mongod_pid, private.valkey_pid)
    monkeypatch.setattr(embedded, "LOG_MAX_BYTES", 1)
    log = tmp_path / "mongod" / "mongod.log"
    await until(lambda: log.with_name("mongod.log.1").exists() and log.exists())
    assert pids == (private.mongod_pid, private.valkey_pid)
    await private.stop()
