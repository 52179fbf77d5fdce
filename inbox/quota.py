"""How much of a window's quota is used: counted from the ledger, so that it is right after any crash."""

from __future__ import annotations

from channels.capabilities import Capabilities
from inbox.store import SendStore
from profiles.models import Identity


async def with_quota(
    sends: SendStore, capabilities: Capabilities, identities: dict[str, Identity]
) -> dict[str, Identity]:
    """The identities with the number of messages sent in their window, where the channel counts them."""
    if capabilities.window_quota is None:
        return identities
    since = {key: identity.last_inbound_at for key, identity in identities.items() if identity.last_inbound_at}
    used = await sends.count_since(since)
    return {key: each.model_copy(update={"window_sends": used.get(key, 0)}) for key, each in identities.items()}
