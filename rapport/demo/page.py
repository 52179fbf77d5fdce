"""A page of the demo's shop with the chat on it, on an origin of its own as a real shop's would be."""

from __future__ import annotations

from html import escape

from rapport.demo import cast

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Harbour Tea</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0; font: 17px/1.6 Georgia, serif; color: light-dark(#2b2620, #ece6da);
  background: light-dark(#f7f3ea, #1b1916) }}
header, main {{ max-width: 58rem; margin: auto; padding: 1.5rem }}
header {{ display: flex; justify-content: space-between; font-variant: small-caps; letter-spacing: .06em }}
ul {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.25rem; padding: 0;
  list-style: none }}
li {{ padding: 1.25rem; border-radius: .5rem; background: light-dark(#fffdf8, #26231e) }}
b {{ display: block; font-size: 1.1rem; font-weight: 600 }}
</style></head><body>
<header><strong>Harbour Tea</strong><span>Tea and what belongs to it</span></header>
<main><h1>Fresh from the harbour</h1>
<p>This page stands for a shop of your own. The chat in the corner is the one that Rapport gives you: write, and answer
from the desk.</p>
<ul>{products}</ul></main>
<script src="{base_url}/widget/{channel_id}.js" async></script></body></html>"""


def shop_page(base_url: str, channel_id: str) -> str:
    """The page."""
    products = "".join(f"<li><b>{escape(name)}</b>€ {price / 100:.2f}</li>" for _, name, price in cast.PRODUCTS[:9])
    return PAGE.format(products=products, base_url=escape(base_url), channel_id=escape(channel_id))
