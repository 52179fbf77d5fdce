"""What happens on LINE beside messages: friends made and lost, buttons, groups, beacons, the channel itself. Pure.

https://github.com/line/line-openapi/blob/main/webhook.yml (read 2026-11-28)
"""

from __future__ import annotations

from typing import Any, Literal

from channels.providers.line.objects import Frame
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AccountNotice, AnyEvent, ContactLeft, MessageReceived, Postback, Tracked


def followed(frame: Frame) -> list[AnyEvent]:
    """Added as a friend, or let in again after a block."""
    return _left(frame, left=False)


def unfollowed(frame: Frame) -> list[AnyEvent]:
    """Blocked us. LINE answers later pushes with 200 all the same, so this is the only sign."""
    return _left(frame, left=True)


def _left(frame: Frame, *, left: bool) -> list[AnyEvent]:
    if frame.address is None:
        return [frame.unknown("without person")]
    return [ContactLeft(**frame.base, address=frame.address, person=frame.person, left=left)]


def postback(frame: Frame) -> list[AnyEvent]:
    """A button, a date picked, or a tab of the rich menu. The title of the button does not come back."""
    data = mapping(frame.item.get("postback"))
    payload = text(data.get("data"))
    if frame.address is None or payload is None:
        return [frame.unknown("without person or data")]
    chosen = {name: value for name, value in mapping(data.get("params")).items() if isinstance(value, str)}
    picked = next((text(chosen.get(name)) for name in ("datetime", "date", "time") if chosen.get(name)), None)
    return [
        MessageReceived(
            **frame.base,
            address=frame.address,
            person=frame.person,
            message_id=f"postback:{frame.event_id}",
            postback=Postback(payload=payload, description=picked),
            group_id=frame.source.group_id,
            extra={"params": chosen} if chosen else {},
        )
    ]


# -- groups -------------------------------------------------------------------------------------------------

_IN_GROUP = {
    "join": "The account was added to",
    "leave": "The account was removed from",
    "memberJoined": "Somebody joined",
    "memberLeft": "Somebody left",
}


def in_group(frame: Frame) -> list[AnyEvent]:
    """Who came to or went from a group: it concerns the group, never a private conversation."""
    group_id = frame.source.group_id
    if group_id is None:
        return [frame.unknown("without group")]
    part = mapping(frame.item.get("joined")) or mapping(frame.item.get("left"))
    members = [member for each in items(part.get("members")) if (member := identifier(mapping(each).get("userId")))]
    kind = frame.source.kind if frame.source.kind in ("group", "room") else "group"
    details = {"group_id": group_id, "event": frame.topic, **({"members": members} if members else {})}
    return [
        AccountNotice(
            **frame.base,
            topic="group_membership",
            text=f"{_IN_GROUP[frame.topic]} the {kind} {group_id}.",
            details=details,
        )
    ]


# -- named events -------------------------------------------------------------------------------------------

#: LINE's kind → our name, and the key below which it says more.
_TRACKED: dict[str, tuple[str, str]] = {
    "beacon": ("line.beacon", "beacon"),
    "videoPlayComplete": ("line.video_played", "videoPlayComplete"),
    "accountLink": ("line.account_linked", "link"),
    "membership": ("line.membership", "membership"),
}


def tracked(frame: Frame) -> list[AnyEvent]:
    """Something a journey may start from or wait for."""
    if frame.address is None:
        return [frame.unknown("without person")]
    name, key = _TRACKED[frame.topic]
    properties: Json = dict(mapping(frame.item.get(key)))
    return [Tracked(**frame.base, address=frame.address, person=frame.person, name=name, properties=properties)]


# -- the channel itself -------------------------------------------------------------------------------------

Severity = Literal["info", "warning", "critical"]
_CHANNEL: dict[str, tuple[Severity, str]] = {
    "activated": ("info", "This channel may answer now; it is the active one of the account."),
    "deactivated": ("warning", "Another app answers this account now; this channel stands by."),
    "botSuspended": ("critical", "LINE has suspended the account."),
    "botResumed": ("info", "LINE has lifted the suspension of the account."),
    "module": ("info", "A module was attached to the account or taken away."),
}


def channel(frame: Frame) -> list[AnyEvent]:
    """News of the account, with LINE's own words in `details`."""
    severity, said = _CHANNEL[frame.topic]
    details: dict[str, Any] = {"event": frame.topic, **mapping(frame.item.get(frame.topic))}
    return [AccountNotice(**frame.base, topic=frame.topic, severity=severity, text=said, details=details)]


IN_GROUP, TRACKED, CHANNEL = tuple(_IN_GROUP), tuple(_TRACKED), tuple(_CHANNEL)
