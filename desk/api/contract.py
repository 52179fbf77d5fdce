"""How an operation of the API is declared, and what happens to every call of one.

A call is authenticated, its role checked, path, query and body read into pydantic models that forbid unknown fields,
carried out at most once per Idempotency-Key, and answered from a response model. The same declaration makes the OpenAPI
document, so the two cannot disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from base.errors import Conflict, FieldError, NotFound, TooLarge, WrongInput
from desk.accounts import Accounts
from desk.auth import Principal, principal_of, require
from desk.keys import ACCOUNTS, runtime_of
from desk.problems import problem_of, problem_response
from desk.store import Role

#: Largest JSON body taken, bytes. Webhooks have their own limits.
MAX_BODY_BYTES = 1_000_000
LIMIT_DEFAULT, LIMIT_MAX = 50, 200
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


def iso(value: datetime) -> str:
    """ISO 8601, UTC, milliseconds: the one form of a time in the API."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(iso, return_type=str)]


class Body(BaseModel):
    """Base of what comes in: unknown fields are refused, so a typing error never passes in silence."""

    model_config = ConfigDict(extra="forbid", str_max_length=100_000)


class Query(BaseModel):
    """Base of query strings."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    """Query of a list."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="Rows per page.")
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before.")


class View(BaseModel):
    """Base of what goes out."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class Money(BaseModel):
    """An amount in the smallest unit of its currency."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    amount_minor: int = Field(ge=-(2**53), le=2**53)
    currency: str = Field(pattern="^[A-Z]{3}$")


@dataclass(frozen=True)
class Call:
    """One call, read and allowed."""

    request: web.Request
    principal: Principal
    runtime: Any
    path: dict[str, str]
    query: Any = None
    body: Any = None

    @property
    def accounts(self) -> Accounts:
        """People, tokens and sessions."""
        return self.request.config_dict[ACCOUNTS]

    @property
    def idempotency_key(self) -> str | None:
        """The caller's key, where one was sent."""
        return self.request.headers.get("Idempotency-Key")

    def must_see(self, channel_id: str | None) -> None:
        """Raise `NotFound` when the channel is outside the caller's scope: what may not be seen is not there."""
        if not self.principal.may_see(channel_id):
            raise NotFound("There is no such thing.")


@dataclass(frozen=True)
class Reply:
    """An answer other than the operation's ordinary status, or one that is no JSON."""

    content: Any = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


Carry = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One method on one path of `/api/v1`."""

    method: Method
    path: str
    carry: Carry
    roles: tuple[Role, ...]
    tag: str
    summary: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    returns: Any = None
    status: int = 200
    description: str = ""
    #: Paths outside `/api/v1` (tracking) say so here.
    base: str = "/api/v1"

    @property
    def name(self) -> str:
        """Unique, stable name for generated clients."""
        return self.carry.__name__

    def route(self) -> web.RouteDef:
        """For the application."""
        guarded = require(*self.roles)(lambda request: _handle(self, request))
        return web.route(self.method, self.base + self.path, guarded)


class Operations:
    """Collects the operations of one resource."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Operation] = []

    def __call__(
        self, method: Method, path: str, *, roles: Sequence[Role], body: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None, returns: Any = None, status: int = 200, base: str = "/api/v1",
    ) -> Callable[[Carry], Carry]:  # fmt: skip
        """Declare an operation; its docstring's first line becomes the summary, the rest the description."""

        def note(carry: Carry) -> Carry:
            summary, _, rest = (carry.__doc__ or carry.__name__).strip().partition("\n")
            text = " ".join(rest.split())
            self.all.append(
                Operation(
                    method, path, carry, tuple(roles), self.tag, summary, body, query, returns, status, text, base
                )
            )
            return carry

        return note


async def _handle(operation: Operation, request: web.Request) -> web.StreamResponse:
    raw = await _raw(request) if operation.method in ("POST", "PUT", "PATCH") else b""
    key = request.headers.get("Idempotency-Key") if operation.method == "POST" else None
    if key is None:
        return await _carry_out(operation, request, raw)
    return await _once(operation, request, raw, key)


async def _carry_out(operation: Operation, request: web.Request, raw: bytes) -> web.StreamResponse:
    call = Call(
        request,
        principal_of(request),
        runtime_of(request),
        dict(request.match_info),
        read_query(operation.query, request) if operation.query else _no_query(request),
        read_body(operation.body, raw) if operation.body else None,
    )
    answer = await operation.carry(call)
    if isinstance(answer, web.StreamResponse):
        return answer
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    return _json(reply.content, reply.status or operation.status, reply.headers)


async def _once(operation: Operation, request: web.Request, raw: bytes, key: str) -> web.StreamResponse:
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise WrongInput("Idempotency-Key takes 1 to 255 printable characters.", code="idempotency_key")
    store, owner = request.config_dict[ACCOUNTS].store, principal_of(request).id
    fingerprint = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode() + raw).hexdigest()
    replay = await store.begin_once(owner, key, fingerprint)
    if replay.state == "other_body":
        raise WrongInput("This Idempotency-Key was used for another request.", code="idempotency_key_reused")
    if replay.state == "running":
        raise Conflict("The first request with this Idempotency-Key is still running.", code="still_running")
    if replay.state == "done":
        headers = {**(replay.headers or {}), "Idempotent-Replayed": "true"}
        return web.Response(status=replay.status, body=replay.body, headers=headers)
    return await _first(operation, request, raw, key, owner)


async def _first(operation: Operation, request: web.Request, raw: bytes, key: str, owner: str) -> web.StreamResponse:
    store = request.config_dict[ACCOUNTS].store
    try:
        response = await _carry_out(operation, request, raw)
    except Exception as error:
        problem = problem_of(error)
        if problem.status not in (409, 422):
            await store.drop_once(owner, key)
            raise
        response = problem_response(problem)
    if isinstance(response, web.Response):
        kept = {"Content-Type": response.headers.get("Content-Type", "application/json")}
        body = response.body if isinstance(response.body, bytes) else b""
        await store.finish_once(owner, key, response.status, kept, body)
    return response


async def _raw(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise TooLarge(f"The body may have {MAX_BODY_BYTES} bytes.")
    body = bytearray()
    async for chunk in request.content.iter_chunked(65536):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"The body may have {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def read_body(model: type[BaseModel], raw: bytes) -> Any:
    """A body as its model; strict, so `"1"` is no number and `false` no integer."""
    try:
        return model.model_validate_json(raw or b"{}", strict=True)
    except ValidationError as error:
        raise WrongInput("The body is not right.", faults(error)) from None


def read_query(model: type[BaseModel], request: web.Request) -> Any:
    """The query string as its model. A parameter may stand twice only where the model takes a list."""
    given: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        takes_list = name in model.model_fields and _is_list(model.model_fields[name].annotation)
        if len(values) > 1 and not takes_list:
            raise WrongInput("The query is not right.", [FieldError(name, "stands more than once")])
        given[name] = values if takes_list else values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise WrongInput("The query is not right.", faults(error)) from None


def _no_query(request: web.Request) -> None:
    if request.query:
        unknown = [FieldError(name, "is not a parameter of this operation") for name in request.query]
        raise WrongInput("The query is not right.", unknown)


def _is_list(annotation: Any) -> bool:
    return "list[" in str(annotation) or "tuple[" in str(annotation)


def faults(error: ValidationError) -> list[FieldError]:
    """pydantic's findings as paths like `steps[2].for` and sentences."""
    return [FieldError(dotted(each["loc"]), _sentence(each)) for each in error.errors(include_url=False)][:50]


def dotted(loc: Sequence[Any]) -> str:
    """`("steps", 2, "for")` → `steps[2].for`."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _sentence(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "is not a known field"
    if fault["type"] == "missing":
        return "is required"
    return str(fault["msg"]).removeprefix("Value error, ")


def _json(content: Any, status: int, headers: dict[str, str]) -> web.Response:
    if content is None:
        return web.Response(status=204 if status == 200 else status, headers=headers)
    body = orjson.dumps(plain(content))
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)


def plain(value: Any) -> Any:
    """Models and times as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value


def page(rows: Sequence[Any], next_cursor: str | None) -> dict[str, Any]:
    """The one shape of a list."""
    return {"data": list(rows), "next_cursor": next_cursor}
