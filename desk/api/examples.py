"""A body for people to start from, per operation: shown in the document and filled into the page's forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOBODY = "prf_" + "0" * 26
_NOWHERE = "idn_" + "0" * 26

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "create_channel": {
        "provider": "generic",
        "name": "Our shop",
        "settings": {
            "secret": "whsec_bWFrZS15b3VyLW93bi1zZWNyZXQtb2YtMzItYnl0ZXM=",
            "send_url": "https://shop.example.com/in",
        },
    },
    "change_channel": {"name": "Our shop", "state": "paused"},
    "upsert_profile": {
        "identities": ["email:anna@example.com", {"kind": "customer_id", "value": "1042"}],
        "name": "Anna Bos",
        "attributes": {"city": "Leiden"},
        "tags": ["newsletter"],
    },
    "change_profile": {"name": "Anna Bos", "attributes": {"city": "Leiden", "size": None}, "add_tags": ["vip"]},
    "set_stage": {"stage": "customer", "reason": "First order"},
    "replace_terms": {
        "rev": 0,
        "entries": [
            {"key": "new", "names": {"en": "New", "zh_CN": "新客"}},
            {"key": "customer", "names": {"en": "Customer", "zh_CN": "客户"}, "orders": 1},
            {"key": "lost", "names": {"en": "Lost", "zh_CN": "已流失"}, "asks_reason": True},
        ],
    },
    "add_relation": {"kind": "parent", "other_id": _NOBODY, "note": "Orders for her daughter"},
    "create_field": {
        "key": "size",
        "labels": {"en": "Size", "zh_CN": "尺码"},
        "type": "choice",
        "options": [{"value": "S"}, {"value": "L"}],
        "shown": ["profile", "inbox"],
    },
    "change_field": {"labels": {"en": "Shoe size"}},
    "change_tag": {"what": "rename", "tag": "tee", "to": "tea"},
    "add_consent": {
        "identity_id": _NOWHERE,
        "purpose": "marketing",
        "granted": True,
        "source": "form",
        "wording": "Yes, write to me",
    },
    "release_address": {"identity_id": _NOWHERE},
    "switch_profiling": {"on": False, "proof": "Asked for it on the phone"},
    "choose_retention": {"days": {"deliveries": 60, "events": None}},
    "ask_for_export": {"language": "en"},
    "add_note": {"text": "Prefers to be called after five. @Ben, would you?", "pinned": True},
    "change_note": {"text": "Prefers to be called after six."},
    "set_follow_up": {"at": "2027-03-01T09:00:00Z", "text": "Ask whether the spring teas arrived"},
    "act_on_follow_up": {"action": "snooze", "until": "2027-03-08T09:00:00Z"},
    "merge_profiles": {"other_id": _NOBODY, "dry_run": True, "fields": {"name": "other"}},
    "unmerge_profiles": {"merge_id": "mrg_" + "0" * 26},
    "block_value": {"kind": "email", "value": "family@example.com", "dry_run": True},
    "create_segment": {
        "name": "Bought twice this month",
        "rule": {
            "all": [
                {"event": "order.paid", "count": {"gte": 2}, "within": "P30D"},
                {"consent": "newsletter", "channel": "email", "is": "granted"},
            ]
        },
    },
    "change_segment": {"name": "Regulars"},
    "preview_segment": {"rule": {"field": "attributes.city", "op": "eq", "value": "Leiden"}},
    "replace_sending_policies": {
        "caps": [{"most": 2, "per": "P7D", "class": "marketing", "group": None, "channel": None}],
        "quiet_hours": {"from": "21:00", "to": "08:00", "zone": "profile"},
        "breaker": {"least_people": 20, "least_percent": 20, "minutes": 10},
    },
    "create_consent_group": {
        "key": "newsletter",
        "name": "Newsletter",
        "wording": "Yes, send me the newsletter once a month.",
        "double_opt_in": True,
        "locales": {"zh_CN": {"name": "新闻通讯", "wording": "同意每月接收新闻通讯。"}},
    },
    "change_score_rules": {
        "hot": 50,
        "rules": [
            {
                "id": "bought",
                "name": "Bought recently",
                "rule": {"event": "order.paid"},
                "points": 30,
                "half_life": "P60D",
            },
            {"name": "Bought more than once", "rule": {"field": "orders.count", "op": "gte", "value": 2}, "points": 10},
        ],
    },
    "preview_score_rules": {"rules": [{"rule": {"event": "order.paid", "within": "P30D"}, "points": 40}]},
    "change_tiers": {
        "recency_days": [30, 90, 180, 365],
        "frequency": [2, 3, 5, 10],
        "monetary": [5000, 15000, 40000, 100000],
        "currency": "EUR",
        "tiers": [
            {"key": "vip", "name": "Key customer", "least": {"r": 3, "total": 12}},
            {"key": "level1", "name": "Level 1"},
        ],
    },
    "preview_tiers": {"tiers": [{"key": "vip", "name": "Key customer", "least": {"total": 12}}]},
    "change_consent_group": {"description": "News about tea, once a month."},
    "change_conversation": {"status": "resolved", "labels": ["returns"], "priority": "high"},
    "reply": {"text": "It is on its way."},
    "track_events": {
        "event": "checkout.started",
        "identity": "email:anna@example.com",
        "properties": {"cart_id": "c-1", "total": 1999},
        "message_id": "c-1-started",
    },
    "record_order": {
        "external_id": "1042",
        "identity": "email:anna@example.com",
        "status": "pending",
        "total": {"amount_minor": 1999, "currency": "EUR"},
        "lines": [{"name": "Kettle", "quantity": 1}],
        "url": "https://shop.example.com/orders/1042",
    },
    "advance_order": {
        "status": "fulfilled",
        "tracking": {"number": "3S00", "company": "Post", "url": "https://post.example.com/3S00"},
    },
    "create_task": {"text": "Call back about the invoice", "due_at": "2026-12-01T09:00:00Z"},
    "change_task": {"state": "done", "result": "Reached"},
    "create_template": {
        "name": "Welcome",
        "kind": "email",
        "subject": "Welcome, {{ profile.name|default('you') }}",
        "body": "<p>Good to have you here.</p>",
        "locales": {"de": {"subject": "Willkommen", "body": "<p>Schön, dass Sie da sind.</p>"}},
    },
    "check_template": {"links": True},
    "try_template": {"locale": "de"},
    "restore_template": {"rev": 1},
    "create_snippet": {"key": "opening-hours", "name": "Opening hours", "text": "Open every day from 9 to 17."},
    "change_snippet": {"text": "Open every day from 8 to 18."},
    "set_brand": {"name": "Tea & Co", "accent": "#0b7a75", "address": "Main Street 1, Delft"},
    "create_offer": {"key": "spring", "name": "Spring teas", "pattern": "TEA-########", "when_none": "skip"},
    "change_offer": {"expires_at": "2030-06-01T00:00:00Z"},
    "add_offer_codes": {"codes": ["TEA-0001", "TEA-0002"]},
    "change_template": {"subject": "Hello, {{ profile.name }}"},
    "render_template": {"context": {"event": {"coupon": "X1"}}, "locale": "de"},
    "create_broadcast": {
        "name": "Spring teas",
        "content": {
            "subject": "The spring teas are here",
            "body": "<p>Hello {{ profile.first_name|default('there') }}</p>",
        },
        "audience": {"rule": {"field": "tags", "op": "any_of", "value": ["tea"]}},
        "class": "marketing",
        "schedule": {"type": "local", "date": "2027-03-01", "time": "09:00", "late": "next_day"},
        "rate": {"per_minute": 600},
        "holdout_percent": 5,
    },
    "change_broadcast": {"name": "Spring teas, first flush"},
    "set_broadcast_status": {"status": "scheduled"},
    "test_broadcast": {"to": ["ben@example.com"]},
    "retry_broadcast": {"unknown": False},
    "choose_winner": {"arm": "a"},
    "replace_tracking": {
        "links": True,
        "opens": False,
        "utm": {"source": "rapport", "medium": "{channel}", "campaign": "{campaign}"},
        "windows": {"click": 120, "open": 0, "chat_delivery": 24},
    },
    "replace_testers": {"addresses": ["preview@example.com"]},
    "create_journey": {
        "name": "Welcome",
        "trigger": {"type": "event", "event": "signed_up"},
        "class": "marketing",
        "steps": [
            {"id": "pause", "type": "wait", "for": "P1D", "next": "hello"},
            {"id": "hello", "type": "send", "content": {"text": "Good to have you here."}, "next": None},
        ],
    },
    "change_journey": {"reentry": {"mode": "cooldown", "cooldown": "P30D"}},
    "publish_journey": {"dry_run": True},
    "migrate_journey": {"dry_run": True, "nodes": {"old_wait": "reminder"}},
    "backfill_journey": {"window": "P30D", "dry_run": True},
    "set_journey_status": {"status": "paused"},
    "install_recipe": {"params": {}, "live": False},
    "enrol": {"profile_id": _NOBODY, "key": "order-1042", "data": {"coupon": "X1"}},
    "invite_user": {"email": "ben@example.com", "name": "Ben", "role": "agent"},
    "change_user": {"role": "marketer"},
    "create_token": {"name": "Shop", "role": "marketer"},
    "map_import": {
        "columns": [
            {"to": "name"},
            {"to": "email"},
            {"to": "attributes.points", "type": "number"},
            {"to": "consent:newsletter:email"},
        ],
        "options": {"existing": "fill", "region": "DE", "tags": ["fair"], "evidence": "Signed at the fair in Leiden"},
    },
    "resume_step": {"journey_id": "jrn_01m8hjmd12pq7w0tcsdhxsj95d", "step": "remind"},
    "begin_export": {"format": "csv", "filter": {"tag": "fair"}},
}
