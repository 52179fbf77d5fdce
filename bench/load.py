"""The load generator, a process of its own: signed WhatsApp webhooks over kept connections, and a reader of the stream.

Requests are built and signed before the clock starts, and the HTTP spoken is as little as it takes, because the
generator lives on the same cores as what it measures.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import aiohttp
import orjson

from bench.child import Json, run, tell

#: A message that is not seen by then never will be, seconds.
UNSEEN_S = 90.0
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CREATED = re.compile(rb'"type":"message\.created".*?"message_id":"(msg_\w+)"')
_ID = re.compile(rb"(?m)^id: (\d+)")


def text_message(phone: str, sender: str, message_id: str, text: str) -> bytes:
    """One webhook body, as WhatsApp posts it when a customer writes."""
    message = {"from": sender, "id": message_id, "timestamp": str(int(time.time())), "type": "text",
               "text": {"body": text}}  # fmt: skip
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": phone},
        "contacts": [{"wa_id": sender, "profile": {"name": f"Person {sender[-4:]}"}}],
        "messages": [message],
    }
    entry = {"id": "104996122399160", "changes": [{"field": "messages", "value": value}]}
    return orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def requests(task: Json) -> list[tuple[str, bytes]]:
    """(event id, whole HTTP request) of `count` messages by `people` customers; ids begin with `mark`. `first`: number
    of the first message, where customers of an earlier run write again."""
    url, secret = urlsplit(task["url"]), task["secret"].encode()
    made = []
    first = task.get("first", 0)
    for number in range(first, first + task["count"]):
        event, sender = f"wamid.{task['mark']}{number}", f"49{task['mark']}{number % task['people']:07d}"
        body = text_message(task["phone"], sender, event, f"Where is my order {number}? I wrote yesterday, too.")
        digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
        head = (
            f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nX-Hub-Signature-256: sha256={digest}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append((event, head.encode() + body))
    return made


class Line(asyncio.Protocol):
    """One kept connection with at most one request on its way."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[int] | None = None
        self._bytes = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None:
            return
        length = _LENGTH.search(self._bytes, 0, end)
        if len(self._bytes) >= end + 4 + (int(length[1]) if length else 0):
            status, self._bytes = int(self._bytes[9:12]), b""
            self._waiting.set_result(status)

    async def post(self, request: bytes) -> int:
        """Send one request; the status of its answer."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting


async def connected(url: str, count: int) -> list[Line]:
    """That many open connections."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    return [(await loop.create_connection(Line, host, port))[1] for _ in range(count)]


class Watch:
    """Reads the stream as a browser does, and notes when each message was announced."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self.seen: dict[str, float] = {}
        self.cuts = 0
        self.opened = asyncio.Event()

    async def read(self) -> None:
        """For ever; a cut stream is opened again where it ended."""
        last = ""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            while True:
                headers = {**self._headers, **({"Last-Event-ID": last} if last else {})}
                try:
                    async with session.get(self._url, headers=headers) as answer:
                        answer.raise_for_status()
                        rest = b""
                        async for data in answer.content.iter_any():
                            blocks = (rest + data).split(b"\n\n")
                            rest = blocks.pop()
                            last = self._noted(blocks) or last
                except aiohttp.ClientConnectionError:
                    pass
                except aiohttp.ClientPayloadError:
                    pass
                self.cuts += 1

    async def until(self, count: int) -> None:
        """Return when that many messages were seen; raises TimeoutError."""
        async with asyncio.timeout(UNSEEN_S):
            while len(self.seen) < count:
                await asyncio.sleep(0.002)

    def _noted(self, blocks: list[bytes]) -> str:
        now, last = time.monotonic(), ""
        for block in blocks:
            created = _CREATED.search(block)
            if created:
                self.seen.setdefault(created[1].decode(), now)
            found = _ID.search(block)
            last = found[1].decode() if found else last
            if b"event: hello" in block:
                self.opened.set()
        return last


class Tally:
    """What one run of requests came to."""

    def __init__(self) -> None:
        self.posted: dict[str, float] = {}
        self.latencies_ms: list[float] = []
        self.refused = 0

    def note(self, event: str, begun: float, status: int) -> None:
        if status == 200:
            self.posted[event] = begun
            self.latencies_ms.append((time.monotonic() - begun) * 1000)
        else:
            self.refused += 1


async def closed_loop(task: Json, made: list[tuple[str, bytes]]) -> Json:
    """Every connection posts its next request as soon as the last one is answered, until the time or they are over."""
    lines, tally = await connected(task["url"], task["connections"]), Tally()
    left: Iterator[tuple[str, bytes]] = iter(made)
    begun = time.monotonic()
    end = begun + task.get("seconds", 1e9)

    async def post(line: Line) -> None:
        for event, request in left:
            started = time.monotonic()
            tally.note(event, started, await line.post(request))
            if time.monotonic() > end:
                return

    await asyncio.gather(*(post(line) for line in lines))
    took = time.monotonic() - begun
    return {"begun": begun, "took_s": took, "latencies_ms": tally.latencies_ms, "refused": tally.refused,
            "kept": len(tally.posted)}  # fmt: skip


async def open_loop(task: Json, made: list[tuple[str, bytes]]) -> Json:
    """One request every 1/rate seconds, whatever the answers do. Times count from when a request was meant to go."""
    free, tally = deque(await connected(task["url"], task["connections"])), Tally()
    queue: asyncio.Queue[tuple[float, str, bytes]] = asyncio.Queue()
    begun = time.monotonic()

    async def post(line: Line) -> None:
        while True:
            due, event, request = await queue.get()
            tally.note(event, due, await line.post(request))

    posting = [asyncio.create_task(post(line)) for line in free]
    for number, (event, request) in enumerate(made):
        due = begun + number / task["rate"]
        if due > (now := time.monotonic()):
            await asyncio.sleep(due - now)
        queue.put_nowait((due, event, request))
    while len(tally.latencies_ms) + tally.refused < len(made):
        await asyncio.sleep(0.01)
    for each in posting:
        each.cancel()
    return {"begun": begun, "took_s": time.monotonic() - begun, "latencies_ms": tally.latencies_ms,
            "refused": tally.refused, "posted": tally.posted}  # fmt: skip


async def main(task: Json, _: AsyncIterator[Json]) -> None:
    made = requests(task)
    watch = Watch(task["stream"], task["token"]) if "stream" in task else None
    reading = asyncio.create_task(watch.read()) if watch else None
    if watch:
        await asyncio.wait_for(watch.opened.wait(), 10)
    found = await (open_loop if "rate" in task else closed_loop)(task, made)
    if watch and reading:
        await watch.until(len(made))
        found |= {"visible_s": max(watch.seen.values()) - found["begun"], "seen": watch.seen, "cuts": watch.cuts}
        reading.cancel()
    tell(found)


if __name__ == "__main__":
    run(main)
