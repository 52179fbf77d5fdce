"""Second thoughts about what was written: take it back in time, send it at another time, send again what failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from base.clock import Clock
from base.errors import Conflict, NotFound, WrongInput
from base.feed import Feed, Notice
from base.mongo import Database, Document, Session
from base.queue import Doorbell
from channels.vocabulary import Button, TemplateCall
from inbox.drafts import DraftKey, taken_back
from inbox.heads import on_channel, threads_of
from inbox.models import Actor, ChosenFile, Enclosed, Message, ReplyInput, message_of, send_of
from inbox.outbox import Outbox, line_notice, require_possible, still_waiting
from inbox.placing import preview
from inbox.sla.clocks import SlaClocks
from inbox.sources import from_content
from inbox.store import CannedStore, ConversationStore, DraftStore, MessageStore, SendStore

#: What became of a reply that may be sent again. Of `unknown` a person decides: it may arrive twice.
REPEATABLE = ("failed", "bounced", "skipped", "unknown")


class Afterthoughts:
    """Each is one transaction: nothing is half taken back."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, sends: SendStore,
        drafts: DraftStore, canned: CannedStore, outbox: Outbox, sla: SlaClocks, feed: Feed, doorbell: Doorbell,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._sends = sends
        self._drafts = drafts
        self._canned = canned
        self._outbox = outbox
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def undo(self, message_id: str, agent: Actor) -> Message:
        """Take back a reply that has not been handed over; its words are a draft of `agent` again.

        The same again changes nothing more. Raises `NotFound`, or `Conflict` when it is too late.
        """
        line = await self._reply(message_id)
        if line.get("status") == "cancelled":
            return message_of(line)
        reason = {"code": "cancelled", "sentence": f"Taken back by {agent.name or 'an agent'}.", "detail": None}
        head = await self._conversations.head(line["conversation_id"])
        if head is None:
            raise NotFound("There is no such conversation.")
        draft = DraftKey(head["_id"], agent.id or "")

        async def work(session: Session) -> Document | None:
            send = await self._sends.cancel(line["send_id"], reason, session)
            if send is None:
                return None
            change = {"status": "cancelled", "status_rank": 100, "reason": reason, "deleted_at": self._clock()}
            gone = {"text": "", "attachments": "", "due_at": ""}
            after = await self._messages.change(message_id, {"$set": change, "$unset": gone}, session)
            await self._messages.words_of.want([message_id], self._clock(), session)
            await self._conversations.write(await self._as_if_unsaid(line, send, head, session), session)
            for each in {line["conversation_id"], head["_id"]}:
                await self._sla.refresh_within(each, session)
            await self._canned.count_uses(line.get("canned_ids", ()), line["author"]["id"], -1, session)
            if line.get("retry_of"):
                await self._messages.change(line["retry_of"], {"$unset": {"retried_by": ""}}, session)
            if agent.id:
                await self._drafts.put_back(draft, line, taken_back(line), session)
            return after

        after: Document | None = await self._database.in_transaction(work)
        if after is None:
            fresh = await self._reply(message_id)
            if fresh.get("status") != "cancelled":
                raise _too_late()
            return message_of(fresh)
        await self._announce(line)
        return message_of(after)

    async def move(self, message_id: str, send_at: datetime | None) -> Message:
        """Send what is to be sent later at another time, or (None) now.

        Raises `NotFound`, `Conflict` when it is too late, `Refused` when the reply window will be closed by then,
        `WrongInput` for a time that is past.
        """
        line, now = await self._reply(message_id), self._clock()
        if send_at is not None and send_at <= now:
            raise WrongInput("This time is past.")
        at = send_at or now
        row = await self._conversations.row(line["conversation_id"])
        send = await self._sends.get(line["send_id"])
        if row is None or send is None:
            raise NotFound("There is no such reply.")
        require_possible(await self._outbox.way(row), from_content(send), at)

        async def work(session: Session) -> Document | None:
            if not await self._sends.move(line["send_id"], at, session):
                return None
            return await self._messages.change(message_id, {"$set": {"due_at": at}}, session)

        after: Document | None = await self._database.in_transaction(work)
        if after is None:
            raise _too_late()
        await self._feed.append([line_notice("message.updated", line)])
        if send_at is None:
            await self._doorbell.ring("deliver")
        return message_of(after)

    async def retry(self, message_id: str, agent: Actor) -> Message:
        """Send a reply that failed once more, as a new line under a new send key: the provider is called again.

        The same again is the same new line. Raises `NotFound`, `Conflict` for one that did not fail, and whatever
        speaks against a reply.
        """
        line = await self._reply(message_id)
        if line["author"]["type"] != "agent":
            raise Conflict("This was not written here; its journey or broadcast sends it again.", code="not_a_reply")
        if line.get("retried_by"):
            return message_of(await self._reply(line["retried_by"]))
        if line.get("status") not in REPEATABLE:
            raise Conflict("This message did not fail.", code="not_failed")
        again, key = _again(line), f"retry:{message_id}:{line.get('retries', 0)}"
        return await self._outbox.reply(line["conversation_id"], agent, again, key, retry_of=message_id)

    async def later(self, threads: Sequence[str]) -> list[Message]:
        """What is to be sent later in these conversations, the next one first."""
        sends = [send_of(row) for row in await self._sends.later(threads)]
        lines = await self._messages.many(each.message_id for each in sends if each.message_id)
        return [message_of(lines[each.message_id]) for each in sends if each.message_id in lines]

    async def _reply(self, message_id: str) -> Document:
        line = (await self._messages.many([message_id])).get(message_id)
        if line is None or not line.get("send_id"):
            raise NotFound("There is no such reply.")
        return line

    async def _as_if_unsaid(
        self, line: Document, send: Document, head: Document, session: Session
    ) -> list[tuple[Document, Document]]:  # fmt: skip
        conversation_id, message_id = line["conversation_id"], line["_id"]
        last = await self._messages.latest(threads_of(head), ["in", "out", "note"], session=session)
        shown = {"last_message": preview(last) | on_channel(last, head)} if last else {}
        return [
            ({"_id": conversation_id}, {"$inc": {"message_count": -1}}),
            (
                {"_id": conversation_id, "last_message.id": message_id},
                {"$set": shown} if shown else {"$unset": {"last_message": ""}},
            ),
            (
                {"_id": conversation_id, "first_reply_id": message_id},
                {"$unset": {"first_reply_at": "", "first_reply_id": ""}},
            ),
            *still_waiting(send),
        ]

    async def _announce(self, line: Document) -> None:
        updated = Notice("conversation.updated", {"conversation_id": line["conversation_id"]}, line["channel_id"])
        await self._feed.append([line_notice("message.updated", line), updated])


def _again(line: Document) -> ReplyInput:
    """What a line said, to be said once more. Its files are its own: they are kept as long as it is."""
    mail = line.get("mail") or {}
    kept = [each for each in line.get("attachments", ()) if each.get("file_id")]
    files: list[Enclosed] = [ChosenFile(file_id=each["file_id"], caption=each.get("caption")) for each in kept]
    template = line.get("template")
    return ReplyInput(
        text=line.get("text"), attachments=tuple(files), reply_to=line.get("reply_to"),
        buttons=tuple(Button.model_validate(each) for each in line.get("buttons", ())),
        template=TemplateCall.model_validate(template) if template else None,
        subject=mail.get("subject") or None, cc=tuple(mail.get("cc", ())),
    )  # fmt: skip


def _too_late() -> Conflict:
    return Conflict("It is too late: the message is being sent.", code="too_late")
