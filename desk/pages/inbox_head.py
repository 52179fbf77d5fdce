"""The head of the list of conversations: views, menus, what narrows it, and what an empty list says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from desk.i18n import N_, Formats
from desk.pages.faces import Face, Faces
from desk.pages.inbox_address import NAMES, Asked
from desk.pages.inbox_rows import PRIORITIES, STATUS_LABELS, STATUSES
from inbox.views import SavedView

TABS = (("mine", N_("Mine")), ("unassigned", N_("Unassigned")), ("all", N_("All")))
#: What a yes or no in an address reads like.
SWITCHES: Mapping[tuple[str, str], str] = {
    ("unread", "yes"): N_("Unread"), ("unread", "no"): N_("Read"), ("waiting", "yes"): N_("Customer waits"),
    ("waiting", "no"): N_("Nobody waits"), ("sla", "soon"): N_("Due soon"), ("sla", "breached"): N_("Overdue"),
}  # fmt: skip
#: Where the words of a value may be anybody's, what they are said of.
OF: Mapping[str, str] = {
    "no_label": N_("Without %(what)s"), "tag": N_("Tag: %(what)s"), "stage": N_("Stage: %(what)s"),
    "tier": N_("Tier: %(what)s"), "team": N_("Team: %(what)s"), "follower": N_("Followed by %(what)s"),
}  # fmt: skip
#: What the menu has no field for, and takes along: name → how many values of it have one.
CARRIED: Mapping[str, int] = {"each_label": 0, "team": 1, "label": 1, "no_label": 1, "tag": 1, "follower": 1, "q": 0}


@dataclass(frozen=True)
class Choice:
    """One entry of a menu or a tab."""

    key: str
    label: str
    href: str
    current: bool
    symbol: str = ""
    count: str = ""
    face: Face | None = None


@dataclass(frozen=True)
class Narrowing:
    """One thing that narrows the list, and the list without it."""

    label: str
    href: str


@dataclass(frozen=True)
class Known:
    """What may be chosen from: pairs of key and words."""

    colleagues: Sequence[tuple[str, str]] = ()
    channels: Sequence[tuple[str, str]] = ()
    labels: Sequence[str] = ()
    stages: Sequence[tuple[str, str]] = ()
    tiers: Sequence[tuple[str, str]] = ()
    teams: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class FilterForm:
    """The menu that narrows the list."""

    known: Known
    statuses: tuple[tuple[str, str], ...]
    priorities: tuple[tuple[str, str], ...]
    #: What stands in each field.
    values: Mapping[str, tuple[str, ...]]
    carried: tuple[tuple[str, str], ...]
    whose: bool
    clear_href: str


@dataclass(frozen=True)
class ViewTools:
    """What the reader may do with the view: keep it as a new one, change it, take it away."""

    query: str
    saved_id: str = ""
    saved_name: str = ""
    shared: bool = False
    may_change: bool = False
    may_share: bool = False
    changed: bool = False
    #: A view that was just taken away.
    removed_id: str = ""


@dataclass(frozen=True)
class ListView:
    """The head of the list."""

    query: str
    view: str
    q: str
    title: str
    tabs: tuple[Choice, ...]
    statuses: tuple[Choice, ...]
    saved: tuple[Choice, ...]
    channels: tuple[Choice, ...]
    hidden: tuple[tuple[str, str], ...]
    narrowings: tuple[Narrowing, ...]
    form: FilterForm
    tools: ViewTools
    empty_title: str
    empty_text: str
    empty_href: str = ""
    empty_label: str = ""
    #: How it may be ordered; nothing where nothing is promised.
    orders: tuple[Choice, ...] = ()


def orders_of(asked: Asked, formats: Formats) -> tuple[Choice, ...]:
    """The orders a list may stand in."""
    return (
        Choice("", formats.text(N_("Latest first")), f"/inbox?{asked.query(order=None)}", not asked.due, "clock"),
        Choice("due", formats.text(N_("Due first")), f"/inbox?{asked.query(order='due')}", asked.due, "flag"),
    )


@dataclass(frozen=True)
class Tallies:
    """How many conversations are in a view, where that is known."""

    counts: Mapping[str, int] = field(default_factory=dict)

    def of(self, key: str) -> str:
        """In words; nothing for none."""
        number = self.counts.get(key, 0)
        return "" if number <= 0 else "999+" if number > 999 else str(number)


def tabs_of(asked: Asked, tallies: Tallies, formats: Formats) -> tuple[Choice, ...]:
    """The views that everybody has."""
    return tuple(
        Choice(key, formats.text(label), f"/inbox?{asked.query(view=key)}", asked.view == key, count=tallies.of(key))
        for key, label in TABS
    )


def saved_of(
    asked: Asked, saved: Iterable[SavedView], tallies: Tallies, formats: Formats
) -> tuple[Choice, ...]:  # fmt: skip
    """What stands in the menu of views: where one is mentioned, and the views that were saved."""
    words, here = formats.text(N_("Mentions")), asked.view == "mentions"
    return Choice("mentions", words, "/inbox?view=mentions", here, "at-symbol"), *(
        Choice(each.id, each.name, f"/inbox?{asked.query(view=each.id)}", asked.view == each.id,
               "users" if each.shared else "bookmark", tallies.of(each.id))
        for each in saved
    )  # fmt: skip


def list_view(
    asked: Asked, formats: Formats, tallies: Tallies, known: Known, faces: Faces, saved: Sequence[SavedView] = (),
    tools: ViewTools | None = None,
) -> ListView:  # fmt: skip
    """Tabs, menus, and the words for an empty list."""
    _ = formats.text
    shown = asked.said.get("status", ())
    statuses = tuple(
        Choice(key, _(label), f"/inbox?{asked.query(status=key)}", shown == (key,), symbol)
        for key, label, symbol in STATUSES
    )
    here = asked.said.get("channel", ())
    accounts = [Choice("", _("All channels"), f"/inbox?{asked.query(channel=None)}", not here)]
    accounts += [
        Choice(key, name, f"/inbox?{asked.query(channel=key)}", here == (key,), face=faces.of(key))
        for key, name in known.channels
    ]
    title, text, href, label = _empty(asked, bool(known.channels), formats)
    return ListView(
        query=asked.query(), view=asked.view, q=asked.q, title=_title(asked, formats),
        tabs=tabs_of(asked, tallies, formats), statuses=statuses, saved=saved_of(asked, saved, tallies, formats),
        channels=tuple(accounts), hidden=tuple(asked.pairs(q=None)), narrowings=narrowings(asked, known, formats),
        form=filter_form(asked, known, formats), tools=tools or ViewTools(asked.query()), empty_title=title,
        empty_text=text, empty_href=href, empty_label=label,
    )  # fmt: skip


def filter_form(asked: Asked, known: Known, formats: Formats) -> FilterForm:
    """The menu as it stands."""
    said = asked.said
    return FilterForm(
        known=known,
        statuses=tuple((key, formats.text(label)) for key, label, _ in STATUSES),
        priorities=tuple((key, formats.text(label)) for key, label in PRIORITIES.items()),
        values={name: said.get(name, ()) for name in NAMES},
        carried=tuple((name, each) for name, first in CARRIED.items() for each in said.get(name, ())[first:]),
        whose=asked.view not in ("mine", "unassigned"),
        clear_href=f"/inbox?view={asked.view}",
    )


def narrowings(asked: Asked, known: Known, formats: Formats) -> tuple[Narrowing, ...]:
    """All that narrows the list beyond what its tab or view says, each with the way out. The search has its field, and
    one status stands above the list."""
    base, found = asked.base, []
    for name, values in asked.said.items():
        if name == "q" or (name == "status" and len(values) == 1 and not asked.saved) or values == base.get(name):
            continue
        for value in values:
            left = tuple(each for each in values if each != value)
            words = value_words(name, value, known, formats)
            found.append(Narrowing(words, f"/inbox?{asked.query(**{name: left})}"))
    return tuple(found)


def value_words(name: str, value: str, known: Known, formats: Formats) -> str:
    """What a value is called."""
    _ = formats.text
    names: dict[str, dict[str, str]] = {
        "assignee": {"me": _(N_("Mine")), "none": _(N_("Nobody")), **dict(known.colleagues)},
        "status": {key: _(label) for key, label in STATUS_LABELS.items()},
        "priority": {key: _(label) for key, label in PRIORITIES.items()},
        "channel": dict(known.channels), "stage": dict(known.stages), "tier": dict(known.tiers),
        "team": {"none": _(N_("None")), **dict(known.teams)},
        "follower": {"me": _(N_("me")), **dict(known.colleagues)},
    }  # fmt: skip
    switch = SWITCHES.get((name, value))
    words = _(switch) if switch else names.get(name, {}).get(value, value)
    return _(OF[name], {"what": words}) if name in OF else words


def _title(asked: Asked, formats: Formats) -> str:
    if asked.saved is not None:
        return asked.saved.name
    if asked.view == "mentions" and asked.said == asked.base:
        return formats.text(N_("Mentions"))
    statuses = asked.said.get("status", ())
    if not statuses:
        return formats.text(N_("Any state"))
    more = f" +{len(statuses) - 1}" if len(statuses) > 1 else ""
    return formats.text(STATUS_LABELS[statuses[0]]) + more


def _empty(asked: Asked, has_channels: bool, formats: Formats) -> tuple[str, str, str, str]:
    _ = formats.text
    if not has_channels:
        text = _("Connect a channel and the messages of your customers arrive here.")
        return _("Nobody can write to you yet"), text, "/settings/channels", _("Connect a channel")
    if asked.q:
        return _("Nothing found"), _("Try fewer or other words, or look in another view."), "", ""
    if asked.view == "mentions" and asked.said == asked.base:
        text = _("Colleagues call you in a note by @ and your name. What they write to you stands here.")
        return _("Nobody has called you yet"), text, "", ""
    if asked.said != asked.base or asked.saved is not None:
        back = f"/inbox?view={asked.view}" if asked.said != asked.base else "/inbox?view=all"
        return _("Nothing here"), _("No conversation is like this just now."), back, _("Show open ones")
    if asked.view == "mine":
        text = _("Take one from those that nobody has yet.")
        return _("You have answered everybody"), text, "/inbox?view=unassigned", _("Show unassigned")
    return _("All clear"), _("No customer is waiting. New messages appear here by themselves."), "", ""
