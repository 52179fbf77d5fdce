"""The OpenAPI 3.1 document, made from the declared operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from base.pages import LIMIT_MAX
from desk.api.contract import Operation
from desk.api.examples import EXAMPLES
from desk.api.once import HEADER, KEY_MAX

REF = "#/components/schemas/{model}"
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                "required": ["path", "message"],
            },
        },
        "uses": {
            "type": "array",
            "description": "With `in_use`: what has to let go of it first.",
            "items": {
                "type": "object",
                "properties": {"kind": {"type": "string"}, "id": {"type": "string"}, "name": {"type": "string"}},
                "required": ["kind", "id", "name"],
            },
        },
        "request_id": {"type": "string"},
    },
}
ANSWERS = {
    400: "The request cannot be read.",
    401: "Who are you?",
    403: "Your role does not allow this.",
    404: "Not there, or not yours to see.",
    405: "This address does not take that method.",
    408: "The body came too slowly.",
    409: "In conflict with what is there now.",
    413: "Too large.",
    422: "The input is not right; `errors` says where.",
    429: "Too often; see Retry-After.",
    503: "A store is away; see Retry-After.",
}
ABOUT = (
    "Ids are opaque, times ISO 8601 UTC with milliseconds, money in minor units, durations ISO 8601. "
    f"Lists take `limit` (at most {LIMIT_MAX}) and `cursor`; they are stable under inserts. Every POST takes an "
    f"`{HEADER}`: the same request under the same key is carried out once and answered alike for 48 hours. "
    "What you may not see is answered with 404."
)


def document(operations: Sequence[Operation], *, base_url: str = "/", version: str = "1") -> dict[str, Any]:
    """The whole document. Paths are relative to the server's root."""
    models, schemas = _schemas(operations)
    paths: dict[str, Any] = {}
    for operation in operations:
        item = paths.setdefault(operation.plain_path, {})
        item[operation.method.lower()] = _operation(operation, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rapport", "version": version, "description": ABOUT},
        "servers": [{"url": base_url}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Problem": PROBLEM},
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    incoming = [(operation.body, "validation") for operation in operations if operation.body is not None]
    outgoing = [(m, "serialization") for operation in operations for m in _models_of(operation.returns)]
    wanted = list(dict.fromkeys([*incoming, *outgoing]))
    refs, definitions = models_json_schema(wanted, ref_template=REF)  # type: ignore[arg-type]
    return dict(refs), definitions.get("$defs", {})


def _models_of(returns: Any) -> list[type[BaseModel]]:
    if isinstance(returns, type) and issubclass(returns, BaseModel):
        return [returns]
    return [model for argument in get_args(returns) for model in _models_of(argument)]


def _operation(operation: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _description(operation),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_headers(operation)],
        "responses": _responses(operation, refs),
    }
    if not operation.roles:
        described["security"] = []
    if operation.body is not None:
        schema = refs[(operation.body, "validation")]
        required = any(each.is_required() for each in operation.body.model_fields.values())
        content = {"schema": schema}
        if operation.name in EXAMPLES:
            content["example"] = EXAMPLES[operation.name]
        described["requestBody"] = {"required": required, "content": {"application/json": content}}
    return described


def _description(operation: Operation) -> str:
    if not operation.roles:
        return operation.description
    return f"{operation.description}\n\nFor: {', '.join(operation.allowed)}.".strip()


def _responses(operation: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    is_json = operation.media_type == "application/json"
    status = 204 if is_json and operation.returns is None and operation.status == 200 else operation.status
    good: dict[str, Any] = {"description": "Done."}
    if not is_json:
        good["content"] = {operation.media_type: {"schema": {"type": "string"}}}
    elif operation.returns is not None:
        schema = _schema_of(operation.returns, refs)
        if operation.both_ways:
            schema["properties"]["previous_cursor"] = {"type": ["string", "null"]}
            schema["required"].append("previous_cursor")
        good["content"] = {"application/json": {"schema": schema}}
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    bad: dict[str, Any] = {str(code): {"description": text, "content": dict(problem)} for code, text in ANSWERS.items()}
    # What is no HTTP (a request line of 9 kB) never reaches the application; the server says so in plain text.
    bad["400"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return {**{str(each): good for each in (status, *operation.also)}, **bad}


def _schema_of(returns: Any, refs: dict[Any, Any]) -> dict[str, Any]:
    if get_origin(returns) is list:
        (item,) = get_args(returns)
        rows = {"type": "array", "items": _schema_of(item, refs)}
        cursor = {"type": ["string", "null"]}
        return {
            "type": "object",
            "properties": {"data": rows, "next_cursor": cursor},
            "required": ["data", "next_cursor"],
        }
    if (returns, "serialization") in refs:
        schema: dict[str, Any] = refs[(returns, "serialization")]
        return schema
    return {"type": "object"}


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{pattern}$"}}
        for name, pattern in operation.parameters.items()
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=REF)
    required = set(schema.get("required", ()))
    return [_query_parameter(name, each, name in required) for name, each in schema.get("properties", {}).items()]


def _query_parameter(name: str, schema: dict[str, Any], required: bool) -> dict[str, Any]:
    """A query string has no null: what may be missing is simply not required."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "anyOf", "default", "description")}
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    kept |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    described = {"description": schema["description"]} if "description" in schema else {}
    return {"name": name, "in": "query", "required": required, **described, "schema": kept}


def _headers(operation: Operation) -> list[dict[str, Any]]:
    if operation.media_type == "text/event-stream":
        last = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        return [{"name": "Last-Event-ID", "in": "header", "required": False, "schema": last}]
    if operation.method != "POST":
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[ -~]*$"}
    return [{"name": HEADER, "in": "header", "required": False, "schema": schema}]
