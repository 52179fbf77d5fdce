"""What people and programs do with journeys: write, publish, pause, put somebody in, take somebody out, ask why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, get_args

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import is_id, new_id
from base.mongo import Document, DuplicateKeyError
from base.pages import Page
from campaigns.bells import Ringer
from campaigns.definition import check_draft, check_plain, must_read
from campaigns.differences import Differences, differences
from campaigns.drafting import tidy
from campaigns.effects import send_key
from campaigns.entering import Entrance, Entrant
from campaigns.explain import Explanation, explain
from campaigns.facts import FactReader
from campaigns.flow import Flow, StepCounts, counts_of, flow_of, states_of
from campaigns.live import LiveJourney, LiveJourneys
from campaigns.migrating import Migrations, StepMove
from campaigns.migration import check_choices
from campaigns.models import (
    DateTrigger,
    Definition,
    ReceiptTrigger,
    ScheduleTrigger,
    SegmentTrigger,
    Trigger,
    WaitEventStep,
)
from campaigns.recipes import Plan, Recipe, recipe, recipes
from campaigns.store import EnrolmentStore, JourneyStore, TemplateStore
from campaigns.store.enrolments import LIVE, is_live
from campaigns.untracked import untracked
from campaigns.validate import check_whole, journey_ids, pinned_template_ids, template_ids
from campaigns.wallclock import Duration
from inbox.store import SendStore, TeamStore
from profiles.membership import SegmentInput, Segments
from profiles.models import storable
from profiles.store.segments import SegmentStore
from profiles.terms import Terms

Status = Literal["live", "paused", "draining", "archived"]
Overdue = Literal["send", "shift", "skip_older_than"]
#: How often a change is tried again because somebody else wrote the same journey.
ROUNDS = 6
DATA_MAX = 30_000


@dataclass(frozen=True)
class Publication:
    """What publishing did, or would do. Runs keep the version they began with unless they are to go along."""

    journey_id: str
    version: int
    dry_run: bool
    #: Runs under way that stay on their version, and those that go along.
    runs_staying: int
    runs_moving: int
    #: Of those who go or would go along: who moves on at once, and whose wait ends at another time.
    move_now: int
    move_later: int
    moves: tuple[StepMove, ...]
    migration_id: str | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    warnings: tuple[FieldError, ...]


@dataclass(frozen=True)
class Moving:
    """What taking people of older versions along to the live one did, or would do, as in `Publication`."""

    journey_id: str
    version: int
    dry_run: bool
    people: int
    move_now: int
    move_later: int
    moves: tuple[StepMove, ...]
    migration_id: str | None


@dataclass(frozen=True)
class Enrolled:
    """Somebody was put into a journey. `reason`: why there is no new run; `run` is then the one in the way."""

    run: Document
    created: bool
    reason: str | None = None


class Journeys:
    """The use cases. Heads are `{_id, name, status, live_version, latest_version, draft, draft_rev, rev, …}`."""

    def __init__(
        self, store: JourneyStore, enrolments: EnrolmentStore, live: LiveJourneys, entrance: Entrance,
        facts: FactReader, templates: TemplateStore, doorbell: Ringer, clock: Clock, terms: Terms | None = None,
        segments: SegmentStore | None = None, sends: SendStore | None = None, segment_book: Segments | None = None, *,
        migrations: Migrations, refuses_host: Callable[[str], bool] | None = None, teams: TeamStore | None = None,
        counted: Callable[[], Awaitable[Collection[str]]] | None = None,
    ) -> None:  # fmt: skip
        """`refuses_host`: whether a call to it would be refused in any case; `counted`: of links followed (`clicked`)
        and mails opened (`opened`) what is tracked now."""
        self._refuses_host = refuses_host
        self._counted = counted
        self._migrations = migrations
        self._teams = teams
        self._segment_book = segment_book
        self._terms = terms
        self._segments = segments
        self._sends = sends
        self._store = store
        self._enrolments = enrolments
        self._live = live
        self._entrance = entrance
        self._facts = facts
        self._templates = templates
        self._doorbell = doorbell
        self._clock = clock

    # -- writing -----------------------------------------------------------------------------------------------

    async def create(self, draft: Mapping[str, Any], by: str | None = None) -> Document:
        """A new journey as a draft. Things may be missing; what is wrong raises `WrongInput` with its path."""
        check_draft(draft)
        return await self._store.add(draft, by)

    async def patch(
        self, journey_id: str, changes: Mapping[str, Any], by: str | None = None, *, draft_rev: int | None = None
    ) -> Document:
        """Replace the top-level fields given (null takes one away). Nobody who walks is touched.

        With `draft_rev` raises `Conflict` when somebody saved since.
        """
        for _ in range(ROUNDS):
            head = await self.get(journey_id)
            if draft_rev is not None and head["draft_rev"] != draft_rev:
                raise Conflict("Somebody else has changed this journey meanwhile.", code="changed_meanwhile")
            draft = {name: value for name, value in {**head["draft"], **changes}.items() if value is not None}
            check_draft(draft)
            saved = await self._store.set_draft(head, draft, by)
            if saved is not None:
                return saved
        raise _contended()

    async def edit(
        self, journey_id: str, change: Callable[[dict[str, Any]], Mapping[str, Any]], by: str | None = None
    ) -> Document:
        """Write the draft as `change` makes it, faults and all: what is still being written is kept, and publishing
        asks for the rest. Tried again on the newest draft when somebody wrote meanwhile. Raises what `change` raises.
        """
        for _ in range(ROUNDS):
            head = await self.get(journey_id)
            draft = {name: value for name, value in change(tidy(head["draft"])).items() if value is not None}
            if draft == head["draft"]:
                return head
            check_plain(draft)
            saved = await self._store.set_draft(head, draft, by)
            if saved is not None:
                return saved
        raise _contended()

    async def undo(self, journey_id: str, by: str | None = None, *, again: bool = False) -> Document:
        """Take the last change of the draft back (`again`: make what was taken back once more), up to fifty of them.

        The head as it is when there is nothing left.
        """
        for _ in range(ROUNDS):
            head = await self.get(journey_id)
            if not head.get("redo" if again else "undo"):
                return head
            move = self._store.bring_back if again else self._store.take_back
            saved = await move(head, by)
            if saved is not None:
                return saved
        raise _contended()

    async def faults(self, draft: Mapping[str, Any]) -> tuple[FieldError, ...]:
        """What stands between a draft and its publication, with paths."""
        try:
            await self._whole(draft)
        except WrongInput as error:
            return tuple(error.errors)
        return ()

    async def _whole(self, draft: Mapping[str, Any]) -> Definition:
        """The draft as it would be published, or `WrongInput` with every fault."""
        definition = must_read(draft)
        templates = await self._templates.existing(template_ids(definition))
        journeys = frozenset(await self._store.statuses(journey_ids(definition)))
        check_whole(
            definition, templates, await self._stages(), journeys, await self._named_in(definition.trigger),
            self._refuses_host, await self._known_teams(),
        )  # fmt: skip
        return definition

    async def _known_teams(self) -> frozenset[str] | None:
        return frozenset([row["_id"] for row in await self._teams.all()]) if self._teams else None

    async def publish(
        self, journey_id: str, by: str | None = None, *, dry_run: bool = False,
        migrate: Mapping[str, str | None] | None = None,
    ) -> Publication:  # fmt: skip
        """Make the draft the live version. Raises `WrongInput` with every fault, `Conflict` when it is archived.

        `dry_run` checks and says what would follow. `migrate`: everybody goes along to the new version, see
        `campaigns.migration`; those at a removed step to the one it names for it (None: out of the journey).

        A journey that was a draft goes live; a paused one stays paused.
        """
        for _ in range(ROUNDS):
            head = await self.get(journey_id)
            if head["status"] == "archived":
                raise Conflict("An archived journey cannot be published.", code="archived")
            definition = await self._whole(head["draft"])
            check_choices(migrate or {}, definition, "migrate.nodes")
            found = await self._publication(head, definition, dry_run, migrate)
            if dry_run:
                return found
            if (changed := await self._published(head, definition, found, by, migrate)) is not None:
                if migrate is None:
                    return found
                return replace(found, migration_id=(await self._migrations.begin(changed))["_id"])
        raise _contended()

    async def _stages(self) -> frozenset[str] | None:
        if self._terms is None:
            return None
        return frozenset(each.key for each in (await self._terms.now()).stages)

    async def _named_in(self, trigger: Trigger) -> frozenset[str] | None:
        """Of the segment and the journey that a trigger names those that are there."""
        found: set[str] = set()
        if isinstance(trigger, ReceiptTrigger) and trigger.journey_id is not None:
            found |= (await self._store.names([trigger.journey_id])).keys()
        if isinstance(trigger, SegmentTrigger | ScheduleTrigger):
            if self._segments is None:
                return None
            found |= {row["_id"] for row in await self._segments.many([trigger.segment_id])}
        return frozenset(found)

    async def _published(
        self, head: Document, definition: Definition, found: Publication, by: str | None,
        migrate: Mapping[str, str | None] | None,
    ) -> Document | None:  # fmt: skip
        templates = await self._templates.many(pinned_template_ids(definition))
        wordings = {key: {"rev": row["rev"], "content": row["content"]} for key, row in templates.items()}
        version = await self._store.add_version(head["_id"], head["draft"], by, wordings)
        if version != found.version:
            return None  # somebody else published meanwhile: say it with the right number
        status = "live" if head["status"] == "draft" else head["status"]
        now = self._clock()
        fields: dict[str, Any] = {
            "live_version": version, "latest_version": version, "status": status, "published_at": now,
        }  # fmt: skip
        fields["migrate"] = {"to": version, "nodes": list(migrate.items()), "by": by} if migrate is not None else None
        if head["status"] == "draft":
            fields["opened_at"] = now
        changed = await self._store.change(head["_id"], head["rev"], fields)
        self._live.forget()
        return changed

    async def _publication(
        self, head: Document, definition: Definition, dry_run: bool, migrate: Mapping[str, str | None] | None
    ) -> Publication:
        before: dict[str, Any] = {}
        if head["live_version"]:
            raw = await self._store.version(head["_id"], head["live_version"]) or {}
            before = {step["id"]: step for step in raw.get("steps", ())}
        after = {step["id"]: step for step in head["draft"]["steps"]}
        places = await self._enrolments.places(head["_id"])
        versions = await self._store.versions(head["_id"])
        version = (versions[0]["version"] if versions else 0) + 1
        walking = sum(n for state, n in states_of(places).items() if state in LIVE)
        moves: tuple[StepMove, ...] = ()
        if dry_run or migrate is not None:
            moves = await self._migrations.outlook(head["_id"], definition, migrate or {}, places, version)
        return Publication(
            journey_id=head["_id"],
            version=version,
            dry_run=dry_run,
            runs_staying=walking if migrate is None else 0,
            runs_moving=0 if migrate is None else walking,
            move_now=sum(each.now for each in moves),
            move_later=sum(each.later for each in moves),
            moves=moves,
            migration_id=None,
            added=tuple(sorted(after.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - after.keys())),
            changed=tuple(sorted(each for each in after.keys() & before.keys() if after[each] != before[each])),
            warnings=(*_warnings(definition), *await self._untracked(head["draft"])),
        )

    async def _untracked(self, draft: Mapping[str, Any]) -> list[FieldError]:
        return untracked(draft, await self._counted()) if self._counted is not None else []

    async def migrate(
        self, journey_id: str, nodes: Mapping[str, str | None], by: str | None = None, *, dry_run: bool = False
    ) -> Moving:
        """Take everybody who is in an older version along to the live one: decided later than at its publication.

        `nodes` as in `publish`; `dry_run` says who would move. Raises `WrongInput`, and `Conflict` where there is no
        version or nobody is in an older one.
        """
        for _ in range(ROUNDS):
            head = await self.get(journey_id)
            version = head["live_version"]
            if head["status"] == "archived" or not version:
                raise Conflict("Nobody walks in this journey.", code="not_running")
            definition = await self._live.definition(journey_id, version)
            if definition is None:
                raise Conflict("The live version can no longer be read; publish another one.", code="unreadable")
            check_choices(nodes, definition, "nodes")
            places = await self._enrolments.places(journey_id)
            moves = await self._migrations.outlook(journey_id, definition, nodes, places, version)
            found = Moving(
                journey_id, version, dry_run, sum(each.people for each in moves), sum(each.now for each in moves),
                sum(each.later for each in moves), moves, None,
            )  # fmt: skip
            if dry_run:
                return found
            if not moves:
                raise Conflict("Nobody is in an older version.", code="nobody_behind")
            asked = {"to": version, "nodes": list(nodes.items()), "by": by, "asked": head["rev"]}
            changed = await self._store.change(journey_id, head["rev"], {"migrate": asked})
            if changed is not None:
                return replace(found, migration_id=(await self._migrations.begin(changed))["_id"])
        raise _contended()

    async def behind(self, journey_id: str) -> int:
        """How many are in a version older than the live one."""
        live = (await self.get(journey_id))["live_version"] or 0
        places = await self._enrolments.places(journey_id)
        return sum(each["n"] for each in places if each["state"] in LIVE and each["version"] < live)

    async def changes(self, journey_id: str, old: int | None = None, new: int | None = None) -> Differences:
        """What version `new` (the draft) says otherwise than version `old` (the live one). Raises `NotFound`."""
        head = await self.get(journey_id)
        before = await self.definition(journey_id, old) if old or head["live_version"] else {}
        return differences(before, await self.definition(journey_id, new) if new else head["draft"])

    # -- running -----------------------------------------------------------------------------------------------

    async def set_status(
        self, journey_id: str, status: Status, by: str | None = None, *, overdue: Overdue = "send",
        older_than: str | None = None,
    ) -> Document:  # fmt: skip
        """Start, pause, let run out, or archive. The same status again changes nothing.

        A pause holds everybody and keeps due times. On resume `overdue` says what becomes of those whose time came
        meanwhile: `send` now, `shift` all waits by the paused span, or `skip_older_than` the next send of those overdue
        by more than `older_than` (a duration). Raises `WrongInput`, `Conflict`.
        """
        if status not in get_args(Status):
            raise WrongInput(
                "There is no such status.", [FieldError("status", f"is one of {', '.join(get_args(Status))}")]
            )
        late = _late(overdue, older_than)
        for _ in range(ROUNDS):
            head = await self.get(journey_id)
            if head["status"] == status:
                return head
            fields = self._change_of_status(head, status, overdue, late)
            changed = await self._store.change(journey_id, head["rev"], {**fields, "updated_by": by})
            if changed is not None:
                await self._follow(changed)
                return changed
        raise _contended()

    async def overdue(self, journey_id: str) -> int:
        """Held runs whose time has come: what a person should know before resuming. Counted to 10,000."""
        return await self._enrolments.overdue(journey_id, self._clock())

    def _change_of_status(
        self, head: Document, status: Status, overdue: Overdue, late: timedelta | None
    ) -> dict[str, Any]:
        now = self._clock()
        if head["status"] == "archived":
            raise Conflict("An archived journey stays archived; make a copy of it.", code="archived")
        if not head["live_version"] and status != "archived":
            raise Conflict("Publish the journey first.", code="not_published")
        fields: dict[str, Any] = {"status": status, "paused_at": now if status == "paused" else None}
        if head["status"] == "paused" and head["paused_at"] is not None:
            span = int((now - head["paused_at"]) / timedelta(milliseconds=1)) if overdue == "shift" else 0
            fields["release"] = {"at": now, "shift_ms": span, "stale_before": now - late if late is not None else None}
        elif status == "paused":
            fields["release"] = None
        if head["status"] == "draining" and status in ("live", "paused"):
            fields["opened_at"] = now
        return fields

    async def _follow(self, head: Document) -> None:
        """What a change of status does to the runs. Interrupted, it is finished by the walker (`_gather_strays`)."""
        self._live.forget()
        now = self._clock()
        if head["status"] == "paused":
            await self._enrolments.hold_all(head["_id"])
            return
        if head["status"] == "archived":
            await self._enrolments.hurry(head["_id"], now)
        elif head["release"]:
            await self._enrolments.release(head["_id"], now, **head["release"])
        await self._doorbell.ring("advance")

    # -- people in journeys ------------------------------------------------------------------------------------

    async def enrol(
        self, journey_id: str, profile_id: str, *, key: str | None = None, data: Mapping[str, Any] | None = None
    ) -> Enrolled:
        """Put a person in. The same `key` returns the same run. Re-entry rules hold; the entry filter is passed by.

        Raises `NotFound`, `Conflict` (not running), `WrongInput` (data too large or not storable).
        """
        given = _checked_data(data or {})
        journey = await self._running(journey_id)
        people = await self._facts.profiles([profile_id])
        if profile_id not in people:
            raise NotFound("There is no such profile.")
        now = self._clock()
        cause = f"api:{key}" if key else f"api:{new_id('evt')}"
        event = {"id": cause, "name": "api", "occurred_at": now, "properties": given}
        entrant = Entrant(
            journey, people[profile_id]["_id"], cause, now, key, {**given, "event": event}
        )  # fmt: skip
        admission = (await self._entrance.admit([entrant]))[0]
        run = await self._enrolments.get(admission.run_id) if admission.run_id else None
        if run is None:
            raise Conflict("This person is being put into the journey by others just now.", code="contended")
        if admission.created:
            await self._doorbell.ring("advance")
        return Enrolled(run, admission.created, admission.reason)

    async def exit(self, enrolment_id: str, by: str | None = None, reason: str = "exited") -> Document:
        """Take a person out. A run that is over stays as it is."""
        row = await self.enrolment(enrolment_id)
        ended = await self._enrolments.end_now(enrolment_id, reason, self._clock(), by=by)
        return ended or await self._enrolments.get(enrolment_id) or row

    async def retry(self, enrolment_id: str) -> Document:
        """Try a run again that was set aside for a fault. Raises `Conflict` for any other."""
        await self.enrolment(enrolment_id)
        if not await self._enrolments.revive(enrolment_id, self._clock()):
            raise Conflict("Only a run that was set aside can be tried again.", code="not_set_aside")
        await self._doorbell.ring("advance")
        return await self.enrolment(enrolment_id)

    async def enrolment(self, enrolment_id: str) -> Document:
        """One run. Raises `NotFound`."""
        row = await self._enrolments.get(enrolment_id) if is_id(enrolment_id, "enr") else None
        if row is None:
            raise NotFound("There is no such run.")
        return row

    async def enrolments(
        self, journey_id: str | None = None, *, profile_id: str | None = None, state: str | None = None,
        node: str | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Runs of a journey or of a person, newest first."""
        return await self._enrolments.page(
            journey_id=journey_id, profile_id=profile_id, state=state, node=node, limit=limit, cursor=cursor
        )

    async def left(
        self, journey_id: str, node: str, outcome: Literal["passed", "skipped", "failed"], *, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """Who left a step and how, newest first: log rows `{enrolment_id, profile_id, at, code, params, …}`."""
        return await self._enrolments.left(journey_id, node, outcome, limit=limit, cursor=cursor)

    async def explain(self, enrolment_id: str) -> Explanation:
        """Where the run is, since when, why it waits, until when, and its log. Raises `NotFound`."""
        row = await self.enrolment(enrolment_id)
        log = await self._enrolments.log_of(enrolment_id)
        definition = await self._live.definition(row["journey_id"], row["version"])
        names = await self._store.names([row["journey_id"]])
        return explain(row, log, definition, names.get(row["journey_id"], ""), await self._held_up(row))

    async def _held_up(self, row: Document) -> Document | None:
        """The send that the run waits for, where something holds it back."""
        wait = row.get("wait") or {}
        if self._sends is None or wait.get("kind") != "send" or not wait.get("tried") or not is_live(row):
            return None
        key = send_key(row["_id"], row["node"], row["visit"], wait["tried"][-1])
        send = (await self._sends.by_keys([key])).get(key)
        return send if send is not None and send["state"] == "deferred" and send.get("reason") else None

    # -- looking -----------------------------------------------------------------------------------------------

    async def get(self, journey_id: str) -> Document:
        """The head with its draft. Raises `NotFound`."""
        head = await self._store.get(journey_id) if is_id(journey_id, "jrn") else None
        if head is None:
            raise NotFound("There is no such journey.")
        return head

    async def names(self, journey_ids: Iterable[str]) -> dict[str, str]:
        """Journey → its name."""
        return await self._store.names(journey_ids)

    async def page(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:
        """Heads, newest first; archived ones only when asked for."""
        return await self._store.page(status=status, limit=limit, cursor=cursor)

    async def definition(self, journey_id: str, version: int | None = None) -> dict[str, Any]:
        """A version as its author wrote it: the one named, else the live one, else the draft. Raises `NotFound`."""
        head = await self.get(journey_id)
        wanted = version or head["live_version"]
        if wanted is None:
            return dict(head["draft"])
        raw = await self._store.version(journey_id, wanted)
        if raw is None:
            raise NotFound("There is no such version.")
        return raw

    async def versions(self, journey_id: str) -> list[Document]:
        """`{version, published_at, published_by}`, newest first."""
        await self.get(journey_id)
        return await self._store.versions(journey_id)

    async def counts(self, journey_id: str, version: int | None = None) -> dict[str, StepCounts]:
        """Step → how many wait there, passed, were skipped, failed; of one version or of all.

        Waiting is counted from an index at the moment; the others are kept while runs walk.
        """
        places = await self._enrolments.places(journey_id)
        return counts_of(version, places, await self._enrolments.counts(journey_id))

    async def totals(self, journey_id: str) -> dict[str, int]:
        """Runs by state: waiting, held, ended, dead."""
        return states_of(await self._enrolments.places(journey_id))

    async def flow(self, journey_id: str, version: int | None = None) -> Flow:
        """Nodes, ways and counts of a published version (the live one) or, before any, of the draft.

        Raises `NotFound`, and `WrongInput` for a draft that cannot be drawn yet.
        """
        head = await self.get(journey_id)
        raw = await self.definition(journey_id, version)
        definition = must_read(raw)
        shown = version or head["live_version"] or 0
        places = await self._enrolments.places(journey_id)
        counts = counts_of(shown or None, places, await self._enrolments.counts(journey_id))
        return flow_of(journey_id, shown, definition, raw, counts, states_of(places))

    # -- recipes -----------------------------------------------------------------------------------------------

    def recipes(self) -> list[Recipe]:
        """The ready-made journeys."""
        return recipes()

    async def from_recipes(self) -> dict[str, Document]:
        """Recipe → the newest journey made from it in which somebody may walk, without its draft."""
        return {head["recipe"]: head for head in await self._store.walked() if head.get("recipe")}

    async def install(
        self, name: str, params: Mapping[str, Any] | None = None, *, live: bool = False, by: str | None = None,
        key: str | None = None, language: str = "en",
    ) -> str:  # fmt: skip
        """Make a journey, with its templates, from a recipe; the journey's id. `live` publishes it at once. The names
        are in that language.

        With a `key` the same installation again returns the same journey. Raises `NotFound`, `WrongInput`.
        """
        plan = recipe(name).filled(params or {}, language)
        known = await self._store.by_recipe(key) if key else None
        if known is None:
            known = await self._installed(plan, by, key)
        if live and known["status"] == "draft":
            await self.publish(known["_id"], by)
        return str(known["_id"])

    async def _installed(self, plan: Plan, by: str | None, key: str | None) -> Document:
        ids = {part: await self._template(plan, part, by, key) for part in plan.templates}
        for part, segment in plan.segments.items():
            if self._segment_book is None:
                raise Conflict("Segments cannot be made here.", code="no_segments")
            given = SegmentInput.model_validate(segment)
            ids[part] = (await self._segment_book.create(given, by, maker=f"{plan.name}.{part}"))["_id"]
        more = {"recipe": plan.name, **({"recipe_key": key} if key else {})}
        try:
            return await self._store.add(plan.draft(ids), by, **more)
        except DuplicateKeyError:  # somebody installed the same at the same moment
            known = await self._store.by_recipe(key or "")
            if known is None:
                raise
            return known

    async def _template(self, plan: Plan, part: str, by: str | None, key: str | None) -> str:
        """The id of one template, made once per key whoever died before the journey was there."""
        template = plan.templates[part]
        content = {field: value for field, value in template.items() if field not in ("name", "kind")}
        once = {"recipe_key": f"{key}:{part}"} if key else {}
        try:
            row = await self._templates.add(template["name"], template["kind"], content, by, recipe=plan.name, **once)
        except DuplicateKeyError:
            known = await self._templates.by_recipe(once["recipe_key"])
            if known is None:
                raise
            row = known
        return str(row["_id"])

    async def _running(self, journey_id: str) -> LiveJourney:
        await self.get(journey_id)
        self._live.forget()
        journey = (await self._live.now()).journeys.get(journey_id)
        if journey is None or journey.status == "draining":
            raise Conflict("This journey takes nobody in: publish or resume it first.", code="not_running")
        return journey


def _warnings(definition: Definition) -> list[FieldError]:
    found = []
    for place, step in enumerate(definition.steps):
        if isinstance(step, WaitEventStep) and step.timeout is None:
            found.append(FieldError(f"steps[{place}].timeout", "without a timeout the wait ends after 90 days"))
    trigger = definition.trigger
    again = isinstance(trigger, ScheduleTrigger) or (isinstance(trigger, DateTrigger) and trigger.yearly)
    if again and definition.reentry.mode == "once":
        told = "each person enters only the first time; mode after_exit or per_key lets them come again"
        found.append(FieldError("reentry.mode", told))
    return found


def _late(overdue: Overdue, older_than: str | None) -> timedelta | None:
    if overdue not in get_args(Overdue):
        raise WrongInput(
            "There is no such choice.", [FieldError("overdue", f"is one of {', '.join(get_args(Overdue))}")]
        )
    if overdue != "skip_older_than":
        return None
    try:
        return Duration.parse(older_than or "").roughly()
    except ValueError as error:
        raise WrongInput("Say how late is too late.", [FieldError("older_than", str(error))]) from None


def _checked_data(data: Mapping[str, Any]) -> dict[str, Any]:
    check_plain(data)
    if len(repr(data)) > DATA_MAX:
        raise WrongInput("The data is too large.", [FieldError("data", f"is larger than {DATA_MAX} characters")])
    if "event" in data:
        raise WrongInput("The data cannot be kept.", [FieldError("data.event", "is a name that is taken")])
    kept: dict[str, Any] = storable(data)
    return kept


def _contended() -> Conflict:
    return Conflict("This journey is being changed too often just now.", code="contended")
