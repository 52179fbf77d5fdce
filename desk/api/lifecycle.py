"""Life cycle: stages and how long they take, each person's moves, relations, and the lists a deployment agrees on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Literal, get_args

from pydantic import Field

from base.errors import NotFound
from base.ids import is_id
from desk.api.contract import Call, Operations
from desk.api.scope import must_see_person, refuse_scoped, seen_ids
from desk.api.shapes import Body, PageQuery, ProfileId, Time, View, listed, page, sliced
from profiles.relations import Relation
from profiles.store import ProfileFilter
from profiles.terms import Agreed, ListName, RelationKind, Stage, Term

operations = Operations("life cycle")
#: Time in stage is averaged over those who left it within so long.
LOOKED_BACK = timedelta(days=90)


class StageView(View):
    """A stage. `mean_s`: seconds that those who left it within 90 days had spent there, None when nobody did.

    `count` stops at 10,000, and is None for a caller limited to channels.
    """

    key: str
    names: dict[str, str]
    asks_reason: bool
    orders: int | None
    segment_id: str | None
    back: bool
    count: int | None
    mean_s: int | None
    left: int


class MoveView(View):
    """A move from stage to stage. `by`: a person, a token, `journey:…` or `rule:…`; `spent_s`: in the former stage."""

    id: str = Field(validation_alias="_id")
    from_stage: str = Field(validation_alias="from")
    to_stage: str = Field(validation_alias="to")
    at: Time
    since: Time
    spent_s: int
    by: str | None
    source: str
    reason: str | None
    merge_id: str | None = Field(None, description="The merge that moved the person, or whose undoing did.")


class TermView(View):
    """A word of a list."""

    key: str
    names: dict[str, str]
    back_names: dict[str, str] | None = None
    asks_reason: bool | None = None
    orders: int | None = None
    segment_id: str | None = None
    back: bool | None = None


class TermListView(View):
    """A list as it stands. Send `rev` back with the changed list, so that nobody's change is lost."""

    name: str
    rev: int
    entries: list[TermView]


class TermListBody(Body):
    """The whole list as it is to be. `entries`: `{key, names: {en: …, zh_CN: …}}`; stages take `asks_reason`,
    `orders`, `segment_id`, `back` too, kinds of relation need `back_names`."""

    rev: int = Field(ge=0)
    entries: list[dict[str, Any]] = Field(max_length=50)


class RelationBody(Body):
    """What the person is to another. `way` `back`: as read from the other side."""

    kind: str = Field(min_length=1, max_length=64)
    other_id: ProfileId
    way: Literal["forth", "back"] = "forth"
    note: str | None = Field(None, max_length=300)


class RelationView(View):
    """A relation as it reads from this person."""

    id: str
    kind: str
    way: str
    other_id: str
    other_name: str
    note: str | None
    at: Time
    by: str | None


@operations("GET", "/stages", roles=["viewer"], query=PageQuery, returns=list[StageView])
async def list_stages(call: Call) -> Any:
    """List the stages in order, with how many people are there and how long they take."""
    runtime, agreed = call.runtime, await call.runtime.terms.now()
    shown, following = sliced(agreed.stages, lambda stage: stage.key, call.query)
    spent = await runtime.stage_log.spent(runtime.clock() - LOOKED_BACK)
    counts: list[int | None] = [None] * len(shown)
    if call.principal.channels is None:
        counts = list(
            await asyncio.gather(*(runtime.profiles.column_count(ProfileFilter(stage=each.key)) for each in shown))
        )
    return page(
        [_stage_view(*each, spent.get(each[0].key)) for each in zip(shown, counts, strict=True)], following
    )  # fmt: skip


def _stage_view(stage: Stage, count: int | None, spent: tuple[float, int] | None) -> StageView:
    mean, left = spent or (None, 0)
    measured = {"count": count, "mean_s": None if mean is None else round(mean), "left": left}
    return StageView.model_validate({**stage.model_dump(), **measured})


@operations("GET", "/terms", roles=["viewer"], query=PageQuery, returns=list[TermListView])
async def list_terms(call: Call) -> Any:
    """The lists `stages`, `reasons`, `roles` and `relations`."""
    agreed = await call.runtime.terms.now(fresh=True)
    names: tuple[ListName, ...] = get_args(ListName)
    shown, following = sliced([_list_view(name, agreed) for name in names], lambda each: each.name, call.query)
    return page(shown, following)


@operations("PUT", "/terms/{name:name}", roles=["marketer"], body=TermListBody, returns=TermListView)
async def replace_terms(call: Call) -> Any:
    """Put a list as it is to be. Nobody is moved; who holds a key that is gone keeps it. 409 when `rev` is old."""
    refuse_scoped(call)
    name = _list_name(call)
    agreed = await call.runtime.terms.save(name, call.body.rev, call.body.entries, by=call.principal.id)
    return _list_view(name, agreed)


@operations("GET", "/profiles/{id:prf}/stage", roles=["viewer"], query=PageQuery, returns=list[MoveView])
async def list_stage_moves(call: Call) -> Any:
    """List the person's moves from stage to stage, the latest first."""
    profile_id = await must_see_person(call, call.path["id"])
    found = await call.runtime.stage_log.of_profile(profile_id, limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [MoveView.model_validate(row) for row in found.data])


@operations("GET", "/profiles/{id:prf}/relations", roles=["viewer"], query=PageQuery, returns=list[RelationView])
async def list_relations(call: Call) -> Any:
    """List what the person is to others, as far as the caller may see them."""
    profile_id = await must_see_person(call, call.path["id"])
    found, following = sliced(await _seen(call, profile_id), lambda each: each.id, call.query)
    return page([RelationView.model_validate(each) for each in found], following)


@operations(
    "POST", "/profiles/{id:prf}/relations", roles=["agent", "marketer"], body=RelationBody, returns=list[RelationView],
    status=201,
)  # fmt: skip
async def add_relation(call: Call) -> Any:
    """Say what the person is to another; answers with all of them. Said twice is said once."""
    profile_id = await must_see_person(call, call.path["id"])
    other_id = await must_see_person(call, call.body.other_id)
    await call.runtime.relations.add(
        profile_id, call.body.kind, other_id, way=call.body.way, note=call.body.note, by=call.principal.id
    )
    return page([RelationView.model_validate(each) for each in await _seen(call, profile_id)], None)


@operations("DELETE", "/profiles/{id:prf}/relations/{relation:rel}", roles=["agent", "marketer"])
async def remove_relation(call: Call) -> None:
    """Take it away from both sides."""
    profile_id = await must_see_person(call, call.path["id"])
    if call.path["relation"] not in {each.id for each in await _seen(call, profile_id)}:
        raise NotFound("There is no such relation.")
    await call.runtime.relations.remove(profile_id, call.path["relation"], by=call.principal.id)


async def _seen(call: Call, profile_id: str) -> list[Relation]:
    found: list[Relation] = await call.runtime.relations.of_profile(profile_id)
    seen = await seen_ids(call, {each.other_id for each in found if is_id(each.other_id, "prf")})
    return [each for each in found if each.other_id in seen]


def _list_name(call: Call) -> ListName:
    name = call.path["name"]
    if name not in get_args(ListName):
        raise NotFound("There is no such list.")
    return name  # type: ignore[return-value]


def _list_view(name: ListName, agreed: Agreed) -> TermListView:
    terms: tuple[Term | Stage | RelationKind, ...] = getattr(agreed, name)
    entries = [TermView.model_validate(each.model_dump()) for each in terms]
    return TermListView(name=name, rev=agreed.revs[name], entries=entries)
