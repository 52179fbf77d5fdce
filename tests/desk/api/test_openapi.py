"""The document says what the application does: valid, complete, nothing beside it."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest

from desk.api.contract import Operation
from desk.api.examples import EXAMPLES
from desk.api.openapi import document
from desk.api.reading import read_body
from desk.api.routes import OPERATIONS
from tests.desk.api.conftest import World, answer_of

DOCUMENT = document(OPERATIONS)
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from refs(each)
    elif isinstance(value, list):
        for each in value:
            yield from refs(each)


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for path, method, operation in operations():
        assert path.startswith("/") and method in METHODS
        assert operation["responses"] and all(re.fullmatch(r"[2-5]\d\d", each) for each in operation["responses"])
        named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path
        assert all(each["required"] for each in operation["parameters"] if each["in"] == "path")
        assert len({(each["in"], each["name"]) for each in operation["parameters"]}) == len(operation["parameters"])


def test_names_are_unique_and_references_lead_somewhere() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names)) == len(OPERATIONS)
    known = DOCUMENT["components"]["schemas"]
    assert {each.removeprefix("#/components/schemas/") for each in refs(DOCUMENT)} <= known.keys()


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_json_schema_2020_12(name: str) -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **DOCUMENT["components"]["schemas"][name]}
    jsonschema_rs.meta.validate(schema)


def test_every_body_forbids_what_it_does_not_know() -> None:
    for path, method, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for schema in _objects(content["schema"]):
                assert schema.get("additionalProperties") is False, (method, path, schema)


def _objects(schema: Any) -> Iterator[Any]:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _objects(each)
    if "properties" in schema:
        yield schema


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.body is not None], ids=lambda each: each.name
)
def test_every_body_has_an_example_that_is_right(operation: Operation) -> None:
    read_body(operation.body, orjson.dumps(EXAMPLES[operation.name]))


def test_every_post_takes_a_key_and_says_who_may() -> None:
    for path, method, operation in operations():
        if path.startswith("/api/v1"):
            assert operation["summary"].endswith(".") and "For: admin" in operation["description"], path
            headers = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
            assert ("Idempotency-Key" in headers) == (method == "post"), path
            assert {"401", "403", "422"} <= operation["responses"].keys()


async def test_it_is_served_and_every_route_is_in_it(world: World) -> None:
    async with world.client(None) as client:
        answer = await client.get("/api/openapi.json")
        served = await answer_of(answer)
        unchanged = await client.get("/api/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert unchanged.status == 304
    assert served["paths"].keys() == DOCUMENT["paths"].keys()
    described = {(method.upper(), path) for path, item in served["paths"].items() for method in item}
    routed = {
        (route.method, route.resource.canonical)
        for route in world.application.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/v1") and route.method != "HEAD"
    }
    assert {(method, path) for method, path in described if path.startswith("/api/v1")} == routed


async def test_the_page_shows_every_operation_under_the_strict_policy(world: World) -> None:
    async with world.client(None) as client:
        answer = await client.get("/api/docs")
        page = await answer.text()
    assert answer.status == 200 and "unsafe" not in answer.headers["Content-Security-Policy"]
    for operation in OPERATIONS:
        assert f'id="{operation.name}"' in page and operation.plain_path in page
    assert "<script>" not in page and "onclick" not in page
