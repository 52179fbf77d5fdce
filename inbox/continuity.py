"""What a visitor of the web chat has not seen goes to them by mail: once, and a reply leads back into their thread.

The duty stands on the conversation (`unseen_due_at`): set when an answer went out, kept as long as something is unread.
The mail, the mark on its lines and the end of the duty are one transaction, so no line goes out twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.feed import Feed, Notice
from base.ids import unique_key
from base.mongo import Database, Document, DuplicateKeyError, OperationFailure, Session
from base.queue import Doorbell
from channels.adapter import Account
from channels.store import ChannelStore
from channels.vocabulary import Address, Attachment, AttachmentKind, OutboundMail, OutboundMessage
from inbox.consent_words import is_stop
from inbox.incoming import system_row
from inbox.models import SYSTEM, Send, SendRequest, Source
from inbox.outbox import Outbox
from inbox.owning import ASKED_TO_STOP
from inbox.presence import Presence
from inbox.reply_token import make_reply_token
from inbox.sources import Answer, Defer, Prepared, Skip, WrittenByHand, from_content, written
from inbox.store import ConversationStore, MessageStore
from profiles.models import IdentityRef, Profile
from profiles.resolve import Reference, Resolver
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

KIND = "continuity"
#: Conversations of one sweep, and lines of one mail.
TURN, LINES = 100, 30
#: Whoever has the chat open is looked at again after this time.
STILL_HERE = timedelta(minutes=1)
#: Files that go along; larger ones wait in the chat.
FILE_MAX_BYTES = 8_000_000
#: Language → subject, what stands above the lines of one author, what below all of them, and of a file left out.
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "subject": "Your chat with {title}",
        "by": "{name} wrote:",
        "foot": "You were not in the chat any more when we answered. Reply to this mail, and we go on from there.",
        "file": "[{name}: waits for you in the chat]",
    },
    "zh": {
        "subject": "您与{title}的对话",
        "by": "{name}：",
        "foot": "我们回复时您已离开聊天窗口。直接回复此邮件即可继续对话。",
        "file": "［{name}：请在聊天窗口中查看］",
    },
}


@dataclass(frozen=True)
class Terms:
    """What an account says about answers by mail."""

    channel_id: str
    after: timedelta
    title: str


@dataclass(frozen=True)
class _Case:
    """A conversation with something unseen, and where it goes."""

    row: Document
    lines: list[Document]
    terms: Terms
    identity_id: str
    email: str
    language: str


def terms_of(account: Account | None) -> Terms | None:
    """None for accounts that answer by themselves alone."""
    settings = account.settings if account is not None else None
    channel_id = getattr(settings, "continuity_channel", "")
    if account is None or not channel_id:
        return None
    after = timedelta(minutes=int(getattr(settings, "continuity_after_min", 10)))
    return Terms(channel_id, after, getattr(settings, "title", "") or account.name)


class Continuity:
    """Looks after what was not seen."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, channels: ChannelStore,
        profiles: ProfileStore, resolver: Resolver, outbox: Outbox, presence: Presence, feed: Feed, doorbell: Doorbell,
        clock: Clock, *, reply_key: str | bytes | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._channels = channels
        self._profiles = profiles
        self._resolver = resolver
        self._outbox = outbox
        self._presence = presence
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._reply_key = reply_key

    # -- the duty ----------------------------------------------------------------------------------------------

    async def watch(self, sends: Sequence[Send]) -> None:
        """Answers went out: those that may have to follow by mail are looked at when it is time. May run twice."""
        changes: list[tuple[Document, Document]] = []
        for send in sends:
            terms = terms_of(await self._channels.account(send.channel_id)) if send.accepted_at else None
            if terms is not None and send.conversation_id and send.accepted_at:
                due = send.accepted_at + terms.after
                changes.append(({"_id": send.conversation_id}, {"$min": {"unseen_due_at": due}}))
        await self._conversations.write(changes)

    async def sweep(self) -> int:
        """Write to those who have not seen an answer in time; how many conversations were looked at.

        A chore, safe to be done by several at once.
        """
        rows = await self._conversations.due_unseen(self._clock(), TURN)
        for row in rows:
            try:
                await self._look(row)
            except (DuplicateKeyError, OperationFailure) as error:  # somebody else is at it: the next look tells
                log.info("an unseen answer is looked at again", extra={"error": type(error).__name__})
        return len(rows)

    async def _look(self, row: Document) -> None:
        now = self._clock()
        terms = terms_of(await self._channels.account(row["channel_id"]))
        lines = await self._messages.unseen(row["_id"], LINES) if terms else []
        if terms is None or not lines:
            await self._conversations.put_off_unseen(row, None)
            return
        due = lines[0]["status_at"] + terms.after
        if due > now:
            await self._conversations.put_off_unseen(row, due)
        elif await self._is_here(row):
            await self._conversations.put_off_unseen(row, now + STILL_HERE)
        elif (case := await self._case(row, lines, terms)) is None:
            await self._conversations.put_off_unseen(row, None)
        else:
            await self._write(case, now)

    async def _is_here(self, row: Document) -> bool:
        identity = await self._profiles.identity(row["identity_id"])
        names = {row["address"]["external_id"], *([identity.external_id] if identity else ())}
        return any([await self._presence.here(row["channel_id"], name) for name in names if name])

    # -- where to ----------------------------------------------------------------------------------------------

    async def _case(self, row: Document, lines: list[Document], terms: Terms) -> _Case | None:
        channel = await self._channels.get(terms.channel_id)
        profile = await self._profiles.get(row["profile_id"])
        identity = await self._profiles.identity(row["identity_id"])
        email = _mail_of(profile)
        if channel is None or channel.state == "disconnected" or identity is None or profile is None or email is None:
            return None
        refs = [
            IdentityRef(kind="channel", value=str(identity.external_id), channel_id=row["channel_id"]),
            IdentityRef(kind="email", value=email, verified=False),
        ]
        await self._resolver.identify([Reference(refs, create=False, source="channel")])
        key = f"email:{email}"
        address = (await self._profiles.identity_rows.rows_by_key([key])).get(key)
        if address is None:
            return None
        return _Case(
            row, lines, terms, address["_id"], email, "zh" if (profile.locale or "").startswith("zh") else "en"
        )

    # -- the mail ----------------------------------------------------------------------------------------------

    async def _write(self, case: _Case, now: datetime) -> None:
        row, ids = case.row, [line["_id"] for line in case.lines]
        key = unique_key(KIND, row["_id"], ids[-1])
        note = system_row(
            row, "continued", {"address": case.email}, at=now, seq=row["seq"] + 1, author=SYSTEM.as_author(),
            dedupe=f"{KIND}:{key}",
        )  # fmt: skip
        request = SendRequest(
            send_key=key, send_class="service", source=Source(KIND, row["_id"]), profile_id=row["profile_id"],
            identity_id=case.identity_id, channel_id=case.terms.channel_id,
            content={**written(await self._message(case, key)), "lines": ids}, conversation_id=row["_id"],
            message_id=note["_id"],
        )  # fmt: skip
        change = {
            "$set": {"seq": row["seq"] + 1, "continued_by": case.terms.channel_id, "updated_at": now},
            "$unset": {"unseen_due_at": ""},
        }

        async def work(session: Session) -> bool:
            if await self._conversations.change_one(row, change, session) is None:
                return False
            await self._messages.insert([note], session)
            await self._messages.mark_continued(ids, session)
            await self._outbox.request([request], session)
            return True

        if await self._database.in_transaction(work):
            await self._doorbell.ring("deliver")
            about = {"message_id": note["_id"], "conversation_id": row["_id"], "direction": "system"}
            await self._feed.append([Notice("message.created", about, row["channel_id"])])

    async def _message(self, case: _Case, key: str) -> OutboundMessage:
        words = WORDS[case.language]
        answered = (await self._messages.latest(case.row["_id"], ["in"]) or {}).get("mail") or {}
        mail = OutboundMail(
            subject=words["subject"].format(title=case.terms.title),
            in_reply_to=answered.get("message_id"),
            references=tuple(answered.get("references", ()))[-10:],
            reply_token=make_reply_token(self._reply_key, case.row["_id"]) if self._reply_key else None,
        )
        to = Address(channel_id=case.terms.channel_id, external_id=case.email)
        files = [file for line in case.lines for each in line.get("attachments", ()) if (file := _file(each))]
        return OutboundMessage(
            key=key, to=to, text=_text(case, words), attachments=tuple(files), mail=mail, sender_name=case.terms.title
        )

    # -- as the source of its sends ----------------------------------------------------------------------------

    async def prepare(
        self, sends: Sequence[Send], barred: Mapping[str, Skip], now: datetime
    ) -> Mapping[str, Answer]:  # fmt: skip
        """Whoever came back and read it in the chat gets no mail."""
        seen = await self._seen(sends)
        return {send.id: seen.get(send.id) or Prepared(from_content(send)) for send in sends}

    async def house_rules(
        self, sends: Sequence[Send], now: datetime, known: Mapping[str, object]
    ) -> Mapping[str, Skip | Defer]:
        """It answers somebody who asked: no hours and no caps hold for it."""
        return {}

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """The same, right before the mail goes."""
        return await self._seen(sends)

    async def _seen(self, sends: Sequence[Send]) -> dict[str, Skip | Defer]:
        ids = [each for send in sends for each in send.content.get("lines", ())]
        unread = {key for key, row in (await self._messages.many(ids)).items() if row.get("status") != "read"}
        seen = Skip("seen_meanwhile", "The visitor has read it in the chat meanwhile.")
        return {send.id: seen for send in sends if not unread.intersection(send.content.get("lines", ()))}

    async def settled(self, sends: Sequence[Send]) -> None:
        """The quiet line in the thread shows what became of it."""


class Answers(WrittenByHand):
    """What agents and bots write. Where the channel cannot reach people who have left, it may follow them."""

    def __init__(self, continuity: Continuity, messages: MessageStore) -> None:
        self._continuity = continuity
        self._messages = messages

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """What a bot has said and STOP has overtaken stays."""
        said = [each for each in sends if (each.source.id or "").startswith("bot_") and each.conversation_id]
        stop = Skip(ASKED_TO_STOP, "The customer has asked to be sent nothing since the bot wrote this.")
        return {
            each.id: stop for each in said if is_stop(await self._messages.latest(each.conversation_id or "", ["in"]))
        }  # fmt: skip

    async def settled(self, sends: Sequence[Send]) -> None:
        """They went out, or did not."""
        await self._continuity.watch(sends)


def _mail_of(profile: Profile | None) -> str | None:
    """A proved address before one that was typed; of several the main one."""
    emails = sorted(profile.emails, key=lambda each: (not each.verified, not each.primary)) if profile else []
    return emails[0].value if emails else None


def _text(case: _Case, words: Mapping[str, str]) -> str:
    """The agents' words alone: what a visitor typed is never sent to an address that the same visitor typed."""
    parts: list[str] = []
    before = None
    for line in case.lines:
        name = _called(line, case.terms.title)
        if name != before:
            parts.append(words["by"].format(name=name))
        before = name
        parts += [str(line["text"])] if line.get("text") else []
        left = [each for each in line.get("attachments", ()) if _file(each) is None]
        parts += [words["file"].format(name=each.get("name") or "–") for each in left]
    return "\n\n".join([*parts, f"-- \n{words['foot']}"])


def _called(line: Document, title: str) -> str:
    name, by = (line["author"].get("name") or "").strip(), line["author"].get("id") or ""
    return title if not name or "@" in name or by.startswith("tok_") else name


def _file(shown: Mapping[str, Any]) -> Attachment | None:
    size = shown.get("size_bytes") or 0
    if shown.get("state") != "stored" or not shown.get("file_id") or size > FILE_MAX_BYTES:
        return None
    return Attachment(
        kind=AttachmentKind.FILE, file_name=shown.get("name"), media_type=shown.get("media_type"), size_bytes=size,
        extra={"file_id": shown["file_id"]},
    )  # fmt: skip
