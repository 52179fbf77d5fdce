"""What a bot is, as people write it, and when it must hand over. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from campaigns.matching import has_word

#: Seconds for which a bot may be silent.
SILENT_S, SILENT_MIN_S, SILENT_MAX_S = 30, 5, 600
WORDS_MAX, WORD_MAX, CHANNELS_MAX = 50, 60, 200
#: Asked for in these words, a person takes over.
PERSON_WORDS = (
    "human", "agent", "operator", "real person", "speak to someone", "talk to someone", "customer service",
    "人工", "真人", "转人工", "人工客服", "客服人员",
)  # fmt: skip
_NEEDS = "is a web address such as https://example.com/bot, without names, passwords or # in it"


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        named = parts.hostname and parts.port != 0
    except ValueError:
        named = None
    if not named or parts.scheme not in ("http", "https") or parts.username is not None or parts.fragment:
        raise ValueError(_NEEDS)
    if any(letter.isspace() or not letter.isprintable() for letter in value):
        raise ValueError(_NEEDS)
    return value


Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"\S")]
ChannelIds = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^chn_[0-9a-z]{26}$")]], Field(max_length=CHANNELS_MAX)
]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=WORD_MAX)]
Words = Annotated[list[Word], Field(max_length=WORDS_MAX)]


class BotInput(BaseModel):
    """A bot. It has the conversations that begin or come back on its channels, until it or somebody hands over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Title
    url: Url
    channel_ids: ChannelIds = Field(default_factory=list, description="A channel has one bot.")
    silent_s: int = Field(
        SILENT_S, ge=SILENT_MIN_S, le=SILENT_MAX_S, description="Silent for so long, it has lost the conversation."
    )
    person_words: Words = Field(
        default_factory=lambda: list(PERSON_WORDS), description="Whoever says one of these gets a person."
    )
    active: bool = True


def asks_for_person(text: str, words: Sequence[str]) -> bool:
    """Whether somebody wants to talk to a person."""
    return any(has_word(text, word) for word in words)


def host_of(url: str) -> str:
    """Whom a post asks, for places side by side."""
    return (urlsplit(url).hostname or "").lower()


def says_quiet(answer: Any) -> bool:
    """Whether a bot says that it has nothing to say to this message, and keeps the conversation."""
    return isinstance(answer, dict) and answer.get("quiet") is True
