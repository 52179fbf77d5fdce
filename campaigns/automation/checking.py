"""Whether what actions name is there: said when they are written, with the path of the fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from base.errors import FieldError, NotFound, WrongInput
from campaigns.assigning import Assigning
from campaigns.automation.models import AnyAction, AssignAction, FollowAction, NotifyAction, TaskAction
from campaigns.canned import CannedWords
from campaigns.live import LiveJourneys
from channels.store import ChannelStore
from inbox.canned import CannedReplies
from inbox.store import TeamStore
from profiles.terms import Terms


class Checking:
    """Looks whether it is there."""

    def __init__(
        self, assigning: Assigning, teams: TeamStore, canned: CannedReplies, words: CannedWords, live: LiveJourneys,
        terms: Terms, channels: ChannelStore,
    ) -> None:  # fmt: skip
        self._assigning = assigning
        self._teams = teams
        self._canned = canned
        self._words = words
        self._live = live
        self._terms = terms
        self._channels = channels

    async def actions(self, actions: Sequence[AnyAction], user_id: str) -> None:
        """Raise `WrongInput` with paths for what is not there. `user_id`: whose canned replies may be named."""
        faults = [
            FieldError(f"actions[{place}].{name}", said)
            for place, action in enumerate(actions)
            for name, said in await self._faults(action, user_id)
        ]
        if faults:
            raise WrongInput("Some of the actions name what is not there.", faults)

    async def channels(self, channel_ids: Iterable[str]) -> None:
        """Raise `WrongInput` for channels that are not there."""
        for each in channel_ids:
            if await self._channels.get(each) is None:
                raise WrongInput("There is no such channel.", [FieldError("channel_ids", f"{each} is no channel here")])

    async def _faults(self, action: AnyAction, user_id: str) -> list[tuple[str, str]]:
        people = await self._assigning.active()
        found = [
            (name, "names a colleague who is not there")
            for name, ids in _colleagues(action)
            if any(each not in people for each in ids)
        ]
        if action.type == "team" and action.team_id and action.team_id not in await self._team_ids([action.team_id]):
            found.append(("team_id", "names a team that is not there"))
        if action.type == "stage" and (await self._terms.now()).stage(action.stage) is None:
            stages = ", ".join(each.key for each in (await self._terms.now()).stages)
            found.append(("stage", f"is no stage; there are {stages}"))
        if action.type == "journey" and action.journey_id not in (await self._live.now()).heads:
            found.append(("journey_id", "names a journey that takes nobody in"))
        if action.type == "reply":
            found += await self._words_faults(action.text, action.canned_id, user_id)
        if action.type == "note":
            found += await self._words_faults(action.text, None, user_id)
        return found

    async def _team_ids(self, ids: Sequence[str]) -> set[str]:
        return set(await self._teams.names(ids))

    async def _words_faults(self, text: str | None, canned_id: str | None, user_id: str) -> list[tuple[str, str]]:
        try:
            if canned_id is not None:
                await self._canned.get(canned_id, user_id)
            if text is not None:
                await self._words.check(text)
        except NotFound:
            return [("canned_id", "names a canned reply that is not there")]
        except WrongInput as error:
            return [("text", fault.message) for fault in error.errors] or [("text", str(error))]
        return []


def _colleagues(action: AnyAction) -> list[tuple[str, tuple[str, ...]]]:
    """Where colleagues are named by their ids. Pure."""
    pairs: list[tuple[str, tuple[str, ...]]] = []
    if isinstance(action, AssignAction | NotifyAction):
        pairs = [("to", (action.to,))]
    elif isinstance(action, TaskAction):
        pairs = [("assignee", (action.assignee or "",))]
    elif isinstance(action, FollowAction):
        pairs = [("add", action.add)]
    return [(name, tuple(each for each in ids if each.startswith("usr_"))) for name, ids in pairs]
