"""What the demo set up: channels with their made-up secrets, ports, and whether the past is loaded. Kept 0600."""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from rapport.demo.cast import Channel

FILE = "demo.json"
WHATSAPP_NUMBER = "106540352242922"
FROM_ADDRESS = "hello@harbour-tea.example"


@dataclass
class Stage:
    """Found again on the next start."""

    database: str
    http_port: int = 0
    smtp_port: int = 0
    past_loaded: bool = False
    house_built: bool = False
    channels: dict[Channel, str] = field(default_factory=dict)
    #: The chat on the demo's shop page; its visitors are whoever opens that page.
    webchat: str = ""
    app_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    verify_token: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    secret_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    bot_token: str = field(default_factory=lambda: f"4242:{secrets.token_urlsafe(24)}", repr=False)
    generic_secret: str = field(default_factory=lambda: _standard_secret(), repr=False)

    def settings_of(self, channel: Channel) -> dict[str, object]:
        """Settings for `POST /channels`, pointing to the pretended provider."""
        base = f"http://127.0.0.1:{self.http_port}"
        if channel == "whatsapp":
            return {
                "phone_number_id": WHATSAPP_NUMBER, "business_account_id": "104996122399160", "access_token": "demo",
                "app_secret": self.app_secret, "verify_token": self.verify_token, "api_base": f"{base}/graph",
            }  # fmt: skip
        if channel == "telegram":
            return {"bot_token": self.bot_token, "secret_token": self.secret_token, "api_base": f"{base}/telegram"}
        if channel == "generic":
            return {"scheme": "standard", "secret": self.generic_secret, "send_url": f"{base}/generic"}
        return {
            "from_address": FROM_ADDRESS, "from_name": "Harbour Tea", "smtp_host": "127.0.0.1",
            "smtp_port": self.smtp_port, "smtp_tls": "none",
        }  # fmt: skip

    @property
    def shop_urls(self) -> tuple[str, ...]:
        """Where the demo's shop page stands."""
        return tuple(f"http://{host}:{self.http_port}" for host in ("localhost", "127.0.0.1"))

    def webchat_settings(self) -> dict[str, object]:
        """Settings of the chat on that page."""
        return {
            "allowed_origins": list(self.shop_urls), "title": "Harbour Tea",
            "greeting": "Hello! Questions about tea? Ask away.", "hours_text": "We answer Mon to Fri, 9 to 17.",
            "continuity_channel": self.channels.get("email", ""),
        }  # fmt: skip


NAMES: dict[Channel, str] = {
    "whatsapp": "WhatsApp Harbour Tea",
    "telegram": "Telegram @harbour_tea_bot",
    "email": "hello@harbour-tea.example",
    "generic": "App chat",
}


def _standard_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def load(folder: Path, database: str) -> Stage:
    """The stage of this data directory; a fresh one when there is none or it belongs to another database."""
    try:
        stage = Stage(**orjson.loads((folder / FILE).read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError):
        return Stage(database)
    return stage if stage.database == database else Stage(database)


def save(folder: Path, stage: Stage) -> None:
    """Keep it; it holds secrets, if only pretended ones."""
    path = folder / FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(asdict(stage)))
