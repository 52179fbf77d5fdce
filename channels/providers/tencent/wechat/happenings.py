"""What happens on an Official Account beside messages: followers, scanned codes, receipts, sessions, the account. Pure.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_event_pushes.html (by the platform facts
of 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from channels.failures import CONSEQUENCES, Failure
from channels.providers.tencent.markup import listed, word
from channels.providers.tencent.messages import kept
from channels.providers.tencent.objects import Frame
from channels.providers.tencent.wechat import failures
from channels.reading import Json, mapping, number
from channels.vocabulary import (
    AccountNotice,
    AnyEvent,
    ContactLeft,
    DeliveryStatus,
    DeliveryUpdate,
    ProfileSeen,
    Referral,
    Tracked,
)

_SCENE = "qrscene_"


def followed(frame: Frame) -> list[AnyEvent]:
    """New, or back again. Through a QR code of ours `EventKey` names its scene, else another origin or nothing."""
    if frame.address is None:
        return [frame.unknown("without person")]
    origin, scene = _origin(frame)
    return [
        ProfileSeen(**frame.base, address=frame.address, referral=origin),
        ContactLeft(**frame.base, address=frame.address, left=False),
        Tracked(**frame.base, address=frame.address, name="wechat.followed", properties=scene),
    ]


def unfollowed(frame: Frame) -> list[AnyEvent]:
    """Left. Nothing can be sent any more."""
    if frame.address is None:
        return [frame.unknown("without person")]
    return [ContactLeft(**frame.base, address=frame.address)]


def scanned(frame: Frame) -> list[AnyEvent]:
    """A follower scanned a code of ours."""
    if frame.address is None:
        return [frame.unknown("without person")]
    origin, scene = _origin(frame)
    return [
        ProfileSeen(**frame.base, address=frame.address, referral=origin),
        Tracked(**frame.base, address=frame.address, name="wechat.scanned", properties=scene),
    ]


def _origin(frame: Frame) -> tuple[Referral | None, Json]:
    key, ticket = frame.word("EventKey"), frame.word("Ticket")
    if key is None:
        return None, {}
    by_code = ticket is not None or key.startswith(_SCENE)
    scene = key.removeprefix(_SCENE)[:500]
    source = "qr_code" if by_code else "wechat"
    return Referral(source=source, ref=scene, extra=kept(ticket=ticket)), {"scene": scene, "source": source}


def location_reported(frame: Frame) -> list[AnyEvent]:
    """Where the person was when opening the chat, for accounts that ask for it. No message."""
    place = {name.lower(): number(frame.word(name)) for name in ("Latitude", "Longitude", "Precision")}
    if frame.address is None or place["latitude"] is None or place["longitude"] is None:
        return [frame.unknown("without person or place")]
    return [Tracked(**frame.base, address=frame.address, name="wechat.location_reported", properties=kept(**place))]


# -- receipts -----------------------------------------------------------------------------------------------


def receipt(frame: Frame) -> list[AnyEvent]:
    """What became of a template message."""
    message_id, status = frame.word("MsgID"), (frame.word("Status") or "").lower().replace(" ", "")
    if message_id is None:
        return [frame.unknown("without message id")]
    if status == "success":
        return [_update(frame, frame.event_id, message_id, None, status)]
    return [_update(frame, frame.event_id, message_id, failures.RECEIPTS.get(status, Failure.UNKNOWN), status)]


def subscription_sent(frame: Frame) -> list[AnyEvent]:
    """What became of messages by subscription; a list of one or several."""
    found: list[AnyEvent] = []
    for item in _listed(frame, "SubscribeMsgSentEvent"):
        message_id, code = word(item.get("MsgID")), word(item.get("ErrorCode")) or "0"
        if message_id is None:
            continue
        failure = None if code == "0" else failures.CODES.get(int(number(code) or 0), Failure.UNKNOWN)
        said = word(item.get("ErrorStatus"))
        found.append(_update(frame, f"{frame.event_id}:{message_id}"[:300], message_id, failure, said, code))
    return found or [frame.unknown("without message id")]


def _update(
    frame: Frame, event_id: str, message_id: str, failure: Failure | None, said: str | None, code: str | None = None
) -> DeliveryUpdate:
    return DeliveryUpdate(
        event_id=event_id,
        occurred_at=frame.time,
        raw=frame.item,
        address=frame.address,
        status=DeliveryStatus.DELIVERED if failure is None else DeliveryStatus.FAILED,
        message_id=message_id,
        failure=failure.value if failure else None,
        provider_code=code or said if failure else None,
        detail=said if failure else None,
        permanent=failure is not None and not CONSEQUENCES[failure].retry,
    )


def subscription_answered(frame: Frame) -> list[AnyEvent]:
    """Yes or no to one template, often for one message only: a named event, for it is no consent to anything wider."""
    found: list[AnyEvent] = []
    for item in _listed(frame, "SubscribeMsgPopupEvent", "SubscribeMsgChangeEvent"):
        template, answer = word(item.get("TemplateId")), word(item.get("SubscribeStatusString"))
        if frame.address is None or template is None or answer is None:
            continue
        found.append(
            Tracked(
                **{**frame.base, "event_id": f"{frame.event_id}:{template}"[:300]},
                address=frame.address,
                name="wechat.subscription_answered",
                properties={"template_id": template, "accepted": answer == "accept", "answer": answer},
            )
        )
    return found or [frame.unknown("without template")]


def _listed(frame: Frame, *containers: str) -> list[Json]:
    """`List` stands inside a container of the event's name, or directly; its items once or several times."""
    inside = next((mapping(frame.item[name]) for name in containers if name in frame.item), frame.item)
    return [mapping(each) for each in listed(inside.get("List"))]


# -- sessions and the account -------------------------------------------------------------------------------

_SESSIONS: Mapping[str, str] = {
    "kf_create_session": "wechat.session_created",
    "kf_close_session": "wechat.session_closed",
    "kf_switch_session": "wechat.session_switched",
}


def session(frame: Frame) -> list[AnyEvent]:
    """A colleague in WeChat's own customer service took, ended or passed on this chat."""
    if frame.address is None:
        return [frame.unknown("without person")]
    told = kept(
        kf_account=frame.word("KfAccount"), from_kf=frame.word("FromKfAccount"), to_kf=frame.word("ToKfAccount"),
        close_type=frame.word("CloseType"),
    )  # fmt: skip
    return [Tracked(**frame.base, address=frame.address, name=_SESSIONS[frame.event.lower()], properties=told)]


Severity = Literal["info", "warning", "critical"]
_NOTICES: Mapping[str, tuple[Severity, str]] = {
    "qualification_verify_success": ("info", "WeChat has verified the account's qualification."),
    "qualification_verify_fail": ("warning", "WeChat did not verify the account's qualification."),
    "naming_verify_success": ("info", "WeChat has verified the account's name."),
    "naming_verify_fail": ("warning", "WeChat did not verify the account's name."),
    "annual_renew": ("warning", "The account's verification has to be renewed soon."),
    "verify_expired": ("warning", "The account's verification has ended; without it service messages are refused."),
    "masssendjobfinish": ("info", "A broadcast made in WeChat's console has been sent."),
    "publishjobfinish": ("info", "An article made in WeChat's console has been published."),
}


def notice(frame: Frame) -> list[AnyEvent]:
    """News of the account."""
    severity, said = _NOTICES[frame.event.lower()]
    told = kept(
        status=frame.word("Status"), reason=frame.word("FailReason"), expires=frame.word("ExpiredTime"),
        sent=frame.word("SentCount"), failed=frame.word("ErrorCount"),
    )  # fmt: skip
    return [AccountNotice(**frame.base, topic=frame.event.lower(), severity=severity, text=said, details=told)]


RECEIPTS = ("templatesendjobfinish",)
SUBSCRIPTIONS = ("subscribe_msg_popup_event", "subscribe_msg_change_event")
SESSIONS, NOTICES = tuple(_SESSIONS), tuple(_NOTICES)
