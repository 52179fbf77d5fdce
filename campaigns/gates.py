"""May this person enter, and may this send go now? Pure decisions on values given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from campaigns.models import QuietHours, Reentry
from campaigns.wallclock import window_end, zone_or

IgnoreReason = Literal["already_entered", "once", "active", "queued_already", "cooldown"]


@dataclass(frozen=True)
class RunBrief:
    """An earlier run of the same person in the same journey."""

    id: str
    entry_key: str
    #: What it began with: an event id, `api:key`.
    cause: str
    live: bool
    started_at: datetime
    #: The cause that ended it in order to begin anew.
    replaced_by: str | None = None
    #: It was over before its first step, because too many journeys had led to it: nobody has been through.
    stopped: bool = False


@dataclass(frozen=True)
class Enter:
    """Begin a run under this entry key. `ends`: runs to end first. `behind`: the run it has to wait for."""

    entry_key: str
    ends: tuple[str, ...] = ()
    behind: str | None = None


@dataclass(frozen=True)
class Ignore:
    """No new run. `run_id`: the run that stands in the way, or the one this very cause began."""

    reason: IgnoreReason
    run_id: str | None = None


def entry(policy: Reentry, key: str | None, cause: str, existing: Sequence[RunBrief], now: datetime) -> Enter | Ignore:
    """Whether `cause` begins a run. `key` tells runs apart in mode `per_key`; without one the cause does.

    The entry key holds a running number, so two who decide at once reach the same key and the unique index
    (journey, profile, entry key) lets one of them in.
    """
    same_cause = next((run for run in existing if run.cause == cause), None)
    if same_cause is not None:
        return Ignore("already_entered", same_cause.id)
    lane = _lane(policy, key, cause)
    mine = sorted((run for run in existing if _lane_of(run) == lane), key=_number_of)
    entering = f"{_number_of(mine[-1]) + 1 if mine else 0}|{lane}"
    live = [run for run in mine if run.live]
    if live:
        return _while_active(policy, entering, live)
    been = [run for run in mine if not run.stopped]
    if been and policy.mode in ("once", "per_key") and been[-1].replaced_by != cause:
        return Ignore("once", been[-1].id)
    if been and _cooling(policy, max(run.started_at for run in been), now):
        return Ignore("cooldown", been[-1].id)
    return Enter(entering)


def _cooling(policy: Reentry, last: datetime, now: datetime) -> bool:
    """Counted from the last entry: "not more often than every 30 days"."""
    if policy.mode != "cooldown" or policy.cooldown is None:
        return False
    return policy.cooldown.after(last, zone_or(None, "UTC")[0]) > now


def _while_active(policy: Reentry, entering: str, live: Sequence[RunBrief]) -> Enter | Ignore:
    if policy.if_active == "restart":
        return Enter(entering, ends=tuple(run.id for run in live))
    if policy.if_active == "queue_one":
        if len(live) > 1:
            return Ignore("queued_already", live[-1].id)
        return Enter(entering, behind=live[0].id)
    return Ignore("active", live[-1].id)


def _lane(policy: Reentry, key: str | None, cause: str) -> str:
    """Runs of one lane follow each other; only `per_key` has more lanes than one."""
    return f"key:{(key or cause)[:400]}" if policy.mode == "per_key" else "person"


def _lane_of(run: RunBrief) -> str:
    return run.entry_key.partition("|")[2]


def _number_of(run: RunBrief) -> int:
    return int(run.entry_key.partition("|")[0])


def quiet_until(quiet: QuietHours | None, own_zone: str | None, project_zone: str, now: datetime) -> datetime | None:
    """When the quiet hours that hold at `now` end; None when they do not hold."""
    if quiet is None or quiet.from_.at == quiet.to.at:
        return None
    zone, _ = zone_or(own_zone if quiet.zone == "profile" else quiet.zone, project_zone)
    return window_end(now, quiet.from_.at, quiet.to.at, zone)
