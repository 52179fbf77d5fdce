"""Who may what: every operation by nobody, by the wrong role, and by somebody limited to another channel.

What may not be seen is answered with 404, what may not be done with 403, and afterwards the database is as it was.
"""

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from desk.api.contract import Operation
from desk.api.examples import EXAMPLES
from desk.api.routes import OPERATIONS
from desk.auth import STANDS_FOR
from tests.desk.api.conftest import ROLES, Side, World, answer_of

ROUTED = [each for each in OPERATIONS if not each.elsewhere]
NOWHERE = "0" * 26
#: Kinds of things that belong to a channel, or to a person who came by one.
SCOPED = ("chn", "prf", "cnv", "msg", "snd", "ord", "tsk", "enr", "brd", "whk", "whd")

#: A body with which the operation would succeed, were it allowed.
BODIES: dict[str, Any] = {
    "map_import": {"columns": [{"to": "email"}]},
    "begin_export": {"format": "csv"},
    "create_channel": {"provider": "generic", "name": "n", "settings": {"secret": "whsec_" + "QUFB" * 8}},
    "change_channel": {"name": "Taken over"},
    "upsert_profile": {"identities": ["email:boris@example.org"], "name": "Taken over"},
    "change_profile": {"name": "Taken over"},
    "set_stage": {"stage": "lost", "reason": "price"},
    "replace_terms": {"rev": 0, "entries": [{"key": "new", "names": {"en": "Taken over"}}]},
    "add_relation": {"kind": "partner", "other_id": "{prf}"},
    "create_field": {"key": "size", "labels": {"en": "Size"}},
    "change_field": {"labels": {"en": "Taken over"}},
    "change_tag": {"what": "delete", "tag": "vip"},
    "add_consent": {"identity_id": "{idn}", "purpose": "marketing", "granted": False},
    "release_address": {"identity_id": "{idn}"},
    "add_note": {"text": "x"},
    "change_note": {"text": "Taken over"},
    "set_follow_up": {"at": "2030-01-01T00:00:00Z", "text": "x"},
    "act_on_follow_up": {"action": "done"},
    "merge_profiles": {"other_id": "{prf}"},
    "unmerge_profiles": {"merge_id": "mrg_" + NOWHERE},
    "change_conversation": {"status": "resolved", "labels": ["x"]},
    "create_view": {"name": "Taken over", "filter": {"status": ["open"]}},
    "change_view": {"name": "Taken over"},
    "shut_out": {"on": True},
    "split_conversation": {"message_id": "msg_" + NOWHERE},
    "replace_reopening": {"mode": "never"},
    "change_conversations": {"ids": ["cnv_" + NOWHERE], "change": {"status": "resolved"}},
    "merge_conversations": {"other_ids": ["cnv_" + NOWHERE]},
    "unmerge_conversations": {"merge_id": "act_" + NOWHERE},
    "reply": {"text": "From somebody else"},
    "begin_conversation": {"profile_id": "{prf}", "text": "From somebody else"},
    "replace_answering_rules": {"undo_s": 0, "lock": "assignee"},
    "save_draft": {"text": "From somebody else"},
    "change_message": {"send_at": None},
    "react_to_message": {"emoji": "👍"},
    "forward_message": {"to": "supplier@example.org"},
    "track_events": {"event": "x", "profile_id": "{prf}"},
    "record_order": {"external_id": "order-boris", "status": "cancelled"},
    "advance_order": {"status": "cancelled"},
    "link_my_calendar": {"with_words": True},
    "act_on_today": {"key": "follow_up:{prf}:fup_" + NOWHERE, "act": "done"},
    "undo_on_today": {"key": "hot:{prf}:1", "what": "done"},
    "replace_stream_rules": {"unpaid_after_h": 1},
    "create_task": {"text": "x", "profile_id": "{prf}"},
    "change_task": {"state": "done"},
    "create_template": {"name": "n", "body": "b"},
    "block_value": {"kind": "email", "value": "boris@example.org"},
    "replace_sending_policies": {"caps": [{"most": 1, "per": "P1D"}]},
    "resume_step": {"journey_id": "jrn_" + NOWHERE, "step": "s1"},
    "create_consent_group": {"key": "news", "name": "News"},
    "change_consent_group": {"name": "Taken over"},
    "create_segment": {"name": "n", "rule": {"all": []}},
    "change_segment": {"name": "Taken over"},
    "preview_segment": {"rule": {"all": []}},
    "change_score_rules": {"rules": []},
    "preview_score_rules": {"rules": []},
    "change_tiers": {"tiers": []},
    "preview_tiers": {"tiers": []},
    "change_template": {"name": "n"},
    "check_template": {"profile_id": "{prf}"},
    "restore_template": {"rev": 1},
    "restore_snippet": {"rev": 1},
    "try_template": {"locale": "en"},
    "create_snippet": {"key": "taken-over", "name": "n", "text": "b"},
    "change_snippet": {"name": "Taken over"},
    "set_brand": {"name": "Taken over"},
    "create_offer": {"key": "taken-over", "name": "n", "pattern": "X-######"},
    "change_offer": {"name": "Taken over"},
    "add_offer_codes": {"codes": ["TAKEN-OVER"]},
    "render_template": {"profile_id": "{prf}"},
    "create_broadcast": {"name": "n"},
    "change_broadcast": {"name": "Taken over"},
    "set_broadcast_status": {"status": "cancelled"},
    "test_broadcast": {"to": ["boris@example.org"]},
    "retry_broadcast": {"unknown": False},
    "replace_tracking": {"links": True},
    "choose_winner": {"arm": "a"},
    "replace_testers": {"addresses": ["boris@example.org"]},
    "create_journey": {"name": "n"},
    "change_journey": {"name": "n"},
    "publish_journey": {"dry_run": True, "migrate": {}},
    "migrate_journey": {"dry_run": True},
    "set_journey_status": {"status": "live"},
    "backfill_journey": {"window": "P30D"},
    "install_recipe": {},
    "enrol": {"profile_id": "{prf}"},
    "invite_user": {"email": "x@example.org", "role": "admin"},
    "switch_profiling": {"on": False},
    "choose_retention": {"days": {"deliveries": 60}},
    "ask_for_export": {"language": "en"},
    "change_user": {"role": "admin"},
    "begin_my_factor": {"password": "x"},
    "confirm_my_factor": {"code": "123456"},
    "remove_my_factor": {"code": "123456"},
    "set_provider": {"issuer": "https://login.example.com", "client_id": "x", "client_secret": "y"},
    "replace_team_rules": {"factor_roles": []},
    "change_me": {"name": "Taken over"},
    "unread_notifications": {"read_at": "2026-01-01T00:00:00Z"},
    "replace_notification_settings": {"kinds": {"message": []}},
    "add_my_browser": {"endpoint": "https://push.example.org/x", "p256dh": "x", "auth": "x"},
    "create_token": {"name": "n", "role": "admin"},
    "create_webhook_endpoint": {"url": "https://example.org/in", "events": ["*"]},
    "change_webhook_endpoint": {"url": "https://example.org/in"},
    "redeliver_failed_webhooks": {},
    "create_business_hours": {"name": "Taken over", "zone": "UTC"},
    "change_business_hours": {"name": "Taken over"},
    "create_canned_reply": {"shortcut": "taken-over", "text": "b"},
    "change_canned_reply": {"title": "Taken over"},
    "render_canned_reply": {"conversation_id": "{cnv}"},
    "create_macro": {"name": "Taken over", "actions": [{"type": "status", "status": "spam"}]},
    "change_macro": {"name": "Taken over"},
    "run_macro": {"conversation_id": "{cnv}"},
    "create_automation_rule": {
        "name": "Taken over", "on": {"type": "event", "event": "message.received"},
        "actions": [{"type": "status", "status": "spam"}],
    },
    "change_automation_rule": {"name": "Taken over"},
    "order_automation_rules": {"ids": []},
    "try_automation_rule": {"conversation_id": "{cnv}"},
    "create_sla_policy": {"name": "Taken over", "lengths": {"resolution_min": 5}},
    "change_sla_policy": {"name": "Taken over"},
    "order_sla_policies": {"ids": []},
    "create_team": {"name": "Taken over"},
    "change_team": {"name": "Taken over"},
    "replace_team_members": {"members": []},
    "set_presence": {"state": "away"},
    "change_agent": {"skills": ["taken over"]},
    "replace_presence_rules": {"capacity": 1},
    "replace_rating_rules": {"on": True}, "replace_report_rules": {}, "replace_nps_rules": {"on": True},
    "create_bot": {"name": "Taken over", "url": "https://example.org/bot"},
    "change_bot": {"name": "Taken over"},
    "hand_over_conversation": {"to": "agents"},
    "replace_channel_replies": {"greeting": {"texts": {"en": "Taken over"}}},
    "try_channel_replies": {"text": "Hello"},
}


def filled(value: Any, side: Side) -> Any:
    """A body with the ids of a side."""
    if isinstance(value, str):
        ids = {"prf": side.profile, "idn": side.identity, "cnv": side.conversation}
        return value.format(**ids) if "{" in value else value
    if isinstance(value, dict):
        return {name: filled(each, side) for name, each in value.items()}
    return [filled(each, side) for each in value] if isinstance(value, list) else value


#: Part of a path → the word that stands in it.
WORDS = {"/terms/": "stages", "/reports/": "volume"}


def path_of(operation: Operation, side: Side) -> str:
    """Its path with the ids of a side; of what has none, an id that is nobody's."""
    path = operation.plain_path
    word = next((word for part, word in WORDS.items() if part in path), "welcome")
    for name, pattern in operation.parameters.items():
        prefix = pattern[:3]
        known = side.known().get(prefix) or (f"{prefix}_{NOWHERE}" if pattern[3:4] == "_" else word)
        path = path.replace(f"{{{name}}}", known)
    return path


def calls(side: Side) -> Iterator[tuple[Operation, str, Any]]:
    """Every operation with a path and a body."""
    for operation in ROUTED:
        yield operation, path_of(operation, side), filled(BODIES.get(operation.name), side)


def test_every_write_is_tried() -> None:
    takes_body = {each.name for each in ROUTED if each.body is not None}
    assert takes_body == set(BODIES)


async def test_nobody_does_nothing(world: World) -> None:
    before = await world.digest()
    for token in (None, "rpt_wrong", ""):
        async with world.client(token) as client:
            for operation, path, body in calls(world.ours):
                answer = await client.request(operation.method, path, json=body)
                problem = await answer_of(answer)
                assert (answer.status, problem["code"]) == (401, "unauthenticated"), (operation.name, problem)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert await world.digest() == before


@pytest.mark.parametrize("role", ROLES)
async def test_the_wrong_role_does_nothing(world: World, role: str) -> None:
    before, refused = await world.digest(), 0
    async with world.client(role) as client:
        for operation, path, body in calls(world.ours):
            if STANDS_FOR[role].isdisjoint(operation.roles):
                answer = await client.request(operation.method, path, json=body)
                assert answer.status == 403, (operation.name, await answer.text())
                refused += 1
    assert await world.digest() == before
    assert (refused == 0) == (role == "admin")


@pytest.mark.parametrize("role", ROLES)
async def test_what_is_on_another_channel_is_not_there(world: World, role: str) -> None:
    before = await world.digest()
    async with world.client(f"scoped:{role}") as client:
        for operation, path, body in calls(world.foreign):
            concerns = {pattern[:3] for pattern in operation.parameters.values()} & set(SCOPED)
            body_of = str(BODIES.get(operation.name))
            named = "{prf}" in body_of or "{cnv}" in body_of or operation.name in ("upsert_profile", "record_order")
            if STANDS_FOR[role].isdisjoint(operation.roles) or not (concerns or named):
                continue
            answer = await client.request(operation.method, path, json=body)
            assert answer.status == 404, (operation.name, await answer.text())
    assert await world.digest() == before


async def test_a_limited_administrator_does_not_reach_beyond(world: World) -> None:
    before = await world.digest()
    names = ("create_channel", "list_users", "invite_user", "change_user", "reset_factor",
             "list_audit", "get_provider", "set_provider",
             "take_provider_down", "get_team_rules", "replace_team_rules", "renew_link", "list_tokens", "create_token",
             "revoke_token", "create_journey", "install_recipe", "change_journey", "publish_journey", "undo_migration",
             "migrate_journey",             "set_journey_status", "create_broadcast", "list_testers", "replace_testers",
             "create_template", "change_template", "delete_template", "replace_sending_policies", "resume_step",
             "create_consent_group", "change_consent_group", "delete_consent_group",
             "create_segment", "preview_segment", "change_segment", "delete_segment",
             "create_webhook_endpoint", "create_business_hours", "change_business_hours", "delete_business_hours",
             "create_canned_reply", "change_canned_reply", "delete_canned_reply", "restore_canned_reply",
             "create_macro", "change_macro", "delete_macro", "restore_macro",
             "create_automation_rule", "change_automation_rule", "order_automation_rules", "delete_automation_rule",
             "restore_automation_rule",
             "restore_business_hours", "create_sla_policy", "change_sla_policy", "order_sla_policies",
             "delete_sla_policy", "restore_sla_policy", "create_team", "change_team", "replace_team_members",
             "delete_team", "restore_team", "change_agent", "replace_presence_rules",
             "replace_rating_rules", "replace_report_rules", "replace_nps_rules",
             "create_bot", "change_bot", "delete_bot", "restore_bot",
             "exchange_bot_secret", "exchange_bot_token")  # fmt: skip
    async with world.client("scoped:admin") as client:
        for operation, path, body in calls(world.foreign):
            if operation.name in names:
                answer = await client.request(operation.method, path, json=body)
                assert answer.status == 403, (operation.name, await answer.text())
    assert await world.digest() == before


async def test_ids_of_others_inside_a_body_are_not_there_either(world: World) -> None:
    before, ours, foreign = await world.digest(), world.ours, world.foreign
    told = {"event": "x", "message_id": "1"}
    tries = [
        ("POST", "/profiles", {"identities": [f"{foreign.channel}:ext-boris"], "name": "x"}, 404),
        ("POST", "/profiles", {"identities": [f"{foreign.channel}:somebody-new"]}, 404),
        ("POST", "/profiles", {"identities": ["customer_id:new-1", "email:boris@example.org"]}, 404),
        ("POST", "/events", {**told, "identity": "email:boris@example.org"}, 404),
        ("POST", "/events",
         {"batch": [{**told, "profile_id": ours.profile}, {**told, "profile_id": foreign.profile}]}, 404),
        ("POST", "/orders", {"external_id": "n-1", "identity": "email:boris@example.org"}, 404),
        ("POST", "/orders",
         {"external_id": "n-1", "identity": "customer_id:new-2", "identities": [f"{foreign.channel}:x"]}, 404),
        ("POST", "/orders",
         {"external_id": "n-2", "identity": "customer_id:new-3", "source": f"generic:{foreign.channel}"}, 404),
        ("POST", "/orders", {"external_id": "n-2", "identity": "customer_id:new-3", "source": "other-shop"}, 404),
        ("POST", "/tasks", {"text": "x", "conversation_id": foreign.conversation}, 404),
        ("POST", "/tasks", {"text": "x", "order_id": foreign.order}, 404),
        ("POST", f"/conversations/{ours.conversation}/messages", {"text": "x", "reply_to": foreign.message}, 422),
        ("POST", f"/profiles/{ours.profile}/consents",
         {"identity_id": foreign.identity, "purpose": "marketing", "granted": True}, 422),
    ]  # fmt: skip
    async with world.client("scoped:admin") as client:
        for method, path, body, status in tries:
            answer = await client.request(method, "/api/v1" + path, json=body)
            assert answer.status == status, (path, body, await answer.text())
    assert await world.digest() == before


#: What must be asked along with one path.
QUERIES: dict[str, dict[str, str]] = {
    "preview_business_hours": {"from": "2031-05-01T00:00:00Z", "to": "2031-05-08T00:00:00Z"},
    "search": {"q": "boris"}, "list_report_rows": {"column": "created"},
}


async def test_lists_show_nothing_of_others(world: World) -> None:
    hidden = [world.foreign.id_for(prefix) for prefix in SCOPED] + [world.foreign.identity, "boris", "Boris"]
    async with world.client("scoped:admin") as client:
        for operation in ROUTED:
            if operation.method != "GET":
                continue
            query = QUERIES.get(operation.name)
            answer = await client.get(path_of(operation, world.ours), params=query)
            text = await answer.text()
            assert answer.status in (200, 403, 404), (operation.name, text)
            assert not [each for each in hidden if each in text], (operation.name, text)
        for path in ("/messages?channel={chn}", "/conversations?channel={chn}", "/messages?profile={prf}",
                     "/orders?profile={prf}", "/sends?profile={prf}", "/sends?conversation={cnv}",
                     "/profiles?identity={chn}:ext-boris", "/profiles?identity=email:boris@example.org",
                     "/profiles?q=boris", "/tasks?profile={prf}", "/conversations?q=boris"):  # fmt: skip
            asked = "/api/v1" + path.format(**world.foreign.known())
            assert (await answer_of(await client.get(asked)))["data"] == [], path


async def test_no_write_takes_a_field_too_many(world: World) -> None:
    before = await world.digest()
    async with world.client() as client:
        for operation, path, body in calls(world.ours):
            if operation.body is not None:
                for name in ("role_id", "workspace_id", "_id", "$set", "__proto__"):
                    answer = await client.request(operation.method, path, json={**body, name: {"$ne": None}})
                    problem = await answer_of(answer)
                    assert answer.status == 422, (operation.name, problem)
                    assert name in {each["path"] for each in problem["errors"]}, (operation.name, problem)
    assert await world.digest() == before


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the texts of an example stand, those in free-form parts left out."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in ("attributes", "properties", "context", "data"):
                yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from leaves(each, (*path, place))


async def test_no_text_of_any_body_may_be_an_operator(world: World) -> None:
    before, tried = await world.digest(), 0
    async with world.client() as client:
        for operation in ROUTED:
            example = EXAMPLES.get(operation.name, {})
            for path in leaves(example):
                for odd in ({"$ne": None}, {"$gt": ""}, {"$where": "1"}):
                    body = copy.deepcopy(example)
                    part = functools.reduce(lambda inside, step: inside[step], path[:-1], body)
                    part[path[-1]] = odd
                    answer = await client.request(operation.method, path_of(operation, world.ours), json=body)
                    assert answer.status == 422, (operation.name, path, await answer.text())
                    tried += 1
    assert tried > 150
    assert await world.digest() == before


async def test_who_is_on_both_channels_is_seen_in_part(world: World) -> None:
    runtime = world.runtime
    both = {"identities": [f"{world.ours.channel}:dora-1", f"{world.foreign.channel}:dora-2"], "name": "Dora"}
    async with world.client() as client:
        dora = await answer_of(await client.post("/api/v1/profiles", json=both))
    assert len(dora["identities"]) == 2
    async with world.client("scoped:admin") as client:
        path = f"/api/v1/profiles/{dora['id']}"
        seen = await answer_of(await client.get(path))
        assert [each["channel_id"] for each in seen["identities"]] == [world.ours.channel]
        assert (await client.delete(path)).status == 403
    assert await runtime.profiles.get(dora["id"]) is not None
