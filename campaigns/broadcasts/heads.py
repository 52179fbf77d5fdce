"""A broadcast's row as its parts need it: the definition read, the plan it begins with, what it says now. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from base.mongo import Document
from campaigns.broadcasts.models import REST, Broadcast, must_read
from campaigns.broadcasts.places import Plan
from campaigns.broadcasts.timing import PLAN_AHEAD

_READ_KEPT = 200
_read: OrderedDict[bytes, Broadcast] = OrderedDict()


def broadcast_of(head: Document) -> Broadcast:
    """What its author wrote. Raises `WrongInput` for a draft that is not whole."""
    key = orjson.dumps(head["body"], option=orjson.OPT_SORT_KEYS)
    known = _read.get(key)
    if known is None:
        known = _read[key] = must_read(head["body"])
        while len(_read) > _READ_KEPT:
            _read.popitem(last=False)
    return known


def begins_at(head: Document) -> datetime:
    """When people of a scheduled one are put into the ledger: a while before the first message."""
    at: datetime = head["start_at"] - PLAN_AHEAD
    return max(at, head.get("not_before") or at)


def plan_of(head: Document, now: datetime) -> Plan:
    """What is the same for everybody. A draft is planned as if it began now."""
    broadcast = broadcast_of(head)
    own = [broadcast.content, *(arm.content for arm in (broadcast.ab.arms if broadcast.ab else ()))]
    written = [each.model_dump() for each in own if each is not None]
    pinned = list((head["pinned"] or {}).values())
    has_approved = bool(head.get("has_approved")) or any(each.get("whatsapp") for each in (*written, *pinned))
    return Plan(head["_id"], broadcast, head["start_at"] or now, head["decide_at"], has_approved)


def wording_of(
    head: Document, broadcast: Broadcast, arm_name: str | None, templates: Mapping[str, Document]
) -> Mapping[str, Any] | None:
    """What somebody of this arm is told (a dumped content); None when its template is gone. `rest`: the winner's."""
    if arm_name == REST:
        arm_name = (head["winner"] or {}).get("arm")
    if head["pinned"] is not None:
        pinned: Mapping[str, Any] | None = head["pinned"].get(arm_name or "") or head["pinned"].get("")
        return pinned
    return wording(broadcast, arm_name, templates)


def template_of(head: Document, broadcast: Broadcast, arm_name: str | None) -> str | None:
    """The template that somebody of this arm gets; None for words written in the broadcast itself."""
    if arm_name == REST:
        arm_name = (head["winner"] or {}).get("arm")
    for each in (broadcast.arm(arm_name), broadcast):
        if each is not None and (each.content is not None or each.template_id is not None):
            return each.template_id
    return None


def wording(broadcast: Broadcast, arm_name: str | None, templates: Mapping[str, Document]) -> Mapping[str, Any] | None:
    """The arm's own content or template, else the broadcast's."""
    for each in (broadcast.arm(arm_name), broadcast):
        if each is not None and each.content is not None:
            return each.content.model_dump()
        if each is not None and each.template_id is not None:
            row = templates.get(each.template_id)
            return row["content"] if row else None
    return None
