"""What a failed send means for the address it went to: suppressed, consent withdrawn. What it means for the account is
done on the spot by `inbox.handover`."""

from __future__ import annotations

from collections.abc import Sequence

from base.errors import NotFound
from base.mongo import Document
from channels.failures import CONSEQUENCES, Failure
from profiles.consent import Consent, ConsentAct

#: What the suppression is called; the person lifts some of them by writing to us.
SUPPRESSED_AS = {Failure.RECIPIENT_BLOCKED: "blocked", Failure.RECIPIENT_UNREACHABLE: "unreachable"}


class Consequences:
    """Draws them. May run twice for the same failure."""

    def __init__(self, consent: Consent) -> None:
        self._consent = consent

    async def draw(self, cases: Sequence[tuple[Document, Failure, str | None]]) -> None:
        """(send, failure, detail): suppress the address or take back the consent, as the one table says."""
        for send, failure, detail in cases:
            consequence = CONSEQUENCES[failure]
            if consequence.suppress_address:
                reason = detail if detail in ("bounce", "complaint") else SUPPRESSED_AS.get(failure, failure.value)
                await self._consent.suppress(send["identity_id"], reason)
            if consequence.revoke_consent:
                await self._withdraw(send, detail)

    async def _withdraw(self, send: Document, detail: str | None) -> None:
        """The platform tells us that the person said no there: their own act, as good as a word to us."""
        key = f"withdrawn:{send['_id']}"
        act = ConsentAct(send["identity_id"], "marketing", False, "channel", proof=detail or send["_id"], key=key)
        try:
            await self._consent.act(act)
        except NotFound:
            return  # the person was erased meanwhile
