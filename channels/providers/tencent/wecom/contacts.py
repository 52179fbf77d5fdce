"""Customers whom colleagues add, lose and pass on, and colleagues themselves. Pure.

https://developer.work.weixin.qq.com/document/path/92130 and …/90970 (by the platform facts of 2026-11-28). The customer
is `ExternalUserID`; the colleague is `UserID` and stands in the named events as `staff`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from channels.providers.tencent.messages import kept
from channels.providers.tencent.objects import Frame
from channels.reading import Json
from channels.vocabulary import Address, AnyEvent, ContactLeft, Person, ProfileSeen, Referral, Tracked

#: `Source` of a deletion that is a handing over: the customer stays, with another colleague.
_BY_TRANSFER = "DELETE_BY_TRANSFER"


def _customer(frame: Frame) -> Address | None:
    return frame.address_of(frame.word("ExternalUserID"))


def _named(frame: Frame, address: Address, name: str, **more: object) -> Tracked:
    told: Json = kept(staff=frame.word("UserID"), **more)
    return Tracked(**frame.base, address=address, name=f"wecom.{name}", properties=told)


def added(frame: Frame, *, confirmed: bool) -> list[AnyEvent]:
    """A colleague has this customer now. `State` names the code or link of ours through which it came about."""
    address, state = _customer(frame), frame.word("State")
    if address is None:
        return [frame.unknown("without customer")]
    origin = Referral(source="wecom", source_id=frame.word("UserID"), ref=state) if state else None
    person = Person(platform_ids=(f"wecom:{address.external_id}",))
    seen: list[AnyEvent] = [ProfileSeen(**frame.base, address=address, person=person, referral=origin)]
    if confirmed:
        seen.append(ContactLeft(**frame.base, address=address, left=False))
    return [*seen, _named(frame, address, "contact_added" if confirmed else "contact_half_added", state=state)]


def edited(frame: Frame) -> list[AnyEvent]:
    """A colleague changed the customer's remark, tags or numbers."""
    address = _customer(frame)
    if address is None:
        return [frame.unknown("without customer")]
    return [_named(frame, address, "contact_edited")]


def lost(frame: Frame, *, by: str) -> list[AnyEvent]:
    """The bond is cut, by the colleague or by the customer; when it was handed over, the customer stays."""
    address, source = _customer(frame), frame.word("Source")
    if address is None:
        return [frame.unknown("without customer")]
    if source == _BY_TRANSFER:
        return [_named(frame, address, "contact_transferred", source=source)]
    return [
        ContactLeft(**frame.base, address=address),
        _named(frame, address, "contact_removed", by=by, source=source),
    ]


def transfer_failed(frame: Frame) -> list[AnyEvent]:
    """The customer did not want another colleague, or that one has too many customers."""
    address = _customer(frame)
    if address is None:
        return [frame.unknown("without customer")]
    return [_named(frame, address, "transfer_failed", reason=frame.word("FailReason"))]


def audit_approved(frame: Frame) -> list[AnyEvent]:
    """The customer agreed to conversations being kept."""
    address = _customer(frame)
    if address is None:
        return [frame.unknown("without customer")]
    return [_named(frame, address, "audit_approved")]


# -- colleagues ---------------------------------------------------------------------------------------------


def staff_seen(frame: Frame) -> list[AnyEvent]:
    """Somebody is new in the directory, or changed; a new id follows the former one."""
    user_id, new_id = frame.word("UserID"), frame.word("NewUserID")
    address = frame.address_of(new_id or user_id)
    if address is None:
        return [frame.unknown("without member")]
    name = frame.word("Name")
    return [
        ProfileSeen(
            **frame.base,
            address=address,
            person=Person(name=name) if name else None,
            former_external_id=user_id if new_id and new_id != user_id else None,
        )
    ]


def staff_gone(frame: Frame) -> list[AnyEvent]:
    """Somebody has left the company."""
    address = frame.address_of(frame.word("UserID"))
    if address is None:
        return [frame.unknown("without member")]
    return [ContactLeft(**frame.base, address=address)]


Parser = Callable[[Frame], list[AnyEvent]]
CUSTOMERS: dict[str, Parser] = {
    "add_external_contact": partial(added, confirmed=True),
    "add_half_external_contact": partial(added, confirmed=False),
    "edit_external_contact": edited,
    "del_external_contact": partial(lost, by="staff"),
    "del_follow_user": partial(lost, by="customer"),
    "transfer_fail": transfer_failed,
    "msg_audit_approved": audit_approved,
}
STAFF: dict[str, Parser] = {"create_user": staff_seen, "update_user": staff_seen, "delete_user": staff_gone}
