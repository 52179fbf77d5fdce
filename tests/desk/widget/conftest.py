"""A served desk with a web chat, its worker turned by hand, and visitors on allowed and other pages."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from base.signing import hmac_hex
from channels.store import Channel
from desk.widget.door import ROOM
from inbox.models import Actor, ReplyInput
from tests.desk.conftest import Desk

PAGE = "https://shop.example.com"
SECRET = "canary-identity-secret"
ADA = Actor("usr_ada", "Ada Agent")
WAIT_S = 15.0
_keys = itertools.count(1)


def a_key() -> str:
    return f"key-{secrets.token_hex(4)}-{next(_keys)}"


def signed(user_id: str, **more: str) -> dict[str, str]:
    """What a page of a signed-in customer says."""
    return {"user_id": user_id, "hash": hmac_hex(SECRET, user_id.encode()), **more}


@dataclass
class Socket:
    """One window of a visitor."""

    ws: ClientWebSocketResponse
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    welcome: dict[str, Any] = field(default_factory=dict)
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, **frame: Any) -> None:
        await self.ws.send_str(orjson.dumps(frame).decode())

    async def next(self) -> dict[str, Any]:
        """The next frame; lines are gathered."""
        message = await self.ws.receive(timeout=WAIT_S)
        assert message.type is WSMsgType.TEXT, message
        frame: dict[str, Any] = orjson.loads(message.data)
        self.frames.append(frame)
        for line in frame.get("lines", ()):
            self.lines[line["id"]] = line
        return frame

    async def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first frame of which this is true."""
        while True:
            frame = await self.next()
            if wanted(frame):
                return frame

    async def a(self, kind: str) -> dict[str, Any]:
        return await self.until(lambda frame: frame["t"] == kind)

    async def line(self, text: str) -> dict[str, Any]:
        """A line with this text."""
        while True:
            for line in self.lines.values():
                if line.get("text") == text:
                    return line
            await self.next()

    async def hello(self, token: str | None = None, **more: Any) -> dict[str, Any]:
        await self.send(t="hello", token=token, **more)
        self.welcome = await self.until(lambda frame: frame["t"] in ("welcome", "refused", "error"))
        return self.welcome

    async def say(self, text: str, key: str | None = None, **more: Any) -> str:
        """Write and wait for the acknowledgement."""
        key = key or a_key()
        await self.send(t="say", key=key, text=text, **more)
        answer = await self.until(lambda frame: frame.get("key") == key and frame["t"] in ("ack", "refused"))
        assert answer["t"] == "ack", answer
        return key

    async def closed(self) -> int | None:
        """Read until it is closed; the code."""
        while (await self.ws.receive(timeout=WAIT_S)).type is WSMsgType.TEXT:
            pass
        return self.ws.close_code


@dataclass
class Chat:
    """A connected web chat."""

    desk: Desk
    channel: Channel
    client: ClientSession
    _open: list[ClientWebSocketResponse] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/widget/{self.channel.id}"

    async def socket(self, origin: str | None = PAGE) -> Socket:
        headers = {"Origin": origin} if origin is not None else {}
        ws = await self.client.ws_connect(f"{self.path}/socket", headers=headers)
        self._open.append(ws)
        return Socket(ws)

    async def visitor(self, token: str | None = None, **more: Any) -> Socket:
        """A window that has said hello."""
        socket = await self.socket()
        assert (await socket.hello(token, **more))["t"] == "welcome", socket.welcome
        return socket

    async def frames(self, *frames: dict[str, Any], status: int = 200) -> list[dict[str, Any]]:
        """The same by HTTP."""
        body = orjson.dumps({"frames": list(frames)})
        async with self.client.post(f"{self.path}/frames", data=body, headers={"Origin": PAGE}) as answer:
            assert answer.status == status, await answer.text()
            found: list[dict[str, Any]] = orjson.loads(await answer.read()).get("frames", [])
            return found

    async def work(self) -> None:
        """Do what a worker does, until nothing is due."""
        drains = self.desk.runtime.drains()
        for _ in range(3):
            for bell in ("ingest", "deliver", "fetch"):
                await drains.answer(bell)  # type: ignore[arg-type]

    async def conversations(self) -> list[dict[str, Any]]:
        return await self.desk.runtime.conversations.raw({"channel_id": self.channel.id})

    async def conversation(self) -> dict[str, Any]:
        await self.work()
        (found,) = await self.conversations()
        return found

    async def answer(self, conversation_id: str, text: str, **more: Any) -> Any:
        """An agent writes, and it goes out."""
        agent = more.pop("agent", ADA)
        written = ReplyInput(text=text, **more)
        message = await self.desk.runtime.outbox.reply(conversation_id, agent, written, a_key())
        await self.work()
        return message

    def forget_limits(self) -> None:
        self.desk.app[ROOM].limits.forget()

    async def close(self) -> None:
        for ws in self._open:
            await ws.close()


MakeChat = Callable[..., Awaitable[Chat]]


@pytest.fixture
async def make_chat(desk: Desk) -> AsyncIterator[MakeChat]:
    desk.app[ROOM].limits.forget()
    async with ClientSession(desk.url) as client:
        made: list[Chat] = []

        async def make(**settings: Any) -> Chat:
            given = {"allowed_origins": [PAGE], "identity_secret": SECRET, **settings}
            channel = await desk.runtime.channels.add("webchat", "Shop chat", given)
            made.append(Chat(desk, channel, client))
            return made[-1]

        yield make
        for chat in made:
            await chat.close()


@pytest.fixture
async def chat(make_chat: MakeChat) -> Chat:
    return await make_chat()


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    """What `look` gives as soon as that is something."""
    for _ in range(150):
        if found := await look():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to that")
