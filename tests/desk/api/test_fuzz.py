"""schemathesis against the running server: whatever is sent, no fault of ours and no answer beside the document."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.desk.api.conftest import World, answer_of

SEED = 20261122
#: `RAPPORT_TEST_FUZZ=deep` covers each part of every schema on top, and takes minutes.
DEEP = os.environ.get("RAPPORT_TEST_FUZZ") == "deep"
PHASES, EXAMPLES = ("examples,coverage,fuzzing", 50) if DEEP else ("fuzzing", 15)
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
    "ignored_auth",
)  # fmt: skip
#: A body that breaks its schema may also be too large to be looked at.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "429"]
"""


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """Nothing is left as it was."""
    return own_world


@pytest.mark.slow
@pytest.mark.timeout(1800 if DEEP else 600)
async def test_nothing_breaks_it(world: World, tmp_path: Path) -> None:
    async with world.client() as client:
        document = await answer_of(await client.get("/api/openapi.json"))
    _use_what_is_there(document, world)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", world.url,
        "--header", f"Authorization: Bearer {world.tokens['admin']}", "--phases", PHASES,
        "--seed", str(SEED), "--max-examples", str(EXAMPLES), "--checks", ",".join(CHECKS), "--no-shrink",
        "--continue-on-failure", "--warnings", "off", "--request-timeout", "60", "--suppress-health-check", "all",
        "--exclude-operation-id", "stream", "--no-color",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, _short(output.decode())


def _use_what_is_there(document: Any, world: World) -> None:
    """Random ids would never get beyond 404: name things that exist."""
    for methods in document["paths"].values():
        for method, operation in methods.items():
            for parameter in operation["parameters"]:
                pattern = parameter["schema"].get("pattern", "")
                if parameter["in"] == "path" and method != "delete" and pattern[1:4] in world.ours.known():
                    parameter["schema"] = {"type": "string", "enum": [world.ours.id_for(pattern[1:4])]}


def _short(output: str) -> str:
    return "\n".join(line[:300] for line in output.splitlines())[-40_000:]
