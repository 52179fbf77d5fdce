"""The values the engine works on: a run, the facts of the moment, what is decided and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from campaigns.conditions import Happened

WaitKind = Literal["time", "event", "send", "task", "queue", "call", "turn", "digest"]
#: Kinds of facts, each read in bulk and only when a step asks for it.
Need = Literal["profile", "history", "happened", "order", "conversation", "candidates", "turn", "digest", "winner"]
#: Those that say something of one visit of one step alone.
OF_THE_VISIT: frozenset[Need] = frozenset({"turn", "digest", "winner"})
Outcome = Literal["passed", "skipped", "failed"]


@dataclass(frozen=True)
class Wait:
    """Why a run stands still. `until`: when it is looked at again at the latest."""

    kind: WaitKind
    until: datetime
    #: Send: channels tried at this visit, the last one pending. Task: the task's key. Queue: the run ahead.
    tried: tuple[str, ...] = ()
    ref: str | None = None
    #: What there is to say of it, for a person who asks.
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class RunState:
    """Where one run is."""

    id: str
    journey_id: str
    profile_id: str
    node: str
    #: Which visit of `node` this is, from 1.
    visit: int
    entered_at: datetime
    #: When what started the run happened; look-backs begin here.
    since: datetime
    visits: Mapping[str, int] = field(default_factory=dict)
    wait: Wait | None = None
    #: `event`: the trigger event `{id, name, occurred_at, properties}`; further keys are saved by steps.
    data: Mapping[str, Any] = field(default_factory=dict)
    #: Chance has decided whether the person is in the control group, and whether they are.
    drawn: bool = False
    holdout: bool = False
    goal_met: bool = False
    #: The next send is passed over: it was overdue when a pause ended and the author wanted no late messages.
    skip_next: bool = False
    #: Time that a pause took from the wait at this step.
    shift: timedelta = timedelta()


@dataclass(frozen=True)
class Candidate:
    """One address the person could be written to."""

    channel_id: str
    identity_id: str
    provider: str
    last_inbound_at: datetime | None = None
    reachable: bool = True
    #: Why it is not, as a gate would say it: `suppressed`, `left`.
    barred: str | None = None


@dataclass(frozen=True)
class SendFact:
    """What became of the send of this visit on one channel."""

    state: str
    due_at: datetime | None = None
    code: str | None = None


@dataclass(frozen=True)
class TaskFact:
    """What became of the task of this visit."""

    closed: bool
    result: str | None = None


@dataclass(frozen=True)
class CallFact:
    """What became of the call of this visit. `state`: planned, done, failed."""

    state: str
    due_at: datetime | None = None
    #: Of the answer, or why there is none; for the log.
    said: Mapping[str, Any] = field(default_factory=dict)
    #: What the step saves.
    answer: Any = None


@dataclass(frozen=True)
class TurnFact:
    """Whether it is this run's turn; if not, when it is expected to be, and how many stand before it."""

    passes: bool
    until: datetime
    ahead: int = 0
    #: When to look again, if before that: those ahead may leave.
    again_at: datetime | None = None


@dataclass(frozen=True)
class DigestFact:
    """What this run is to its digest: it opened it and waits (`open`), may go on with all of it (`closed`), or gave
    what it has to another run (`joined`)."""

    role: Literal["open", "closed", "joined"]
    until: datetime
    count: int = 1
    #: The run that goes on.
    run_id: str | None = None
    events: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Facts:
    """Everything fresh that a decision may need. `loaded` says what was read; the rest is empty."""

    loaded: frozenset[Need] = frozenset()
    #: For rules over the profile, in the form `profiles.segments.memory.matches` takes.
    subject: Any = None
    #: The profile's fields by name, for dates and zones.
    profile: Mapping[str, Any] = field(default_factory=dict)
    #: `order`, `conversation` as mappings.
    values: Mapping[str, Any] = field(default_factory=dict)
    #: Events of the profile since the run began or as far back as a step looks, earliest first.
    happened: Sequence[Happened] = ()
    candidates: Sequence[Candidate] = ()
    sends: Mapping[str, SendFact] = field(default_factory=dict)
    task: TaskFact | None = None
    call: CallFact | None = None
    turn: TurnFact | None = None
    digest: DigestFact | None = None
    #: The name of the arm that has won.
    winner: str | None = None
    ahead_live: bool = False
    project_zone: str = "UTC"

    def elsewhere(self) -> Facts:
        """As the run sees them at another step: without what says something of one visit alone."""
        if not (self.sends or self.task or self.call or self.loaded & OF_THE_VISIT):
            return self
        return replace(
            self, sends={}, task=None, call=None, turn=None, digest=None, winner=None,
            loaded=self.loaded - OF_THE_VISIT,
        )  # fmt: skip


@dataclass(frozen=True)
class RequestSend:
    """Ask the outbox for the send of this visit on this channel."""

    node: str
    visit: int
    candidate: Candidate


@dataclass(frozen=True)
class ChangeProfile:
    """Carry out an update step, once per visit."""

    node: str
    visit: int


@dataclass(frozen=True)
class CreateTask:
    """Create the task of this visit."""

    node: str
    visit: int
    due_at: datetime | None


@dataclass(frozen=True)
class Errand:
    """See to something outside, once per visit: `assign`, `note`, `notify` people, `call` an address, `start` a
    journey."""

    do: Literal["assign", "note", "notify", "call", "start"]
    node: str
    visit: int
    due_at: datetime | None = None


Effect = RequestSend | ChangeProfile | CreateTask | Errand


@dataclass(frozen=True)
class Move:
    """Go on to `to` (None: the journey ends here). `code` and `params` say why, for the log."""

    to: str | None
    code: str
    params: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome = "passed"
    effects: tuple[Effect, ...] = ()
    #: False: the effects change facts, so the next decision needs fresh ones.
    same_facts: bool = True
    save: Mapping[str, Any] = field(default_factory=dict)
    drawn: bool = False
    holdout: bool = False
    goal: bool = False
    #: It was a send that was passed over because it came too late.
    passed_over: bool = False


@dataclass(frozen=True)
class Stay:
    """Stand still until `wait.until` or until something that concerns the run happens."""

    wait: Wait
    code: str
    params: Mapping[str, Any] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class Finish:
    """The run is over."""

    reason: str
    params: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome = "passed"


Action = Move | Stay | Finish


@dataclass(frozen=True)
class LogLine:
    """One thing that happened in a run. `code` and `params` make the sentence."""

    node: str
    visit: int
    code: str
    params: Mapping[str, Any]
    #: Empty while the step is not left.
    outcome: Outcome | Literal[""] = ""


@dataclass(frozen=True)
class Walked:
    """The run after its steps.

    `ended` names the reason when it is over. `wants`: facts to read before it can go on from here, in the same go.
    `again`: it can go on at once, but only after the effects have been carried out.
    """

    run: RunState
    lines: tuple[LogLine, ...] = ()
    effects: tuple[Effect, ...] = ()
    ended: str | None = None
    wants: frozenset[Need] = frozenset()
    again: bool = False
    steps: int = 0
