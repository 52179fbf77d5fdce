"""The demo's past: seeded, all of it over, with weeks and days as a shop has them, and counted by the ordinary ways."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from inbox.figures.periods import period
from inbox.figures.tables import REPORTS
from inbox.reports import Asked
from inbox.store.figures import Narrowed
from rapport.demo import cast, past
from rapport.demo.house import ORDERS, prepare_terms
from rapport.demo.remembering import remembered, told_at
from rapport.demo.setting import COLLEAGUES
from rapport.demo.stage import NAMES, Stage
from rapport.demo.talks import DAYS, ZONE, Talk, talks
from tests.rapport.merging import opened

NOW = datetime(2026, 11, 25, 14, tzinfo=UTC)


def times_of(talk: Talk) -> list[datetime]:
    """All of them, in order."""
    found = [at for each in talk.exchanges for at in (each.asked_at, each.answered_at, each.last_at) if at]
    found += [talk.closed_at] if talk.closed_at else []
    found += [talk.again[0].asked_at, talk.again[0].last_at, talk.again[1]] if talk.again else []
    return found


def test_what_people_talked_about_is_over_and_comes_in_waves() -> None:
    everything = [each for n in range(cast.PEOPLE) for each in talks(cast.person(n), NOW)]
    for talk in everything:
        times = times_of(talk)
        assert times == sorted(times) and times[-1] <= NOW and times[0] > NOW - timedelta(days=DAYS + 2)
        assert talk.mark is None or (talk.closed_at is not None and talk.closed_at < talk.mark.at <= NOW)
    assert talks(cast.person(7), NOW) == talks(cast.person(7), NOW)
    began = [each.exchanges[0].asked_at.astimezone(ZONE) for each in everything]
    days = Counter(at.weekday() for at in began if at < NOW - timedelta(days=2))
    assert days[0] > 2 * days[6] and min(days.values()) > 50
    hours = Counter(at.hour for at in began if at < NOW - timedelta(days=2))
    assert max(hours.values()) > 4 * hours[8] and not hours[3]
    weeks = Counter((NOW - at).days // 7 for at in began)
    assert len([each for each in range(13) if weeks[each] > 40]) == 13 and weeks[0] > 2 * weeks[10]
    assert 20 < sum(each.closed_at is None for each in everything) < 150
    assert sum(each.again is not None for each in everything) > 80
    assert len({each.colleague for each in everything}) == len(COLLEAGUES)


def test_a_clock_is_set_back_for_what_is_told() -> None:
    with told_at(NOW - timedelta(days=9)):
        assert remembered() == NOW - timedelta(days=9)
    assert abs(remembered() - datetime.now(UTC)) < timedelta(minutes=1)


async def test_every_report_shows_something(
    mongo_url: str, redis_url: str, shaped_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cast, "PEOPLE", 60)
    async with opened(mongo_url, redis_url, shaped_database, remembered) as town:
        runtime, held = town.runtime, Stage(shaped_database, 8009, 8025)
        for email, name in COLLEAGUES:
            await runtime.accounts.invite(email, name, "agent")
        for provider, name in NAMES.items():
            held.channels[provider] = (await runtime.channels.add(provider, name, held.settings_of(provider))).id
        await prepare_terms(runtime, held)
        await past.load_past(runtime, held)
        counts = {name: await runtime.db.collection(name).count_documents({})
                  for name in ("messages", "conversations", "ratings")}  # fmt: skip
        await past.load_past(runtime, held)  # as if it had died before that was kept
        assert counts == {name: await runtime.db.collection(name).count_documents({}) for name in counts}
        while await runtime.figures.read_past():
            pass
        await runtime.db.collection("inbox_facts_due").update_many({}, {"$set": {"due_at": NOW - timedelta(days=999)}})
        await runtime.figures.keep()
        now = remembered()
        span = period(now - timedelta(days=DAYS + 1), now)
        for name, definition in REPORTS.items():
            for by in definition.by[:1] if name != "volume" else ("day", "agent", "team", "label", "channel"):
                made = await runtime.reports.table(Asked(name, span, ZONE, by))
                told = zip(definition.columns, made.total.values, strict=True)  # of few people not every mark
                assert all(value for column, value in told if column.scores is None), (name, made.total)
                assert sum(any(row.values) for row in made.rows) > 1, (name, by)
        teams = {each.written.name: each.id for each in await runtime.teams.all()}
        told = Asked("first-response", span, ZONE, "agent", True, Narrowed(None, None, teams[ORDERS], "parcel"))
        assert len((await runtime.reports.table(told)).rows) > 1
