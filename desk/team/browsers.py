"""What a browser says of itself, in words a person knows: "Firefox · Linux". Pure; nothing is decided by it."""

from __future__ import annotations

#: In this order: most claim to be several. (what is looked for, name)
BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("MicroMessenger", "WeChat"), ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl"),
)  # fmt: skip
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
LONGEST = 60


def browser_words(agent: str) -> str:
    """Browser and system; what is known by neither as it came, cut short."""
    found = [next((name for mark, name in table if mark in agent), "") for table in (BROWSERS, SYSTEMS)]
    return " · ".join(each for each in found if each) or agent[:LONGEST]
