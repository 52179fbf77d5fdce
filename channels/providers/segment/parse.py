"""Tracking calls as events: one call, or a batch of them. Pure.

https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
(by the facts file, section 15, read 2026-11-28)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.commerce import mail_address, phone_number, short, web_link
from channels.identity import proved
from channels.providers.segment.browsers import CODE, is_for_servers
from channels.reading import Json, identifier, instant, items, mapping, read_json, text
from channels.vocabulary import AnyEvent, Identified, Person, Tracked, Unrecognised

#: The query parameter in which the door tells by which path a call came.
CALL = "call"
#: The query parameter by which our own door tells that a browser sent it.
BROWSER = "browser"
MAX_CALL_BYTES, MAX_BATCH_BYTES = 32 * 1024, 500 * 1024
_ID_MAX, _NAME_MAX = 200, 100
_NO_TIME = datetime.fromtimestamp(0, UTC)
#: Traits that have a place of their own on a profile.
_OWN_PLACE = frozenset({
    "name", "firstName", "first_name", "lastName", "last_name", "email", "phone", "avatar", "locale", "timezone",
})  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One call taken apart as far as all kinds share it. `trusted`: the key is held by the operator's servers alone;
    `browser`: it came from a browser, or with a key that stands in pages."""

    kind: str
    event_id: str
    at: datetime
    call: Json
    trusted: bool
    browser: bool = False

    @property
    def shared(self) -> Json:
        """The fields of every event."""
        return {"event_id": self.event_id, "occurred_at": self.at, "raw": self.call}

    @property
    def who(self) -> Json:
        """Numbers become text."""
        return {"customer_id": _id(self.call.get("userId")), "anonymous_id": _id(self.call.get("anonymousId"))}

    def unrecognised(self, reason: str) -> Unrecognised:
        """Kept, so that somebody can look."""
        return Unrecognised(**self.shared, topic=self.kind or "untyped", reason=reason)


def parse_delivery(
    delivery: Delivery, *, trusted: bool, secrets: Iterable[str] = (), public: bool = False
) -> list[AnyEvent]:  # fmt: skip
    """Every call of the body; one that cannot be read harms no other. Raises `Unreadable`.

    What came from a browser, or with a key that is `public`, says who somebody is only as far as one of `secrets` has
    signed it, and nothing that only servers may tell (`segment.browsers`).
    """
    signing = tuple(secrets) if public or delivery.param(BROWSER) else None
    body = read_json(delivery.body)
    if not isinstance(body, dict):
        raise Unreadable("The body is not an object.")
    path = (delivery.param(CALL) or "").lower()
    batch = body.get("batch") if path in ("", "batch", "import") else None
    calls = items(batch) if isinstance(batch, list) else [body]
    sent_at = instant(body.get("sentAt"))
    received_at = delivery.received_at or _NO_TIME
    kind = path if path in PARSERS else ""
    seen: Counter[str] = Counter()
    events: list[AnyEvent] = []
    for call in calls:
        call, sure = (call, trusted) if signing is None else believed(mapping(call), signing)
        frame = replace(_frame(call, kind, sent_at, received_at, sure), browser=signing is not None)
        seen[frame.event_id] += 1
        again = seen[frame.event_id] - 1
        events.append(_event(frame) if not again else _twin(frame, again))
    return events


def believed(call: Json, secrets: tuple[str, ...]) -> tuple[Json, bool]:
    """A browser's call without what nobody proved, and whether the mail address in it is proved.

    The hashes are those of the web chat (`channels.identity`). A telephone number is never proved here.
    """
    context, traits = mapping(call.get("context")), mapping(call.get("traits"))
    claim = {"user_id": call.get("userId"), "hash": context.get("hash"), "email": traits.get("email"),
             "email_hash": context.get("email_hash")}  # fmt: skip
    proof = proved(claim, secrets)
    kept = {name: value for name, value in context.items() if name not in ("hash", "email_hash")}
    after = {**call, "context": kept, "userId": proof.customer_id if proof is not None else None}
    sure = proof is not None and proof.email is not None
    if sure:
        after["traits"] = {name: value for name, value in traits.items() if name != "phone"}
    return after, sure


def _frame(call: Any, kind: str, sent_at: datetime | None, received_at: datetime, trusted: bool) -> Frame:
    found = mapping(call) or {"call": call}
    named = kind or (text(found.get("type")) or "").lower()[:_NAME_MAX]
    own = _id(found.get("messageId")) or unique_key(json.dumps(found, sort_keys=True))
    return Frame(
        kind=named,
        event_id=own,
        at=_happened_at(found, instant(found.get("sentAt")) or sent_at, received_at),
        call=found,
        trusted=trusted,
    )


def _happened_at(call: Json, sent_at: datetime | None, received_at: datetime) -> datetime:
    """By our clock: the time between happening and sending is right even where the device's clock is wrong.

    A time after its own sending was set on purpose (an import) and is taken as it stands; nothing lies in the future.
    """
    given = instant(call.get("timestamp")) or instant(call.get("originalTimestamp"))
    if given is None or given < _NO_TIME:
        return received_at
    waited = sent_at - given if sent_at is not None else None
    if waited is None or not timedelta(0) <= waited < received_at - _NO_TIME:
        return min(given, received_at)
    return received_at - waited


def _event(frame: Frame) -> AnyEvent:
    written = json.dumps(frame.call, ensure_ascii=False, separators=(",", ":"))
    if len(written.encode("utf-8", "replace")) > MAX_CALL_BYTES:
        return frame.unrecognised("a call of more than 32 KB")
    parser = PARSERS.get(frame.kind)
    return parser(frame) if parser is not None else frame.unrecognised("unknown type")


def _twin(frame: Frame, number: int) -> AnyEvent:
    """The same id twice in one batch: the first counts."""
    name = f"{frame.event_id[:180]}.{number}"
    return Unrecognised(
        event_id=name, occurred_at=frame.at, raw=frame.call, topic=frame.kind or "untyped", reason="a messageId twice"
    )


# -- one function per kind --------------------------------------------------------------------------------


def _track(frame: Frame) -> AnyEvent:
    name = short(frame.call.get("event"), _NAME_MAX)
    if name is None:
        return frame.unrecognised("a track call without an event")
    if frame.browser and is_for_servers(name):
        return frame.unrecognised(f"{CODE}: only servers may tell {name}")
    return _tracked(frame, name, mapping(frame.call.get("properties")))


def _page(frame: Frame) -> AnyEvent:
    return _viewed(frame, "page.viewed")


def _screen(frame: Frame) -> AnyEvent:
    return _viewed(frame, "screen.viewed")


def _viewed(frame: Frame, event: str) -> AnyEvent:
    named = {key: found for key in ("name", "category") if (found := short(frame.call.get(key))) is not None}
    page = mapping(mapping(frame.call.get("context")).get("page"))
    where: Json = {key: page[key] for key in ("url", "path", "title", "referrer") if key in page}
    return _tracked(frame, event, {**where, **named, **mapping(frame.call.get("properties"))})


def _group(frame: Frame) -> AnyEvent:
    group_id = _id(frame.call.get("groupId"))
    if group_id is None:
        return frame.unrecognised("a group call without a groupId")
    return _tracked(frame, "group.joined", {**mapping(frame.call.get("traits")), "group_id": group_id})


def _tracked(frame: Frame, name: str, properties: Json) -> AnyEvent:
    if not any(frame.who.values()):
        return frame.unrecognised("neither userId nor anonymousId")
    return Tracked(**frame.shared, **frame.who, name=name, properties=properties)


def _identify(frame: Frame) -> AnyEvent:
    if not any(frame.who.values()):
        return frame.unrecognised("neither userId nor anonymousId")
    context = mapping(frame.call.get("context"))
    traits = {**mapping(context.get("traits")), **mapping(frame.call.get("traits"))}
    locale, zone = (short(traits.get(key)) or short(context.get(key)) for key in ("locale", "timezone"))
    return Identified(
        **frame.shared,
        **frame.who,
        person=_person(traits, locale, trusted=frame.trusted),
        time_zone=zone,
        traits={key: value for key, value in traits.items() if key not in _OWN_PLACE},
    )


def _alias(frame: Frame) -> AnyEvent:
    former, who = _id(frame.call.get("previousId")), frame.who
    former = former or who["anonymous_id"]
    if former is None or who["customer_id"] is None:
        return frame.unrecognised("an alias call needs userId and previousId")
    return Identified(**frame.shared, customer_id=who["customer_id"], former_id=former)


def _person(traits: Json, locale: str | None, *, trusted: bool) -> Person:
    """A key that stands in web pages proves nothing of the mail address that comes with it."""
    parts = (short(traits.get("firstName")) or short(traits.get("first_name")),
             short(traits.get("lastName")) or short(traits.get("last_name")))  # fmt: skip
    country = mapping(traits.get("address")).get("country")
    return Person(
        name=short(traits.get("name"), 200) or short(" ".join(part for part in parts if part), 200),
        email=mail_address(traits.get("email")),
        phone=phone_number(traits.get("phone"), country),
        avatar_url=web_link(traits.get("avatar")),
        locale=locale,
        verified=trusted,
    )


def _id(value: Any) -> str | None:
    found = (identifier(value) or "").strip()
    return (found if len(found) <= _ID_MAX else unique_key(found)) or None


PARSERS: dict[str, Callable[[Frame], AnyEvent]] = {
    "track": _track, "page": _page, "screen": _screen, "group": _group, "identify": _identify, "alias": _alias,
}  # fmt: skip
