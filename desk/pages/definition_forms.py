"""What forms of definitions (fields, consent groups) share: what was sent, faults beside fields, the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import Prefix, is_id
from desk.auth import principal_of
from desk.i18n import N_

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], given: Mapping[str, Any], says: Mapping[str, str]) -> Model:
    """The input; `says`: field → what is said when it is wrong. Raises `WrongInput`."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        names = [str(each["loc"][0]) for each in error.errors()]
        faults = [FieldError(name, says.get(name, N_("Please check this."))) for name in names]
        raise WrongInput("Please look at the marked fields.", faults) from None


def faults_of(error: WrongInput | Conflict, taken: str) -> dict[str, str]:
    """Field → what is wrong with it. `taken`: what is said of a key that is there already."""
    if isinstance(error, Conflict):
        return {"key": taken}
    return {fault.path.partition(".")[0]: fault.message for fault in error.errors} or {"": str(error)}


def id_in(request: web.Request, name: str, kind: Prefix, missing: str) -> str:
    """The id in the address. Raises `NotFound` with the sentence `missing` for what is none."""
    found: str = request.match_info[name]
    if not is_id(found, kind):
        raise NotFound(missing)
    return found


def removed_id(request: web.Request, kind: Prefix) -> str:
    """What was just taken away, for who may put it back."""
    found = request.query.get("removed", "")
    return found if is_id(found, kind) and principal_of(request).may_everywhere("marketer") else ""
