"""What part of the inbox somebody looks at, as it stands in an address. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ValidationError

from inbox.view_filter import ConversationFilter, LabelFilter, PersonFilter, ViewFilter
from inbox.views import SavedView

#: Views that everybody has → who has the conversations in them; None: whoever.
BUILT_IN: Mapping[str, str | None] = {"mine": "me", "unassigned": "none", "all": None, "mentions": None}
#: What a list shows where nothing is asked, and where what is over counts as well.
OPEN, ANY = ViewFilter(status=("open",)), ViewFilter()
#: Name in an address → where it stands in a filter, in the order of an address.
NAMES: Mapping[str, tuple[str, ...]] = {
    "status": ("status",), "channel": ("channel",), "assignee": ("assignee",), "team": ("team",),
    "label": ("labels", "any"), "each_label": ("labels", "all"), "no_label": ("labels", "none"),
    "priority": ("priority",), "unread": ("unread",), "waiting": ("waiting",), "sla": ("sla",),
    "follower": ("follower",), "stage": ("person", "stage"),
    "tier": ("person", "tier"), "tag": ("person", "tag"), "q": ("q",),
}  # fmt: skip
_YES_NO = ("unread", "waiting")
#: Stands in an address that names everything: what it leaves out is not taken from the view.
WHOLE = "whole"
VALUE_MAX = 200
#: What in an address says which list stands beside.
LISTING = frozenset({*NAMES, "view", "order", WHOLE})


@dataclass(frozen=True)
class Asked:
    """A view, and what narrows it. `saved`: the view when it is one that somebody has saved."""

    view: str = "mine"
    filter: ViewFilter = OPEN
    saved: SavedView | None = None
    #: What was promised and is due first stands first; what is promised to nobody is left out.
    due: bool = False
    #: Only these conversations, where the view says so.
    ids: tuple[str, ...] | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], default_view: str = "mine", saved: SavedView | None = None) -> Asked:
        """Read from an address; what makes no sense is left out."""
        view = query.get("view", default_view)
        if view not in BUILT_IN:
            view = saved.id if saved else default_view
        base = saved.filter if saved and view == saved.id else _usual(view)
        start = {} if query.get(WHOLE) else said_in(base)
        given = {name: values for name in NAMES if (values := _values(query, name)) and _fits(name, values)}
        own = saved if saved and view == saved.id else None
        return cls(view, filter_of({**start, **given}), own, query.get("order") == "due")

    @property
    def q(self) -> str:
        """What is searched for."""
        return self.filter.q or ""

    @property
    def wanted(self) -> ViewFilter:
        """All that narrows: what the view says of who has it goes first."""
        owner = BUILT_IN.get(self.view)
        return self.filter.model_copy(update={"assignee": (owner,)}) if owner else self.filter

    def condition(self, principal_id: str, channels: frozenset[str] | None) -> ConversationFilter:
        """The same as a question to the store."""
        scope = None if channels is None else sorted(channels)
        return ConversationFilter(self.wanted, principal_id, scope, ids=self.ids)

    @property
    def said(self) -> dict[str, tuple[str, ...]]:
        """What the address narrows by, by the names of an address."""
        return said_in(self.filter)

    @property
    def base(self) -> dict[str, tuple[str, ...]]:
        """The same of the view alone."""
        return said_in(self.saved.filter if self.saved else _usual(self.view))

    def pairs(self, **changes: str | Iterable[str] | None) -> list[tuple[str, str]]:
        """What an address says that leads here, or to the same with changes. What is usual is left out. A saved view is
        come to and left without anything that narrows it."""
        view, cursor = str(changes.pop("view", self.view)), changes.pop("cursor", None)
        order = changes.pop("order", "due" if self.due else None)
        if view != self.view and (self.saved or view not in BUILT_IN or _usual(view) != _usual(self.view)):
            return [("view", view)]
        values = dict(self.said)
        for name, value in changes.items():
            values[name] = () if value is None else (value,) if isinstance(value, str) else tuple(value)
        base = self.base
        whole = any(not values.get(name) for name in base)
        said = [
            (name, each) for name in NAMES if whole or values.get(name) != base.get(name)
            for each in values.get(name, ())
        ]  # fmt: skip
        end = [(name, str(value)) for name, value in (("order", order), ("cursor", cursor)) if value]
        return [("view", view), *([(WHOLE, "1")] if whole else []), *said, *end]

    def query(self, **changes: str | Iterable[str] | None) -> str:
        """The part of an address after `?`; see `pairs`."""
        return urlencode(self.pairs(**changes))


def beside(conversation_id: str, came_from: str, **more: str) -> str:
    """The address of a conversation in the list that stood beside it on the page somebody came from."""
    kept = [(name, each) for name, each in parse_qsl(urlsplit(came_from).query) if name in LISTING]
    query = urlencode([*kept, *more.items()])
    return f"/inbox/{conversation_id}" + (f"?{query}" if query else "")


def _usual(view: str) -> ViewFilter:
    return ANY if view == "mentions" else OPEN


def said_in(view: ViewFilter) -> dict[str, tuple[str, ...]]:
    """A filter by the names of an address; what narrows nothing is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for name, path in NAMES.items():
        value: Any = view
        for part in path:
            value = getattr(value, part)
        if isinstance(value, bool):
            value = ("yes" if value else "no",)
        if value:
            found[name] = (value,) if isinstance(value, str) else value
    return found


def filter_of(said: Mapping[str, tuple[str, ...]]) -> ViewFilter:
    """The reverse of `said_in`; values that make no sense are left out."""
    document: dict[str, Any] = {}
    for name, values in said.items():
        path, value = NAMES[name], _meant(name, values)
        if _fits(name, values):
            if path[1:]:
                document.setdefault(path[0], {})[path[1]] = value
            else:
                document[path[0]] = value
    return ViewFilter.model_validate(document)


def _meant(name: str, values: tuple[str, ...]) -> Any:
    if name in _YES_NO:
        return {"yes": True, "no": False}.get(values[0])
    return values[0] if name == "q" else values


def _fits(name: str, values: tuple[str, ...]) -> bool:
    path, value = NAMES[name], _meant(name, values)
    models: dict[str, type[BaseModel]] = {"labels": LabelFilter, "person": PersonFilter}
    model = models.get(path[0], ViewFilter)
    try:
        model.model_validate({path[-1]: value})
    except ValidationError:
        return False
    return value is not None


def _values(query: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = query.getall(name, []) if hasattr(query, "getall") else [query[name]] if name in query else []
    return tuple(dict.fromkeys(text for each in found if (text := each.strip()[:VALUE_MAX])))
