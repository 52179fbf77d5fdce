"""Signing in and setting passwords: argon2 in a thread, throttled, the same text and time whoever asks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, Refused, TooMany, WrongInput
from desk.i18n import N_
from desk.store import RIGHTS, ApiToken, DeskStore, Role, User, fold_email
from desk.team.oidc import STRANGER, Vouched
from desk.team.two_factor import TwoFactor, wrong_code

#: Failed tries before an account or an address has to wait. A window starts with its first try.
WINDOW_S = 15 * 60
TRIES_PER_ACCOUNT = 10
TRIES_PER_ADDRESS = 40
#: Of a million codes three are right at a time.
TRIES_PER_CODE = 5
#: Hashes computed at once: each takes 64 MiB and a third of a second of one core.
HASHES_AT_ONCE = 2
PASSWORD_MIN, PASSWORD_MAX = 10, 256
COMMONEST = frozenset({"1234567890", "0123456789", "password12", "password123", "qwertyuiop", "1q2w3e4r5t"})

FIRST_ADMINISTRATOR = "first_administrator"
SET_PASSWORD = "set_password"
WRONG = N_("The address or the password is not right.")
NOT_YOURS = N_("This is not your password.")
OWN_RIGHTS = N_("Ask another administrator to change your own rights.")
NO_LINK = N_("This link is used up or too old. Ask an administrator for a new one.")


def new_secret() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class LinkFor:
    """What an open link is good for. `user` None: the first administrator, who is yet to be named."""

    purpose: str
    user: User | None


class Accounts:
    """What people do to come in. One per process: it bounds the hashing."""

    def __init__(
        self, store: DeskStore, clock: Clock, hasher: PasswordHasher | None = None, factors: TwoFactor | None = None
    ) -> None:
        """`factors` None: nobody is asked for a second factor."""
        self.store = store
        self._factors = factors
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        #: Verified against when there is no such account, so that the answer takes as long.
        self._decoy = self._hasher.hash(new_secret())

    async def sign_in(self, email: str, password: str, *, agent: str, address: str) -> tuple[str, User]:
        """Open a session; (its secret, the person). Raises `Refused` or `TooMany`, in the same words for everybody.

        Where a second factor is asked for, the session opens nothing before `pass_factor`.
        """
        account_key, address_key = f"account:{fold_email(email)[:200]}", f"address:{address}"
        await self._throttle(account_key, TRIES_PER_ACCOUNT)
        await self._throttle(address_key, TRIES_PER_ADDRESS)
        found = await self.store.password_of(email)
        user, known_hash = found if found else (None, None)
        right = await self._matches(known_hash or self._decoy, password)
        if user is None or known_hash is None or not right or not user.active:
            raise Refused(WRONG, code="wrong_password")
        await self.store.forget_attempts(account_key)
        await self.store.take_back_attempt(address_key)
        if self._hasher.check_needs_rehash(known_hash):
            await self.store.set_password_hash(user.id, await self._hash(password))
        return await self._open(user, agent, address), user

    async def first_administrator_link(self) -> str | None:
        """The secret of the link with which the first administrator comes in; None when somebody is here already.

        Asking again makes the former link void.
        """
        if await self.store.count_administrators():
            return None
        secret = new_secret()
        await self.store.add_link(secret, FIRST_ADMINISTRATOR, None)
        return secret

    async def invite(self, email: str, name: str, role: Role, channels: list[str] | None = None) -> tuple[User, str]:
        """A new person and the secret of their set-password link. Raises `Conflict` for a known address."""
        user = await self.store.add_user(_checked_email(email), name or email, role, channels=channels)
        return user, await self.password_link(user.id)

    async def password_link(self, user_id: str) -> str:
        """The secret of a new set-password link; former ones are void."""
        secret = new_secret()
        await self.store.add_link(secret, SET_PASSWORD, user_id)
        return secret

    async def change_person(self, by_id: str, user: User, given: Mapping[str, Any]) -> User:
        """Change name, role, channels, or switch off, which signs out everywhere.

        Raises `WrongInput` for one's own rights, `Conflict` when nobody would be left who can let others in.
        """
        if user.id == by_id and given.keys() & RIGHTS:
            raise WrongInput(OWN_RIGHTS, [FieldError("role", "is your own")])
        changed = await self.store.change_user(user.id, given) or user
        if given.get("active") is False or ("role" in given and await self._lacks_factor(changed)):
            await self.store.close_sessions_of(user.id)
        return changed

    async def change_password(self, user: User, old: str, new: str, *, kept_secret: str) -> None:
        """Replace one's own password and sign out everywhere but here. Raises `WrongInput`, `TooMany`."""
        await self.check_password(user, old)
        _check_password(new, user.email)
        await self.store.set_password_hash(user.id, await self._hash(new))
        await self.store.close_other_sessions(user.id, kept_secret)

    async def come_in_vouched(
        self, vouched: Vouched, domains: Sequence[str], *, agent: str, address: str
    ) -> tuple[str, User]:
        """Open a session for whom a provider vouches; who comes from one of `domains` needs no invitation and is a
        viewer. Raises `Refused` for strangers and for who was switched off."""
        user = await self.store.vouched(vouched.key, vouched.email)
        if user is None and fold_email(vouched.email).rpartition("@")[2] in domains:
            email = _checked_email(vouched.email)
            with suppress(Conflict):  # somebody with this address came in by another account of the provider
                await self.store.add_user(email, vouched.name or email.split("@")[0], "viewer")
                user = await self.store.vouched(vouched.key, email)
        if user is None or not user.active:
            raise Refused(STRANGER, code="oidc_stranger")
        return await self._open(user, agent, address), user

    # -- second factor -------------------------------------------------------------------------------------------

    @property
    def factors(self) -> TwoFactor:
        """Second factors. Raises `Conflict` where there are none."""
        if self._factors is None:
            raise Conflict("Second factors are not set up here.")
        return self._factors

    async def pass_factor(self, pending: str, user: User, code: str, *, agent: str, address: str) -> str:
        """A session in place of the one that waited; its secret. Raises `WrongInput`, `TooMany`."""
        await self.check_code(user, code)
        return await self._exchange(pending, user, agent, address)

    async def enrol_at_the_door(
        self, pending: str, user: User, code: str, *, agent: str, address: str
    ) -> tuple[str, list[str]]:
        """The same for who sets their second factor up to come in; (the session's secret, recovery codes)."""
        codes = await self.confirm_factor(user, code)
        return await self._exchange(pending, user, agent, address), codes

    async def check_code(self, user: User, code: str) -> None:
        """Use up a code. Raises `WrongInput` when it is not right, `TooMany`."""
        key = f"code:{user.id}"
        await self._throttle(key, TRIES_PER_CODE)
        if not await self.factors.passes(user.id, code):
            raise wrong_code()
        await self.store.forget_attempts(key)

    async def confirm_factor(self, user: User, code: str, *, kept_secret: str | None = None) -> list[str]:
        """The app of this person works; recovery codes. All other sessions end: they have shown no second factor."""
        await self._throttle(f"code:{user.id}", TRIES_PER_CODE)
        codes = await self.factors.confirm(user.id, code)
        await self.store.forget_attempts(f"code:{user.id}")
        await self.store.close_other_sessions(user.id, kept_secret or "")
        return codes

    async def check_password(self, user: User, password: str) -> None:
        """Raises `WrongInput` when it is not theirs, `TooMany`."""
        key = f"account:{user.email[:200]}"
        await self._throttle(key, TRIES_PER_ACCOUNT)
        found = await self.store.password_of(user.email)
        if found is None or not await self._matches(found[1] or self._decoy, password):
            raise WrongInput(NOT_YOURS, [FieldError("old", NOT_YOURS)])
        await self.store.forget_attempts(key)

    async def require_factor(self, roles: frozenset[str]) -> None:
        """These roles come in with a second factor only. Who has none is signed out and sets one up at the door."""
        await self.factors.require(roles)
        for user in await self.store.users():
            if await self._lacks_factor(user):
                await self.store.close_sessions_of(user.id)

    async def reset_factor(self, user: User) -> bool:
        """For who has lost phone and codes: no factor, and signed out everywhere. False when there was none."""
        gone = await self.factors.remove(user.id)
        await self.store.close_sessions_of(user.id)
        return gone

    async def _lacks_factor(self, user: User) -> bool:
        asked = self._factors is not None and user.role in await self._factors.required()
        return asked and await self.factors.of(user.id) is None

    async def _exchange(self, pending: str, user: User, agent: str, address: str) -> str:
        secret = new_secret()
        await self.store.close_session(pending)
        await self.store.open_session(secret, user.id, agent=agent, address=address)
        return secret

    # -- links ---------------------------------------------------------------------------------------------------

    async def open_link(self, secret: str) -> LinkFor:
        """What the link is good for, without using it up. Raises `NotFound`."""
        row = await self.store.link(secret)
        if row is None:
            raise NotFound(NO_LINK)
        purpose, user_id = row
        user = await self.store.user(user_id) if user_id else None
        if user_id and (user is None or not user.active):
            raise NotFound(NO_LINK)
        if purpose == FIRST_ADMINISTRATOR and await self.store.count_administrators():
            raise NotFound(NO_LINK)
        return LinkFor(purpose, user)

    async def follow_link(
        self, secret: str, password: str, *, email: str = "", name: str = "", agent: str, address: str
    ) -> tuple[str, User]:
        """Set the password, sign out everywhere, sign in here. Raises `WrongInput` (the link stays) or `NotFound`."""
        found = await self.open_link(secret)
        chosen = found.user.email if found.user else _checked_email(email)
        _check_password(password, chosen)
        password_hash = await self._hash(password)
        if await self.store.use_link(secret) is None:
            raise NotFound(NO_LINK)
        user = found.user
        if user is None:
            try:
                user = await self.store.add_user(chosen, name.strip() or chosen.split("@")[0], "admin")
            except Conflict:
                raise NotFound(NO_LINK) from None
        await self.store.set_password_hash(user.id, password_hash)
        await self.store.close_sessions_of(user.id)
        await self.store.forget_attempts(f"account:{user.email[:200]}")
        return await self._open(user, agent, address), user

    async def new_token(
        self, name: str, role: Role, *, channels: list[str] | None = None, created_by: str = "cli",
        bot_id: str | None = None,
    ) -> tuple[str, ApiToken]:  # fmt: skip
        """A program's key, shown once, and its row. `bot_id`: the bot that comes in by it."""
        secret = f"rpt_{new_secret()}"
        return secret, await self.store.add_token(
            secret, name, role, channels=channels, created_by=created_by, bot_id=bot_id
        )

    async def issue_token(self, name: str, role: Role, channels: Sequence[str] | None = None) -> str:
        """The same for the command line: the key alone."""
        return (await self.new_token(name, role, channels=list(channels) if channels else None))[0]

    async def _open(self, user: User, agent: str, address: str) -> str:
        secret = new_secret()
        pending = self._factors is not None and await self._factors.asks(user)
        await self.store.open_session(secret, user.id, agent=agent, address=address, pending=pending)
        return secret

    async def _throttle(self, key: str, limit: int) -> None:
        count, until = await self.store.count_attempt(key, WINDOW_S)
        if count > limit:
            wait_s = max(1.0, (until - self._clock()).total_seconds())
            raise TooMany("Too many tries. Wait a few minutes, then try again.", retry_after_s=wait_s)

    async def _matches(self, known_hash: str, password: str) -> bool:
        async with self._hashing:
            return await asyncio.to_thread(self._verify, known_hash, password[: PASSWORD_MAX + 1])

    def _verify(self, known_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(known_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)


def _checked_email(email: str) -> str:
    folded = fold_email(email)
    name, at, domain = folded.partition("@")
    if not (name and at and domain) or len(folded) > 200 or any(c.isspace() or ord(c) < 32 for c in folded):
        raise WrongInput("This is not a mail address.", [FieldError("email", "This is not a mail address.")])
    return folded


def _check_password(password: str, email: str) -> None:
    fault = None
    if len(password) < PASSWORD_MIN:
        fault = N_("Take at least 10 characters.")
    elif len(password) > PASSWORD_MAX:
        fault = N_("Take at most 256 characters.")
    elif password.lower() in COMMONEST or len(set(password)) < 4 or password.lower() in email:
        fault = N_("This password is too easy to guess.")
    if fault:
        raise WrongInput(fault, [FieldError("password", fault)])
