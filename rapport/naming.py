"""What the ids and keys of the house are called in a language, for pages that are read outside of it."""

from __future__ import annotations

from campaigns.store.journeys import JourneyStore
from channels.store import ChannelStore
from profiles.consent_groups import ConsentGroups
from profiles.dossier_rows import Names
from rapport.people import People


class Naming:
    """Gathers names; a deployment has hundreds of them, not thousands."""

    def __init__(
        self, people: People, channels: ChannelStore, journeys: JourneyStore, groups: ConsentGroups, business: str
    ) -> None:
        self._people = people
        self._channels = channels
        self._journeys = journeys
        self._groups = groups
        self._business = business

    async def names(self, language: str) -> Names:
        """As `profiles.dossier_rows.Names`."""
        people, agreed = self._people, await self._people.terms.now()
        keys, segments = await people.segment_rows.live_keys(), await people.segment_rows.all()
        groups = await self._groups.all()
        relations = {f"{each.key}:forth": each.said(language) for each in agreed.relations}
        relations |= {f"{each.key}:back": each.said_back(language) for each in agreed.relations}
        tiers = (await people.valuing.tiers()).settings.tiers
        return Names(
            business=self._business,
            colleagues={each.id: each.name for each in await people.users.users()},
            channels={each.id: each.name for each in await self._channels.list()},
            journeys=await self._journeys.all_names(),
            segments={keys[row["_id"]]: row["name"] for row in segments if row["_id"] in keys},
            purposes={each.key: each.said(language).name or each.key for each in groups},
            fields={each.key: each.said(language) for each in await people.fields.all()},
            stages={each.key: each.said(language) for each in agreed.stages},
            roles={each.key: each.said(language) for each in agreed.roles},
            relations=relations,
            reasons={each.key: each.said(language) for each in agreed.reasons},
            tiers={each.key: each.said(language) for each in tiers},
        )
