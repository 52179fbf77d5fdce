"""The list of approved templates, against a peer that plays the Graph API."""

from __future__ import annotations

from typing import Any

import pytest

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.meta.whatsapp.adapter import WhatsAppAdapter
from channels.providers.meta.whatsapp.templates import template_of
from channels.vocabulary import ApprovedTemplate, TemplateButton
from tests.channels.peer import Peer, answer
from tests.channels.providers.meta.whatsapp.conftest import BUSINESS


def item(name: str, status: str = "APPROVED", *components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "language": "en_US", "status": status, "components": list(components), **more}


async def test_every_page_is_read(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    first = {"data": [item("a"), item("b", "PAUSED")], "paging": {"cursors": {"after": "AFTER"}, "next": "https://x"}}
    peer.will(answer(first), answer({"data": [item("c", "REJECTED", rejected_reason="ABUSIVE")], "paging": {}}))
    found = await adapter.templates(connected)
    assert [(each.name, each.status, each.reason) for each in found] == [
        ("a", "approved", None),
        ("b", "paused", None),
        ("c", "rejected", "ABUSIVE"),
    ]
    assert [asked.path for asked in peer.asked] == [f"/v25.0/{BUSINESS}/message_templates"] * 2
    assert peer.asked[0].query["limit"] == "200" and peer.asked[1].query["after"] == "AFTER"


async def test_a_refusal_says_why(adapter: WhatsAppAdapter, connected: Account, peer: Peer) -> None:
    peer.will(answer({"error": {"code": 190, "message": "expired"}}, status=401))
    with pytest.raises(SendFailed) as caught:
        await adapter.templates(connected)
    assert caught.value.failure is Failure.ACCOUNT_PROBLEM and "canary" not in str(caught.value)


def test_parts_and_their_blanks_are_counted() -> None:
    found = template_of(
        item(
            "order",
            "APPROVED",
            {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
            {"type": "BODY", "text": "Hi {{1}}, {{2}} is on its way, {{1}}."},
            {"type": "FOOTER", "text": "Reply STOP to end."},
            {
                "type": "BUTTONS",
                "buttons": [
                    {"type": "URL", "text": "Track", "url": "https://shop.example/t/{{1}}"},
                    {"type": "QUICK_REPLY", "text": "Thanks"},
                    {"type": "COPY_CODE", "text": "Copy"},
                ],
            },
            category="UTILITY",
            rejected_reason="NONE",
        )
    )
    assert found == ApprovedTemplate(
        name="order",
        language="en_US",
        status="approved",
        category="UTILITY",
        body="Hi {{1}}, {{2}} is on its way, {{1}}.",
        header="Order {{1}}",
        footer="Reply STOP to end.",
        body_values=2,
        header_values=1,
        buttons=(
            TemplateButton(title="Track", value=True),
            TemplateButton(title="Thanks"),
            TemplateButton(title="Copy", value=True),
        ),
    )
    picture = template_of(item("sale", "APPROVED", {"type": "HEADER", "format": "IMAGE"}))
    assert picture is not None and (picture.header_file, picture.header_values, picture.header) == ("image", 1, None)


@pytest.mark.parametrize("odd", [{}, {"name": "a"}, {"name": 1, "language": []}, {"language": "en"}])
def test_what_has_no_name_is_none(odd: dict[str, Any]) -> None:
    assert template_of(odd) is None


def test_a_status_nobody_knows_cannot_be_sent() -> None:
    found = template_of({"name": "a", "language": "en", "status": "SOMETHING_NEW", "components": "none"})
    assert found is not None and found.status == "pending"
