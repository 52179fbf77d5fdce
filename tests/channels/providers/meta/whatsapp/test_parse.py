"""What the given fixtures don't show: edits, renamings, user ids, echoes, batches, other numbers, and oddities."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.adapter import Delivery, Unreadable
from channels.providers.meta.whatsapp.adapter import WhatsAppAdapter
from channels.vocabulary import (
    AccountNotice,
    AttachmentKind,
    ConsentChange,
    DeliveryStatus,
    DeliveryUpdate,
    FetchWanted,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    ProfileSeen,
    Reaction,
    Unrecognised,
)
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client
from tests.channels.providers.meta.whatsapp.conftest import (
    ANNA,
    BUSINESS,
    NUMBER,
    change,
    delivery,
    message,
    parse,
    parse_message,
)

# -- messages -----------------------------------------------------------------------------------------------


def test_text_with_reply_forward_group_and_hidden_characters() -> None:
    event = parse_message(
        type="text",
        text={"body": "👩🏽‍🚀 ok\0"},
        context={"id": "wamid.Q", "from": "1", "frequently_forwarded": True},
        group_id="Y2FwaV9ncm91cDo",
    )
    assert isinstance(event, MessageReceived)
    assert (event.text, event.reply_to, event.forwarded, event.group_id) == (
        "👩🏽‍🚀 ok",
        "wamid.Q",
        True,
        "Y2FwaV9ncm91cDo",
    )
    assert event.address.external_id == "491701234567"
    assert event.person is not None
    assert (event.person.phone, event.person.aliases) == ("+491701234567", ("DE.13491208655302741918",))


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("voice", {"id": "1"}, AttachmentKind.VOICE),
        ("audio", {"id": 123, "voice": False}, AttachmentKind.AUDIO),
        ("audio", {"id": "1", "voice": True}, AttachmentKind.VOICE),
        ("document", {"id": "1", "filename": "a.pdf", "caption": "see"}, AttachmentKind.FILE),
        ("image", {"url": "https://lookaside.fbsbx.com/x"}, AttachmentKind.IMAGE),
    ],
)
def test_files(kind: str, content: dict[str, Any], expected: AttachmentKind) -> None:
    event = parse_message(type=kind, **{kind: content})
    assert isinstance(event, MessageReceived)
    [file] = event.attachments
    assert file.kind is expected
    assert isinstance(file.media_id or file.url, str)
    assert event.text == content.get("caption")


def test_form_answers_may_not_be_an_object() -> None:
    for given, expected in (('{"flow_token":"t","size":"L"}', {"flow_token": "t", "size": "L"}), ("[1", "[1")):
        reply = {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": given}}
        event = parse_message(type="interactive", interactive=reply)
        assert isinstance(event, MessageReceived)
        assert event.extra == {"form": expected, "form_name": "flow"}


def test_order_is_a_message_with_its_basket() -> None:
    order = {"catalog_id": "1", "text": "please", "product_items": [{"product_retailer_id": "sku", "quantity": 2}]}
    event = parse_message(type="order", order=order)
    assert isinstance(event, MessageReceived)
    assert (event.text, event.extra["order"]) == ("please", order)


def test_cards_are_not_the_sender_unless_whatsapp_filled_them() -> None:
    shared = [
        {"name": {"first_name": "Bo", "last_name": "Li"}, "phones": [{"wa_id": "8613800000000"}], "origin": "other"}
    ]
    event = parse_message(type="contacts", contacts=shared, **{"from": None})
    assert isinstance(event, MessageReceived)
    assert event.contacts[0].model_dump() == {"name": "Bo Li", "phones": ("+8613800000000",), "emails": ()}

    hidden = {"profile": {"name": "Cy", "username": "cy.x"}, "user_id": "CO.1"}
    asked = [{"phones": [{"phone": "+57 301", "wa_id": "573010000000"}], "origin": "contact_request"}]
    item = {"from_user_id": "CO.1", "id": "wamid.B", "timestamp": "1749416383", "type": "contacts", "contacts": asked}
    [own] = parse(delivery(change("messages", {"contacts": [hidden], "messages": [item]})))
    assert own.address is not None and own.person is not None
    assert (own.address.external_id, own.address.handle, own.person.phone) == ("CO.1", "@cy.x", "+573010000000")


def test_unsupported_and_new_types_are_visible() -> None:
    errors = [{"code": 131051, "title": "Message type unknown", "error_data": {"details": "not supported"}}]
    for fields, what in (
        ({"type": "unsupported", "errors": errors, "unsupported": {"type": "poll_creation"}}, "poll_creation"),
        ({"type": "unsupported", "errors": errors}, "not supported"),
        ({"type": "unknown"}, "unknown"),
        ({"type": "hologram", "hologram": {"id": "1"}}, "hologram"),
        ({"type": "image", "image": {}, "errors": [{"code": 131052}]}, "131052"),
        ({"type": "text", "text": {"body": ["odd"]}}, "text"),
        ({"type": "location", "location": {"latitude": "x", "longitude": 1}}, "location"),
        (
            {"type": "interactive", "interactive": {"type": "call_permission_reply"}},
            "interactive call_permission_reply",
        ),
    ):
        event = parse_message(**fields)
        assert isinstance(event, MessageReceived)
        assert (event.unsupported, event.text) == (what, None)


def test_the_type_may_be_missing() -> None:
    event = parse_message(text={"body": "hi"})
    assert isinstance(event, MessageReceived)
    assert event.text == "hi"


def test_reactions_edits_and_deletions() -> None:
    taken_back = parse_message(type="reaction", reaction={"message_id": "wamid.Q", "emoji": ""})
    assert isinstance(taken_back, Reaction)
    assert (taken_back.message_id, taken_back.emoji, taken_back.event_id) == ("wamid.Q", None, "wamid.A")
    for content, expected in (
        ({"type": "text", "text": {"body": "better"}}, "better"),
        ({"type": "image", "image": {"id": "1", "caption": "new caption"}}, "new caption"),
    ):
        edit = parse_message(type="edit", edit={"original_message_id": "wamid.Q", "message": content})
        assert isinstance(edit, MessageEdited)
        assert (edit.message_id, edit.text, edit.event_id) == ("wamid.Q", expected, "wamid.A")
    revoke = parse_message(type="revoke", revoke={"original_message_id": "wamid.Q"})
    assert isinstance(revoke, MessageDeleted)
    assert revoke.message_id == "wamid.Q"
    for kind in ("reaction", "edit", "revoke"):
        assert isinstance(parse_message(type=kind), Unrecognised)


def test_a_first_opening_of_the_chat_is_no_message() -> None:
    assert isinstance(parse_message(type="request_welcome"), ProfileSeen)


# -- who --------------------------------------------------------------------------------------------------


def test_a_hidden_number_is_never_forced_into_a_phone() -> None:
    contact = {
        "profile": {"name": "Sheena", "username": "@sheena"},
        "user_id": "US.134",
        "parent_user_id": "US.ENT.118",
    }
    item = {"from_user_id": "US.134", "from_parent_user_id": "US.ENT.118", "id": "wamid.B", "text": {"body": "hi"}}
    for sender in ({}, {"from": "US.134"}):
        [event] = parse(delivery(change("messages", {"contacts": [contact], "messages": [{**item, **sender}]})))
        assert event.address is not None and event.person is not None
        assert (event.address.external_id, event.address.handle) == ("US.134", "@sheena")
        assert event.person.phone is None
        assert event.person.aliases == ("US.ENT.118",)
        assert event.occurred_at == NOW  # no timestamp: the time of arrival


def test_everyone_keeps_their_own_contact() -> None:
    bo = {"profile": {"name": "Bo"}, "wa_id": "8613800000000"}
    found = parse(
        delivery(
            change(
                "messages",
                {
                    "contacts": [ANNA, bo],
                    "messages": [
                        message(id="wamid.1", text={"body": "1"}),
                        message(id="wamid.2", text={"body": "2"}, **{"from": "8613800000000", "from_user_id": None}),
                        message(id="wamid.3", text={"body": "3"}, **{"from": "31600000000", "from_user_id": None}),
                    ],
                },
            )
        )
    )
    assert [event.person and event.person.name for event in found] == ["Anna", "Bo", None]


@pytest.mark.parametrize(
    ("item", "external_id", "former"),
    [
        (
            {"from": "111111111", "system": {"type": "user_changed_number", "wa_id": "222222222"}},
            "222222222",
            "111111111",
        ),
        (
            {
                "from": "111111111",
                "system": {"type": "user_changed_number", "wa_id": "111111111", "new_wa_id": 222222222},
            },
            "222222222",
            "111111111",
        ),
        (
            {"from": "111111111", "system": {"type": "user_changed_number", "user_id": "US.NEW"}},
            "US.NEW",
            "111111111",
        ),
        (
            {"system": {"type": "user_changed_user_id", "user_id": "MX.2", "previous_user_id": "CO.1"}},
            "MX.2",
            "CO.1",
        ),
        (
            {"system": {"type": "user_changed_user_id", "user_id": "MX.2", "body": "User A changed from CO.1 to MX.2"}},
            "MX.2",
            "CO.1",
        ),
        (
            {
                "from": "222222222",
                "system": {
                    "type": "user_changed_user_id",
                    "user_id": "MX.2",
                    "wa_id": "222222222",
                    "previous_user_id": "CO.1",
                },
            },
            "222222222",
            "CO.1",
        ),
        ({"from": "111111111", "system": {"type": "customer_identity_changed"}}, "111111111", None),
    ],
)
def test_renamed(item: dict[str, Any], external_id: str, former: str | None) -> None:
    [event] = parse(delivery(change("messages", {"messages": [{"id": "wamid.S", "type": "system", **item}]})))
    assert isinstance(event, ProfileSeen)
    assert (event.address.external_id, event.former_external_id) == (external_id, former)


def test_user_id_update_links_all_ids() -> None:
    item = {
        "wa_id": "491701234567",
        "user_id": {"previous": "DE.1", "current": "DE.2"},
        "parent_user_id": {"previous": "DE.ENT.1", "current": "DE.ENT.2"},
        "timestamp": "1749416383",
    }
    [event] = parse(delivery(change("user_id_update", {"contacts": [ANNA], "user_id_update": [item]})))
    assert isinstance(event, ProfileSeen)
    assert event.person is not None
    assert (event.address.external_id, event.former_external_id) == ("491701234567", "DE.1")
    assert event.person.aliases == ("DE.2", "DE.ENT.2")


def test_unknown_news_of_a_person_is_kept() -> None:
    item = {"id": "wamid.S", "type": "system", "system": {"type": "user_became_famous"}}
    [event] = parse(delivery(change("messages", {"messages": [item]})))
    assert isinstance(event, Unrecognised)
    assert event.topic == "system.user_became_famous"


# -- echoes -----------------------------------------------------------------------------------------------


def test_echoes_are_never_inbound() -> None:
    base = {"from": "15550783881", "to": "491701234567", "timestamp": "1749416383"}
    found = parse(
        delivery(
            change(
                "smb_message_echoes",
                {
                    "message_echoes": [
                        {**base, "id": "wamid.1", "type": "text", "text": {"body": "from my phone"}},
                        {**base, "id": "wamid.2", "type": "revoke", "revoke": {"original_message_id": "wamid.1"}},
                        {
                            **base,
                            "id": "wamid.3",
                            "type": "reaction",
                            "reaction": {"message_id": "wamid.Q", "emoji": "👍"},
                        },
                    ]
                },
            )
        )
    )
    assert isinstance(found[0], MessageReceived) and found[0].echo
    assert found[0].address.external_id == "491701234567"
    assert isinstance(found[1], MessageDeleted)
    assert isinstance(found[2], Unrecognised)


# -- receipts -----------------------------------------------------------------------------------------------


def test_a_receipt_carries_our_key_and_the_person() -> None:
    status = {
        "id": "wamid.X", "status": "delivered", "timestamp": "1750030073", "recipient_id": "491701234567",
        "recipient_user_id": "DE.13491208655302741918", "biz_opaque_callback_data": "send-key-1",
    }  # fmt: skip
    [event] = parse(delivery(change("messages", {"contacts": [ANNA], "statuses": [status]})))
    assert isinstance(event, DeliveryUpdate)
    assert (event.status, event.correlation, event.message_id) == (DeliveryStatus.DELIVERED, "send-key-1", "wamid.X")
    assert event.event_id == "wamid.X:delivered"


def test_group_receipts_differ_by_participant() -> None:
    base = {"id": "wamid.X", "status": "read", "recipient_id": "group", "recipient_type": "group"}
    statuses = [{**base, "recipient_participant_id": number} for number in ("491701234567", "8613800000000")]
    found = parse(delivery(change("messages", {"statuses": statuses})))
    assert [event.event_id for event in found] == ["wamid.X:read:491701234567", "wamid.X:read:8613800000000"]


@pytest.mark.parametrize(
    ("errors", "failure", "permanent"),
    [
        ([{"code": 131026}], "recipient_unreachable", True),
        ([{"code": 131056}], "rate_limited", False),
        ([{"code": 131050}], "consent_withdrawn", True),
        ([{"code": 777777, "title": "?"}], "unknown", True),
        ([], "unknown", True),
        ("odd", "unknown", True),
    ],
)
def test_failed_receipts(errors: Any, failure: str, permanent: bool) -> None:
    status = {"id": "wamid.X", "status": "failed", "recipient_id": "1", "errors": errors}
    [event] = parse(delivery(change("messages", {"statuses": [status]})))
    assert isinstance(event, DeliveryUpdate)
    assert (event.failure, event.permanent) == (failure, permanent)


def test_other_statuses() -> None:
    deleted, strange, nameless = parse(
        delivery(
            change(
                "messages",
                {"statuses": [{"id": "wamid.X", "status": "deleted"}, {"id": "wamid.X", "status": "warning"}, {}]},
            )
        )
    )
    assert isinstance(deleted, MessageDeleted)
    assert isinstance(strange, Unrecognised) and strange.topic == "status.warning"
    assert isinstance(nameless, Unrecognised)


# -- consent and notices ------------------------------------------------------------------------------------


def test_marketing_preferences() -> None:
    listed = [
        {
            "wa_id": "491701234567",
            "category": "marketing_messages",
            "value": "stop",
            "detail": "asked",
            "timestamp": 1750030073,
        },
        {"user_id": "US.134", "category": "marketing_messages", "value": "resume", "timestamp": 1750030074},
        {"wa_id": "491701234567", "category": "marketing_messages", "value": "perhaps"},
        {"wa_id": "491701234567", "category": "something_else", "value": "stop"},
    ]
    stop, resume, *odd = parse(delivery(change("user_preferences", {"user_preferences": listed})))
    assert isinstance(stop, ConsentChange) and isinstance(resume, ConsentChange)
    assert (stop.granted, stop.proof, stop.purpose) == (False, "asked", "marketing")
    assert (resume.granted, resume.address.external_id) == (True, "US.134")
    assert all(isinstance(event, Unrecognised) for event in odd)
    [bare] = parse(delivery(change("user_preferences", {"wa_id": "491701234567", "value": "stop"})))
    assert isinstance(bare, ConsentChange)


@pytest.mark.parametrize(
    ("field", "value", "severity", "words"),
    [
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}},
            "critical",
            "disable",
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}},
            "warning",
            "reinstate",
        ),
        ("account_update", {"event": "VERIFIED_ACCOUNT"}, "info", "verified account"),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}],
            },
            "warning",
            "biz initiated",
        ),
        (
            "message_template_status_update",
            {"event": "APPROVED", "message_template_name": "hi"},
            "info",
            '"hi" is now approved',
        ),
        (
            "message_template_status_update",
            {
                "event": "REJECTED",
                "reason": "INVALID_FORMAT",
                "rejection_info": {"reason": "Two variables stand side by side.", "recommendation": "Part them."},
            },
            "warning",
            "rejected: INVALID_FORMAT; Two variables stand side by side; Part them.",
        ),
        ("message_template_status_update", {"event": "ARCHIVED", "reason": "NONE"}, "warning", "now archived."),
        ("message_template_quality_update", {"new_quality_score": "RED"}, "warning", "quality red"),
        ("phone_number_quality_update", {"event": "UNFLAGGED"}, "info", "unflagged"),
        (
            "phone_number_name_update",
            {"decision": "REJECTED", "requested_verified_name": "Shop"},
            "warning",
            "rejected",
        ),
        ("account_review_update", {"decision": "APPROVED"}, "info", "approved"),
        ("account_alerts", {"alert_severity": "CRITICAL", "alert_description": "Pay."}, "warning", "Pay."),
        ("template_category_update", {"new_category": "MARKETING"}, "warning", "marketing"),
        ("business_capability_update", {"max_daily_conversation_per_phone": 1000}, "info", "unknown"),
        ("account_update", {"event": ["odd"], "restriction_info": "odd"}, "info", "unknown"),
    ],
)
def test_notices(field: str, value: dict[str, Any], severity: str, words: str) -> None:
    event, *more = parse(delivery({"field": field, "value": value}, time=1604703141))
    assert isinstance(event, AccountNotice)
    wanted = [each.what for each in more if isinstance(each, FetchWanted)]
    assert wanted == (["templates"] if "template" in field else []) and len(more) == len(wanted)
    assert (event.topic, event.severity, event.occurred_at.year) == (field, severity, 2020)
    assert words in event.text


def test_faults_beside_the_messages_are_notices() -> None:
    faults = [{"code": 130429, "message": "slow down"}, {"code": 131031, "title": "locked"}, "odd"]
    found = parse(delivery(change("messages", {"errors": faults})))
    assert [event.severity for event in found if isinstance(event, AccountNotice)] == ["warning", "critical", "warning"]


# -- batches and ownership ------------------------------------------------------------------------------------


def test_every_item_of_every_array_counts() -> None:
    texts = [message(id=f"wamid.{n}", text={"body": str(n)}) for n in range(3)]
    statuses = [{"id": f"wamid.S{n}", "status": "sent", "recipient_id": "1"} for n in range(2)]
    one = change("messages", {"contacts": [ANNA], "messages": texts, "statuses": statuses})
    other = change("messages", {"messages": [message(id="wamid.9", text={"body": "9"})]})
    payload = json.loads(delivery(one, other).body)
    payload["entry"].append(
        {
            "id": BUSINESS,
            "changes": [change("user_preferences", {"user_preferences": [{"wa_id": "1", "value": "stop"}]})],
        }
    )
    found = parse(Delivery("POST", json.dumps(payload).encode()))
    assert [event.kind for event in found] == [
        *["message_received"] * 3, *["delivery_update"] * 2, "message_received", "consent_change",
    ]  # fmt: skip


def test_one_bad_item_does_not_lose_the_others() -> None:
    odd: list[Any] = [
        None,
        7,
        "x",
        [],
        {},
        {"id": {"a": 1}},
        message(type={"a": 1}, text=None),
        message(text={"body": "ok"}),
    ]
    found = parse(delivery(change("messages", {"contacts": "odd", "messages": odd, "statuses": {"not": "a list"}})))
    assert len(found) == len(odd)
    assert isinstance(found[-1], MessageReceived) and found[-1].text == "ok"


def test_another_number_of_the_app_is_left_to_its_own_account() -> None:
    mine = change("messages", {"messages": [message(text={"body": "mine"})]})
    theirs = change("messages", {"messages": [message(text={"body": "theirs"})]}, number="999")
    given = delivery(mine, theirs)
    first, second = parse(given)
    assert isinstance(first, MessageReceived) and first.text == "mine"
    assert isinstance(second, Unrecognised) and second.reason == "another number of this app"
    located = WhatsAppAdapter(loopback_client()).locate(given)
    assert located == {("phone_number_id", NUMBER), ("phone_number_id", "999")}


def test_notices_belong_to_the_business_account() -> None:
    notice = {"field": "account_update", "value": {"event": "DISABLED_UPDATE"}}
    [foreign] = parse(delivery(notice, business="777"))
    assert isinstance(foreign, Unrecognised) and foreign.reason == "another business account of this app"
    [mine] = parse(delivery(notice, business=int(BUSINESS)))
    assert isinstance(mine, AccountNotice)
    assert WhatsAppAdapter(loopback_client()).locate(delivery(notice)) == {("business_account_id", BUSINESS)}


def test_the_same_notice_later_is_another_one() -> None:
    notice = {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}
    first, again, later = (
        parse(delivery(notice, time=time))[0].event_id for time in (1604703141, 1604703141, 1604703142)
    )
    assert first == again != later


@pytest.mark.parametrize("field", ["calls", "history", "group_status_update", "smb_app_state_sync", "tomorrow"])
def test_other_fields_are_kept_and_named(field: str) -> None:
    [event] = parse(delivery(change(field, {field: [{"id": "1"}]})))
    assert isinstance(event, Unrecognised)
    assert event.topic == field
    assert event.raw[field] == [{"id": "1"}]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"x"', b"7", b"[" * 9000])
def test_unreadable_bytes_are_quarantined(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(Delivery("POST", body))


@pytest.mark.parametrize("payload", [{}, {"object": "page", "entry": [{"id": "1"}]}, {"entry": []}, {"entry": [7]}])
def test_nothing_signed_is_dropped(payload: Any) -> None:
    [event] = parse(Delivery("POST", json.dumps(payload).encode()))
    assert isinstance(event, Unrecognised)
    assert event.raw


def test_escapes_bom_and_doubled_keys() -> None:
    body = delivery(change("messages", {"messages": [message(text={"body": "é"})]})).body
    assert b"\\u00e9" in body
    for variant in (
        b"\xef\xbb\xbf" + body,
        body.replace(b'{"body"', b'{"body": "first", "body"'),
        b"\r\n" + body + b"\r\n",
    ):
        [event] = parse(Delivery("POST", variant))
        assert isinstance(event, MessageReceived) and event.text == "é"


def test_absurdly_long_ids_give_short_keys() -> None:
    event = parse_message(id="w" * 10_000, text={"body": "x"})
    assert len(event.event_id) == 40
