"""Templates: what campaigns say, in several languages, and how it looks for one person."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from base.errors import FieldError, WrongInput
from base.mongo import Document
from campaigns.contents import (
    ApprovedTemplate,
    ButtonInput,
    Kind,
    LocaleName,
    Rendered,
    Short,
    Source,
    TagName,
    TemplateInput,
    Wording,
)
from campaigns.wording.blocks import BLOCKS_MAX, Block
from desk.api.contract import Call, Operations, Reply
from desk.api.scope import must_see_person, refuse_scoped
from desk.api.shapes import Body, Name, PageQuery, Patch, ProfileId, Time, UserId, View, listed

operations = Operations("templates")


class TemplatePatch(Patch):
    """Parts to replace; null empties one."""

    name: Name = ""
    kind: Kind = "chat"
    subject: Short | None = None
    body: Source | None = None
    blocks: tuple[Block, ...] | None = Field(None, max_length=BLOCKS_MAX)
    text: Source | None = None
    buttons: tuple[ButtonInput, ...] | None = Field(None, max_length=20)
    whatsapp: ApprovedTemplate | None = None
    locales: dict[LocaleName, Wording] = Field(default_factory=dict, max_length=60)
    tags: tuple[TagName, ...] = Field((), max_length=20)


class RenderInput(Body):
    """For whom. `context` may bring `event`, `order`, `journey`, `campaign`."""

    profile_id: ProfileId | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")] | None = None


class CheckInput(RenderInput):
    """For whom it is filled in. `links`: each address is asked whether somebody answers there."""

    links: bool = False


class TryInput(RenderInput):
    """To which colleague: the id of a user. Left out by a colleague who is signed in, it goes to themselves."""

    to: UserId | None = None


class RestoreInput(Body):
    """Which revision becomes the latest again; left out: the deletion is undone."""

    rev: Annotated[int, Field(ge=1)] | None = None


class TemplateQuery(PageQuery):
    """Narrows the list. `q` stands in the name, the words or a tag."""

    kind: Kind | None = None
    tag: TagName | None = None
    q: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None


class TemplateWording(View):
    """What it said."""

    subject: str | None = None
    body: str | None = None
    blocks: list[Block] | None = None
    text: str | None = None
    buttons: list[ButtonInput] | None = None
    whatsapp: ApprovedTemplate | None = None
    locales: dict[str, Wording] = Field(default_factory=dict)


class TemplateView(View):
    """A template. The main wording stands outside, further languages in `locales`."""

    id: str
    name: str
    kind: Kind
    subject: str | None
    body: str | None
    blocks: list[Block] | None = None
    text: str | None
    buttons: list[ButtonInput] | None
    whatsapp: ApprovedTemplate | None
    locales: dict[str, Wording]
    tags: list[str]
    rev: int
    created_at: Time
    updated_at: Time


class RevisionView(View):
    """One wording a template had."""

    rev: int
    name: str
    kind: Kind
    content: TemplateWording
    at: Time
    by: str | None


class FindingView(View):
    """Something that is wrong (`error`), doubtful (`warning`) or worth a thought (`hint`), with where it is."""

    level: Literal["error", "warning", "hint"]
    code: str
    sentence: str
    part: str
    line: int | None


class FindingsView(View):
    """All of them, the worst first."""

    findings: list[FindingView]


class TriedView(View):
    """Under which key it stands in the ledger."""

    send_key: str


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
        {
            **shown,
            **content,
            "id": template["_id"],
            "locales": content.get("locales") or {},
            "tags": template.get("tags") or [],
        }
    )


@operations("GET", "/templates", roles=["viewer"], query=TemplateQuery, returns=list[TemplateView])
async def list_templates(call: Call) -> Any:
    """List templates, newest first."""
    wanted: TemplateQuery = call.query
    found = await call.runtime.templates.page(
        kind=wanted.kind, tag=wanted.tag, q=wanted.q, limit=wanted.limit, cursor=wanted.cursor
    )
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


@operations("GET", "/templates/{id:tpl}/revisions", roles=["viewer"], query=PageQuery, returns=list[RevisionView])
async def list_template_revisions(call: Call) -> Any:
    """List every wording a template had, newest first."""
    found = await call.runtime.templates.revisions(call.path["id"], limit=call.query.limit, cursor=call.query.cursor)
    views = [
        RevisionView.model_validate(
            {**{name: each.get(name) for name in RevisionView.model_fields}, "content": each["content"]}
        )
        for each in found.data
    ]
    return listed(found, views)


@operations("POST", "/templates/{id:tpl}/restore", roles=["marketer"], body=RestoreInput, returns=TemplateView)
async def restore_template(call: Call) -> Any:
    """Undo a deletion, or make an earlier revision the latest."""
    refuse_scoped(call)
    if call.body.rev is None:
        return template_view(await call.runtime.templates.restore(call.path["id"]))
    back = await call.runtime.templates.go_back(call.path["id"], call.body.rev, call.principal.id)
    return template_view(back)


@operations("POST", "/templates/{id:tpl}/check", roles=["viewer"], body=CheckInput, returns=FindingsView)
async def check_template(call: Call) -> Any:
    """Say what is wrong or doubtful about a template: faults with their line, links, size, words, missing languages."""
    wanted: CheckInput = call.body
    profile_id = await must_see_person(call, wanted.profile_id) if wanted.profile_id else None
    row = await call.runtime.templates.get(call.path["id"])
    found = await call.runtime.checker.check(
        row["kind"], row["content"], profile_id, wanted.context, reach=wanted.links
    )
    return FindingsView(findings=[FindingView.model_validate(each) for each in found])


@operations("POST", "/templates/{id:tpl}/test", roles=["marketer"], body=TryInput, returns=TriedView, status=202)
async def try_template(call: Call) -> Any:
    """Send it to a colleague by mail, marked as a test. It stands in the ledger and counts nowhere."""
    refuse_scoped(call)
    wanted: TryInput = call.body
    profile_id = await must_see_person(call, wanted.profile_id) if wanted.profile_id else None
    row = await call.runtime.templates.get(call.path["id"])
    mail = (await call.runtime.users.addresses()).get(wanted.to or call.principal.id)
    if mail is None:
        raise WrongInput("A test goes to a colleague.", [FieldError("to", "names somebody who may sign in here")])
    key = await call.runtime.proofs.send(
        row["content"], mail, source_id=row["_id"], key=call.idempotency_key, profile_id=profile_id,
        context=wanted.context, locale=wanted.locale,
    )  # fmt: skip
    return Reply(TriedView(send_key=key), 202)
