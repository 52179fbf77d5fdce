"""Marketers' templates: what they can say, and that nothing they write harms anybody but themselves."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from base.errors import WrongInput
from campaigns import render_child
from campaigns.contents import InlineContent, TemplateInput, chat_message, closest_locale, mail_message, plain_text
from campaigns.namespaces import profile_view
from campaigns.render import Renderer, RenderFailed, RenderItem
from campaigns.sandbox import Language
from channels.capabilities import Capabilities
from channels.vocabulary import Address, OutboundMail

CONTEXT: dict[str, Any] = {
    "profile": {"name": "Anna <b>", "attributes": {"city": None}, "first_name": "Anna", "tags": ["vip", "new"]},
    "order": {
        "number": "A-17",
        "total": {"amount_minor": 123450, "currency": "EUR"},
        "placed_at": "2026-01-05T15:00:00+00:00",
        "lines": [{"name": "Tea", "quantity": 2}, {"name": "Cup", "quantity": 1}],
    },
    "unsubscribe_url": "https://shop.example/u/abc",
}


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[Renderer]:
    made = Renderer(project_zone="Europe/Berlin")
    yield made
    await made.close()


async def text_of(renderer: Renderer, source: str, *, strict: bool = False, **more: Any) -> str:
    content = InlineContent(body=source).model_dump()
    return (await renderer.render(RenderItem(content, CONTEXT, **more), strict=strict)).text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello {{ profile.first_name }}", "Hello Anna"),
        ("{{ profile.nick | default('friend') }}", "friend"),
        ("{{ profile.attributes.city | default('your town') }}", "your town"),
        ("{{ order.total | money }}", "€1,234.50"),
        ("{{ 1999 | money('jpy') }}", "¥1,999"),
        ("{{ order.placed_at | date('yyyy-MM-dd') }}", "2026-01-05"),
        ("{{ order.placed_at | date('%d.%m.%Y %H:%M') }}", "05.01.2026 16:00"),
        ("{{ order.placed_at | date('time', 'Asia/Shanghai') }}", "11:00\u202fPM"),
        ("{{ 'a long sentence for a subject' | truncate(10) }}", "a long…"),
        ("{{ 1234567.891 | number(1) }}", "1,234,567.9"),
        (
            "{% for line in order.lines %}{{ loop.index }}. {{ line.quantity }} × {{ line.name }}\n{% endfor %}",
            "1. 2 × Tea\n2. 1 × Cup",
        ),
        ("{% if order.lines | length > 1 %}things{% else %}thing{% endif %}", "things"),
        ("{{ profile.first_name ~ '-' ~ 3 * 4 }}", "Anna-12"),
        ("{{ profile.tags | join(' + ') }} {{ 'x' in ['x', 'y'] }}", "vip + new True"),
        ("{% set n = 2 + 3 %}{{ n }}", "5"),
        ("{{ unsubscribe_url }}", "https://shop.example/u/abc"),
    ],
)
async def test_the_language(renderer: Renderer, source: str, expected: str) -> None:
    assert await text_of(renderer, source) == expected


async def test_money_and_dates_speak_the_language_of_the_person(renderer: Renderer) -> None:
    source = "{{ order.total | money }} {{ order.placed_at | date('long') }}"
    assert await text_of(renderer, source, locale="zh_CN", zone="Asia/Shanghai") == "€1,234.50 2026年1月5日"
    assert await text_of(renderer, source, locale="de") == "1.234,50\xa0€ 5. Januar 2026"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Shanghai", "Pacific/Kiritimati"])
async def test_a_day_of_a_person_is_the_same_day_in_every_zone(renderer: Renderer, zone: str) -> None:
    """Days of own fields are kept as midnight UTC: "your contract ends on" named the day before in America."""
    kept = {"renewal": datetime(2026, 12, 24, tzinfo=UTC), "all": [datetime(2026, 12, 24, tzinfo=UTC)],
            "met": datetime(2026, 12, 24, 12, tzinfo=UTC)}  # fmt: skip
    view = profile_view({"_id": "prf_1", "attributes": kept})
    source = "{{ profile.attributes.renewal | date('long') }} {{ profile.attributes['all'][0] | date }}"
    content = InlineContent(body=source).model_dump()
    made = await renderer.render(RenderItem(content, {**CONTEXT, "profile": view}, locale="en", zone=zone))
    assert made.text == "December 24, 2026 Dec 24, 2026"
    assert view["attributes"]["met"] == "2026-12-24T12:00:00+00:00"


async def test_html_escapes_values_and_text_does_not(renderer: Renderer) -> None:
    content = TemplateInput(
        name="t", kind="email", subject="Hi {{ profile.name }}\nBcc: x", body="<p>{{ profile.name }}</p>"
    )
    made = await renderer.render(RenderItem(content.model_dump(), CONTEXT))
    assert made.html == "<p>Anna &lt;b&gt;</p>"
    assert made.text == "Anna <b>"
    assert made.subject == "Hi Anna <b> Bcc: x"  # no line break survives into a header


async def test_strict_names_what_does_not_exist_and_send_only_warns(renderer: Renderer) -> None:
    with pytest.raises(RenderFailed) as caught:
        await text_of(renderer, "{{ profile.nmae }}", strict=True)
    assert caught.value.code == "undefined" and "nmae" in str(caught.value)
    content = InlineContent(body="Hi {{ profile.nmae }}{{ profile.attributes.city }}!").model_dump()
    made = await renderer.render(RenderItem(content, CONTEXT))
    assert made.text == "Hi !" and made.warnings == ("nmae", "city")
    assert await text_of(renderer, "{{ profile.attributes.city }}", strict=True) == ""  # known, but empty


async def test_wordings_by_locale(renderer: Renderer) -> None:
    content = InlineContent.model_validate(
        {
            "subject": "Thanks",
            "body": "Hello",
            "locales": {"zh": {"body": "你好"}, "pt-BR": {"subject": "Oi", "body": "Olá"}},
        }
    ).model_dump()
    seen = {}
    for locale in ("zh_Hans_CN", "pt_PT", "fr", None):
        made = await renderer.render(RenderItem(content, CONTEXT, locale=locale))
        seen[locale] = (made.subject, made.text, made.locale)
    assert seen == {
        "zh_Hans_CN": ("Thanks", "你好", "zh"),
        "pt_PT": ("Oi", "Olá", "pt-BR"),
        "fr": ("Thanks", "Hello", None),
        None: ("Thanks", "Hello", None),
    }


def test_closest_locale() -> None:
    assert closest_locale("zh-Hant-TW", ["zh", "zh-Hant"]) == "zh-Hant"
    assert closest_locale("de", ["de-AT", "de-DE"]) == "de-AT"
    assert closest_locale("en-GB", ["de"]) is None


async def test_buttons_and_approved_templates(renderer: Renderer) -> None:
    content = InlineContent.model_validate(
        {
            "body": "Rate us",
            "buttons": [
                {"title": "{{ profile.first_name }}: 5", "payload": "5"},
                {"title": "Site", "url": "{{ unsubscribe_url }}"},
            ],
            "whatsapp": {
                "name": "review_ask",
                "language": "en",
                "body": ["{{ profile.first_name }}", "{{ order.number }}"],
            },
        }
    ).model_dump()
    made = await renderer.render(RenderItem(content, CONTEXT))
    assert [(b.title, b.payload, b.url) for b in made.buttons] == [
        ("Anna: 5", "5", None),
        ("Site", None, "https://shop.example/u/abc"),
    ]
    assert made.whatsapp is not None and made.whatsapp.body == ("Anna", "A-17")
    to = Address(channel_id="chn_1", external_id="49")
    chat = chat_message(made, "k", to, able=Capabilities(text_limit=1000, buttons=3), template=None)
    assert chat.text == "Rate us" and len(chat.buttons) == 2 and chat.mail is None
    cramped = chat_message(made, "k", to, able=Capabilities(text_limit=1000, buttons=1), template=None)
    assert cramped.buttons == () and cramped.text == "Rate us\n\n• Anna: 5\nSite: https://shop.example/u/abc"
    mail = mail_message(made, "k", to, OutboundMail(subject="", message_id="<k@x>"))
    assert mail.mail is not None and mail.mail.subject == "Rate us" and mail.mail.message_id == "<k@x>"
    assert mail.mail.html == '<p>Rate us</p><p><a href="https://shop.example/u/abc">Site</a></p>'


FORBIDDEN = [
    "{{ ''.__class__ }}", "{{ profile.__class__.__mro__ }}", "{{ profile.items() }}", "{{ [].append(1) }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{% macro a() %}{% endmacro %}", "{% include 'x' %}",
    "{% import 'x' as y %}", "{{ lipsum() }}", "{{ cycler }}{{ cycler('a') }}", "{{ 'a' * 10**9 }}", "{{ 2 ** 99 }}",
    "{{ '%999999999d' % 1 }}", "{{ profile | attr('x') }}", "{{ profile | map('upper') }}", "{{ 'x' | format(1) }}",
    "{{ _concat }}", "{{ ['a'] | _concat }}", "{{ self }}{{ self.x() }}", "{% extends 'x' %}", "{{ 'abc'[0:2] }}",
    "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in [1, 2] %}{% endfor %}", "{{ {'a': 1} }}", "{{ joiner('x')() }}", "{{ namespace(x=1) }}",
    "{% call x() %}{% endcall %}", "{% filter upper %}a{% endfilter %}", "{{ 10**15 * 10**15 }}", "{{ 'x' * 3 }}",
    "{{ '' | safe }}", "{% set profile.x = 1 %}", "{{ x is callable }}", "{{ profile.name.format(1) }}",
]  # fmt: skip


@pytest.mark.parametrize("source", FORBIDDEN)
async def test_s12_what_is_not_in_the_language_is_refused(renderer: Renderer, source: str) -> None:
    with pytest.raises(RenderFailed) as caught:
        await text_of(renderer, source)
    assert caught.value.code in ("forbidden", "syntax"), caught.value


@pytest.mark.parametrize(
    "source",
    [
        "{{ profile.items }}",
        "{{ profile.keys }}|{{ profile.get }}",
        "{{ order.lines.append }}",
        "{{ profile.first_name.upper }}",
    ],
)
async def test_s12_no_attribute_is_ever_reached(renderer: Renderer, source: str) -> None:
    assert (await text_of(renderer, source)).replace("|", "") == ""


BOMBS = {
    "doubling": "{% set x = 'ab' %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}",
    "adding": "{% set x = 'ab' %}" + "{% set x = x + x %}" * 60 + "{{ x }}",
    "lists": "{% set x = ['ab'] %}" + "{% set x = [x, x] %}" * 60 + "{{ x }}",
    "loops": "{% for a in big %}{% for b in big %}{{ a }}{% endfor %}{% endfor %}",
    "long": "{% for a in big %}{{ text }}{% endfor %}",
    "busy": "{% for a in big %}{% for b in big %}{% if a == b and b == a %}{% endif %}{% endfor %}{% endfor %}",
    "deep": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nodes": "{{ a }}" * 5001,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_s12_a_bomb_ends_within_two_seconds_and_small(renderer: Renderer, name: str) -> None:
    await text_of(renderer, "warm")
    context = {"big": list(range(30_000)), "text": "x" * 10_000}
    before = rss_kb("self")
    started = time.monotonic()
    content = InlineContent(body=BOMBS[name]).model_dump()
    answers = await renderer.render_many([RenderItem(content, context)])
    assert time.monotonic() - started < 2.5  # 2 s for the template, the rest for a busy test machine
    failed = answers[0]
    assert isinstance(failed, RenderFailed) and failed.code in ("too_slow", "too_large", "syntax", "forbidden")
    assert rss_kb("self") - before < 32_000
    child = renderer._child
    if child is not None and child.returncode is None:
        assert rss_kb(str(child.pid)) < 64_000 + 70_000


def test_wherever_the_time_runs_out_the_author_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """jinja's traceback rewriting fails on bytecode without a line, where the signal often comes."""
    before = signal.signal(signal.SIGPROF, render_child._out_of_time)
    try:
        for tenths in range(10, 40):
            monkeypatch.setattr(render_child, "ITEM_CPU_S", tenths / 1000)
            item = {"context": {"big": list(range(30_000))}}
            answer = render_child.answer(Language(), {"body": {"source": BOMBS["busy"], "markup": False}}, item, False)
            assert answer["error"]["code"] == "too_slow", answer
    finally:
        signal.signal(signal.SIGPROF, before)


async def test_one_bad_item_harms_no_other(renderer: Renderer) -> None:
    """D4, in rendering: 1 template that hangs inside a batch of 40."""
    good = InlineContent(body="Hi {{ profile.first_name }}").model_dump()
    bomb = InlineContent(body=BOMBS["busy"]).model_dump()
    fat = InlineContent(body=BOMBS["lists"]).model_dump()
    items = [RenderItem(good, CONTEXT) for _ in range(40)]
    items[7] = RenderItem(bomb, {"big": list(range(30_000))})
    items[20] = RenderItem(fat, CONTEXT)
    answers = await renderer.render_many(items)
    failed = [place for place, answer in enumerate(answers) if isinstance(answer, RenderFailed)]
    assert failed == [7, 20]
    assert all(answer.text == "Hi Anna" for place, answer in enumerate(answers) if place not in failed)  # type: ignore[union-attr]


async def test_a_killed_child_is_replaced(renderer: Renderer) -> None:
    await text_of(renderer, "x")
    assert renderer._child is not None
    renderer._child.kill()
    await asyncio.sleep(0.1)
    assert await text_of(renderer, "{{ profile.first_name }}") == "Anna"


async def test_a_cancelled_batch_leaves_no_answers_behind(renderer: Renderer) -> None:
    slow = [RenderItem(InlineContent(body=BOMBS["busy"]).model_dump(), {"big": list(range(5000))})] * 3
    task = asyncio.create_task(renderer.render_many(slow))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await text_of(renderer, "after") == "after"


async def test_the_child_gets_no_secrets(renderer: Renderer) -> None:
    await text_of(renderer, "x")
    assert renderer._child is not None
    environ = Path(f"/proc/{renderer._child.pid}/environ").read_bytes()
    assert b"RAPPORT" not in environ and b"MONGO" not in environ


async def test_check_names_the_part_and_the_line(renderer: Renderer) -> None:
    content = InlineContent.model_validate(
        {
            "subject": "ok",
            "body": "a\n{% if %}",
            "locales": {"zh": {"body": "{{ ''.__class__() }}"}, "de": {"body": "{{ x.y }}"}},
        }
    ).model_dump()
    with pytest.raises(WrongInput) as caught:
        await renderer.check(content)
    assert [fault.path for fault in caught.value.errors] == ["body", "locales.zh.body"]
    assert "(line 2)" in caught.value.errors[0].message


async def test_speed_compiled_once(renderer: Renderer) -> None:
    content = InlineContent(body="<p>Hello {{ profile.first_name }}</p>" * 40).model_dump()
    items = [RenderItem(content, CONTEXT) for _ in range(500)]
    await renderer.render_many(items[:1])
    started = time.monotonic()
    await renderer.render_many(items)
    rate = 500 / (time.monotonic() - started)
    print(f"\nrendered {rate:,.0f} messages of 1.3 kB per second through the child")  # noqa: T201
    assert rate > 100


def test_plain_text_of_a_mail() -> None:
    markup = (
        "<html><head><style>x{}</style></head><body><h1>Hi</h1>"
        "<p>See <a href='https://a.example/x'>our shop</a><br>now</p></body></html>"
    )
    assert plain_text(markup) == "Hi\nSee our shop (https://a.example/x)\nnow"
    assert plain_text("<p>a \xa0\t b&nbsp;</p><p> </p><p></p><p> \t</p><p>c</p>") == "a b\n\nc"


def rss_kb(pid: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
