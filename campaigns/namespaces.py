"""What templates can say: the namespaces `profile`, `event`, `order`, `journey`, `campaign` as plain data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from campaigns.dates import as_meant
from campaigns.models import Definition
from campaigns.run import Facts, RunState

#: Names of links that templates may use; empty where there is no such page.
LINKS = ("unsubscribe_url", "preferences_url", "view_in_browser_url")
#: Members of one list or mapping, levels, and characters of one text that a template gets to see.
MEMBERS_MAX, DEPTH_MAX, TEXT_MAX = 200, 8, 20_000


def context_of(facts: Facts, run: RunState, definition: Definition, links: Mapping[str, str]) -> dict[str, Any]:
    """All namespaces for one person at one step."""
    return named(
        profile=facts.profile,
        event=run.data.get("event") or {},
        order=facts.values.get("order") or {},
        journey={name: value for name, value in run.data.items() if name != "event"},
        campaign={"name": definition.name, "id": run.journey_id},
        links=links,
    )


def named(
    *, profile: Mapping[str, Any], event: Mapping[str, Any], order: Mapping[str, Any], journey: Mapping[str, Any],
    campaign: Mapping[str, Any], links: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """The same from parts, for previews."""
    made = {
        "profile": profile_view(profile), "event": plain(event), "order": plain(order), "journey": plain(journey),
        "campaign": plain(campaign),
    }  # fmt: skip
    return made | {name: links.get(name, "") for name in LINKS}


def profile_view(profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile's document as templates see it; every name is there, empty or not."""
    name = profile.get("name")
    emails, phones = profile.get("emails") or [], profile.get("phones") or []
    view = {
        "id": profile.get("_id"), "name": name, "first_name": first_name(name), "email": _primary(emails),
        "phone": _primary(phones), "tags": profile.get("tags") or [], "stage": profile.get("stage"),
        "tier": profile.get("tier"), "score": profile.get("score"), "locale": profile.get("locale"),
        "time_zone": profile.get("time_zone"), "attributes": as_meant(profile.get("attributes") or {}),
        "orders": profile.get("orders") or {}, "created_at": profile.get("created_at"),
        "last_seen_at": profile.get("last_seen_at"),
    }  # fmt: skip
    return {name: plain(value) for name, value in view.items()}


def first_name(name: object) -> str | None:
    """What to call somebody: the first word of a name written with spaces; a name without spaces as it stands."""
    if not isinstance(name, str) or not name.strip():
        return None
    return name.split()[0]


def plain(value: Any, depth: int = 0) -> Any:
    """JSON and nothing else, bounded in every direction."""
    if depth > DEPTH_MAX:
        return None
    if value is None or (type(value) is str and len(value) <= TEXT_MAX and value.isascii()):
        return value  # nearly everything is; to ask what is a mapping takes longer
    if isinstance(value, Mapping):
        return {str(name): plain(inside, depth + 1) for name, inside in list(value.items())[:MEMBERS_MAX]}
    if isinstance(value, str):
        return value[:TEXT_MAX].encode("utf-8", "replace").decode()
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(inside, depth + 1) for inside in list(value)[:MEMBERS_MAX]]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bool | int | float):
        return value
    return str(value)[:TEXT_MAX]


def _primary(contacts: Sequence[Any]) -> str | None:
    known = [each for each in contacts if isinstance(each, Mapping)]
    chosen = next((each for each in known if each.get("primary")), known[0] if known else None)
    return chosen.get("value") if chosen else None
