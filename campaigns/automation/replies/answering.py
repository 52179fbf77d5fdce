"""Says what is said by itself: hears of messages, and answers each at most once.

A listener that only writes duties, each under its event; its own drain judges them on fresh data. The answer in the
outbox, labels and team, and what was said to whom are one transaction: who dies leaves either all of it or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES
from base.errors import Conflict, NotFound, Refused, WrongInput
from base.ids import new_id, unique_key
from base.mongo import UNAVAILABLE, Document, OperationFailure, Session
from base.queue import Doorbell
from campaigns.automation.happening import Ran, ran
from campaigns.automation.replies.book import ChannelReplyBook, Closed, TeamNames
from campaigns.automation.replies.choosing import Answer, Heard, Said, Standing, chosen, is_to_be_answered
from campaigns.automation.replies.store import KEPT, AutomaticReplyStore, SaidAlready
from campaigns.automation.replies.writing import ReplyWords
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from inbox.acts import LABELS_MAX, Act, ListChange, Plan, in_team, labels_changed
from inbox.conversations import ConversationActions
from inbox.models import SYSTEM, SendRequest, Source
from inbox.outbox import Outbox, Way
from inbox.owning import has_bot
from inbox.policy import window_objection
from inbox.sources import written
from inbox.store import ConversationStore, MessageStore
from profiles.events import Event, EventStore
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

#: `source.kind` of what is sent here.
KIND = "channel_reply"
REFERENCES_KEPT = 20
#: What was said longer ago is forgotten soon.
LOOKED_BACK = KEPT - timedelta(days=1)


class _NotOurs(Exception):
    """The duty is somebody else's now."""


class AutomaticReplies:
    """Plans and gives answers."""

    def __init__(
        self, book: ChannelReplyBook, rows: AutomaticReplyStore, words: ReplyWords, teams: TeamNames,
        conversations: ConversationStore, messages: MessageStore, profiles: ProfileStore, outbox: Outbox,
        actions: ConversationActions, events: EventStore, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._book = book
        self._rows = rows
        self._words = words
        self._teams = teams
        self._conversations = conversations
        self._messages = messages
        self._profiles = profiles
        self._outbox = outbox
        self._actions = actions
        self._events = events
        self._doorbell = doorbell
        self._clock = clock

    async def hear(self, events: Sequence[Event]) -> None:
        """Told of what happens: plans an answer to each message that may be answered. May be told twice."""
        heard = [each for each in events if is_to_be_answered(each)]
        if not heard:
            return
        replies = await self._book.of({each.channel_id for each in heard if each.channel_id})
        speaking = {channel_id for channel_id, each in replies.items() if each.is_on}
        await self._rows.plan([_planned(each, self._clock()) for each in heard if each.channel_id in speaking])

    async def drain(self, limit: int = 50) -> int:
        """Answer what is due; how many messages were judged."""
        duties = await self._rows.duties.claim(["due"], self._clock(), limit=limit)
        for duty in duties:
            try:
                await (self._skip(duty, "crashed") if duty["attempts"] > MAX_CRASHES else self._answer(duty))
            except SaidAlready:
                await self._skip(duty, "said_already")
            except (OperationFailure, Conflict, _NotOurs):  # somebody else is at it: it comes again, or is done
                continue
            except UNAVAILABLE:
                raise
            except Exception:  # it alone: due again when its lease ends, and set aside at last
                log.exception("a message could not be judged", extra={"duty": duty["_id"]})
        return len(duties)

    async def _answer(self, duty: Document) -> None:
        why = await self._answered(duty)
        if why is not None:
            await self._skip(duty, why)

    async def _answered(self, duty: Document) -> str | None:
        """Answer a message; why not, where it is not answered."""
        talk = await self._conversations.row(duty["conversation_id"])
        head = await self._conversations.head(duty["conversation_id"])
        person = await self._profiles.get(talk["profile_id"]) if talk else None
        if talk is None or head is None or person is None:
            return "gone"
        now, replies = self._clock(), await self._book.get(talk["channel_id"])
        closed = await self._book.closed(replies, now)
        before = await self._rows.said_to(talk["profile_id"], now - LOOKED_BACK)
        heard = heard_of(duty)
        answer = chosen(replies, heard, standing_of(head, before, closed), now, self._book.zone)
        if not isinstance(answer, Answer):
            return answer
        about = person.model_dump(by_alias=True)
        text = await self._words.write(answer.texts, about, heard.text, closed.opens_at, closed.zone, now)
        request: SendRequest | str | None = "not_written" if answer.texts and text is None else None
        if text is not None:
            request = await self._request(duty, talk, text)
        if isinstance(request, str) and not (answer.labels or answer.team_id):
            return request
        return await self._carry_out(duty, talk, answer, text, request)

    async def _request(self, duty: Document, talk: Document, text: str) -> SendRequest | str:
        """What is to be sent, or why it cannot be."""
        try:
            way = await self._outbox.way(talk)
        except Refused as refused:
            return refused.code
        key = unique_key(KIND, duty["event_id"])
        message = await self._message(duty, talk, way, key, text)
        if window_objection(way.capabilities, way.identity, self._clock(), message) is not None:
            return "window"
        if way.capabilities.objection(message) is not None:
            return "not_supported"
        return SendRequest(
            send_key=key, send_class="service", source=Source(KIND, duty["_id"]), profile_id=talk["profile_id"],
            identity_id=talk["identity_id"], channel_id=talk["channel_id"], content=written(message),
            conversation_id=talk["_id"],
        )  # fmt: skip

    async def _message(self, duty: Document, talk: Document, way: Way, key: str, text: str) -> OutboundMessage:
        mail = None
        if way.is_mail:
            row = (await self._messages.many([duty["message_id"]])).get(duty["message_id"]) or {}
            mail = mail_head(row.get("mail") or {}, talk.get("subject"))
        to = Address(channel_id=talk["channel_id"], external_id=way.identity.external_id or "?")
        return OutboundMessage(key=key, to=to, text=text, mail=mail, automatic=True)

    async def _carry_out(
        self, duty: Document, talk: Document, answer: Answer, text: str | None, request: SendRequest | str | None
    ) -> str | None:  # fmt: skip
        """All of it, or nothing; why nothing."""
        sends = [request] if isinstance(request, SendRequest) else []
        done: Document = {"state": "said", "kind": answer.kind, "settled_at": self._clock()}
        if sends:
            done |= {"about": answer.mark, "mark": f"{talk['profile_id']}:{answer.mark}", "said": text or "",
                     "send_key": sends[0].send_key}  # fmt: skip
        elif isinstance(request, str):
            done["why"] = request

        parts = {"reply": sends, "labels": answer.labels, "team": answer.team_id}
        did = [each for each, given in parts.items() if given]
        left = [] if sends or not isinstance(request, str) else [{"type": "reply", "why": request}]
        run = Ran("reply", duty["_id"], answer.kind, duty["_id"], did, left, None, "system")
        told = ran(run, talk, self._clock())

        async def within(session: Session, _row: Document, _acts: Sequence[Act]) -> None:
            if not await self._rows.settle(duty, done, session):
                raise _NotOurs
            await self._outbox.request(sends, session)
            await self._events.record([told], session)

        try:
            await self._actions.change(talk["_id"], await self._plans(answer), SYSTEM, within)
        except NotFound:
            return "gone"
        except WrongInput:  # with as many labels as there may be it takes no more; the words go out all the same
            if not answer.labels:
                raise
            if not (sends or answer.team_id):
                return "too_many_labels"
            return await self._carry_out(duty, talk, replace(answer, labels=()), text, request)
        if sends:
            await self._doorbell.ring("deliver")
        return None

    async def _plans(self, answer: Answer) -> list[Plan]:
        plans: list[Plan] = []
        if answer.labels:
            plans.append(labels_changed(ListChange(add=answer.labels[:LABELS_MAX]), SYSTEM))
        names = await self._teams.standing([answer.team_id]) if answer.team_id else {}
        if answer.team_id in names:
            plans.append(in_team(answer.team_id, SYSTEM, name=names[answer.team_id]))
        return plans

    async def _skip(self, duty: Document, why: str) -> None:
        await self._rows.settle(duty, {"state": "skipped", "why": why, "settled_at": self._clock()})


def _planned(event: Event, now: datetime) -> Document:
    told = event.properties
    return {
        "_id": new_id("arp"), "key": event.id, "state": "due", "due_at": now, "attempts": 0, "fence": 0,
        "event_id": event.id, "message_id": told.get("message_id"), "conversation_id": event.conversation_id,
        "channel_id": event.channel_id, "profile_id": event.profile_id, "identity_id": event.identity_id,
        "text": str(told.get("text") or ""), "payload": str(told.get("payload") or ""), "heard_at": event.occurred_at,
    }  # fmt: skip


def heard_of(duty: Document) -> Heard:
    """The message of a duty."""
    return Heard(duty.get("text") or "", duty["heard_at"], duty.get("payload") or "")


def standing_of(head: Document, before: Sequence[Document], closed: Closed) -> Standing:
    """How a conversation stands, by its row and what was said to its person before. Pure."""
    answered = [at for name in ("last_reply_at", "answered_at") if (at := head.get(name))]
    said = [
        Said(each["kind"], each["settled_at"], each["about"], each.get("said") or "")
        for each in before
        if each.get("about")
    ]
    return Standing(
        head.get("reopened_at") or head["created_at"], max(answered, default=None),
        "bot" if has_bot(head) else None, head["status"], said, closed.is_open, closed.opens_at,
    )  # fmt: skip


def mail_head(mail: Mapping[str, Any], subject: str | None) -> OutboundMail:
    """The head of an answer to a mail: in its thread. Pure."""
    answered, about = mail.get("message_id"), mail.get("subject") or subject or ""
    references = [*mail.get("references", ()), *([answered] if answered else ())]
    return OutboundMail(
        subject=about if about.lower().startswith("re:") else f"Re: {about}".strip(), in_reply_to=answered,
        references=tuple(dict.fromkeys(references))[-REFERENCES_KEPT:],
    )  # fmt: skip
