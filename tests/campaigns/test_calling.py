"""Steps that call an address: signed, once per visit as the peer sees it, nobody waits behind a slow one."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web

from base.clock import now
from base.http import AddressGuard, HttpClient, HttpFailed, HttpReply
from base.signing import verify_standard
from campaigns.calling import BACKOFF, TRIES, answer_of, next_try
from campaigns.models import WebhookStep
from campaigns.store import CallStore
from tests.campaigns.conftest import World
from tests.conftest import LocalServer

HOOK: dict[str, Any] = {"id": "h", "type": "webhook", "url": "https://shop.example/credit", "save_as": "credit"}


def ok(body: Any) -> HttpReply:
    return HttpReply(200, {}, orjson.dumps(body))


async def entered(world: World, *steps: dict[str, Any], **properties: Any) -> str:
    await world.journey(*steps, trigger={"type": "event", "event": "x"})
    person = await world.person("Anna Bell")
    await world.happens("x", person, **properties)
    return person


async def calls(world: World) -> list[Any]:
    return await world.db.collection("webhook_calls").find({}).sort("_id", 1).to_list(None)


async def test_the_answer_is_there_for_branches_and_templates(world: World) -> None:
    world.phone.script = lambda url, headers, body: ok({"limit": 500, "currency": "EUR"})
    rich = {"field": "journey.credit.limit", "op": "gte", "value": 500}
    branch = {"id": "b", "type": "branch", "cases": [{"when": rich, "next": "s"}], "else": None}
    send = {"id": "s", "type": "send", "content": {"text": "You have {{ journey.credit.limit }}"}}
    body = {"who": "{{ profile.name }}", "n": "{{ event.properties.n }}", "all": ["{{ event.properties.n }} pieces"],
            "said": "{% if profile.name %}Dear {{ profile.first_name|upper }}{% endif %}", "fixed": 1}  # fmt: skip
    await entered(world, {**HOOK, "body": body, "next": "b"}, branch, send, n=3)
    await world.settle()
    assert world.sent() == ["You have 500"]
    ((url, headers, posted),) = world.phone.posted
    assert url == HOOK["url"] and headers["Content-Type"] == "application/json"
    assert orjson.loads(posted) == {
        "who": "Anna Bell", "n": 3, "all": ["3 pieces"], "said": "Dear ANNA", "fixed": 1,
    }  # fmt: skip
    assert headers["Idempotency-Key"] == headers["webhook-id"]
    secrets = await world.secrets.signing()
    signed = (headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"])
    assert verify_standard(secrets, *signed, posted, now()) and not verify_standard(["QUJD"], *signed, posted, now())
    run = await world.run()
    assert "webhook.answered" in await world.codes(run["_id"]) and run["data"]["credit"]["limit"] == 500
    assert [row["state"] for row in await calls(world)] == ["done"] and "body" not in (await calls(world))[0]


async def test_names_in_the_address_are_filled_in_and_stay_in_their_place(world: World) -> None:
    world.phone.script = lambda url, headers, body: ok({})
    url = "https://shop.example/c/{{ event.properties.who }}/x?name={{profile.name}}&none={{ event.properties.no }}#a"
    await entered(world, {**HOOK, "url": url}, who="../a b/茶?q=1#f")
    await world.settle()
    ((posted, _, _),) = world.phone.posted
    where = "https://shop.example/c/..%2Fa%20b%2F%E8%8C%B6%3Fq%3D1%23f/x?name=Anna%20Bell&none=#a"
    assert posted == where
    assert "address" not in (await calls(world))[0], "what names somebody goes with the body"


@pytest.mark.parametrize("value", [None, "", ".", ".."])
async def test_a_name_in_the_path_that_stands_for_nothing_calls_nobody(world: World, value: str | None) -> None:
    url = "https://shop.example/customers/{{ event.properties.who }}"
    await entered(world, {**HOOK, "url": url}, **({} if value is None else {"who": value}))
    await world.settle()
    assert world.phone.posted == [] and (await world.run())["end"]["reason"] == "completed"
    said = (await calls(world))[0]["said"]
    assert said["code"] == "template_failed" and "event.properties.who" in said["detail"]


async def test_every_try_goes_to_the_same_address(world: World) -> None:
    """What changes about the person between two tries changes nothing about the call."""
    world.phone.script = lambda url, headers, body: HttpReply(503, {}, b"")
    person = await entered(world, {**HOOK, "url": "https://shop.example/{{ profile.name }}"})
    await world.settle()
    await world.db.collection("profiles").update_one({"_id": person}, {"$set": {"names": [], "name": None}})
    await world.travel(hours=10)
    await world.settle()
    assert [url for url, _, _ in world.phone.posted] == ["https://shop.example/Anna%20Bell"] * 2


@pytest.mark.parametrize(
    "url",
    ["https://{{ profile.name }}.example/", "{{ event.url }}", "https://shop.example:{{ event.port }}/",
     "https://shop.example/{% if x %}a{% endif %}", "https://shop.example/{{ a|b }}", "https://a@shop.example/",
     "https://shop.example/#{{ profile.id }}", "ftp://shop.example/", "https://{{ profile.id }}@shop.example/"],
)  # fmt: skip
def test_nobody_but_the_author_says_which_host_is_called(url: str) -> None:
    with pytest.raises(ValueError, match=r"web address|names in an address"):
        WebhookStep.model_validate({**HOOK, "url": url})


async def test_without_a_body_everything_about_the_person_goes(world: World) -> None:
    await entered(world, HOOK, n=3)
    await world.settle()
    sent = orjson.loads(world.phone.posted[0][2])
    assert sent["type"] == "journey.webhook" and sent["data"]["profile"]["name"] == "Anna Bell"
    assert sent["data"]["event"]["properties"] == {"n": 3} and "unsubscribe_url" not in sent["data"]


async def test_passing_faults_are_tried_again_with_the_same_words_under_the_same_key(world: World) -> None:
    """7b.7: six tries within a day, then the author's choice."""
    world.phone.script = lambda url, headers, body: HttpReply(503, {}, b"")
    await entered(world, {**HOOK, "if_failed": "exit"})
    await world.settle()
    for _ in range(TRIES - 1):
        assert (await world.run())["wait"]["kind"] == "call"
        await world.travel(hours=10)
        await world.db.collection("webhook_calls").update_many({}, {"$set": {"created_at": now()}})
        await world.settle()
    assert len(world.phone.posted) == TRIES
    assert len({(headers["Idempotency-Key"], body) for _, headers, body in world.phone.posted}) == 1
    run = await world.run()
    assert run["end"]["reason"] == "webhook_failed"
    assert (await calls(world))[0]["said"] == {"code": "status", "status": 503, "tries": TRIES}


@pytest.mark.parametrize(
    "answer",
    [HttpReply(400, {}, b""), HttpReply(301, {}, b""), HttpReply(410, {}, b""),
     HttpFailed("refused_address", "private", sent=False), HttpFailed("too_large", "large", sent=True)],
)  # fmt: skip
async def test_lasting_faults_are_not_tried_again(world: World, answer: Any) -> None:
    world.phone.script = lambda url, headers, body: answer
    await entered(world, {**HOOK, "next": "t"}, {"id": "t", "type": "task", "text": "Look"})
    await world.settle()
    assert len(world.phone.posted) == 1
    run = await world.run()
    assert run["end"]["reason"] == "completed" and "webhook.failed" in await world.codes(run["_id"])


async def test_addresses_inside_the_house_are_not_called(world: World) -> None:
    """The one client and its guard, for real."""
    client = HttpClient(AddressGuard())
    world.worker.caller._http = client
    await entered(world, {**HOOK, "url": "http://127.0.0.1:9/metadata", "if_failed": "exit"})
    await world.settle()
    await client.close()
    assert (await calls(world))[0]["said"]["code"] == "refused_address"
    assert (await world.run())["end"]["reason"] == "webhook_failed"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_a_call_nowhere(world: World, local_server: LocalServer, status: int) -> None:
    """The receiver may be called and sends on to an address inside: nobody goes there, even if it could be dialled."""
    reached: list[str] = []

    async def inside(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.json_response({"secret": 1})

    async def receiver(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"{target}/latest/meta-data"})

    private, public = web.Application(), web.Application()
    private.router.add_route("*", "/{tail:.*}", inside)
    public.router.add_route("*", "/{tail:.*}", receiver)
    target = await local_server(private)
    client = HttpClient(AddressGuard(["127.0.0.0/8"]))
    world.worker.caller._http = client
    await entered(world, {**HOOK, "url": f"{await local_server(public)}/hook", "if_failed": "exit"})
    await world.settle()
    await client.close()
    assert reached == [] and (await calls(world))[0]["said"] == {"code": "status", "status": status, "tries": 1}
    run = await world.run()
    assert run["end"]["reason"] == "webhook_failed" and "credit" not in run["data"]


async def test_what_waits_for_a_dead_address_is_not_even_read(world: World) -> None:
    store = CallStore(world.db, now)

    def call(number: int, host: str) -> dict[str, Any]:
        return {"key": f"{host}:{number}", "host": host, "enrolment_id": "enr_x", "profile_id": "prf_x"}

    await store.plan([call(number, "dead.example") for number in range(300)])
    await store.plan([call(0, "fine.example")])
    await world.db.handle.command("profile", 2)
    found = await store.by_host.claim(50, ["dead.example"])
    await world.db.handle.command("profile", 0)
    assert [row["host"] for row in found] == ["fine.example"]
    read = await world.db.collection("system.profile").find({"ns": {"$regex": r"\.webhook_calls$"}}).to_list(None)
    await world.db.collection("system.profile").drop()
    assert read and max(row.get("keysExamined", 0) for row in read) < 10, "whoever waits for it costs nobody anything"


async def test_a_slow_address_holds_up_nobody_else(world: World) -> None:
    """Two dozen calls hang at one address; those to another are answered, and other steps are taken."""
    free = asyncio.Event()

    async def script(url: str, headers: Any, body: bytes) -> HttpReply:
        if "slow" in url:
            await free.wait()
        return ok({})

    world.phone.script = script
    await world.journey({**HOOK, "url": "https://slow.example/"}, trigger={"type": "event", "event": "slow"})
    await world.journey({**HOOK, "url": "https://fast.example/"}, trigger={"type": "event", "event": "fast"})
    people = await world.people(48)
    for person in people[:24]:
        await world.happens("slow", person)
    for person in people[24:]:
        await world.happens("fast", person, ago_s=-1)
    await world.react()
    await world.worker.walker.advance(500)
    for _ in range(20):
        await world.worker.caller.drain(100)
        await asyncio.sleep(0)
    await world.worker.walker.advance(500)
    posted = [url for url, _, _ in world.phone.posted]
    assert posted.count("https://fast.example/") == 24 and posted.count("https://slow.example/") == 8
    assert len(await world.rows(state="ended")) == 24
    free.set()
    await world.settle()
    assert len(await world.rows(state="ended")) == 48 and len(world.phone.posted) == 48


async def test_a_worker_that_died_in_a_call_leaves_it_to_the_next_under_the_same_key(world: World) -> None:
    async def dies(url: str, headers: Any, body: bytes) -> HttpReply:
        raise asyncio.CancelledError

    world.phone.script = dies
    await entered(world, HOOK)
    await world.settle()
    assert (await calls(world))[0]["state"] == "planned" and len(world.phone.posted) == 1
    await world.db.collection("webhook_calls").update_many({}, {"$set": {"due_at": now() - timedelta(seconds=1)}})
    world.phone.script = lambda url, headers, body: ok({"a": 1})
    await world.settle()
    assert len({(headers["Idempotency-Key"], body) for _, headers, body in world.phone.posted}) == 1
    assert (await world.run())["data"]["credit"] == {"a": 1}


async def test_two_workers_call_once(world: World) -> None:
    two = world.new_worker()
    world.phone.script = lambda url, headers, body: ok({})
    await world.journey(HOOK, trigger={"type": "event", "event": "x"})
    for person in await world.people(30):
        await world.happens("x", person)
    await world.react()
    await asyncio.gather(world.worker.walker.advance(500), two.walker.advance(500))
    for _ in range(8):
        await asyncio.gather(world.call(), world.call(two))
    await world.settle()
    keys = [headers["Idempotency-Key"] for _, headers, _ in world.phone.posted]
    assert len(keys) == len(set(keys)) == 30


async def test_who_has_left_is_not_called_for_and_a_pause_holds_calls(world: World) -> None:
    journey = await world.journey(HOOK, trigger={"type": "event", "event": "x"})
    people = await world.people(2)
    for person in people:
        await world.happens("x", person)
    await world.react()
    await world.worker.walker.advance(500)
    gone = await world.run(profile_id=people[0])
    await world.journeys.exit(gone["_id"])
    await world.journeys.set_status(journey, "paused")
    await world.call()
    assert world.phone.posted == []
    assert sorted(row["state"] for row in await calls(world)) == ["cancelled", "planned"]
    await world.journeys.set_status(journey, "live")
    await world.travel(minutes=2)
    await world.settle()
    assert len(world.phone.posted) == 1 and (await world.run(profile_id=people[1]))["end"]["reason"] == "completed"


async def test_a_run_that_is_held_for_months_finds_its_answer(world: World) -> None:
    """novu#12334, the other way round: what is still needed does not go by its age, or it would be done again."""
    world.phone.script = lambda url, headers, body: ok({"limit": 1})
    journey = await world.journey(HOOK, trigger={"type": "event", "event": "x"})
    person, over = await world.people(2)
    await world.happens("x", over)
    await world.settle()
    await world.happens("x", person)
    await world.react()
    await world.worker.walker.advance(500)
    await world.call()
    await world.journeys.set_status(journey, "paused")
    await world.travel(days=40)
    assert await world.tidying.tidy() == 1 and await world.tidying.tidy() == 0
    await world.journeys.set_status(journey, "live")
    await world.settle()
    assert len(world.phone.posted) == 2 and (await world.run(profile_id=person))["data"]["credit"] == {"limit": 1}
    await world.travel(days=40)
    assert await world.tidying.tidy() == 1


async def test_a_secret_is_exchanged_without_a_gap(world: World) -> None:
    first = await world.secrets.current()
    second = await world.secrets.exchange()
    assert first != second and await world.secrets.signing() == [second, first]
    await entered(world, HOOK)
    await world.settle()
    _, headers, body = world.phone.posted[0]
    for secret in (first, second):
        signed = (headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"])
        assert verify_standard([secret], *signed, body, now())
    old = {"$set": {"exchanged_at": now() - timedelta(hours=25)}}
    await world.db.collection("call_secrets").update_many({}, old)
    world.secrets._until = 0
    assert await world.secrets.signing() == [second]


async def test_a_template_that_cannot_be_filled_in_fails_alone(world: World) -> None:
    await entered(world, {**HOOK, "body": {"a": "{% for x in range(9) %}{{ x }}{% endfor %}"}})
    await world.settle()
    assert world.phone.posted == []
    assert (await calls(world))[0]["said"]["code"] == "template_failed"


def test_how_long_a_call_is_tried() -> None:
    begun = datetime(2026, 11, 28, tzinfo=UTC)
    at, times = begun, [begun]
    for tries in range(1, TRIES):
        again = next_try(tries, begun, at, None)
        assert again is not None and 0.79 <= (again - at) / BACKOFF[tries - 1] <= 1.21
        at = again
        times.append(at)
    assert next_try(TRIES, begun, at, None) is None and at - begun < timedelta(days=1)
    assert next_try(1, begun, begun, begun + timedelta(hours=5)) == begun + timedelta(hours=5)
    assert next_try(1, begun, begun, begun + timedelta(days=2)) is None


@pytest.mark.parametrize(
    ("value", "after"),
    [("120", 120), ("Sat, 28 Nov 2026 00:01:00 GMT", 60), ("", None), ("soon", None), ("9" * 9, None)],
)
def test_retry_after(value: str, after: int | None) -> None:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    found = HttpReply(503, {"retry-after": value}, b"").asks_again_at(at)
    assert found == (at + timedelta(seconds=after) if after is not None else None)


def test_what_is_kept_of_an_answer() -> None:
    assert answer_of(HttpReply(204, {}, b"")) == ({"status": 204}, None)
    assert answer_of(ok({"a": [1, {"$b.c": 2}]}))[1] == {"a": [1, {"_b_c": 2}]}
    assert answer_of(HttpReply(200, {}, b"<p>")) == ({"status": 200, "not_kept": "no_json"}, None)
    large = HttpReply(200, {}, orjson.dumps("x" * 40_000))
    assert answer_of(large) == ({"status": 200, "not_kept": "too_large"}, None)
