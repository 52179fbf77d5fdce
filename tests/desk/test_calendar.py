"""The calendar of what is due: read by a parser, by its link alone, with no word more than was chosen."""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from base.clock import now
from campaigns.tasks import TaskInput, TaskPatch
from desk.calendar.ics import Entry, calendar, escaped, folded
from profiles.follow_up import FollowUpInput
from tests.desk.world import channel, wrote

AT = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)


def parsed(text):
    """The events of a calendar, by RFC 5545: lines end in CRLF, are unfolded, and values unescaped. Fails on whatever
    breaks the rules."""
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", "")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    lines = text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR" and lines[-1] == "END:VCALENDAR"
    events, event = [], None
    for line in lines[1:-1]:
        name, colon, value = line.partition(":")
        assert colon and re.fullmatch(r"[A-Z-]+(;[A-Z-]+=[A-Z]+)*", name), line
        if (name, value) == ("BEGIN", "VEVENT"):
            assert event is None
            event = {}
        elif (name, value) == ("END", "VEVENT"):
            assert {"UID", "DTSTAMP", "DTSTART"} <= event.keys()
            events.append(event)
            event = None
        elif event is not None:
            assert name not in event
            event[name] = re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value)
    assert event is None
    return events


def test_a_calendar_is_written_as_the_rules_say():
    text = calendar("Tasks", [Entry("tsk_1@rapport", AT, AT, "Tea; cake, \\ and\r\nmore " + "茶" * 60, "https://x.example/t")])
    (event,) = parsed(text)
    assert event["SUMMARY"] == "Tea; cake, \\ and\nmore " + "茶" * 60
    assert (event["DTSTART"], event["DTSTAMP"], event["DURATION"]) == ("20261201T093000Z", "20261201T093000Z", "PT15M")
    assert parsed(calendar("Nothing", [])) == []


@given(st.text(max_size=300))
def test_any_text_survives(text):
    (event,) = parsed(calendar("Tasks", [Entry("u", AT, AT, text, "https://x.example")]))
    plain = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text.replace("\r\n", "\n").replace("\r", "\n"))
    assert event["SUMMARY"] == plain
    assert escaped(text).count("\n") == 0
    assert all(len(part.encode("utf-8", "replace")) <= 75 for part in folded(text.replace("\n", " ")).split("\r\n"))


async def made(browser, **fields):
    """The path of a new link."""
    page = await browser.post("/account/calendar", 200, act="make", **fields)
    return re.search(r'http://desk\.example(/calendar/[\w-]+\.ics)"', page)[1]


async def test_a_calendar_is_read_by_its_link_until_that_is_taken_away(desk):
    runtime, ada = desk.runtime, await desk.person("agent", name="Cal Endar")
    account = await channel(runtime)
    person = (await wrote(runtime, account, "31651", name="Nadia Named")).profile_id
    due = now().replace(microsecond=0) + timedelta(days=1)
    task = await runtime.tasks.create(
        TaskInput(text="Call the mill", assignee_id=ada.user_id, due_at=due, profile_id=person), ada.user_id
    )
    await runtime.tasks.create(TaskInput(text="Undated", assignee_id=ada.user_id), ada.user_id)
    await runtime.tasks.create(TaskInput(text="Not mine", due_at=due), ada.user_id)
    wanted = FollowUpInput(at=due + timedelta(days=9), text="Ask again", assignee_id=ada.user_id)
    await runtime.follow_ups.set(person, wanted, ada.user_id)

    path = await made(ada)
    assert "one before" in await ada.post("/account/calendar", 200, act="make"), "it is shown once"
    old, path = path, await made(ada)
    bare = ada.client.__class__(desk.url)
    try:
        async with bare.get(old) as answer:
            assert answer.status == 404
        async with bare.get(path) as answer:
            text, tag = await answer.text(), answer.headers["ETag"]
            assert answer.status == 200 and answer.content_type == "text/calendar"
        events = parsed(text)
        assert [each["SUMMARY"] for each in events] == ["A task is due", "A follow-up is due"]
        assert "Nadia" not in text and "mill" not in text and person not in text
        assert events[0]["DTSTART"] == due.strftime("%Y%m%dT%H%M%SZ")
        async with bare.get(path, headers={"If-None-Match": f'W/"x", {tag}'}) as answer:
            assert (answer.status, await answer.text()) == (304, "")
        await runtime.tasks.patch(task["_id"], TaskPatch(due_at=due + timedelta(hours=1)), ada.user_id)
        async with bare.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 200 and answer.headers["ETag"] != tag

        words = await made(ada, words="1")
        await runtime.users.change_user(ada.user_id, {"language": "zh_CN"})
        async with bare.get(words) as answer:
            events = parsed(await answer.text())
        assert [each["SUMMARY"] for each in events] == ["Call the mill · Nadia Named", "Ask again · Nadia Named"]
        assert events[0]["URL"] == f"http://desk.example/profiles/{person}"
        # what they may not see is not in it, whatever was chosen
        await runtime.users.change_user(ada.user_id, {"channels": ["chn_" + "0" * 26]})
        async with bare.get(words) as answer:
            assert parsed(await answer.text()) == []
        await runtime.users.change_user(ada.user_id, {"channels": None})
        await runtime.tasks.patch(task["_id"], TaskPatch(text="Write to mia@example.org"), ada.user_id)
        await runtime.users.change_user(ada.user_id, {"masks": ["emails"]})
        async with bare.get(words) as answer:
            body = await answer.text()
            assert "mia@example.org" not in body and "Write to" in body
            assert events[0]["DTSTART"] in body, "times are not taken for numbers of customers"

        await ada.post("/account/calendar", act="remove")
        async with bare.get(words) as answer:
            assert answer.status == 404
        words = await made(ada, words="1")
        await runtime.users.change_user(ada.user_id, {"active": False})
        async with bare.get(words) as answer:
            assert answer.status == 404, "who does not work here any more has no calendar"
        async with bare.get("/calendar/short.ics") as answer:
            assert answer.status == 404
    finally:
        await bare.close()
    kept = await runtime.db.collection("calendars").find_one({"_id": ada.user_id})
    assert words.split("/")[-1].removesuffix(".ics") not in str(kept), "the secret is kept nowhere"
