"""The mirror image: an outbound message as `message.send`, and what the receiver's answer means. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import orjson

from base.http import HttpFailed
from base.ids import unique_key
from channels.adapter import HttpAnswer
from channels.failures import Failure, SendFailed
from channels.reading import identifier, mapping, number, text
from channels.vocabulary import OutboundMessage, SendReceipt

_SAFE_ID = re.compile(r"[A-Za-z0-9_:-]{1,200}", re.ASCII)
_DETAIL_MAX = 300
#: What a status means where the body does not say it better (`{"failure": …}`).
_STATUSES: dict[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,  # our signature is not accepted
    403: Failure.ACCOUNT_PROBLEM,
    408: Failure.TEMPORARY,
    410: Failure.ACCOUNT_PROBLEM,  # Standard Webhooks: switch this off
    425: Failure.TEMPORARY,
    429: Failure.RATE_LIMITED,
}


def webhook_id(key: str) -> str:
    """The same for every attempt under `key`: the receiver takes a repeated id for the same message."""
    return key if _SAFE_ID.fullmatch(key) else unique_key("message.send", key)


def body_of(message: OutboundMessage) -> bytes:
    """`{"type": "message.send", "data": {…}}`; the same bytes for every attempt. Contents are base64."""
    fields = {"text", "attachments", "buttons", "location", "mail", "reply_to", "sender_name", "automatic"}
    content = message.model_dump(mode="json", include=fields, exclude_defaults=True)
    to = {"id": message.to.external_id, **({"handle": message.to.handle} if message.to.handle else {})}
    return orjson.dumps({"type": "message.send", "data": {"id": message.key, "to": to, **content}})


def reaction_body(message: OutboundMessage) -> bytes:
    """`{"type": "message.react", "data": {id, to, message_id, emoji}}`; without an emoji ours is taken away."""
    reaction = message.reaction.model_dump(include={"message_id", "emoji"}) if message.reaction else {}
    data = {"id": message.key, "to": {"id": message.to.external_id}, **reaction}
    return orjson.dumps({"type": "message.react", "data": data})


def receipt_of(answer: HttpAnswer, key: str, now: datetime) -> SendReceipt:
    """2xx: taken; `{"id": …}` names the receiver's own id, `{"repeated": true}` says it knew the key."""
    if not 200 <= answer.status < 300:
        raise refusal(answer, now)
    said = mapping(answer.json())
    return SendReceipt(message_ids=((identifier(said.get("id")) or key)[:200],), repeated=said.get("repeated") is True)


def refusal(answer: HttpAnswer, now: datetime) -> SendFailed:
    """The failure an answer stands for. A JSON body may name one of ours: `{"failure", "detail", "code"}`."""
    said = mapping(answer.json())
    named = text(said.get("failure"))
    failure = Failure(named) if named in set(Failure) and 400 <= answer.status < 500 else _by_status(answer.status)
    detail = text(said.get("detail")) or text(said.get("message")) or f"The receiver answered {answer.status}."
    return SendFailed(
        failure,
        detail[:_DETAIL_MAX],
        provider_code=(identifier(said.get("code")) or str(answer.status))[:100],
        retry_after_s=retry_after(answer.headers, now),
        moved_to=identifier(said.get("moved_to")),
    )


def no_answer(failed: HttpFailed) -> SendFailed:
    """The failure when no whole answer came."""
    if failed.reason in ("refused_address", "bad_url"):
        return SendFailed(Failure.ACCOUNT_PROBLEM, str(failed))
    return SendFailed(Failure.UNCERTAIN if failed.sent else Failure.TEMPORARY, str(failed))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait by `Retry-After`, given as seconds or as a date; None when it says nothing."""
    given = headers.get("retry-after")
    seconds = number(given)
    if seconds is None and given:
        try:
            seconds = (parsedate_to_datetime(given) - now).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return None
    return max(0.0, seconds) if seconds is not None else None


def _by_status(status: int) -> Failure:
    if status >= 500:
        return Failure.TEMPORARY
    if 300 <= status < 400:  # redirects are never followed: the address in the settings is out of date
        return Failure.ACCOUNT_PROBLEM
    return _STATUSES.get(status, Failure.CONTENT_REJECTED)


def ping() -> bytes:
    """A body that asks nothing of the receiver but an answer."""
    return orjson.dumps({"type": "ping", "data": {}})
