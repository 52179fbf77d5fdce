"""What happens in customer service beside messages: the chat is opened, a send fails, colleagues take over. Pure.

https://developer.work.weixin.qq.com/document/path/94699 (read 2026-11-28). Events give the customer inside `event`.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from channels.failures import CONSEQUENCES, Failure
from channels.providers.tencent.messages import kept
from channels.providers.tencent.wecom_kf.items import Entry
from channels.reading import identifier, mapping, text
from channels.vocabulary import (
    AnyEvent,
    DeliveryStatus,
    DeliveryUpdate,
    MessageDeleted,
    ProfileSeen,
    Referral,
    Tracked,
)

#: `fail_type` of a message that was taken and then not delivered.
FAIL_TYPES: dict[str, tuple[Failure, str]] = {
    "0": (Failure.UNKNOWN, "WeCom does not know why."),
    "1": (Failure.ACCOUNT_PROBLEM, "The customer service account has been deleted."),
    "2": (Failure.ACCOUNT_PROBLEM, "The app has been switched off."),
    "4": (Failure.WINDOW_CLOSED, "More than 48 hours have passed since the customer wrote."),
    "5": (Failure.WINDOW_CLOSED, "The session has been ended."),
    "6": (Failure.WINDOW_CLOSED, "Five messages have been sent since the customer wrote."),
    "7": (Failure.ACCOUNT_PROBLEM, "The account is not linked to this place."),
    "8": (Failure.ACCOUNT_PROBLEM, "The company is not verified."),
    "10": (Failure.RECIPIENT_BLOCKED, "The customer refuses messages of this account."),
    "11": (Failure.ACCOUNT_PROBLEM, "No colleague has signed in to WeCom."),
    "12": (Failure.CONTENT_REJECTED, "This kind of message is not allowed here."),
}
_CHANGES = {"1": "taken", "2": "transferred", "3": "ended", "4": "retaken"}


def session_entered(entry: Entry) -> list[AnyEvent]:
    """Somebody opened the chat, through a link or code of ours. With a welcome code a welcome may be sent."""
    if entry.address is None:
        return [entry.unknown("without customer")]
    scene, given = text(entry.content.get("scene")), text(entry.content.get("scene_param"))
    param = unquote(given)[:500] if given else None
    origin = Referral(source="wecom_kf", source_id=scene, ref=param or scene) if scene or param else None
    return [
        ProfileSeen(**entry.base, address=entry.address, person=entry.person, referral=origin),
        _tracked(entry, "session_entered", scene=scene, scene_param=param),
    ]


def send_failed(entry: Entry) -> list[AnyEvent]:
    """A message of ours that WeCom had taken. `fail_msgid` is the id that we gave it."""
    message_id, kind = identifier(entry.content.get("fail_msgid")), identifier(entry.content.get("fail_type")) or "0"
    if message_id is None:
        return [entry.unknown("without message id")]
    failure, said = FAIL_TYPES.get(kind, FAIL_TYPES["0"])
    return [
        DeliveryUpdate(
            **entry.base,
            address=entry.address,
            status=DeliveryStatus.FAILED,
            message_id=message_id,
            failure=failure.value,
            provider_code=f"fail_type {kind}"[:100],
            detail=said,
            permanent=not CONSEQUENCES[failure].retry,
        )
    ]


def session_changed(entry: Entry) -> list[AnyEvent]:
    """A colleague in WeCom's client took, passed on or ended this chat; while one has it, programs can't write."""
    if entry.address is None:
        return [entry.unknown("without customer")]
    change = _CHANGES.get(identifier(entry.content.get("change_type")) or "", "other")
    old, new = (identifier(entry.content.get(f"{which}_servicer_userid")) for which in ("old", "new"))
    return [_tracked(entry, "session_changed", change=change, from_staff=old, to_staff=new)]


def recalled(entry: Entry) -> list[AnyEvent]:
    """A message was taken back, by the customer or by a colleague."""
    message_id = identifier(entry.content.get("recall_msgid"))
    if message_id is None:
        return [entry.unknown("without message id")]
    return [MessageDeleted(**entry.base, address=entry.address, message_id=message_id)]


def refusing_changed(entry: Entry) -> list[AnyEvent]:
    """A colleague refuses this customer's messages from now on, or lets them through again."""
    if entry.address is None:
        return [entry.unknown("without customer")]
    refused = identifier(entry.content.get("reject_switch")) == "1"
    staff = identifier(entry.content.get("servicer_userid"))
    return [_tracked(entry, "customer_refused", refused=refused, staff=staff)]


def servicer_changed(entry: Entry) -> list[AnyEvent]:
    """A colleague is ready, or away: of no customer, and nothing follows from it here."""
    return [entry.unknown("nothing follows from it")]


def _tracked(entry: Entry, name: str, **told: object) -> Tracked:
    context = mapping(entry.content.get("wechat_channels"))
    return Tracked(
        **entry.base,
        address=entry.address,
        person=entry.person,
        name=f"wecom_kf.{name}",
        properties=kept(**told, wechat_channels=context),
    )


EVENTS: dict[str, Callable[[Entry], list[AnyEvent]]] = {
    "enter_session": session_entered,
    "msg_send_fail": send_failed,
    "session_status_change": session_changed,
    "user_recall_msg": recalled,
    "servicer_recall_msg": recalled,
    "reject_customer_msg_switch_change": refusing_changed,
    "servicer_status_change": servicer_changed,
}
