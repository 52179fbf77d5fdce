"""Snippets as people change them, and the look of letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.mongo import Document, DuplicateKeyError
from base.pages import Page
from campaigns.contents import LocaleName, Source
from campaigns.render import Renderer
from campaigns.store import OfferStore, SnippetStore, TemplateStore
from campaigns.wording.blocks import Brand
from campaigns.wording.own import OwnWords
from campaigns.wording.parts import KEY, circle, names_in, offers_in, snippets_in, texts_of

Key = Annotated[str, StringConstraints(pattern=f"^{KEY}$")]
ROUNDS = 5


class SnippetWording(BaseModel):
    """In one language. Without `html` the text stands in e-mails, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Source = ""
    html: Source | None = None

    @model_validator(mode="after")
    def _says_something(self) -> SnippetWording:
        if not (self.text.strip() or (self.html or "").strip()):
            raise ValueError("give a text")
        return self


class SnippetInput(SnippetWording):
    """A named part. `key` is what `include` names, for ever."""

    key: Key
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
    locales: dict[LocaleName, SnippetWording] = Field(default_factory=dict, max_length=60)


class Snippets:
    """The use cases. Rows as `campaigns.store.snippets` keeps them."""

    def __init__(
        self, store: SnippetStore, templates: TemplateStore, offers: OfferStore, renderer: Renderer,
        words: OwnWords | None = None,
    ) -> None:  # fmt: skip
        self._words = words or OwnWords()
        self._store = store
        self._templates = templates
        self._offers = offers
        self._renderer = renderer

    async def create(self, given: SnippetInput, by: str | None) -> Document:
        """A new one. Raises `Conflict` for a taken key, `WrongInput` for what cannot be read or contains itself."""
        content = await self._checked(given)
        try:
            return await self._store.add(given.key, given.name, content, names_in(content), by)
        except DuplicateKeyError:
            raise Conflict("There is or was a snippet with this key; take another one.", code="key_taken") from None

    async def change(
        self, snippet_id: str, changes: Mapping[str, Any], by: str | None, *, rev: int | None = None
    ) -> Document:  # fmt: skip
        """Replace the fields given. With `rev` only if that is still the latest. Raises `NotFound`, `WrongInput`,
        `Conflict`."""
        for _ in range(ROUNDS):
            row = await self.get(snippet_id)
            if rev is not None and row["rev"] != rev:
                raise Conflict("Somebody else has changed this snippet meanwhile.", code="changed_meanwhile")
            merged = {"name": row["name"], **row["content"], **changes, "key": row["key"]}
            given = SnippetInput.model_validate(merged)
            content = await self._checked(given)
            saved = await self._store.change(snippet_id, row["rev"], given.name, content, names_in(content), by)
            if saved is not None:
                return saved
        raise Conflict("This snippet is being changed too often just now.", code="contended")

    async def get(self, snippet_id: str) -> Document:
        """One. Raises `NotFound`."""
        row = await self._store.get(snippet_id)
        if row is None:
            raise NotFound("There is no such snippet.")
        return row

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """By key."""
        return await self._store.page(limit=limit, cursor=cursor)

    async def revisions(
        self, snippet_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """Every wording it had, newest first. Raises `NotFound`."""
        await self.get(snippet_id)
        return await self._store.revisions(snippet_id, limit=limit, cursor=cursor)

    async def revision(self, snippet_id: str, rev: int) -> Document:
        """One of them. Raises `NotFound`."""
        found = await self._store.revision(snippet_id, rev)
        if found is None:
            raise NotFound("There is no such revision.")
        return found

    async def go_back(self, snippet_id: str, rev: int, by: str | None) -> Document:
        """Make earlier words the latest, as a new revision. Raises `NotFound`, `WrongInput`, `Conflict`."""
        row, earlier = await self.get(snippet_id), await self.revision(snippet_id, rev)
        return await self.change(snippet_id, dict(earlier["content"]), by, rev=row["rev"])

    async def users(self, key: str) -> list[Document]:
        """Templates, snippets, journeys and broadcasts in which it stands: `{_id, name}`."""
        by_name = [*await self._templates.users(include=key), *await self._store.users(include=key)]
        return [*by_name, *await self._words.users(include=key)]

    async def delete(self, snippet_id: str) -> None:
        """Take it out of the list. Raises `NotFound`, and `Conflict` while something of `users` names it."""
        row = await self.get(snippet_id)
        users = await self.users(row["key"])
        if users:
            names = ", ".join(each["name"] for each in users[:5])
            raise Conflict(f"It is used in: {names}. Take it out there first.", code="in_use")
        await self._store.delete(snippet_id)

    async def restore(self, snippet_id: str) -> Document:
        """Undo a deletion. Raises `NotFound`."""
        await self._store.restore(snippet_id)
        return await self.get(snippet_id)

    async def brand(self) -> Brand:
        """How letters look."""
        return await self._store.brand()

    async def set_brand(self, brand: Brand, by: str | None) -> Brand:
        """From now on they look like this."""
        await self._store.set_brand(brand, by)
        return brand

    async def _checked(self, given: SnippetInput) -> dict[str, Any]:
        content = given.model_dump(exclude={"key", "name"})
        texts = list(texts_of(content))
        keys, offers = snippets_in(*texts), offers_in(*texts)
        known = await self._store.existing(keys - {given.key}) | {given.key}
        faults = [f"there is no snippet called {key}" for key in sorted(keys - known)]
        unknown = offers - set(await self._offers.by_keys(sorted(offers)))
        faults += [f"there is no offer called {key}" for key in sorted(unknown)]
        inside = await self._store.snippets(keys - {given.key})
        way = circle(given.key, lambda key: keys if key == given.key else snippets_in(*texts_of(inside.get(key, {}))))
        if way:
            shown = " → ".join(way)
            faults.append(f"it would contain itself: {shown}" if way[-1] == given.key else f"too deep: {shown}")
        if not faults:
            languages = ((f"locales.{each}.", content["locales"][each]) for each in given.locales)
            for name, own in (("", content), *languages):
                for part in ("text", "html"):
                    if own.get(part):
                        await self._readable(f"{name}{part}", own[part])
        if faults:
            raise WrongInput("The snippet has faults.", [FieldError("text", each) for each in faults])
        return content

    async def _readable(self, path: str, source: str) -> None:
        try:
            await self._renderer.check({"body": source, "locales": {}})
        except WrongInput as error:
            faults = [FieldError(path, each.message) for each in error.errors]
            raise WrongInput("The snippet has faults.", faults) from None
