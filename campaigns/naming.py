"""Journeys that name a tag or a segment, and versions read with the names that tags had since. Versions never change:
a renamed tag is found by all its names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from base.mongo import Document
from campaigns.conditions import Condition, Group, Leaf, Segment, SinceBegin, Where
from campaigns.models import Alternative, ChangedTrigger, Definition, EventTrigger, Part
from campaigns.store import EnrolmentStore, JourneyStore
from profiles.segments.rules import FieldIs
from profiles.segments.tag_names import TAG_EVENTS, TagNames, any_name, told_with_tags, with_tags
from profiles.uses import Definition as Written
from profiles.uses import Use


def with_tag_names(definition: Definition, names: TagNames) -> Definition:
    """The same journey, whose rules, filters and trigger find a tag by any of its names. Pure."""
    return _read_anew(definition, names) if names.renamed else definition


def condition_with_tag_names(condition: Condition, names: TagNames) -> Condition:
    """The same for a condition on its own. Pure."""
    return replace(condition, root=_node(condition.root, names)) if names.renamed else condition


def _read_anew(part: Any, names: TagNames) -> Any:
    if isinstance(part, Condition):
        return replace(part, root=_node(part.root, names))
    if isinstance(part, tuple):
        return tuple(_read_anew(each, names) for each in part)
    if not isinstance(part, Part):
        return part
    fields = {name: _read_anew(getattr(part, name), names) for name in type(part).model_fields}
    if isinstance(part, EventTrigger | Alternative):
        fields["where"] = _where(part.event, part.where, names)
    if isinstance(part, ChangedTrigger) and part.field == "tags":
        fields |= {name: _spelled(getattr(part, name), names) for name in ("from_", "to")}
    changed = {name: value for name, value in fields.items() if value is not getattr(part, name)}
    copy = part.model_copy(update=changed)
    copy.__dict__.pop("by_id", None)  # steps by id, as they were
    return copy


def _node(node: Any, names: TagNames) -> Any:
    if isinstance(node, Segment):
        return Segment(with_tags(node.rule, names))
    if isinstance(node, Group):
        return replace(node, parts=tuple(_node(each, names) for each in node.parts))
    if isinstance(node, SinceBegin):
        return replace(node, where=_where(node.event, node.where, names))
    if isinstance(node, Leaf) and node.path == "event.properties.tag" and isinstance(node.rule, FieldIs):
        return replace(node, rule=any_name(node.rule, names))
    return node


def _where(event: str, where: Where, names: TagNames) -> Where:
    return replace(where, filters=told_with_tags(where.filters, names)) if event in TAG_EVENTS else where


def _spelled(tag: Any, names: TagNames) -> Any:
    """A tuple of all names; `campaigns.matching` takes any of them."""
    return names.spellings([tag]) if isinstance(tag, str) else tag


class JourneyUses:
    """Journeys by their drafts and by the versions in which somebody may walk."""

    def __init__(self, heads: JourneyStore, runs: EnrolmentStore) -> None:
        self._heads = heads
        self._runs = runs

    async def definitions(self) -> list[Written]:
        """See `profiles.uses.Source`. Archived ones do not count."""
        found: list[Written] = []
        cursor = None
        while True:
            page = await self._heads.page(limit=200, cursor=cursor)
            for head in page.data:
                use = Use("journey", head["_id"], head["name"])
                found.append(Written(use, (head["draft"], *await self._walked(head))))
            if (cursor := page.next_cursor) is None:
                return found

    async def _walked(self, head: Document) -> list[Any]:
        """The live version, and those in which somebody still is."""
        if not head["latest_version"]:
            return []
        places = await self._runs.places(head["_id"])
        versions = {each["version"] for each in places if each["state"] in ("waiting", "held")} | {head["live_version"]}
        found = [await self._heads.version(head["_id"], each) for each in sorted(versions - {None})]
        return [each for each in found if each is not None]
