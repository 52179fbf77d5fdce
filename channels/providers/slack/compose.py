"""An outbound message as calls of Slack's API. Pure; the files themselves are fetched and sent elsewhere.

https://docs.slack.dev/reference/methods/chat.postMessage, …/reference/block-kit
(by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from channels.failures import Failure, SendFailed
from channels.providers.slack.card import BUTTON_TITLE_LIMIT
from channels.providers.slack.interactions import LINK_ACTION
from channels.providers.slack.messages import METADATA_KEY, METADATA_TYPE
from channels.providers.slack.objects import is_timestamp
from channels.providers.slack.words import escaped
from channels.reading import Json
from channels.vocabulary import Attachment, Button, OutboundMessage

#: Characters of one text block, of what a button carries and of an address behind one.
BLOCK_LIMIT = 3000
PAYLOAD_LIMIT = 2000
LINK_LIMIT = 3000
#: A longer text goes as a message of its own and not as a comment of the files.
COMMENT_LIMIT = 4000
#: Blocks of one message, the row of buttons among them.
_MAX_BLOCKS = 50


@dataclass(frozen=True)
class Thread:
    """The message that is answered."""

    conversation: str
    ts: str


@dataclass(frozen=True)
class Plan:
    """What one message becomes: files with their comment, then the text."""

    #: A conversation or a user; for a user Slack finds the direct messages itself.
    target: str
    thread: Thread | None
    files: tuple[Attachment, ...]
    comment: str | None
    post: Json | None

    @property
    def parts(self) -> int:
        return bool(self.files) + (self.post is not None)


def plan_of(message: OutboundMessage) -> Plan:
    """How `message` goes out. Raises `SendFailed` for what Slack would refuse."""
    _refuse_early(message)
    thread, target = _thread(message), message.to.external_id
    comment = _comment(message)
    post = _post(message) if message.text and comment is None else None
    return Plan(thread.conversation if thread else target, thread, message.attachments, comment, post)


def is_person(external_id: str) -> bool:
    """True for a user's id, false for a conversation's."""
    return external_id.startswith(("U", "W"))


def _refuse_early(message: OutboundMessage) -> None:
    for button in message.buttons:
        fault = _fault_of(button)
        if fault:
            raise SendFailed(Failure.CONTENT_REJECTED, f"The button {button.title!r} {fault}.")
    if message.buttons and not 0 < len(message.text or "") <= BLOCK_LIMIT * (_MAX_BLOCKS - 1):
        raise SendFailed(Failure.CONTENT_REJECTED, "Buttons need a text above them.")
    if any(not file.url and file.content is None for file in message.attachments):
        raise SendFailed(Failure.CONTENT_REJECTED, "A file has neither an address nor content.")
    if not (message.text or "").strip() and not message.attachments:
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")


def _fault_of(button: Button) -> str | None:
    if not 0 < len(button.title) <= BUTTON_TITLE_LIMIT:
        return f"has no title, or one of more than {BUTTON_TITLE_LIMIT} characters"
    if len(button.payload or "") > PAYLOAD_LIMIT:
        return f"carries more than {PAYLOAD_LIMIT} characters"
    return f"leads to an address of more than {LINK_LIMIT} characters" if len(button.url or "") > LINK_LIMIT else None


def _thread(message: OutboundMessage) -> Thread | None:
    """The quoted message, when it stands where we write to: a private answer never goes into a channel."""
    conversation, _, ts = (message.reply_to or "").rpartition(":")
    to = message.to.external_id
    here = conversation == to or (is_person(to) and conversation.startswith("D"))
    return Thread(conversation, ts) if here and is_timestamp(ts) else None


def _comment(message: OutboundMessage) -> str | None:
    """The text, where it can stand with the files."""
    if not message.attachments:
        return None
    captions = [file.caption for file in message.attachments if file.caption]
    if not message.text:
        return escaped("\n".join(captions)) or None
    alone = not message.buttons and not captions and len(message.text) <= COMMENT_LIMIT
    return escaped(message.text) if alone else None


def _post(message: OutboundMessage) -> Json:
    said = message.text or ""
    made: Json = {
        "text": escaped(said),
        "mrkdwn": False,
        "metadata": {"event_type": METADATA_TYPE, "event_payload": {METADATA_KEY: message.key}},
    }
    return {**made, "blocks": list(_blocks(said, message.buttons))} if message.buttons else made


def _blocks(said: str, buttons: Sequence[Button]) -> Iterator[Json]:
    for start in range(0, len(said), BLOCK_LIMIT):
        yield {"type": "section", "text": _plain(said[start : start + BLOCK_LIMIT])}
    yield {"type": "actions", "elements": [_button(place, each) for place, each in enumerate(buttons)]}


def _button(place: int, button: Button) -> Json:
    made: Json = {"type": "button", "text": _plain(button.title)}
    if button.url:
        return {**made, "action_id": f"{LINK_ACTION}-{place}", "url": button.url}
    return {**made, "action_id": f"rapport-reply-{place}", "value": button.payload or button.title}


def _plain(said: str) -> Json:
    return {"type": "plain_text", "text": said, "emoji": True}
