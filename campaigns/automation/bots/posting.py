"""Each message in a conversation that a bot has is posted to it; who is silent, fails or is not wanted loses it.

A listener that only writes posts, each under its event; a drain of its own calls out, side by side. What is posted is
read anew at every try, under the id of the event. A bot that has taken a message has so long to speak; then people have
the conversation. Two programs that answer each other are stopped by how often a bot is told of one conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import orjson

from base.clock import Clock, iso
from base.http import HttpClient, HttpFailed, HttpReply
from base.mongo import Document
from base.side_by_side import SideBySide
from base.signing import standard_headers
from campaigns.automation.bots.book import Bots
from campaigns.automation.bots.handing import HandOver
from campaigns.automation.bots.models import asks_for_person, says_quiet
from campaigns.automation.bots.store import DONE, FAILED, SKIPPED, WAITING, BotPostStore, BotStore
from campaigns.automation.replies.choosing import is_said_to_us, word_of
from campaigns.calling import TEMPORARY
from inbox.consent_words import is_stop
from inbox.opting import word_key
from inbox.owning import ASKED_TO_STOP, Reason, belongs_to, has_bot
from inbox.store import ConversationStore, MessageStore
from profiles.consent import MARKETING, Consent
from profiles.events import Event, EventStore

#: Seconds for one answer, and bytes that are read of it at most.
TIMEOUT_S, READ_MAX = 10.0, 100_000
#: Tries of one post and the time between them: a customer waits.
TRIES, BACKOFF = 3, (timedelta(seconds=1), timedelta(seconds=4))
#: What a post says it is: a message of the customer, or that somebody gave the conversation to the bot.
TOLD = {"message": "message.received", "given": "conversation.given"}
#: Told more often of one conversation within this time, it talks in circles.
CIRCLES = ((timedelta(minutes=10), 40), (timedelta(hours=24), 300))


class Views(Protocol):
    """How what an event is about looks to programs."""

    async def of(self, event: Event, channels: frozenset[str] | None) -> Mapping[str, Any] | None:
        """Name → view, as the API shows it to who is limited to these channels; None: it is not for them."""
        ...


class BotPoster:
    """Plans and sends posts, and looks after those who are silent."""

    def __init__(
        self, bots: Bots, store: BotStore, posts: BotPostStore, handing: HandOver, conversations: ConversationStore,
        messages: MessageStore, consent: Consent, events: EventStore, views: Views, http: HttpClient, clock: Clock,
    ) -> None:  # fmt: skip
        self._bots = bots
        self._store = store
        self._posts = posts
        self._handing = handing
        self._conversations = conversations
        self._messages = messages
        self._consent = consent
        self._events = events
        self._views = views
        self._http = http
        self._clock = clock
        self._calls = SideBySide(posts.by_host, self._post, self._worn_out)

    async def hear(self, events: Sequence[Event]) -> None:
        """Told of what happens: plans a post for each message in a conversation that a bot has, and when one is given
        to it. May be told twice."""
        heard = [(each, kind) for each in events if (kind := _kind(each)) is not None]
        if not heard or not await self._store.any():
            return
        talks = await self._conversations.rows(each.conversation_id for each, _ in heard if each.conversation_id)
        held = [
            (each, kind, talk) for each, kind in heard
            if (talk := talks.get(each.conversation_id or "")) is not None and has_bot(talk)
        ]  # fmt: skip
        lines = await self._messages.many(str(each.properties.get("message_id")) for each, _, _ in held)
        bots = {bot_id: await self._store.known(bot_id) for bot_id in {talk["bot_id"] for _, _, talk in held}}
        posts = []
        for each, kind, talk in held:
            bot = bots[talk["bot_id"]]
            line = lines.get(str(each.properties.get("message_id")))
            if bot is not None and _concerns(kind, each, line, talk):
                posts.append(_planned(each, bot, kind))
        await self._posts.plan(posts)

    async def drain(self, limit: int = 50) -> int:
        """Begin as many due posts as there is room for; how many. Does not wait for slow answers."""
        return await self._calls.drain(limit)

    async def idle(self) -> None:
        """Wait for the posts under way."""
        await self._calls.idle()

    async def close(self) -> None:
        """Give up what is under way; it is due again when its lease ends."""
        await self._calls.close()

    # -- one post ----------------------------------------------------------------------------------------------

    async def _worn_out(self, row: Document) -> None:
        await self._lost(row, "error", "crashed")

    async def _post(self, row: Document) -> None:
        bot, talk = await self._store.get(row["bot_id"]), await self._conversations.row(row["conversation_id"])
        if talk is None or not belongs_to(talk, row["bot_id"]):
            await self._posts.settle(row, SKIPPED, "not_its_own")
        elif bot is None or not bot["active"] or row["channel_id"] not in bot["channel_ids"]:
            await self._lost(row, "off", "switched_off")
        elif await self._asked_to_stop(row):
            await self._lost(row, "stopped", ASKED_TO_STOP, DONE)
        elif row["kind"] == "undelivered":
            await self._lost(row, "undelivered", "undelivered", DONE)
        elif await self._in_circles(row):
            await self._lost(row, "circles", "circles")
        else:
            await self._tell(row, bot)

    async def _in_circles(self, row: Document) -> bool:
        for span, most in CIRCLES:
            if await self._posts.told_since(row["conversation_id"], self._clock() - span) > most:
                return True
        return False

    async def _asked_to_stop(self, row: Document) -> bool:
        """Whether an answer is owed that a bot may not give: the customer has said STOP, and nothing since."""
        return bool(row["waits"]) and is_stop(await self._messages.latest(row["conversation_id"], ["in"]))

    async def _is_consent(self, event: Event) -> bool:
        """Whether it is a word by which somebody takes back a no; from anybody else it is a greeting."""
        word = word_of(event)
        if word is None or not event.identity_id:
            return False
        message_id = str(event.properties.get("message_id"))
        line = (await self._messages.many([message_id])).get(message_id) or {}
        key = word_key(str(event.channel_id), str(line.get("provider_message_id")))
        return await self._consent.was_refused(event.identity_id, MARKETING, key)

    async def _tell(self, row: Document, bot: Document) -> None:
        event = await self._events.get(row["event_id"])
        if event is not None and row["kind"] == "given":
            event = await self._with_last_words(event)
        views = await self._views.of(event, frozenset(bot["channel_ids"])) if event is not None else None
        if event is None or views is None or (row["kind"] == "message" and "message" not in views):
            await self._posts.settle(row, SKIPPED, "gone")
        elif row["kind"] == "message" and await self._is_consent(event):
            await self._posts.settle(row, SKIPPED, "consent_word")
        elif row["kind"] == "message" and asks_for_person(str(event.properties.get("text") or ""), bot["person_words"]):
            await self._lost(row, "asked", "asked_for_person", DONE)
        else:
            await self._posted(row, bot, written(event, bot, views, row["kind"]))

    async def _with_last_words(self, event: Event) -> Event:
        """With what the customer said last, for a bot that is given a conversation."""
        line = await self._messages.latest(event.conversation_id or "", ["in"])
        told = {**event.properties, "message_id": line["_id"] if line else None}
        return event.model_copy(update={"properties": told})

    async def _posted(self, row: Document, bot: Document, body: bytes) -> None:
        headers = {"Content-Type": "application/json", **self._signed(bot, row["event_id"], body)}
        try:
            reply = await self._http.request(
                "POST", bot["url"], headers=headers, data=body, timeout_s=TIMEOUT_S, max_bytes=READ_MAX
            )
        except HttpFailed as failed:
            await self._failed(row, bot, failed.reason, passing=failed.is_passing)
            return
        if not 200 <= reply.status < 300:
            await self._failed(row, bot, f"status_{reply.status}", passing=reply.status in TEMPORARY)
            return
        await self._store.note_failure(bot["_id"], None)
        if says_quiet(_said(reply)):
            await self._posts.settle(row, DONE, "quiet")
        elif not row["waits"]:
            await self._posts.settle(row, DONE, "taken")
        else:
            until = self._clock() + timedelta(seconds=bot["silent_s"])
            await self._posts.put_off(row, until, "taken", WAITING)

    async def _failed(self, row: Document, bot: Document, error: str, *, passing: bool) -> None:
        await self._store.note_failure(bot["_id"], error)
        if passing and row["tries"] + 1 < TRIES:
            await self._posts.put_off(row, self._clock() + BACKOFF[row["tries"]], error)
        else:
            await self._lost(row, "error", error)

    async def _lost(self, row: Document, reason: Reason, said: str, state: str = FAILED) -> None:
        """People have the conversation; who dies in between does both again, which changes nothing."""
        talk = await self._conversations.row(row["conversation_id"])
        if talk is not None and belongs_to(talk, row["bot_id"]):
            await self._handing.hand_over(row["conversation_id"], reason)
        await self._posts.settle(row, state, said)

    def _signed(self, bot: Document, message_id: str, body: bytes) -> dict[str, str]:
        return standard_headers(self._bots.secrets_of(bot), message_id, self._clock(), body)

    # -- chores ------------------------------------------------------------------------------------------------

    async def look_after_silent(self, limit: int = 50) -> int:
        """Who took a message and has said nothing since loses the conversation; how many were looked at."""
        rows = await self._posts.claim_silent(limit)
        for row in rows:
            talk = await self._conversations.row(row["conversation_id"])
            if talk is None or not belongs_to(talk, row["bot_id"]):
                await self._posts.settle(row, DONE, "not_its_own")
            elif await self._messages.spoken_by("bot", row["conversation_id"], row["created_at"]):
                await self._posts.settle(row, DONE, "answered")
            elif await self._posts.given_since(row):
                await self._posts.settle(row, DONE, "given_again")
            elif await self._asked_to_stop(row):
                await self._lost(row, "stopped", ASKED_TO_STOP, DONE)
            else:
                await self._lost(row, "silent", "silent")
        return len(rows)

    async def take_from_leaving(self) -> int:
        """What bots have that were switched off, taken away or moved goes to people; how many conversations."""
        moved = 0
        for bot in await self._store.leaving():
            kept = bot["channel_ids"] if bot["stands"] and bot["active"] else ()
            async for talk in self._conversations.of_bot(bot["_id"]):
                if talk["channel_id"] not in kept:
                    await self._handing.hand_over(talk["_id"], "off")
                    moved += 1
            await self._store.left(bot)
        return moved


def _kind(event: Event) -> str | None:
    """What an event is to a bot that has its conversation; None: nothing."""
    if event.conversation_id is None or event.profile_id is None:
        return None
    if event.name == "conversation.status_changed":
        return "given" if event.properties.get("to") == "pending" and event.properties.get("bot_id") else None
    if event.name == "message.failed":
        return "undelivered"
    if not is_said_to_us(event):
        return None
    word = word_of(event)  # "start" may be a greeting: see `_is_consent`
    return "message" if word is None or (word.granted and not word.explicit) else None


def _concerns(kind: str, event: Event, line: Document | None, talk: Document) -> bool:
    """Whether a bot that has this conversation is told: of what came since it has it, and of its own that
    failed; not of a time when it had it before."""
    if kind == "given":
        return bool(event.properties.get("bot_seq") == talk["bot_seq"])
    if line is None:
        return False
    return bool(line["seq"] > talk["bot_seq"]) if kind == "message" else bool(line["author"]["type"] == "bot")


def _planned(event: Event, bot: Document, kind: str) -> Document:
    return {
        "key": f"{bot['_id']}:{event.id}", "bot_id": bot["_id"], "event_id": event.id, "host": bot["host"],
        "message_id": event.properties.get("message_id"), "conversation_id": event.conversation_id,
        "channel_id": event.channel_id, "profile_id": event.profile_id, "identity_id": event.identity_id,
        "kind": kind, "waits": kind != "given" or bool(event.properties.get("waits")),
    }  # fmt: skip


def written(event: Event, bot: Document, views: Mapping[str, Any], kind: str) -> bytes:
    """What a bot is told of a message, or of a conversation that was given to it."""
    told = event.properties
    more = {"payload": told.get("payload")} if kind == "message" else {"waits": bool(told.get("waits"))}
    data = {
        "id": event.id, "bot_id": bot["_id"], "conversation_id": event.conversation_id, "profile_id": event.profile_id,
        "message": None, **more, **views,
    }  # fmt: skip
    return orjson.dumps({"type": TOLD[kind], "timestamp": iso(event.occurred_at), "data": data})


def _said(reply: HttpReply) -> Any:
    """The answer as JSON; None where it is none."""
    return reply.json() if reply.body.strip() else None
