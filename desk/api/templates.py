"""Templates: what campaigns say, in several languages, and how it looks for one person."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from base.mongo import Document
from campaigns.contents import (
    ApprovedTemplate,
    ButtonInput,
    Kind,
    LocaleName,
    Rendered,
    Short,
    Source,
    TemplateInput,
    Wording,
)
from desk.api.contract import Call, Operations
from desk.api.scope import must_see_person, refuse_scoped
from desk.api.shapes import Body, Name, PageQuery, Patch, ProfileId, Time, View, listed

operations = Operations("templates")


class TemplatePatch(Patch):
    """Parts to replace; null empties one."""

    name: Name = ""
    kind: Kind = "chat"
    subject: Short | None = None
    body: Source | None = None
    text: Source | None = None
    buttons: tuple[ButtonInput, ...] | None = Field(None, max_length=20)
    whatsapp: ApprovedTemplate | None = None
    locales: dict[LocaleName, Wording] = Field(default_factory=dict, max_length=60)


class RenderInput(Body):
    """For whom. `context` may bring `event`, `order`, `journey`, `campaign`."""

    profile_id: ProfileId | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")] | None = None


class TemplateQuery(PageQuery):
    """Narrows the list."""

    kind: Kind | None = None


class TemplateView(View):
    """A template. The main wording stands outside, further languages in `locales`."""

    id: str
    name: str
    kind: Kind
    subject: str | None
    body: str | None
    text: str | None
    buttons: list[ButtonInput] | None
    whatsapp: ApprovedTemplate | None
    locales: dict[str, Wording]
    rev: int
    created_at: Time
    updated_at: Time


class RenderedButton(View):
    """A quick reply or a link."""

    title: str
    payload: str | None
    url: str | None


class RenderedWhatsApp(View):
    """The approved template with its parameters."""

    name: str
    language: str
    header: list[str]
    body: list[str]
    buttons: list[str]


class RenderedView(View):
    """The parts as the person would get them. `warnings`: names that were missing."""

    subject: str | None
    html: str | None
    text: str
    buttons: list[RenderedButton]
    whatsapp: RenderedWhatsApp | None
    locale: str | None
    warnings: list[str]


def template_view(template: Document) -> TemplateView:
    """As people and programs see it."""
    shown = {name: template.get(name) for name in TemplateView.model_fields}
    content = {name: value for name, value in template["content"].items() if name in TemplateView.model_fields}
    return TemplateView.model_validate(
        {**shown, **content, "id": template["_id"], "locales": content.get("locales") or {}}
    )


@operations("GET", "/templates", roles=["viewer"], query=TemplateQuery, returns=list[TemplateView])
async def list_templates(call: Call) -> Any:
    """List templates, newest first."""
    wanted: TemplateQuery = call.query
    found = await call.runtime.templates.page(kind=wanted.kind, limit=wanted.limit, cursor=wanted.cursor)
    return listed(found, [template_view(each) for each in found.data])


@operations("POST", "/templates", roles=["marketer"], body=TemplateInput, returns=TemplateView, status=201)
async def create_template(call: Call) -> Any:
    """Write a template. What cannot be rendered is refused with its part and line.

    Templates are used on every channel: who is limited to some may not write, change or delete them.
    """
    refuse_scoped(call)
    return template_view(await call.runtime.templates.create(call.body, call.principal.id))


@operations("GET", "/templates/{id:tpl}", roles=["viewer"], returns=TemplateView)
async def get_template(call: Call) -> Any:
    """One template."""
    return template_view(await call.runtime.templates.get(call.path["id"]))


@operations("PATCH", "/templates/{id:tpl}", roles=["marketer"], body=TemplatePatch, returns=TemplateView)
async def change_template(call: Call) -> Any:
    """Replace parts of a template. Journeys use the new wording from their next send on."""
    refuse_scoped(call)
    changed = await call.runtime.templates.patch(call.path["id"], call.body.given(), call.principal.id)
    return template_view(changed)


@operations("DELETE", "/templates/{id:tpl}", roles=["marketer"])
async def delete_template(call: Call) -> None:
    """Take a template out of the lists; journeys that name it go on using it."""
    refuse_scoped(call)
    await call.runtime.templates.delete(call.path["id"])


@operations("POST", "/templates/{id:tpl}/render", roles=["viewer"], body=RenderInput, returns=RenderedView)
async def render_template(call: Call) -> Any:
    """Show a template as this person would get it. A name that does not exist is an error that names it."""
    wanted: RenderInput = call.body
    profile_id = await must_see_person(call, wanted.profile_id) if wanted.profile_id else None
    rendered: Rendered = await call.runtime.templates.render(
        call.path["id"], profile_id, wanted.context, locale=wanted.locale
    )
    return RenderedView.model_validate(rendered)
