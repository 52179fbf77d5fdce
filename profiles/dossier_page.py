"""A dossier for people: one HTML page that needs nothing else, in the language and zone of whom it is about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from profiles.dossier_rows import Reader, room_title
from profiles.dossier_words import ROOMS

STYLE = (
    "body{font:15px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c1917;background:#fff}h2{margin-top:2.5rem;border-bottom:1px solid #d6d3d1}section>p{color:#57534e}"
    "article{border:1px solid #e7e5e4;border-radius:8px;padding:.5rem 1rem;margin:.6rem 0;break-inside:avoid}"
    "dl{display:grid;grid-template-columns:minmax(7rem,14rem) 1fr;gap:.15rem 1rem;margin:.3rem 0}"
    "dt{color:#57534e}dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}nav a{margin-right:1rem}"
    "@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}"
)


#: Rooms told one by one, in the order of the page.
ORDER = tuple(ROOMS)


def head(reader: Reader, made_at: str, counts: Mapping[str, int]) -> str:
    """The page up to its first room, with a table of contents. `counts`: room → entries told, as far as any are."""
    title = escape(reader.word("title"))
    links = "".join(f'<a href="#{_anchor(name)}">{escape(room_title(reader, name))} ({reader.number(count)})</a> '
                    for name, count in counts.items())  # fmt: skip
    made = reader.word("made") % {"at": reader.when(made_at), "zone": reader.zone_name()}
    business = reader.names.business
    by = f" {reader.word('by') % {'business': business}}" if business else ""
    return (
        f'<!doctype html><html lang="{reader.language.replace("_", "-")}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{escape(reader.word('intro'))}</p><p>{escape(made + by)}</p><nav>{links}</nav>"
    )


def room_head(reader: Reader, name: str) -> str:
    """The heading of a room."""
    return f'<section id="{_anchor(name)}"><h2>{escape(room_title(reader, name))}</h2>'


def technical(reader: Reader, counts: Mapping[str, int]) -> str:
    """Rooms of which only the number is told."""
    if not counts:
        return ""
    rows = "".join(f"<dt>{escape(room_title(reader, name))}</dt><dd>{reader.number(count)}</dd>"
                   for name, count in counts.items())  # fmt: skip
    return (
        f"<section><h2>{escape(reader.word('technical'))}</h2><p>{escape(reader.word('technical_intro'))}</p>"
        f"<dl>{rows}</dl></section>"
    )


def _anchor(name: str) -> str:
    return f"part-{ORDER.index(name) + 1}"


ROOM_END, END = "</section>", "</body></html>"
