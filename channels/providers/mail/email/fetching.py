"""What the provider `email` does with a mailbox: polls it in a thread, and hands on mails as the listener does."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from base import clock
from base.ids import unique_key
from channels.adapter import Delivery, Page, Unreadable
from channels.failures import Failure, SendFailed
from channels.providers.mail.email.mailbox import Fetched, Login, Skipped, fetch, look, place_of
from channels.providers.mail.headers import Headers, mailboxes, read_headers
from channels.providers.mail.message import recipients
from channels.providers.mail.threading import is_ours
from channels.reading import integer, mapping, read_json, text
from channels.vocabulary import AccountNotice

#: Methods of deliveries: a mail that was fetched, and a word on one that was not. Neither can come over HTTP.
FETCHED = "IMAP"
LEFT = "IMAP-LEFT"
#: Seconds between two looks, and for everything of one look.
EVERY_S = 60.0
POLL_S = 180.0
#: Mailboxes read side by side.
THREADS = 8

_WHERE = ("delivered-to", "x-original-to", "envelope-to", "x-forwarded-to", "to", "cc")

Dial = Callable[[str, int], Awaitable[socket.socket]]
Result = TypeVar("Result")


class Fetching:
    """Reads mailboxes off the event loop; the socket is dialled on it, by `dial`, which asks the address guard."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._threads: ThreadPoolExecutor | None = None

    async def poll(self, login: Login, own: Sequence[str], cursor: str | None) -> Page:
        """The mails behind `cursor` (`uidvalidity:uid whose`) as deliveries. Raises `SendFailed`.

        A cursor of another user's mailbox counts for nothing, its numbers mean other mails: we begin at the present.
        """
        now, whose = clock.now(), unique_key(login.user.lower())[:12]
        told, _, owner = (cursor or "").partition(" ")
        place = place_of(told) if owner == whose else None
        got: Fetched = await self._off_loop(login, lambda opened: fetch(opened, login, place, now))
        mails = [_delivery(raw, own, now) for raw in got.mails]
        left = [_left(each, got.place.validity, now) for each in got.skipped]
        return Page(deliveries=(*mails, *left), cursor=f"{got.place} {whose}", more=got.more)

    async def look(self, login: Login) -> int:
        """How many mails the mailbox holds. Raises `SendFailed`."""
        return await self._off_loop(login, lambda opened: look(opened, login))

    def close(self) -> None:
        """Let the threads go."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def _off_loop(self, login: Login, work: Callable[[socket.socket], Result]) -> Result:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="imap")
        opened = await self._dial(login.host, login.port)
        handle = opened.dup()  # reaches the connection also when TLS has taken the socket over
        opened.setblocking(True)
        try:
            async with asyncio.timeout(POLL_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, _closing, opened, work)
        except TimeoutError:
            raise SendFailed(Failure.TEMPORARY, f"{login.where} did not answer in time.") from None
        finally:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()


def _closing(opened: socket.socket, work: Callable[[socket.socket], Result]) -> Result:
    try:
        return work(opened)
    finally:
        opened.close()


def left_behind(channel_id: str, delivery: Delivery) -> AccountNotice:
    """The notice for a mail that stays in the mailbox. Raises `Unreadable` for bytes that are not of our making."""
    told = mapping(read_json(delivery.body))
    uid, reason = integer(told.get("uid")), text(told.get("reason"))
    if uid is None or reason is None:
        raise Unreadable("That is no word on a mail.")
    who, what = text(told.get("from")) or "?", text(told.get("subject")) or "?"
    return AccountNotice(
        event_id=unique_key("left", channel_id, told.get("validity"), uid),
        occurred_at=delivery.received_at or datetime(1970, 1, 1, tzinfo=UTC),
        raw=told,
        topic="mail_skipped",
        severity="warning",
        text=f"A mail from {who} ({what}) was not taken in and is still in the mailbox: {reason}."[:1000],
        details={"uid": uid},
    )


def _delivery(raw: bytes, own: Sequence[str], now: datetime) -> Delivery:
    headers = read_headers(raw[:256_000].replace(b"\r\n", b"\n").partition(b"\n\n")[0])
    query: dict[str, tuple[str, ...]] = {"recipient": (_recipient(headers, own),)}
    if "return-path" in headers:
        query["sender"] = (headers.get("return-path").strip("<> ")[:320],)
    return Delivery(method=FETCHED, body=raw, headers={}, query=query, received_at=now)


def _recipient(headers: Headers, own: Sequence[str]) -> str:
    """The address of ours it came for: a mailbox knows no envelope, so the fields that a server adds come first."""
    named = (address for name in _WHERE for address in recipients(headers, name))
    return next((address for address in named if any(is_ours(address, each) for each in own)), own[0])


def _left(skipped: Skipped, validity: int, now: datetime) -> Delivery:
    headers = read_headers(skipped.head)
    author = next(iter(mailboxes(headers.get("from"), 1)), None)
    told = {
        "uid": skipped.uid,
        "validity": validity,
        "reason": skipped.reason,
        "from": author.address if author else None,
        "subject": headers.text("subject", 200) or None,
    }
    query = {"recipient": (f"uid {validity}:{skipped.uid}",)}
    return Delivery(method=LEFT, body=json.dumps(told).encode(), headers={}, query=query, received_at=now)
