"""Meta's hub signature and GET challenge."""

import pytest
from pydantic import SecretStr

from channels.adapter import Account, AccountSettings, Delivery, Unverified
from channels.providers.meta.signature import answer_challenge, hub_signature, verify_hub


class Settings(AccountSettings):
    app_secret: SecretStr
    verify_token: SecretStr


def account(token: str = "word", **former: tuple[str, ...]) -> Account:
    settings = Settings(app_secret=SecretStr("s3cret"), verify_token=SecretStr(token))
    return Account("chn_x", "whatsapp", "x", settings, former)


def challenge(**params: str | tuple[str, ...]) -> Delivery:
    query = {f"hub.{name}": (value,) if isinstance(value, str) else value for name, value in params.items()}
    return Delivery("GET", b"", query=query)


def test_the_challenge_is_echoed() -> None:
    answer = answer_challenge(account(), challenge(mode="subscribe", verify_token="word", challenge="1158201444"))
    assert answer is not None
    assert (answer.status, answer.body, answer.content_type) == (200, b"1158201444", "text/plain")


def test_a_former_token_is_still_answered_during_rotation() -> None:
    asked = challenge(mode="subscribe", verify_token="old", challenge="1")
    assert answer_challenge(account(verify_token=("old",)), asked) is not None


@pytest.mark.parametrize(
    "asked",
    [
        challenge(mode="subscribe", verify_token="wrong", challenge="1"),
        challenge(mode="subscribe", verify_token="", challenge="1"),
        challenge(mode="subscribe", challenge="1"),
        challenge(mode="unsubscribe", verify_token="word", challenge="1"),
        challenge(mode="subscribe", verify_token=("word", "word"), challenge="1"),
        challenge(mode="subscribe", verify_token="wörd", challenge="1"),
        challenge(mode="", verify_token="word", challenge="1"),
    ],
)
def test_a_wrong_challenge_is_refused(asked: Delivery) -> None:
    with pytest.raises(Unverified):
        answer_challenge(account(), asked)


def test_no_token_is_no_pass() -> None:
    with pytest.raises(Unverified):
        answer_challenge(account(""), challenge(mode="subscribe", verify_token="", challenge="1"))


def test_everything_else_is_no_challenge() -> None:
    assert answer_challenge(account(), Delivery("POST", b"{}", query={"hub.mode": ("subscribe",)})) is None
    assert answer_challenge(account(), Delivery("GET", b"")) is None


def test_the_header_must_name_the_algorithm() -> None:
    digest = hub_signature("s3cret", b"{}").removeprefix("sha256=")
    for value in (digest, f"sha1={digest}", f"sha256= {digest}", f"SHA256={digest}"):
        with pytest.raises(Unverified):
            verify_hub(account(), Delivery("POST", b"{}", {"x-hub-signature-256": (value,)}))
