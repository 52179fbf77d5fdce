"""Connected channel accounts: credentials sealed, health noted, sending paced."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import SecretStr, ValidationError
from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.errors import FieldError, NotFound, WrongInput
from base.ids import is_id, new_id
from base.mongo import Database, Document, Indexes
from base.secret_box import SecretBox
from base.signing import hmac_hex
from channels.adapter import Account, Card
from channels.registry import Registry

INDEXES: Indexes = {
    "channels": [
        IndexModel([("provider", ASCENDING), ("created_at", ASCENDING)], name="by_provider"),
        IndexModel([("state", ASCENDING)], name="by_state"),
        IndexModel([("found_by", ASCENDING)], name="by_secret", sparse=True),
    ]
}
ChannelState = Literal["connected", "paused", "disconnected"]

#: How long an opened account may be used without looking again, seconds.
FRESH_S = 2.0
#: The highest rate an owner may set, messages a second.
RATE_MAX = 10_000.0
#: How many keys are remembered with their holders.
HOLDERS_KEPT = 1000
#: How many replaced secrets `verify` still accepts, and for how long: providers redeliver for up to seven days.
FORMER_KEPT = 2
FORMER_FOR = timedelta(days=7)
#: Settings that say where credentials are sent.
HOSTS = ("api_base", "send_url", "site_url", "shop_domain", "smtp_host", "imap_host")


@dataclass(frozen=True)
class Hour:
    """What an account did in one hour of the clock (UTC)."""

    at: datetime
    received: int = 0
    sent: int = 0
    errors: int = 0


@dataclass(frozen=True)
class Channel:
    """A connected account as people see it; no secrets."""

    id: str
    provider: str
    name: str
    settings: Mapping[str, Any]
    secret_names: tuple[str, ...]
    state: ChannelState
    state_reason: str | None
    created_at: datetime
    updated_at: datetime
    last_event_at: datetime | None = None
    last_sent_at: datetime | None = None
    last_receipt_at: datetime | None = None
    last_error: Mapping[str, Any] | None = None
    received: int = 0
    sent: int = 0
    #: What its owner allows where that is less than (or, by contract, more than) what the provider says.
    rate_per_s: float | None = None
    #: The last 24 hours, oldest first.
    last_day: tuple[Hour, ...] = ()


@dataclass
class _Opened:
    account: Account
    channel: Channel
    until: float = field(default=0.0)


class ChannelStore:
    """Reads and writes accounts; opens their secrets; counts; hands out sending tokens."""

    def __init__(self, database: Database, box: SecretBox, registry: Registry, clock: Clock, base_url: str) -> None:
        self._rows = database.collection("channels")
        self._box = box
        self._registry = registry
        self._clock = clock
        self._base_url = base_url
        self._opened: dict[str, _Opened] = {}
        self._holders: dict[str, tuple[str, float]] = {}
        self._opening: dict[str, asyncio.Task[_Opened | None]] = {}

    async def add(self, provider: str, name: str, settings: Mapping[str, Any]) -> Channel:
        """Connect an account. Raises `WrongInput` with a path per fault, `NotFound` for an unknown provider."""
        card = self._registry.get(provider).card
        checked = _validated(card, settings)
        channel_id = new_id("chn")
        plain, secrets = self._split(card, channel_id, checked)
        now = self._clock()
        row: Document = {
            "_id": channel_id, "provider": provider, "name": name, "settings": plain, "secrets": secrets,
            "former_secrets": {}, "state": "connected", "state_reason": None, "created_at": now, "updated_at": now,
            "received": 0, "sent": 0, **self._findable(card, channel_id, secrets, {}),
        }  # fmt: skip
        await self._rows.insert_one(row)
        return _channel(row, self._clock())

    async def get(self, channel_id: str) -> Channel | None:
        """The account as people see it."""
        row = await self._rows.find_one({"_id": channel_id}) if is_id(channel_id, "chn") else None
        return _channel(row, self._clock()) if row else None

    async def list(self, *, provider: str | None = None) -> list[Channel]:
        """All accounts, oldest first. A deployment has tens of them, not thousands."""
        wanted = {"provider": provider} if provider else {}
        return [_channel(row, self._clock()) async for row in self._rows.find(wanted).sort("_id", ASCENDING).limit(500)]

    async def providers_of(self, channel_ids: Collection[str]) -> dict[str, str]:
        """Channel id → provider, of those that there are."""
        rows = self._rows.find({"_id": {"$in": list(channel_ids)}}, {"provider": 1})
        return {row["_id"]: row["provider"] async for row in rows}

    async def account(self, channel_id: str) -> Account | None:
        """The account with its secrets opened, at most two seconds old; None when there is none."""
        opened = await self._open(channel_id)
        return opened.account if opened else None

    async def both(self, channel_id: str) -> tuple[Channel, Account] | None:
        """`get` and `account` in one, from the same read."""
        opened = await self._open(channel_id)
        return (opened.channel, opened.account) if opened else None

    async def having(self, provider: str, setting: str, value: str) -> Sequence[Channel]:
        """Accounts of `provider` whose non-secret `setting` has this value: the owners of a shared webhook URL."""
        card = self._registry.get(provider).card
        if setting not in card.settings.model_fields:
            return []
        rows = self._rows.find({"provider": provider, f"settings.{setting}": value}).limit(20)
        return [_channel(row, self._clock()) async for row in rows]

    async def holding(self, provider: str, secret: str) -> str | None:
        """The account whose `found_by` secret this is, or was until lately; of several the oldest.

        Found by an indexed hash under our own key: the secret itself stands sealed. `verify` has the last word.
        """
        name = self._registry.get(provider).card.found_by
        if name is None or not secret:
            return None
        mark = self._print_of(provider, name, secret)
        held, until = self._holders.get(mark, ("", 0.0))
        if until > time.monotonic():
            return held
        rows = self._rows.find({"found_by": mark}, {"_id": 1})
        found = await rows.sort("_id", ASCENDING).limit(1).to_list(1)
        if not found:
            return None
        if len(self._holders) >= HOLDERS_KEPT:
            self._holders.clear()
        self._holders[mark] = (str(found[0]["_id"]), time.monotonic() + FRESH_S)
        return str(found[0]["_id"])

    async def update(
        self, channel_id: str, *, name: str | None = None, settings: Mapping[str, Any] | None = None,
        state: ChannelState | None = None, rate_per_s: float | Literal["provider"] | None = None,
    ) -> Channel:  # fmt: skip
        """Change what is given; secrets left out stay. A replaced secret is accepted by `verify` for a while longer.

        `rate_per_s`: messages a second over all workers; `provider`: again what the provider says.
        """
        row = await self._rows.find_one({"_id": channel_id})
        if row is None:
            raise NotFound("There is no such channel.")
        change: Document = {"updated_at": self._clock()}
        if name is not None:
            change["name"] = name
        if state is not None:
            change |= {"state": state, "state_reason": None}
        if rate_per_s is not None:
            change["rate_per_s"] = None if rate_per_s == "provider" else rate_per_s
        if settings is not None:
            change |= self._resettled(row, settings)
        after: Document | None = await self._rows.find_one_and_update(
            {"_id": channel_id, "updated_at": row["updated_at"]},
            {"$set": change},
            return_document=ReturnDocument.AFTER,
        )
        self._opened.pop(channel_id, None)
        if after is None:  # somebody was quicker: apply the same change to what they wrote
            return await self.update(channel_id, name=name, settings=settings, state=state, rate_per_s=rate_per_s)
        return _channel(after, self._clock())

    async def remove(self, channel_id: str) -> bool:
        """Disconnect for good: credentials are deleted; messages keep their channel id."""
        self._opened.pop(channel_id, None)
        return (await self._rows.delete_one({"_id": channel_id})).deleted_count == 1

    async def pause(self, channel_id: str, reason: str, detail: str) -> bool:
        """Stop sending until an administrator connects it again. True when it was running."""
        self._opened.pop(channel_id, None)
        now = self._clock()
        error = {"at": now, "code": reason, "text": detail[:500]}
        result = await self._rows.update_one(
            {"_id": channel_id, "state": "connected"},
            {"$set": {"state": "paused", "state_reason": detail[:500], "last_error": error, "updated_at": now}},
        )
        return result.modified_count == 1

    async def note(
        self, channel_id: str, *, received: int = 0, sent: int = 0, event_at: datetime | None = None,
        receipt_at: datetime | None = None, error: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Keep the gallery's figures: counters, those of the last 24 hours, last event, last error."""
        now = self._clock()
        change: Document = {
            "received": {"$add": [{"$ifNull": ["$received", 0]}, received]},
            "sent": {"$add": [{"$ifNull": ["$sent", 0]}, sent]},
            f"hours.h{now.hour:02}": _counted(now, received, sent, 1 if error else 0),
        }
        if event_at is not None:
            change["last_event_at"] = {"$max": ["$last_event_at", event_at]}
        if receipt_at is not None:
            change["last_receipt_at"] = {"$max": ["$last_receipt_at", receipt_at]}
        if sent:
            change["last_sent_at"] = {"$max": ["$last_sent_at", now]}
        if error is not None:
            change["last_error"] = {"$literal": dict(error)}
        await self._rows.update_one({"_id": channel_id}, [{"$set": change}])

    async def reserve(self, channel_id: str, wanted: int, rate_per_s: float) -> int:
        """Take up to `wanted` sending tokens from the account's bucket (one second's worth deep); the number granted.

        The bucket stands in MongoDB and fills by the server's clock, so all workers together keep the rate and
        nothing is forgotten with Redis.
        """
        depth = max(1.0, rate_per_s)
        filled = {"$min": [depth, {"$add": [
            {"$ifNull": ["$rate.tokens", depth]},
            {"$multiply": [{"$divide": [{"$subtract": ["$$NOW", {"$ifNull": ["$rate.at", "$$NOW"]}]}, 1000]},
                           rate_per_s]},
        ]}]}  # fmt: skip
        row = await self._rows.find_one_and_update(
            {"_id": channel_id},
            [
                {"$set": {"rate.tokens": filled, "rate.at": "$$NOW"}},
                {"$set": {"rate.granted": {"$min": [wanted, {"$floor": {"$max": ["$rate.tokens", 0]}}]}}},
                {"$set": {"rate.tokens": {"$subtract": ["$rate.tokens", "$rate.granted"]}}},
            ],
            projection={"rate.granted": 1},
            return_document=ReturnDocument.AFTER,
        )
        return math.floor(row["rate"]["granted"]) if row else 0

    async def hold_back(self, channel_id: str, seconds: float, rate_per_s: float) -> None:
        """The provider asked the whole account to wait: empty the bucket below zero by that long."""
        await self._rows.update_one(
            {"_id": channel_id}, [{"$set": {"rate.tokens": -seconds * rate_per_s + 1, "rate.at": "$$NOW"}}]
        )

    async def _open(self, channel_id: str) -> _Opened | None:
        opened = self._opened.get(channel_id)
        if opened is not None and opened.until > time.monotonic():
            return opened
        # Requests that come while somebody looks share that look: hundreds of webhooks may be under way.
        look = self._opening.get(channel_id)
        if look is None:
            look = self._opening[channel_id] = asyncio.create_task(self._look(channel_id))
            look.add_done_callback(lambda done: self._looked(channel_id, done))
        return await asyncio.shield(look)

    def _looked(self, channel_id: str, look: asyncio.Task[_Opened | None]) -> None:
        self._opening.pop(channel_id, None)
        if not look.cancelled():
            look.exception()  # whoever still waits raises it; when nobody does, it is nobody's fault

    async def _look(self, channel_id: str) -> _Opened | None:
        row = await self._rows.find_one({"_id": channel_id}) if is_id(channel_id, "chn") else None
        if row is None:
            self._opened.pop(channel_id, None)
            return None
        fresh = _Opened(self._unsealed(row), _channel(row, self._clock()), time.monotonic() + FRESH_S)
        self._opened[channel_id] = fresh
        return fresh

    def _unsealed(self, row: Document) -> Account:
        channel_id, card, now = row["_id"], self._registry.get(row["provider"]).card, self._clock()
        opened = {n: SecretStr(self._box.open(t, f"{channel_id}:{n}")) for n, t in row["secrets"].items()}
        former = {
            name: tuple(self._box.open(old["token"], f"{channel_id}:{name}") for old in olds if old["until"] > now)
            for name, olds in row.get("former_secrets", {}).items()
        }
        settings = card.settings.model_construct(**(_defaults(card) | row["settings"] | opened))
        return Account(channel_id, row["provider"], row["name"], settings, former, self._base_url)

    def _split(self, card: Card, channel_id: str, checked: Any) -> tuple[Document, Document]:
        plain, secrets = {}, {}
        for name in type(checked).model_fields:
            value = getattr(checked, name)
            if isinstance(value, SecretStr):
                if value.get_secret_value():
                    secrets[name] = self._box.seal(value.get_secret_value(), f"{channel_id}:{name}")
            elif value is not None:
                plain[name] = list(value) if isinstance(value, tuple) else value
        return plain, secrets

    def _resettled(self, row: Document, settings: Mapping[str, Any]) -> Document:
        card = self._registry.get(row["provider"]).card
        kept = {n: self._box.open(t, f"{row['_id']}:{n}") for n, t in row["secrets"].items()}
        _refuse_carrying_off(row["settings"], kept, settings)
        checked = _validated(card, {**row["settings"], **kept, **settings})
        plain, secrets = self._split(card, row["_id"], checked)
        former = dict(row.get("former_secrets", {}))
        for name, old in kept.items():
            new = getattr(checked, name)
            if new is None or new.get_secret_value() != old:
                old_row = {"token": row["secrets"][name], "until": self._clock() + FORMER_FOR}
                former[name] = [old_row, *former.get(name, [])][:FORMER_KEPT]
            else:
                secrets[name] = row["secrets"][name]
        found = self._findable(card, row["_id"], secrets, former)
        return {"settings": plain, "secrets": secrets, "former_secrets": former, **found}

    def _findable(self, card: Card, channel_id: str, secrets: Document, former: Document) -> Document:
        name = card.found_by
        if name is None:
            return {}
        tokens = [*([secrets[name]] if name in secrets else []), *(old["token"] for old in former.get(name, []))]
        opened = (self._box.open(token, f"{channel_id}:{name}") for token in tokens)
        return {"found_by": [self._print_of(card.provider, name, secret) for secret in opened]}

    def _print_of(self, provider: str, name: str, secret: str) -> str:
        return hmac_hex(self._box.signing_key, "\x1f".join((provider, name, secret)).encode("utf-8", "replace"))


def _counted(now: datetime, received: int, sent: int, errors: int) -> Document:
    """One of 24 slots, begun anew when it is of another day."""
    hour, slot = now.replace(minute=0, second=0, microsecond=0), f"$hours.h{now.hour:02}"
    same = {"$eq": [f"{slot}.hour", hour]}
    figures = {"received": received, "sent": sent, "errors": errors}
    added = {name: {"$add": [count, {"$cond": [same, f"{slot}.{name}", 0]}]} for name, count in figures.items()}
    return {"hour": hour, **added}


def _last_day(row: Document, now: datetime) -> tuple[Hour, ...]:
    """The last 24 hours, oldest first, those without anything included."""
    this = now.replace(minute=0, second=0, microsecond=0)
    kept = {slot["hour"]: slot for slot in row.get("hours", {}).values()}
    begins = [this - timedelta(hours=back) for back in range(23, -1, -1)]
    names = ("received", "sent", "errors")
    return tuple(Hour(at, *(int(kept.get(at, {}).get(name, 0)) for name in names)) for at in begins)


def _refuse_carrying_off(before: Mapping[str, Any], secrets: Mapping[str, str], after: Mapping[str, Any]) -> None:
    """A stored secret is never sent to a host it was not entered for: a new host asks for the secrets again."""
    moved = [name for name in HOSTS if name in after and after[name] != before.get(name)]
    missing = [name for name in secrets if not after.get(name)]
    if moved and missing:
        sentence = f"Enter this again: {moved[0]} changes, and a stored secret is not sent to a new place."
        raise WrongInput(sentence, [FieldError(f"settings.{name}", sentence) for name in missing])


def _validated(card: Card, settings: Mapping[str, Any]) -> Any:
    try:
        return card.settings.model_validate(dict(settings))
    except ValidationError as error:
        raise WrongInput(f"The settings of {card.label} are not right.", _faults(error.errors())) from None


def _faults(errors: Sequence[Any]) -> list[FieldError]:
    return [
        FieldError("settings." + ".".join(str(p) for p in fault["loc"]), fault["msg"].removeprefix("Value error, "))
        for fault in errors
    ]


def _defaults(card: Card) -> Document:
    fields = card.settings.model_fields.items()
    return {name: f.get_default(call_default_factory=True) for name, f in fields if not f.is_required()}


def _channel(row: Document, now: datetime) -> Channel:
    return Channel(
        id=row["_id"],
        provider=row["provider"],
        name=row["name"],
        settings=row["settings"],
        secret_names=tuple(sorted(row["secrets"])),
        state=row["state"],
        state_reason=row.get("state_reason"),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_event_at=row.get("last_event_at"),
        last_sent_at=row.get("last_sent_at"),
        last_receipt_at=row.get("last_receipt_at"),
        last_error=row.get("last_error"),
        received=row.get("received", 0),
        sent=row.get("sent", 0),
        rate_per_s=row.get("rate_per_s"),
        last_day=_last_day(row, now),
    )
