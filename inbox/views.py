"""Saved views of the inbox: one's own, and those all share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from base.errors import Conflict, NotFound
from base.ids import is_id, new_id
from base.mongo import Document, DuplicateKeyError
from inbox.store import ViewStore
from inbox.view_filter import ViewFilter

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5
#: As many as a list can show, of one person and of all.
OWN_MAX, SHARED_MAX = 50, 200

ViewName = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"\S")]


class ViewInput(BaseModel):
    """A view as it is written. `shared`: everybody sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ViewName
    filter: ViewFilter
    shared: bool = False


@dataclass(frozen=True)
class SavedView:
    """A view as it stands; without an owner it is everybody's."""

    id: str
    name: str
    filter: ViewFilter
    owner_id: str | None
    rev: int
    created_at: datetime
    updated_at: datetime

    @property
    def shared(self) -> bool:
        """Whether everybody sees it."""
        return self.owner_id is None


class Views:
    """The use cases. A view that is somebody else's own is not there."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store

    async def seen_by(self, user_id: str) -> list[SavedView]:
        """Everybody's and one's own, by name."""
        return [_view(row) for row in await self._store.seen_by(user_id)]

    async def get(self, view_id: str, user_id: str) -> SavedView:
        """One that this person sees. Raises `NotFound`."""
        row = await self._store.get(view_id) if is_id(view_id, "viw") else None
        if row is None or row["owner_id"] not in (None, user_id):
            raise NotFound("There is no such view.")
        return _view(row)

    async def create(self, wanted: ViewInput, user_id: str) -> SavedView:
        """A new one. Raises `Conflict` when the name is taken, or when there are too many."""
        owner_id = None if wanted.shared else user_id
        if await self._store.count(owner_id) >= (SHARED_MAX if wanted.shared else OWN_MAX):
            raise Conflict("There are too many views already; take one away first.", code="too_many")
        fields = {
            "name": wanted.name.strip(), "owner_id": owner_id, "filter": wanted.filter.written(), "created_by": user_id,
        }  # fmt: skip
        try:
            return _view(await self._store.add(new_id("viw"), fields))
        except DuplicateKeyError:
            raise _taken() from None

    async def change(
        self, view_id: str, user_id: str, *, name: str | None = None, filter: ViewFilter | None = None,
        shared: bool | None = None,
    ) -> SavedView:  # fmt: skip
        """Replace the parts given. What is no longer shared is its changer's own. Raises `NotFound`, `Conflict`."""
        fields: dict[str, Any] = {}
        if name is not None:
            fields["name"] = name.strip()
        if filter is not None:
            fields["filter"] = filter.written()
        if shared is not None:
            fields["owner_id"] = None if shared else user_id
        for _ in range(ROUNDS):
            known = await self.get(view_id, user_id)
            try:
                row = await self._store.change(view_id, known.rev, fields)
            except DuplicateKeyError:
                raise _taken() from None
            if row is not None:
                return _view(row)
        raise Conflict("This view is being changed too often just now.", code="contended")

    async def remove(self, view_id: str, user_id: str) -> None:
        """Take one away; for 30 days it can be put back. Raises `NotFound`."""
        await self.get(view_id, user_id)
        await self._store.remove(view_id)

    async def restore(self, view_id: str, user_id: str) -> SavedView:
        """Put one back; nothing is done to one that stands. Raises `NotFound`, `Conflict`."""
        await self.known(view_id, user_id)
        try:
            await self._store.restore(view_id)
        except DuplicateKeyError:
            raise _taken() from None
        return await self.get(view_id, user_id)

    async def known(self, view_id: str, user_id: str) -> SavedView:
        """One that this person sees, also when it was taken away. Raises `NotFound`."""
        row = await self._store.any(view_id) if is_id(view_id, "viw") else None
        if row is None or row["owner_id"] not in (None, user_id):
            raise NotFound("There is no such view.")
        return _view(row)


def _view(row: Document) -> SavedView:
    written = ViewFilter.model_validate(row["filter"])
    return SavedView(
        row["_id"], row["name"], written, row["owner_id"], row["rev"], row["created_at"], row["updated_at"]
    )  # fmt: skip


def _taken() -> Conflict:
    return Conflict("There is a view with this name already.", code="name_taken")
