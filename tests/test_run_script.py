"""The script `run` and the lock files: readable for an old Python, helpful, complete, free of places."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "run"
LOCKS = {"requirements.lock": ["build", "embedded"], "requirements-test.lock": ["build", "embedded", "test"]}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, which must never install anything while a test runs."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("run_script", str(RUN))
    spec = importlib.util.spec_from_loader("run_script", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)

    def refuse(*args: object, **_: object) -> NoReturn:
        pytest.fail(f"a test wanted to run {args}")

    for name in ("pip", "apt_get", "make_venv", "become"):
        monkeypatch.setattr(module, name, refuse)
    return module


def pins(lock: str) -> dict[str, Requirement]:
    found = re.findall(r"^([a-z0-9].*?) \\$", (ROOT / lock).read_text(), re.MULTILINE)
    return {requirement.name: requirement for requirement in map(Requirement, found)}


def test_an_old_python_can_read_the_script() -> None:
    ast.parse(RUN.read_text(), feature_version=(3, 7))


def test_without_a_verb_it_says_what_it_can_do() -> None:
    plain = subprocess.run([sys.executable, RUN], capture_output=True, text=True, check=True)
    assert "./run VERB" in plain.stdout and "up [--demo]" in plain.stdout
    wrong = subprocess.run([sys.executable, RUN, "jump"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2


def test_a_python_that_is_too_old_is_told_so(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "OLDEST", (9, 9))
    monkeypatch.setattr(run.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit) as ending:
        run.main()
    assert ending.value.code == 1
    assert "Rapport needs Python 9.9 or newer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "apt-get install libcurl4\n"),
        ({"ID": "debian", "VERSION_ID": "13"}, "apt-get install libcurl4t64\n"),
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "apt-get install libcurl4\n"),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "apt-get install libcurl4t64\n"),
    ],
)
def test_a_missing_libcurl_is_answered_with_the_line_that_installs_it(
    run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    release: dict[str, str],
    line: str,
) -> None:
    monkeypatch.setattr(run, "lacks_libcurl", lambda: True)
    monkeypatch.setattr(run, "os_release", lambda: release)
    monkeypatch.setattr(run, "has_database", lambda: False)
    with pytest.raises(SystemExit) as ending:
        run.up([])
    assert ending.value.code == 1
    assert line in capsys.readouterr().err


def test_an_environment_that_fits_is_left_alone(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ("requirements.lock", "pyproject.toml")
    stamp = {name: run.digest(ROOT / name) for name in names} | {"python": "3"}
    (tmp_path / "stamp").write_text(json.dumps(stamp))
    monkeypatch.setattr(run, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(run, "python_of_venv", lambda: "3")
    run.require_venv("requirements.lock")


def test_an_environment_of_another_python_is_made_anew(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    (tmp_path / "stamp").write_text(json.dumps({"requirements.lock": "old", "python": "3"}))
    monkeypatch.setattr(run, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(run, "python_of_venv", lambda: "4")
    monkeypatch.setattr(run, "make_venv", lambda: done.append("venv"))
    monkeypatch.setattr(run, "pip", lambda *args: done.append(" ".join(args)))
    run.require_venv("requirements.lock")
    assert done == ["venv", "--require-hashes -r requirements.lock", "--no-deps --no-build-isolation -e ."]


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_a_lock_holds_what_pyproject_asks_for(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    locked = pins(lock)
    for requirement in map(Requirement, asked):
        version = str(locked[requirement.name].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{requirement} but {version}: run `./run lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_lock_names_a_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = [line for line in text.splitlines() if not line.startswith((" ", "#"))]
    assert len(entries) == len(pins(lock)) and all("==" in entry for entry in entries)
    assert not re.search(r"://|--(index|extra-index|find-links)|^/|\s/", text)


def test_both_locks_agree() -> None:
    runtime, tests = pins("requirements.lock"), pins("requirements-test.lock")
    assert {name: str(pin) for name, pin in runtime.items()}.items() <= {
        name: str(pin) for name, pin in tests.items()
    }.items()


def test_linux_never_builds_the_package_that_downloads_a_database() -> None:
    """On Linux `fiftyone-db` is a source archive that fetches mongod while it is built."""
    linux = {**default_environment(), "sys_platform": "linux"}
    marker = pins("requirements.lock")["fiftyone-db"].marker
    assert marker and not marker.evaluate(linux)


def test_no_installed_package_has_one_of_our_names() -> None:
    """Names such as "channels" are common; an installed one would hide ours, or ours it."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    owners = packages_distributions()
    assert {name: owners[name] for name in wheel["only-include"] if owners.get(name, ["rapport"]) != ["rapport"]} == {}
