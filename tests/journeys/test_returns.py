"""What comes back from a mailing by real SMTP: a bounce to the return address of one mail, a complaint, one click; what
the next send makes of it, and how a person at the desk lets the address be used again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiosmtplib
import pytest
from aiohttp import ClientSession, CookieJar

from tests.channels.providers.mail.email.sink import Taken
from tests.journeys.outside import eventually
from tests.journeys.talks import Mailbox, Person
from tests.journeys.test_mail import told_to_the_listener
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)
PASSWORD = "correct horse battery"


@dataclass
class Story:
    """One customer on a mailing list, and the mailbox it goes out from."""

    world: World
    box: Mailbox
    one: Person
    journey: str
    profile: str
    sent: int = 0

    async def mailed(self) -> tuple[str, str | None]:
        """Send the next mail; how the run left the step: its code, and why it was skipped."""
        self.sent += 1
        path = f"/journeys/{self.journey}/enrolments"
        run = await self.world.api.post(path, {"profile_id": self.profile, "key": f"mail-{self.sent}"})

        async def over() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.world.api.get(f"/enrolments/{run['id']}")
            left = [line for line in found["log"] if line["code"].startswith("send.")]
            return left[-1] if left else None

        line = await eventually(over, "the end of the step")
        return line["code"], line["params"].get("code")

    def mails(self) -> list[Taken]:
        """As the relay took them, with their envelopes."""
        return [mail for mail in self.world.outside.sink.mails if self.one.email in mail.recipients]

    async def comes_back(self, mail: Taken, report: str) -> None:
        """The receiver's server writes to the address that the envelope named."""
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=self.box.port, start_tls=False, timeout=60) as smtp:
            await smtp.mail("")
            await smtp.rcpt(str(mail.sender))
            await smtp.data(report.replace("\n", "\r\n").encode())

    async def suppressed(self) -> str:
        """Why nothing is sent to the address, as soon as that is known."""

        async def look() -> str | None:
            found = await self.world.api.get(f"/profiles/{self.profile}")
            whys = [each["suppressed"]["reason"] for each in found["identities"] if each["suppressed"]]
            return whys[0] if whys else None

        return str(await eventually(look, "the suppression"))


@pytest.fixture
async def story(world: World, somebody: Callable[[str], Person]) -> Story:
    box, one = await world.mailbox(), somebody("Gesa Holm")
    await told_to_the_listener(world, box.address)
    made = await world.api.post("/profiles", {"identities": [f"email:{one.email}"], "name": one.name}, status=201)
    content = {"subject": "New teas", "text": "Dear {{ profile.name }}. No more: {{ unsubscribe_url }}"}
    step = {"id": "s", "type": "send", "channels": [box.id], "content": content, "next": None}
    journey = await world.journey(
        {"name": "News", "trigger": {"type": "api"}, "reentry": {"mode": "per_key"}, "class": "marketing",
         "steps": [step]}
    )  # fmt: skip
    await world.journeys_known()
    return Story(world, box, one, journey, made["id"])


@pytest.fixture
async def desk(world: World) -> AsyncIterator[ClientSession]:
    """A browser of somebody who works at the desk."""
    accounts, email = world.runtime.accounts, f"ann{world.number()}@harbour-tea.example"
    _, link = await accounts.invite(email, "Ann", "agent", None)
    await accounts.follow_link(link, PASSWORD, agent="test", address="::1")
    async with ClientSession(world.url, cookie_jar=CookieJar(unsafe=True)) as client:
        async with client.post("/sign-in", data={"email": email, "password": PASSWORD}) as answer:
            assert answer.status == 200
        yield client


BOUNCE = """From: MAILER-DAEMON@mx.people.example
To: {back}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I could not deliver it.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.people.example

Final-Recipient: rfc822; {to}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b--
"""
COMPLAINT = """From: feedback@isp.example
To: {back}
Subject: Abuse report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report for a mail.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Loop/1.0
Version: 1
Original-Rcpt-To: <{to}>

--b--
"""


@pytest.mark.parametrize(("report", "why", "word"), [
    (BOUNCE, "bounce", "A mail came back from there"), (COMPLAINT, "complaint", "A mail was reported as unwanted"),
])  # fmt: skip
async def test_what_comes_back_closes_the_address_until_somebody_opens_it_again(
    story: Story, desk: ClientSession, report: str, why: str, word: str
) -> None:
    assert await story.mailed() == ("send.accepted", None)
    (mail,) = story.mails()
    local, _, domain = story.box.address.partition("@")
    assert re.fullmatch(rf"{local}\+b-[0-9a-f]{{40}}@{domain}", str(mail.sender)), "an address of this mail alone"
    await story.comes_back(mail, report.format(back=mail.sender, to=story.one.email))
    assert await story.suppressed() == why
    assert await story.mailed() == ("send.skipped", "suppressed") and len(story.mails()) == 1

    page, csrf = await _page(desk, story.profile)
    assert word in page
    identity = re.search(r"/addresses/(idn_[0-9a-z]+)/release", page)
    assert identity is not None, "the page offers to use the address again"
    path = f"/profiles/{story.profile}/addresses/{identity[1]}/release"
    async with desk.post(path, data={"csrf": csrf}) as answer:
        assert answer.status == 200 and word not in await answer.text()
    expected = ("send.accepted", None) if why == "bounce" else ("send.skipped", "no_consent")
    assert await story.mailed() == expected, "who complained has said no, which nobody lifts for them"
    assert len(story.mails()) == 1 + (why == "bounce")
    async with desk.post(path, data={"csrf": csrf, "undo": "1"}) as answer:
        assert word in await answer.text()
    assert await story.mailed() == ("send.skipped", "suppressed")


async def test_one_click_in_the_mail_program_ends_the_mailing(story: Story) -> None:
    assert await story.mailed() == ("send.accepted", None)
    (mail,) = story.world.outside.mails_to(story.one.email)
    url = re.search(r"<(https?://[^>]+)>", mail["List-Unsubscribe"])
    assert url is not None
    async with ClientSession() as nobody:
        async with nobody.get(url[1]) as answer:
            assert answer.status == 200
        assert await story.mailed() == ("send.accepted", None), "a scanner that looks unsubscribes nobody"
        form = {"List-Unsubscribe": "One-Click"}
        async with nobody.post(url[1], data=form, allow_redirects=False) as answer:
            assert answer.status == 200 and "Set-Cookie" not in answer.headers
    assert await story.mailed() == ("send.skipped", "no_consent")
    assert len(story.mails()) == 2


async def _page(desk: ClientSession, profile_id: str) -> tuple[str, str]:
    async with desk.get(f"/profiles/{profile_id}?tab=consent") as answer:
        text = await answer.text()
        assert answer.status == 200, text[:500]
        return text, text.split('name="csrf" content="', 1)[1].split('"', 1)[0]
