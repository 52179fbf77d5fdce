"""Offers: codes from a list or made by a pattern, one for each person, given when a message to them is written."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from base.pages import Page
from campaigns.store import OfferStore, SnippetStore, TemplateStore
from campaigns.templates import SAMPLE_CODE
from campaigns.wording.own import OwnWords
from campaigns.wording.parts import KEY
from inbox.models import Send
from inbox.sources import Skip

#: Signs of a made code: none that is mistaken for another.
ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
#: Fewer unknown signs could be guessed.
SIGNS_MIN = 6
#: Codes laid into a list at once, and characters of one.
CODES_MAX, CODE_MAX = 100_000, 100
#: Codes in one write.
LAID_AT_ONCE = 1000
#: How often it is tried again because somebody else took the same code, or gave this person one, in the same moment.
ROUNDS = 20
Key = Annotated[str, StringConstraints(pattern=f"^{KEY}$")]


class OfferInput(BaseModel):
    """What `coupon("key")` names. `when_none`: what is done for a person for whom no code is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
    source: Literal["list", "generated"] = "generated"
    #: Each `#` becomes a letter or digit.
    pattern: Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)] | None = None
    expires_at: AwareDatetime | None = None
    when_none: Literal["skip", "blank"] = "skip"
    #: Of a list: with fewer codes left than this the desk warns; empty: with fewer than a tenth of all.
    warn_below: Annotated[int, Field(ge=0, le=CODES_MAX)] | None = None

    @model_validator(mode="after")
    def _can_be_made(self) -> OfferInput:
        if self.source == "generated" and (self.pattern or "").count("#") < SIGNS_MIN:
            raise ValueError(f"a pattern needs {SIGNS_MIN} or more # signs, such as TEA-########")
        return self


@dataclass(frozen=True)
class Laid:
    """What became of codes laid into a list: how many are new, which stand in it already, which were given twice.
    `lot`: by it they are taken out again."""

    added: int
    known: tuple[str, ...]
    twice: tuple[str, ...]
    lot: str


class Offers:
    """The use cases, and the `Coupons` of the message writer."""

    def __init__(
        self, store: OfferStore, templates: TemplateStore, snippets: SnippetStore, clock: Clock,
        words: OwnWords | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._templates = templates
        self._snippets = snippets
        self._clock = clock
        self._words = words or OwnWords()

    # -- for people ------------------------------------------------------------------------------------------------

    async def create(self, given: OfferInput, by: str | None) -> Document:
        """A new offer. Raises `Conflict` for a taken key."""
        try:
            return await self._store.add(given.model_dump(), by)
        except DuplicateKeyError:
            raise Conflict("There is or was an offer with this key; take another one.", code="key_taken") from None

    async def change(self, offer_id: str, changes: Mapping[str, Any]) -> Document:
        """Replace the fields given; codes that were given stay. Raises `NotFound`, `ValidationError`."""
        row = await self.get(offer_id)
        known = {name: row.get(name) for name in OfferInput.model_fields}
        fields = OfferInput.model_validate({**known, **changes, "key": row["key"]}).model_dump(exclude={"key"})
        changed = await self._store.change(offer_id, fields)
        if changed is None:
            raise NotFound("There is no such offer.")
        return changed

    async def get(self, offer_id: str) -> Document:
        """One. Raises `NotFound`."""
        row = await self._store.get(offer_id)
        if row is None:
            raise NotFound("There is no such offer.")
        return row

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """By key."""
        return await self._store.page(limit=limit, cursor=cursor)

    async def tally(self, offer_id: str) -> tuple[int, int]:
        """How many codes are free (of a list) and how many are given."""
        return await self._store.tally(offer_id)

    async def given(self, offer_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Who has which code, newest first. Raises `NotFound`."""
        await self.get(offer_id)
        return await self._store.given(offer_id, limit=limit, cursor=cursor)

    async def add_codes(self, offer_id: str, codes: Sequence[str]) -> Laid:
        """Lay codes into the list. Raises `NotFound`, `WrongInput`."""
        offer = await self.get(offer_id)
        if offer["source"] != "list":
            raise WrongInput("The codes of this offer are made by its pattern.", code="generated")
        given = [clean for each in codes if (clean := each.strip())]
        counts = Counter(given)
        if len(counts) > CODES_MAX:
            raise WrongInput(f"At most {CODES_MAX} codes at once.", [FieldError("codes", "are too many")])
        for number, each in enumerate(given):
            if len(each) > CODE_MAX or re.search(r"[\x00-\x1f\x7f]", each):
                raise WrongInput("A code is one short line.", [FieldError(f"codes[{number}]", "is not a code")])
        wanted, lot, known = list(counts), new_id("evt"), []
        for at in range(0, len(wanted), LAID_AT_ONCE):
            known += await self._store.add_codes(offer_id, wanted[at : at + LAID_AT_ONCE], lot)
        twice = tuple(each for each, count in counts.items() if count > 1)
        return Laid(len(wanted) - len(known), tuple(known), twice, lot)

    async def take_out(self, offer_id: str, lot: str) -> int:
        """Undo that, as far as nobody was given one of them meanwhile; how many. Raises `NotFound`."""
        await self.get(offer_id)
        return await self._store.take_out(offer_id, lot)

    async def users(self, key: str) -> list[Document]:
        """Templates, snippets, journeys and broadcasts that show its codes: `{_id, name}`."""
        by_name = [*await self._templates.users(offer=key), *await self._snippets.users(offer=key)]
        return [*by_name, *await self._words.users(offer=key)]

    async def delete(self, offer_id: str) -> None:
        """Take it out of the list. Raises `NotFound`, and `Conflict` while something of `users` names it."""
        users = await self.users((await self.get(offer_id))["key"])
        if users:
            names = ", ".join(each["name"] for each in users[:5])
            raise Conflict(f"It is used in: {names}. Take it out there first.", code="in_use")
        await self._store.set_deleted(offer_id, deleted=True)

    async def restore(self, offer_id: str) -> Document:
        """Undo a deletion. Raises `NotFound`."""
        await self._store.set_deleted(offer_id, deleted=False)
        return await self.get(offer_id)

    # -- for messages ----------------------------------------------------------------------------------------------

    async def for_sends(
        self, wanted: Mapping[str, tuple[Send, Collection[str]]], now: datetime
    ) -> Mapping[str, Mapping[str, str] | Skip]:
        """As `campaigns.writing.Coupons`. Asked again for the same person it gives the same code, whoever died."""
        offers = await self._store.by_keys(sorted({key for _, keys in wanted.values() for key in keys}))
        found: dict[str, Mapping[str, str] | Skip] = {}
        for send_id, (send, keys) in wanted.items():
            if send.source.kind == "test":  # a test uses nothing up
                found[send_id] = dict.fromkeys(keys, SAMPLE_CODE)
                continue
            codes: dict[str, str] = {}
            refused: Skip | None = None
            for key in sorted(keys):
                offer = offers.get(key)
                if offer is None:
                    refused = Skip("offer_gone", f"The offer {key} is not there any more.")
                    break
                code = await self._code(offer, send, now)
                if code is not None:
                    codes[key] = code
                elif offer["when_none"] == "skip":
                    why = "has ended" if _over(offer, now) else "has no code left"
                    refused = Skip("no_coupon", f"The offer {offer['name']} {why}.")
                    break
                else:
                    codes[key] = ""
            found[send_id] = refused or codes
        return found

    async def _code(self, offer: Document, send: Send, now: datetime) -> str | None:
        if _over(offer, now):
            return None
        for _ in range(ROUNDS):
            held = await self._store.held(offer["_id"], send.profile_id)
            if held is not None:
                return held
            try:
                if offer["source"] == "list":
                    return await self._store.take(offer["_id"], send.profile_id, send.id)
                code = made(offer["pattern"])
                await self._store.make(offer["_id"], code, send.profile_id, send.id)
                return code
            except DuplicateKeyError:  # this person was given one in the same moment, or the code is taken
                continue
        return None


def made(pattern: str) -> str:
    """A code by the pattern; each `#` is a sign nobody can foresee."""
    return re.sub("#", lambda _: secrets.choice(ALPHABET), pattern)


def is_low(offer: Document, free: int, given: int) -> bool:
    """Whether so few codes of a list are left that somebody should lay in more."""
    if offer["source"] != "list":
        return False
    below = offer.get("warn_below")
    return free < (below if below is not None else max((free + given) // 10, 1))


def _over(offer: Document, now: datetime) -> bool:
    return offer["expires_at"] is not None and offer["expires_at"] <= now
