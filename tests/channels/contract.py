"""How a provider registers for the contract test: one file `tests/channels/providers/<name>/contract.py`.

The file holds a subclass of `ProviderContract` and one line, `CONTRACT = WhatsAppContract()` (or `CONTRACTS = [...]`).
That is all: `tests/channels/test_contract.py` finds it by its name and walks the provider × every given fixture.
The smallest one, for a provider that signs the raw body:

    class ViberContract(ProviderContract):
        adapter = ViberAdapter
        settings: ClassVar[Mapping[str, Any]] = {"auth_token": "canary-auth-token"}  # a full valid set
        folder = "viber"                                     # below the given fixtures
        secret = "auth_token"                                # the setting `verify` looks at
        proof = "signature"
        proof_headers = ("x-viber-content-signature",)
        exempt: ClassVar[Mapping[str, str]] = {"signature-vector.json": "used as a vector"}

        def sign(self, delivery, secret, at):
            return with_headers(delivery, {"x-viber-content-signature": hmac_hex(secret, delivery.body)})

    CONTRACT = ViberContract()

Further: `cases` where a file is not simply one body (containers, bare objects, accounts named inside), `vectors`
for published signatures, `damaged` where the proof does not stand in headers, `time_tolerance_s` where the
provider signs a time. A provider that signs nothing but sends a shared secret says `proof = "secret"` (tampering and
stale times are then not asked). One that signs with a key of its own, of which the account knows only the public side
or the certificate, says `proof = "public_key"`: `secret` then names the setting that tells whose deliveries are ours,
`signer` what `sign` is given for our own, and rotation is not asked. One that proves nothing (a local listener) says
`proof = "none"`.

Payloads of our own, for what the given fixtures leave out, lie in `examples/` beside the registration; each file is the
body of one case called `own-<name>`. Where a body alone is not enough (a topic in a header), `own` makes the cases.

Golden files lie beside the registration in `golden/<case name>.json`: what `parse` gives, without `raw` and without
defaults. `RAPPORT_GOLDEN=write pytest tests/channels/test_contract.py -k <provider>` writes them; then read each
of them against the column "expected outcome" of the fixtures' INDEX.md, for that is the test.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import SecretStr

from channels.adapter import Account, Adapter, Delivery
from channels.vocabulary import AnyEvent

#: The time at which every contract delivery is signed, received and verified.
NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
CHANNEL_ID = "chn_01contract0000000000000000"

#: True when this run writes the golden files. Read here, since a test sees no RAPPORT_ settings from outside.
WRITE_GOLDEN = os.environ.get("RAPPORT_GOLDEN") == "write"

Proof = Literal["signature", "public_key", "secret", "none"]


@dataclass(frozen=True)
class Case:
    """One request made of a given fixture, not yet signed."""

    #: Names the golden file; unique within the provider.
    name: str
    delivery: Delivery
    #: Settings that differ for this case, e.g. the phone number the fixture is addressed to.
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Vector:
    """A request with a signature published by somebody else; must be accepted as it stands."""

    name: str
    delivery: Delivery
    settings: Mapping[str, Any]
    now: datetime = NOW


class ProviderContract(ABC):
    """What the contract test has to know of one provider."""

    adapter: ClassVar[type[Adapter]]
    #: A full, valid set of settings in plain values. Give secrets values that occur nowhere else.
    settings: ClassVar[Mapping[str, Any]]
    #: Folder below the given fixtures, and which files of it are this provider's. Empty: the format is our own, and
    #: `examples/` hold all there is.
    folder: ClassVar[str]
    pattern: ClassVar[str] = "*"
    #: File name → why it is no case (used as a vector, another adapter's, …). Everything else must parse.
    exempt: ClassVar[Mapping[str, str]] = {}
    #: The setting that `verify` checks against.
    secret: ClassVar[str]
    proof: ClassVar[Proof] = "signature"
    #: With `proof = "public_key"`: what `sign` gets as secret for a delivery of our own.
    signer: ClassVar[str] = ""
    #: Lower-case names of the headers that carry the proof. Each of them alone, damaged, must lead to a refusal.
    proof_headers: ClassVar[tuple[str, ...]] = ()
    #: How old or early a signed time may be; None where the provider signs none.
    time_tolerance_s: ClassVar[int | None] = None
    #: A second secret in the form the provider uses, for rotation and foreign accounts.
    other_secret: ClassVar[str] = "canary-other-secret"
    #: False where the given fixtures share one placeholder as event id (LINE's batch).
    unique_event_ids: ClassVar[bool] = True
    #: False where the signature is part of the body (Mailgun, SNS), so that not any bytes can be signed.
    signs_any_bytes: ClassVar[bool] = True
    #: Why there is no `api_base` setting (host and port for SMTP); empty where there is one.
    api_base_exempt: ClassVar[str] = ""
    #: Why events carry no raw part (a mail's bytes stay in the journal); empty where they do.
    raw_exempt: ClassVar[str] = ""
    content_type: ClassVar[str] = "application/json"

    @abstractmethod
    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        """The same delivery with the proof the provider would add at that time. (`proof = "none"`: unchanged.)"""

    def cases(self, file: Path) -> Iterable[Case]:
        """The requests in one fixture file; by default its bytes are the body of one."""
        yield Case(file.stem, self.post(file.read_bytes()))

    def own(self) -> Iterable[Case]:
        """Our own examples; by default each file is the body of one case called `own-<name>`."""
        for own in sorted((self.home / "examples").glob("*")):
            yield Case(f"own-{own.stem}", self.post(own.read_bytes()))

    def prepared(self, adapter: Adapter) -> Adapter:
        """The adapter with what `prepare` would have fetched."""
        return adapter

    def vectors(self, folder: Path) -> Iterable[Vector]:
        """Published signatures. `folder` is the root of all given fixtures."""
        return ()

    def damaged(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        """Signed deliveries with a broken proof, each with a word for the test's message."""
        for name in self.proof_headers:
            for what, values in _damaged_values(signed.header(name) or ""):
                yield f"{name} {what}", replace(signed, headers={**signed.headers, name: values})

    def tampered(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        """Signed deliveries with another body, each with a word. Override where only a part of the body is signed."""
        for what, body in tampered_bytes(signed.body):
            yield what, replace(signed, body=body)

    # -- what the test itself uses ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The provider's machine name."""
        return self.adapter.card.provider

    @property
    def home(self) -> Path:
        """The folder of the registration file; golden files lie below it."""
        return _HOMES[type(self)]

    def post(self, body: bytes, content_type: str | None = None) -> Delivery:
        """A POST with this body, received now, unsigned."""
        headers = {"content-type": (content_type or self.content_type,)}
        return Delivery(method="POST", body=body, headers=headers, received_at=NOW)

    def fixture_files(self, root: Path) -> list[Path]:
        """The files of this provider, exempt ones left out."""
        found = sorted((root / self.folder).glob(self.pattern)) if self.folder else []
        return [file for file in found if file.is_file() and file.name not in self.exempt]

    def walk(self, root: Path | None) -> Iterator[Case]:
        """Every case: the given fixtures (where there are any), then our own examples."""
        seen: set[str] = set()
        for case in self._walk(root):
            if not (case.name.startswith("own-") and case.name in seen):
                yield case
            seen.add(case.name)

    def _walk(self, root: Path | None) -> Iterator[Case]:
        for file in self.fixture_files(root) if root is not None else ():
            yield from self.cases(file)
        yield from self.own()

    def account(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        former: Sequence[str] = (),
        channel_id: str = CHANNEL_ID,
        without_secret: bool = False,
    ) -> Account:
        """A connected account; `settings` overrides single values, `former` are secrets still accepted."""
        opened = self.adapter.card.settings.model_validate({**self.settings, **(settings or {})})
        if without_secret:
            empty = SecretStr("") if isinstance(getattr(opened, self.secret), SecretStr) else ""
            opened = opened.model_copy(update={self.secret: empty})
        return Account(
            channel_id=channel_id,
            provider=self.name,
            name="Contract",
            settings=opened,
            former_secrets={self.secret: tuple(former)} if former else {},
            base_url="https://crm.example.com",
        )

    def signed(self, delivery: Delivery, account: Account, at: datetime = NOW) -> Delivery:
        """Signed with the account's own current secret."""
        return self.sign(delivery, self.signer or account.secrets(self.secret)[0], at)


def with_headers(delivery: Delivery, headers: Mapping[str, str]) -> Delivery:
    """The same delivery with these headers added, one value each."""
    return replace(delivery, headers={**delivery.headers, **{name: (value,) for name, value in headers.items()}})


def secret_values(account: Account) -> set[str]:
    """Every secret of the account in the clear; none of them may ever be printed."""
    values = (getattr(account.settings, name) for name in type(account.settings).model_fields)
    current = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
    return {each for each in current.union(*account.former_secrets.values()) if each}


def golden_text(events: Sequence[AnyEvent]) -> str:
    """The events as people read and compare them: no raw parts, no defaults, stored bytes as a digest."""
    return json.dumps([_readable(event) for event in events], ensure_ascii=False, indent=2, default=_as_text) + "\n"


def contracts() -> list[ProviderContract]:
    """Every registered provider. A registration that cannot be imported is left to `broken_registrations`."""
    return [contract for _, found in _registrations() if not isinstance(found, Exception) for contract in found]


def broken_registrations() -> list[tuple[str, Exception]]:
    """Registration files that do not import, so that one unfinished provider does not silence the others."""
    return [(path.parent.name, found) for path, found in _registrations() if isinstance(found, Exception)]


def fixtures_root() -> Path | None:
    """The given fixtures at collection time; None where there are none (the fixture `fixtures_dir` complains)."""
    root = Path(__file__).resolve().parents[2] / os.environ.get("RAPPORT_FIXTURES", "../shared/fixtures")
    return root.resolve() if root.is_dir() else None


def all_cases() -> list[tuple[ProviderContract, Case]]:
    """Provider × fixture × request, in a stable order."""
    root = fixtures_root()
    return [(contract, case) for contract in contracts() for case in contract.walk(root)]


# -- inside ---------------------------------------------------------------------------------------------

_HOMES: dict[type, Path] = {}
_FOUND: list[tuple[Path, list[ProviderContract] | Exception]] = []


def _registrations() -> list[tuple[Path, list[ProviderContract] | Exception]]:
    if not _FOUND:
        for path in sorted((Path(__file__).parent / "providers").rglob("contract.py")):
            _FOUND.append((path, _load(path)))
    return _FOUND


def _load(path: Path) -> list[ProviderContract] | Exception:
    name = "contract_of_" + "_".join(path.parent.relative_to(Path(__file__).parent / "providers").parts)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found = list(getattr(module, "CONTRACTS", None) or [module.CONTRACT])
    except Exception as error:  # reported by a test of its own, with its traceback
        return error
    _HOMES.update({type(contract): path.parent for contract in found})
    return found


def tampered_bytes(body: bytes) -> list[tuple[str, bytes]]:
    """The body with one byte changed, one more or less, a BOM before it, written again, or nothing."""
    middle = len(body) // 2
    changed = [
        (f"byte {at} changed", body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]) for at in {0, middle, len(body) - 1}
    ]
    more = [
        ("a byte more", body + b"\n"),
        ("a byte less", body[:-1]),
        ("a BOM before it", b"\xef\xbb\xbf" + body),
        ("empty", b""),
    ]
    try:
        again = json.dumps(json.loads(body), separators=(", ", " : ")).encode()
    except ValueError:
        return changed + more
    return [*changed, *more, *([("written again", again)] if again != body else [])]


def _damaged_values(value: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "missing", ()
    yield "empty", ("",)
    yield "cut short", (value[:-1],)
    yield "cut in half", (value[: len(value) // 2],)
    yield "too long", (value + "0",)
    yield "repeated", (value, value)
    yield "repeated with another", (value, "x" * len(value))
    yield "not ascii", (value + "é",)
    yield "digits of another script", ("①" * max(len(value), 1),)
    yield "with a line end", (value + "\n",)
    yield "a surrogate", ("\udcff" + value[1:],)
    if value.upper() != value:
        yield "in upper case", (value.upper(),)


def _readable(event: AnyEvent) -> dict[str, Any]:
    return {"kind": event.kind, **event.model_dump(exclude={"raw", "kind"}, exclude_defaults=True)}


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()}"
    raise TypeError(type(value).__name__)


def stale_times(tolerance_s: int) -> tuple[datetime, datetime]:
    """One time just too old and one just too early."""
    return NOW - timedelta(seconds=tolerance_s + 5), NOW + timedelta(seconds=tolerance_s + 5)
