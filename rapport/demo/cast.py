"""The people of the demo: a tea shop's customers. Pure and seeded: the same number is always the same person."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Channel = Literal["whatsapp", "telegram", "email", "generic"]
Standing = Literal["delivered", "fulfilled", "paid", "pending", "refunded", "cancelled"]
PEOPLE = 2000

_GIVEN = (
    "Anna", "Ben", "Chiara", "Daniel", "Elif", "Femke", "George", "Hannah", "Ivan", "Julia", "Karim", "Lena", "Mateo",
    "Nora", "Oscar", "Priya", "Quentin", "Rosa", "Sven", "Tara", "Umut", "Vera", "Wout", "Xenia", "Yusuf", "Zoë",
)  # fmt: skip
_FAMILY = (
    "Adler", "Bakker", "Costa", "de Vries", "Evans", "Fischer", "García", "Haas", "Ibrahim", "Jansen", "Keller",
    "Larsen", "Moreau", "Novák", "Okafor", "Petrov", "Rossi", "Schmidt", "Tan", "Visser", "Weber", "Yılmaz",
)  # fmt: skip
_CHINESE = (
    "王芳", "李娜", "张伟", "刘洋", "陈静", "杨帆", "赵敏", "黄磊", "周婷", "吴昊", "徐梦", "孙悦", "胡杰", "朱琳",
    "高远", "林晓", "何雨", "郭涛", "马丽", "罗晨",
)  # fmt: skip
_CITIES = (
    ("Amsterdam", "Europe/Amsterdam", "NL", "31"), ("Berlin", "Europe/Berlin", "DE", "49"),
    ("London", "Europe/London", "GB", "44"), ("Madrid", "Europe/Madrid", "ES", "34"),
    ("New York", "America/New_York", "US", "1"), ("Lisbon", "Europe/Lisbon", "PT", "351"),
)  # fmt: skip
_CHINESE_CITIES = (("上海", "Asia/Shanghai", "CN", "86"), ("杭州", "Asia/Shanghai", "CN", "86"),
                   ("新加坡", "Asia/Singapore", "SG", "65"))  # fmt: skip
_MOBILE = {"31": "6{:08d}", "49": "151{:08d}", "44": "77{:08d}", "34": "6{:08d}", "1": "21255{:05d}", "351": "91{:07d}",
           "86": "138{:08d}", "65": "8{:07d}"}  # fmt: skip
PRODUCTS = (
    ("OOL-100", "Tie Guan Yin oolong, 100 g", 1890), ("GRN-050", "Longjing green tea, 50 g", 2450),
    ("BLK-100", "Assam second flush, 100 g", 1250), ("WHT-050", "White peony, 50 g", 1690),
    ("POT-001", "Glass teapot, 0.6 l", 3490), ("CUP-002", "Two porcelain cups", 2290),
    ("SET-007", "Tasting set of seven teas", 2990), ("HRB-080", "Lemon verbena, 80 g", 990),
)  # fmt: skip
#: What people ask, what they are told, and what such a question is filed under.
_LINES = {
    "en": (
        ("Hi! Is the glass teapot dishwasher safe?", "Yes, without the lid. The lid is best washed by hand.",
         "product"),
        ("My parcel hasn't moved since Tuesday, can you check?", "It left the hub this morning and arrives tomorrow.",
         "parcel"),
        ("Do you ship to Norway?", "We do, 3 to 5 days. Duties are included in the price.", "parcel"),
        ("The oolong is wonderful, which one would you try next?", "The white peony: softer, a little like melon.",
         "product"),
        ("I'd like to change the delivery address of my order", "Of course. What is the new address?", "order"),
        ("Can I still add two cups to order?", "Done, both go out together.", "order"),
        ("One of the cups arrived broken", "I am sorry! A new one is on its way, no need to send it back.", "damage"),
        ("How long should I brew the Longjing?", "Two minutes at 80 °C, and again with the same leaves.", "product"),
        ("Is there caffeine in the verbena?", "None at all, it is a herbal infusion.", "product"),
        ("Thank you, that was quick!", "Any time. Enjoy your tea!", ""),
    ),
    "zh": (
        ("你好，玻璃茶壶可以放洗碗机吗？", "可以的，壶盖建议手洗。", "product"),
        ("我的快递三天没更新了，帮忙查一下？", "今天早上已经出库，明天送到。", "parcel"),
        ("龙井用多少度的水泡？", "80 度左右，两分钟，可以续水两三次。", "product"),
        ("想换一下收货地址可以吗？", "可以的，请发新地址给我。", "order"),
        ("收到的杯子碎了一个", "非常抱歉！马上给您补发一个，不用退回。", "damage"),
        ("铁观音很好喝，下次推荐哪一款？", "可以试试白牡丹，口感更柔和。", "product"),
        ("有没有新人优惠？", "有的，首单立减，已经发到您的账户。", ""),
        ("谢谢，处理得真快！", "不客气，祝您喝茶愉快！", ""),
    ),
}
_THANKS = {"en": ("Great, thank you!", "Perfect 👍", "Thanks, that helps.", "Super, danke!", "Lovely, thanks 🙏"),
           "zh": ("好的，谢谢！", "收到，太好了👍", "谢谢，辛苦了！", "明白了，谢谢～")}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One customer of the tea shop."""

    number: int
    name: str
    language: Literal["en", "zh"]
    city: str
    time_zone: str
    country: str
    phone: str
    email: str
    channels: tuple[Channel, ...]
    telegram_id: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Purchase:
    """An order of the past."""

    external_id: str
    placed_at: datetime
    lines: tuple[tuple[str, str, int, int], ...]
    status: Standing
    status_at: datetime

    @property
    def total_minor(self) -> int:
        """Sum of all lines, cents."""
        return sum(price * quantity for _, _, price, quantity in self.lines)


def person(number: int) -> Person:
    """Person `number`; every sixth one writes Chinese."""
    dice = random.Random(number)
    chinese = number % 6 == 5
    city, zone, country, prefix = dice.choice(_CHINESE_CITIES if chinese else _CITIES)
    name = dice.choice(_CHINESE) if chinese else f"{dice.choice(_GIVEN)} {dice.choice(_FAMILY)}"
    channels: list[Channel] = [dice.choice(("whatsapp", "whatsapp", "telegram", "email", "generic"))]
    if dice.random() < 0.35:
        channels.append("email" if channels[0] != "email" else "whatsapp")
    tags = [tag for tag, share in (("newsletter", 0.6), ("vip", 0.05), ("wholesale", 0.03), ("gift", 0.12))
            if dice.random() < share]  # fmt: skip
    phone = f"+{prefix}" + _MOBILE[prefix].format(number * 37 % 10**5 if prefix == "1" else number * 37 + 1000)
    email = f"customer{number}@people.example"
    return Person(number, name, "zh" if chinese else "en", city, zone, country, phone, email,
                  tuple(dict.fromkeys(channels)), str(500_000_000 + number), tuple(tags))  # fmt: skip


def purchases(one: Person, now: datetime) -> list[Purchase]:
    """The person's orders, oldest first. Three in five have bought, some of them often."""
    dice = random.Random(one.number * 11 + 3)
    if dice.random() > 0.6:
        return []
    found = []
    for n in range(min(8, 1 + int(dice.expovariate(0.9)))):
        placed = now - timedelta(days=dice.uniform(0.2, 240))
        chosen = dice.sample(PRODUCTS, dice.choice((1, 1, 2, 3)))
        lines = tuple((sku, label, price, dice.choice((1, 1, 1, 2))) for sku, label, price in chosen)
        age_days = (now - placed).days
        status, after = _standing(dice, age_days)
        found.append(Purchase(f"HT-{one.number:04d}-{n + 1}", placed, lines, status, placed + after))
    return sorted(found, key=lambda each: each.placed_at)


def _standing(dice: random.Random, age_days: int) -> tuple[Standing, timedelta]:
    if age_days > 6:
        if dice.random() < 0.05:
            return ("refunded", timedelta(days=6))
        return ("cancelled", timedelta(days=1)) if dice.random() < 0.04 else ("delivered", timedelta(days=4))
    if age_days > 2:
        return ("fulfilled", timedelta(days=1, hours=12))
    return ("paid", timedelta(minutes=3)) if dice.random() < 0.75 else ("pending", timedelta())


def lines_of(one: Person) -> Sequence[tuple[str, str, str]]:
    """What somebody of this language asks: question, answer, and what it is filed under (or nothing)."""
    return _LINES[one.language]


def question(one: Person, dice: random.Random) -> str:
    """Something this person may ask now."""
    return dice.choice(_LINES[one.language])[0]


def thanks(one: Person, dice: random.Random) -> str:
    """What this person says to an answer."""
    return dice.choice(_THANKS[one.language])
