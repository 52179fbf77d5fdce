"""The event that tells of a run of a macro, a rule or an automatic reply: `automation.ran`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from profiles.events import NewEvent

NAME = "automation.ran"


@dataclass(frozen=True)
class Ran:
    """One run in one conversation. `did`: types of the actions that were done; `left`: `{type, why}` of the others."""

    kind: Literal["macro", "rule", "reply"]
    id: str
    name: str
    run_id: str
    did: Sequence[str]
    left: Sequence[Mapping[str, str]]
    by: str | None
    by_type: str


def ran(run: Ran, talk: Mapping[str, Any], at: datetime) -> NewEvent:
    """What is told of it, once for each conversation."""
    properties = {
        "kind": run.kind, "automation_id": run.id, "name": run.name, "run_id": run.run_id, "did": list(run.did),
        "left": [dict(each) for each in run.left], "by": run.by, "by_type": run.by_type,
    }  # fmt: skip
    return NewEvent(
        name=NAME, dedupe=f"{NAME}:{run.run_id}:{run.id}:{talk['_id']}", occurred_at=at, profile_id=talk["profile_id"],
        identity_id=talk["identity_id"], channel_id=talk["channel_id"], conversation_id=talk["_id"],
        properties=properties,
    )  # fmt: skip
