"""Every setting of the deployment, read once from the environment (`RAPPORT_…`) and `.env`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from base.errors import Misconfigured

#: Variables of the test run, read by the tests and by `run`.
NOT_SETTINGS = ("RAPPORT_TEST_", "RAPPORT_FIXTURES", "RAPPORT_GOLDEN")

TextList = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Frozen. Each field's description is what a person reads when its value is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="RAPPORT_", env_file=".env", env_file_encoding="utf-8", frozen=True, extra="forbid"
    )

    data: Path = Field(Path("data"), description="Folder for the private servers, keys and logs of this deployment.")
    mongo_url: SecretStr | None = Field(
        None, description="Your own MongoDB (a replica set); none: a private one is started."
    )
    redis_url: SecretStr | None = Field(None, description="Your own Redis or Valkey; none: a private one is started.")
    database: str = Field("rapport", pattern=r"^[A-Za-z0-9_-]{1,38}$", description="Name of the MongoDB database.")
    queue_prefix: str = Field("rapport", pattern=r"^[A-Za-z0-9_.-]{1,60}$", description="Prefix of all Redis keys.")
    base_url: str = Field(
        "http://localhost:8080", description="Public address of this deployment, without a slash at the end."
    )
    business_name: str = Field(
        "", max_length=80, description="What customers know you by; stands above the pages they reach from messages."
    )
    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the web process listens on.")
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys that encrypt credentials, newest first, separated by commas; rapport key new makes one.",
    )
    allow_private_addresses: TextList = Field(
        (),
        description="Networks that outgoing calls may reach although private, e.g. 127.0.0.0/8,10.2.0.0/16.",
    )
    trusted_proxies: TextList = Field((), description="Networks whose X-Forwarded-For and -Proto are believed.")
    mail_listen: str | None = Field(
        None, description="host:port for incoming mail by LMTP or SMTP, e.g. 127.0.0.1:8025."
    )
    mail_protocol: Literal["smtp", "lmtp"] = Field("smtp", description="What the mail listener speaks: smtp or lmtp.")
    default_region: str = Field("US", pattern="^[A-Z]{2}$", description="Country for phone numbers without a prefix.")
    time_zone: str = Field("UTC", description="Zone used where a person's own is unknown, e.g. Europe/Berlin.")
    agents_may_export: bool = Field(
        False, description="true: agents may export lists of people too, not marketers and administrators alone."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")
    log_format: Literal["text", "json"] = Field("text", description="text for people, json for machines.")
    max_inflight: int = Field(512, ge=8, le=10000, description="Webhook requests in work at once; beyond it 503.")
    worker_batch: int = Field(250, ge=1, le=1000, description="Rows a worker claims at a time.")

    @field_validator("secret_keys", "allow_private_addresses", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies", "allow_private_addresses")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text)
        return value

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("needs http:// or https:// and a host")
        return value.rstrip("/")

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("is not a zone of the IANA database") from None
        return value


def load(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (from the command line) win. Raises `Misconfigured`, one line per fault."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise Misconfigured("\n".join(_line(fault) for fault in error.errors())) from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {f"RAPPORT_{name.upper()}" for name in Settings.model_fields}
    given = {name for name in environment if name.startswith("RAPPORT_") and not name.startswith(NOT_SETTINGS)}
    if given - known:
        raise Misconfigured("\n".join(f"{name} is not a setting of Rapport." for name in sorted(given - known)))


def _line(fault: Any) -> str:
    name = str(fault["loc"][0]).removeprefix("RAPPORT_").removeprefix("rapport_") if fault["loc"] else "?"
    known = Settings.model_fields.get(name.lower())
    if known is None:
        return f"RAPPORT_{name.upper()} is not a setting of Rapport."
    return f"RAPPORT_{name.upper()}: {fault['msg'].removeprefix('Value error, ')}. {known.description}"
