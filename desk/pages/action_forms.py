"""Actions as forms and as sentences: one form per action, one below the other; works without a script. Pure.

The form of action 2 stands at `f/actions/2`, its type in `f/actions/2:type`; see `desk.pages.form_kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.errors import FieldError
from desk.i18n import N_, Formats
from desk.pages import form_kinds
from desk.pages.action_titles import TITLES
from desk.pages.form_kinds import ROOT, Field, Names, one, places
from desk.pages.form_views import Drawing, FieldView, way_of
from desk.pages.inbox_rows import PRIORITIES
from desk.pages.rule_form import ROOT as RULE_ROOT
from desk.pages.rules import cut, duration_words
from desk.pages.segments import DEEDS

ACTIONS = f"{ROOT}/actions"
SYMBOLS: Mapping[str, str] = {
    "reply": "paper-airplane", "note": "lock-closed", "assign": "user-plus", "team": "user-group", "status": "check",
    "hand_to_bot": "command-line",
    "snooze": "bell-snooze", "priority": "flag", "labels": "tag", "participants": "eye",
    "task": "clipboard-document-check", "notify": "bell-alert", "tags": "tag", "stage": "map", "journey": "map",
    "ask_rating": "star", "webhook": "bolt",
}  # fmt: skip
STATUSES: tuple[tuple[str, str], ...] = (
    ("resolved", N_("Resolved")), ("open", N_("Open")), ("pending", N_("Pending")), ("spam", N_("Spam")),
)  # fmt: skip
FORMS: Mapping[str, tuple[Field, ...]] = {
    "reply": (
        Field("text", "area", N_("Text"), N_("With blanks such as {{ profile.first_name }}.")),
        Field("canned_id", "pick", N_("or a canned reply"), source="canned"),
        Field("template", "object", N_("or an approved template"), more=True, fields=(
            Field("name", "text", N_("Name")), Field("language", "text", N_("Language")),
            Field("body", "list", N_("Values, in their order")),
        )),
    ),
    "note": (Field("text", "area", N_("Text")),),
    "assign": (Field("to", "pick", N_("To whom"), source="whom"),),
    "team": (Field("team_id", "pick", N_("Team"), N_("empty: out of its team"), source="teams"),),
    "hand_to_bot": (),
    "status": (Field("status", "choice", N_("State"), options=STATUSES),),
    "snooze": (Field("span", "span", N_("For"), N_("empty: until the customer answers")),),
    "priority": (Field("priority", "choice", N_("Priority"), options=tuple(PRIORITIES.items())),),
    "labels": (
        Field("add", "list", N_("Add labels"), N_("several, between commas"), source="labels"),
        Field("remove", "list", N_("Remove labels"), source="labels"),
    ),
    "participants": (
        Field("add", "picks", N_("Follow it from now on"), source="users"),
        Field("remove", "picks", N_("Follow it no more"), source="users", more=True),
    ),
    "task": (
        Field("text", "area", N_("What is to be done")),
        Field("assignee", "pick", N_("Who"), N_("empty: whoever takes it"), source="somebody"),
        Field("due", "span", N_("Due in")),
    ),
    "notify": (
        Field("to", "pick", N_("Whom"), source="told"), Field("text", "area", N_("What is to be done")),
    ),
    "tags": (
        Field("add", "list", N_("Add tags"), source="tags"),
        Field("remove", "list", N_("Remove tags"), source="tags"),
    ),
    "stage": (Field("stage", "pick", N_("Stage"), source="stages"),),
    "journey": (Field("journey_id", "pick", N_("Journey"), source="journeys"),),
    "ask_rating": (),
    "webhook": (Field("url", "text", N_("Address")),),
}  # fmt: skip
#: What a new action begins with.
NEW: Mapping[str, Mapping[str, Any]] = {
    "status": {"status": "resolved"}, "priority": {"priority": "high"}, "snooze": {"span": "P1D"},
    "assign": {"to": "round_robin"}, "notify": {"to": "assignee"},
}  # fmt: skip
WHOM: tuple[tuple[str, str], ...] = (
    ("round_robin", N_("Whose turn it is")), ("owner", N_("The customer's owner")), ("nobody", N_("Nobody")),
)  # fmt: skip
TOLD: tuple[tuple[str, str], ...] = (
    ("assignee", N_("Whoever has the conversation")), ("owner", N_("The customer's owner")),
    ("role:agent", N_("All agents")), ("role:admin", N_("All admins")),
)  # fmt: skip


@dataclass(frozen=True)
class ActionView:
    """One action in a form."""

    way: str
    type: str
    title: str
    symbol: str
    number: int
    fields: tuple[FieldView, ...]
    faults: tuple[str, ...]


def names_of(actions: Sequence[Mapping[str, Any]]) -> Names:
    """Actions as the names of a form."""
    names: Names = {}
    for place, action in enumerate(actions):
        way = f"{ACTIONS}/{place}"
        names |= {f"{way}:type": [str(action["type"])]}
        names |= form_kinds.filled(FORMS.get(str(action["type"]), ()), action, way)
    return names


def actions_of(names: Names) -> list[dict[str, Any]]:
    """The other way round, as the API takes them."""
    found = []
    for way in ways(names):
        kind = one(names, way + ":type")
        action = form_kinds.built(FORMS.get(kind, ()), names, {}, way)
        found.append({"type": kind, **({"team_id": None} if kind == "team" else {}), **action})
    return found


def ways(names: Names) -> list[str]:
    """Where its actions stand, in their order."""
    return [f"{ACTIONS}/{place}" for place in places(names, ACTIONS) if one(names, f"{ACTIONS}/{place}:type")]


def done_with(names: Names, act: str) -> Names:
    """What a button inside the form does: actions and their rows come, go and move; so do rows of a rule."""
    deed, _, way = act.partition(":")
    if deed == "new" and way in FORMS:
        return _put(names, len(ways(names)), {"type": way, **NEW.get(way, {})})
    if deed in ("less", "up") and way in ways(names):
        listed, place = actions_of(names), ways(names).index(way)
        if deed == "less":
            del listed[place]
        elif place:
            listed[place - 1 : place + 1] = [listed[place], listed[place - 1]]
        return {name: each for name, each in names.items() if not name.startswith(ACTIONS)} | names_of(listed)
    own, _, rule = way.partition("~")
    if deed in DEEDS and rule.startswith(RULE_ROOT):
        node = DEEDS[deed](form_kinds.rule_node(names, own), rule)
        return form_kinds.without_rule(names, own) | form_kinds.rule_names(node, own)
    return names


def _put(names: Names, place: int, action: Mapping[str, Any]) -> Names:
    listed = actions_of(names)
    listed.insert(place, dict(action))
    return {name: each for name, each in names.items() if not name.startswith(ACTIONS)} | names_of(listed)


def views_of(names: Names, drawing: Drawing, formats: Formats) -> list[ActionView]:
    """The actions as they are drawn."""
    shown = []
    for place, way in enumerate(ways(names)):
        kind = one(names, way + ":type")
        within = [(path, words) for path, words in drawing.faults if path == way or path.startswith(way + "/")]
        known = tuple(f"{way}/{each.name}" for each in FORMS.get(kind, ()))
        own = [words for path, words in within if not (known and path.startswith(known))]
        shown.append(ActionView(
            way, kind, formats.text(TITLES.get(kind, kind)), SYMBOLS.get(kind, "bolt"), place + 1,
            drawing.views(FORMS.get(kind, ()), names, way), tuple(dict.fromkeys(own)),
        ))  # fmt: skip
    return shown


def placed(faults: Sequence[FieldError], names: Names) -> list[tuple[str, str]]:
    """(way, words) of faults: a path counts the actions, a way names where one stands."""
    known, found = ways(names), []
    for fault in faults:
        way = way_of(fault.path)
        for place, own in enumerate(known):
            head = f"{ACTIONS}/{place}"
            if way == head or way.startswith(head + "/"):
                way = own + way[len(head) :]
                break
        found.append((way, fault.message))
    return found


# -- sentences -------------------------------------------------------------------------------------------------------


def action_words(action: Mapping[str, Any], called: Mapping[str, str], formats: Formats) -> str:
    """What an action does, in a line. `called`: names of colleagues, teams, journeys, canned replies by id."""
    _, kind = formats.text, str(action["type"])
    title = _(TITLES.get(kind, kind))
    what = _DETAIL[kind](action, called, formats) if kind in _DETAIL else ""
    return _(N_("%(action)s: %(what)s"), action=title, what=cut(what, 90)) if what else title


def _listed(action: Mapping[str, Any], called: Mapping[str, str], formats: Formats) -> str:
    add = [called.get(each, each) for each in action.get("add") or ()]
    less = [formats.text(N_("without %(name)s"), name=called.get(each, each)) for each in action.get("remove") or ()]
    return ", ".join([*add, *less])


def _person(name: str) -> Any:
    words = dict([*WHOM, *TOLD])

    def shape(action: Mapping[str, Any], called: Mapping[str, str], formats: Formats) -> str:
        value = str(action.get(name) or "")
        return formats.text(words[value]) if value in words else called.get(value, value)

    return shape


def _reply(action: Mapping[str, Any], called: Mapping[str, str], formats: Formats) -> str:
    if action.get("text"):
        return " ".join(str(action["text"]).split())
    if action.get("canned_id"):
        return called.get(str(action["canned_id"]), "…")
    return str((action.get("template") or {}).get("name") or "")


def _choice(name: str, options: Mapping[Any, str]) -> Any:
    return lambda action, called, formats: formats.text(options.get(str(action.get(name)), str(action.get(name))))


_DETAIL: Mapping[str, Any] = {
    "reply": _reply, "note": lambda action, called, formats: " ".join(str(action.get("text") or "").split()),
    "assign": _person("to"), "notify": _person("to"),
    "team": lambda action, called, formats: called.get(str(action.get("team_id")), formats.text(N_("none"))),
    "status": _choice("status", dict(STATUSES)), "priority": _choice("priority", PRIORITIES),
    "snooze": lambda action, called, formats: (
        duration_words(action["span"], formats) if action.get("span") else formats.text(N_("until they answer"))
    ),
    "labels": _listed, "participants": _listed, "tags": _listed,
    "task": lambda action, called, formats: " ".join(str(action.get("text") or "").split()),
    "stage": lambda action, called, formats: called.get(str(action.get("stage")), str(action.get("stage") or "")),
    "journey": lambda action, called, formats: called.get(str(action.get("journey_id")), "…"),
    "webhook": lambda action, called, formats: str(action.get("url") or "").partition("://")[2],
}  # fmt: skip
