"""A whole desk on the real servers: a database of its own, an opened runtime, the application, people who sign in."""

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from aiohttp import ClientSession, CookieJar, web
from argon2 import PasswordHasher
from pydantic import SecretStr

from base.secret_box import SecretBox
from base.settings import Settings
from desk.accounts import Accounts
from desk.app import build
from rapport.runtime import Runtime, open_runtime

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@dataclass
class Browser:
    """A signed-in person."""

    client: ClientSession
    user_id: str
    csrf: str

    async def page(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        async with self.client.get(path) as answer:
            text = await answer.text()
            assert answer.status == status, (path, answer.status, text[:600])
            return text

    async def post(self, path: str, expected: int = 303, script: bool = False, /, **fields: str) -> str:
        """Send a form; where it leads (the page's text for a script)."""
        headers = {"X-Desk": "1"} if script else {}
        async with self.client.post(
            path, data={"csrf": self.csrf, **fields}, headers=headers, allow_redirects=False
        ) as answer:
            text = await answer.text()
            assert answer.status == expected, (path, answer.status, text[:600])
            return text if script or expected != 303 else answer.headers["Location"]


@dataclass
class Desk:
    """A served desk."""

    url: str
    runtime: Runtime
    app: web.Application
    _sessions: list[ClientSession] = field(default_factory=list)

    async def person(self, role: str = "agent", channels: list[str] | None = None, name: str = "Anna Agent") -> Browser:
        """Somebody who has come in by the sign-in page."""
        email = f"{name.split()[0].lower()}-{len(self._sessions)}@example.org"
        user, link = await self.runtime.accounts.invite(email, name, role, channels)
        await self.runtime.accounts.follow_link(link, PASSWORD, agent="test", address="::1")
        client = ClientSession(self.url, cookie_jar=CookieJar(unsafe=True))
        self._sessions.append(client)
        async with client.post(
            "/sign-in", data={"email": email, "password": PASSWORD}, allow_redirects=False
        ) as answer:
            assert answer.status == 303, await answer.text()
        browser = Browser(client, user.id, "")
        page = await browser.page("/templates")
        browser.csrf = page.split('name="csrf" content="', 1)[1].split('"', 1)[0]
        return browser

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()


@pytest.fixture(scope="module")
async def desk(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Desk]:
    """One desk for the tests of a module."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            _env_file=None, mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), data=folder,
            database=shaped_database, queue_prefix=f"test_desk_{uuid4().hex[:12]}",
            secret_keys=(SecretStr(SecretBox.new_key()),), base_url="http://desk.example",
        )  # fmt: skip
        runtime = await open_runtime(settings)
        runtime.accounts = Accounts(runtime.users, runtime.clock, QUICK, runtime.two_factor)
        app = build(runtime)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        desk = Desk(f"http://{host}:{port}", runtime, app)
        yield desk
        await desk.close()
        await runner.cleanup()
        await runtime.close()
