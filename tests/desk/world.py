"""A few customers who wrote, so that pages have something to show."""

from datetime import timedelta

from base.clock import now
from channels.vocabulary import Address, MailParts, MessageReceived, Person
from inbox.incoming import Arrival

WHATSAPP = {
    "phone_number_id": "1", "business_account_id": "2", "access_token": "x" * 20, "app_secret": "y" * 20,
    "verify_token": "zzzz",
}  # fmt: skip
MAIL = {"from_address": "hello@shop.example", "smtp_host": "localhost", "smtp_port": 2525, "smtp_tls": "none"}


async def channel(runtime, provider="whatsapp", name="Shop"):
    """A connected account."""
    return await runtime.channels.add(provider, name, WHATSAPP if provider == "whatsapp" else MAIL)


async def wrote(runtime, account, who, text="Hello", *, minutes_ago=1, name=None, mail=None, key=None, **more):
    """Somebody wrote; the conversation."""
    at = now() - timedelta(minutes=minutes_ago)
    event = MessageReceived(
        event_id=key or f"{who}-{at.timestamp()}", message_id=key or f"{who}-{at.timestamp()}", occurred_at=at,
        address=Address(channel_id=account.id, external_id=who, handle=who), person=Person(name=name or who),
        text=text, mail=MailParts(**mail) if mail else None, **more,
    )  # fmt: skip
    (outcome,) = (await runtime.receiver.receive([Arrival(account.id, account.provider, event, "dlv_x")])).outcomes
    return await runtime.conversations.get(outcome.conversation_id)
