"""From a callback without content to the welcome, by customer service of WeCom: within its 20 seconds, and once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from channels.adapter import Delivery
from channels.providers.tencent.wecom_kf.adapter import WeComKfAdapter
from channels.registry import Registry
from tests.channels.peer import loopback_client
from tests.channels.providers.tencent.envelope import AES_KEY, sealed, with_proof
from tests.conftest import LocalServer
from tests.webhooks.conftest import Tools
from webhooks.ingest import Ingest, Item, Owners
from webhooks.polling import Polling

CALLBACK = (
    b"<xml><CreateTime>1764300000</CreateTime><MsgType>event</MsgType><Event>kf_msg_or_event</Event>"
    b"<Token>HINT</Token><OpenKfId>wk01</OpenKfId></xml>"
)


async def test_a_customer_who_opens_the_chat_is_welcomed_once(tools: Tools, local_server: LocalServer) -> None:
    asked: list[tuple[str, Any]] = []

    async def wecom(request: web.Request) -> web.Response:
        asked.append((request.path, json.loads(await request.read() or b"null")))
        if request.path == "/cgi-bin/gettoken":
            return web.json_response({"access_token": "a", "expires_in": 7200})
        if request.path == "/cgi-bin/kf/sync_msg":
            event = {"event_type": "enter_session", "external_userid": "wm01", "scene": "shop", "welcome_code": "CODE"}
            item = {"msgid": "e1", "send_time": tools.clock().timestamp() // 1, "msgtype": "event", "event": event}
            return web.json_response({"errcode": 0, "next_cursor": "c1", "has_more": 0, "msg_list": [item]})
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", wecom)
    http = loopback_client()
    registry = Registry(http, {"wecom_kf": WeComKfAdapter})
    tools.channels._registry = registry
    channel = await tools.channels.add(
        "wecom_kf", "Tea",
        {"corp_id": "ww12345678910", "open_kfid": "wk01", "secret": "s", "token": "t", "encoding_aes_key": AES_KEY,
         "welcome_text": "欢迎!", "api_base": await local_server(app)},
    )  # fmt: skip
    seen: list[Item] = []

    async def owner(items: Sequence[Item]) -> None:
        seen.extend(items)

    ingest = Ingest(
        tools.journal, registry, tools.channels, Owners(*[owner] * 7), tools.feed, tools.clock,
        want_poll=tools.polls.want, want_templates=tools.want_templates,
    )  # fmt: skip
    account, adapter = await tools.channels.account(channel.id), registry.get("wecom_kf")
    assert account is not None
    posted = with_proof(
        Delivery("POST", sealed(CALLBACK, "ww12345678910"), received_at=tools.clock()), "t", tools.clock()
    )
    adapter.verify(account, posted, tools.clock())
    await tools.journal.keep(channel.id, "wecom_kf", adapter.delivery_key(account, posted), posted)
    await ingest.drain(10)
    await Polling(tools.polls, tools.channels, registry, tools.journal, tools.clock).drain(10)
    for _ in range(2):
        await ingest.drain(10)
        await asyncio.gather(*ingest._acknowledging)
        await tools.journal.again({"channel_id": channel.id})
    assert {item.event.kind for item in seen} == {"profile_seen", "tracked"}
    assert next(body for path, body in asked if path == "/cgi-bin/kf/sync_msg")["token"] == "HINT"
    welcomes = [body for path, body in asked if path == "/cgi-bin/kf/send_msg_on_event"]
    assert welcomes == [{"code": "CODE", "msgtype": "text", "text": {"content": "欢迎!"}}]
    await http.close()
