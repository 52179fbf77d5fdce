"""A template sent to oneself: as a mail in the ledger, marked as a test, counted nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.errors import Conflict, FieldError, WrongInput
from base.ids import new_id, unique_key
from campaigns.contents import Rendered, as_html
from campaigns.templates import Templates
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, OutboundMail, OutboundMessage
from inbox.models import SendRequest, Source
from inbox.outbox import Outbox
from inbox.sources import written

MARK = "[Test] "


class Proofs:
    """The use case."""

    def __init__(self, templates: Templates, channels: ChannelStore, registry: Registry, outbox: Outbox) -> None:
        self._templates = templates
        self._channels = channels
        self._registry = registry
        self._outbox = outbox

    async def send(
        self, content: Mapping[str, Any], mail: str, *, source_id: str, key: str | None = None,
        profile_id: str | None = None, context: Mapping[str, Any] | None = None, locale: str | None = None,
    ) -> str:  # fmt: skip
        """To this colleague's address, filled in as for `profile_id`; the send key. The same `key` sends once.

        Raises `WrongInput` for what cannot be filled in, `Conflict` where no mail channel is connected.
        """
        channel_id = await self._mail_channel()
        rendered = await self._templates.preview(content, profile_id, context, locale=locale)
        message = _message(rendered)
        if not message.text and not (message.mail and message.mail.html):
            raise WrongInput("There is nothing to send.", [FieldError("body", "has no text for this person")])
        send_key = unique_key("test", source_id, mail.lower(), key or new_id("evt"))
        request = SendRequest(
            send_key=send_key, send_class="service", source=Source("test", source_id), profile_id="",
            identity_id=f"test:{mail.lower()}", channel_id=channel_id, content=written(message),
        )  # fmt: skip
        await self._outbox.try_out([(request, mail)])
        return send_key

    async def _mail_channel(self) -> str:
        for each in await self._channels.list():
            if each.state != "disconnected" and self._registry.get(each.provider).card.kind == "email":
                return each.id
        raise Conflict("A test goes out by mail, and no mail channel is connected yet.", code="no_mail_channel")


def _message(rendered: Rendered) -> OutboundMessage:
    """A mail, whatever it is a test of: a chat's text and buttons stand in it as text."""
    lines = [f"[{each.title}] {each.url or ''}".strip() for each in rendered.buttons]
    text = "\n\n".join(part for part in (rendered.text, "\n".join(lines)) if part)
    mail = OutboundMail(subject=MARK + (rendered.subject or text[:60] or "…"), html=rendered.html or as_html(text))
    to = Address(channel_id="-", external_id="?")  # delivery puts in the address
    return OutboundMessage(key="-", to=to, text=text or None, mail=mail, automatic=True)
