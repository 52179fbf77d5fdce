"""Sending, files, names and the check, against a Slack played by a local server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.slack.adapter import SlackAdapter
from channels.providers.slack.card import SCOPES, SlackSettings
from channels.providers.slack.failures import WORDS
from channels.vocabulary import (
    Address,
    Attachment,
    AttachmentKind,
    Button,
    Location,
    OutboundMessage,
    OutboundReaction,
    Person,
    TemplateCall,
)
from tests.channels.peer import Asked, Peer, Reply, answer, cut, loopback_client, slow
from tests.conftest import LocalServer

TOKEN = "xoxb-canary-token"
BEARER = f"Bearer {TOKEN}"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
METADATA = {"event_type": "rapport_send", "event_payload": {"key": "snd_1"}}
FILES = {"files": [{"id": "F1"}]}


@dataclass
class FakeSlack(Peer):
    """Answers as Slack does on a good day; `refuse` and `instead` change what a method says."""

    base: str = ""
    instead: dict[str, Reply] = field(default_factory=dict)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.script = [self.instead.get(request.path.rpartition("/")[2]) or answer(self._good(request))]
        return await super()._handle(request)

    def _good(self, request: web.Request) -> Any:
        match request.path.rpartition("/")[2]:
            case "chat.postMessage":
                return {"ok": True, "channel": "D1", "ts": "1700000001.000100"}
            case "conversations.open":
                return {"ok": True, "channel": {"id": "D1"}}
            case "conversations.replies":
                return {"ok": True, "messages": [{"ts": "1.1", "thread_ts": "1690000000.000001"}]}
            case "files.getUploadURLExternal":
                return {"ok": True, "upload_url": f"{self.base}/upload/v1/abc", "file_id": "F1"}
            case "files.completeUploadExternal":
                return {"ok": True, **FILES}
            case _:
                return {"ok": True}

    @property
    def methods(self) -> list[str]:
        return [asked.path.rpartition("/")[2] for asked in self.asked]

    def of(self, method: str) -> Any:
        """The JSON that a method was given."""
        return next(asked for asked in self.asked if asked.path.endswith(method)).json


def form(asked: Asked) -> dict[str, str]:
    return dict(parse_qsl(asked.body.decode()))


def refused(word: str, **more: Any) -> Reply:
    return answer({"ok": False, "error": word, **more})


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
async def base(slack: FakeSlack, local_server: LocalServer) -> str:
    slack.base = await local_server(slack.app())
    return slack.base


@pytest.fixture
def account(base: str) -> Account:
    return account_at(f"{base}/api")


def account_at(api_base: str) -> Account:
    settings = {"bot_token": TOKEN, "signing_secret": "canary-secret", "api_base": api_base}
    return Account("chn_sl", "slack", "Shop", SlackSettings.model_validate(settings))


@pytest.fixture
async def adapter() -> AsyncIterator[SlackAdapter]:
    client = loopback_client()
    made = SlackAdapter(client)
    made.timeout_s = 2.0
    yield made
    await client.close()


def out(to: str = "U222", **fields: Any) -> OutboundMessage:
    return OutboundMessage(key="snd_1", to=Address(channel_id="chn_sl", external_id=to), **fields)


def file(kind: AttachmentKind = AttachmentKind.IMAGE, **more: Any) -> Attachment:
    return Attachment(kind=kind, **{"content": PNG, "file_name": "a.png", **more})


async def failure(adapter: SlackAdapter, account: Account, message: OutboundMessage) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(account, message)
    assert "canary" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.detail}"
    return caught.value


# -- what goes out -----------------------------------------------------------------------------------------


async def test_text(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    receipt = await adapter.send(account, out(text="Hi <!channel> & *you*"))
    assert receipt.message_ids == ("D1:1700000001.000100",)
    [asked] = slack.asked
    assert (asked.path, asked.headers["authorization"]) == ("/api/chat.postMessage", BEARER)
    assert asked.json == {
        "channel": "U222",
        "text": "Hi &lt;!channel&gt; &amp; *you*",
        "mrkdwn": False,
        "metadata": METADATA,
    }


async def test_buttons(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    buttons = (Button(title="Yes", payload="y"), Button(title="Shop", url="https://shop.example"), Button(title="No"))
    await adapter.send(account, out(text="x" * 3001, buttons=buttons))
    *sections, actions = slack.of("chat.postMessage")["blocks"]
    assert [len(each["text"]["text"]) for each in sections] == [3000, 1]
    assert [each.get("value") for each in actions["elements"]] == ["y", None, "No"]
    assert actions["elements"][1]["url"] == "https://shop.example"
    assert len({each["action_id"] for each in actions["elements"]}) == 3
    assert actions["elements"][1]["action_id"].startswith("rapport-link")


async def test_an_answer_goes_to_the_root_of_its_thread(
    adapter: SlackAdapter, account: Account, slack: FakeSlack
) -> None:
    await adapter.send(account, out("C333", text="a", reply_to="C333:1700000000.000100"))
    assert form(slack.asked[0]) == {"channel": "C333", "ts": "1700000000.000100", "limit": "1"}
    assert slack.of("chat.postMessage")["thread_ts"] == "1690000000.000001"


async def test_a_thread_that_is_not_told(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["conversations.replies"] = refused("missing_scope")
    await adapter.send(account, out(text="a", reply_to="D1:1700000000.000100"))
    given = slack.of("chat.postMessage")
    assert (given["channel"], given["thread_ts"]) == ("D1", "1700000000.000100")


@pytest.mark.parametrize("reply_to", ["C333:1700000000.000100", "D1:action-17.1-0", "D1:command-1", "F1", ""])
async def test_a_private_answer_stays_private(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, reply_to: str
) -> None:
    await adapter.send(account, out(text="a", reply_to=reply_to))
    given = slack.of("chat.postMessage")
    assert given["channel"] == "U222" and "thread_ts" not in given


async def test_files_with_their_comment(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    odd = file(file_name='a"/b\n.png')
    receipt = await adapter.send(account, out(text="Look & see", attachments=(file(), odd)))
    assert receipt.message_ids == ("F1", "F1")
    assert slack.methods == [
        "conversations.open",
        *("files.getUploadURLExternal", "abc") * 2,
        "files.completeUploadExternal",
    ]
    assert form(slack.asked[1]) == {"filename": "a.png", "length": str(len(PNG))}
    assert form(slack.asked[3])["filename"] == "ab.png"
    assert slack.asked[2].body == PNG and "authorization" not in slack.asked[2].headers
    assert slack.of("files.completeUploadExternal") == {
        "files": [{"id": "F1", "title": "a.png"}, {"id": "F1", "title": "ab.png"}],
        "channel_id": "D1",
        "initial_comment": "Look &amp; see",
    }


async def test_files_in_a_thread_of_a_channel(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    message = out("C333", attachments=(file(caption="The <bill>"),), reply_to="C333:1700000000.000100")
    await adapter.send(account, message)
    given = slack.of("files.completeUploadExternal")
    assert (given["channel_id"], given["thread_ts"]) == ("C333", "1690000000.000001")
    assert given["initial_comment"] == "The &lt;bill&gt;" and "conversations.open" not in slack.methods


async def test_a_text_with_buttons_follows_the_files(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    receipt = await adapter.send(account, out(text="?", attachments=(file(),), buttons=(Button(title="a"),)))
    assert receipt.message_ids == ("F1", "D1:1700000001.000100")
    assert "initial_comment" not in slack.of("files.completeUploadExternal")


async def test_a_file_by_address_is_fetched_first(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["a.pdf"] = answer(b"%PDF")
    there = file(AttachmentKind.FILE, content=None, file_name=None, url=f"{slack.base}/f/a.pdf?x=1")
    await adapter.send(account, out(attachments=(there,)))
    assert slack.methods[0] == "a.pdf" and "authorization" not in slack.asked[0].headers
    assert form(slack.asked[2]) == {"filename": "a.pdf", "length": "4"}
    slack.asked.clear()
    slack.instead["a.pdf"] = answer("", status=404)
    assert (await failure(adapter, account, out(attachments=(there,)))).failure is Failure.CONTENT_REJECTED
    assert slack.methods == ["a.pdf"]


async def test_bytes_go_to_slack_alone(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["files.getUploadURLExternal"] = answer(
        {"ok": True, "upload_url": "http://127.0.0.1:1/x", "file_id": "F"}
    )
    found = await failure(adapter, account, out(attachments=(file(),)))
    assert found.failure is Failure.ACCOUNT_PROBLEM


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (out(), Failure.CONTENT_REJECTED),
        (out(text=" "), Failure.CONTENT_REJECTED),
        (out(text="x" * 40_001), Failure.NOT_SUPPORTED),
        (out(text="x", template=TemplateCall(name="t", language="en")), Failure.NOT_SUPPORTED),
        (out(location=Location(latitude=1, longitude=2)), Failure.NOT_SUPPORTED),
        (out(text="x", buttons=tuple(Button(title="a") for _ in range(26))), Failure.NOT_SUPPORTED),
        (out(buttons=(Button(title="a"),)), Failure.CONTENT_REJECTED),
        (out(text="x", buttons=(Button(title="a" * 76),)), Failure.CONTENT_REJECTED),
        (out(text="x", buttons=(Button(title="a", payload="p" * 2001),)), Failure.CONTENT_REJECTED),
        (out(text="x", buttons=(Button(title="a", url="https://" + "p" * 3000),)), Failure.CONTENT_REJECTED),
        (out(attachments=(file(content=None),)), Failure.CONTENT_REJECTED),
        (out(attachments=(file(AttachmentKind.STICKER),)), Failure.NOT_SUPPORTED),
        (out(attachments=(file(size_bytes=50_000_001),)), Failure.NOT_SUPPORTED),
    ],
)
async def test_refused_before_any_call(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, message: OutboundMessage, expected: Failure
) -> None:
    found = await failure(adapter, account, message)
    assert found.failure is expected and found.detail and not slack.asked


@pytest.mark.parametrize(("word", "expected"), sorted(WORDS.items()))
async def test_every_word_of_the_table(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, word: str, expected: Failure
) -> None:
    slack.instead["chat.postMessage"] = refused(word)
    found = await failure(adapter, account, out(text="a"))
    assert (found.failure, found.provider_code, found.detail) == (expected, word, word)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Failure.RATE_LIMITED, "ratelimited"),
        (Failure.TEMPORARY, "internal_error fatal_error service_unavailable"),
        (Failure.RECIPIENT_UNREACHABLE, "channel_not_found not_in_channel is_archived user_not_found cannot_dm_bot"),
        (Failure.CONTENT_REJECTED, "msg_too_long no_text"),
        (Failure.ACCOUNT_PROBLEM, "invalid_auth token_revoked account_inactive missing_scope"),
    ],
)
def test_the_words_of_the_facts(expected: Failure, words: str) -> None:
    assert {WORDS[word] for word in words.split()} == {expected}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused("something_new"), Failure.UNKNOWN),
        (answer({"ok": False}), Failure.UNKNOWN),
        (answer("<html>"), Failure.UNCERTAIN),
        (answer([]), Failure.UNCERTAIN),
        (answer({"ts": "1.1"}), Failure.UNCERTAIN),
        (answer("<html>", status=503), Failure.TEMPORARY),
        (answer("<html>", status=504), Failure.UNCERTAIN),
        (answer("", status=403), Failure.ACCOUNT_PROBLEM),
        (slow(5), Failure.UNCERTAIN),
        (cut, Failure.UNCERTAIN),
    ],
)
async def test_odd_answers(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, reply: Reply, expected: Failure
) -> None:
    slack.instead["chat.postMessage"] = reply
    assert (await failure(adapter, account, out(text="a"))).failure is expected
    assert len(slack.asked) == 1, "a send without idempotency is never repeated by the adapter"


async def test_slow_down(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    busy = answer({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "30"})
    for reply in (busy, answer("", status=429, headers={"Retry-After": "30"})):
        slack.instead["chat.postMessage"] = reply
        found = await failure(adapter, account, out(text="a"))
        assert (found.failure, found.retry_after_s) == (Failure.RATE_LIMITED, 30)


async def test_what_is_missing_is_said(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["chat.postMessage"] = refused("missing_scope", needed="chat:write", provided="im:history")
    assert (await failure(adapter, account, out(text="a"))).detail == "missing_scope; needs chat:write"
    more = {"response_metadata": {"messages": ["[ERROR] no more than 25 items allowed", 7]}}
    slack.instead["chat.postMessage"] = refused("invalid_blocks", **more)
    assert "25 items" in (await failure(adapter, account, out(text="a"))).detail


async def test_nobody_there(adapter: SlackAdapter) -> None:
    assert (await failure(adapter, account_at("http://127.0.0.1:1/api"), out(text="a"))).failure is Failure.TEMPORARY
    found = await failure(adapter, account_at("http://10.0.0.1/api"), out(text="a"))
    assert found.failure is Failure.ACCOUNT_PROBLEM


@pytest.mark.parametrize("method", ["conversations.open", "files.getUploadURLExternal", "abc"])
async def test_until_the_files_are_seen_all_may_be_tried_again(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, method: str
) -> None:
    slack.instead[method] = cut
    assert (await failure(adapter, account, out(attachments=(file(),)))).failure is Failure.TEMPORARY


async def test_the_last_step_of_files_may_have_been_taken(
    adapter: SlackAdapter, account: Account, slack: FakeSlack
) -> None:
    slack.instead["files.completeUploadExternal"] = cut
    assert (await failure(adapter, account, out(attachments=(file(),)))).failure is Failure.UNCERTAIN


async def test_the_text_after_the_files_fails(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    message = out(text="?", attachments=(file(),), buttons=(Button(title="a"),))
    slack.instead["chat.postMessage"] = refused("ratelimited")
    found = await failure(adapter, account, message)
    assert found.failure is Failure.UNCERTAIN and "1 of 2" in found.detail
    slack.instead["chat.postMessage"] = refused("invalid_blocks")
    assert (await failure(adapter, account, message)).failure is Failure.CONTENT_REJECTED


# -- files that came ---------------------------------------------------------------------------------------


def came(address: str | None, **more: Any) -> Attachment:
    extra = {"address": address} if address else {}
    return Attachment(
        kind=AttachmentKind.FILE, **{"media_id": "F9", "media_type": "text/plain", "extra": extra, **more}
    )


async def media_failure(adapter: SlackAdapter, account: Account, attachment: Attachment) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.media(account, attachment, max_bytes=1000)
    assert "canary" not in f"{caught.value!r}{caught.value.detail}"
    return caught.value


async def test_a_file_with_the_token(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["a.png"] = answer(PNG, headers={"Content-Type": "application/octet-stream"})
    found = await adapter.media(account, came(f"{slack.base}/files-pri/a.png"), max_bytes=1000)
    assert found == (PNG, "image/png")
    assert slack.asked[0].headers["authorization"] == BEARER


async def test_where_it_lies_is_asked(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    where = {"url_private": f"{slack.base}/files-pri/a.txt", "size": 3}
    slack.instead["files.info"] = answer({"ok": True, "file": where})
    slack.instead["a.txt"] = answer(b"abc", headers={"Content-Type": "application/octet-stream"})
    assert await adapter.media(account, came(None), max_bytes=1000) == (b"abc", "text/plain")
    assert form(slack.asked[0]) == {"file": "F9"}
    slack.instead["files.info"] = answer({"ok": True, "file": {**where, "size": 1001}})
    assert (await media_failure(adapter, account, came(None))).failure is Failure.CONTENT_REJECTED
    slack.instead["files.info"] = answer({"ok": True, "file": {}})
    assert (await media_failure(adapter, account, came(None))).failure is Failure.CONTENT_REJECTED


PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer("<html>Sign in", headers=PAGE), Failure.ACCOUNT_PROBLEM),
        (answer("", status=302, headers={"Location": "https://x.slack.com/?redir=1"}), Failure.ACCOUNT_PROBLEM),
        (answer("", status=403), Failure.ACCOUNT_PROBLEM),
        (answer("", status=404), Failure.CONTENT_REJECTED),
        (answer("", status=429), Failure.RATE_LIMITED),
        (answer("", status=500), Failure.TEMPORARY),
        (answer(b"x" * 1001), Failure.CONTENT_REJECTED),
        (slow(5), Failure.TEMPORARY),
        (cut, Failure.TEMPORARY),
    ],
)
async def test_files_that_do_not_come(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, reply: Reply, expected: Failure
) -> None:
    adapter.timeout_s = 0.5  # a file may take four times as long
    slack.instead["a"] = reply
    assert (await media_failure(adapter, account, came(f"{slack.base}/a"))).failure is expected


async def test_a_page_that_is_the_file(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    page = came(f"{slack.base}/a", media_type="text/html")
    slack.instead["a"] = answer("<html>", headers={**PAGE, "Content-Disposition": "attachment; filename=a.html"})
    assert await adapter.media(account, page, max_bytes=1000) == (b"<html>", "text/html")
    slack.instead["a"] = answer("<html>Sign in", headers=PAGE)
    assert (await media_failure(adapter, account, page)).provider_code == "missing_scope"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/a",
        "https://slack.com.evil.example/a",
        "https://evilslack.com/a",
        "http://files.slack.com/a",
        "https://files.slack.com@evil.example/a",
        "https://[x",
    ],
)
async def test_the_token_goes_to_slack_alone(
    adapter: SlackAdapter, account: Account, slack: FakeSlack, address: str
) -> None:
    assert (await media_failure(adapter, account, came(address))).failure is Failure.CONTENT_REJECTED
    assert not slack.asked


async def test_files_refused_before_any_call(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    for attachment in (came(None, media_id=None), came(f"{slack.base}/a", size_bytes=1001)):
        assert (await media_failure(adapter, account, attachment)).failure is Failure.CONTENT_REJECTED
    assert not slack.asked


# -- names, and the check ----------------------------------------------------------------------------------

ANNA = {
    "id": "U222",
    "name": "anna",
    "locale": "de-DE",
    "is_email_confirmed": True,
    "profile": {
        "real_name": "Anna Visser",
        "email": "anna@shop.example",
        "image_192": "https://a.slack-edge.com/1.png",
    },
}


async def test_lookup(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["users.info"] = answer({"ok": True, "user": ANNA})
    assert await adapter.lookup(account, "U222") == Person(
        name="Anna Visser", avatar_url="https://a.slack-edge.com/1.png", locale="de-DE", email="anna@shop.example"
    )
    assert form(slack.asked[0]) == {"user": "U222", "include_locale": "true"}
    slack.instead["users.info"] = answer({"ok": True, "user": {**ANNA, "is_email_confirmed": False}})
    found = await adapter.lookup(account, "U222")
    assert found is not None and found.email is None


async def test_lookup_of_nobody(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    assert await adapter.lookup(account, "C333") is None and not slack.asked
    slack.instead["users.info"] = refused("user_not_found")
    assert await adapter.lookup(account, "U222") is None
    slack.instead["users.info"] = refused("missing_scope")
    with pytest.raises(SendFailed):
        await adapter.lookup(account, "U222")


def token_of(scopes: str | None = None, **more: Any) -> Reply:
    headers = {} if scopes is None else {"X-OAuth-Scopes": scopes}
    return answer({"ok": True, "team": "Tea", "user": "desk", "bot_id": "B1", **more}, headers=headers)


async def test_check(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    slack.instead["auth.test"] = token_of()
    assert await adapter.check(account) == "Connected to Tea as desk."
    slack.instead["auth.test"] = token_of(",".join(SCOPES))
    assert await adapter.check(account) == "Connected to Tea as desk. All scopes are there."
    slack.instead["auth.test"] = token_of(", ".join(set(SCOPES) - {"files:read"}))
    assert await adapter.check(account) == "Connected to Tea as desk. Missing scopes: files:read (to fetch files)."


@pytest.mark.parametrize("reply", [refused("invalid_auth"), token_of(bot_id=None)])
async def test_check_fails(adapter: SlackAdapter, account: Account, slack: FakeSlack, reply: Reply) -> None:
    slack.instead["auth.test"] = reply
    with pytest.raises(SendFailed) as caught:
        await adapter.check(account)
    assert caught.value.failure is Failure.ACCOUNT_PROBLEM


async def test_reactions(adapter: SlackAdapter, account: Account, slack: FakeSlack) -> None:
    """Slack keeps several of one app: the former one goes. That it is so already is no failure, whatever else is."""

    def reacting(emoji: str | None, former: str | None = None) -> OutboundMessage:
        return out(reaction=OutboundReaction(message_id="D1:1700000001.000100", emoji=emoji, former=former))

    await adapter.react(account, reacting("👍", "❤"))
    place = {"channel": "D1", "timestamp": "1700000001.000100"}
    assert slack.of("reactions.remove") == {**place, "name": "heart"}
    assert slack.of("reactions.add") == {**place, "name": "+1"}
    slack.instead = {"reactions.add": refused("already_reacted"), "reactions.remove": refused("no_reaction")}
    await adapter.react(account, reacting("🎉", "👍"))
    slack.asked.clear()
    await adapter.react(account, reacting(None, "👍"))
    assert slack.methods == ["reactions.remove"]
    slack.instead = {"reactions.add": refused("message_not_found")}
    with pytest.raises(SendFailed) as caught:
        await adapter.react(account, reacting("👍"))
    assert caught.value.provider_code == "message_not_found"
    able = adapter.capabilities.reacting
    assert able is not None and able.takes("🎉") and not able.takes("🦄") and "reactions:write" in SCOPES
