"""How an operation of the API is declared, and what happens to every call of one.

A call is authenticated, its role checked, path, query and body read into pydantic models that forbid unknown fields,
carried out at most once per Idempotency-Key, and answered from a response model. The same declaration makes the OpenAPI
document, so the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args, get_origin

import orjson
from aiohttp import web
from pydantic import BaseModel

from base.errors import NotFound
from base.ids import PREFIXES
from desk.accounts import Accounts
from desk.api.once import HEADER, once
from desk.api.reading import read_body, read_bytes, read_query, refuse_body, refuse_query
from desk.api.shapes import plain
from desk.auth import STANDS_FOR, Principal, principal_of, refuse_covered, refuse_looking, require
from desk.forms import FIELDS
from desk.keys import ACCOUNTS, runtime_of
from desk.store import Role
from desk.team.masking import words_in

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
BASE = "/api/v1"
#: `{id:chn}`: an id with that prefix. `{key:name}`: a short plain name.
PARAMETER = re.compile(r"\{(\w+):(\w+)\}")
NAME_PATTERN = "[a-z0-9][a-z0-9_-]{0,59}"


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
        return self.request.headers.get(HEADER)

    def must_see(self, channel_id: str | None) -> None:
        """Raise `NotFound` when the channel is outside the caller's scope: what may not be seen is not there."""
        if not self.principal.may_see(channel_id):
            raise not_there()


def not_there() -> NotFound:
    """The one answer to what does not exist and to what the caller may not see."""
    return NotFound("There is no such thing.")


@dataclass(frozen=True)
class Reply:
    """An answer other than the operation's ordinary status."""

    content: Any = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


Carry = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """One method on one path. `returns`: the model of the answer, `list[model]` for a page, None for 204."""

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
    #: Further good answers of the same shape (201 where an upsert created).
    also: tuple[int, ...] = ()
    description: str = ""
    #: The answer shows a secret once; where it is kept for repeats it is sealed.
    shows_secret: bool = False
    #: The list is read in both directions: it answers with `previous_cursor` too.
    both_ways: bool = False
    #: What the answer is written in. Anything but JSON is made by the handler itself.
    media_type: str = "application/json"
    #: Served by a handler of its own (`desk.live`, `desk.api.health`): described here, not routed.
    elsewhere: bool = False
    base: str = BASE

    @property
    def name(self) -> str:
        """Unique, stable name for generated clients."""
        return self.carry.__name__

    @property
    def allowed(self) -> tuple[str, ...]:
        """All roles that may; empty for everybody."""
        return tuple(role for role, stands_for in STANDS_FOR.items() if stands_for & set(self.roles))

    @property
    def plain_path(self) -> str:
        """As the document writes it: `/api/v1/channels/{id}`."""
        return self.base + PARAMETER.sub(r"{\1}", self.path)

    @property
    def parameters(self) -> dict[str, str]:
        """Name of each path parameter → the pattern it has to fit."""
        return {name: _pattern(kind) for name, kind in PARAMETER.findall(self.path)}

    def route(self) -> web.RouteDef:
        """For the application. An id that has not the right form fits no route: 404."""
        path = self.base + PARAMETER.sub(lambda found: f"{{{found[1]}:{_pattern(found[2])}}}", self.path)
        handler = require(*self.roles)(partial(_handle, self))
        handler.operation = self.name  # type: ignore[attr-defined]
        return web.route(self.method, path, handler)


class Operations:
    """Collects the operations of one resource."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Operation] = []

    def __call__(
        self, method: Method, path: str, *, roles: Sequence[Role], body: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None, returns: Any = None, status: int = 200, **more: Any,
    ) -> Callable[[Carry], Carry]:  # fmt: skip
        """Declare an operation; its docstring's first line becomes the summary, the rest the description.

        `roles`: who may, empty for everybody (only with `elsewhere`); `more`: further fields of `Operation`.
        """

        def note(carry: Carry) -> Carry:
            summary, _, rest = (carry.__doc__ or carry.__name__).strip().partition("\n")
            self.all.append(
                Operation(
                    method, path, carry, tuple(roles), self.tag, summary, body, query, returns, status,
                    description=" ".join(rest.split()), **more,
                )
            )  # fmt: skip
            return carry

        return note


def _pattern(kind: str) -> str:
    return f"{kind}_[0-9a-z]{{26}}" if kind in PREFIXES else NAME_PATTERN


async def _handle(operation: Operation, request: web.Request) -> web.StreamResponse:
    raw = await read_bytes(request) if operation.method in ("POST", "PUT", "PATCH") else b""
    key = request.headers.get(HEADER) if operation.method == "POST" else None
    carry = partial(_carry_out, operation, request, raw)
    if key is None:
        return await carry()
    return await once(request, raw, key, carry, runtime_of(request).box if operation.shows_secret else None)


async def _carry_out(operation: Operation, request: web.Request, raw: bytes) -> web.StreamResponse:
    if operation.query is None:
        refuse_query(request)
    if operation.body is None:
        refuse_body(raw)
    call = Call(
        request,
        principal_of(request),
        runtime_of(request),
        dict(request.match_info),
        read_query(operation.query, request) if operation.query else None,
        read_body(operation.body, raw) if operation.body else None,
    )
    if operation.body:
        if call.principal.masks:
            told = call.body.model_dump()
            refuse_covered([str(told)])
            refuse_looking(words_in(told), call.principal.masks)
        request[FIELDS] = tuple(call.body.model_fields_set)
    answer = await operation.carry(call)
    if isinstance(answer, web.StreamResponse):
        return answer
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    _require_declared(operation, reply.content)
    return json_response(reply.content, reply.status or operation.status, reply.headers)


def _require_declared(operation: Operation, content: Any) -> None:
    """A handler that answers with anything but its model would show what nobody meant to show."""
    is_list = get_origin(operation.returns) is list
    model = get_args(operation.returns)[0] if is_list else operation.returns
    rows = content["data"] if is_list else [] if operation.returns is None else [content]
    if any(type(row) is not model for row in rows) or (operation.returns is None and content is not None):
        raise TypeError(f"{operation.name} answers with something else than {model}")


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """`content` as JSON; None is an empty answer."""
    if content is None:
        return web.Response(status=204 if status == 200 else status, headers=headers)
    body = orjson.dumps(plain(content))
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)
