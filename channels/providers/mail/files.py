"""Outgoing files given as addresses are fetched before a mail is put together."""

from __future__ import annotations

from base.http import HttpFailed
from channels.adapter import Http
from channels.failures import Failure, SendFailed
from channels.vocabulary import Attachment, OutboundMessage

FETCH_S = 30.0
#: Bytes of all files of one mail.
MAX_FILES = 20_000_000


async def loaded(http: Http, message: OutboundMessage, *, max_bytes: int) -> OutboundMessage:
    """The message with the bytes of each file in it. Raises `SendFailed`; nothing has been sent then."""
    if not message.attachments:
        return message
    files = [await _with_content(http, file, max_bytes) for file in message.attachments]
    if sum(len(file.content or b"") for file in files) > MAX_FILES:
        raise SendFailed(Failure.CONTENT_REJECTED, f"The files of one mail may have {MAX_FILES} bytes together.")
    return message.model_copy(update={"attachments": tuple(files)})


async def _with_content(http: Http, file: Attachment, max_bytes: int) -> Attachment:
    if file.content is None:
        file = file.model_copy(update={"content": await _fetched(http, file.url, max_bytes)})
    if len(file.content or b"") > max_bytes:
        raise SendFailed(Failure.CONTENT_REJECTED, f"A file has more than {max_bytes} bytes.")
    return file


async def _fetched(http: Http, url: str | None, max_bytes: int) -> bytes:
    if not url:
        raise SendFailed(Failure.CONTENT_REJECTED, "A file of the message has neither bytes nor an address.")
    try:
        answer = await http.request("GET", url, timeout_s=FETCH_S, max_bytes=max_bytes)
    except HttpFailed as error:
        failure = Failure.TEMPORARY if error.is_passing else Failure.CONTENT_REJECTED
        raise SendFailed(failure, f"A file could not be fetched: {error}") from None
    if answer.status != 200:
        failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
        raise SendFailed(failure, f"A file could not be fetched: its address answered {answer.status}.")
    return answer.body
