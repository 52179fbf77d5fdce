"""Templates: written, checked, rendered for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.mongo import Document
from base.pages import Page
from campaigns.contents import Rendered, TemplateInput
from campaigns.definition import check_plain
from campaigns.facts import FactReader, order_view
from campaigns.namespaces import named
from campaigns.render import Renderer, RenderFailed, RenderItem
from campaigns.store import TemplateStore

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5


class Templates:
    """The use cases. Rows: `{_id, name, kind, content: {subject, body, text, buttons, whatsapp, locales}, rev, …}`."""

    def __init__(self, store: TemplateStore, renderer: Renderer, facts: FactReader) -> None:
        self._store = store
        self._renderer = renderer
        self._facts = facts

    async def create(self, template: TemplateInput, by: str | None) -> Document:
        """A new template. Raises `WrongInput` with the part and line of what cannot be rendered."""
        content = await self._checked(template)
        return await self._store.add(template.name, template.kind, content, by)

    async def patch(self, template_id: str, changes: Mapping[str, Any], by: str | None) -> Document:
        """Replace the fields given. Raises `NotFound`, `WrongInput`, `Conflict`."""
        for _ in range(ROUNDS):
            row = await self.get(template_id)
            merged = {"name": row["name"], "kind": row["kind"], **_given(row["content"]), **changes}
            template = read_template(merged)
            content = await self._checked(template)
            saved = await self._store.change(template_id, row["rev"], template.name, template.kind, content, by)
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
        self, *, kind: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """Templates, newest first."""
        return await self._store.page(kind=kind, limit=limit, cursor=cursor)

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
            journey=_part(given, "journey"), campaign=_part(given, "campaign"), links={},
        )  # fmt: skip
        item = RenderItem(content, namespaces, locale or profile.get("locale"), profile.get("time_zone"))
        try:
            return await self._renderer.render(item, strict=True)
        except RenderFailed as failed:
            fault = FieldError(failed.part, str(failed) + (f" (line {failed.line})" if failed.line else ""))
            raise WrongInput("The template cannot be filled in.", [fault], code=f"template_{failed.code}") from None

    async def _checked(self, template: TemplateInput) -> dict[str, Any]:
        content = template.model_dump(exclude={"name", "kind"})
        check_plain(content)
        await self._renderer.check(content)
        return content

    async def _profile(self, profile_id: str | None) -> Mapping[str, Any]:
        if profile_id is None:
            return {}
        found = (await self._facts.profiles([profile_id])).get(profile_id)
        if found is None:
            raise NotFound("There is no such profile.")
        return found


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
