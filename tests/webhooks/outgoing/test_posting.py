"""Endpoints are told what happens: once each, signed, repeated while that helps, and nobody waits behind a slow one."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from base.clock import now
from base.errors import Conflict, NotFound
from base.http import AddressGuard, HttpClient, HttpFailed, HttpReply
from base.side_by_side import PER_HOST
from campaigns.tasks import TaskInput
from profiles.events import NewEvent
from tests.conftest import LocalServer
from tests.dying import Dying
from tests.webhooks.outgoing.conftest import URL, House
from webhooks.outgoing.fanout import FanOut
from webhooks.outgoing.posting import Poster
from webhooks.outgoing.standing import RETRIES


def answers(status: int, **headers: str) -> Any:
    return lambda url, body: HttpReply(status, headers, b"said so")


async def test_a_receiver_can_verify_what_it_gets(house: House, local_server: LocalServer) -> None:
    """CW 13809: signed, and nobody could verify it. By the public library, over the wire."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def hook(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_post("/in", hook)
    url = f"{await local_server(app)}/in"
    client = HttpClient(AddressGuard(["127.0.0.0/8"]))
    house.runtime.poster._http = client
    house.runtime.endpoints._guard = client.guard
    _, secret = await house.endpoint("order.paid", url=url)
    await house.happens("order.paid", properties={"order_id": "ord_x", "total": 1999, "text": "茶壶"})
    await house.post()
    await client.close()
    ((headers, body),) = got
    said = Webhook(secret).verify(body, headers)
    assert said["type"] == "order.paid" and said["data"]["properties"]["text"] == "茶壶"
    assert headers["Content-Type"] == "application/json" and said["data"]["id"] == headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)
    row = await house.row()
    assert row["state"] == "done" and row["tries"][0]["status"] == 200 and row["tries"][0]["answer"] == '{"ok": true}'


async def test_no_event_is_posted_twice_or_forgotten(house: House) -> None:
    """CW 15920, 11901: each event once to each endpoint that wants it, however many workers are told how often."""
    await house.endpoint("*", url="https://all.example/")
    await house.endpoint("order.*", "x y", url="https://some.example/")
    names = ["order.paid", "orders", "x y", "message.received", "order.paid", "tea.brewed"]
    for name in names:
        await house.happens(name)
    events = await house.runtime.db.collection("events").find({}).to_list(None)
    everything = await house.runtime.events.many(each["_id"] for each in events)
    poster = house.runtime.poster
    fan_out = FanOut(poster._rows, poster._posts, house.runtime.doorbell)
    await asyncio.gather(*(fan_out.hear(everything) for _ in range(4)))
    await asyncio.gather(*(house.post() for _ in range(3)))
    told: dict[str, list[str]] = {}
    for (url, _, _), said in zip(house.phone.posted, house.phone.said, strict=True):
        told.setdefault(url, []).append(said["type"])
    assert sorted(told["https://all.example/"]) == sorted(names)
    assert sorted(told["https://some.example/"]) == ["order.paid", "order.paid", "x y"]
    assert len(set(zip([url for url, _, _ in house.phone.posted], house.phone.ids, strict=True))) == 9


async def test_it_says_what_the_api_says_and_nothing_that_is_ours_alone(house: House) -> None:
    """CW's trap: the whole row went out, a visitor's token with it (waha 1267)."""
    await house.endpoint("message.received")
    talk = await house.writes("Is it in stock?")
    await house.post()
    (said,) = house.phone.said
    data = said["data"]
    assert said["type"] == "message.received" and data["message"]["text"] == "Is it in stock?"
    assert data["conversation"]["id"] == data["conversation_id"] == talk.id
    assert data["profile"]["id"] == talk.profile_id and data["profile"]["name"] == "Anna"
    told = orjson.dumps(said).decode()
    for secret in ("dedupe", "delivery_id", "lease", "tokens", "dice", "whsec_", "settings", "\"rev\""):
        assert secret not in told, secret


async def test_killed_after_the_answer_posts_again_under_the_same_id(house: House) -> None:
    await house.endpoint("*")

    async def dies(url: str, body: bytes) -> HttpReply:
        raise asyncio.CancelledError

    house.phone.script = dies
    await house.happens("order.paid")
    await house.post()
    assert (await house.row())["state"] == "planned" and len(house.phone.posted) == 1
    await house.travel(minutes=2)
    house.phone.script = None
    await house.post()
    assert len(house.phone.posted) == 2 and len({(each[1]["webhook-id"], each[2]) for each in house.phone.posted}) == 1
    assert (await house.row())["state"] == "done"


async def test_killed_at_every_write_each_event_goes_and_none_gets_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies before or after any write of planning and posting: the event comes, always under one id."""
    dying = Dying(monkeypatch)
    endpoint_id, _ = await house.endpoint("*")

    async def work() -> None:
        await house.react()
        await house.runtime.poster.drain(10)
        for task in list(house.runtime.poster._calls._under_way):
            await task

    at, deaths = 1, 0
    while True:
        died = False
        for after in (False, True):
            await house.runtime.events.record([NewEvent("order.paid", f"{at}:{after}", now())])
            died = await dying.on(at, after, work)
            deaths += died
            await house.runtime.poster.idle()
            for room in ("events", "webhook_posts"):
                leased = {"lease": {"$type": "string"}, "due_at": {"$exists": True}}
                late = {"$set": {"due_at": now() - timedelta(seconds=1)}}
                await house.runtime.db.collection(room).update_many(leased, late)
            await house.react()
            await house.post()
            row = await house.row(endpoint_id=endpoint_id)
            bodies = {body for _, _, body in house.phone.posted}
            assert row["state"] == "done" and set(house.phone.ids) == {row["event_id"]}, (at, after)
            assert len(bodies) == 1, (at, after)
            house.phone.posted.clear()
            await house.runtime.db.collection("webhook_posts").delete_many({})
        if not died:
            break
        at += 1
    assert deaths > 8


async def test_one_slow_host_holds_up_nobody(house: House) -> None:
    free = asyncio.Event()

    async def script(url: str, body: bytes) -> HttpReply:
        if "slow" in url:
            await free.wait()
        return HttpReply(200, {}, b"")

    house.phone.script = script
    await house.endpoint("*", url="https://slow.example/")
    await house.endpoint("*", url="https://fast.example/")
    await house.happens("order.paid", times=30)
    for _ in range(20):
        await house.runtime.poster.drain(100)
        await asyncio.sleep(0)
    urls = [url for url, _, _ in house.phone.posted]
    assert urls.count("https://fast.example/") == 30 and urls.count("https://slow.example/") == PER_HOST
    free.set()
    await house.post()
    assert len(house.phone.posted) == 60


async def test_what_waits_for_a_slow_host_is_not_read_again_and_again(house: House) -> None:
    """An address that is dead for days gathers very many posts; a claim for the others costs as if there were none."""
    posts, database = house.runtime.poster._posts, house.runtime.db
    row = {"endpoint_id": "whk_x", "event_id": "evt_x", "event": "x", "host": "slow.example"}
    rows = [{**row, "key": f"k{n}"} for n in range(3000)]
    await posts.plan([*rows, {**row, "key": "fast", "host": "fast.example"}])
    (claimed,) = await posts.by_host.claim(64, ["slow.example"])
    assert claimed["key"] == "fast"
    where = {"state": "planned", "host": {"$in": ["a.example", "fast.example"]}, "due_at": {"$lte": now()}}
    looks: list[Any] = [
        {"find": "webhook_posts", "filter": where, "sort": {"due_at": 1}, "limit": 64, "hint": "due"},
        {"distinct": "webhook_posts", "key": "host", "query": {"state": "planned"}},
    ]
    for look in looks:
        told = await database.handle.command("explain", look, verbosity="executionStats")
        assert told["executionStats"]["totalKeysExamined"] <= 10, told["executionStats"]
        assert told["executionStats"]["totalDocsExamined"] <= 2
    assert await posts.oldest_due() is not None


async def test_a_post_that_fails_is_tried_for_a_day_with_the_same_words(house: House) -> None:
    house.phone.script = answers(500)
    await house.endpoint("*")
    await house.happens("order.paid")
    await house.post()
    for wait in RETRIES:
        row = await house.row()
        left = (row["due_at"] - now()) / wait
        assert row["state"] == "planned" and 0.7 < left < 1.21, wait
        await house.travel(seconds=wait.total_seconds() * 1.25)
        await house.post()
    row = await house.row()
    assert row["state"] == "failed" and len(row["tries"]) == len(RETRIES) + 1 == len(house.phone.posted)
    assert {each["status"] for each in row["tries"]} == {500} and row["tries"][0]["answer"] == "said so"
    assert len({(each[1]["webhook-id"], each[2]) for each in house.phone.posted}) == 1
    stamps = [each[1]["webhook-timestamp"] for each in house.phone.posted]
    assert all(abs(int(stamp) - now().timestamp()) < 60 for stamp in stamps)  # signed anew: five minutes are allowed


async def test_who_says_when_to_come_again_is_heard(house: House) -> None:
    house.phone.script = answers(429, **{"retry-after": "600"})
    await house.endpoint("*")
    await house.happens("order.paid")
    await house.post()
    assert 590 < ((await house.row())["due_at"] - now()).total_seconds() < 601


async def test_redirects_are_not_followed_and_large_answers_not_kept(house: House, local_server: LocalServer) -> None:
    seen: list[str] = []

    async def away(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text="x" * 9000 + "\x00")

    app = web.Application()
    app.router.add_post("/away", away)
    app.router.add_post("/elsewhere", elsewhere)
    base = await local_server(app)
    client = HttpClient(AddressGuard(["127.0.0.0/8"]))
    house.runtime.poster._http, house.runtime.endpoints._guard = client, client.guard
    one, _ = await house.endpoint("a", url=f"{base}/away")
    two, _ = await house.endpoint("b", url=f"{base}/elsewhere")
    await house.happens("a")
    await house.happens("b")
    await house.post()
    await client.close()
    assert sorted(seen) == ["/away", "/elsewhere"]
    assert (await house.row(endpoint_id=one))["tries"][0]["status"] == 307
    kept = (await house.row(endpoint_id=two))["tries"][0]["answer"]
    assert kept == "x" * 2000


async def test_a_private_address_is_refused_also_after_dns_changed(house: House, local_server: LocalServer) -> None:
    """The name was a public one when it was entered, and leads into the house when it is called: nothing is dialled."""
    dialled: list[str] = []

    async def inside(request: web.Request) -> web.Response:
        dialled.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", inside)
    port = (await local_server(app)).rsplit(":", 1)[1]
    client = HttpClient(AddressGuard())
    house.runtime.poster._http = client
    await house.endpoint("*", url="https://was-public.example/")
    for url in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", f"http://[::ffff:127.0.0.1]:{port}/",
                f"http://2130706433:{port}/"):  # fmt: skip
        await house.runtime.db.collection("webhook_endpoints").update_many({}, {"$set": {"url": url}})
        await house.happens("order.paid")
        await house.post()
    await client.close()
    errors = [row["tries"][0]["error"] for row in await house.rows()]
    assert dialled == [] and errors[:3] == ["refused_address"] * 3 and len(errors) == 4


async def test_a_secret_is_exchanged_without_a_gap(house: House) -> None:
    endpoint_id, first = await house.endpoint("*")
    second = await house.runtime.endpoints.exchange(endpoint_id)
    await house.happens("order.paid")
    await house.post()
    _, headers, body = house.phone.posted[0]
    assert Webhook(first).verify(body, headers) == Webhook(second).verify(body, headers)
    await house.travel(hours=25)
    await house.happens("order.paid")
    await house.post()
    _, headers, body = house.phone.posted[1]
    assert Webhook(second).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(body, headers)
    row = await house.runtime.endpoints.get(endpoint_id)
    assert first not in str(row) and second not in str(row)


async def test_redelivery_says_the_same_under_the_same_id(house: House) -> None:
    endpoint_id, _ = await house.endpoint("*")
    await house.happens("order.paid", times=3)
    house.phone.script = answers(500)
    await house.post()
    await house.travel(days=2)
    for _ in range(len(RETRIES)):
        await house.post()
        await house.travel(days=2)
    assert {row["state"] for row in await house.rows()} == {"failed"}
    house.phone.script = None
    before = {(each[1]["webhook-id"], each[2]) for each in house.phone.posted}
    house.phone.posted.clear()
    await house.runtime.endpoints.change(endpoint_id, {"state": "on"})
    first = (await house.rows())[0]
    await house.runtime.endpoints.redeliver(endpoint_id, first["_id"])
    await house.post()
    assert await house.runtime.endpoints.redeliver_failed(endpoint_id) == 2
    await house.post()
    assert {(each[1]["webhook-id"], each[2]) for each in house.phone.posted} == before and len(house.phone.posted) == 3
    assert {row["state"] for row in await house.rows()} == {"done"}
    await house.runtime.endpoints.redeliver(endpoint_id, first["_id"])  # also what went well
    await house.post()
    assert len(house.phone.posted) == 4
    await house.runtime.endpoints.change(endpoint_id, {"state": "off"})
    with pytest.raises(Conflict):
        await house.runtime.endpoints.redeliver(endpoint_id, first["_id"])


async def test_who_is_limited_to_channels_is_told_of_nobody_else(house: House) -> None:
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    other = (await house.runtime.channels.add("generic", "Other", secret)).id
    await house.endpoint("*", channels=[house.channel])
    ours, theirs = await house.writes("ours"), await house.writes("theirs", channel=other)
    foreign = TaskInput(text="theirs too", profile_id=ours.profile_id, conversation_id=theirs.id)
    await house.runtime.tasks.create(foreign, None)
    await house.runtime.tasks.create(TaskInput(text="our own task", profile_id=ours.profile_id), None)
    for talk in (ours, theirs):  # what belongs to no channel is told by whom it is about
        await house.happens("order.paid", profile_id=talk.profile_id)
        await house.happens("tea.brewed", channel_id=other, profile_id=ours.profile_id)
    await house.post()
    told = orjson.dumps(house.phone.said).decode()
    assert theirs.profile_id not in told and theirs.id not in told and "theirs" not in told
    assert "our own task" in told and "tea.brewed" not in told and ours.profile_id in told
    assert [said["type"] for said in house.phone.said].count("order.paid") == 1
    endpoint = (await house.runtime.endpoints.all())[0]["_id"]
    assert "skipped" not in {row["state"] for row in (await house.runtime.endpoints.deliveries(endpoint)).data}


async def test_who_is_limited_later_is_told_and_shown_nothing_of_before(house: House) -> None:
    """An endpoint for everything is narrowed to a channel: what waits or is sent again is written for that one."""
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    other = (await house.runtime.channels.add("generic", "Other", secret)).id
    endpoint_id, _ = await house.endpoint("message.received")
    await house.writes("theirs", channel=other)
    await house.writes("ours")
    house.phone.script = answers(500)
    await house.post()
    theirs, ours = await house.rows()
    house.phone.posted.clear()
    house.phone.script = None
    endpoints = house.runtime.endpoints
    await endpoints.change(endpoint_id, {"channels": [house.channel]})
    assert (await endpoints.deliveries(endpoint_id, limited=True)).data == []
    assert len((await endpoints.deliveries(endpoint_id)).data) == 2
    with pytest.raises(NotFound):
        await endpoints.redeliver(endpoint_id, theirs["_id"], limited=True)
    await house.travel(minutes=1)
    await house.post()
    assert [said["data"]["message"]["text"] for said in house.phone.said] == ["ours"]
    await endpoints.redeliver(endpoint_id, ours["_id"])
    await house.post()
    assert len(house.phone.posted) == 2 and (await house.rows(state="skipped"))[0]["_id"] == theirs["_id"]


async def test_two_workers_post_once(house: House) -> None:
    poster = house.runtime.poster
    two = Poster(
        house.runtime.endpoints, poster._rows, poster._posts, poster._events, poster._views, house.phone,
        poster._telling, poster._feed, now,
    )  # fmt: skip
    await house.endpoint("*")
    await house.happens("order.paid", times=60)
    for _ in range(12):
        await asyncio.gather(poster.drain(20), two.drain(20))
    await asyncio.gather(poster.idle(), two.idle())
    await house.post()
    assert len(house.phone.ids) == len(set(house.phone.ids)) == 60


async def test_an_erased_person_is_told_of_no_more(house: House) -> None:
    endpoint_id, _ = await house.endpoint("message.received")
    talk = await house.writes("Forget me")
    erasures = house.runtime.privacy.erasures
    row = await erasures.ask(talk.profile_id, by="usr_x")
    for _ in range(6):
        past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
        await house.runtime.db.collection("erasures").update_many({"due_at": {"$exists": True}}, past)
        await erasures.drain(only=row["_id"])
    await house.post()
    assert house.phone.posted == [] and await house.rows() == []
    assert (await house.runtime.endpoints.get(endpoint_id))["failing_since"] is None


async def test_what_was_told_of_two_people_follows_when_they_are_one_and_two_again(house: House) -> None:
    await house.endpoint("message.received")
    one, other = await house.writes("one"), await house.writes("other")
    done = await house.runtime.merger.merge(one.profile_id, other.profile_id, by="usr_x")
    assert {row["profile_id"] for row in await house.rows()} == {one.profile_id}
    await house.post()
    assert {said["data"]["profile"]["id"] for said in house.phone.said} == {one.profile_id}
    await house.runtime.merger.unmerge(str(done.merge_id), by="usr_x")
    assert {row["profile_id"] for row in await house.rows()} == {one.profile_id, other.profile_id}


async def test_what_goes_elsewhere_now_goes_there(house: House) -> None:
    endpoint_id, _ = await house.endpoint("*")
    await house.happens("order.paid")
    await house.runtime.endpoints.change(endpoint_id, {"url": "https://new.example/in"})
    await house.post()
    assert [url for url, _, _ in house.phone.posted] == ["https://new.example/in"]
    await house.happens("order.paid")
    await house.runtime.endpoints.remove(endpoint_id)
    await house.post()
    assert len(house.phone.posted) == 1
    assert [row["said"]["error"] for row in await house.rows(state="failed")] == ["removed"]
    await house.runtime.endpoints.restore(endpoint_id)
    assert await house.runtime.endpoints.redeliver_failed(endpoint_id) == 1
    await house.post()
    assert len(house.phone.posted) == 2


async def test_a_test_is_posted_also_while_it_is_off_and_tells_of_no_trouble(house: House) -> None:
    endpoint_id, secret = await house.endpoint("order.paid")
    await house.runtime.endpoints.change(endpoint_id, {"state": "off"})
    await house.happens("order.paid")
    house.phone.script = lambda url, body: HttpFailed("timeout", "no answer", sent=True)
    row = await house.runtime.endpoints.test(endpoint_id)
    await house.post()
    ((url, headers, body),) = house.phone.posted
    assert url == URL and Webhook(secret).verify(body, headers)["type"] == "webhook.test"
    kept = await house.runtime.endpoints.delivery(endpoint_id, row["_id"])
    assert kept["state"] == "failed" and kept["tries"][0]["error"] == "timeout" and len(await house.rows()) == 1
    assert (await house.runtime.endpoints.get(endpoint_id))["failing_since"] is None
