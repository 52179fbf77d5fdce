"""Right before a marketing message is handed over its links become tracked ones, where workspace and person let."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from base.mongo import Document
from campaigns.tracking.rewriting import names_for, rewritten, targets_of, with_pixel
from campaigns.tracking.settings import PURPOSE, TrackingSettings, settings_of
from campaigns.tracking.store import TrackingStore
from campaigns.tracking.tokens import HONEYPOT, PIXEL, TrackedLink, TrackedLinks, Way, link_id_of
from campaigns.utm import Utm, UtmChoice
from channels.vocabulary import OutboundMessage
from inbox.models import Send
from profiles.consent import Consent

_SOURCES = ("journey", "broadcast")


@dataclass
class Dressed:
    """One message on its way: what it is to become."""

    send: Send
    message: OutboundMessage
    channel_kind: str
    tracked: bool = False
    #: What is added to its links.
    utm: Utm = field(default_factory=Utm)
    #: Address as it was written → as it is with what the shop's statistics want to know.
    targets: dict[str, str] = field(default_factory=dict)

    @property
    def source_id(self) -> str:
        """The journey or broadcast."""
        return str(self.send.source.id)


class Dresser:
    """Puts tracked links into rendered messages. May do so twice: the same send gets the same links."""

    def __init__(self, store: TrackingStore, links: TrackedLinks, consent: Consent) -> None:
        self._store = store
        self._links = links
        self._consent = consent

    async def dress(self, messages: Sequence[tuple[Send, OutboundMessage, str]]) -> dict[str, OutboundMessage]:
        """Send id → the message to hand over, for (send, message, kind of the channel)."""
        found = {send.id: message for send, message, _ in messages}
        own = [
            Dressed(send, message, kind)
            for send, message, kind in messages
            if send.send_class == "marketing" and send.source.kind in _SOURCES and send.source.id
        ]
        settings = settings_of(await self._store.settings()) if own else TrackingSettings()
        if not own:
            return found
        heads = await self._heads(own)
        for each in own:
            chosen = each.send.content.get("utm") or heads.get(each.source_id, ("", None))[1]
            each.utm = UtmChoice.model_validate(chosen).over(settings.utm) if chosen else settings.utm
        has_utm = any(any(each.utm.model_dump().values()) for each in own)
        if not (settings.links or settings.opens or has_utm):
            return found
        if settings.links or settings.opens:
            await self._ask(own)
        self._aim(own, {source_id: name for source_id, (name, _) in heads.items()})
        known = await self._known([each for each in own if each.tracked and settings.links])
        for each in own:
            found[each.send.id] = self._made(each, settings, known)
        return found

    async def _ask(self, own: Sequence[Dressed]) -> None:
        """Whoever has refused to be tracked, or has to agree first and did not, gets links that lead there directly."""
        pairs = list(dict.fromkeys((each.send.identity_id, PURPOSE) for each in own))
        verdicts = await self._consent.allowed(pairs)
        for each in own:
            each.tracked = verdicts[(each.send.identity_id, PURPOSE)].ok

    async def _heads(self, own: Sequence[Dressed]) -> dict[str, tuple[str, Document | None]]:
        """Journey or broadcast → (its name, what it adds to links in place of what the workspace says)."""
        found: dict[str, tuple[str, Document | None]] = {}
        for kind in _SOURCES:
            ids = [each.source_id for each in own if each.send.source.kind == kind]
            found |= await self._store.heads(kind, ids) if ids else {}
        return found

    def _aim(self, own: Sequence[Dressed], names: Mapping[str, str]) -> None:
        for each in own:
            said = names_for(
                names.get(each.source_id, ""), each.channel_kind, each.send.source.node_id, each.source_id
            )  # fmt: skip
            each.targets = targets_of(each.message, each.utm, said, self._links.base_url)

    async def _known(self, own: Sequence[Dressed]) -> set[str]:
        """Ids of links whose targets are kept. A link that could not be kept under its id leads there directly."""
        wanted: dict[str, tuple[str, str, list[str]]] = {}
        for each in own:
            for target in each.targets.values():
                link_id = link_id_of(each.source_id, target)
                wanted.setdefault(link_id, (target, each.source_id, []))[2].append(each.send.profile_id)
        known = await self._store.know(wanted) if wanted else set()
        counts = {each.send.id: len(set(each.targets.values())) for each in own if each.targets}
        await self._store.carry(counts)
        return known

    def _made(self, each: Dressed, settings: TrackingSettings, known: set[str]) -> OutboundMessage:
        follows = each.tracked and settings.links

        def swap(url: str) -> str:
            target = each.targets.get(url)
            if target is None:
                return url
            link_id = link_id_of(each.source_id, target)
            return self._url("link", each.send.id, link_id) if follows and link_id in known else target

        made = rewritten(each.message, swap)
        pixel = self._url("pixel", each.send.id, PIXEL) if each.tracked and settings.opens else ""
        honeypot = self._url("link", each.send.id, HONEYPOT) if follows and each.targets else ""
        return with_pixel(made, pixel, honeypot) if pixel or honeypot else made

    def _url(self, way: Way, send_id: str, link_id: str) -> str:
        return self._links.url(way, TrackedLink(send_id, link_id))
