"""Named events of people from outside: one, or a batch of which all or none are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, RootModel
from pydantic import Tag as Member

from base.errors import MEMBER
from desk.api.contract import Call, Operations
from desk.api.scope import check_named, must_see_person
from desk.api.shapes import Body, View, page
from profiles.track import TrackedInput

operations = Operations("events")
BATCH_MAX = 500
_ONE, _MANY = f"{MEMBER}one", f"{MEMBER}batch"


class EventBatch(Body):
    """Several at once."""

    batch: list[TrackedInput] = Field(min_length=1, max_length=BATCH_MAX)


def _which(value: Any) -> str:
    return _MANY if isinstance(value, dict) and "batch" in value else _ONE


class EventsIn(
    RootModel[Annotated[Annotated[TrackedInput, Member(_ONE)] | Annotated[EventBatch, Member(_MANY)],
                        Discriminator(_which)]]
):  # fmt: skip
    """One event, or `{"batch": […]}`."""

    @property
    def inputs(self) -> list[TrackedInput]:
        """All of them."""
        return self.root.batch if isinstance(self.root, EventBatch) else [self.root]

    @property
    def path(self) -> str:
        """Where they stand in the body; empty when there is but one, which is the body."""
        return "batch" if isinstance(self.root, EventBatch) else ""


class EventTaken(View):
    """Whose it is. `message_id` as given, or made here."""

    profile_id: str
    message_id: str


@operations("POST", "/events", roles=["agent", "marketer"], body=EventsIn, returns=list[EventTaken], status=202)
async def track_events(call: Call) -> Any:
    """Keep events of people; journeys begin and go on by them.

    The person is named by `profile_id` or `identity` (unknown identities become new customers). The same `message_id`
    again is a no-op. Names that only the application raises (`message.…`, `profile.…`) are refused.
    """
    body: EventsIn = call.body
    places = [f"{body.path}[{i}].identity" if body.path else "identity" for i in range(len(body.inputs))]
    named = [(place, each.identity) for place, each in zip(places, body.inputs, strict=True) if each.identity]
    await check_named(call, named)
    for profile_id in dict.fromkeys(each.profile_id for each in body.inputs if each.profile_id):
        await must_see_person(call, profile_id)
    taken = await call.runtime.tracker.record(body.inputs, source="api", path=body.path)
    call.runtime.doorbell.soon("react")
    return page([EventTaken.model_validate(each) for each in taken], None)
