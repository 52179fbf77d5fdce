"""What a visitor sees of their conversation: never a note, a quiet line, an address, or what has not gone out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.mongo import Document
from inbox.file_types import SHOWN as DRAWN
from inbox.models import Author, Message
from inbox.store import ConversationStore, MessageStore
from profiles.models import iso_ms

#: States of a line of ours that make it visible. What waits, failed or was taken back is nobody's business outside.
GONE_OUT = ("sent", "accepted", "delivered", "read")
#: Lines shown when a window opens; older ones on request.
FIRST = 40
#: Lines gathered at most for a window that comes back after a long time; beyond, it begins anew.
MOST = 400
_LINKS = ("https://", "http://", "mailto:", "tel:")

#: A kept file's id → where the visitor's browser gets it.
Link = Callable[[str], str]
Shown = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Lines, oldest first. `more`: cursor of those before them."""

    lines: list[Shown]
    more: str | None
    #: False when older lines than `after` may be missing between what the window has and what it gets.
    gapless: bool = True


class Threads:
    """Reads visitors' lines."""

    def __init__(self, conversations: ConversationStore, messages: MessageStore, link: Link) -> None:
        self._conversations = conversations
        self._messages = messages
        self._link = link

    async def of(self, identity_ids: Sequence[str], channel_id: str) -> list[Document]:
        """The conversations of these identities on one channel, the newest first."""
        return await self._conversations.of_identities(identity_ids, channel_id) if identity_ids else []

    async def since(self, conversation_ids: Sequence[str], after: datetime | None) -> Part:
        """The newest lines, and all back to `after`, as far as those are not too many."""
        part = await self.before(conversation_ids, None)
        while after is not None and part.more and _at(part.lines[0]) > iso_ms(after) and len(part.lines) < MOST:
            earlier = await self.before(conversation_ids, part.more)
            part = Part([*earlier.lines, *part.lines], earlier.more)
        reached = after is None or not part.more or _at(part.lines[0]) <= iso_ms(after)
        return Part(part.lines, part.more, gapless=reached)

    async def before(self, conversation_ids: Sequence[str], cursor: str | None) -> Part:
        """Lines before a cursor; the newest without one. Raises `WrongInput` for a cursor that is none."""
        if not conversation_ids:
            return Part([], None)
        page = await self._messages.shown(conversation_ids, GONE_OUT, limit=FIRST, cursor=cursor)
        lines = [shown for each in reversed(page.data) if (shown := shown_line(each, self._link))]
        return Part(lines, page.next_cursor if lines else None)

    async def line(self, message_id: str) -> Shown | None:
        """One line as it is now; None when it is not for the visitor."""
        message = await self._messages.get(message_id)
        return shown_line(message, self._link) if message is not None else None


def shown_line(message: Message, link: Link) -> Shown | None:
    """The line as a visitor's browser gets it; None when it is not for the visitor."""
    if message.direction not in ("in", "out") or (message.direction == "out" and message.status not in GONE_OUT):
        return None
    mine = message.direction == "in"
    line: Shown = {
        "id": message.id, "seq": message.seq, "in": message.conversation_id, "at": iso_ms(message.provider_at),
        "mine": mine,
    }  # fmt: skip
    line |= {"key": _key_of(message)} if mine else {"st": message.status, "name": public_name(message.author)}
    if message.deleted_at is not None:
        return {**line, "gone": True}
    extras = {
        "text": message.text or (message.postback or {}).get("title"),
        "files": [_file(each, link) for each in message.attachments if not each.get("inline")],
        "buttons": [button for each in message.buttons if (button := _button(each))],
        "mail": message.mail is not None, "reaction": _reaction(message), "pressed": _pressed(message),
    }  # fmt: skip
    return line | {name: value for name, value in extras.items() if value}


def _pressed(message: Message) -> dict[str, str] | None:
    """Of which line a button was pressed, and what it stands for: that line's buttons have done their work."""
    payload = (message.postback or {}).get("payload")
    return {"of": message.reply_to, "payload": payload} if payload and message.reply_to else None


def public_name(author: Author) -> str:
    """What an agent is called outside: a name, never a mail address. Empty: the shop itself speaks (a program does)."""
    is_person = author.type == "agent" and not (author.id or "").startswith("tok_")
    name = (author.name or "").strip() if is_person else ""
    return "" if "@" in name else name[:80]


def _key_of(message: Message) -> str:
    """The key the browser made; empty for what came by mail."""
    visitor, _, key = (message.provider_message_id or "").partition(":")
    return key if visitor[:2] in ("v_", "u_") else ""


def _reaction(message: Message) -> str:
    """The emoji of the other side: ours on the visitor's message, once it has gone out; theirs on one of ours."""
    if message.direction == "out":
        return str(message.reactions[-1]["emoji"]) if message.reactions else ""
    ours = message.reacted or {}
    return str(ours.get("emoji") or "") if ours.get("state") == "sent" else ""


def _button(button: Mapping[str, Any]) -> Shown | None:
    title, url = str(button.get("title") or "")[:60], button.get("url")
    if url:
        return {"title": title, "url": str(url)} if str(url).lower().startswith(_LINKS) else None
    return {"title": title, "payload": str(button.get("payload") or title)}


def _file(attachment: Mapping[str, Any], link: Link) -> Shown:
    file_id, state = attachment.get("file_id"), attachment.get("state")
    media_type = str(attachment.get("media_type") or "").partition(";")[0].strip().lower()
    shown: Shown = {"name": str(attachment.get("name") or attachment.get("file_name") or "file")}
    if attachment.get("size_bytes"):
        shown["size"] = attachment["size_bytes"]
    if attachment.get("caption"):
        shown["caption"] = attachment["caption"]
    if file_id and state == "stored":
        drawn = media_type.partition("/")[0] if media_type in DRAWN else "file"
        return shown | {"kind": drawn, "href": link(str(file_id))}
    url = str(attachment.get("url") or "")
    if not file_id and url.startswith(("https://", "http://")):
        return shown | {"kind": "file", "href": url}
    return shown | {"kind": "missing" if state == "failed" else "coming"}


def _at(line: Shown) -> str:
    return str(line["at"])
