"""Consent groups: what people can say yes and no to."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import PageQuery, Patch, Time, View, page, sliced
from profiles.consent_groups import ConsentGroup, Default, GroupInput, GroupWords, LocaleCode, Title, Words

operations = Operations("consent groups")


class ConsentGroupPatch(Patch):
    """Parts to replace. A changed wording gets a new version."""

    name: Title = ""
    description: Words = ""
    wording: Words = ""
    default: Default = "opt_in"
    double_opt_in: bool = False
    locales: dict[LocaleCode, GroupWords] = Field(default_factory=dict, max_length=60)
    position: int = Field(0, ge=0, le=10_000)


class GroupWordsView(View):
    """Its words in a further language."""

    name: str | None
    description: str
    wording: str


class ConsentGroupView(View):
    """A group as it stands."""

    id: str
    key: str
    name: str
    description: str
    wording: str
    wording_version: int
    default: Default
    double_opt_in: bool
    locales: dict[str, GroupWordsView]
    position: int
    created_at: Time
    updated_at: Time


def group_view(group: ConsentGroup) -> ConsentGroupView:
    """As people and programs see it."""
    return ConsentGroupView.model_validate(group)


@operations("GET", "/consent-groups", roles=["viewer"], query=PageQuery, returns=list[ConsentGroupView])
async def list_consent_groups(call: Call) -> Any:
    """List consent groups in the order in which people see them."""
    found, following = sliced(await call.runtime.consent.groups.all(), lambda group: group.id, call.query)
    return page([group_view(each) for each in found], following)


@operations(
    "POST", "/consent-groups", roles=["marketer"], body=GroupInput, returns=ConsentGroupView, status=201
)  # fmt: skip
async def create_consent_group(call: Call) -> Any:
    """Make a group. The key of one that was taken away brings that one back.

    Groups count on every channel: who is limited to some may not make, change or take away any.
    """
    refuse_scoped(call)
    return group_view(await call.runtime.consent.groups.create(call.body))


@operations("GET", "/consent-groups/{id:cgr}", roles=["viewer"], returns=ConsentGroupView)
async def get_consent_group(call: Call) -> Any:
    """One group."""
    return group_view(await call.runtime.consent.groups.get(call.path["id"]))


@operations(
    "PATCH", "/consent-groups/{id:cgr}", roles=["marketer"], body=ConsentGroupPatch, returns=ConsentGroupView
)  # fmt: skip
async def change_consent_group(call: Call) -> Any:
    """Change what is given. Acts keep the wording they were made with."""
    refuse_scoped(call)
    given = call.body.model_dump(include=call.body.model_fields_set)
    return group_view(await call.runtime.consent.groups.change(call.path["id"], given))


@operations("DELETE", "/consent-groups/{id:cgr}", roles=["marketer"])
async def delete_consent_group(call: Call) -> None:
    """Take a group off the pages. Its ledger stays, and where it needs a yes it goes on to need one."""
    refuse_scoped(call)
    await call.runtime.consent.groups.archive(call.path["id"])
