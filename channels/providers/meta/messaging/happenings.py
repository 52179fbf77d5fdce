"""What happens in a thread besides messages: reactions, receipts, arrivals, opt-ins, and who may answer.

https://developers.facebook.com/docs/messenger-platform/reference/webhook-events (by the platform facts file, read
2026-11-28).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from channels.providers.meta.keys import content_key, event_key
from channels.providers.meta.messaging.items import Item, ItemParser
from channels.providers.meta.messaging.messages import referral
from channels.reading import identifier, instant, items, text
from channels.vocabulary import (
    AccountNotice,
    AnyEvent,
    ConsentChange,
    DeliveryStatus,
    DeliveryUpdate,
    ProfileSeen,
    Reaction,
    Referral,
    Tracked,
)

#: Deliveries of old give a word and no emoji.
_EMOJI = {"smile": "😆", "angry": "😠", "sad": "😢", "wow": "😮", "love": "❤️", "like": "👍", "dislike": "👎"}


def reaction(item: Item) -> AnyEvent:
    """An emoji on a message, or its being taken back."""
    content = item.content("reaction")
    mid, action, word = identifier(content.get("mid")), text(content.get("action")), text(content.get("reaction"))
    if mid is None or item.address is None:
        return item.unknown("reaction", "a reaction to nothing")
    if item.by_us:
        return item.unknown("reaction", "our own reaction")
    emoji = text(content.get("emoji")) or _EMOJI.get(word or "", word or "❤️")
    key = event_key(mid, item.address.external_id, action, item.at.isoformat())
    return Reaction(**item.base(key), message_id=mid, emoji=None if action == "unreact" else emoji)


def delivery(item: Item) -> Iterator[AnyEvent]:
    """Arrived on the person's device: the messages named, and all before the watermark."""
    content = item.content("delivery")
    for mid in filter(None, map(identifier, items(content.get("mids")))):
        yield _receipt(item, DeliveryStatus.DELIVERED, mid)
    yield from _watermark(item, DeliveryStatus.DELIVERED, content.get("watermark"), alone=not content.get("mids"))


def read(item: Item) -> Iterator[AnyEvent]:
    """Seen: Messenger gives a watermark, Instagram the last message."""
    content = item.content("read")
    mid = identifier(content.get("mid"))
    if mid is not None:
        yield _receipt(item, DeliveryStatus.READ, mid)
    yield from _watermark(item, DeliveryStatus.READ, content.get("watermark"), alone=mid is None)


def _receipt(item: Item, status: DeliveryStatus, mid: str) -> AnyEvent:
    return DeliveryUpdate(**item.base(event_key(mid, status.value)), status=status, message_id=mid)


def _watermark(item: Item, status: DeliveryStatus, value: object, *, alone: bool) -> Iterator[AnyEvent]:
    until, address = instant(value), item.address
    if until is None or address is None:
        if alone:
            yield item.unknown(status.value, "names no message")
        return
    key = event_key(address.external_id, status.value, until.isoformat())
    yield DeliveryUpdate(**item.base(key), status=status, watermark=until)


def arrival(item: Item) -> AnyEvent:
    """The person came by a link, a code or an advertisement into a thread that exists."""
    return _seen(item, "referral", referral(item.content("referral")))


def optin(item: Item) -> AnyEvent:
    """A plugin's button was pressed, or news were asked for or stopped."""
    content = item.content("optin")
    if text(content.get("type")) == "notification_messages":
        return _news(item)
    ref = text(content.get("ref"))
    came = Referral(source="optin", ref=ref) if ref else None
    return _seen(item, "optin", came)


def _news(item: Item) -> AnyEvent:
    """Marketing messages about a topic: asking is a yes, `STOP_NOTIFICATIONS` a no. The token stays in the raw part."""
    content, address = item.content("optin"), item.address
    if address is None:
        return item.unknown("optin", "no sender")
    status = text(content.get("notification_messages_status"))
    granted = status != "STOP_NOTIFICATIONS"
    key = event_key(address.external_id, "marketing", "resume" if granted else "stop", item.at.isoformat())
    proof = text(content.get("title")) or text(content.get("payload"))
    return ConsentChange(**item.base(key), purpose="marketing", granted=granted, proof=proof)


def _seen(item: Item, kind: str, came: Referral | None) -> AnyEvent:
    address = item.address
    if address is None:
        return item.unknown(kind, "no sender")
    key = event_key(address.external_id, kind, item.at.isoformat(), came.ref if came else None)
    return ProfileSeen(**item.base(key), referral=came)


def account_linking(item: Item) -> AnyEvent:
    """The person joined their account at our shop to the thread, or parted them."""
    content, address = item.content("account_linking"), item.address
    status = text(content.get("status"))
    if address is None or status not in ("linked", "unlinked"):
        return item.unknown("account_linking", "no sender or an unknown status")
    code = text(content.get("authorization_code"))
    return Tracked(
        **item.base(event_key(address.external_id, status, code, item.at.isoformat())),
        name=f"account.{status}",
        properties={"authorization_code": code} if code else {},
    )


def thread_control(item: Item) -> AnyEvent:
    """Which app may answer this person from now on, or would like to."""
    kind = next(each for each in _CONTROL if each in item.part)
    content, address = item.content(kind), item.address
    if address is None:
        return item.unknown(kind, "no person")
    named = ("new_owner_app_id", "previous_owner_app_id", "requested_owner_app_id", "metadata")
    properties: dict[str, object] = {name: value for name in named if (value := identifier(content.get(name)))}
    owner = properties.get("new_owner_app_id")
    if owner and item.ours.app_id:
        properties["ours"] = owner == item.ours.app_id
    key = event_key(address.external_id, kind, item.at.isoformat(), *map(str, properties.values()))
    return Tracked(**item.base(key), name=_CONTROL[kind], properties=properties)


def policy(item: Item) -> AnyEvent:
    """Meta took a measure against the account, or lifted it."""
    content = item.content("policy-enforcement") or item.content("policy_enforcement")
    action, reason = text(content.get("action")) or "unknown", text(content.get("reason"))
    severity: Literal["info", "warning", "critical"] = _MEASURES.get(action, "warning")
    return AccountNotice(
        event_id=content_key("policy", item.at, item.part),
        occurred_at=item.at,
        topic="policy_enforcement",
        severity=severity,
        text=f"Meta's policies: {action}" + (f" ({reason})." if reason else "."),
        details=content,
        raw=item.part,
    )


_MEASURES: dict[str, Literal["info", "warning", "critical"]] = {"block": "critical", "unblock": "info"}
_CONTROL = {
    "pass_thread_control": "thread.passed",
    "take_thread_control": "thread.taken",
    "request_thread_control": "thread.requested",
}
#: Key of an item → its parser, for all that is no message.
HAPPENINGS: dict[str, ItemParser] = {
    "reaction": reaction,
    "delivery": delivery,
    "read": read,
    "optin": optin,
    "account_linking": account_linking,
    **dict.fromkeys(_CONTROL, thread_control),
    "policy-enforcement": policy,
    "policy_enforcement": policy,
    "referral": arrival,
}
