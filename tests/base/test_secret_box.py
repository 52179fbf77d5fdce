"""Credentials at rest."""

import pytest

from base.errors import Misconfigured
from base.secret_box import SecretBox, SecretLost


def test_sealed_opens_in_its_own_context_only() -> None:
    box = SecretBox([SecretBox.new_key()])
    token = box.seal("hunter2", "chn_a:token")
    assert "hunter2" not in token
    assert box.open(token, "chn_a:token") == "hunter2"
    with pytest.raises(SecretLost):
        box.open(token, "chn_b:token")


def test_rotation_keeps_old_secrets_readable_and_links_alive() -> None:
    old, new = SecretBox.new_key(), SecretBox.new_key()
    before, after = SecretBox([old]), SecretBox([new, old])
    token = before.seal("x", "c")
    assert after.open(token, "c") == "x"
    assert after.signing_key == before.signing_key
    with pytest.raises(SecretLost):
        SecretBox([new]).open(token, "c")


@pytest.mark.parametrize("token", ["", "v1", "v1.x.y", "v2.a.b", "v1.00000000.####"])
def test_rubbish_is_a_clear_error(token: str) -> None:
    with pytest.raises(SecretLost):
        SecretBox([SecretBox.new_key()]).open(token, "c")


@pytest.mark.parametrize("keys", [[], ["short"], ["ä" * 44]])
def test_bad_keys_stop_the_start(keys: list[str]) -> None:
    with pytest.raises(Misconfigured):
        SecretBox(keys)
