"""The OpenAPI 3.1 document, made from the declared operations."""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from desk.api.contract import LIMIT_MAX, Operation

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
        "request_id": {"type": "string"},
    },
}
ANSWERS = {
    400: "The request cannot be read.",
    401: "Who are you?",
    403: "Your role does not allow this.",
    404: "Not there, or not yours to see.",
    409: "In conflict with what is there now.",
    413: "Too large.",
    422: "The input is not right; `errors` says where.",
    429: "Too often; see Retry-After.",
    503: "A store is away; see Retry-After.",
}


def document(operations: Sequence[Operation], *, base_url: str = "/", version: str = "1") -> dict[str, Any]:
    """The whole document. Paths are relative to the server's root."""
    models, schemas = _schemas(operations)
    paths: dict[str, Any] = {}
    for operation in operations:
        item = paths.setdefault(operation.base + operation.path, {})
        item[operation.method.lower()] = _operation(operation, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rapport", "version": version, "description": _ABOUT},
        "servers": [{"url": base_url}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Problem": PROBLEM},
        },
    }


_ABOUT = (
    "Ids are opaque, times ISO 8601 UTC with milliseconds, money in minor units, durations ISO 8601. "
    f"Lists take `limit` (at most {LIMIT_MAX}) and `cursor`. Every POST takes an `Idempotency-Key`."
)


def _schemas(operations: Sequence[Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    incoming = [(m, "validation") for op in operations for m in (op.body, op.query) if m is not None]
    outgoing = [(m, "serialization") for op in operations for m in _models_of(op.returns)]
    wanted = list(dict.fromkeys([*incoming, *outgoing]))
    refs, definitions = models_json_schema(wanted, ref_template=REF)  # type: ignore[arg-type]
    return dict(refs), definitions.get("$defs", {})


def _models_of(returns: Any) -> list[type[BaseModel]]:
    if isinstance(returns, type) and not isinstance(returns, GenericAlias) and issubclass(returns, BaseModel):
        return [returns]
    return [model for argument in get_args(returns) for model in _models_of(argument)]


def _operation(operation: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description}\n\nRoles: {', '.join(operation.roles)}.".strip(),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_headers(operation)],
        "responses": _responses(operation, refs),
    }
    if operation.body is not None:
        schema = refs[(operation.body, "validation")]
        required = any(each.is_required() for each in operation.body.model_fields.values())
        described["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return described


def _responses(operation: Operation, refs: dict[Any, Any]) -> dict[str, Any]:
    status = 204 if operation.returns is None and operation.status == 200 else operation.status
    good: dict[str, Any] = {"description": "Done."}
    if operation.returns is not None:
        good["content"] = {"application/json": {"schema": _schema_of(operation.returns, refs)}}
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    bad = {str(code): {"description": text, "content": problem} for code, text in ANSWERS.items()}
    return {str(status): good, **bad}


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
    names = [part[1:-1].split(":")[0] for part in operation.path.split("/") if part.startswith("{")]
    return [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=REF)
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema.get("properties", {}).items()
    ]


def _headers(operation: Operation) -> list[dict[str, Any]]:
    if operation.method != "POST":
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}]
