"""Access tokens: one fetch for all who wait, one new one for a refused call, never shown."""

from __future__ import annotations

import asyncio
import logging

import pytest

from base.http import HttpClient
from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.tencent.tokens import Fetched, Tokens
from channels.providers.tencent.wechat.adapter import WeChatAdapter
from channels.providers.tencent.wechat.card import WeChatSettings
from channels.providers.tencent.wecom.adapter import WeComAdapter
from channels.providers.tencent.wecom.card import WeComSettings
from channels.vocabulary import Address, OutboundMessage
from tests.channels.peer import answer, cut
from tests.channels.providers.tencent.conftest import Tencent
from tests.channels.providers.tencent.envelope import AES_KEY

REFUSED = answer({"errcode": 40001, "errmsg": "invalid credential, access_token is invalid: canary-access-1"})
TAKEN = answer({"errcode": 0, "errmsg": "ok"})


def wechat(base: str, secret: str = "canary-app-secret") -> Account:
    given = {"app_id": "wxb11529c136998cb6", "app_secret": secret, "token": "canaryToken", "encoding_aes_key": AES_KEY}
    return Account("chn_x", "wechat", "Tea", WeChatSettings.model_validate({**given, "api_base": base}))


def wecom(base: str) -> Account:
    given = {"corp_id": "ww12345678910", "agent_id": "1", "secret": "canary-corp-secret", "token": "canaryToken"}
    more = {"encoding_aes_key": AES_KEY, "api_base": base}
    return Account("chn_x", "wecom", "Tea", WeComSettings.model_validate({**given, **more}))


def hello(key: str = "snd_1", to: str = "o1") -> OutboundMessage:
    return OutboundMessage(key=key, to=Address(channel_id="chn_x", external_id=to), text="hello")


async def test_many_sends_share_one_token(http: HttpClient, tencent: Tencent, api_base: str) -> None:
    adapter = WeChatAdapter(http)
    assert "canary" not in repr(adapter.api(wechat(api_base)))
    await asyncio.gather(*(adapter.send(wechat(api_base), hello(f"snd_{n}")) for n in range(8)))
    (asked,) = tencent.tokens_asked
    assert asked.json == {
        "grant_type": "client_credential", "appid": "wxb11529c136998cb6", "secret": "canary-app-secret",
        "force_refresh": False,
    }  # fmt: skip
    assert not asked.query
    assert {each.query["access_token"] for each in tencent.asked} == {"canary-access-1"}
    await adapter.send(wechat(api_base, "canary-new-secret"), hello())
    assert len(tencent.tokens_asked) == 2, "other credentials, another token"


async def test_a_refused_token_is_replaced_once_and_the_call_made_again(
    http: HttpClient, tencent: Tencent, api_base: str
) -> None:
    adapter = WeChatAdapter(http)
    tencent.will(REFUSED, TAKEN)
    await adapter.send(wechat(api_base), hello())
    assert [each.query["access_token"] for each in tencent.asked] == ["canary-access-1", "canary-access-2"]
    assert [each.json["force_refresh"] for each in tencent.tokens_asked] == [False, False, True]


async def test_the_second_refusal_is_a_passing_fault(http: HttpClient, tencent: Tencent, api_base: str) -> None:
    tencent.will(REFUSED)
    with pytest.raises(SendFailed) as caught:
        await WeChatAdapter(http).send(wechat(api_base), hello())
    assert (caught.value.failure, caught.value.provider_code) == (Failure.TEMPORARY, "40001")
    assert len(tencent.asked) == 2
    assert "canary" not in f"{caught.value!r} {caught.value.detail}"


async def test_many_refused_calls_bring_one_new_token(http: HttpClient, tencent: Tencent, api_base: str) -> None:
    adapter = WeComAdapter(http)
    await adapter.send(wecom(api_base), hello(to="zhangsan"))
    tencent.will(*[answer({"errcode": 42001, "errmsg": "expired"})] * 5, TAKEN)
    await asyncio.gather(*(adapter.send(wecom(api_base), hello(f"snd_{n}", "zhangsan")) for n in range(5)))
    assert len(tencent.tokens_asked) == 2
    assert dict(tencent.tokens_asked[0].query) == {"corpid": "ww12345678910", "corpsecret": "canary-corp-secret"}


@pytest.mark.parametrize("code", [40001, 40013, 40125, 40164, 60020])
async def test_no_token_is_an_account_problem(code: int, http: HttpClient, tencent: Tencent, api_base: str) -> None:
    tencent.token_answer = {
        "errcode": code,
        "errmsg": "invalid ip 203.0.113.7 not in whitelist, secret=canary-app-secret",
    }
    with pytest.raises(SendFailed) as caught:
        await WeChatAdapter(http).send(wechat(api_base), hello())
    assert (caught.value.failure, caught.value.provider_code) == (Failure.ACCOUNT_PROBLEM, str(code))
    assert "203.0.113.7" in caught.value.detail and "canary" not in f"{caught.value!r} {caught.value.detail}"
    assert not tencent.asked


async def test_no_token_for_now(http: HttpClient, tencent: Tencent, api_base: str) -> None:
    for said, failure in (
        ({"errcode": -1, "errmsg": "busy"}, Failure.TEMPORARY),
        ({"errcode": 45009, "errmsg": "quota"}, Failure.RATE_LIMITED),
        ({"nothing": 1}, Failure.TEMPORARY),
    ):
        tencent.token_answer = said
        with pytest.raises(SendFailed) as caught:
            await WeChatAdapter(http).send(wechat(api_base), hello())
        assert caught.value.failure is failure


async def test_no_token_in_any_log_or_error(
    http: HttpClient, tencent: Tencent, api_base: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    adapter = WeChatAdapter(http)
    await adapter.send(wechat(api_base), hello())
    tencent.will(cut)
    with pytest.raises(SendFailed) as caught:
        await adapter.send(wechat(api_base), hello())
    shown = [f"{caught.value!r} {caught.value.detail}"]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert "canary" not in "\n".join([*shown, *ours])


async def test_a_token_is_renewed_before_it_ends() -> None:
    tokens, given = Tokens(), iter([Fetched("a", 7200), Fetched("b", 200), Fetched("c", 7200)])

    async def fetch(anew: bool) -> Fetched:
        return next(given)

    assert [await tokens.get(("x",), fetch) for _ in range(2)] == ["a", "a"]
    assert [await tokens.get(("y",), fetch) for _ in range(2)] == ["b", "c"], "200 seconds are too short to count on"


async def test_a_failed_fetch_holds_up_nobody() -> None:
    tokens, fails = Tokens(), iter([True, False])

    async def fetch(anew: bool) -> Fetched:
        if next(fails):
            raise SendFailed(Failure.TEMPORARY)
        return Fetched("a", 7200)

    with pytest.raises(SendFailed):
        await tokens.get(("x",), fetch)
    assert await tokens.get(("x",), fetch) == "a"
