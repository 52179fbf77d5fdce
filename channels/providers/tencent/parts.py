"""An outbound message as the calls it takes: which file is laid down for which, what follows when one fails."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from channels.failures import Failure, SendFailed
from channels.providers.tencent.api import Api, laid_down
from channels.reading import Json
from channels.vocabulary import Attachment, AttachmentKind, Button

#: Our kinds of file and the names under which Tencent takes them.
UPLOADED_AS = {
    AttachmentKind.IMAGE: "image",
    AttachmentKind.VOICE: "voice",
    AttachmentKind.AUDIO: "voice",
    AttachmentKind.VIDEO: "video",
    AttachmentKind.FILE: "file",
}


@dataclass(frozen=True)
class Part:
    """One call: `msgtype` and what stands below that name. With a file, its `media_id` is added."""

    msgtype: str
    content: Json = field(default_factory=dict)
    file: Attachment | None = None
    max_bytes: int = 0


#: Hands over one part, by its place; gives the id that Tencent (or we) gave it.
HandOver = Callable[[int, Part], Awaitable[str]]


async def hand_over(api: Api, parts: Sequence[Part], send: HandOver) -> tuple[str, ...]:
    """All parts in order; their ids. Files are laid down first, so that a missing one leaves no half message behind."""
    if not parts:
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")
    ready = [await _with_file(api, part) for part in parts]
    ids: list[str] = []
    for place, part in enumerate(ready):
        try:
            ids.append(await send(place, part))
        except SendFailed as failed:
            raise _partly(failed, len(ids), len(ready)) from None
    return tuple(ids)


async def _with_file(api: Api, part: Part) -> Part:
    if part.file is None:
        return part
    media_id = await laid_down(api, part.file, part.msgtype, part.max_bytes)
    return Part(part.msgtype, {**part.content, "media_id": media_id})


def _partly(failed: SendFailed, sent: int, parts: int) -> SendFailed:
    """When a part was taken already, repeating the whole could double it: no failure that is retried by itself."""
    if not sent:
        return failed
    detail = f"{sent} of {parts} parts were sent, then: {failed}"
    return SendFailed(Failure.UNCERTAIN, detail, provider_code=failed.provider_code)


def file_parts(files: Sequence[Attachment], limits: dict[AttachmentKind, int]) -> list[Part]:
    """Each file, and its caption as a text of its own, for Tencent's files carry none."""
    found = []
    for file in files:
        found.append(Part(UPLOADED_AS[file.kind], {}, file, limits[file.kind]))
        if file.caption:
            found.append(Part("text", {"content": file.caption}))
    return found


def with_links(text: str, buttons: Sequence[Button]) -> str:
    """The text with link buttons below it, as links that can be tapped."""
    links = [f'<a href="{_attribute(button.url)}">{_plain(button.title)}</a>' for button in buttons if button.url]
    return "\n".join(part for part in (text, *links) if part)


def check_length(text: str, limit: int) -> str:
    """The text, when Tencent takes that many bytes; else `CONTENT_REJECTED`, before any call."""
    if len(text.encode()) > limit:
        raise SendFailed(Failure.CONTENT_REJECTED, f"With its buttons the text is longer than {limit} bytes.")
    return text


def _attribute(url: str) -> str:
    return url.replace('"', "%22").replace("<", "%3C").replace(">", "%3E")


def _plain(title: str) -> str:
    return re.sub(r"[<>]", "", title)
