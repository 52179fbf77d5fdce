"""Custom fields: definitions of attributes. Attributes without one stay free."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Patch, Time, View, page, sliced
from profiles.custom_fields import CustomField, FieldInput, FieldKey, FieldType, Labels, Option, Place

operations = Operations("fields")


class FieldBody(Body):
    """A definition. `key` is the attribute it rules, for ever; `options` for `choice` and `choices`; `personal`: it
    tells something private; `shown`: where people see it."""

    key: FieldKey
    labels: Labels
    type: FieldType = "text"
    options: list[Option] = Field(default_factory=list, max_length=200)
    required: bool = Field(False, description="The form at the desk asks for it; the API does not.")
    personal: bool = False
    shown: list[Place] = Field(default_factory=list, max_length=3)
    position: int = Field(0, ge=0, le=10_000)


class FieldPatch(Patch):
    """Parts to replace. Values on profiles stay as they are."""

    labels: Labels = Field(default_factory=dict)
    type: FieldType = "text"
    options: list[Option] = Field(default_factory=list, max_length=200)
    required: bool = False
    personal: bool = False
    shown: list[Place] = Field(default_factory=list, max_length=3)
    position: int = Field(0, ge=0, le=10_000)


class OptionView(View):
    """One of the values to choose from."""

    value: str
    labels: dict[str, str]


class FieldView(View):
    """A definition as it stands."""

    id: str
    key: str
    labels: dict[str, str]
    type: FieldType
    options: list[OptionView]
    required: bool
    personal: bool
    shown: list[str]
    position: int
    created_at: Time
    updated_at: Time


def field_view(field: CustomField) -> FieldView:
    """As people and programs see it."""
    return FieldView.model_validate(field)


@operations("GET", "/fields", roles=["viewer"], query=PageQuery, returns=list[FieldView])
async def list_fields(call: Call) -> Any:
    """List the definitions in their order."""
    found, following = sliced(await call.runtime.fields.all(), lambda field: field.id, call.query)
    return page([field_view(each) for each in found], following)


@operations("POST", "/fields", roles=["marketer"], body=FieldBody, returns=FieldView, status=201)
async def create_field(call: Call) -> Any:
    """Define an attribute. The key of one that was taken away brings that one back."""
    refuse_scoped(call)
    given = {name: value for name, value in call.body.model_dump().items() if name in call.body.model_fields_set}
    return field_view(await call.runtime.fields.create(FieldInput.model_validate(given)))


@operations("GET", "/fields/{id:fld}", roles=["viewer"], returns=FieldView)
async def get_field(call: Call) -> Any:
    """One definition."""
    return field_view(await call.runtime.fields.get(call.path["id"]))


@operations("PATCH", "/fields/{id:fld}", roles=["marketer"], body=FieldPatch, returns=FieldView)
async def change_field(call: Call) -> Any:
    """Change what is given. It rules what is written from then on."""
    refuse_scoped(call)
    given = call.body.model_dump(include=call.body.model_fields_set)
    return field_view(await call.runtime.fields.change(call.path["id"], given))


@operations("DELETE", "/fields/{id:fld}", roles=["marketer"])
async def delete_field(call: Call) -> None:
    """Take the definition away. Values on profiles stay, and are free from then on."""
    refuse_scoped(call)
    await call.runtime.fields.archive(call.path["id"])
