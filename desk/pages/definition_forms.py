"""What forms of definitions (fields, consent groups) share: what was sent, faults beside fields, the way back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import Prefix, is_id
from base.mongo import Document
from desk.auth import principal_of
from desk.i18n import N_
from desk.store import Role
from profiles.naming import free_key

#: Keys that are tried for a name before somebody has to write one.
KEYS_TRIED = 100
Model = TypeVar("Model", bound=BaseModel)
Input = TypeVar("Input")


class Saved(Protocol):
    """What was saved."""

    @property
    def id(self) -> str: ...


def checked(model: type[Model], given: Mapping[str, Any], says: Mapping[str, str]) -> Model:
    """The input; `says`: field → what is said when it is wrong. Raises `WrongInput`."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        names = [str(each["loc"][0]) if each["loc"] else "" for each in error.errors()]
        faults = [FieldError(name, says.get(name, N_("Please check this."))) for name in names]
        raise WrongInput("Please look at the marked fields.", faults) from None


def faults_of(error: WrongInput | Conflict, taken: str) -> dict[str, str]:
    """Field → what is wrong with it. `taken`: what is said of a key that is there already."""
    if isinstance(error, Conflict):
        return {"key": taken}
    return {fault.path.partition(".")[0]: fault.message for fault in error.errors} or {"": str(error)}


async def made_with_key(
    given: str, name: str, otherwise: str, make: Callable[[str], Awaitable[Document]]
) -> Document:  # fmt: skip
    """Make something under the key that was written; without one, under the first that is free. Raises `Conflict`."""
    taken: list[str] = []
    while True:
        key = given or free_key(name, taken, taken, otherwise=otherwise)
        try:
            return await make(key)
        except Conflict as error:
            if given or error.code != "key_taken" or len(taken) >= KEYS_TRIED:
                raise
            taken.append(key)


def id_in(request: web.Request, name: str, kind: Prefix, missing: str) -> str:
    """The id in the address. Raises `NotFound` with the sentence `missing` for what is none."""
    found: str = request.match_info[name]
    if not is_id(found, kind):
        raise NotFound(missing)
    return found


def removed_id(request: web.Request, kind: Prefix, role: Role = "marketer") -> str:
    """What was just taken away, for who may put it back."""
    found = request.query.get("removed", "")
    return found if is_id(found, kind) and principal_of(request).may_everywhere(role) else ""


async def saved_or_said(
    wanted: Input | None, faults: Mapping[str, str], save: Callable[[Input], Awaitable[Saved]],
    says: Callable[[Conflict | WrongInput], dict[str, str]], here: str,
) -> dict[str, str]:  # fmt: skip
    """Save what a form has given and lead to it; else field → what is wrong, by the form or by the house (`says`).
    `wanted` None: the form has `faults`."""
    if wanted is None:
        return dict(faults)
    try:
        made = await save(wanted)
    except (Conflict, WrongInput) as error:
        return says(error)
    raise web.HTTPSeeOther(f"{here}/{made.id}?saved=1")


def put_back_of(request: web.Request) -> tuple[str, str] | None:
    """(the revision whose words were just put back, the one that stood before): for undo."""
    found = request.query.get("back", ""), request.query.get("before", "")
    return found if all(each.isascii() and each.isdigit() and len(each) < 10 for each in found) else None
