"""What the database knows about the conversations that a batch of lines may belong to, in a handful of reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from base.mongo import Document
from channels.vocabulary import MessageReceived
from inbox.incoming import Line, mail_ids, thread_key
from inbox.placing import Found, slot_of
from inbox.reply_token import verify_reply_token
from inbox.store import ConversationStore

#: A conversation resolved less than this long ago is opened again instead of a new one being made.
REOPEN_WITHIN = timedelta(days=14)


class Finder:
    """Finds open, recent and named conversations."""

    def __init__(
        self, conversations: ConversationStore, *, reply_keys: Sequence[str | bytes] = (),
        reopen_within: timedelta = REOPEN_WITHIN,
    ) -> None:  # fmt: skip
        """`reply_keys`: what signs reply addresses, newest first."""
        self._conversations = conversations
        self._reply_keys = tuple(reply_keys)
        self._reopen_within = reopen_within

    async def found(self, lines: Sequence[Line], now: datetime) -> Found:
        named = await self._named(lines)
        identities = {line.identity_id for line in lines} | {row["identity_id"] for row in named.values()}
        open_rows = await self._conversations.open_of(identities)
        # A closed conversation is looked for only where none is open on that account.
        slots = {slot_of(row) for row in open_rows}
        without = identities - {row["identity_id"] for row in open_rows}
        without |= {
            line.identity_id
            for line in lines
            if (line.identity_id, line.arrival.channel_id, line.group_id) not in slots
        }
        recent, known = [], set()
        if without:
            known = await self._conversations.known(without)
            recent = await self._conversations.resolved_since(known, now - self._reopen_within) if known else []
        return Found(
            open={slot_of(row): row for row in open_rows},
            recent={slot_of(row): row for row in reversed(recent)},
            named=named,
            known=frozenset(known | {row["identity_id"] for row in open_rows}),
        )

    async def _named(self, lines: Sequence[Line]) -> dict[str, Document]:
        """Conversations that mails name: by our signed address whoever writes, by Message-ID only the same sender."""
        mails = [line for line in lines if isinstance(line.event, MessageReceived) and line.event.mail]
        if not mails:
            return {}
        keys = {line.position: _thread_keys(line) for line in mails}
        wanted = {key for found in keys.values() for key in found}
        rows = await self._conversations.by_thread_keys(wanted) if wanted else []
        tokens = {line.position: self._token_of(line) for line in mails}
        named = await self._conversations.rows([each for each in tokens.values() if each])
        for line in mails:
            by_header = [
                row["_id"]
                for key in keys[line.position]
                for row in rows
                if row["identity_id"] == line.identity_id and key in row.get("thread_keys", ())
            ]
            token = tokens[line.position]
            line.threads = tuple(dict.fromkeys(([token] if token else []) + by_header))
        return named | {row["_id"]: row for row in rows}

    def _token_of(self, line: Line) -> str | None:
        mail = line.event.mail if isinstance(line.event, MessageReceived) else None
        return verify_reply_token(self._reply_keys, mail.reply_token) if mail else None


def _thread_keys(line: Line) -> list[str]:
    event = line.event
    ids = mail_ids(event) if isinstance(event, MessageReceived) else []
    return [thread_key(line.arrival.channel_id, each) for each in ids]
