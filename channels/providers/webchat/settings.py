"""What an administrator chooses for a chat on their pages. Everything but the pages has a default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr

from channels.adapter import AccountSettings
from channels.origins import normal_origin

Asked = Literal["no", "optional", "required"]
Origin = Annotated[str, AfterValidator(normal_origin)]


#: Nobody needs it on the first day: behind a fold of the form.
LATER: dict[str, Any] = {"advanced": True}


class WebchatSettings(AccountSettings):
    """The public ones are told to every visitor; `identity_secret` never leaves the server."""

    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        max_length=100,
        title="Allowed websites",
        description=(
            "Pages that may show the chat, separated by commas: https://www.example.com, or https://*.example.com for "
            "all hosts below it. Empty: none."
        ),
    )
    identity_secret: SecretStr = Field(
        default=SecretStr(""),
        title="Identity secret",
        description="Your server signs the id of a signed-in customer with it (HMAC-SHA256). Empty: all are anonymous.",
    )
    title: str = Field("", max_length=80, title="Title", description="At the top of the chat; empty: its name here.")
    greeting: str = Field("", max_length=500, title="Greeting", description="The first words a visitor sees.")
    hours_text: str = Field(
        "", max_length=120, title="Office hours", description="Below the title, such as: We answer Mon to Fri, 9 to 17."
    )
    away_text: str = Field(
        "",
        max_length=300,
        title="While nobody answers",
        description="Shown below a message that waits for an answer.",
        json_schema_extra=LATER,
    )
    colour: str = Field(
        "#0f766e", pattern=r"^#[0-9a-fA-F]{6}$", title="Colour", description="Six digits, such as #0f766e."
    )
    position: Literal["right", "left"] = Field("right", title="Corner of the page", json_schema_extra=LATER)
    theme: Literal["auto", "light", "dark"] = Field(
        "auto", title="Light or dark", description="auto follows the visitor's system.", json_schema_extra=LATER
    )
    language: Literal["auto", "en", "zh-CN"] = Field(
        "auto",
        title="Language",
        description="auto follows data-lang of the script tag, then the page.",
        json_schema_extra=LATER,
    )
    ask_name: Asked = Field("no", title="Ask for the name", description="required asks before the first message.")
    ask_email: Asked = Field(
        "optional", title="Ask for the mail address", description="Needed to reach somebody who has left the page."
    )
    files: bool = Field(True, title="Visitors may send files", json_schema_extra=LATER)
    file_max_mb: int = Field(10, ge=1, le=10, title="Largest file, MB", json_schema_extra=LATER)
    continuity_channel: str = Field(
        "",
        pattern=r"^(chn_[0-9a-z]{26})?$",
        title="Answers by mail",
        description="Answers that a visitor has not seen in the chat go to them by this e-mail channel.",
        json_schema_extra={"channel_kind": "email"},
    )
    continuity_after_min: int = Field(10, ge=1, le=1440, title="Answer by mail after, minutes", json_schema_extra=LATER)

    @property
    def file_max_bytes(self) -> int:
        """The largest file a visitor may send."""
        return self.file_max_mb * 1_000_000
