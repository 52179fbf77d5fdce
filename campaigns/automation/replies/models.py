"""What a channel says by itself, as people write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inbox.acts import LABEL_MAX
from inbox.sla.models import HoursId
from profiles.opt_words import opt_word

KEYWORDS_MAX, WORDS_MAX, LANGUAGES_MAX, TEXT_MAX, WORD_MAX = 100, 30, 12, 2000, 100

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}([_-][A-Za-z]{2,8}){0,2}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_MAX)]
Texts = Annotated[dict[Language, Text], Field(max_length=LANGUAGES_MAX)]
SomeTexts = Annotated[dict[Language, Text], Field(min_length=1, max_length=LANGUAGES_MAX)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LABEL_MAX)]
TeamId = Annotated[str, StringConstraints(pattern=r"^tea_[0-9a-z]{26}$")]


def _no_consent_word(word: str) -> str:
    if opt_word(word) is not None:
        raise ValueError("is a word of consent: it is acted upon and answered by itself")
    return word


Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=WORD_MAX), AfterValidator(_no_consent_word)
]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Greeting(_Written):
    """Said when a conversation begins or comes back, to one person at most once a day."""

    active: bool = True
    texts: SomeTexts = Field(description="Language → text; who reads another language gets English, else the first.")


class OutOfOffice(_Written):
    """Said while it is closed, to one person once until it opens again."""

    active: bool = True
    hours_id: HoursId
    texts: SomeTexts = Field(description="Language → text. `{{ hours.opens }}` is when somebody is there again.")


class Keyword(_Written):
    """What follows from certain words: an answer, labels, a team."""

    words: list[Word] = Field(min_length=1, max_length=WORDS_MAX)
    match: Literal["contains", "whole"] = Field(
        "contains", description="`contains`: anywhere as a word of its own; `whole`: nothing else is said."
    )
    texts: Texts = Field(default_factory=dict)
    labels: list[Label] = Field(default_factory=list, max_length=10)
    team_id: TeamId | None = None
    active: bool = True

    @model_validator(mode="after")
    def _does_something(self) -> Keyword:
        if not (self.texts or self.labels or self.team_id):
            raise ValueError("answers, labels or moves to a team")
        return self


class ChannelReplies(_Written):
    """All that one channel says by itself. Of several keywords in one message only the first counts (`first_only`), or
    all of them in one answer."""

    greeting: Greeting | None = None
    out_of_office: OutOfOffice | None = None
    keywords: list[Keyword] = Field(default_factory=list, max_length=KEYWORDS_MAX)
    first_only: bool = True

    @property
    def is_on(self) -> bool:
        """Whether anything is ever said."""
        parts = [self.greeting, self.out_of_office, *self.keywords]
        return any(each is not None and each.active for each in parts)

    @property
    def all_texts(self) -> list[tuple[str, str]]:
        """Every text with the path at which it stands."""
        parts: list[tuple[str, Mapping[str, str]]] = [
            *((name, each.texts) for name in ("greeting", "out_of_office") if (each := getattr(self, name))),
            *((f"keywords.{place}", each.texts) for place, each in enumerate(self.keywords)),
        ]
        return [(f"{path}.texts.{language}", text) for path, texts in parts for language, text in texts.items()]
