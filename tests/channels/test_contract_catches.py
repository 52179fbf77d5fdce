"""The contract test tested: a small sound provider passes it, and each of the usual mistakes does not."""

from __future__ import annotations

import hmac
import inspect
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import pytest
from pydantic import Field, SecretStr

from base.signing import hmac_hex, same
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, Unverified
from channels.capabilities import Capabilities
from channels.reading import identifier, mapping, read_json, text
from channels.vocabulary import Address, AnyEvent, MessageReceived
from tests.channels import test_contract as asked
from tests.channels.contract import NOW, Case, ProviderContract, with_headers

HEADER = "x-toy-signature"


class ToySettings(AccountSettings):
    signing_secret: SecretStr = Field(title="Signing secret")
    api_base: str = Field(default="https://toy.example", title="API address")


class Toy(Adapter):
    """Signs the body in hex; a body is `{"id", "from", "text"}`."""

    card = Card("toy", "Toy", "chat", "For tests.", ToySettings)
    capabilities = Capabilities(text_limit=100, sources=("none",))

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        right = [hmac_hex(secret, delivery.body) for secret in account.secrets("signing_secret")]
        if not any(same(delivery.header(HEADER), each) for each in right):
            raise Unverified("The signature is missing or wrong.")

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        item = mapping(read_json(delivery.body))
        sender, message_id = identifier(item.get("from")), identifier(item.get("id"))
        if sender is None or message_id is None or len(message_id) > 100:
            return []
        address = Address(channel_id=account.channel_id, external_id=sender)
        return [
            MessageReceived(
                event_id=message_id,
                message_id=message_id,
                occurred_at=NOW,
                address=address,
                text=text(item.get("text")),
                raw=item,
            )
        ]


class ToyContract(ProviderContract):
    adapter = Toy
    settings: ClassVar[Mapping[str, Any]] = {"signing_secret": "canary-toy-secret"}
    folder = "toy"
    secret = "signing_secret"
    proof_headers = (HEADER,)

    def __init__(self, adapter: type[Toy] = Toy) -> None:
        self.adapter = adapter  # type: ignore[misc]

    @property
    def home(self) -> Any:
        raise AssertionError("the toy has no folder")

    def walk(self, root: Any) -> Any:
        return iter([CASE])

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {HEADER: hmac_hex(secret, delivery.body)})


CASE = Case("toy", ToyContract().post(json.dumps({"id": "1", "from": 7, "text": "hello"}).encode()))

# -- the usual mistakes -------------------------------------------------------------------------------------


def given_secret(account: Account) -> str:
    return account.secrets("signing_secret")[0]


class Trusts(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Whoever knows the address is let in."""


class ComparesPlainly(Toy):
    """Crashes on what is not ASCII, as `hmac.compare_digest` does with text."""

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        right = [hmac_hex(secret, delivery.body) for secret in account.secrets("signing_secret")]
        if not any(hmac.compare_digest(delivery.header(HEADER) or "", each) for each in right):
            raise Unverified("no")


class ComparesTheBeginning(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        given = delivery.header(HEADER)
        if not given or not hmac_hex(given_secret(account), delivery.body).startswith(given):
            raise Unverified("no")


class TakesTheFirstHeader(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        values = delivery.headers.get(HEADER) or ("",)
        super().verify(account, with_headers(delivery, {HEADER: values[0]}), now)


class SignsJson(Toy):
    """Verifies what it parsed instead of what came."""

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        again = json.dumps(read_json(delivery.body)).encode()
        super().verify(account, Delivery(delivery.method, again, delivery.headers), now)


class PassesWithoutSecret(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        if account.secrets("signing_secret"):
            super().verify(account, delivery, now)


class SignsWithNothing(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        secrets = account.secrets("signing_secret") or ("",)
        if not any(same(delivery.header(HEADER), hmac_hex(each, delivery.body)) for each in secrets):
            raise Unverified("no")


class ForgetsFormerSecrets(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        if not same(delivery.header(HEADER), hmac_hex(given_secret(account), delivery.body)):
            raise Unverified("no")


class TellsTheSecret(Toy):
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        if not same(delivery.header(HEADER), hmac_hex(given_secret(account), delivery.body)):
            raise Unverified(f"expected a signature with {given_secret(account)}")


class TrustsShapes(Toy):
    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return super().parse(account, delivery) if json.loads(delivery.body)["id"] else []


class Doubles(Toy):
    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return super().parse(account, delivery) * 2


class Changes(Toy):
    """Makes up a new event id each time, so that a second delivery is a second message."""

    counted = itertools.count()

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return [
            event.model_copy(update={"event_id": str(next(self.counted))}) for event in super().parse(account, delivery)
        ]


class DropsRaw(Toy):
    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return [event.model_copy(update={"raw": {}}) for event in super().parse(account, delivery)]


class MixesAccounts(Toy):
    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        other = Address(channel_id="chn_other", external_id="7")
        return [event.model_copy(update={"address": other}) for event in super().parse(account, delivery)]


class DialsInParse(Toy):
    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        self.http.request("GET", "https://toy.example").send(None)  # type: ignore[attr-defined]
        return super().parse(account, delivery)


MISTAKES: list[tuple[type[Toy], Callable[..., None]]] = [
    (Trusts, asked.test_refused_when_unsigned),
    (Trusts, asked.test_refused_when_signed_by_another_account),
    (Trusts, asked.test_odd_proofs_are_refused),
    (ComparesPlainly, asked.test_refused_when_the_proof_is_damaged),
    (ComparesTheBeginning, asked.test_refused_when_the_proof_is_damaged),
    (TakesTheFirstHeader, asked.test_refused_when_the_proof_is_damaged),
    (SignsJson, asked.test_refused_when_tampered),
    (PassesWithoutSecret, asked.test_refused_when_the_account_has_no_secret),
    (SignsWithNothing, asked.test_refused_when_the_account_has_no_secret),
    (ForgetsFormerSecrets, asked.test_secret_rotation),
    (TellsTheSecret, asked.test_refused_when_unsigned),
    (TrustsShapes, asked.test_any_bytes_give_events_or_a_quarantine),
    (TrustsShapes, asked.test_bent_fixtures_give_events_or_a_quarantine),
    (Doubles, asked.test_events_can_be_kept),
    (Changes, asked.test_events_can_be_kept),
    (DropsRaw, asked.test_events_can_be_kept),
    (MixesAccounts, asked.test_events_can_be_kept),
    (DialsInParse, asked.test_events_can_be_kept),
]
SOUND = sorted({test for _, test in MISTAKES}, key=lambda test: test.__name__)


def ask(test: Callable[..., None], adapter: type[Toy]) -> None:
    given = {"contract": ToyContract(adapter), "case": CASE}
    test(**{name: value for name, value in given.items() if name in inspect.signature(test).parameters})


@pytest.mark.parametrize("test", SOUND, ids=lambda test: test.__name__)
def test_a_sound_provider_passes(test: Callable[..., None]) -> None:
    ask(test, Toy)


@pytest.mark.parametrize(("adapter", "test"), MISTAKES, ids=lambda each: each.__name__)
def test_a_mistake_is_caught(adapter: type[Toy], test: Callable[..., None]) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)):
        ask(test, adapter)
