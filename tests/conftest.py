"""What every test may ask for: two real servers, names of its own on them, fake providers, fixtures."""

import gc
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from aiohttp import web
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from rapport.embedded import EmbeddedServers, Servers
from tests.databases import Shelf, quick_folder
from tests.driver import close_cancelled_sockets
from tests.shifts import Shifts, turn_of

ROOT = Path(__file__).resolve().parent.parent
if sys.dont_write_bytecode:
    # Some machines say so for all of Python. Every worker and every process that a test starts would compile all that
    # it imports, which is half of what starting one costs: byte code is kept after all, in a folder apart.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(tempfile.gettempdir()) / "rapport-tests-pycache")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
#: In CI the same examples each time, so that a change is judged by what it changed; everywhere else new ones.
#: How long an example takes says how busy the machine is, and nothing about the code.
_PATIENT = {"suppress_health_check": [hypothesis.HealthCheck.too_slow], "deadline": None}
hypothesis.settings.register_profile("patient", **_PATIENT)
hypothesis.settings.register_profile("ci", derandomize=True, **_PATIENT)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "patient")
LocalServer = Callable[[web.Application], Awaitable[str]]

close_cancelled_sockets()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn_of(item.nodeid))


def pytest_collection_finish() -> None:
    """Thousands of tests and all modules stay until the end: looking for garbage among them finds nothing."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` is refined; other ways of dealing out are left alone."""
    return Shifts(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """The pair of RAPPORT_TEST_MONGO_URL and RAPPORT_TEST_REDIS_URL, else a private one of this session.

    Everybody on the pair shares it: use `database_name` and `redis_prefix`, never flush, never kill. A test
    that kills servers starts EmbeddedServers of its own.
    """
    names = ("RAPPORT_TEST_MONGO_URL", "RAPPORT_TEST_REDIS_URL")
    given = Servers(*(os.environ.get(name, "") for name in names))
    if given.mongo_url and given.redis_url:
        yield given
        return
    with quick_folder(tmp_path_factory.mktemp("servers")) as folder:
        private = EmbeddedServers(folder, mongo=not given.mongo_url, redis=not given.redis_url)
        started = await private.start()
        yield Servers(given.mongo_url or started.mongo_url, given.redis_url or started.redis_url)
        await private.stop()


@pytest.fixture(scope="session")
def mongo_url(servers: Servers) -> str:
    return servers.mongo_url


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    return servers.redis_url


@pytest.fixture(scope="module")
async def database_name(request: pytest.FixtureRequest, mongo_url: str) -> AsyncIterator[str]:
    """A database that the tests of one module share; dropped after the last of them."""
    name = _unique(request.node.name)
    yield name
    await _drop(mongo_url, name)


@pytest.fixture
async def fresh_database_name(request: pytest.FixtureRequest, mongo_url: str) -> AsyncIterator[str]:
    """A database for one test alone; dropped after it."""
    name = _unique(request.node.name)
    yield name
    await _drop(mongo_url, name)


@pytest.fixture(scope="session")
async def shelf(mongo_url: str) -> AsyncIterator[Shelf]:
    """Databases in shape, for `shaped_database` and `fresh_shaped_database`; `shelf.empty` between two tests on one."""
    shelf = Shelf(mongo_url)
    yield shelf
    await shelf.close()


@pytest.fixture(scope="module")
async def shaped_database(shelf: Shelf) -> AsyncIterator[str]:
    """An empty database with all indexes that the tests of one module share. Do not drop it: others come after.

    Its name is no prefix for Redis: it has been somebody else's before.
    """
    name = await shelf.take()
    yield name
    shelf.put_back(name)


@pytest.fixture
async def fresh_shaped_database(shelf: Shelf) -> AsyncIterator[str]:
    """The same for one test alone."""
    name = await shelf.take()
    yield name
    shelf.put_back(name)


@pytest.fixture
async def redis_prefix(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[str]:
    """A beginning for the keys and queues of one test; what starts with it is deleted afterwards."""
    prefix = f"{_unique(request.node.name)}:"
    yield prefix
    redis = Redis.from_url(redis_url)
    async for key in redis.scan_iter(match=f"{prefix}*", count=1000):
        await redis.delete(key)
    await redis.aclose()


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The recorded provider traffic, one folder per provider. It lies beside the repository, not in it."""
    folder = Path(os.environ.get("RAPPORT_FIXTURES", "../shared/fixtures"))
    folder = folder if folder.is_absolute() else ROOT / folder
    if not folder.is_dir():
        missing = f"no provider fixtures at {folder}: set RAPPORT_FIXTURES to their folder"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return folder.resolve()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser for the stories in tests/browser. `./run test` installs it where it may."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    missing = "no Chromium here: apt-get install chromium fonts-noto-cjk"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def dovecot_program() -> str:
    """The IMAP server that fetching is tried against. `./run test` installs it where it may."""
    if found := shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return found
    missing = "no dovecot here: apt-get install dovecot-imapd"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a port that was free a moment ago: for programs that must be told theirs beforehand."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
async def local_server() -> AsyncIterator[LocalServer]:
    """Starts an aiohttp application on a free port; gives its URL, no closing slash: a fake provider."""
    runners: list[web.AppRunner] = []

    async def serve(app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    yield serve
    for runner in reversed(runners):
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's own RAPPORT_ settings must not change what a test sees."""
    for name in [name for name in os.environ if name.startswith("RAPPORT_")]:
        if not name.startswith("RAPPORT_TEST_") and name != "RAPPORT_FIXTURES":
            monkeypatch.delenv(name)
    yield


def _unique(name: str) -> str:
    """Short enough for MongoDB's 63 bytes, telling enough to know whose it is."""
    words = re.sub(r"\W+", "_", name.removesuffix(".py"), flags=re.ASCII).strip("_")[-34:]
    return f"test_{words}_{uuid4().hex[:10]}"


async def _drop(mongo_url: str, name: str) -> None:
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(mongo_url)
    async with client:
        await client.drop_database(name)
