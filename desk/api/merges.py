"""Two customers that are one, or two after all: looked at, merged, parted; and pairs that may be one person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from base.errors import Refused
from base.ids import is_id
from base.mongo import Document
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import Asking, seen_ids, seen_person
from desk.api.shapes import Body, PageQuery, ProfileId, Time, View, listed, page, sliced
from profiles.joining import OBJECTIONS, Difference, Side
from profiles.merge import STATES, Outlook
from profiles.suggestions import Suggestion

operations = Operations("profiles")

FieldPath = Annotated[str, StringConstraints(min_length=1, max_length=80)]
MergeState = Literal["moving", "done", "returning", "undone"]


class MergeInput(Body):
    """The other one is merged into the one of the path. `fields`: whose value stays where they differ, for instance
    `{"name": "other", "attributes.city": "this"}`; for the rest the stronger source decides, then the newer value."""

    other_id: ProfileId
    dry_run: bool = False
    fields: dict[FieldPath, Side] = Field(default_factory=dict, max_length=250)


class UnmergeInput(Body):
    """The merge to take back."""

    merge_id: Annotated[str, StringConstraints(pattern="^mrg_[0-9a-z]{26}$")]


class DifferenceView(View):
    """A field in which the two differ, and whose value stays. `free`: whether that may be chosen."""

    field: str
    this: Any
    other: Any
    stays: Literal["this", "other", "both"]
    free: bool


class ObjectionView(View):
    """What speaks against it."""

    code: str
    sentence: str


class MergeView(View):
    """What would move (`dry_run`) or has moved. Without a `merge_id` nothing was done: a dry run, or one person."""

    merge_id: str | None
    state: MergeState | None
    dry_run: bool
    profile_id: str
    other_id: str
    moves: dict[str, int]
    differences: list[DifferenceView]
    #: Values that did not stay: they are kept with the merge.
    set_aside: dict[str, Any]
    objections: list[ObjectionView]


class UnmergeView(View):
    """Two people again. `kept`: fields edited since, which stayed as they are, with what they were before."""

    merge_id: str
    state: MergeState
    profile_id: str
    other_id: str
    kept: dict[str, Any]


class MergeRecordView(View):
    """A merge somebody was part of. `undoable`: it stands, and the survivor was not merged on."""

    id: str
    state: MergeState
    profile_id: str
    other_id: str
    by: str | None
    at: Time
    moved: dict[str, int]
    set_aside: dict[str, Any]
    undone_by: str | None
    undone_at: Time | None
    undoable: bool


class EvidenceView(View):
    """What spoke for both. `reason`: `other_profile`, `unverified`, `proved_elsewhere` or `limit`."""

    kind: str
    value: str
    reason: str


class PersonBrief(View):
    """One of a pair."""

    id: str
    display_name: str


class SuggestionView(View):
    """Two that may be one person; `profile_id` is known longer. Merging answers it, and so does dismissing it."""

    id: str
    state: Literal["open", "dismissed", "merged"]
    profile_id: str
    other_id: str
    people: list[PersonBrief]
    evidence: list[EvidenceView]
    created_at: Time


@operations("POST", "/profiles/{id:prf}/merge", roles=["agent", "marketer"], body=MergeInput, returns=MergeView)
async def merge_profiles(call: Call) -> Any:
    """Merge another customer into this one, or say what that would do (`dry_run`).

    Identities, conversations, messages, orders, runs, tasks, consents and events move; replies still go to the
    identity of their conversation. Needs sight of every channel both are on. 409 with the code of the objection where
    they cannot be one person: `different_customers`, `too_many_…`. It can be taken back with `/profiles/unmerge`.
    """
    wanted: MergeInput = call.body
    survivor, other = call.path["id"], wanted.other_id
    for each in (survivor, other):
        await must_see_all(call, each)
    merger = call.runtime.merger
    if wanted.dry_run:
        return merge_view(await merger.outlook(survivor, other, wanted.fields), call.principal.masks, dry_run=True)
    done = await merger.merge(survivor, other, by=call.principal.id, choices=wanted.fields)
    call.runtime.doorbell.soon("react")
    return merge_view(done, call.principal.masks, dry_run=False)


@operations("POST", "/profiles/unmerge", roles=["agent", "marketer"], body=UnmergeInput, returns=UnmergeView)
async def unmerge_profiles(call: Call) -> Any:
    """Take a merge back: both customers have what they had, and what came to their identities since.

    Fields edited since stay and are named in `kept`. 409 `merged_on` when the survivor itself was
    merged into somebody since: that has to be undone first.
    """
    row = await call.runtime.merger.get(call.body.merge_id)
    if row is None:
        raise not_there()
    for each in (row["survivor_id"], row["other_id"]):
        await must_see_all(call, each)
    undone = await call.runtime.merger.unmerge(row["_id"], by=call.principal.id)
    call.runtime.doorbell.soon("react")
    return UnmergeView(
        merge_id=undone.merge_id, state=_state(undone.state), profile_id=undone.survivor_id, other_id=undone.other_id,
        kept=undone.kept,
    )  # fmt: skip


@operations("GET", "/profiles/{id:prf}/merges", roles=["viewer"], query=PageQuery, returns=list[MergeRecordView])
async def list_merges(call: Call) -> Any:
    """List the merges this customer was part of, newest first (at most 50). Needs sight of all their channels."""
    profile_id = await must_see_all(call, call.path["id"])
    rows = await call.runtime.merger.of_profile(profile_id)
    shown, following = sliced(rows, lambda row: row["_id"], call.query)
    seen = await seen_ids(call, {each for row in shown for each in (row["survivor_id"], row["other_id"])})
    return page([_record(row) for row in shown if {row["survivor_id"], row["other_id"]} <= seen], following)


@operations("GET", "/profiles/suggestions", roles=["viewer"], query=PageQuery, returns=list[SuggestionView])
async def list_suggestions(call: Call) -> Any:
    """List pairs that look alike, with the evidence, newest first. A page may hold fewer than `limit`."""
    found = await call.runtime.suggestions.page(limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [suggestion_view(call, each) for each in await seen_pairs(call, found.data)])


@operations("POST", "/profiles/suggestions/{id:sug}/dismiss", roles=["agent", "marketer"], returns=SuggestionView)
async def dismiss_suggestion(call: Call) -> Any:
    """They are not the same person: the pair is not suggested again."""
    await seen_pair(call, call.path["id"])
    return suggestion_view(call, await call.runtime.suggestions.dismiss(call.path["id"], call.principal.id))


@operations("POST", "/profiles/suggestions/{id:sug}/reopen", roles=["agent", "marketer"], returns=SuggestionView)
async def reopen_suggestion(call: Call) -> Any:
    """Take back that they are not the same person."""
    await seen_pair(call, call.path["id"])
    return suggestion_view(call, await call.runtime.suggestions.reopen(call.path["id"], call.principal.id))


async def must_see_all(asking: Asking, profile_id: str) -> str:
    """The id of today of somebody whose channels the caller sees all. Raises `NotFound`, `Refused`."""
    profile, shown = await seen_person(asking, profile_id)
    if len(shown) < len(await asking.runtime.profiles.identities_of(profile.id)):
        raise Refused("This person is also on channels you may not see.", code="forbidden")
    return profile.id


async def seen_pairs(asking: Asking, pairs: list[Suggestion]) -> list[Suggestion]:
    """Those of which the caller may see both people."""
    seen = await seen_ids(asking, {each.id for pair in pairs for each in (pair.one, pair.other)})
    return [pair for pair in pairs if {pair.one.id, pair.other.id} <= seen]


async def seen_pair(asking: Asking, suggestion_id: str) -> Suggestion:
    """One pair of people the caller may see. Raises `NotFound`."""
    pair: Suggestion = await asking.runtime.suggestions.get(suggestion_id)
    if not await seen_pairs(asking, [pair]):
        raise not_there()
    return pair


def seen_evidence(asking: Asking, pair: Suggestion) -> list[Any]:
    """What does not tell of a channel outside the caller's scope."""
    heads = [(each, each.key.partition(":")[0]) for each in pair.evidence]
    return [each for each, head in heads if not is_id(head, "chn") or asking.principal.may_see(head)]


def suggestion_view(asking: Asking, pair: Suggestion) -> SuggestionView:
    """As people and programs see it."""
    return SuggestionView(
        id=pair.id, state=pair.state, profile_id=pair.one.id, other_id=pair.other.id,  # type: ignore[arg-type]
        people=[PersonBrief.model_validate(each) for each in (pair.one, pair.other)],
        evidence=[EvidenceView.model_validate(each) for each in seen_evidence(asking, pair)],
        created_at=pair.created_at,
    )  # fmt: skip


def seen_differences(differences: Iterable[Difference], masks: Collection[str]) -> list[Difference]:
    """Without the values that somebody with these masks may not see."""
    covered = {"address"} if "addresses" in masks else ()
    return [replace(each, this=None, other=None) if each.field in covered else each for each in differences]


def merge_view(outlook: Outlook, masks: Collection[str], *, dry_run: bool) -> MergeView:
    """As people and programs with these masks see it."""
    return MergeView(
        merge_id=outlook.merge_id, state=_state(outlook.state), dry_run=dry_run, profile_id=outlook.survivor_id,
        other_id=outlook.other_id, moves=outlook.moves, set_aside=outlook.set_aside,
        differences=[DifferenceView.model_validate(each) for each in seen_differences(outlook.differences, masks)],
        objections=[ObjectionView(code=code, sentence=OBJECTIONS[code]) for code in outlook.objections],
    )  # fmt: skip


def _state(state: str | None) -> Any:
    return state


def _record(row: Document) -> MergeRecordView:
    aside: Mapping[str, Any] = {each["field"]: each["value"] for each in row["set_aside"]}
    return MergeRecordView(
        id=row["_id"], state=_state(STATES[row["state"]]), profile_id=row["survivor_id"], other_id=row["other_id"],
        by=row["by"], at=row["at"], moved=row["moved"], set_aside=dict(aside), undone_by=row.get("undone_by"),
        undone_at=row.get("undone_at"), undoable=row["undoable"],
    )  # fmt: skip
