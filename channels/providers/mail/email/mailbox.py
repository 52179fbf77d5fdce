"""A mailbox read over IMAP, from where we stopped. Blocking: runs in a thread, on a socket that was dialled outside.

The mailbox is opened read-only and mails are peeked at, so that nothing in it is marked, moved or deleted. One mail
never stops the others: what is too large, cannot be read or takes the connection down with it is named and passed over.

RFC 3501 (UID, UIDVALIDITY, EXAMINE), RFC 4959 and 5530 (answer codes); read 2026-11-28.
"""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from channels.failures import Failure, SendFailed
from channels.providers.mail.message import MAX_MAIL

#: Mails and bytes of one page; a page goes to the journal before the next is asked for.
PAGE_MAILS = 20
PAGE_BYTES = 15_000_000
#: UIDs asked about at once, so that an answer stays far below a line's limit, and how often in one page.
WINDOW = 50_000
WINDOWS = 40
#: After a change of UIDVALIDITY every mail has a new number: what came within this time is looked at again.
LOOK_BACK = timedelta(days=7)
#: How often one mail may take the connection down before it is passed over.
TRIES = 3
ANSWER_S = 30.0

_NUMBER = re.compile(rb"\d+")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_CURSOR = re.compile(r"(\d{1,10}):(\d{1,10})(?::(\d))?")
_PASSING = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]|temporar|too many|try again|rate", re.I)
_FAULTS = (imaplib.IMAP4.error, OSError, ValueError, LookupError)

Tls = Literal["none", "starttls", "tls"]


@dataclass(frozen=True)
class Login:
    """Where and as whom."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Tls = "tls"

    @property
    def where(self) -> str:
        """Host and port for sentences."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Place:
    """Where the next page begins: after mail `uid` of this numbering; `tries` have failed at the one behind it."""

    validity: int
    uid: int
    tries: int = 0

    def __str__(self) -> str:
        return f"{self.validity}:{self.uid}" + (f":{self.tries}" if self.tries else "")


@dataclass(frozen=True)
class Skipped:
    """A mail left where it is, with what can be said of it."""

    uid: int
    reason: str
    head: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Fetched:
    """What one page brought."""

    place: Place
    mails: tuple[bytes, ...] = field(default=(), repr=False)
    skipped: tuple[Skipped, ...] = ()
    more: bool = False


class Lost(Exception):
    """The connection went while one mail was fetched, or the server was too busy for it."""


def place_of(cursor: str | None) -> Place | None:
    """The place a cursor names; None where there is none, or one that we did not write."""
    found = _CURSOR.fullmatch(cursor or "")
    return Place(int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def fetch(opened: socket.socket, login: Login, place: Place | None, now: datetime) -> Fetched:
    """Sign in over `opened` and read one page. None as `place`: begin at the present. Raises `SendFailed`."""
    with _signed_in(opened, login) as mailbox:
        return _page(mailbox, place, now)


def look(opened: socket.socket, login: Login) -> int:
    """Sign in and open the mailbox; how many mails it holds. Raises `SendFailed`."""
    with _signed_in(opened, login) as mailbox:
        return mailbox.examine()


# -- one page ----------------------------------------------------------------------------------------


def _page(mailbox: Mailbox, place: Place | None, now: datetime) -> Fetched:
    mailbox.examine()
    last = mailbox.next_uid() - 1
    if place is None:
        return Fetched(Place(mailbox.validity, last))
    if place.validity != mailbox.validity or place.uid > last:  # numbers never fall: that is another mailbox
        place = Place(mailbox.validity, _before_the_recent(mailbox, last, now))
    uids, place, searched = _waiting(mailbox, place, last)
    return _read(mailbox, place, uids, more=not searched)


def _before_the_recent(mailbox: Mailbox, last: int, now: datetime) -> int:
    """The number before the first mail of the last days. What was taken before is known by its Message-ID."""
    recent = mailbox.since(now - LOOK_BACK)
    return min(recent) - 1 if recent else last


def _waiting(mailbox: Mailbox, place: Place, last: int) -> tuple[list[int], Place, bool]:
    """The numbers of the next mails; the place moved over a gap without any; False when there may be still more."""
    first = place.uid + 1
    for _ in range(WINDOWS):
        if first > last:
            return [], _moved(place, max(last, place.uid)), True
        uids = mailbox.between(first, min(first + WINDOW - 1, last))
        if uids:
            return uids, place, first + WINDOW > last and len(uids) <= PAGE_MAILS
        first += WINDOW
    return [], _moved(place, first - 1), False


def _moved(place: Place, uid: int) -> Place:
    return place if place.uid == uid else Place(place.validity, uid)


def _read(mailbox: Mailbox, place: Place, uids: Sequence[int], *, more: bool) -> Fetched:
    mails: list[bytes] = []
    skipped: list[Skipped] = []
    taken = 0
    for uid in uids[:PAGE_MAILS]:
        if taken > PAGE_BYTES:
            return Fetched(place, tuple(mails), tuple(skipped), more=True)
        try:
            got = _one(mailbox, uid, place.tries)
        except Lost:
            # The next poll begins at this mail and counts; it is passed over when it does so again and again.
            stuck = Place(place.validity, place.uid, place.tries + 1)
            return Fetched(stuck, tuple(mails), tuple(skipped), more=bool(mails))
        if isinstance(got, Skipped):
            skipped.append(got)
        elif got is not None:
            mails.append(got)
            taken += len(got)
        place = Place(place.validity, uid)
    return Fetched(place, tuple(mails), tuple(skipped), more=more or len(uids) > PAGE_MAILS)


def _one(mailbox: Mailbox, uid: int, tries: int) -> bytes | Skipped | None:
    """The bytes of one mail, or why it is left; None when it has gone meanwhile. Raises `Lost`."""
    if tries >= TRIES:
        return Skipped(uid, f"the server broke off {tries} times while it was fetched")
    try:
        size = mailbox.size(uid)  # asked one by one: a server may hang up over a mail that it cannot read
        if size > MAX_MAIL:
            return Skipped(uid, f"it has {size} bytes, and {MAX_MAIL} are taken", mailbox.head(uid))
        return mailbox.whole(uid)
    except (imaplib.IMAP4.abort, OSError):
        raise Lost from None
    except imaplib.IMAP4.error as error:
        if _PASSING.search(_words(error)):
            raise Lost from None  # the server is busy: that says nothing of this mail
        return Skipped(uid, f"the server could not read it: {_words(error)}")


# -- the conversation --------------------------------------------------------------------------------


class _Conversation(imaplib.IMAP4):
    """The library's client on a connected socket, with a bound on what one answer may hold."""

    def __init__(self, opened: socket.socket, host: str) -> None:
        self._opened = opened
        super().__init__(host)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._opened

    def read(self, size: int) -> bytes:
        """What the server announced. Raises `abort` for more than any mail we asked for."""
        if size > MAX_MAIL + 1_000_000:
            raise self.abort(f"the server announced {size} bytes")
        return super().read(size)


class Mailbox:
    """INBOX, opened to look only."""

    def __init__(self, talk: imaplib.IMAP4) -> None:
        self._talk = talk
        self.validity = 0

    def examine(self) -> int:
        """Open it; how many mails it holds. EXAMINE marks nothing."""
        (count,) = _good(self._talk.select("INBOX", readonly=True))
        self.validity = self._told("UIDVALIDITY") or 0
        return _int(count)

    def next_uid(self) -> int:
        """The number the next mail will get."""
        told = self._told("UIDNEXT")
        return told if told is not None else max(self._search("ALL"), default=0) + 1

    def between(self, first: int, last: int) -> list[int]:
        """Numbers of the mails there are from `first` to `last`, rising."""
        return [uid for uid in self._search("UID", f"{first}:{last}") if first <= uid <= last]

    def since(self, day: datetime) -> list[int]:
        """Numbers of the mails that came and were written since that day."""
        date = imaplib.Time2Internaldate(day).strip('"').split(" ")[0]
        return self._search("SINCE", date, "SENTSINCE", date)

    def size(self, uid: int) -> int:
        """Bytes of one mail; 0 when it has gone."""
        for each in _good(self._talk.uid("FETCH", str(uid), "(UID RFC822.SIZE)")):
            found = _SIZE.search(each or b"") if not isinstance(each, tuple) else None
            if found:
                return int(found[1])
        return 0

    def whole(self, uid: int) -> bytes | None:
        """All bytes of one mail, not marked as read; None when it has gone."""
        return _literal(_good(self._talk.uid("FETCH", str(uid), f"(BODY.PEEK[]<0.{MAX_MAIL + 1}>)")))

    def head(self, uid: int) -> bytes:
        """What names a mail: From, Subject, Date."""
        found = self._talk.uid("FETCH", str(uid), "(BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])")
        return (_literal(_good(found)) or b"")[:5000]

    def _search(self, *terms: str) -> list[int]:
        lines = _good(self._talk.uid("SEARCH", *terms))
        return sorted(int(each) for line in lines for each in _NUMBER.findall(line or b""))

    def _told(self, name: str) -> int | None:
        _, values = self._talk.response(name)
        found = [value for value in values or () if value]
        return _int(found[-1]) if found else None


@contextmanager
def _signed_in(opened: socket.socket, login: Login) -> Iterator[Mailbox]:
    """The mailbox of one conversation, which ends with the block. Raises `SendFailed`."""
    talk = _connected(opened, login)
    try:
        _sign_in(talk, login)
        yield Mailbox(talk)
        with suppress(*_FAULTS):  # everything has come: whoever hangs up first does no harm
            talk.logout()
    except _FAULTS as error:
        raise _lost(login, error) from None
    finally:
        with suppress(*_FAULTS):
            talk.shutdown()


def _connected(opened: socket.socket, login: Login) -> imaplib.IMAP4:
    """A conversation that has been greeted and, where that is wanted, encrypted."""
    try:
        talk = _Conversation(_wrapped(opened, login), login.host.strip("[]"))
    except ssl.SSLError:
        raise _untrusted(login) from None
    except _FAULTS as error:
        raise _lost(login, error) from None
    if login.tls == "starttls":
        _encrypt(talk, login)
    return talk


def _encrypt(talk: imaplib.IMAP4, login: Login) -> None:
    """STARTTLS, or nothing at all: a password never goes over a line that could not be encrypted."""
    offered = "STARTTLS" in talk.capabilities
    try:
        if offered:
            talk.starttls(ssl.create_default_context())
            return
    except ssl.SSLError:
        raise _untrusted(login) from None
    except _FAULTS as error:
        raise _lost(login, error) from None
    finally:
        if not isinstance(talk.sock, ssl.SSLSocket):
            with suppress(*_FAULTS):
                talk.shutdown()
    raise SendFailed(Failure.ACCOUNT_PROBLEM, f"{login.where} does not offer encryption by STARTTLS.")


def _untrusted(login: Login) -> SendFailed:
    words = f"No trusted connection to {login.where}: wrong encryption or certificate."
    return SendFailed(Failure.ACCOUNT_PROBLEM, words)


def _wrapped(opened: socket.socket, login: Login) -> socket.socket:
    opened.settimeout(ANSWER_S)
    if login.tls != "tls":
        return opened
    return ssl.create_default_context().wrap_socket(opened, server_hostname=login.host.strip("[]"))


def _sign_in(talk: imaplib.IMAP4, login: Login) -> None:
    """PLAIN where it is offered (it takes any letters), else LOGIN."""
    try:
        if "AUTH=PLAIN" in talk.capabilities:
            talk.authenticate("PLAIN", lambda _: f"\0{login.user}\0{login.password}".encode())
        elif "LOGINDISABLED" in talk.capabilities:
            raise talk.error("the server takes no password on this connection; use encryption")
        else:
            talk.login(_quoted(login.user), login.password)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        raise _refused(login, _words(error)) from None


def _quoted(user: str) -> str:
    escaped = user.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _refused(login: Login, words: str) -> SendFailed:
    if _PASSING.search(words):
        return SendFailed(Failure.TEMPORARY, f"{login.where} takes no sign-in now: {words}")
    return SendFailed(Failure.ACCOUNT_PROBLEM, f"{login.where} refuses user or password: {words}")


def _lost(login: Login, error: Exception) -> SendFailed:
    return SendFailed(Failure.TEMPORARY, f"The mailbox at {login.where} could not be read: {_words(error)}")


def _good(answer: tuple[str, list[Any]]) -> list[Any]:
    state, data = answer
    if state != "OK":
        raise imaplib.IMAP4.error(data[0] if data and data[0] else state)
    return data


def _literal(data: Sequence[Any]) -> bytes | None:
    return next((each[1] for each in data if isinstance(each, tuple)), None)


def _int(value: Any) -> int:
    found = _NUMBER.search(value if isinstance(value, bytes) else str(value).encode())
    return int(found[0]) if found else 0


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else type(error).__name__
    return " ".join((said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)).split())[:200]
