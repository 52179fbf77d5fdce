"""Which events may be subscribed to, and what each of them looks like when it is told."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from channels.vocabulary import RESERVED
from desk.pages.timeline import SENTENCES
from desk.pages.webhooks_out import FAMILY_LABELS
from tests.webhooks.outgoing.conftest import House
from webhooks.outgoing.endpoints import EndpointInput, EndpointPatch
from webhooks.outgoing.names import FAMILIES, KNOWN, fault_in, wants

#: The public contract, section 4.
PROMISED = (
    "profile.created|updated|merged|stage_changed|tier_changed|tag_added|tag_removed|score_changed",
    "message.received|sent|delivered|read|failed|clicked|opened|bounced|complained",
    "conversation.created|assigned|status_changed|merged",
    "order.created|paid|payment_failed|fulfilled|delivered|cancelled|refunded",
    "checkout.started|updated|completed", "consent.granted|denied", "contact.left|returned", "segment.entered|left",
    "task.created|done", "csat.submitted", "sla.breached",
)  # fmt: skip
NAMES = [f"{line.partition('.')[0]}.{what}" for line in PROMISED for what in line.partition(".")[2].split("|")]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"


def test_every_name_of_the_contract_and_of_the_timeline_can_be_subscribed_to() -> None:
    assert set(NAMES) <= set(KNOWN) and set(SENTENCES) <= set(KNOWN)
    assert all(fault_in(each) is None for each in KNOWN)
    assert all(f"{family}.".startswith(RESERVED) or fault_in(f"{family}.own") is None for family in FAMILIES)


def test_every_name_is_written_down() -> None:
    told = DOCS.read_text()
    for family, names in FAMILIES.items():
        (row,) = re.findall(rf"^\| `{family}` \| (.*?) \|", told, re.M)
        assert row.split(", ") == list(names), family


@pytest.mark.parametrize("name", NAMES)
def test_who_subscribes_hears(name: str) -> None:
    family = name.partition(".")[0]
    for subscribed in (["*"], [name], [f"{family}.*"], ["other", name]):
        assert wants(subscribed, name)
    for subscribed in ([], [f"{name}x"], [family], ["other.*"], [f"{family}.x"]):
        assert not wants(subscribed, name)


@pytest.mark.parametrize(
    ("name", "said"),
    [("mesage.received", None), ("message.recieved", "did you mean message.received?"), ("order.payed", None),
     ("*.paid", "the star stands alone"), ("order*", "the star stands alone"), ("**", "the star stands alone"),
     ("order.*.x", "the star stands alone"), (".*", "the star stands alone"), ("*", None), ("order.*", None),
     ("Product Viewed", None), ("own.*", None), ("conversation.zzz", "there is no event")],
)  # fmt: skip
def test_what_can_never_happen_is_refused_with_advice(name: str, said: str | None) -> None:
    fault = fault_in(name)
    assert (fault is None) if said is None else (said in str(fault))


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com/", "http://", "https://a:b@example.com/", "https://example.com/#x",
     "https://exa mple.com/", "https://[::1", "https://example.com:99999/", "https://example.com/" + "x" * 2000,
     "javascript:alert(1)", "https://example.com/\x00"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        EndpointInput(url=url, events=["*"])
    with pytest.raises(ValidationError):
        EndpointPatch(url=url)


def test_every_family_can_be_ticked() -> None:
    assert set(FAMILY_LABELS) == set(FAMILIES)


async def test_every_event_is_told_in_the_same_shape(house: House) -> None:
    """A table of all of them: type, time, and what each is about."""
    await house.endpoint("*")
    talk = await house.writes()
    await house.post()
    house.phone.posted.clear()
    for name in KNOWN:
        about = {"profile_id": talk.profile_id, "conversation_id": talk.id, "channel_id": talk.channel_id}
        await house.happens(name, properties={"text": name}, **about)
    await house.post()
    told = {said["type"]: said for said in house.phone.said}
    assert set(told) == set(KNOWN)
    for name, said in told.items():
        assert set(said) == {"type", "timestamp", "data"} and said["timestamp"].endswith("Z")
        data = said["data"]
        assert set(data) == {
            "id", "recorded_at", "profile_id", "identity_id", "channel_id", "conversation_id", "properties", "profile",
            "conversation",
        }  # fmt: skip
        assert data["properties"]["text"] == name and data["profile"]["id"] == data["profile_id"] == talk.profile_id
