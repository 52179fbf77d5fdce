"""A real mailbox behind the poller: every mail reaches the journal once, and a wrong password pauses the channel."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from channels.providers.mail.email.adapter import EmailAdapter
from channels.registry import Registry
from tests.channels.peer import loopback_client
from tests.channels.providers.mail.email.dovecot import PASSWORD, USER, Dovecot, running
from tests.webhooks.conftest import Tools
from webhooks.mail_listener import as_delivery
from webhooks.polling import Polling

FIRST_OF_2026 = datetime(2026, 1, 1, tzinfo=UTC)


async def test_from_the_mailbox_to_the_journal(
    tools: Tools, dovecot_program: str, free_port: Callable[[], int]
) -> None:
    http = loopback_client()
    tools.registry = Registry(http, {"email": EmailAdapter})
    tools.channels._registry = tools.registry
    async with running(dovecot_program, free_port) as server:
        settings = _settings(server)
        channel = await tools.channels.add("email", "Care", settings)
        await tools.polls.ensure([channel.id])
        polling = Polling(tools.polls, tools.channels, tools.registry, tools.journal, tools.clock)
        await _poll(tools, polling)
        for number in range(45):
            server.put(_mail(number))
        await _poll(tools, polling)
        await _poll(tools, polling)
        rows = tools.db.collection("deliveries")
        assert await rows.count_documents({"channel_id": channel.id}) == 45

        handed = as_delivery("care@example.com", "a@example.net", _mail(7), tools.clock())
        account = await tools.channels.account(channel.id)
        assert account is not None
        key = tools.registry.get("email").delivery_key(account, handed)
        assert (await tools.journal.keep(channel.id, "email", key, handed))[1] == "seen", "by LMTP, too: kept once"

        await tools.channels.update(channel.id, settings={**settings, "imap_password": "canary-wrong"})
        await _poll(tools, polling)
        paused = await tools.channels.get(channel.id)
        assert paused is not None and paused.state == "paused"
        assert "refuses user or password" in str(paused) and "canary" not in str(paused)
    await tools.registry.close()
    await http.close()


async def _poll(tools: Tools, polling: Polling) -> None:
    await tools.db.collection("polls").update_many({}, {"$set": {"due_at": FIRST_OF_2026}})
    await polling.drain(5)
    await polling.close()


def _settings(server: Dovecot) -> dict[str, Any]:
    return {
        "from_address": "care@example.com", "imap_host": "127.0.0.1", "imap_port": server.port, "imap_user": USER,
        "imap_password": PASSWORD, "imap_tls": "none",
    }  # fmt: skip


def _mail(number: int) -> bytes:
    return (
        f"From: a{number}@example.net\r\nTo: care@example.com\r\nMessage-ID: <{number}@example.net>\r\n\r\nHi\r\n"
    ).encode()
