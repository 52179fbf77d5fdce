"""Who may come in, as rows: users, sessions, API tokens, one-time links, login throttle, idempotency keys.

Nothing here keeps a secret: of sessions, tokens and links only the SHA-256 of the 256-bit random value is stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from base.clock import Clock
from base.errors import Conflict
from base.ids import new_id
from base.mongo import ASCENDING, Database, Document, DuplicateKeyError, Indexes, IndexModel, Session
from profiles.holdings import Traces

Role = Literal["admin", "marketer", "agent", "viewer"]
ROLES: tuple[Role, ...] = ("admin", "marketer", "agent", "viewer")

INDEXES: Indexes = {
    "users": [
        IndexModel([("email", ASCENDING)], name="email", unique=True),
        IndexModel(
            [("oidc", ASCENDING)], name="oidc", unique=True, partialFilterExpression={"oidc": {"$type": "string"}}
        ),
    ],
    "sessions": [
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        IndexModel([("user_id", ASCENDING)], name="user"),
    ],
    "tokens": [IndexModel([("hash", ASCENDING)], name="hash", unique=True)],
    "links": [
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        IndexModel([("user_id", ASCENDING)], name="user"),
    ],
    "throttle": [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)],
    "idempotency": [
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        IndexModel([("about", ASCENDING)], name="about", sparse=True),
    ],
}

SESSION_IDLE = timedelta(days=14)
SESSION_SEEN_EVERY = timedelta(minutes=5)
#: How long somebody may look for their phone.
PENDING_LIFE = timedelta(minutes=10)
#: Sessions that open something.
_OPEN: Mapping[str, Any] = {"pending": {"$ne": True}}
#: Nobody works at more places at once.
SESSIONS_SHOWN = 100
LINK_LIFE = timedelta(days=7)
IDEMPOTENCY_LIFE = timedelta(hours=48)
#: Ids of people and their identities in an answer; more than so many of one answer are found by reading it.
_PEOPLE = re.compile(rb"\b(?:prf|idn)_[0-9a-z]{26}\b")
ABOUT_MAX = 200
#: Somebody who can come in and let others in.
ABLE: Mapping[str, Any] = {"role": "admin", "active": True, "channels": None, "password_hash": {"$ne": None}}
#: What takes rights away or gives them.
RIGHTS = frozenset({"role", "active", "channels", "masks"})
#: Letters of an id behind its prefix: 104 of the 256 bits of a fingerprint.
_SESSION_ID = 26
#: A request that holds an idempotency key says so again and again; silent for so long, its process is taken for dead
#: and the key may be taken over.
IDEMPOTENCY_SILENT = timedelta(seconds=20)


def fingerprint(secret: str) -> str:
    """What is stored of a random secret. Plain SHA-256 is right here: 256 random bits can't be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class User:
    """A person who signs in. `channels` None: all of them."""

    id: str
    email: str
    name: str
    role: Role
    channels: frozenset[str] | None
    active: bool
    language: str | None
    theme: str | None
    time_zone: str | None
    has_password: bool
    created_at: datetime
    #: When a session of theirs last asked for something, to some minutes.
    last_seen_at: datetime | None = None
    #: What of customers is covered for them (`desk.team.masking`).
    masks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SignedIn:
    """A session, without its secret. `id` names it to its owner; knowing it opens nothing."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    #: What the browser says of itself, as it came.
    agent: str
    address: str


@dataclass(frozen=True)
class ApiToken:
    """A program's key, without the key."""

    id: str
    name: str
    role: Role
    channels: frozenset[str] | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    #: The bot that comes in by it.
    bot_id: str | None = None


@dataclass(frozen=True)
class Replay:
    """What an idempotency key stands for: `new` (yours to do), `running`, `done` (answer kept), `other_body`."""

    state: Literal["new", "running", "done", "other_body"]
    status: int = 0
    headers: Mapping[str, str] | None = None
    body: bytes = b""


def fold_email(email: str) -> str:
    """The form an address is unique in: trimmed, lower case."""
    return email.strip().lower()


def _scope(channels: Sequence[str] | frozenset[str] | None) -> list[str] | None:
    return None if channels is None else sorted(channels)


def _user(row: Document) -> User:
    channels = row.get("channels")
    return User(
        row["_id"], row["email"], row["name"], row["role"], None if channels is None else frozenset(channels),
        row["active"], row.get("language"), row.get("theme"), row.get("time_zone"),
        bool(row.get("password_hash")), row["created_at"], row.get("last_seen_at"),
        frozenset(row.get("masks") or ()),
    )  # fmt: skip


def session_id(secret_print: str) -> str:
    """The name of a session: a part of the fingerprint of its secret."""
    return f"ses_{secret_print[:_SESSION_ID]}"


def _signed_in(row: Document) -> SignedIn:
    return SignedIn(
        session_id(row["_id"]), row["created_at"], row["last_seen_at"], row["expires_at"], row["agent"], row["address"]
    )


def _token(row: Document) -> ApiToken:
    channels = row.get("channels")
    return ApiToken(
        row["_id"], row["name"], row["role"], None if channels is None else frozenset(channels),
        row["created_at"], row.get("last_used_at"), row.get("revoked_at"), row.get("bot_id"),
    )  # fmt: skip


class DeskStore:
    """Rows of everybody who may come in (`runtime.users`)."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._users = database.collection("users")
        self._sessions = database.collection("sessions")
        self._tokens = database.collection("tokens")
        self._links = database.collection("links")
        self._throttle = database.collection("throttle")
        self._idempotency = database.collection("idempotency")
        self._clock = clock

    # -- users ---------------------------------------------------------------------------------------------------

    async def add_user(self, email: str, name: str, role: Role, *, channels: Sequence[str] | None = None) -> User:
        """A new person without a password. Raises `Conflict` when the address is taken."""
        now = self._clock()
        row: Document = {
            "_id": new_id("usr"), "email": fold_email(email), "name": name.strip(), "role": role,
            "channels": _scope(channels), "active": True, "password_hash": None, "language": None, "theme": None,
            "time_zone": None, "created_at": now, "updated_at": now,
        }  # fmt: skip
        try:
            await self._users.insert_one(row)
        except DuplicateKeyError:
            raise Conflict("Somebody with this address is here already.") from None
        return _user(row)

    async def user(self, user_id: str) -> User | None:
        """One person, or None."""
        row = await self._users.find_one({"_id": user_id})
        return _user(row) if row else None

    async def password_of(self, email: str) -> tuple[User, str | None] | None:
        """The person and the argon2 hash, for signing in."""
        row = await self._users.find_one({"email": fold_email(email)})
        return (_user(row), row.get("password_hash")) if row else None

    async def vouched(self, key: str, email: str) -> User | None:
        """Who came in by this provider before, else whose mail address it vouches for and who is nobody else there."""
        known = await self._users.find_one({"oidc": key})
        if known is None:
            unlinked = {"email": fold_email(email), "oidc": None}
            known = await self._users.find_one_and_update(unlinked, {"$set": {"oidc": key}})
        return _user(known) if known else None

    async def users(self) -> list[User]:
        """Everybody, by name."""
        return [_user(row) async for row in self._users.find({}).sort("name", ASCENDING)]

    async def addresses(self) -> dict[str, str]:
        """Everybody's id → mail address."""
        return {row["_id"]: row["email"] async for row in self._users.find({}, {"email": 1})}

    async def names(self, user_ids: Sequence[str]) -> dict[str, str]:
        """Names of these people and programs; unknown ids are left out."""
        wanted = {"_id": {"$in": list(user_ids)}}
        found = {row["_id"]: row["name"] async for row in self._users.find(wanted, {"name": 1})}
        if any(each.startswith("tok_") for each in user_ids):
            found |= {row["_id"]: row["name"] async for row in self._tokens.find(wanted, {"name": 1})}
        return found

    async def count_administrators(self) -> int:
        """How many there are: without one, nobody can let others in."""
        return int(await self._users.count_documents({"role": "admin"}))

    async def change_user(self, user_id: str, change: Mapping[str, Any]) -> User | None:
        """Set some of name, role, channels, masks, active, language, theme, time_zone.

        Raises `Conflict` when nobody would be left who can let others in, however many ask at once.
        """
        allowed = {"name", "role", "channels", "active", "language", "theme", "time_zone", "masks"}
        fields: dict[str, Any] = {key: change[key] for key in change if key in allowed}
        if "channels" in fields:
            fields["channels"] = _scope(fields["channels"])
        if "masks" in fields:
            fields["masks"] = sorted(fields["masks"])
        update = {"$set": {**fields, "updated_at": self._clock()}}
        if fields.keys() & RIGHTS:
            await self._database.in_transaction(lambda session: self._change_rights(user_id, update, session))
        else:
            await self._users.update_one({"_id": user_id}, update)
        return await self.user(user_id)

    async def _change_rights(self, user_id: str, update: Mapping[str, Any], session: Session) -> None:
        """All administrators are written, so that two who take each other's rights clash."""
        able = await self._users.update_many(dict(ABLE), {"$inc": {"rights_rev": 1}}, session=session)
        await self._users.update_one({"_id": user_id}, update, session=session)
        left = await self._users.find_one(dict(ABLE), {"_id": 1}, session=session)
        if able.modified_count and left is None:
            raise Conflict("This is the last administrator. Make somebody else one first.", code="last_administrator")

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace the hash."""
        change = {"password_hash": password_hash, "updated_at": self._clock()}
        await self._users.update_one({"_id": user_id}, {"$set": change})

    # -- sessions ------------------------------------------------------------------------------------------------

    async def open_session(
        self, secret: str, user_id: str, *, agent: str, address: str, pending: bool = False
    ) -> None:
        """Remember a new session under the hash of its secret. `pending`: a second factor is still asked for, and
        until then it opens nothing."""
        now = self._clock()
        row: Document = {
            "_id": fingerprint(secret), "user_id": user_id, "created_at": now, "last_seen_at": now,
            "expires_at": now + (PENDING_LIFE if pending else SESSION_IDLE), "agent": agent[:200],
            "address": address[:64],
        }  # fmt: skip
        if pending:
            await self._sessions.insert_one({**row, "pending": True})
            return
        await self._sessions.insert_one(row)
        await self._users.update_one({"_id": user_id}, {"$max": {"last_seen_at": now}})

    async def session_user(self, secret: str) -> User | None:
        """Whose session this is; None when it is unknown, expired, closed, or the person was switched off."""
        now = self._clock()
        row = await self._sessions.find_one({"_id": fingerprint(secret), "expires_at": {"$gt": now}, **_OPEN})
        if row is None:
            return None
        user = await self.user(row["user_id"])
        if user is None or not user.active:
            return None
        if now - row["last_seen_at"] > SESSION_SEEN_EVERY:
            change = {"last_seen_at": now, "expires_at": now + SESSION_IDLE}
            await self._sessions.update_one({"_id": row["_id"]}, {"$set": change})
            await self._users.update_one({"_id": user.id}, {"$max": {"last_seen_at": now}})
        return user

    async def pending_user(self, secret: str) -> User | None:
        """Who has given a password here and no second factor yet; None for any other session."""
        wanted = {"_id": fingerprint(secret), "expires_at": {"$gt": self._clock()}, "pending": True}
        row = await self._sessions.find_one(wanted)
        user = await self.user(row["user_id"]) if row else None
        return user if user is not None and user.active else None

    async def sessions_of(self, user_id: str) -> list[SignedIn]:
        """Where a person is signed in, the last used first."""
        wanted = {"user_id": user_id, "expires_at": {"$gt": self._clock()}, **_OPEN}
        rows = self._sessions.find(wanted).sort([("last_seen_at", -1), ("_id", 1)]).limit(SESSIONS_SHOWN)
        return [_signed_in(row) async for row in rows]

    async def close_session_named(self, user_id: str, name: str) -> bool:
        """Sign a person out at one place; False when there is no such session of theirs."""
        start = name.removeprefix("ses_")
        # fingerprints are hexadecimal: "g" sorts after all that begin with `start`
        named = {"$gte": start, "$lt": start + "g"}
        return bool((await self._sessions.delete_one({"user_id": user_id, "_id": named})).deleted_count)

    async def close_other_sessions(self, user_id: str, kept_secret: str) -> int:
        """Sign a person out everywhere but here; how many sessions that were."""
        others = {"user_id": user_id, "_id": {"$ne": fingerprint(kept_secret)}}
        return int((await self._sessions.delete_many(others)).deleted_count)

    async def close_session(self, secret: str) -> None:
        """Forget one session; a second time does nothing."""
        await self._sessions.delete_one({"_id": fingerprint(secret)})

    async def close_sessions_of(self, user_id: str) -> int:
        """Sign a person out everywhere; how many sessions that were."""
        result = await self._sessions.delete_many({"user_id": user_id})
        return int(result.deleted_count)

    # -- tokens --------------------------------------------------------------------------------------------------

    async def add_token(
        self, secret: str, name: str, role: Role, *, channels: Sequence[str] | None, created_by: str,
        bot_id: str | None = None,
    ) -> ApiToken:  # fmt: skip
        """Remember a program's key by its hash."""
        row: Document = {
            "_id": new_id("tok"), "hash": fingerprint(secret), "name": name.strip(), "role": role,
            "channels": _scope(channels), "created_by": created_by, "created_at": self._clock(),
            "last_used_at": None, "revoked_at": None, **({"bot_id": bot_id} if bot_id else {}),
        }  # fmt: skip
        await self._tokens.insert_one(row)
        return _token(row)

    async def token(self, secret: str) -> ApiToken | None:
        """The key's row; None when unknown or revoked."""
        row = await self._tokens.find_one({"hash": fingerprint(secret), "revoked_at": None})
        if row is None:
            return None
        now, used = self._clock(), row.get("last_used_at")
        if used is None or now - used > SESSION_SEEN_EVERY:
            await self._tokens.update_one({"_id": row["_id"]}, {"$set": {"last_used_at": now}})
        return _token(row)

    async def tokens(self) -> list[ApiToken]:
        """All keys, newest first, revoked ones too."""
        return [_token(row) async for row in self._tokens.find({}).sort("_id", -1)]

    async def change_token(self, token_id: str, fields: Mapping[str, Any]) -> None:
        """Set these fields of a key."""
        await self._tokens.update_one({"_id": token_id}, {"$set": dict(fields)})

    async def revoke_token(self, token_id: str) -> bool:
        """Make a key useless; False when there is none."""
        result = await self._tokens.update_one({"_id": token_id}, {"$set": {"revoked_at": self._clock()}})
        return bool(result.matched_count)

    # -- one-time links ------------------------------------------------------------------------------------------

    async def add_link(self, secret: str, purpose: str, user_id: str | None) -> None:
        """Remember a link by the hash of its secret; older ones for the same purpose and person are void."""
        await self._links.delete_many({"purpose": purpose, "user_id": user_id})
        now = self._clock()
        row = {"_id": fingerprint(secret), "purpose": purpose, "user_id": user_id, "expires_at": now + LINK_LIFE}
        await self._links.insert_one(row)

    async def link(self, secret: str) -> tuple[str, str | None] | None:
        """(purpose, user id) of a link that still works, without using it up."""
        wanted = {"_id": fingerprint(secret), "expires_at": {"$gt": self._clock()}}
        row = await self._links.find_one(wanted)
        return (row["purpose"], row["user_id"]) if row else None

    async def use_link(self, secret: str) -> tuple[str, str | None] | None:
        """The same, and use it up: of two who come at once only one gets an answer."""
        wanted = {"_id": fingerprint(secret), "expires_at": {"$gt": self._clock()}}
        row = await self._links.find_one_and_delete(wanted)
        return (row["purpose"], row["user_id"]) if row else None

    # -- throttle ------------------------------------------------------------------------------------------------

    async def count_attempt(self, key: str, window_s: int) -> tuple[int, datetime]:
        """Count one attempt in a window that starts with the first; (attempts so far, end of the window). Atomic."""
        now = self._clock()
        fresh = {"$or": [{"$eq": [{"$type": "$expires_at"}, "missing"]}, {"$lte": ["$expires_at", now]}]}
        change = [
            {
                "$set": {
                    "count": {"$cond": [fresh, 1, {"$add": ["$count", 1]}]},
                    "expires_at": {"$cond": [fresh, now + timedelta(seconds=window_s), "$expires_at"]},
                }
            }
        ]
        try:
            row = await self._throttle.find_one_and_update({"_id": key}, change, upsert=True, return_document=True)
        except DuplicateKeyError:  # two first attempts at once: the other one made the row
            row = await self._throttle.find_one_and_update({"_id": key}, change, return_document=True)
        return row["count"], row["expires_at"]

    async def take_back_attempt(self, key: str) -> None:
        """Not count one attempt after all: it was right."""
        await self._throttle.update_one({"_id": key, "count": {"$gt": 0}}, {"$inc": {"count": -1}})

    async def forget_attempts(self, key: str) -> None:
        """Start again from nothing."""
        await self._throttle.delete_one({"_id": key})

    # -- idempotency keys ----------------------------------------------------------------------------------------

    async def begin_once(self, owner: str, key: str, body_hash: str) -> Replay:
        """Claim a key for one request. Only who reads `new` may go on, and must call `finish_once` or `drop_once`,
        and `alive_once` on the way."""
        now = self._clock()
        row_id = f"{owner}:{fingerprint(key)}"
        row = {
            "_id": row_id, "body_hash": body_hash, "state": "running", "alive_at": now,
            "expires_at": now + IDEMPOTENCY_LIFE,
        }  # fmt: skip
        try:
            await self._idempotency.insert_one(row)
            return Replay("new")
        except DuplicateKeyError:
            pass
        held = await self._idempotency.find_one({"_id": row_id})
        if held is None:  # dropped in between: the other caller failed, the next try of this one will succeed
            return Replay("running")
        if held["body_hash"] != body_hash:
            return Replay("other_body")
        if held["state"] == "done":
            return Replay("done", held["status"], held["headers"], bytes(held["body"]))
        return await self._take_over(held, now)

    async def _take_over(self, held: Document, now: datetime) -> Replay:
        alive_at = held.get("alive_at")
        if alive_at is not None and now - alive_at < IDEMPOTENCY_SILENT:
            return Replay("running")
        wanted = {"_id": held["_id"], "state": "running", "alive_at": alive_at}
        result = await self._idempotency.update_one(wanted, {"$set": {"alive_at": now}})
        return Replay("new" if result.modified_count else "running")

    async def alive_once(self, owner: str, key: str) -> None:
        """The request that holds the key still runs. Called more often than `IDEMPOTENCY_SILENT`."""
        wanted = {"_id": f"{owner}:{fingerprint(key)}", "state": "running"}
        await self._idempotency.update_one(wanted, {"$set": {"alive_at": self._clock()}})

    async def finish_once(self, owner: str, key: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Keep the answer for whoever asks again, with the people it names by their ids."""
        about = sorted({each.decode() for each in _PEOPLE.findall(body)})[:ABOUT_MAX]
        change = {"state": "done", "status": status, "headers": dict(headers), "body": body, "about": about}
        await self._idempotency.update_one({"_id": f"{owner}:{fingerprint(key)}"}, {"$set": change})

    async def drop_once(self, owner: str, key: str) -> None:
        """The request had no effect (refused, failed): the key is free again."""
        await self._idempotency.delete_one({"_id": f"{owner}:{fingerprint(key)}", "state": "running"})

    # -- what is kept of customers ---------------------------------------------------------------------------------

    async def answers_of(self, ids: Sequence[str]) -> list[str]:
        """Ids of kept answers that name one of these people by an id, found by an index."""
        kept = self._idempotency.find({"about": {"$in": list(ids)}, "body": {"$ne": b""}}, {"_id": 1})
        return [row["_id"] async for row in kept]

    async def answers_about(self, words: Sequence[str]) -> list[str]:
        """Ids of kept answers in which one of these words stands. Looks at all of them: they live for a day."""
        needles = [word.encode() for word in words]
        kept = self._idempotency.find({"state": "done"}, {"body": 1})
        return [row["_id"] async for row in kept if any(each in bytes(row.get("body") or b"") for each in needles)]

    async def empty_answers(self, ids: Sequence[str]) -> int:
        """Take what they said away. The keys stay used: a request that is repeated is not carried out again."""
        change = {"$set": {"body": b"", "headers": {}}, "$unset": {"about": ""}}
        return (await self._idempotency.update_many({"_id": {"$in": list(ids)}}, change)).modified_count


class AnswerRoom:
    """Answers kept for repeated requests that name the person by an id, as `profiles.holdings.Room`."""

    name = "idempotency"
    read_whole = False

    def __init__(self, desk: DeskStore) -> None:
        self._desk = desk

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """Copies of what stands elsewhere: only that they are there."""
        for each in await self._found(traces):
            yield {"id": each}

    async def count(self, traces: Traces) -> int:
        """How many answers."""
        return len(await self._found(traces))

    async def erase(self, traces: Traces) -> int:
        """Their contents."""
        return await self._desk.empty_answers(await self._found(traces))

    async def _found(self, traces: Traces) -> list[str]:
        return await self._desk.answers_of([*traces.profile_ids, *traces.identity_ids])


class AnswerTextRoom(AnswerRoom):
    """The other answers in which the person is named: nothing but reading them tells."""

    name = "idempotency_texts"
    read_whole = True

    async def _found(self, traces: Traces) -> list[str]:
        told = [*traces.profile_ids, *traces.identity_ids, *traces.words, *traces.names]
        known = set(await super()._found(traces))
        return [each for each in await self._desk.answers_about(told) if each not in known]
