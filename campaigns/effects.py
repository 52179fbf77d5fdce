"""Carries out what a step decided: sends asked for, profiles changed, errands run; each once, however often tried."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from base.errors import NotFound
from base.ids import unique_key
from base.mongo import UNAVAILABLE, Document
from campaigns.errands import Errands
from campaigns.models import Definition, SendStep, UpdateStep
from campaigns.run import CreateTask, Effect, Errand, RequestSend
from inbox.models import SendRequest, Source
from inbox.outbox import Outbox
from profiles.consent import Consent, ConsentAct
from profiles.edit import ProfileEditor
from profiles.models import NO_ADDRESS
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

#: `source.kind` of all sends that journeys ask for.
KIND = "journey"


def send_key(run_id: str, node: str, visit: int, channel_id: str) -> str:
    """Unique for ever: one send per run, step, visit and channel."""
    return unique_key("journey", run_id, node, visit, channel_id)


def as_todo(effect: Effect) -> Document:
    """An effect as it waits in the run's row."""
    if isinstance(effect, RequestSend):
        to = effect.candidate
        return {
            "do": "send", "node": effect.node, "visit": effect.visit, "channel_id": to.channel_id,
            "identity_id": to.identity_id,
        }  # fmt: skip
    if isinstance(effect, CreateTask):
        return {"do": "task", "node": effect.node, "visit": effect.visit, "due_at": effect.due_at}
    if isinstance(effect, Errand):
        return {"do": effect.do, "node": effect.node, "visit": effect.visit, "due_at": effect.due_at}
    return {"do": "change", "node": effect.node, "visit": effect.visit}


class Effects:
    """Carries out the `todo` of runs."""

    def __init__(
        self, outbox: Outbox, errands: Errands, editor: ProfileEditor, consent: Consent, profiles: ProfileStore
    ) -> None:
        self._outbox = outbox
        self._errands = errands
        self._editor = editor
        self._consent = consent
        self._profiles = profiles

    async def carry_out(
        self, rows: Sequence[Document], definitions: Mapping[tuple[str, int], Definition | None]
    ) -> set[str]:
        """Do what their `todo` says; the ids of those that are done. The others come again when their lease ends."""
        failed: set[str] = set()
        sends: list[tuple[str, SendRequest]] = []
        for row in rows:
            definition = definitions.get((row["journey_id"], row["version"]))
            if definition is None:
                continue
            for todo in row["todo"]["effects"]:
                if todo["do"] == "send":
                    sends.append((row["_id"], _request(row, todo, definition)))
                elif not await self._done(row, todo, definition):
                    failed.add(row["_id"])
        failed |= await self._requested(sends)
        return {row["_id"] for row in rows} - failed

    async def _requested(self, sends: Sequence[tuple[str, SendRequest]]) -> set[str]:
        """Ask the outbox for all; where that fails, halved until the bad one stands alone. The runs that failed."""
        if not sends:
            return set()
        try:
            await self._outbox.request([request for _, request in sends])
        except UNAVAILABLE:
            raise
        except Exception:
            if len(sends) == 1:
                log.exception("a send could not be asked for", extra={"run": sends[0][0]})
                return {sends[0][0]}
            middle = len(sends) // 2
            return await self._requested(sends[:middle]) | await self._requested(sends[middle:])
        return set()

    async def _done(self, row: Document, todo: Mapping[str, Any], definition: Definition) -> bool:
        step = definition.by_id.get(todo["node"])
        try:
            if todo["do"] != "change":
                await self._errands.do(row, todo, definition)
            elif isinstance(step, UpdateStep):
                key = unique_key("update", row["_id"], todo["node"], todo["visit"])
                await self._change(row, step, key)
        except UNAVAILABLE:
            raise
        except NotFound:
            return True  # the person has been erased: there is nothing left to change
        except Exception:
            log.exception("a step's effect failed", extra={"run": row["_id"], "step": todo["node"]})
            return False
        return True

    async def _change(self, row: Document, step: UpdateStep, key: str) -> None:
        """Fields and consents, each under a key of this visit."""
        by = f"journey:{row['journey_id']}"
        patch = step.as_patch()
        if patch.model_fields_set:
            await self._editor.patch(row["profile_id"], patch, source="api", by=by, key=key, strict=False)
        for purpose, state in step.consent.items():
            for identity in await self._profiles.identities_of(row["profile_id"]):
                if identity.kind in NO_ADDRESS:
                    continue  # nothing is ever sent there
                act = ConsentAct(
                    identity.id, purpose, state == "granted", "journey", by=by, key=f"{key}:{identity.id}:{purpose}"
                )
                await self._consent.act(act)


def _request(row: Document, todo: Mapping[str, Any], definition: Definition) -> SendRequest:
    node, visit = todo["node"], todo["visit"]
    step = definition.by_id.get(node)
    content: Document = {"step": node, "journey": definition.name}
    if isinstance(step, SendStep):
        content |= {"template_id": step.template_id} if step.template_id else {}
        content |= {"purpose": step.group} if step.group else {}
        content |= {"if_quiet": step.if_quiet, "if_capped": step.if_capped}
        content |= {"if_unknown": step.if_unknown} if step.if_unknown else {}
        content |= {"utm": step.utm.model_dump(exclude_none=True)} if step.utm else {}
    return SendRequest(
        send_key=send_key(row["_id"], node, visit, todo["channel_id"]),
        send_class=definition.send_class,
        source=Source(KIND, row["journey_id"], row["_id"], node, visit),
        profile_id=row["profile_id"],
        identity_id=todo["identity_id"],
        channel_id=todo["channel_id"],
        content=content,
    )
