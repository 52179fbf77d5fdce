"""The contract of a channel, asked of every provider with every given fixture. Registration: `contract.py` here."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from base.errors import WrongInput
from channels.adapter import Account, Adapter, Delivery, Unreadable, Unverified, settings_schema
from channels.capabilities import Capabilities
from channels.registry import adapter_classes
from channels.vocabulary import AnyEvent
from tests.channels.contract import (
    CHANNEL_ID,
    NOW,
    WRITE_GOLDEN,
    Case,
    ProviderContract,
    all_cases,
    broken_registrations,
    contracts,
    fixtures_root,
    golden_text,
    secret_values,
    stale_times,
)

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
EVENTS: TypeAdapter[list[AnyEvent]] = TypeAdapter(list[AnyEvent])


Wanted = Callable[[ProviderContract], bool]
Test = TypeVar("Test", bound=Callable[..., Any])


def asked_of(wanted: Wanted) -> Callable[[Test], Test]:
    """Ask only the providers of which the question makes sense; the others get no test at all, not a skipped one."""

    def mark(test: Test) -> Test:
        test.asked_of = wanted  # type: ignore[attr-defined]
        return test

    return mark


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted: Wanted = getattr(metafunc.function, "asked_of", lambda contract: True)
    if "case" in metafunc.fixturenames:
        found = [(contract, case) for contract, case in all_cases() if wanted(contract)]
        ids = [f"{contract.name}/{case.name}" for contract, case in found]
        metafunc.parametrize(("contract", "case"), found, ids=ids)
    elif "contract" in metafunc.fixturenames:
        asked = [contract for contract in contracts() if wanted(contract)]
        metafunc.parametrize("contract", asked, ids=lambda contract: contract.name)


def proves(contract: ProviderContract) -> bool:
    return contract.proof != "none"


def signs(contract: ProviderContract) -> bool:
    return contract.proof in ("signature", "public_key")


def shares_a_secret(contract: ProviderContract) -> bool:
    return contract.proof in ("signature", "secret")


class NoHttp:
    """verify, parse and the rest are pure: whoever dials fails the test."""

    async def request(self, method: str, url: str, **more: Any) -> Any:
        raise AssertionError(f"{method} {url} from a function that should be pure")


def adapter_of(contract: ProviderContract) -> Adapter:
    return contract.prepared(contract.adapter(NoHttp()))


def refuse(adapter: Adapter, account: Account, delivery: Delivery, what: str) -> None:
    """`verify` must say no with `Unverified`; any other exception, or silence, fails."""
    try:
        adapter.verify(account, delivery, NOW)
    except Unverified as refusal:
        shown = f"{refusal!r} {refusal}"
        assert not [secret for secret in secret_values(account) if secret in shown], f"{what}: a secret in the refusal"
    else:
        pytest.fail(f"{what}: accepted")


# -- registration -----------------------------------------------------------------------------------------


def test_registrations_import() -> None:
    broken = broken_registrations()
    assert not broken, f"{broken[0][0]}: {broken[0][1]!r}"


def test_every_provider_is_registered() -> None:
    assert set(adapter_classes()) == {contract.name for contract in contracts()}


def test_fixtures_are_found(contract: ProviderContract, fixtures_dir: Path) -> None:
    files = contract.fixture_files(fixtures_dir)
    assert files or not contract.folder, f"no file in {contract.folder}/{contract.pattern}"
    names = [case.name for case in contract.walk(fixtures_dir)]
    assert names and len(names) == len(set(names)), "two cases of one name would share a golden file"
    present = {file.name for file in (fixtures_dir / contract.folder).iterdir()}
    assert set(contract.exempt) <= present, "an exempt file that does not exist"


def test_no_golden_file_is_left_over(contract: ProviderContract, fixtures_dir: Path) -> None:
    names = {case.name for case in contract.walk(fixtures_dir)}
    assert {path.stem for path in (contract.home / "golden").glob("*.json")} <= names


# -- the card ---------------------------------------------------------------------------------------------


def test_card_can_draw_a_form(contract: ProviderContract) -> None:
    card = contract.adapter.card
    schema = settings_schema(card)
    fields = card.settings.model_fields
    assert schema["additionalProperties"] is False
    assert not [name for name, field in fields.items() if not field.title], "each setting needs a title for the form"
    assert card.label and card.summary and card.steps and card.documentation
    assert "api_base" in fields or contract.api_base_exempt, "api.md section 5: every provider can be pointed elsewhere"


@asked_of(shares_a_secret)
def test_secret_setting_is_a_secret(contract: ProviderContract) -> None:
    assert isinstance(getattr(contract.account().settings, contract.secret), SecretStr)


def test_capabilities_name_their_sources(contract: ProviderContract) -> None:
    assert isinstance(contract.adapter.capabilities, Capabilities)
    assert contract.adapter.capabilities.sources


def test_quality_list(contract: ProviderContract) -> None:
    """The README beside the adapter (or above it, where siblings share one) says what is done, todo and exempt."""
    folder = Path(inspect.getfile(contract.adapter)).parent
    readme = next((each / "README.md" for each in (folder, folder.parent) if (each / "README.md").is_file()), None)
    assert readme is not None, f"{contract.name} has no README with a quality list"
    _, _, table = readme.read_text(encoding="utf-8").partition("| rule | state | note |")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")
    ]
    assert len(rows) >= 10, "the quality list is missing or thin"
    for rule, state, note in rows:
        assert state in ("done", "todo", "exempt"), f"{rule}: {state}"
        assert state != "exempt" or note, f"{rule} is exempt without a reason"


# -- verify -----------------------------------------------------------------------------------------------


def test_accepted_when_signed(contract: ProviderContract, case: Case) -> None:
    adapter, account = adapter_of(contract), contract.account(case.settings)
    signed = contract.signed(case.delivery, account)
    adapter.verify(account, signed, NOW)
    assert adapter.handshake(account, signed) is None or not adapter.parse(account, signed)
    assert adapter.delivery_key(account, signed) == adapter.delivery_key(account, signed)
    assert 200 <= adapter.accepted(account, signed).status < 300


@asked_of(proves)
def test_refused_when_unsigned(contract: ProviderContract, case: Case) -> None:
    refuse(adapter_of(contract), contract.account(case.settings), case.delivery, "unsigned")


@asked_of(signs)
def test_refused_when_tampered(contract: ProviderContract, case: Case) -> None:
    adapter, account = adapter_of(contract), contract.account(case.settings)
    signed = contract.signed(case.delivery, account)
    for what, delivery in contract.tampered(signed):
        refuse(adapter, account, delivery, what)


@asked_of(proves)
def test_refused_when_signed_by_another_account(contract: ProviderContract, case: Case) -> None:
    adapter, account = adapter_of(contract), contract.account(case.settings)
    foreign = contract.sign(case.delivery, contract.other_secret, NOW)
    refuse(adapter, account, foreign, "another account's secret")


@asked_of(proves)
def test_refused_when_the_proof_is_damaged(contract: ProviderContract, case: Case) -> None:
    adapter, account = adapter_of(contract), contract.account(case.settings)
    damaged = list(contract.damaged(contract.signed(case.delivery, account)))
    assert damaged, "proof_headers or damaged() is needed"
    for what, delivery in damaged:
        refuse(adapter, account, delivery, what)


@asked_of(proves)
def test_refused_when_the_account_has_no_secret(contract: ProviderContract, case: Case) -> None:
    adapter = adapter_of(contract)
    account = contract.account(case.settings)
    bare = contract.account(case.settings, without_secret=True)
    refuse(adapter, bare, case.delivery, "no secret, unsigned")
    with contextlib.suppress(WrongInput):  # some schemes can't sign with an empty key at all
        refuse(adapter, bare, contract.sign(case.delivery, "", NOW), "no secret, signed with nothing")
    refuse(adapter, bare, contract.signed(case.delivery, account), "no secret, signed with the one it had")
    for what, delivery in contract.damaged(contract.signed(case.delivery, account)):
        refuse(adapter, bare, delivery, f"no secret, {what}")


@asked_of(lambda contract: contract.time_tolerance_s is not None)
def test_refused_when_stale(contract: ProviderContract, case: Case) -> None:
    assert contract.time_tolerance_s is not None
    adapter, account = adapter_of(contract), contract.account(case.settings)
    for at in stale_times(contract.time_tolerance_s):
        refuse(adapter, account, contract.signed(case.delivery, account, at), f"signed at {at}")
    inside = NOW - timedelta(seconds=contract.time_tolerance_s - 5)
    adapter.verify(account, contract.signed(case.delivery, account, inside), NOW)


@asked_of(shares_a_secret)
def test_secret_rotation(contract: ProviderContract, case: Case) -> None:
    adapter = adapter_of(contract)
    old = contract.account(case.settings).secrets(contract.secret)[0]
    new = {**case.settings, contract.secret: contract.other_secret}
    rotating, rotated = contract.account(new, former=[old]), contract.account(new)
    for secret in (old, contract.other_secret):
        adapter.verify(rotating, contract.sign(case.delivery, secret, NOW), NOW)
    refuse(adapter, rotated, contract.sign(case.delivery, old, NOW), "the old secret after rotation")


def test_published_signatures(contract: ProviderContract, fixtures_dir: Path) -> None:
    adapter = adapter_of(contract)
    for vector in contract.vectors(fixtures_dir):
        account = contract.account(vector.settings)
        adapter.verify(account, vector.delivery, vector.now)
        again = json.dumps(json.loads(vector.delivery.body), indent=1).encode()
        again = again if again != vector.delivery.body else again + b"\n"
        with pytest.raises(Unverified):
            adapter.verify(account, replace(vector.delivery, body=again), vector.now)


# -- parse ------------------------------------------------------------------------------------------------


def test_parse_gives_the_golden_events(contract: ProviderContract, case: Case) -> None:
    events = adapter_of(contract).parse(contract.account(case.settings), case.delivery)
    path = contract.home / "golden" / f"{case.name}.json"
    if WRITE_GOLDEN:
        path.parent.mkdir(exist_ok=True)
        path.write_text(golden_text(events), encoding="utf-8")
    assert path.is_file(), "no golden file: see the top of tests/channels/contract.py"
    assert json.loads(golden_text(events)) == json.loads(path.read_text(encoding="utf-8"))


def test_events_can_be_kept(contract: ProviderContract, case: Case) -> None:
    adapter, account = adapter_of(contract), contract.account(case.settings)
    events = adapter.parse(account, case.delivery)
    check_events(contract, events, account)
    assert contract.raw_exempt or all(event.raw for event in events), "the raw part of each event is kept"
    assert adapter.parse(account, case.delivery) == events, "the second delivery gives the same"


def test_no_secret_is_shown(
    contract: ProviderContract, case: Case, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    adapter, account = adapter_of(contract), contract.account(case.settings, former=["canary-former-secret"])
    signed = contract.signed(case.delivery, account)
    adapter.verify(account, signed, NOW)
    adapter.locate(signed)
    events = adapter.parse(account, signed)
    shown = [repr(account), str(account.settings), repr(signed), repr(events), caplog.text, *capsys.readouterr()]
    shown += [event.model_dump_json() for event in events] if signs(contract) else []
    for secret in secret_values(account):
        assert not [text for text in shown if secret in text], "a secret was shown"


# -- anything at all --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("\ud800\0"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(body=st.binary(max_size=400))
@FUZZ
def test_any_bytes_give_events_or_a_quarantine(contract: ProviderContract, body: bytes) -> None:
    parse_anything(contract, contract.post(body))


@given(value=JSON)
@FUZZ
def test_any_json_gives_events_or_a_quarantine(contract: ProviderContract, value: Any) -> None:
    parse_anything(contract, contract.post(json.dumps(value).encode()))


@given(data=st.data())
@FUZZ
def test_bent_fixtures_give_events_or_a_quarantine(contract: ProviderContract, data: st.DataObject) -> None:
    """A real payload with one or two of its parts replaced by something else, or taken away, or doubled."""
    case = data.draw(st.sampled_from(_cases_of(contract)), label="fixture")
    body = case.delivery.body
    for _ in range(data.draw(st.integers(1, 2))):
        body = _bent(body, data)
    parse_anything(contract, replace(case.delivery, body=body), case)


@asked_of(lambda contract: signs(contract) and contract.signs_any_bytes)
@given(body=st.binary(max_size=200))
@FUZZ
def test_any_signed_bytes_are_accepted(contract: ProviderContract, body: bytes) -> None:
    account = contract.account()
    adapter_of(contract).verify(account, contract.signed(contract.post(body), account), NOW)


@asked_of(proves)
@given(data=st.data())
@FUZZ
def test_odd_proofs_are_refused(contract: ProviderContract, data: st.DataObject) -> None:
    odd = st.lists(st.text(max_size=80), max_size=2)
    headers = {name: tuple(data.draw(odd)) for name in contract.proof_headers}
    delivery = replace(contract.post(b"{}"), headers=headers)
    refuse(adapter_of(contract), contract.account(), delivery, repr(headers))


def parse_anything(contract: ProviderContract, delivery: Delivery, case: Case | None = None) -> None:
    """Events or `Unreadable`, and none of the side doors (locate, key, handshake) may fall over either."""
    adapter, account = adapter_of(contract), contract.account(case.settings if case else None)
    assert len(adapter.delivery_key(account, delivery)) <= 500
    assert isinstance(adapter.locate(delivery), frozenset)
    try:
        events = adapter.parse(account, delivery)
    except Unreadable:
        return
    check_events(contract, events, account, unique=False)


def check_events(contract: ProviderContract, events: list[AnyEvent], account: Account, *, unique: bool = True) -> None:
    """What every list of events must hold, whatever it was read from."""
    for event in events:
        assert event.event_id and len(event.event_id) <= 500
        assert event.address is None or event.address.channel_id == account.channel_id == CHANNEL_ID
        assert event.address is None or event.address.external_id
    if unique and contract.unique_event_ids:
        keys = [(event.kind, event.event_id) for event in events]
        assert len(keys) == len(set(keys)), f"two events of one kind and id: {sorted(keys)}"
    try:
        again = EVENTS.validate_json(EVENTS.dump_json(events))
    except ValidationError as error:
        pytest.fail(f"not storable: {error}")
    assert golden_text(again) == golden_text(events)


def _cases_of(contract: ProviderContract) -> list[Case]:
    return list(contract.walk(fixtures_root())) or [Case("empty", contract.post(b"{}"))]


def _bent(body: bytes, data: st.DataObject) -> bytes:
    try:
        tree = json.loads(body)
    except ValueError:
        at = data.draw(st.integers(0, len(body)))
        return body[:at] + data.draw(st.binary(max_size=6)) + body[at + data.draw(st.integers(0, 6)) :]
    places = list(_places(tree))
    if not places:
        return body
    parent, key = data.draw(st.sampled_from(places), label="place")
    match data.draw(st.sampled_from(["replace", "remove", "double"]), label="how"):
        case "replace":
            parent[key] = data.draw(JSON, label="by")
        case "remove":
            del parent[key]
        case _:
            parent[key] = [parent[key], parent[key]]
    return json.dumps(tree).encode()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, item in pairs:
        found.append((tree, key))
        found.extend(_places(item))
    return found
