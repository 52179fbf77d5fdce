"""From the rendered message to the event: links by id, machines told apart, on the real stores."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

from base.clock import now
from base.ids import new_id
from campaigns.tracking.dressing import Dresser
from campaigns.tracking.machines import Caller
from campaigns.tracking.tokens import HONEYPOT, TrackedLink
from channels.vocabulary import Address, OutboundMessage
from inbox.models import Send, Source
from profiles.consent import ConsentAct
from tests.campaigns.conftest import TRACKED
from tests.campaigns.tracking.conftest import BODY, FIREFOX, PERSON, Post


async def test_nothing_is_tracked_until_somebody_wants_it(post: Post) -> None:
    await post.mailed()
    assert 'href="https://shop.example/a?x=1&amp;y=2#top"' in post.html()
    assert post.tokens() == post.tokens("o") == []


async def test_links_lead_by_id_to_what_was_written_and_nowhere_else(post: Post) -> None:
    await post.choose(links=True, opens=True, utm={"source": "r"})
    _, row = await post.mailed()
    first, second, trap = post.tokens()
    assert await post.call(first) == "https://shop.example/a?x=1&y=2&utm_source=r#top"
    assert await post.call(second) == "https://shop.example/b?utm_source=r"
    assert await post.call(trap) is None
    assert 'href="https://crm.example/u/' in post.html()
    assert "mailto:x@shop.example" in post.html()
    other = TRACKED.token(TrackedLink(row["_id"], "f" * 16))
    assert await post.call(other) is None
    assert await post.call("https%3A%2F%2Fevil.example") is None


async def test_a_step_adds_its_own_to_links_and_leaves_out_what_it_crosses_out(post: Post) -> None:
    await post.choose(utm={"source": "house", "medium": "mail", "campaign": "{campaign}"})
    await post.mailed(utm={"source": "spring-{step}", "medium": "-"})
    assert 'href="https://shop.example/b?utm_source=spring-m&amp;utm_campaign=' in post.html()
    assert "utm_medium" not in post.html()


async def test_a_step_adds_to_links_where_the_workspace_adds_nothing(post: Post) -> None:
    await post.mailed(utm={"term": "tea"})
    assert 'href="https://shop.example/b?utm_term=tea"' in post.html() and post.tokens() == []


async def test_a_broadcast_adds_its_own_to_links(post: Post) -> None:
    await post.choose(utm={"source": "house", "campaign": "{campaign}"})
    heads = post.world.db.collection("broadcasts")
    own = {"utm": {"source": "own", "term": "{step}"}}
    await heads.insert_one({"_id": "brd_utm", "name": "Spring Teas", "body": own})
    send = Send(
        id=new_id("snd"), send_key="utm", send_class="marketing", source=Source("broadcast", "brd_utm", node_id="b"),
        profile_id="prf", identity_id="idn", channel_id="chn", content={}, state="planned", planned_at=now(),
    )  # fmt: skip
    to = Address(channel_id="chn", external_id="x")
    message = OutboundMessage(key="k", to=to, text="See https://shop.example/b")
    made = await Dresser(post.rows, TRACKED, post.world.consent).dress([(send, message, "chat")])
    assert made[send.id].text == (
        "See https://shop.example/b?utm_source=own&utm_campaign=spring-teas&utm_term=b"
    )  # fmt: skip


async def test_whoever_refuses_gets_the_links_themselves(post: Post) -> None:
    await post.choose(links=True, opens=True)
    person = await post.world.person(channel="mail")
    (identity,) = await post.world.profiles.identities_of(person)
    await post.world.consent.act(ConsentAct(identity.id, "tracking", False, "preference_centre"))
    await post.mailed(person)
    assert post.tokens() == post.tokens("o") == []
    assert "https://shop.example/b" in post.html()


async def test_an_order_notice_is_never_tracked(post: Post) -> None:
    await post.choose(links=True, opens=True)
    person = await post.world.person(channel="mail")
    step = {"id": "m", "type": "send", "channels": [post.world.ids["mail"]],
            "content": {"subject": "s", "body": BODY}}  # fmt: skip
    journey = await post.world.journey(step, **{"class": "transactional"})
    await post.world.worker.journeys.enrol(journey, person)
    await post.world.settle()
    assert post.tokens() == []


async def test_a_target_of_one_person_is_theirs_and_of_two_is_nobodys(post: Post) -> None:
    links = post.world.db.collection("tracked_links")
    await post.rows.know({"a" * 16: ("https://s.example/1", "jrn_1", ["prf_a"])})
    assert (await links.find_one({"_id": "a" * 16}))["profile_id"] == "prf_a"
    await post.rows.know({"a" * 16: ("https://s.example/1", "jrn_1", ["prf_a"])})
    assert (await links.find_one({"_id": "a" * 16}))["profile_id"] == "prf_a"
    assert await post.rows.know({"a" * 16: ("https://s.example/1", "jrn_1", ["prf_b"])}) == {"a" * 16}
    assert (await links.find_one({"_id": "a" * 16}))["profile_id"] is None
    assert await post.rows.know({"a" * 16: ("https://other.example/", "jrn_1", ["prf_b"])}) == set()


async def test_a_click_is_an_event_once_an_hour(post: Post) -> None:
    await post.choose(links=True, opens=True)
    journey, row = await post.mailed()
    await post.ago(row, minutes=5)
    for _ in range(3):
        await post.call(post.tokens()[0])
        await post.call(post.tokens("o")[0])
    await post.judge()
    (click,) = await post.events()
    assert click["properties"]["link"] == "https://shop.example/a?x=1&y=2#top"
    assert click["properties"]["journey_id"] == journey
    assert click["properties"]["step"] == "m"
    assert "bot" not in click["properties"]
    assert click["profile_id"] == row["profile_id"]
    assert len(await post.events("message.opened")) == 1
    kept = await post.world.db.collection("sends").find_one({"_id": row["_id"]})
    assert kept["clicked_at"]
    assert kept["opened_at"]
    counts = (await post.results.of("journey", journey)).whole.counts
    assert (counts["accepted"], counts["clicked"], counts["opened"], counts["machine_clicked"]) == (1, 1, 1, 0)


async def test_mautic_9798_what_a_scanner_follows_is_counted_apart(post: Post) -> None:
    await post.choose(links=True)
    journey, row = await post.mailed()
    await post.ago(row, minutes=5)
    for token in post.tokens():
        await post.call(token, dataclasses.replace(PERSON, agent=FIREFOX + " too"))
    await post.judge()
    assert {each["properties"]["bot"] for each in await post.events()} == {"honeypot"}
    counts = (await post.results.of("journey", journey)).whole.counts
    assert (counts["clicked"], counts["machine_clicked"]) == (0, 1)
    # the person comes within the same hour, with the same browser
    earlier = [{"$set": {"at": {"$dateSubtract": {"startDate": "$at", "unit": "second", "amount": 60}}}}]
    await post.world.db.collection("hits").update_many({}, earlier)
    await asyncio.sleep(2.1)
    await post.call(post.tokens()[0])
    await post.judge()
    assert len([each for each in await post.events() if "bot" not in each["properties"]]) == 1
    counts = (await post.results.of("journey", journey)).whole.counts
    assert (counts["clicked"], counts["machine_clicked"]) == (1, 1)


async def test_mautic_9162_a_scanner_moves_no_journey(post: Post) -> None:
    await post.choose(links=True)
    world = post.world
    follow = await world.journey(
        {"id": "x", "type": "exit", "reason": "came"}, trigger={"type": "message", "what": "clicked"}
    )
    plain = await world.journey(
        {"id": "x", "type": "exit", "reason": "came"}, trigger={"type": "event", "event": "message.clicked"}
    )
    person = await world.person(channel="mail")
    mail = {"id": "m", "type": "send", "channels": [world.ids["mail"]], "content": {"subject": "s", "body": BODY},
            "next": "w"}  # fmt: skip
    waits = {"id": "w", "type": "wait_event", "any": [{"event": "message.clicked", "next": "yes"}], "since": "entry",
             "timeout": "P1D", "timeout_next": None}  # fmt: skip
    journey = await world.journey(
        mail, waits, {"id": "yes", "type": "exit", "reason": "clicked"}, **{"class": "marketing"}
    )
    await world.worker.journeys.enrol(journey, person)
    await world.settle()
    (row,) = await world.inbox.sends.raw({"source.id": journey})
    await post.ago(row, minutes=5)
    await post.call(post.tokens()[0], Caller("HEAD", FIREFOX, "203.0.113.9"))
    await post.call(post.tokens()[1], Caller("GET", "Mimecast/1", "203.0.113.9"))
    await post.judge()
    await world.settle()
    assert len(await post.events()) == 2
    assert (await world.run(journey_id=journey))["node"] == "w"
    assert await world.rows(journey_id=follow) == await world.rows(journey_id=plain) == []
    await world.db.collection("hits").delete_many({})
    await post.call(post.tokens()[0])
    await post.judge()
    await world.settle()
    assert (await world.run(journey_id=journey))["node"] == "yes"
    assert len(await world.rows(journey_id=follow)) == 1
    assert len(await world.rows(journey_id=plain)) == 1


async def test_mautic_16263_a_scanner_unsubscribes_nobody(post: Post) -> None:
    await post.choose(links=True)
    _, row = await post.mailed()
    assert post.html().count("https://crm.example/u/") == 1  # the way out is never a tracked link
    for token in post.tokens():
        await post.call(token, Caller("GET", "Barracuda", "203.0.113.9"))
    await post.judge()
    await post.world.settle()
    pair = (row["identity_id"], "marketing")
    assert (await post.world.consent.allowed([pair]))[pair].ok


async def test_a_worker_that_dies_while_judging_tells_nothing_twice(post: Post) -> None:
    await post.choose(links=True)
    _, row = await post.mailed()
    await post.ago(row, minutes=5)
    await post.call(post.tokens()[0])
    await post.judge()
    hits = post.world.db.collection("hits")
    again = {"$set": {"state": "waiting", "due_at": now() - timedelta(seconds=1)}, "$unset": {"judged_at": ""}}
    await hits.update_many({}, again)
    assert await post.hits.drain() == 1
    assert len(await post.events()) == 1


async def test_the_trap_alone_is_no_click(post: Post) -> None:
    await post.choose(links=True)
    _, row = await post.mailed()
    await post.call(TRACKED.token(TrackedLink(row["_id"], HONEYPOT)))
    await post.judge()
    assert await post.events() == []
