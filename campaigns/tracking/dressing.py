"""Right before a marketing message is handed over its links become tracked ones, where workspace and person let."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from campaigns.tracking.rewriting import addresses_in, is_trackable, plain_name, rewritten, with_pixel, with_utm
from campaigns.tracking.settings import PURPOSE, TrackingSettings, Utm, settings_of
from campaigns.tracking.store import TrackingStore
from campaigns.tracking.tokens import HONEYPOT, PIXEL, TrackedLink, TrackedLinks, Way, link_id_of
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
        has_utm = any(settings.utm.model_dump().values())
        if not own or not (settings.links or settings.opens or has_utm):
            return found
        if settings.links or settings.opens:
            await self._ask(own)
        await self._aim(own, settings.utm if has_utm else Utm())
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

    async def _aim(self, own: Sequence[Dressed], utm: Utm) -> None:
        names: dict[str, str] = {}
        for kind in _SOURCES:
            ids = [each.source_id for each in own if each.send.source.kind == kind]
            names |= await self._store.names(kind, ids) if ids else {}
        for each in own:
            said = {
                "campaign": plain_name(names.get(each.source_id, "")), "channel": each.channel_kind,
                "step": plain_name(each.send.source.node_id or ""), "id": each.source_id,
            }  # fmt: skip
            for url in addresses_in(each.message):
                if is_trackable(url, self._links.base_url):
                    each.targets[url] = with_utm(url, utm, said)

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
