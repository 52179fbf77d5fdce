"""How answers of the Graph API become failures."""

from collections.abc import Callable

import pytest

from channels.failures import Failure, SendFailed
from channels.providers.meta.graph import Graph, judge, read_error
from tests.channels.peer import Peer, answer, cut, loopback_client, slow
from tests.conftest import LocalServer


async def graph_of(peer: Peer, local_server: LocalServer) -> Graph:
    return Graph(loopback_client(), await local_server(peer.app()), "v25.0", "canary-token", timeout_s=2.0)


async def failing(graph: Graph, method: str = "post") -> SendFailed:
    try:
        with pytest.raises(SendFailed) as caught:
            await (graph.post("1", "messages", json={"a": 1}) if method == "post" else graph.get("1"))
        assert "canary-token" not in f"{caught.value!r} {caught.value}"
        return caught.value
    finally:
        await graph.http.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"code": 4}, Failure.RATE_LIMITED),
        ({"code": "190", "error_subcode": 463}, Failure.ACCOUNT_PROBLEM),
        ({"code": 200}, Failure.ACCOUNT_PROBLEM),
        ({"code": 299}, Failure.ACCOUNT_PROBLEM),
        ({"code": 100}, Failure.CONTENT_REJECTED),
        ({"code": 100, "error_subcode": 33}, Failure.ACCOUNT_PROBLEM),
        ({"code": 2}, Failure.TEMPORARY),
        ({"code": 999999}, None),
        ({"code": {"odd": 1}}, None),
        ("no object", None),
        (None, None),
    ],
)
def test_codes(error: object, failure: Failure | None) -> None:
    assert judge(read_error(error)) is failure


def test_the_most_telling_words_are_kept() -> None:
    error = read_error({"code": 1, "message": "short", "error_data": {"details": "the whole story"}})
    assert (error.detail, error.shown_code) == ("the whole story", "1")
    assert read_error({"code": 100, "error_subcode": 33}).shown_code == "100/33"
    assert len(read_error({"message": "x" * 10_000}).detail) == 500


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, {"error": {"code": 999999, "message": "new"}}, Failure.UNKNOWN),
        (401, "<html>", Failure.ACCOUNT_PROBLEM),
        (403, "", Failure.ACCOUNT_PROBLEM),
        (413, "", Failure.CONTENT_REJECTED),
        (429, "", Failure.RATE_LIMITED),
        (500, {"error": {"code": 999999}}, Failure.TEMPORARY),
        (500, {"error": {"code": 190}}, Failure.ACCOUNT_PROBLEM),
        (502, "<html>", Failure.TEMPORARY),
        (503, "", Failure.TEMPORARY),
        (504, "<html>", Failure.UNCERTAIN),
        (200, {"error": {"code": 4}}, Failure.RATE_LIMITED),
        (200, "no json", Failure.UNCERTAIN),
        (200, "[]", Failure.UNCERTAIN),
        (302, "", Failure.UNKNOWN),
    ],
)
async def test_answers(status: int, body: object, failure: Failure, local_server: LocalServer) -> None:
    peer = Peer([answer(body, status=status)])
    assert (await failing(await graph_of(peer, local_server))).failure is failure


@pytest.mark.parametrize(
    ("headers", "code", "wait_s"),
    [
        ({"Retry-After": "17"}, 4, 17.0),
        ({}, 131056, 6.0),
        ({"Retry-After": "2"}, 131056, 2.0),
        ({}, 4, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 4, None),
        ({"Retry-After": "-5"}, 4, None),
        ({"Retry-After": "nan"}, 4, None),
    ],
)
async def test_retry_after(headers: dict[str, str], code: int, wait_s: float | None, local_server: LocalServer) -> None:
    peer = Peer([answer({"error": {"code": code}}, status=429, headers=headers)])
    failure = await failing(await graph_of(peer, local_server))
    assert (failure.failure, failure.retry_after_s) == (Failure.RATE_LIMITED, wait_s)


async def test_a_lost_answer_is_uncertain_only_where_something_was_done(local_server: LocalServer) -> None:
    for reply in (cut, slow(5)):
        assert (await failing(await graph_of(Peer([reply]), local_server))).failure is Failure.UNCERTAIN
        assert (await failing(await graph_of(Peer([reply]), local_server), "get")).failure is Failure.TEMPORARY


async def test_nobody_there_is_temporary(free_port: Callable[[], int]) -> None:
    graph = Graph(loopback_client(), f"http://127.0.0.1:{free_port()}", "v25.0", "canary-token")
    assert (await failing(graph)).failure is Failure.TEMPORARY


async def test_a_private_api_base_stops_the_account() -> None:
    graph = Graph(loopback_client(), "http://10.0.0.1", "v25.0", "canary-token")
    failure = await failing(graph)
    assert failure.failure is Failure.ACCOUNT_PROBLEM
    assert "RAPPORT_ALLOW_PRIVATE_ADDRESSES" in failure.detail


def test_addresses_are_quoted() -> None:
    graph = Graph(loopback_client(), "https://graph.facebook.com", "v25.0", "t")
    assert graph.url("1/../me", "x?y") == "https://graph.facebook.com/v25.0/1%2F..%2Fme/x%3Fy"
    assert graph.url("1", fields="a,b") == "https://graph.facebook.com/v25.0/1?fields=a%2Cb"
