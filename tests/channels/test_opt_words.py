"""STOP, START and their Chinese sisters, said on every channel: heard in what each provider posts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote_plus

import pytest

from channels.adapter import Delivery
from channels.providers.tencent.crypto import decrypt
from channels.registry import adapter_classes
from channels.vocabulary import AnyEvent, MessageReceived
from inbox.opting import word_in
from tests.channels.contract import Case, ProviderContract, all_cases
from tests.channels.providers.tencent.envelope import AES_KEY, TencentContract, cipher_text_of, sealed
from tests.channels.test_contract import adapter_of

#: What is said, and whether it is a yes.
WORDS = {"STOP": False, "退订": False, "TD": False, "START": True, "恢复": True, "订阅": True}
#: Providers that are not asked, and why.
SILENT = {
    "segment": "tells of acts", "shopify": "tells of orders", "woocommerce": "tells of orders",
    "ses": "a mail as `email` reads it, within JSON within JSON",
    "wecom_kf": "its callback is a bell; what was said is fetched (`tests/webhooks`)",
}  # fmt: skip


def _plain(text: str) -> Iterator[bytes]:
    """The text as bodies hold it: as it is, in JSON, in JSON within JSON, in a form."""
    inside = json.dumps(text)[1:-1]
    yield from (each.encode() for each in (text, inside, json.dumps(inside)[1:-1], quote_plus(text)))


def said(contract: ProviderContract, delivery: Delivery, before: str, after: str) -> Delivery | None:
    """The same delivery with another text; None where the text stands in it in no way that is known here."""
    hidden = isinstance(contract, TencentContract)
    body = decrypt(AES_KEY, cipher_text_of(delivery.body))[0] if hidden else delivery.body
    for old, new in zip(_plain(before), _plain(after), strict=True):
        if body.count(old) == 1:
            changed = body.replace(old, new)
            return replace(delivery, body=sealed(changed, contract.receive_id) if hidden else changed)
    return None


def heard(contract: ProviderContract, case: Case, delivery: Delivery) -> list[MessageReceived]:
    account = contract.account(case.settings)
    events: list[AnyEvent] = list(adapter_of(contract).parse(account, contract.signed(delivery, account)))
    return [each for each in events if isinstance(each, MessageReceived)]


def spoken() -> dict[str, list[tuple[ProviderContract, Case, str]]]:
    """Provider → deliveries that bring one text which a customer typed."""
    found: dict[str, list[tuple[ProviderContract, Case, str]]] = {}
    for contract, case in all_cases():
        texts = [each for each in heard(contract, case, case.delivery) if each.text]
        plain = [each for each in texts if not (each.echo or each.group_id or each.forwarded or each.postback)]
        mail = plain[0].mail if plain else None
        if len(texts) != 1 or not plain or (mail is not None and mail.automatic):
            continue
        text = str(plain[0].text)
        if said(contract, case.delivery, text, "STOP") is not None:
            found.setdefault(contract.name, []).append((contract, case, text))
    return found


SPOKEN = spoken()


def test_every_channel_on_which_people_write_is_asked() -> None:
    assert set(SPOKEN) == set(adapter_classes()) - set(SILENT)


@pytest.mark.parametrize("provider", sorted(SPOKEN))
def test_a_no_and_a_yes_are_heard_in_both_languages(provider: str) -> None:
    for contract, case, text in SPOKEN[provider][:5]:
        for word, granted in WORDS.items():
            delivery = said(contract, case.delivery, text, word)
            assert delivery is not None
            words = [found for each in heard(contract, case, delivery) if (found := word_in(each)) is not None]
            assert [found.granted for found in words] == [granted], (case.name, word)
