"""Deliveries and fetched pages of customer service as events. Pure.

A delivery holds no message: it says that there is something to fetch, and what to fetch it with. A page that we fetched
has our own word as its method, which nothing that came over HTTP can have.
"""

from __future__ import annotations

from datetime import UTC, datetime

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.providers.tencent.objects import frame_of
from channels.providers.tencent.wecom_kf import happenings, messages
from channels.providers.tencent.wecom_kf.items import STAFF, Entry
from channels.reading import Json, identifier, mapping, read_json
from channels.vocabulary import AnyEvent, FetchWanted

#: The method of a delivery that is a fetched page.
PAGE = "PAGE"
_NO_TIME = datetime.fromtimestamp(0, UTC)


def parse_notice(channel_id: str, open_kfid: str, fields: Json, delivery: Delivery) -> list[AnyEvent]:
    """The wish to be asked, where it is this account's; other events of the app are kept."""
    frame = frame_of(channel_id, fields, delivery)
    if frame.event != "kf_msg_or_event":
        return [frame.unknown()]
    if frame.word("OpenKfId") != open_kfid:
        return [frame.unknown("another customer service account")]
    # The token is short-lived and no secret of ours; still no id that is shown holds it.
    base = {**frame.base, "event_id": unique_key(frame.event_id)}
    return [FetchWanted(**base, hint=frame.word("Token"))]


def parse_page(channel_id: str, open_kfid: str, delivery: Delivery) -> list[AnyEvent]:
    """Every item of a page. Raises `Unreadable`."""
    page = read_json(delivery.body)
    found = page.get("msg_list") if isinstance(page, dict) else None
    if not isinstance(found, list):
        raise Unreadable("The page has no list of messages.")
    received_at = delivery.received_at or _NO_TIME
    return [
        event
        for item in found
        for event in _parse(Entry(channel_id, mapping(item) or {"item": item}, received_at), open_kfid)
    ]


def _parse(entry: Entry, open_kfid: str) -> list[AnyEvent]:
    if identifier(entry.item.get("open_kfid")) not in (None, open_kfid):
        return [entry.unknown("another customer service account")]
    if entry.kind == "event":
        parser = happenings.EVENTS.get(str(entry.content.get("event_type")))
        return parser(entry) if parser is not None else [entry.unknown()]
    return messages.received(entry, echo=identifier(entry.item.get("origin")) == STAFF)
