"""E-mails made of blocks, snippets inside templates, and what is checked about both. No database."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from campaigns.contents import Rendered, TemplateInput
from campaigns.library.checks import CLIPPED_BYTES, findings, links_of, shouts
from campaigns.render import Renderer, RenderFailed, RenderItem
from campaigns.wording.blocks import KINDS, Brand
from campaigns.wording.letters import contrast, dark_link, readable_on
from campaigns.wording.parts import circle, offers_in, snippets_in
from channels.capabilities import Capabilities
from channels.vocabulary import Button

ORDER = {
    "number": "A-17", "total": {"amount_minor": 6980, "currency": "EUR"},
    "lines": [{"name": "Tea <pot>", "quantity": 2, "unit_price": {"amount_minor": 3490, "currency": "EUR"}}],
}  # fmt: skip
CONTEXT: dict[str, Any] = {
    "profile": {"first_name": "Anna <b>", "attributes": {"site": "javascript:alert(1)"}}, "order": ORDER,
    "unsubscribe_url": "https://shop.example/u/1", "preferences_url": "https://shop.example/p/1",
}  # fmt: skip
ALL = [
    {"type": "header", "title": "Hello {{ profile.first_name }}"},
    {"type": "text", "text": "**Dear** you & [all](https://shop.example/?a=1&b=2),\nhow <i>are</i> you?"
     "\n\n- one\n- two"},
    {"type": "image", "url": "https://shop.example/a.png", "alt": "A pot", "link": "https://shop.example/"},
    {"type": "button", "label": "Look", "url": "https://shop.example/{{ order.number }}"},
    {"type": "products", "title": "Yours"}, {"type": "summary", "total_label": "Sum"}, {"type": "divider"},
    {"type": "columns", "left": "Left", "right": "Right"}, {"type": "footer", "text": "You asked for it."},
]  # fmt: skip
BRAND = Brand(
    name="Tea & Co {{ 1 }}", logo_url="https://shop.example/l.png", address="Main St 1\nDelft", accent="#ffcc00"
)


class Shelf:
    """A brand and snippets as given."""

    def __init__(self, **snippets: dict[str, Any]) -> None:
        self.kept = snippets

    async def brand(self) -> Brand:
        return BRAND

    async def snippets(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return self.kept


SHELF = Shelf(
    hello={"text": "Hi {{ profile.first_name }}!", "html": "<b>Hi {{ profile.first_name }}</b>",
           "locales": {"zh": {"text": "您好 {{ profile.first_name }}", "html": None}}},
    lines={"text": "a < b\nnext {% include 'hello' %}", "html": None, "locales": {}},
    loop={"text": "{% include 'loop' %}", "html": None, "locales": {}},
    wrong={"text": "{{ nobody.knows", "html": None, "locales": {}},
    gift={"text": "{{ coupon('spring') }}", "html": None, "locales": {}},
    out={"text": "{{ unsubscribe_url }}", "html": None, "locales": {}},
)  # fmt: skip


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer(shelf=SHELF)
    yield made
    await made.close()


def mail(blocks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    given = {"name": "n", "kind": "email", "subject": "Hi {{ profile.first_name }}", "blocks": blocks, **more}
    return TemplateInput.model_validate(given).model_dump()


async def made(renderer: Renderer, content: dict[str, Any], *, strict: bool = True, **more: Any) -> Rendered:
    return await renderer.render(RenderItem(content, {**CONTEXT, **more.pop("context", {})}, **more), strict=strict)


async def test_every_block_stands_in_both_parts(renderer: Renderer) -> None:
    rendered = await made(renderer, mail(ALL))
    assert {each["type"] for each in ALL} == {kind.model_fields["type"].default for kind in KINDS}
    html = rendered.html or ""
    tree = LexborHTMLParser(html)
    assert tree.css_first('meta[name="color-scheme"]').attributes["content"] == "light dark"
    assert "Hello Anna &lt;b&gt;" in html and "<b>" not in html and "<i>" not in html and "Tea &lt;pot&gt;" in html
    assert "Tea &amp; Co {{ 1 }}" in html.replace("&#123;", "{").replace("&#125;", "}"), "a name is no template"
    assert all(each.attributes.get("alt") for each in tree.css("img"))
    assert [each.attributes["href"] for each in tree.css("a")] == [
        "https://shop.example/?a=1&b=2", "https://shop.example/", "https://shop.example/A-17",
        "https://shop.example/u/1", "https://shop.example/p/1",
    ]  # fmt: skip
    assert all("style" in each.attributes for each in tree.css("td, p, h1, h2, a, li")[1:]), "styles are inlined"
    text = rendered.text
    for words in ("Hello Anna <b>", "Dear you & all (https://shop.example/?a=1&b=2),\nhow <i>are</i> you?", "- one",
                  "2 × Tea <pot>  €34.90", "Order: A-17\nSum: €69.80", "Left\n\nRight", "Main St 1\nDelft",
                  "Unsubscribe: https://shop.example/u/1", "Look: https://shop.example/A-17"):  # fmt: skip
        assert words in text, words


async def test_without_an_order_nothing_of_it_is_shown(renderer: Renderer) -> None:
    rendered = await made(renderer, mail([*ALL[4:6], {"type": "text", "text": "Bye"}]), context={"order": {}})
    assert "Yours" not in rendered.text and "Sum" not in rendered.text and "Yours" not in (rendered.html or "")


async def test_an_address_from_data_cannot_run_a_script(renderer: Renderer) -> None:
    blocks = [{"type": "button", "label": "x", "url": "{{ profile.attributes.site }}"},
              {"type": "text", "text": "[a]({{ profile.attributes.site }}) [b](ftp://x.example)"}]  # fmt: skip
    html = (await made(renderer, mail(blocks))).html or ""
    assert [a.attributes["href"] for a in LexborHTMLParser(html).css("a")] == ["#"] * 3


async def test_a_fault_is_told_with_its_block_and_line(renderer: Renderer) -> None:
    blocks = [ALL[0], {"type": "text", "text": "one\ntwo\n{{ profile.nick }}"}]
    with pytest.raises(RenderFailed) as caught:
        await made(renderer, mail(blocks))
    assert (caught.value.part, caught.value.line, caught.value.code) == ("blocks[1]", 3, "undefined")


async def test_a_language_with_its_own_blocks_mixes_nothing(renderer: Renderer) -> None:
    content = mail(ALL, locales={"zh": {"subject": "您好", "blocks": [{"type": "text", "text": "仅此"}]}})
    rendered = await made(renderer, content, locale="zh_CN")
    assert (rendered.text, rendered.subject) == ("仅此", "您好") and 'lang="zh"' in (rendered.html or "")


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "chat", "text": "x", "blocks": ALL}, {"body": "x", "blocks": ALL},
        {"blocks": [{"type": "image", "url": "https://x.example/a.png", "alt": " "}]},
        {"blocks": [{"type": "marquee"}]}, {"blocks": [{"type": "text", "text": "x", "colour": "red"}]},
    ],
)  # fmt: skip
def test_what_is_no_letter_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        TemplateInput.model_validate({"name": "n", "kind": "email", "subject": "s", **given})


@pytest.mark.parametrize("accent", ["#ffcc00", "#1f5eff", "#000000", "#ffffff", "#777777"])
def test_words_can_be_read_on_every_colour(accent: str) -> None:
    assert contrast(accent, readable_on(accent, "#ffffff")) >= 4.5
    assert contrast("#1c1c1e", dark_link(accent)) >= 4.5


# -- snippets --------------------------------------------------------------------------------------------------------


async def test_a_snippet_stands_where_it_is_named(renderer: Renderer) -> None:
    content = TemplateInput(name="n", kind="chat", text="{% include 'hello' %} {% include \"lines\" %}").model_dump()
    assert (await made(renderer, content)).text == "Hi Anna <b>! a < b\nnext Hi Anna <b>!"
    assert (await made(renderer, content, locale="zh_CN")).text.startswith("您好 Anna <b> a < b")
    html = (await made(renderer, mail([{"type": "text", "text": "{% include 'lines' %}"}]))).html or ""
    assert "a &lt; b<br>\nnext <b>Hi Anna &lt;b&gt;</b>" in html


async def test_each_message_of_a_batch_has_its_own_snippets(renderer: Renderer) -> None:
    sources = ("{% include 'lines' %}", "Order shipped", "{% include 'hello' %}")
    items = [RenderItem({"text": text}, {}) for text in sources]
    texts = [each.text for each in await renderer.render_many(items) if not isinstance(each, RenderFailed)]
    assert len(texts) == 3 and texts[1] == "Order shipped"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% include 'loop' %}", "contains itself"), ("\n{% include 'none' %}", "no snippet called none"),
        ("{% include 'wrong' %}", "cannot be read"), ("{% include profile.name %}", "by its key"),
        ("{{ range(3) }}", "call is not part"), ("{{ coupon(profile.name) }}", "call is not part"),
        ("{{ ''.join(['a']) }}", "call is not part"), ("{% import 'hello' as x %}", "not part"),
        ("{% extends 'hello' %}", "not part"),
    ],
)  # fmt: skip
async def test_there_is_no_other_way_to_another_text(renderer: Renderer, source: str, words: str) -> None:
    with pytest.raises(RenderFailed, match=words) as caught:
        await made(renderer, {"text": source}, strict=False)
    assert caught.value.code == "forbidden" and caught.value.line == 1 + source.count("\n")


async def test_codes_are_filled_in_and_found_in_snippets(renderer: Renderer) -> None:
    content = {"text": "Take {{ coupon('spring') }}{% if coupon('none') %} or{% endif %}"}
    given = {"coupons": {"spring": "TEA-1"}}
    assert (await made(renderer, content, strict=False, context=given)).text == "Take TEA-1"
    assert await renderer.offers_in([content, {"body": "{% include 'gift' %}"}, {"text": "x"}]) == [
        {"spring", "none"}, {"spring"}, set(),
    ]  # fmt: skip


async def test_links_are_made_only_where_they_may_be_shown(renderer: Renderer) -> None:
    blocks = {"blocks": [{"type": "footer"}]}
    contents: list[dict[str, Any]] = [
        {"text": "Hi"}, {"body": "<a href='{{ unsubscribe_url }}'>x</a>"}, {"text": "{% include 'out' %}"}, blocks,
        {"text": "Hi", "locales": {"de": {"text": "{{preferences_url}}"}}}, {"text": "Hi", "locales": {"de": blocks}},
    ]  # fmt: skip
    found = await renderer.personal_in([*contents, contents[0]])
    assert [each.links for each in found] == [False, True, True, True, True, True, False]


def test_names_are_found_and_circles_too() -> None:
    assert snippets_in("{%- include 'a' -%}{% include \"b-1\" %}{{ include }}") == {"a", "b-1"}
    assert offers_in("{{ coupon('x') }}{% if coupon( \"y\" ) %}") == {"x", "y"}
    inside = {"a": {"b"}, "b": {"c"}, "c": set[str]()}
    assert circle("a", lambda key: inside[key]) == []
    inside["c"] = {"a"}
    assert circle("a", lambda key: inside[key]) == ["a", "b", "c", "a"]


# -- checks ----------------------------------------------------------------------------------------------------------


def codes(kind: Any, content: dict[str, Any], rendered: Rendered, *able: tuple[str, Capabilities]) -> set[str]:
    return {each.code for each in findings(kind, content, rendered, able)}


LONG = "Quite enough words so that nobody thinks there are none beside the picture, really."


@pytest.mark.parametrize(
    ("html", "text", "subject", "found"),
    [
        ("<p>fine</p>", LONG, "Hello", set()),
        ('<a href="http://x.example">x</a>', LONG, "Hello", {"link_http"}),
        ('<a href="https://exa mple">x</a><a href="#">y</a>', LONG, "Hello", {"link_broken", "link_empty"}),
        ('<img src="https://x.example/a.png">', "Hi", "Hello", {"no_alt", "image_only"}),
        ("<p>" + "x" * CLIPPED_BYTES, LONG, "Hello", {"too_large"}),
        ("<p>fine</p>", "Act now, it is " + LONG, "Hello", {"spam_word"}),
        ("<p>fine</p>", "恭喜您中奖了，快来" + LONG, "Hello", {"spam_word"}),
        ("<p>fine</p>", LONG, "GREAT NEWS INSIDE!!", {"capitals", "exclamation"}),
        ("<p>fine</p>", LONG, "y" * 79, {"long_subject"}),
    ],
)
def test_what_is_told_about_a_mail(html: str, text: str, subject: str, found: set[str]) -> None:
    out = {"body": "{{ unsubscribe_url }}"}
    assert codes("email", out, Rendered(subject=subject, html=html, text=text)) == found


def test_marketing_needs_a_way_out_and_languages_need_words() -> None:
    rendered = Rendered(subject="Hello", html="<p>x</p>", text=LONG)
    content: dict[str, Any] = {"subject": "s", "body": "x", "locales": {"zh": {"body": "y"}, "de": {"subject": "z"}}}
    assert codes("email", content, rendered) == {"no_unsubscribe", "locale"}
    assert codes("email", mail([{"type": "footer"}]), rendered) == set()


def test_limits_of_channels_are_told() -> None:
    able = Capabilities(text_limit=10, buttons=1, button_title_limit=5)
    rendered = Rendered(text="x" * 11, buttons=(Button(title="Long label"), Button(title="b")))
    assert codes("chat", {}, rendered, ("Shop", able)) == {"text_too_long", "buttons", "button_title"}
    assert codes("chat", {}, Rendered(text="short"), ("Shop", able)) == set()
    assert links_of(Rendered(text="see https://x.example/a, or")) == ["https://x.example/a"]
    assert shouts("THIS IS VERY LOUD stuff") and not shouts("NASA and quiet words")
