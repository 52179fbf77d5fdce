"""An e-mail made of blocks: each block becomes two templates (HTML and text), rendered ones are put into one letter.

Tables with inlined styles, because that is what mail programs keep; 600 px wide, columns that stand below each other on
a phone, colours that stay readable where the program turns them dark. Pure.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter

from campaigns.wording.blocks import (
    Block,
    Brand,
    ButtonBlock,
    ColumnsBlock,
    DividerBlock,
    FooterBlock,
    HeaderBlock,
    ImageBlock,
    ProductsBlock,
    SummaryBlock,
    TextBlock,
)

WIDTH_PX = 600
FONTS: Final = {
    "sans": "-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'PingFang SC','Microsoft YaHei',sans-serif",
    "serif": "Georgia,'Times New Roman','Songti SC',SimSun,serif",
    "mono": "Menlo,Consolas,'Courier New',monospace",
}
#: What an address in a letter may begin with; anything else leads nowhere.
SCHEMES = ("https://", "http://", "mailto:", "tel:")
NOWHERE = "#"
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_HELD = re.compile("\x00(\\d+)\x00")
_BLOCK: TypeAdapter[Block] = TypeAdapter(Block)
_HREF = re.compile(r'(<a\b[^>]*?\bhref|<img\b[^>]*?\bsrc)="([^"]*)"')


def read_blocks(raw: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Dumped blocks as models."""
    return [_BLOCK.validate_python(each) for each in raw]


def sources(blocks: Sequence[Mapping[str, Any]], brand: Brand) -> dict[str, tuple[str, bool]]:
    """Part → template and whether it is HTML: `blocks[0]`, `blocks[0].text`, …"""
    made: dict[str, tuple[str, bool]] = {}
    for place, block in enumerate(read_blocks(blocks)):
        made[f"blocks[{place}]"] = (_HTML[block.type](block, brand), True)
        made[f"blocks[{place}].text"] = (_TEXT[block.type](block, brand), False)
    return made


def letter(parts: Mapping[str, str], brand: Brand, *, title: str, language: str) -> tuple[str, str]:
    """The rendered blocks as one HTML document and one text."""
    rows, texts, place = [], [], 0
    while f"blocks[{place}]" in parts:
        rows.append(parts[f"blocks[{place}]"].strip())
        texts.append(parts[f"blocks[{place}].text"].strip())
        place += 1
    markup = _frame("\n".join(row for row in rows if row), brand, title, language)
    text = "\n\n".join(each for each in texts if each)
    return _HREF.sub(_safe, markup), re.sub(r"\n{3,}", "\n\n", text)


def _safe(found: re.Match[str]) -> str:
    target = html.unescape(found[2]).strip().lower()
    return found[0] if target.startswith(SCHEMES) else f'{found[1]}="{NOWHERE}"'


# -- colours -------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Of `#rrggbb`, 0 to 1, as WCAG counts it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable_on(paper: str, wanted: str, otherwise: Sequence[str] = ("#000000", "#ffffff")) -> str:
    """The wanted colour where it can be read on this paper, else whichever of the others is read best."""
    return wanted if contrast(paper, wanted) >= 4.5 else max(otherwise, key=lambda each: contrast(paper, each))


def lightened(colour: str, share: float) -> str:
    """Mixed with white."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(each + (255 - each) * share):02x}" for each in parts)


DARK_PAPER, DARK_BACKDROP, DARK_INK, DARK_QUIET = "#1c1c1e", "#000000", "#f2f2f2", "#b0b0b5"


def dark_link(accent: str) -> str:
    """The accent made light enough for dark paper."""
    for share in (0.0, 0.2, 0.4, 0.6, 0.8):
        if contrast(DARK_PAPER, lightened(accent, share)) >= 4.5:
            return lightened(accent, share)
    return "#ffffff"


# -- the small markup of texts ---------------------------------------------------------------------------------------


def href(target: str) -> str:
    """An address as the source of an attribute: tags of the template language stay, all else is escaped."""
    target = target.strip()
    if target.lower().startswith(SCHEMES) or target.startswith("{{"):
        return escaped(target)
    if re.match(r"^[\w-]+(\.[\w-]+)+(/|\?|$)", target):
        return escaped("https://" + target)
    return NOWHERE


def escaped(source: str) -> str:
    """HTML-escaped, but for the tags of the template language."""
    held: list[str] = []
    return _given_back(html.escape(_held(source, held)), held)


def _held(source: str, held: list[str]) -> str:
    def keep(found: re.Match[str]) -> str:
        held.append(found[0])
        return f"\x00{len(held) - 1}\x00"

    return _TAG.sub(keep, source.replace("\x00", ""))


def _given_back(text: str, held: Sequence[str]) -> str:
    return _HELD.sub(lambda found: held[int(found[1])], text)


def marked_up(source: str, brand: Brand, *, align: str = "start", quiet: bool = False) -> str:
    """A text block's small markup as HTML. Lines of the source stay lines, so that faults are found."""
    held: list[str] = []
    plain = html.escape(_held(source.replace("\r\n", "\n").strip(), held), quote=False)
    made = []
    for part in re.split(r"\n[ \t]*\n", plain):
        lines = [line.strip() for line in part.split("\n")]
        if all(line.startswith("- ") for line in lines):
            items = "\n".join(f'<li style="margin:0 0 4px">{_inline(line[2:], brand, held)}</li>' for line in lines)
            made.append(f'<ul style="margin:0 0 16px;padding:0 0 0 22px">{items}</ul>')
        elif part.startswith("# "):
            first, *rest = lines
            style = "margin:0 0 8px;font-size:20px;line-height:1.3"
            heading = f'<h2 style="{style}">{_inline(first[2:], brand, held)}</h2>'
            made.append(heading + ("\n" + _paragraph(rest, brand, held) if rest else ""))
        else:
            made.append(_paragraph(lines, brand, held))
    tone = "quiet" if quiet else "ink"
    colour = _quiet(brand) if quiet else brand.ink
    size = 13 if quiet else 16
    text = _given_back("\n\n".join(made), held)
    return (
        f'<div class="{tone}" style="color:{colour};font-size:{size}px;line-height:1.55;text-align:{_side(align)}">'
        f"{text}</div>"
    )


def _paragraph(lines: Sequence[str], brand: Brand, held: Sequence[str]) -> str:
    inside = "<br>\n".join(_inline(line, brand, held) for line in lines)
    return f'<p style="margin:0 0 16px">{inside}</p>'


def _inline(line: str, brand: Brand, held: Sequence[str]) -> str:
    line = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", line)
    style = f"color:{_link(brand)};text-decoration:underline"

    def linked(found: re.Match[str]) -> str:
        target = href(html.unescape(_given_back(found[2], held)))
        return f'<a class="link" href="{target}" style="{style}">{found[1]}</a>'

    return re.sub(r"\[([^\[\]]+)\]\(([^()\s]+(?: [^()]*)?)\)", linked, line)


def plain(source: str) -> str:
    """The small markup as a mail's text part: bold loses its marks, links are written out."""
    held: list[str] = []
    text = _held(source.replace("\r\n", "\n").strip(), held)
    text = re.sub(r"\*\*(.+?)\*\*", r"\1", text)
    text = re.sub(r"\[([^\[\]]+)\]\(([^()\s]+(?: [^()]*)?)\)", r"\1 (\2)", text)
    text = re.sub(r"(?m)^# ", "", text)
    return _given_back(text, held)


# -- each block as HTML ----------------------------------------------------------------------------------------------


def _row(inside: str, *, padding: str = "0 32px 8px") -> str:
    return f'<tr><td class="cell" style="padding:{padding}">{inside}</td></tr>'


def _side(align: str) -> str:
    return "center" if align == "center" else "start"


def _quiet(brand: Brand) -> str:
    return readable_on(brand.paper, "#66666b", (brand.ink, "#ffffff"))


def _link(brand: Brand) -> str:
    return readable_on(brand.paper, brand.accent, (brand.ink, "#ffffff"))


def _header(block: HeaderBlock, brand: Brand) -> str:
    parts = []
    if block.with_logo and brand.logo_url:
        parts.append(
            f'<img src="{_literal(brand.logo_url)}" alt="{_literal(brand.name or "Logo")}" '
            f'width="{brand.logo_width_px}" style="display:block;border:0;max-width:100%;height:auto">'
        )
    elif block.with_logo and brand.name:
        style = f"margin:0;font-size:18px;font-weight:700;color:{brand.ink}"
        parts.append(f'<p class="ink" style="{style}">{_literal(brand.name)}</p>')
    if block.title:
        style = f"margin:16px 0 8px;font-size:26px;line-height:1.25;color:{brand.ink}"
        parts.append(f'<h1 class="ink" style="{style}">{escaped(block.title)}</h1>')
    return _row("".join(parts), padding="28px 32px 12px") if parts else ""


def _text(block: TextBlock, brand: Brand) -> str:
    return _row(marked_up(block.text, brand, align=block.align))


def _image(block: ImageBlock, brand: Brand) -> str:
    wide = WIDTH_PX - 64
    picture = (
        f'<img src="{href(block.url)}" alt="{escaped(block.alt)}" width="{wide}" '
        'style="display:block;border:0;width:100%;max-width:100%;height:auto;border-radius:6px">'
    )
    linked = f'<a href="{href(block.link)}" style="text-decoration:none">{picture}</a>' if block.link else picture
    return _row(linked, padding="0 32px 16px")


def _button(block: ButtonBlock, brand: Brand) -> str:
    ink = readable_on(brand.accent, "#ffffff")
    style = (
        f"display:inline-block;padding:12px 24px;background:{brand.accent};color:{ink};border-radius:6px;"
        "font-size:16px;font-weight:600;text-decoration:none;line-height:1.25"
    )
    link = f'<a class="button" href="{href(block.url)}" style="{style}">{escaped(block.label)}</a>'
    align = "center" if block.align == "center" else "left"
    table = f'<table role="presentation" cellpadding="0" cellspacing="0" border="0" align="{align}"><tr>'
    cell = f'<td style="border-radius:6px;background:{brand.accent}" bgcolor="{brand.accent}">{link}</td>'
    return _row(f"{table}{cell}</tr></table>", padding="8px 32px 24px")


def _products(block: ProductsBlock, brand: Brand) -> str:
    line = f"color:{brand.ink};font-size:15px;line-height:1.4;padding:8px 0;border-bottom:1px solid #8e8e9355"
    title = f'<h2 class="ink" style="margin:0 0 8px;font-size:18px;color:{brand.ink}">{escaped(block.title)}</h2>'
    rows = (
        "{% for line in order.lines %}{% if loop.index <= " + str(block.at_most) + " %}"
        f'<tr><td class="ink" style="{line}">{{{{ line.quantity | number }}}} × {{{{ line.name }}}}</td>'
        f'<td class="ink" align="right" style="{line};text-align:end;white-space:nowrap">'
        "{% if line.unit_price %}{{ line.unit_price | money }}{% endif %}</td></tr>{% endif %}{% endfor %}"
    )
    table = f'<table role="table" width="100%" cellpadding="0" cellspacing="0" border="0">{rows}</table>'
    return "{% if order.lines %}" + _row((title if block.title else "") + table, padding="0 32px 16px") + "{% endif %}"


def _summary(block: SummaryBlock, brand: Brand) -> str:
    def line(label: str, value: str, strong: str) -> str:
        style = f"color:{brand.ink};font-size:16px;padding:4px 0;font-weight:{strong}"
        return (
            f'<tr><td class="ink" style="{style}">{escaped(label)}</td>'
            f'<td class="ink" align="right" style="{style};text-align:end">{value}</td></tr>'
        )

    number = line(block.number_label, "{{ order.number }}", "400")
    total = "{% if order.total %}" + line(block.total_label, "{{ order.total | money }}", "700") + "{% endif %}"
    table = f'<table role="table" width="100%" cellpadding="0" cellspacing="0" border="0">{number}{total}</table>'
    return "{% if order.number %}" + _row(table, padding="0 32px 20px") + "{% endif %}"


def _divider(block: DividerBlock, brand: Brand) -> str:
    line = '<div style="border-top:1px solid #8e8e9355;font-size:0;line-height:0">&nbsp;</div>'
    return _row(line, padding="8px 32px 20px")


def _columns(block: ColumnsBlock, brand: Brand) -> str:
    half = (WIDTH_PX - 64) // 2
    style = f"width:{half}px;vertical-align:top;padding:0"
    cells = [f'<td class="column" width="{half}" style="{style}">{marked_up(each, brand)}</td>'
             for each in (block.left, block.right)]  # fmt: skip
    gap = '<td class="column" width="16" style="width:16px;font-size:0;line-height:0">&nbsp;</td>'
    table = '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">'
    return _row(f"{table}<tr>{cells[0]}{gap}{cells[1]}</tr></table>")


def _footer(block: FooterBlock, brand: Brand) -> str:
    style = f"color:{_quiet(brand)};text-decoration:underline"
    out = (
        "{% if unsubscribe_url %}" + f'<a class="quiet" href="{{{{ unsubscribe_url }}}}" style="{style}">'
        f"{escaped(block.unsubscribe_label)}</a>" + "{% endif %}"
    )
    choose = (
        "{% if preferences_url %} · " + f'<a class="quiet" href="{{{{ preferences_url }}}}" style="{style}">'
        f"{escaped(block.preferences_label)}</a>" + "{% endif %}"
    )
    links = out + (choose if block.preferences_label else "")
    address = _literal(brand.address).replace("\n", "<br>\n")
    small = f"margin:0;color:{_quiet(brand)};font-size:13px;line-height:1.5"
    parts = [marked_up(block.text, brand, quiet=True)] if block.text else []
    parts += [f'<p class="quiet" style="{small}">{address}</p>'] if address else []
    parts.append(f'<p class="quiet" style="{small}">{links}</p>')
    return _row("\n".join(parts), padding="20px 32px 28px")


def _literal(text: str) -> str:
    """Words that are no template: nothing in them is filled in."""
    return html.escape(text).replace("{", "&#123;").replace("}", "&#125;")


def _untagged(text: str) -> str:
    return re.sub(r"[{}]", "", text)


# -- each block as text ----------------------------------------------------------------------------------------------


def _header_text(block: HeaderBlock, brand: Brand) -> str:
    return "\n\n".join(each for each in (_untagged(brand.name) if block.with_logo else "", block.title) if each)


def _image_text(block: ImageBlock, brand: Brand) -> str:
    return f"{block.alt}: {block.link}" if block.link else ""


def _products_text(block: ProductsBlock, brand: Brand) -> str:
    lines = (
        "{% for line in order.lines %}{% if loop.index <= " + str(block.at_most) + " %}"
        "{{ line.quantity | number }} × {{ line.name }}"
        "{% if line.unit_price %}  {{ line.unit_price | money }}{% endif %}\n{% endif %}{% endfor %}"
    )
    return "{% if order.lines %}" + (f"{block.title}\n" if block.title else "") + lines + "{% endif %}"


def _summary_text(block: SummaryBlock, brand: Brand) -> str:
    total = "{% if order.total %}\n" + block.total_label + ": {{ order.total | money }}{% endif %}"
    return "{% if order.number %}" + block.number_label + ": {{ order.number }}" + total + "{% endif %}"


def _footer_text(block: FooterBlock, brand: Brand) -> str:
    out = "{% if unsubscribe_url %}" + block.unsubscribe_label + ": {{ unsubscribe_url }}{% endif %}"
    choose = "{% if preferences_url %}\n" + block.preferences_label + ": {{ preferences_url }}{% endif %}"
    parts = [plain(block.text), _untagged(brand.address), out + (choose if block.preferences_label else "")]
    return "\n\n".join(each for each in parts if each)


Draw = Callable[[Any, Brand], str]
_HTML: Final[Mapping[str, Draw]] = {
    "header": _header, "text": _text, "image": _image, "button": _button, "products": _products, "summary": _summary,
    "divider": _divider, "columns": _columns, "footer": _footer,
}  # fmt: skip
_TEXT: Final[Mapping[str, Draw]] = {
    "header": _header_text, "image": _image_text, "products": _products_text, "summary": _summary_text,
    "footer": _footer_text, "text": lambda block, _: plain(block.text),
    "button": lambda block, _: f"{block.label}: {block.url}", "divider": lambda block, _: "---",
    "columns": lambda block, _: f"{plain(block.left)}\n\n{plain(block.right)}",
}  # fmt: skip


# -- around them -----------------------------------------------------------------------------------------------------


def _frame(rows: str, brand: Brand, title: str, language: str) -> str:
    font = FONTS[brand.font]
    style = (
        ":root{color-scheme:light dark;supported-color-schemes:light dark}"
        "body{margin:0;padding:0;width:100%!important;-webkit-text-size-adjust:100%}"
        f"@media (max-width:{WIDTH_PX + 20}px){{.sheet{{width:100%!important;border-radius:0!important}}"
        ".column{display:block!important;width:100%!important}.cell{padding-left:20px!important;"
        "padding-right:20px!important}}"
        f"@media (prefers-color-scheme:dark){{.backdrop{{background:{DARK_BACKDROP}!important}}"
        f".sheet{{background:{DARK_PAPER}!important}}.ink,.ink h2,.ink p,.ink li{{color:{DARK_INK}!important}}"
        f".quiet,.quiet p{{color:{DARK_QUIET}!important}}.link{{color:{dark_link(brand.accent)}!important}}}}"
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{html.escape(language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n"
        f'<body class="backdrop" style="margin:0;padding:0;background:{brand.backdrop};'
        f'font-family:{html.escape(font)}">\n'
        f'<table class="backdrop" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" '
        f'style="background:{brand.backdrop}"><tr><td align="center" style="padding:16px 0">\n'
        f'<table class="sheet" role="presentation" width="{WIDTH_PX}" cellpadding="0" cellspacing="0" border="0" '
        f'style="width:{WIDTH_PX}px;max-width:100%;background:{brand.paper};border-radius:8px;'
        f'font-family:{html.escape(font)};text-align:start">\n'
        f"{rows}\n</table>\n</td></tr></table>\n</body></html>"
    )
