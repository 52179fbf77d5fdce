"""What members do in a WeCom app beside writing: switch it on and off, open it, answer its cards. Pure.

https://developer.work.weixin.qq.com/document/path/90240 (by the platform facts of 2026-11-28).
"""

from __future__ import annotations

from channels.providers.tencent.markup import listed, word
from channels.providers.tencent.messages import kept
from channels.providers.tencent.objects import Frame
from channels.reading import Json, mapping, number
from channels.vocabulary import AnyEvent, ContactLeft, MessageReceived, Postback, Tracked


def app_enabled(frame: Frame) -> list[AnyEvent]:
    """A member may use the app now."""
    return _reach(frame, left=False)


def app_disabled(frame: Frame) -> list[AnyEvent]:
    """A member may not use it any more."""
    return _reach(frame, left=True)


def _reach(frame: Frame, *, left: bool) -> list[AnyEvent]:
    if frame.address is None:
        return [frame.unknown("without person")]
    return [ContactLeft(**frame.base, address=frame.address, left=left)]


def app_entered(frame: Frame) -> list[AnyEvent]:
    """A member opened the app: no message."""
    if frame.address is None:
        return [frame.unknown("without person")]
    return [Tracked(**frame.base, address=frame.address, name="wecom.app_entered", properties={})]


def location_reported(frame: Frame) -> list[AnyEvent]:
    """Where the member was, for apps that ask for it. No message."""
    place = {name.lower(): number(frame.word(name)) for name in ("Latitude", "Longitude", "Precision")}
    if frame.address is None or place["latitude"] is None or place["longitude"] is None:
        return [frame.unknown("without person or place")]
    return [Tracked(**frame.base, address=frame.address, name="wecom.location_reported", properties=kept(**place))]


def card_answered(frame: Frame) -> list[AnyEvent]:
    """A button of a card, or a form sent with it. `ResponseCode` changes the card once, within 72 hours."""
    key = frame.word("EventKey")
    if frame.address is None or key is None:
        return [frame.unknown("without person or key")]
    chosen = _chosen(frame.item)
    told = kept(
        task_id=frame.word("TaskId"), card_type=frame.word("CardType"), response_code=frame.word("ResponseCode"),
        selected=chosen,
    )  # fmt: skip
    shown = "; ".join(f"{question}: {', '.join(options)}" for question, options in chosen.items())
    return [
        MessageReceived(
            **frame.base,
            address=frame.address,
            message_id=f"card:{frame.event_id}",
            postback=Postback(payload=key[:1000], description=shown or None),
            extra=told,
        )
    ]


def _chosen(item: Json) -> dict[str, list[str]]:
    """The question's key and what was ticked."""
    found: dict[str, list[str]] = {}
    for each in listed(mapping(item.get("SelectedItems")).get("SelectedItem")):
        question = word(mapping(each).get("QuestionKey"))
        options = listed(mapping(mapping(each).get("OptionIds")).get("OptionId"))
        if question is not None:
            found[question] = [option for given in options if (option := word(given))]
    return found


def logged(frame: Frame) -> list[AnyEvent]:
    """Known, and nothing follows from it here."""
    return [frame.unknown("nothing follows from it")]


LOGGED = (
    "change_external_chat", "change_external_tag", "change_contact", "batch_job_result", "sys_approval_change",
    "open_approval_change", "msgaudit_notify", "living_status_change", "share_agent_change", "share_chain_change",
    "customer_acquisition", "kf_msg_or_event",
)  # fmt: skip
