"""Texts of canned replies that come from an address: signed, asked once, and a fault that is said."""

from typing import Any

import orjson
import pytest
from aiohttp import web

from base.clock import now
from base.errors import WrongInput
from base.http import AddressGuard, HttpClient
from base.signing import verify_standard
from campaigns.canned import ANSWER_MAX_BYTES, Asked, CannedWords
from tests.conftest import LocalServer

SECRET = "whsec_bWFrZS15b3VyLW93bi1zZWNyZXQtb2YtMzItYnl0ZXM="
REPLY = "cnr_" + "0" * 26


class Signing:
    async def signing(self) -> list[str]:
        return [SECRET]


async def asked(local_server: LocalServer, answer: Any, *, private: str = "127.0.0.0/8") -> tuple[Asked, list[Any]]:
    seen: list[Any] = []

    async def told(request: web.Request) -> web.StreamResponse:
        seen.append((dict(request.headers), await request.read()))
        return await answer(request) if callable(answer) else answer

    app = web.Application()
    app.router.add_post("/slot", told)
    http = HttpClient(AddressGuard([private]))
    try:
        words = CannedWords(None, http, Signing(), now)  # type: ignore[arg-type]
        return await words.ask(f"{await local_server(app)}/slot", REPLY, {"profile": {"name": "Anna"}}), seen
    finally:
        await http.close()


async def test_it_is_asked_once_and_signed(local_server: LocalServer) -> None:
    found, seen = await asked(local_server, web.json_response({"text": "  Between 9 and 11.\n"}))
    assert found == Asked("Between 9 and 11.") and found.sentence == ""
    ((headers, body),) = seen
    given = (headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"])
    assert verify_standard([SECRET], *given, body, now())
    told = orjson.loads(body)
    assert told["type"] == "canned_reply.asked" and told["data"]["profile"] == {"name": "Anna"}
    assert told["data"]["canned_reply_id"] == REPLY
    assert (await asked(local_server, web.Response(text="As text")))[0] == Asked("As text")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda: web.json_response({"text": " "}), "no_text"), (lambda: web.json_response(["text"]), "no_text"),
        (lambda: web.json_response({"text": 5}), "no_text"), (lambda: web.json_response({}, status=503), "status"),
        (lambda: web.Response(body=b"{nope", content_type="application/json"), "no_text"),
        (lambda: web.Response(text="x" * (ANSWER_MAX_BYTES + 1)), "too_long"),
        (lambda: web.json_response({"text": "x" * 30_000}), "too_long"),
        (lambda: web.Response(status=302, headers={"Location": "/slot"}), "status"),
    ],
)  # fmt: skip
async def test_a_dynamic_reply_that_fails_says_so(local_server: LocalServer, answer: Any, fault: str) -> None:
    found, seen = await asked(local_server, answer())
    assert (found.fault, found.text) == (fault, "") and found.sentence and len(seen) == 1


async def test_private_addresses_are_not_asked(local_server: LocalServer) -> None:
    found, seen = await asked(local_server, web.json_response({"text": "x"}), private="10.9.9.9/32")
    assert found.fault == "refused_address" and not seen
    words = CannedWords(None, HttpClient(AddressGuard()), Signing(), now)  # type: ignore[arg-type]
    for url in ("http://127.1/x", "http://localhost/x", "http://[::1]/x"):
        with pytest.raises(WrongInput):
            words.check_url(url)
    words.check_url("https://shop.example/slot")
    words.check_url(None)
