"""Templates: written, checked, rendered for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.mongo import Document
from base.pages import Page
from campaigns.contents import PARTS, Rendered, TemplateInput
from campaigns.definition import check_plain
from campaigns.facts import FactReader, order_view
from campaigns.namespaces import named
from campaigns.render import Renderer, RenderFailed, RenderItem
from campaigns.store import OfferStore, SnippetStore, TemplateStore
from campaigns.wording.parts import offers_in, snippets_in, texts_of
from profiles.terms import Terms

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5
#: What a preview shows in place of what only a message has: it uses up no code and takes nobody off a list.
SAMPLE_CODE = "SAMPLE-CODE"
SAMPLE_LINKS = {
    "unsubscribe_url": "https://example.org/unsubscribe", "preferences_url": "https://example.org/preferences",
}  # fmt: skip


class Templates:
    """The use cases. Rows: `{_id, name, kind, content: {subject, body, text, buttons, whatsapp, locales}, rev, …}`."""

    def __init__(
        self, store: TemplateStore, renderer: Renderer, facts: FactReader, snippets: SnippetStore, offers: OfferStore,
        terms: Terms | None = None,
    ) -> None:  # fmt: skip
        """`terms`: the fields a deployment has of its own."""
        self._terms = terms
        self._snippets = snippets
        self._offers = offers
        self._store = store
        self._renderer = renderer
        self._facts = facts

    async def create(self, template: TemplateInput, by: str | None) -> Document:
        """A new template. Raises `WrongInput` with the part and line of what cannot be rendered."""
        content = await self._checked(template)
        return await self._store.add(template.name, template.kind, content, by, tags=list(template.tags))

    async def duplicate(self, template_id: str, by: str | None, name: str | None = None) -> Document:
        """The same once more under another name. Raises `NotFound`."""
        row = await self.get(template_id)
        name = (name or f"{row['name']} (2)")[:120]
        return await self._store.add(name, row["kind"], row["content"], by, tags=row.get("tags", []))

    async def patch(
        self, template_id: str, changes: Mapping[str, Any], by: str | None, *, rev: int | None = None
    ) -> Document:  # fmt: skip
        """Replace the fields given. With `rev` only if that is still the latest. Raises `NotFound`, `WrongInput`,
        `Conflict`."""
        for _ in range(ROUNDS):
            row = await self.get(template_id)
            if rev is not None and row["rev"] != rev:
                raise Conflict("Somebody else has changed this template meanwhile.", code="changed_meanwhile")
            merged = {
                "name": row["name"], "kind": row["kind"], "tags": row.get("tags", ()), **_given(row["content"]),
                **changes,
            }  # fmt: skip
            template = read_template(merged)
            content = await self._checked(template)
            saved = await self._store.change(
                template_id, row["rev"], template.name, template.kind, content, by, tags=template.tags
            )
            if saved is not None:
                return saved
        raise Conflict("This template is being changed too often just now.", code="contended")

    async def get(self, template_id: str) -> Document:
        """One template. Raises `NotFound`."""
        row = await self._store.get(template_id)
        if row is None or row["deleted_at"] is not None:
            raise NotFound("There is no such template.")
        return row

    async def page(
        self, *, kind: str | None = None, tag: str | None = None, q: str | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Templates, newest first."""
        return await self._store.page(kind=kind, tag=tag, q=q, limit=limit, cursor=cursor)

    async def tags(self) -> list[str]:
        """All tags of templates."""
        return await self._store.tags()

    async def revisions(
        self, template_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """Every wording it had, newest first. Raises `NotFound`."""
        await self.get(template_id)
        return await self._store.revisions(template_id, limit=limit, cursor=cursor)

    async def revision(self, template_id: str, rev: int) -> Document:
        """One of them. Raises `NotFound`."""
        found = await self._store.revision(template_id, rev)
        if found is None:
            raise NotFound("There is no such revision.")
        return found

    async def go_back(self, template_id: str, rev: int, by: str | None) -> Document:
        """Make an earlier wording the latest, as a new revision. Raises `NotFound`, `WrongInput`, `Conflict`."""
        row, earlier = await self.get(template_id), await self.revision(template_id, rev)
        parts = dict.fromkeys(PARTS) | _given(earlier["content"])
        return await self.patch(template_id, {"kind": earlier["kind"], **parts}, by, rev=row["rev"])

    async def restore(self, template_id: str) -> Document:
        """Undo a deletion. Raises `NotFound`."""
        if not await self._store.restore(template_id):
            raise NotFound("There is no such template.")
        return await self.get(template_id)

    async def delete(self, template_id: str) -> None:
        """Take it out of the lists; runs that name it go on using it. Raises `NotFound`."""
        if not await self._store.delete(template_id):
            raise NotFound("There is no such template.")

    async def render(
        self, template_id: str, profile_id: str | None, context: Mapping[str, Any] | None = None, *,
        locale: str | None = None,
    ) -> Rendered:  # fmt: skip
        """As this person would get it, by the strict rules: a name that does not exist is an error with its name.

        `context` may bring `event`, `order`, `journey`, `campaign`. Raises `NotFound`, `WrongInput`.
        """
        row = await self.get(template_id)
        return await self.preview(row["content"], profile_id, context, locale=locale)

    async def preview(
        self, content: Mapping[str, Any], profile_id: str | None, context: Mapping[str, Any] | None = None, *,
        locale: str | None = None,
    ) -> Rendered:  # fmt: skip
        """The same for content that is not saved yet."""
        given = dict(context or {})
        check_plain(given)
        profile = await self._profile(profile_id)
        order = given.get("order")
        if order is None and profile_id is not None:
            order = order_view((await self._facts.orders_of([profile_id])).get(profile_id, [])[:1])
        namespaces = named(
            profile=profile, event=_part(given, "event"), order=order if isinstance(order, Mapping) else {},
            journey=_part(given, "journey"), campaign=_part(given, "campaign"), links=SAMPLE_LINKS,
        )  # fmt: skip
        (keys,) = await self._renderer.offers_in([content])
        namespaces["coupons"] = dict.fromkeys(await self._offers.by_keys(sorted(keys)), SAMPLE_CODE)
        item = RenderItem(content, namespaces, locale or profile.get("locale"), profile.get("time_zone"))
        try:
            return await self._renderer.render(item, strict=True)
        except RenderFailed as failed:
            fault = FieldError(failed.part, str(failed) + (f" (line {failed.line})" if failed.line else ""))
            raise WrongInput("The template cannot be filled in.", [fault], code=f"template_{failed.code}") from None

    async def offers_named(self, contents: Sequence[Mapping[str, Any]]) -> list[Document]:
        """The offers whose codes these contents show, in their snippets too, by key."""
        keys = frozenset[str]().union(*await self._renderer.offers_in(contents))
        found = await self._offers.by_keys(sorted(keys))
        return [found[key] for key in sorted(found)]

    async def require_known(self, content: Mapping[str, Any]) -> None:
        """Raise `WrongInput` for snippets and offers that do not exist."""
        texts = list(texts_of(content))
        keys, offers = snippets_in(*texts), offers_in(*texts)
        unknown = [
            *(f"there is no snippet called {key}" for key in sorted(keys - await self._snippets.existing(keys))),
            *(f"there is no offer called {key}" for key in sorted(offers - set(await self._offers.by_keys([*offers])))),
        ]
        if unknown:
            raise WrongInput("The template has faults.", [FieldError("body", each) for each in unknown])

    async def _checked(self, template: TemplateInput) -> dict[str, Any]:
        content = template.model_dump(exclude={"name", "kind", "tags"})
        check_plain(content)
        await self.require_known(content)
        await self._renderer.check(content)
        return content

    async def _profile(self, profile_id: str | None) -> Mapping[str, Any]:
        """The person, nobody where none is named. Fields of the deployment's own are there for everybody, empty or not:
        a name that exists is no fault of a template."""
        found: Mapping[str, Any] | None = {}
        if profile_id is not None:
            found = (await self._facts.profiles([profile_id])).get(profile_id)
        if found is None:
            raise NotFound("There is no such profile.")
        fields = (await self._terms.now()).fields if self._terms is not None else ()
        own = {**dict.fromkeys(each.key for each in fields), **(found.get("attributes") or {})}
        return {**found, "attributes": own}


def read_template(raw: Mapping[str, Any]) -> TemplateInput:
    """Read what a caller gives. Raises `WrongInput` with a path for each fault."""
    try:
        return TemplateInput.model_validate(raw)
    except ValidationError as error:
        faults = [
            FieldError(".".join(str(part) for part in each["loc"]), each["msg"].removeprefix("Value error, "))
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise WrongInput("The template has faults.", faults) from None


def _given(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}


def _part(context: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = context.get(name)
    return found if isinstance(found, Mapping) else {}
