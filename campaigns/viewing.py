"""A marketing mail once more, for its receiver's browser: written anew with today's values, for a while after it went.

Nothing of a mail is kept per person but the ledger's row; that keeps a mailing to a hundred thousand people small. So
the page says what the message says now, and ends with the time after which nobody looks any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from base.clock import Clock
from channels.vocabulary import OutboundMessage
from inbox.models import Send
from inbox.store import SendStore

#: How long after it went it can be looked at.
SHOWN_FOR = timedelta(days=90)
_GONE_OUT = frozenset({"handed", "accepted", "delivered", "read", "unknown"})


class Rewriter(Protocol):
    """Who wrote a send and can do so again."""

    async def written_again(self, send: Send, now: datetime) -> OutboundMessage | None:
        """The message with today's values; None when what it was written from is gone."""
        ...


@dataclass(frozen=True)
class Viewed:
    """What is shown. `html` is as the author wrote it: whoever shows it cleans it."""

    subject: str
    html: str


class SentMails:
    """Finds the send and has it written again."""

    def __init__(self, sends: SendStore, writers: Mapping[str, Rewriter], clock: Clock) -> None:
        """`writers`: by the kind of a send's source."""
        self._sends = sends
        self._writers = writers
        self._clock = clock

    async def view(self, send_id: str, identity_id: str) -> Viewed | None:
        """The mail; None when it is none, is too old, never went out, or was somebody else's."""
        send, now = await self._sends.get(send_id), self._clock()
        if send is None or send.identity_id != identity_id or send.send_class != "marketing":
            return None
        went = send.handed_at
        writer = self._writers.get(send.source.kind)
        if send.state not in _GONE_OUT or went is None or now - went > SHOWN_FOR or writer is None:
            return None
        message = await writer.written_again(send, now)
        if message is None or message.mail is None or not message.mail.html:
            return None
        return Viewed(message.mail.subject, message.mail.html)
