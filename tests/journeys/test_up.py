"""`rapport up` itself: starts quickly, comes back by itself whatever is killed, stops in order, and its commands."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pymongo import AsyncMongoClient

from rapport.embedded import _MONGOD, Servers, _find_binary
from tests.journeys.outside import eventually
from tests.journeys.talks import OwnSystem, Person
from tests.journeys.tree import Tree, rapport
from tests.journeys.world import Api, free_ports

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc"),
]

#: Issue 2, section 1: the second start serves a page within this time on a quiet machine.
SECOND_START_S = 10.0
PASSWORD = "correct horse battery"
GENERIC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
async def tree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tree]:
    """Not started; the tests below are one story and run in their order."""
    tree = Tree(tmp_path_factory.mktemp("up") / "data")
    yield tree
    await tree.kill()


async def test_up_from_the_first_start_to_the_last_ctrl_c(tree: Tree) -> None:
    # First start: an address, and the link with which the first administrator comes in.
    first_s = await tree.start()
    link = (await tree.said("/welcome/")).strip()
    assert link.startswith(f"{tree.url}/welcome/") and await tree.answers(link.removeprefix(tree.url))
    await the_first_administrator_comes_in(link)
    for folder in ("mongod", "valkey"):
        assert (tree.data / folder).stat().st_mode & 0o777 == 0o700

    # Other commands find its servers.
    checked, added, token, refused = await asyncio.gather(
        rapport("check", "--data", str(tree.data)),
        rapport("user", "add", "mia@harbour-tea.example", "--role", "agent", "--data", str(tree.data)),
        rapport("token", "add", "shop", "--role", "admin", "--data", str(tree.data)),
        rapport("up", "--port", str(free_ports(1)[0]), "--data", str(tree.data)),
    )  # fmt: skip
    assert checked.code == 0, checked
    assert checked.out.splitlines() and all(line.startswith("ok  ") for line in checked.out.splitlines()), checked.out
    looked_at = {line.removeprefix("ok").partition(":")[0].strip() for line in checked.out.splitlines()}
    assert looked_at >= {"settings", "keys", "mongodb", "time", "redis"}, checked.out
    assert added.out.startswith(f"{tree.url}/welcome/") and added.code == 0, added
    assert await tree.answers(added.out.strip().removeprefix(tree.url))
    assert refused.code == 1 and "Another Rapport runs on" in refused.err, refused

    async with aiohttp.ClientSession(tree.url, timeout=aiohttp.ClientTimeout(total=20)) as session:
        api = Api(session, token.out.strip())
        shop = await connected(api, session)
        one = Person.number(1, "Rosa Haas")
        await eventually(lambda: posted(shop, one, "Hello"), "the first message to be kept")
        await eventually(lambda: heard(api, shop, "Hello"), "the first message to arrive")
        await kept_webhooks_can_be_worked_off_again(tree, api, shop)
        await whatever_is_killed_comes_back(tree, api, shop, one)

        # Ctrl-C: time first, then doors, then servers; nothing stays.
        await stopped_in_order(tree)
        second_s = await tree.start()
        limit_s = SECOND_START_S * busy_factor()
        print(said_of(first_s, second_s, limit_s))  # noqa: T201 - the figures are the point
        assert second_s < limit_s
        await tree.said("Rapport is at")
        assert "/welcome/" not in tree.log.read_text(), "the first administrator is there already"
        await eventually(lambda: heard(api, shop, "Hello"), "what was kept across the restart")
    await stopped_in_order(tree)


async def test_a_standalone_mongod_is_refused_with_the_reason(tmp_path: Path, servers: Servers) -> None:
    port = free_ports(1)[0]
    (tmp_path / "db").mkdir()
    mongod = await asyncio.create_subprocess_exec(
        str(_find_binary(*_MONGOD)), "--dbpath", str(tmp_path / "db"), "--port", str(port), "--bind_ip", "127.0.0.1",
        "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--logpath", str(tmp_path / "log"),
    )  # fmt: skip
    try:
        url = f"mongodb://127.0.0.1:{port}"
        async with AsyncMongoClient(url, serverSelectionTimeoutMS=90_000, directConnection=True) as client:
            await client.admin.command("ping")
        given = {"RAPPORT_MONGO_URL": url, "RAPPORT_REDIS_URL": servers.redis_url, "RAPPORT_DATA": str(tmp_path)}
        key = (await rapport("key", "new")).out.strip()
        checked, started = await asyncio.gather(
            rapport("check", RAPPORT_SECRET_KEYS=key, **given),
            rapport("up", "--port", str(free_ports(1)[0]), RAPPORT_SECRET_KEYS=key, **given),
        )
    finally:
        mongod.send_signal(signal.SIGTERM)
        await mongod.wait()
    line = next(line for line in checked.out.splitlines() if "mongodb" in line)
    assert checked.code == 1 and line.startswith("FAIL") and "replica set" in line, checked
    assert started.code == 1 and "replica set" in started.err, started
    assert "Traceback" not in checked.err + started.err


# -- what the story is told with ---------------------------------------------------------------------------------------


def busy_factor() -> float:
    """How much longer things take because others use the processors: runnable processes for each of them."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def said_of(first_s: float, second_s: float, limit_s: float) -> str:
    load = os.getloadavg()[0]
    return f"\nup: a page after {first_s:.1f} s, then after {second_s:.1f} s (limit {limit_s:.1f} s, load {load:.1f})"


async def the_first_administrator_comes_in(link: str) -> None:
    async with aiohttp.ClientSession() as session:
        form = {"name": "Ada Admin", "email": "ada@harbour-tea.example", "password": PASSWORD}
        async with session.post(link, data=form) as answer:
            assert answer.status == 200 and answer.url.path == "/inbox", answer.url
        async with session.get(link) as answer:
            assert answer.status == 404  # it worked once


async def connected(api: Api, session: aiohttp.ClientSession) -> OwnSystem:
    settings = {"scheme": "standard", "secret": GENERIC_SECRET}
    made = await api.post("/channels", {"provider": "generic", "name": "App chat", "settings": settings}, status=201)
    return OwnSystem(session, made["id"], f"/webhooks/generic/{made['id']}", "app", GENERIC_SECRET)


async def posted(shop: OwnSystem, one: Person, text: str) -> bool:
    """Whether a message was acknowledged, as a provider sees it. Anything else: it comes again."""
    try:
        await shop.says(one, text)
    except (aiohttp.ClientError, TimeoutError, AssertionError):
        await asyncio.sleep(0.2)
        return False
    return True


async def heard(api: Api, shop: OwnSystem, text: str) -> bool:
    """Whether the message is in the inbox."""
    try:
        rows = await api.rows(f"/messages?channel={shop.id}&direction=in")
    except (aiohttp.ClientError, TimeoutError, AssertionError):
        return False
    return any(row["text"] == text for row in rows)


async def kept_webhooks_can_be_worked_off_again(tree: Tree, api: Api, shop: OwnSystem) -> None:
    before = await api.rows(f"/messages?channel={shop.id}")
    again = await rapport("replay", "--channel", shop.id, "--data", str(tree.data))
    assert (again.code, again.out) == (0, "1 deliveries are processed again.\n"), again
    none = await rapport("replay", "--state", "dead", "--data", str(tree.data))
    assert none.out == "0 deliveries are processed again.\n", none
    assert await api.rows(f"/messages?channel={shop.id}") == before


async def whatever_is_killed_comes_back(tree: Tree, api: Api, shop: OwnSystem, one: Person) -> None:
    assert set(tree.parts()) == {"web", "worker", "mongod", "valkey-server"}
    for name in ("mongod", "valkey-server", "web", "worker"):
        pid = tree.parts()[name]
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda name=name, pid=pid: tree.parts().get(name, pid) != pid, f"{name} again", within_s=90)  # type: ignore[misc]
        text = f"Are you there without {name}?"
        await eventually(lambda text=text: posted(shop, one, text), f"an answer after {name}", within_s=90)  # type: ignore[misc]
        await eventually(lambda text=text: heard(api, shop, text), f"the message after {name}", within_s=90)  # type: ignore[misc]
    assert await tree.answers("/readyz")


async def stopped_in_order(tree: Tree) -> None:
    ports, pids = (tree.port, tree.mail_port), tree.parts()
    gone = await tree.stop()
    assert tree.process is not None and tree.process.returncode == 0, tree.process
    assert len(pids) == 4 and set(gone[:2]) == {"web", "worker"} and gone[2:] == ["valkey-server", "mongod"], gone
    assert not (tree.data / "servers.json").exists()
    assert "Traceback" not in tree.log.read_text(errors="replace").rpartition("Rapport is at")[2]
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"somebody still listens on {port}"
    if sys.platform == "linux":
        marked = [each.name for each in Path("/proc").glob("[0-9]*") if str(tree.data) in command_of(each)]
        assert not marked, marked


def command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
