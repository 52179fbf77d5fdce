"""The keys that seal credentials: from the environment, else a private file of this data directory."""

from __future__ import annotations

import os
from pathlib import Path

from base.errors import Misconfigured
from base.secret_box import SecretBox
from base.settings import Settings

FILE = "secret-keys"


def secret_box(settings: Settings, *, create: bool) -> SecretBox:
    """`RAPPORT_SECRET_KEYS` wins; else the file in the data directory, made on first use when `create`."""
    given = [key.get_secret_value() for key in settings.secret_keys]
    return SecretBox(given or _kept(settings.data / FILE, create=create))


def _kept(path: Path, *, create: bool) -> list[str]:
    if not path.exists():
        if not create:
            raise Misconfigured(
                "RAPPORT_SECRET_KEYS is not set and there is no key in the data directory. All web and worker "
                "processes of a deployment need the same keys. Make one with: rapport key new"
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(SecretBox.new_key() + "\n")
    return path.read_text().split()
