"""What is wrong with a template is said in the reader's language, whoever found it: model, sandbox or jinja."""

from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import pytest

from base.clock import now
from campaigns.contents import InlineContent
from campaigns.render import Renderer, RenderFailed, RenderItem
from desk.i18n import Formats
from desk.pages.template_words import template_words
from tests.desk.test_journey_faults import sentences

ENGLISH = Formats("en", ZoneInfo("UTC"), now())


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer(project_zone="UTC")
    yield made
    await made.close()


@pytest.mark.parametrize("file", ["sandbox.py", "contents.py"])
def test_every_fault_has_words_of_the_desk(file: str) -> None:
    plain = {each: template_words(each, ENGLISH) for each in sentences(file)}
    assert plain and [each for each, words in plain.items() if words.startswith("This cannot be read")] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ profile.nmae }}", "There is nothing called “nmae”."),
        ("{{ profile.name | uper }}", "There is no filter called “uper”."),
        ("{% fro x in y %}", "There is no tag called “fro”."),
        ("{{ 1 / 0 }}", "This cannot be read: division by zero"),
        ("{% if profile.name is odder %}{% endif %}", "There is no test called “odder”."),
        ("{{ profile.name", "This cannot be read: unexpected end of template, expected 'end of print statement'."),
        ("{{ profile._id }}", "Names do not begin with an underscore."),
        ("{% for a in [1] %}{{ range(3) }}{% endfor %}", "“call” is not part of the template language."),
    ],
)
async def test_what_people_write_is_told_in_words(renderer: Renderer, source: str, words: str) -> None:
    content = InlineContent(body=source).model_dump()
    with pytest.raises(RenderFailed) as caught:
        await renderer.render(RenderItem(content, {"profile": {"name": "A"}}), strict=True)
    assert template_words(str(caught.value), ENGLISH) == words
    assert template_words(f"{caught.value} (line 3)", ENGLISH) == f"Line 3: {words}"
