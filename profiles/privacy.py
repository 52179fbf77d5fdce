"""What may be asked of us about a person's data: what there is, a copy of it, that it goes."""

from __future__ import annotations

from dataclasses import dataclass

from profiles.dossier import Dossiers
from profiles.erasure import Erasures
from profiles.holdings import Holdings
from profiles.privacy_requests import PrivacyRequests


@dataclass(frozen=True)
class Privacy:
    """The use cases."""

    erasures: Erasures
    dossiers: Dossiers
    requests: PrivacyRequests
    holdings: Holdings
