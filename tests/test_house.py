"""Rules of the house that import-linter cannot see."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("base", "channels", "profiles", "inbox", "orders", "campaigns", "webhooks", "worker", "desk", "rapport")
#: Plumbing and the journal, which is the store of its package.
MAY_TOUCH_COLLECTIONS = {"base/mongo.py", "base/feed.py", "webhooks/journal.py"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "service", "misc"}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_collections_are_touched_by_stores_only() -> None:
    breaches = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        if name in MAY_TOUCH_COLLECTIONS or path.name == "store.py" or "store" in path.parent.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "collection":
                breaches.append(f"{name}:{node.lineno}")
    assert not breaches, "Move these into a store: " + ", ".join(breaches)


def test_every_file_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def test_no_drawer_for_odds_and_ends() -> None:
    assert not [str(path) for path in modules() if path.stem in FORBIDDEN_NAMES]


def test_only_settings_read_the_environment() -> None:
    allowed = {"base/settings.py", "base/mongo.py", "rapport/up.py", "rapport/embedded.py"}
    breaches = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            if reads and name not in allowed:
                breaches.append(f"{name}:{node.lineno}")
    assert not breaches


def test_no_bare_except() -> None:
    breaches = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                breaches.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not breaches


def test_nothing_of_the_given_fixtures_is_committed(fixtures_dir: Path) -> None:
    given = {path.read_bytes() for path in fixtures_dir.rglob("*") if path.is_file() and path.stat().st_size > 20}
    copies = [name for name in tracked() if (ROOT / name).is_file() and (ROOT / name).read_bytes() in given]
    assert not copies


@pytest.mark.parametrize("leak", ["/" + "work/", "/" + "root/"])
def test_no_path_of_a_machine_is_committed(leak: str) -> None:
    found = subprocess.run(
        ["git", "grep", "-n", "-I", "-F", leak], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not found.stdout, found.stdout


def test_every_tool_knows_every_package() -> None:
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tool = read["tool"]
    known = {
        "wheel": tool["hatch"]["build"]["targets"]["wheel"]["only-include"],
        "mypy": tool["mypy"]["packages"],
        "import-linter": tool["importlinter"]["root_packages"],
    }
    present = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench", "tests"}
    assert {name: set(packages) for name, packages in known.items()} == dict.fromkeys(known, present)
    assert present == set(PACKAGES)


def test_every_known_failure_has_the_test_that_is_named_after_it() -> None:
    named = re.compile(r"\btest_(?:mautic|listmonk|parcelvoy|dittofeed|novu|klaviyo|laudspeaker)_\w+")
    listed = set(named.findall((ROOT / "docs" / "known-failures.md").read_text()))
    present = {name for path in (ROOT / "tests").rglob("test_*.py")
               for name in re.findall(r"def (\w+)\(", path.read_text()) if named.fullmatch(name)}  # fmt: skip
    assert listed == present, listed ^ present
