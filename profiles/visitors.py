"""A visitor says who it is: what was done before by nobody we knew belongs to the customer from then on.

Somebody looks at pages or chats, known by a cookie alone, and then signs in. The visitor's profile, which has nothing
that proves anybody, is merged into the customer's, by the same audited command as any merge, and can be taken back.
Whoever has an id of his own is never joined here: on a shared browser the second customer is a user switch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from base.errors import Conflict, NotFound
from base.mongo import Document
from profiles.models import Identity
from profiles.store.profiles import ProfileStore

log = logging.getLogger(__name__)

#: Chats in which nobody has to say who they are.
ANONYMOUS_CHATS = frozenset({"webchat"})
#: What stands against a merge only for the moment.
_PASSING = frozenset({"moving", "contended"})


#: The reason of a pair that one browser has proved: it knows an id of both that is chance.
SAME_BROWSER = "same_browser"


class Merging(Protocol):
    """The part of `profiles.merge.Merger` that is needed here."""

    async def merge(self, survivor_id: str, other_id: str, *, by: str | None) -> object:
        """Make them one under the id of the first. Raises `NotFound`, `Conflict`."""


def is_visitor(identities: Iterable[Identity]) -> bool:
    """Whether all we know somebody by is a browser, and what was typed there."""
    return all(
        each.kind == "anonymous" or each.provider in ANONYMOUS_CHATS or each.strength == "weak" for each in identities
    )


def is_known(identities: Iterable[Identity]) -> bool:
    """Whether something proves who this is."""
    return any(each.strength == "strong" for each in identities)


def _by_one_browser(row: Document) -> bool:
    return any(each["reason"] == SAME_BROWSER for each in row["evidence"])


def _talks(identities: Iterable[Identity]) -> bool:
    """Whether there is a conversation to go on with: its profile stays."""
    return any(each.kind == "channel" for each in identities)


class Visitors:
    """Carries out what the resolver only noted."""

    def __init__(self, profiles: ProfileStore, merger: Merging) -> None:
        self._profiles = profiles
        self._suggestions = profiles.suggestions
        self._merger = merger

    async def drain(self, limit: int = 50) -> int:
        """Join those that wait; how many were looked at. May run twice and be cut short anywhere."""
        rows = await self._suggestions.visitors(limit)
        for row in rows:
            await self._settle(row)
        return len(rows)

    async def _settle(self, row: Document) -> None:
        found = await self._customer_and_visitor(row)
        if found is None:
            await self._suggestions.left_to_people(row["_id"])
            return
        try:
            await self._merger.merge(*found, by=None)
        except NotFound:
            await self._suggestions.left_to_people(row["_id"])
        except Conflict as conflict:
            if conflict.code not in _PASSING:
                log.info("a visitor stays apart", extra={"pair": row["_id"], "code": conflict.code})
                await self._suggestions.left_to_people(row["_id"])

    async def _customer_and_visitor(self, row: Document) -> tuple[str, str] | None:
        """Ids of today; None when a person has to decide."""
        if row["state"] != "open" or row.get("parted"):
            return None
        today = await self._profiles.current(row["profile_ids"])
        one, other = (today[each] for each in row["profile_ids"])
        if one == other:
            return None
        held = await self._profiles.identity_rows.of_profiles([one, other])
        if is_known(held[one]) and held[other] and is_visitor(held[other]):
            return one, other
        if is_known(held[other]) and held[one] and is_visitor(held[one]):
            return other, one
        if _by_one_browser(row) and is_visitor(held[one]) and is_visitor(held[other]):
            return (one, other) if _talks(held[one]) or not _talks(held[other]) else (other, one)
        return None
