"""Journeys: written as drafts, published as versions, run, paused, made from recipes; and who is in them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from base.mongo import Document
from campaigns.backfill import WINDOW
from campaigns.journeys import Overdue, Publication, Status
from campaigns.models import STEPS
from campaigns.recipes import Language, Recipe
from desk.api.contract import Call, Operations, Reply
from desk.api.enrolments import EnrolledView, EnrolmentView, enrolment_view
from desk.api.scope import id_today, must_see_person, refuse_scoped, seen_ids
from desk.api.shapes import Body, PageQuery, Patch, ProfileId, Query, Time, View, listed, page, sliced

operations = Operations("journeys")

NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
AnyStatus = Literal["draft", "live", "paused", "draining", "archived"]


STEPS_SAID = (
    "Each `{id, type, …, next}`; the first is the entry. Types: " + ", ".join(f"`{name}`" for name in STEPS) + ". "
    "What each takes is described in docs/journeys.md."
)


class JourneyFields(Body):
    """A journey as its author writes it; the first step is the entry. Rules: the language of segments."""

    name: str = Field("", max_length=120)
    description: str = Field("", max_length=2000)
    trigger: dict[str, Any] | None = Field(None, examples=[{"type": "event", "event": "signed_up"}])
    entry_filter: dict[str, Any] | None = None
    reentry: dict[str, Any] | None = Field(None, examples=[{"mode": "once"}])
    goal: dict[str, Any] | None = Field(None, examples=[{"when": {"event": "order.paid"}, "on_meet": "exit"}])
    exit_when: dict[str, Any] | None = None
    send_class: Literal["marketing", "transactional", "service"] = Field("marketing", alias="class")
    quiet_hours: dict[str, Any] | None = Field(None, examples=[{"from": "21:00", "to": "08:00", "zone": "profile"}])
    max_visits: int = Field(10, ge=1, le=100)
    steps: list[dict[str, Any]] = Field(
        default_factory=list, max_length=200, description=STEPS_SAID,
        examples=[[
            {"id": "s1", "type": "throttle", "rate": 20, "per": "PT1H", "next": "s2"},
            {"id": "s2", "type": "webhook", "url": "https://shop.example/credit", "save_as": "credit", "next": "s3"},
            {"id": "s3", "type": "assign", "assignee": "round_robin", "due": "PT4H", "wait_done": True, "next": None},
        ]],
    )  # fmt: skip

    def written(self) -> dict[str, Any]:
        """What the author wrote, under the names of the contract."""
        named = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return {named[name]: value for name, value in self.given().items() if name != "draft_rev"}


class JourneyPatch(Patch, JourneyFields):
    """Top-level fields to replace in the draft; null takes one away. With `draft_rev` nobody's work is overwritten."""

    draft_rev: int | None = Field(None, ge=1, le=2**31)


class MigrateInput(Body):
    """Everybody goes along to the new version. Who stands at a step that is still there stays; `nodes` says where those
    go who stand at one that is not: a step, or null for out of the journey. Not named: to the next one still there."""

    nodes: dict[NodeId, NodeId | None] = Field(
        default_factory=dict, max_length=200, examples=[{"old_wait": "reminder"}]
    )


class PublishInput(Body):
    """`dry_run`: check, and say what would follow. `migrate`: people who are in it go along; without it they keep their
    version. `backfill`: then take in those who qualify already, as far back as
    this duration says; see `POST /journeys/{id}/backfill`."""

    dry_run: bool = False
    migrate: MigrateInput | None = None
    backfill: str | None = Field(None, max_length=40, examples=["P30D"])


class MigrationInput(MigrateInput):
    """People of older versions go along to the live one. `dry_run`: say who would move."""

    dry_run: bool = False


class BackfillInput(Body):
    """`window`: how far back what happened counts; for a segment its members of now are taken. `dry_run`: count."""

    window: str = Field(WINDOW, max_length=40, description="A duration of at most a year.")
    dry_run: bool = False


class StatusInput(Body):
    """`overdue`: what becomes, on resume, of those whose time came during the pause."""

    status: Status
    overdue: Overdue = "send"
    older_than: str | None = Field(None, max_length=40, description="A duration, for `skip_older_than`.")


class EnrolInput(Body):
    """Whom to put in. The same `key` returns the same run."""

    profile_id: ProfileId
    key: str | None = Field(None, min_length=1, max_length=200)
    data: dict[str, Any] = Field(default_factory=dict)


class InstallInput(Body):
    """Values for the recipe's params, and whether to publish at once. `language`: of the names of its steps and
    templates; what customers read is there in all languages."""

    params: dict[str, Any] = Field(default_factory=dict)
    live: bool = False
    language: Language = "en"


class JourneyQuery(PageQuery):
    """Archived journeys are shown only when asked for."""

    status: AnyStatus | None = None


class EnrolmentQuery(PageQuery):
    """Narrows the list."""

    state: Literal["waiting", "held", "ended", "dead"] | None = None
    profile: ProfileId | None = None
    node: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,40}$", description="A step's id.")


class JourneyView(View):
    """A journey: its draft, and which version is live."""

    id: str
    name: str
    status: AnyStatus
    live_version: int | None
    latest_version: int
    draft: dict[str, Any]
    draft_rev: int
    recipe: str | None
    created_at: Time
    updated_at: Time
    published_at: Time | None
    paused_at: Time | None


class PlannedView(View):
    """Who has a date in this journey. `at_least`: there are more than were counted."""

    people: int
    at_least: bool
    next_at: Time | None


class JourneyDetail(JourneyView):
    """With its runs by state and, where it begins on a date, who is planned."""

    runs: dict[str, int]
    planned: PlannedView | None


class IntakeView(View):
    """People being taken in, in the background. `at`: the occurrence of a schedule, or when it was begun. `total`: of
    about how many; `entered`: how many runs (or plans of dates) came of it."""

    id: str
    journey_id: str
    kind: Literal["dates", "schedule", "backfill"]
    state: Literal["pending", "done", "missed", "cancelled", "failed"]
    at: Time
    seen: int
    total: int
    entered: int
    reason: str | None
    created_at: Time
    done_at: Time | None


class BackfillView(View):
    """How many people qualify (`at_least`: not everybody was looked at), and what takes them in; null for a dry run."""

    people: int
    at_least: bool
    intake: IntakeView | None


class FaultView(View):
    """Where, and what."""

    path: str
    message: str


class StepMoveView(View):
    """Those who stand at one step of one older version. `what`: nothing is another for them (`same`), their step is
    looked at anew (`changed`), or it is `gone` and they go to `to` (null: out of the journey). `now`: so many move on
    at once; `later`: so many wait until a time that is reckoned anew, `estimated` where there are very many."""

    version: int
    node: str
    name: str | None
    type: str | None
    what: Literal["same", "changed", "gone"]
    to: str | None
    people: int
    now: int
    later: int
    estimated: bool


class PublicationView(View):
    """What publishing did, or would do. Runs under way stay on their version unless they go along (`migrate`); `moves`
    says who would move or moves, `migration_id` names the batch that moves them."""

    journey_id: str
    version: int
    dry_run: bool
    runs_staying: int
    runs_moving: int
    move_now: int
    move_later: int
    moves: list[StepMoveView]
    migration_id: str | None
    added: list[str]
    removed: list[str]
    changed: list[str]
    warnings: list[FaultView]


class MovingView(View):
    """Who went along to the live version, or would; `migration_id` names the batch that moves them."""

    journey_id: str
    version: int
    dry_run: bool
    people: int
    move_now: int
    move_later: int
    moves: list[StepMoveView]
    migration_id: str | None


class VersionView(View):
    """A published version."""

    version: int
    published_at: Time
    published_by: str | None


class FieldChangeView(View):
    """One field, by its path; null: it was or is not there."""

    path: str
    before: Any
    after: Any


class StepChangeView(View):
    """One step and its fields that differ."""

    id: str
    type: str
    name: str | None
    fields: list[FieldChangeView]


class DifferencesView(View):
    """What one version says otherwise than another. `journey`: what is said of the whole, such as its trigger."""

    added: list[StepChangeView]
    removed: list[StepChangeView]
    changed: list[StepChangeView]
    journey: list[FieldChangeView]


class ChangesQuery(Query):
    """Two versions: without `old` the live one, without `new` the draft."""

    old: int | None = Field(None, ge=1, le=2**31)
    new: int | None = Field(None, ge=1, le=2**31)


class MigrationView(View):
    """People taken along to version `to`. `moved`: how many, `ended` of them had nowhere to go; `put_back`: how many an
    undo put back, those who had not moved on since."""

    id: str
    journey_id: str
    to: int
    nodes: dict[str, str | None]
    state: Literal["pending", "done", "undoing", "undone", "failed"]
    by: str | None
    created_at: Time
    done_at: Time | None
    moved: int
    ended: int
    undone_at: Time | None
    undone_by: str | None
    put_back: int
    reason: str | None


class ParamView(View):
    """Something one may set."""

    name: str
    kind: str
    default: Any
    title: dict[str, str]


class RecipeView(View):
    """A ready-made journey. `title`, `summary` and `needs` (what has to be there) by locale. `templates` and `segments`
    by the names that the journey calls them, in English."""

    name: str
    category: Literal["orders", "sales", "care", "nurturing"]
    title: dict[str, str]
    summary: dict[str, str]
    needs: dict[str, str]
    params: list[ParamView]
    templates: dict[str, Any]
    segments: dict[str, Any]
    journey: dict[str, Any]


def journey_view(head: Document) -> JourneyView:
    """As people and programs see it."""
    return JourneyView.model_validate({**_shown(head)})


def _shown(head: Document) -> dict[str, Any]:
    return {**{name: head.get(name) for name in JourneyView.model_fields}, "id": head["_id"]}


def intake_view(row: Document) -> IntakeView:
    """As people and programs see it."""
    return IntakeView.model_validate({**row, "id": row["_id"]})


def migration_view(row: Document) -> MigrationView:
    """As people and programs see it."""
    return MigrationView.model_validate({**row, "id": row["_id"]})


def _key(call: Call) -> str | None:
    """Of a call that may be repeated: the same key begins the same backfill."""
    return f"api:{call.principal.id}:{call.idempotency_key}" if call.idempotency_key else None


def recipe_view(recipe: Recipe) -> RecipeView:
    """As people and programs see it."""
    return RecipeView.model_validate(recipe.told("en"))


@operations("GET", "/journeys", roles=["viewer"], query=JourneyQuery, returns=list[JourneyView])
async def list_journeys(call: Call) -> Any:
    """List journeys, newest first."""
    wanted: JourneyQuery = call.query
    found = await call.runtime.journeys.page(status=wanted.status, limit=wanted.limit, cursor=wanted.cursor)
    return listed(found, [journey_view(each) for each in found.data])


@operations("POST", "/journeys", roles=["marketer"], body=JourneyFields, returns=JourneyView, status=201)
async def create_journey(call: Call) -> Any:
    """Write a new journey. Things may still be missing; what is wrong is refused with its path.

    Journeys write on every channel: who is limited to some may neither write nor change, start nor stop them.
    """
    refuse_scoped(call)
    return journey_view(await call.runtime.journeys.create(call.body.written(), call.principal.id))


@operations("GET", "/journeys/recipes", roles=["viewer"], query=PageQuery, returns=list[RecipeView])
async def list_recipes(call: Call) -> Any:
    """List the ready-made journeys."""
    recipes, following = sliced(call.runtime.journeys.recipes(), lambda each: each.name, call.query)
    return page([recipe_view(each) for each in recipes], following)


@operations(
    "POST", "/journeys/recipes/{name:recipe}", roles=["marketer"], body=InstallInput, returns=JourneyView, status=201
)
async def install_recipe(call: Call) -> Any:
    """Make a journey, with its templates, from a recipe."""
    refuse_scoped(call)
    journeys, wanted = call.runtime.journeys, call.body
    key = f"api:{call.principal.id}:{call.idempotency_key}" if call.idempotency_key else None
    journey_id = await journeys.install(
        call.path["name"], wanted.params, live=wanted.live, by=call.principal.id, key=key, language=wanted.language
    )
    return journey_view(await journeys.get(journey_id))


@operations("GET", "/journeys/{id:jrn}", roles=["viewer"], returns=JourneyDetail)
async def get_journey(call: Call) -> Any:
    """One journey with its draft, its runs by state, and who has a date in it."""
    runtime = call.runtime
    head = await runtime.journeys.get(call.path["id"])
    planned = await runtime.backfills.planned(head["_id"])
    told = {"runs": await runtime.journeys.totals(head["_id"]), "planned": planned if planned.people else None}
    return JourneyDetail.model_validate({**_shown(head), **told})


@operations("PATCH", "/journeys/{id:jrn}", roles=["marketer"], body=JourneyPatch, returns=JourneyView)
async def change_journey(call: Call) -> Any:
    """Change the draft. Nobody who walks is touched until it is published."""
    refuse_scoped(call)
    body: JourneyPatch = call.body
    head = await call.runtime.journeys.patch(
        call.path["id"], body.written(), call.principal.id, draft_rev=body.draft_rev
    )
    return journey_view(head)


@operations("POST", "/journeys/{id:jrn}/publish", roles=["marketer"], body=PublishInput, returns=PublicationView)
async def publish_journey(call: Call) -> Any:
    """Make the draft the live version. `dry_run` only says what would follow."""
    refuse_scoped(call)
    wanted: PublishInput = call.body
    done: Publication = await call.runtime.journeys.publish(
        call.path["id"], call.principal.id, dry_run=wanted.dry_run,
        migrate=wanted.migrate.nodes if wanted.migrate is not None else None,
    )  # fmt: skip
    if wanted.backfill is not None and not wanted.dry_run:
        await call.runtime.backfills.begin(done.journey_id, wanted.backfill, by=call.principal.id, key=_key(call))
    return PublicationView.model_validate(done)


@operations("POST", "/journeys/{id:jrn}/backfill", roles=["marketer"], body=BackfillInput, returns=BackfillView)
async def backfill_journey(call: Call) -> Any:
    """Take in those who qualify already: by what happened in a window, or by being in the segment.

    Only for journeys that begin with something that happens, or with entering a segment. The rules of re-entry hold,
    and nobody enters twice for the same, however often it is asked. It goes on in the background; see `…/intakes`.
    """
    refuse_scoped(call)
    wanted: BackfillInput = call.body
    backfills, journey_id = call.runtime.backfills, (await call.runtime.journeys.get(call.path["id"]))["_id"]
    found = await backfills.outlook(journey_id, wanted.window)
    intake = None
    if not wanted.dry_run:
        row = await backfills.begin(journey_id, wanted.window, by=call.principal.id, key=_key(call))
        intake = intake_view(row)
    return BackfillView(people=found.people, at_least=found.at_least, intake=intake)


@operations("GET", "/journeys/{id:jrn}/intakes", roles=["viewer"], query=PageQuery, returns=list[IntakeView])
async def list_intakes(call: Call) -> Any:
    """List what takes or took people in, in the background.

    Newest first: plans of dates, occurrences of a schedule (missed ones too), backfills.
    """
    journey = await call.runtime.journeys.get(call.path["id"])
    found = await call.runtime.backfills.intakes(journey["_id"], limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [intake_view(each) for each in found.data])


@operations("POST", "/journeys/{id:jrn}/intakes/{intake:itk}/cancel", roles=["marketer"], returns=IntakeView)
async def cancel_intake(call: Call) -> Any:
    """Stop one. Who has entered stays in; the planning of dates ends with the journey and cannot be stopped alone."""
    refuse_scoped(call)
    journey = await call.runtime.journeys.get(call.path["id"])
    return intake_view(await call.runtime.backfills.call_off(journey["_id"], call.path["intake"]))


@operations("GET", "/journeys/{id:jrn}/versions", roles=["viewer"], query=PageQuery, returns=list[VersionView])
async def list_versions(call: Call) -> Any:
    """List the versions that were published, newest first, at most 200."""
    rows = await call.runtime.journeys.versions(call.path["id"])
    shown, following = sliced(rows, lambda each: f"{2**31 - each['version']:010d}", call.query)
    return page([VersionView.model_validate(each) for each in shown], following)


@operations("GET", "/journeys/{id:jrn}/changes", roles=["viewer"], query=ChangesQuery, returns=DifferencesView)
async def list_changes(call: Call) -> Any:
    """What one version says otherwise than another: what publishing the draft would change, unless said."""
    found = await call.runtime.journeys.changes(call.path["id"], call.query.old, call.query.new)
    return DifferencesView.model_validate(found)


@operations("GET", "/journeys/{id:jrn}/migrations", roles=["viewer"], query=PageQuery, returns=list[MigrationView])
async def list_migrations(call: Call) -> Any:
    """List when people were taken along to a newer version, newest first."""
    journey = await call.runtime.journeys.get(call.path["id"])
    found = await call.runtime.migrations.page(journey["_id"], limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [migration_view(each) for each in found.data])


@operations("POST", "/journeys/{id:jrn}/migrations", roles=["marketer"], body=MigrationInput, returns=MovingView)
async def migrate_journey(call: Call) -> Any:
    """Take people who are in older versions along to the live one. `dry_run` only says who would move.

    The same as `migrate` of a publication, for who decides it later. It goes on in the background and can be undone.
    """
    refuse_scoped(call)
    wanted: MigrationInput = call.body
    journey = await call.runtime.journeys.get(call.path["id"])
    return MovingView.model_validate(
        await call.runtime.journeys.migrate(journey["_id"], wanted.nodes, call.principal.id, dry_run=wanted.dry_run)
    )


@operations("POST", "/journeys/{id:jrn}/migrations/{migration:jmg}/undo", roles=["marketer"], returns=MigrationView)
async def undo_migration(call: Call) -> Any:
    """Put back those who have not moved on since. Who has been sent something or gone further stays where they are."""
    refuse_scoped(call)
    journey = await call.runtime.journeys.get(call.path["id"])
    return migration_view(await call.runtime.migrations.undo(journey["_id"], call.path["migration"], call.principal.id))


@operations("PUT", "/journeys/{id:jrn}/status", roles=["marketer"], body=StatusInput, returns=JourneyView)
async def set_journey_status(call: Call) -> Any:
    """Start, pause (everybody is held), let run out, or archive."""
    refuse_scoped(call)
    wanted: StatusInput = call.body
    head = await call.runtime.journeys.set_status(
        call.path["id"], wanted.status, call.principal.id, overdue=wanted.overdue, older_than=wanted.older_than
    )
    return journey_view(head)


@operations("GET", "/journeys/{id:jrn}/enrolments", roles=["viewer"], query=EnrolmentQuery, returns=list[EnrolmentView])
async def list_enrolments(call: Call) -> Any:
    """List who is or was in a journey, newest first. For a caller limited to channels a page may hold fewer."""
    wanted: EnrolmentQuery = call.query
    journey = await call.runtime.journeys.get(call.path["id"])
    found = await call.runtime.journeys.enrolments(
        journey["_id"], profile_id=await id_today(call, wanted.profile), state=wanted.state, node=wanted.node,
        limit=wanted.limit, cursor=wanted.cursor,
    )  # fmt: skip
    seen = await seen_ids(call, {each["profile_id"] for each in found.data})
    return listed(found, [enrolment_view(each) for each in found.data if each["profile_id"] in seen])


@operations(
    "POST",
    "/journeys/{id:jrn}/enrolments",
    roles=["marketer", "agent"],
    body=EnrolInput,
    returns=EnrolledView,
    also=(201,),
)
async def enrol(call: Call) -> Any:
    """Put a person into a journey. 201 for a new run; 200 with the run in the way and the `reason` otherwise.

    The rules of re-entry hold; the entry filter is passed by.
    """
    wanted: EnrolInput = call.body
    journey = await call.runtime.journeys.get(call.path["id"])
    profile_id = await must_see_person(call, wanted.profile_id)
    done = await call.runtime.journeys.enrol(journey["_id"], profile_id, key=wanted.key, data=wanted.data)
    view = EnrolledView(**enrolment_view(done.run).model_dump(), created=done.created, reason=done.reason)
    return Reply(view, 201 if done.created else 200)
