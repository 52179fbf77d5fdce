"""Reads bodies and query strings into models that forbid what they do not know, and says with paths what is wrong."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from base.errors import MEMBER, FieldError, TooLarge, WrongInput
from desk.api.shapes import FIRST_YEAR, LAST_YEAR

#: Largest JSON body taken, bytes, unpacked. Webhooks have their own limits.
MAX_BODY_BYTES = 1_000_000
#: A sender slower than this is let go, seconds.
BODY_TIMEOUT_S = 15.0
FAULTS_SHOWN = 50
DEPTH_MAX, LARGEST_INT = 40, 2**63 - 1
#: What a browser can post from any page without asking: never taken for JSON.
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


async def read_bytes(request: web.Request) -> bytes:
    """The raw body, size and time bounded. Raises `TooLarge`, `WrongInput`, or 408 for a sender that is too slow."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_chunked(65536):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (HttpProcessingError, web.RequestPayloadError):
        raise WrongInput("The body cannot be unpacked.") from None
    if body and request.content_type in FORM_TYPES:
        raise WrongInput("Send JSON: Content-Type: application/json.", code="not_json")
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"The body may have {MAX_BODY_BYTES} bytes.")


def read_body(model: type[BaseModel], raw: bytes) -> Any:
    """A body as its model; strict, so `"1"` is no number and `false` no integer."""
    try:
        found = model.model_validate_json(raw or b"{}", strict=True)
    except ValidationError as error:
        raise WrongInput("The body is not right.", faults(error)) from None
    except OverflowError:  # a time at the edge of the calendar, moved into UTC
        raise WrongInput("A time lies too far away.") from None
    refuse_unstorable(found)
    return found


def refuse_unstorable(found: BaseModel) -> None:
    """Free-form parts may hold what no document can: numbers beyond 64 bits, no numbers, deep nesting, NUL in keys."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((name,), value) for name, value in found]
    while waiting:
        path, value = waiting.pop()
        fault = _unstorable(value, len(path))
        if fault:
            raise WrongInput("The input is not right.", [FieldError(dotted(path), fault)])
        if isinstance(value, BaseModel):
            waiting += [((*path, name), each) for name, each in value]
        elif isinstance(value, dict):
            waiting += [((*path, str(name)), each) for name, each in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*path, place), each) for place, each in enumerate(value)]


def _unstorable(value: Any, depth: int) -> str | None:
    if depth > DEPTH_MAX:
        return "is nested too deeply"
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and not -LARGEST_INT <= value <= LARGEST_INT:
        return "is beyond 64 bits"
    if isinstance(value, datetime) and not FIRST_YEAR < value.year < LAST_YEAR:
        return f"lies outside the years {FIRST_YEAR + 1} to {LAST_YEAR - 1}"
    if isinstance(value, float) and not math.isfinite(value):
        return "is no finite number"
    if isinstance(value, dict) and any("\x00" in str(name) for name in value):
        return "has a key with a NUL character"
    return None


def refuse_body(raw: bytes) -> None:
    """For operations that take none."""
    if raw.strip() not in (b"", b"{}"):
        raise WrongInput("This operation takes no body.", [FieldError("", "is not expected here")])


def read_query(model: type[BaseModel], request: web.Request) -> Any:
    """The query string as its model. No parameter may stand twice."""
    doubled = [name for name in request.query if len(request.query.getall(name)) > 1]
    if doubled:
        raise WrongInput("The query is not right.", [FieldError(name, "stands more than once") for name in doubled])
    try:
        found = model.model_validate(dict(request.query))
    except ValidationError as error:
        raise WrongInput("The query is not right.", faults(error)) from None
    except OverflowError:
        raise WrongInput("A time lies too far away.") from None
    refuse_unstorable(found)
    return found


def refuse_query(request: web.Request) -> None:
    """For operations without parameters."""
    if request.query:
        unknown = [FieldError(name, "is not a parameter of this operation") for name in request.query]
        raise WrongInput("The query is not right.", unknown[:FAULTS_SHOWN])


def faults(error: ValidationError) -> list[FieldError]:
    """pydantic's findings as paths like `steps[2].for` and sentences. Never the value itself: it may be a secret."""
    found: list[FieldError] = []
    for each in error.errors(include_url=False, include_input=False)[:FAULTS_SHOWN]:
        path, inside = dotted(each["loc"]), getattr((each.get("ctx") or {}).get("error"), "faults", None)
        found += [
            FieldError(f"{path}.{fault.path}".strip("."), fault.message)
            for fault in inside or [FieldError("", _sentence(each))]
        ]
    return found[:FAULTS_SHOWN]


def dotted(loc: Sequence[Any]) -> str:
    """`("steps", 2, "for")` → `steps[2].for`."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not str(part).startswith(MEMBER):
            path += f".{part}" if path else str(part)
    return path[:300]


def _sentence(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "is not a known field"
    if fault["type"] == "missing":
        return "is required"
    return str(fault["msg"]).removeprefix("Value error, ")[:500]
