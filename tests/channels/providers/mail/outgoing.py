"""What the tests of sending through an API have in common: one message, and what goes wrong with every provider."""

from __future__ import annotations

from typing import Any

import pytest

from base.http import HttpClient
from channels.adapter import Account, Adapter
from channels.failures import Failure, SendFailed
from channels.vocabulary import Address, Attachment, AttachmentKind, OutboundMail, OutboundMessage
from tests.channels.peer import Peer, cut, loopback_client, slow

FILES = (
    Attachment(kind=AttachmentKind.FILE, media_type="application/pdf", file_name='a".pdf', content=b"%PDF"),
    Attachment(kind=AttachmentKind.IMAGE, media_type="image/png", content=b"PNG", inline=True, content_id="i1"),
)


def message(to: str = "anna@example.net", **mail: Any) -> OutboundMessage:
    address = Address(channel_id="chn_1", external_id=to)
    return OutboundMessage(key="snd_1", to=address, text="Hello", mail=OutboundMail(**{"subject": "Grüße", **mail}))


def rich() -> OutboundMessage:
    """Everything a mail can have but files."""
    return message(
        html="<p>Hello</p>", reply_token="tok", in_reply_to="a@b", references=("x@y", "a@b"), cc=("b@c.de",),
        list_unsubscribe_url="https://crm.example.com/u/x",
    )  # fmt: skip


async def refused(adapter: Adapter, account: Account, outgoing: OutboundMessage | None = None) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, outgoing or message())
    assert "canary" not in f"{caught.value!r} {caught.value.detail}"
    return caught.value


class Hasty(HttpClient):
    """Waits for half a second only."""

    async def request(self, method: str, url: str, **more: Any) -> Any:
        return await super().request(method, url, **{**more, "timeout_s": 0.5})


async def is_uncertain_when_lost(adapter: type[Adapter], peer: Peer, account: Account) -> None:
    """Cut after the request was taken, or too slow: it may have been carried out."""
    http = Hasty(loopback_client().guard)
    for trouble in (cut, slow(3.0)):
        peer.will(trouble)
        assert (await refused(adapter(http), account)).failure is Failure.UNCERTAIN
    await http.close()


async def nobody_is_called_for_what_no_header_may_hold(adapter: Adapter, peer: Peer, account: Account) -> None:
    """Refused before any call."""
    assert (await refused(adapter, account, message(subject="a\r\nBcc: x@y.z"))).failure is Failure.CONTENT_REJECTED
    unreachable = await refused(adapter, account, message(to="nobody"))
    assert unreachable.failure is Failure.RECIPIENT_UNREACHABLE and not peer.asked


async def passes_or_stays(adapter: Adapter, closed: Account, private: Account) -> None:
    """Nobody listens: passing. A private address: ours to mend."""
    assert (await refused(adapter, closed)).failure is Failure.TEMPORARY
    assert (await refused(adapter, private)).failure is Failure.ACCOUNT_PROBLEM
