"""The second factor: a code of six digits from an app, by RFC 6238, or one of ten recovery codes. Each works once."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

import pyotp
import segno

from base.clock import Clock
from base.errors import Conflict, FieldError, WrongInput
from base.secret_box import SecretBox
from desk.i18n import N_
from desk.store import ROLES, Role, User, fingerprint
from desk.team.store import Factor, FactorStore, RuleStore

STEP_S = 30
#: Clocks of phones are wrong by this many steps at most.
STEPS_OFF = 1
DIGITS = 6
RECOVERY_CODES = 10
#: Letters of a recovery code without those that are taken for others: five bits each, 80 in all.
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789x"
CODE_LETTERS = 16
WRONG_CODE = N_("This code is not right, or it was used already. Wait for the next one.")


@dataclass(frozen=True)
class Enrolment:
    """What an app needs to make codes: the address as text and drawn, the secret to type."""

    secret: str
    uri: str
    svg: str


def step_of(secret: str, code: str, at: datetime, last_step: int) -> int | None:
    """The step whose code this is, later than `last_step` and near `at`; None for any other code. Pure."""
    digits = "".join(each for each in code if each in "0123456789")
    if len(digits) != DIGITS or len(code) > DIGITS + 4:
        return None
    totp, now_step = pyotp.TOTP(secret), int(at.timestamp()) // STEP_S
    for step in range(now_step - STEPS_OFF, now_step + STEPS_OFF + 1):
        if step > last_step and hmac.compare_digest(totp.generate_otp(step), digits):
            return step
    return None


def new_codes() -> list[str]:
    """Recovery codes as people write them down: `abcd-efgh-jkmn-pqrs`."""
    return [_grouped("".join(secrets.choice(LETTERS) for _ in range(CODE_LETTERS))) for _ in range(RECOVERY_CODES)]


def code_print(code: str) -> str:
    """What is kept of a recovery code, however it was written. Pure."""
    return fingerprint("".join(each for each in code.lower() if each.isalnum()))


def _grouped(letters: str) -> str:
    return "-".join(letters[place : place + 4] for place in range(0, len(letters), 4))


class TwoFactor:
    """The use cases. What a code is asked for, and how often one may guess, is the caller's."""

    def __init__(self, store: FactorStore, rules: RuleStore, box: SecretBox, clock: Clock, issuer: str) -> None:
        self._store = store
        self._rules = rules
        self._box = box
        self._clock = clock
        self._issuer = issuer or "Rapport"

    async def of(self, user_id: str) -> Factor | None:
        """The factor that holds; None without one."""
        found = await self._store.of(user_id)
        return found if found is not None and found.secret is not None else None

    async def holders(self) -> frozenset[str]:
        """Everybody who has one."""
        return await self._store.holders()

    async def required(self) -> frozenset[Role]:
        """Roles that do not come in without one."""
        chosen = (await self._rules.rules()).get("factor_roles", ())
        return frozenset(role for role in ROLES if role in chosen)

    async def require(self, roles: frozenset[str]) -> None:
        """Choose them."""
        await self._rules.choose({"factor_roles": sorted(roles)})

    async def asks(self, user: User) -> bool:
        """Whether this person needs more than a password to come in."""
        return await self.of(user.id) is not None or user.role in await self.required()

    async def begin(self, user: User) -> Enrolment:
        """A secret to be confirmed; the same one until then."""
        await self._store.propose(user.id, self._box.seal(pyotp.random_base32(), _context(user.id)))
        shown = await self.proposed(user)
        if shown is None:
            raise Conflict("It was taken back meanwhile. Begin again.")
        return shown

    async def proposed(self, user: User) -> Enrolment | None:
        """What waits to be confirmed; None when nothing does."""
        found = await self._store.of(user.id)
        if found is None or found.next_secret is None:
            return None
        secret = self._box.open(found.next_secret, _context(user.id))
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=self._issuer)
        drawn = segno.make(uri, error="m").svg_inline(scale=4, dark="#000", light="#fff", omitsize=False)
        return Enrolment(secret, uri, drawn)

    async def take_back(self, user_id: str) -> None:
        """Forget what waits to be confirmed."""
        await self._store.drop_proposal(user_id)

    async def confirm(self, user_id: str, code: str) -> list[str]:
        """The app works: its secret holds. Recovery codes, shown once. Raises `WrongInput`, `Conflict`."""
        found = await self._store.of(user_id)
        if found is None or found.next_secret is None:
            raise Conflict("There is nothing to confirm. Begin again.")
        secret = self._box.open(found.next_secret, _context(user_id))
        step = step_of(secret, code, self._clock(), 0)
        if step is None:
            raise wrong_code()
        codes = new_codes()
        if not await self._store.confirm(user_id, found.next_secret, step, [code_print(each) for each in codes]):
            raise Conflict("It was confirmed already, in another window.")
        return codes

    async def passes(self, user_id: str, code: str) -> bool:
        """Whether this code, of the app or a recovery code, is right; it is used up by asking."""
        found = await self.of(user_id)
        if found is None or found.secret is None:
            return False
        step = step_of(self._box.open(found.secret, _context(user_id)), code, self._clock(), found.last_step)
        if step is not None:
            return await self._store.spend_step(user_id, step)
        return await self._store.spend_code(user_id, code_print(code[:40]))

    async def renew_codes(self, user_id: str) -> list[str]:
        """Other recovery codes, shown once."""
        codes = new_codes()
        await self._store.replace_codes(user_id, [code_print(each) for each in codes])
        return codes

    async def remove(self, user_id: str) -> bool:
        """Forget the factor and its codes; False without one."""
        return await self._store.remove(user_id)


def wrong_code() -> WrongInput:
    """The one answer to a code that is wrong, old or used."""
    return WrongInput(WRONG_CODE, [FieldError("code", WRONG_CODE)], code="wrong_code")


def _context(user_id: str) -> str:
    return f"factor:{user_id}"
