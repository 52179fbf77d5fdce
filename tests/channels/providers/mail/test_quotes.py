"""The visible reply, by programs and languages; and that no letter takes long."""

from __future__ import annotations

import time

import pytest

from channels.providers.mail.htmltext import html_to_text
from channels.providers.mail.quotes import visible_reply

CUT = {
    "gmail": ("Hello\n\nOn Mon, Apr 2, 2012 at 6:26 PM, Megan One <x@gmail.com> wrote:\n\n> Hi\n", "Hello"),
    "gmail wrapped": ("Hello\n\nOn Thu, Aug 19, 2021 at 2:07 PM A long name <\nx@y.com> wrote:\n\n> Hi", "Hello"),
    "outlook": ("Hello\n\nFrom: a@b.c [mailto:a@b.c]\nSent: March-09-12 4:22 PM\nTo: Dan\nSubject: x\n\nHi", "Hello"),
    "outlook rule": ("ok\n\n________________________________\nFrom: A\nSent: Monday\nTo: B\nSubject: C\n\nhi", "ok"),
    "outlook german": ("Danke\n\nVon: A <a@b.de>\nGesendet: Montag\nAn: B\nBetreff: C\n\nhallo", "Danke"),
    "original message": ("ok\n\n-----Original Message-----\nFrom: A\n\nhi", "ok"),
    "german": ("Danke!\n\nAm 02.01.26 um 10:00 schrieb Anna <a@b.de>:\n> hallo", "Danke!"),
    "french": ("Merci\n\nLe lun. 1 janv. 2026 à 10:00, Anna <a@b.fr> a écrit :\n\n> salut", "Merci"),
    "spanish": ("Gracias\n\nEl lun, 1 ene 2026 a las 10:00, Ana (<a@b.es>) escribió:\n\n> hola", "Gracias"),
    "dutch": ("Dank\n\nOp 1 jan. 2026 om 10:00 schreef Anna <a@b.nl>:\n> hoi", "Dank"),
    "polish": ("Dzięki\n\npon., 1 sty 2026 o 10:00 Anna <a@b.pl> napisał(a):\n\n> cześć", "Dzięki"),
    "russian": ("Спасибо\n\nпн, 1 янв. 2026 г. в 10:00, Анна <a@b.ru>:\n\n> привет", "Спасибо"),
    "japanese": ("了解です\n\n2026年1月2日(金) 10:00 Anna <a@b.jp>:\n\n> hi", "了解です"),
    "chinese gmail": ("好的\n\n客服 <a@b.cn> 于2026年1月2日周五 10:00写道：\n\n> 您好", "好的"),
    "chinese iphone": (
        "好的\n\n发自我的iPhone\n\n> 在 2026年1月2日，上午10:00，客服 <a@b.cn> 写道：\n> \n> 您好",
        "好的",
    ),
    "chinese iphone unquoted": ("好的\n\n在 2026年1月2日，上午10:00，客服 <a@b.cn> 写道：\n\n您好", "好的"),
    "qq": (
        "收到\n\n------------------ 原始邮件 ------------------\n发件人: \"a\" <a@b.cn>;\n发送时间: x\n主题: y\n\n您好",
        "收到",
    ),
    "qq entities": ("收到\n\n------------------&nbsp;原始邮件&nbsp;------------------\n发件人: a", "收到"),
    "netease": ("可以\n\n---- 回复的原邮件 ----\n发件人\n客服<a@b.cn>", "可以"),
    "outlook chinese": (
        "谢谢\n\n发件人: 客服 <a@b.cn>\n发送时间: 2026年1月2日 10:00\n收件人: 我\n主题: 订单\n\n您好",
        "谢谢",
    ),
    "foxmail": ("好\n\n\n发件人： 客服\n发送时间： 2026-01-02 10:00\n收件人： 我\n主题： 订单\n您好", "好"),
    "traditional": ("好\n\n寄件者: 客服 <a@b.tw>\n寄件日期: 2026年1月2日\n收件者: 我\n主旨: 訂單\n\n您好", "好"),
    "signature": ("Hello\n\n-- \nAnna\nShop", "Hello"),
    "sent from": ("Hello\n\nSent from my iPhone", "Hello"),
    "outlook for ios": ("thanks\n\nGet Outlook for iOS<https://aka.ms/x>\n", "thanks"),
    "trailing quotes": ("Hello\n\n> Okay noted\n>\n", "Hello"),
    "answer below": ("On Mon, Jan 1, 2026 at 1:00 PM A <a@b.c> wrote:\n> question?\n\nMy answer\n", "My answer"),
    "reply mark": ("Yes\n\n##- Please type your reply above this line -##\nold", "Yes"),
}  # fmt: skip
KEPT = {
    "prose with a colon": "As my brother wrote:\nthis is a nice text",
    "one header-like line": "From: here to there\nit was far",
    "a rule": "a\n________________________________\nb",
    "a list": "- one\n- two",
    "answers between": "On Mon, Jan 1, 2026 A <a@b.c> wrote:\n> first?\nyes\n> second?\nno",
    "quotes alone": "> only quoted",
    "an invoice": "Date: 2026-01-02\nTo: Anna\nSubject: Invoice\n\n100 EUR",
}


@pytest.mark.parametrize("name", CUT)
def test_history_is_cut(name: str) -> None:
    text, wanted = CUT[name]
    assert visible_reply(text) == wanted


@pytest.mark.parametrize("name", KEPT)
def test_own_words_are_kept(name: str) -> None:
    kept = visible_reply(KEPT[name])
    own = [line for line in KEPT[name].split("\n") if not line.endswith("wrote:") or "brother" in line]
    assert [line for line in own if line and line not in kept] == []


@pytest.mark.parametrize(
    "evil",
    ["\n" * 50_000, "On " * 16_000, "On a b\n" * 4900, "From: \n" * 4900, "> " * 25_000, "> a\n" * 4900, "a:\n" * 4900,
     "-" * 50_000, "-----\n" * 4900, "sent from my x\n" * 3000, "--\n" * 4900, "2026 wrote" * 5000 + ":", " " * 50_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_no_letter_takes_long(evil: str) -> None:
    started = time.process_time()
    visible_reply(evil)
    assert time.process_time() - started < 0.8


def test_html_reads_as_people_see_it() -> None:
    html = (
        "<html><head><title>t</title><style>p{}</style></head><body><div style='display: none'>preheader</div>"
        "<h1>Hi &amp; hello</h1><p>one<br>two <b>three</b></p><ul><li>a<li>b</ul><table><tr><td>x<td>y</table>"
        "<!--[if mso]>no<![endif]--><script>no()</script><pre>k\n  l</pre>3 < 4</body></html>"
    )
    assert html_to_text(html) == "Hi & hello\n\none\ntwo three\n\n- a\n- b\nx y\nk\n  l\n3 < 4"


@pytest.mark.parametrize(
    "quote",
    ['<div class="gmail_quote"><div>old</div></div>', '<div id="appendonsend"></div><div>old</div>',
     '<blockquote type="cite">old<blockquote>older</blockquote></blockquote>', "<div id=divRplyFwdMsg>old</div>",
     '<div class="x yahoo_quoted">old</div>', '<div class="moz-cite-prefix">old</div>',
     "<includetail><div>old</div></includetail>"],
)  # fmt: skip
def test_marked_history_in_html(quote: str) -> None:
    html = f"<div>new</div>{quote}"
    assert html_to_text(html, visible_only=True) == "new"
    assert "old" in html_to_text(html)


def test_an_element_left_open_does_not_swallow_the_letter() -> None:
    assert "hello" in html_to_text("<title><p>hello")
