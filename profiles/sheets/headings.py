"""The columns of our own exports, and what they are called for people: an import knows them by either. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from profiles.normalise import folded

#: How an export calls its columns: as the API calls the fields, or in the words of a language.
Headings = Literal["keys", "en", "zh"]
HEADINGS: tuple[Headings, ...] = ("keys", "en", "zh")
#: Column → its name in English and Chinese.
NAMES: Mapping[str, tuple[str, str]] = {
    "id": ("Profile id", "客户档案编号"),
    "name": ("Name", "姓名"),
    "email": ("E-mail", "邮箱"),
    "other_emails": ("Other e-mails", "其他邮箱"),
    "phone": ("Phone", "手机"),
    "other_phones": ("Other phones", "其他电话"),
    "customer_id": ("Customer id", "客户编号"),
    "tags": ("Tags", "标签"),
    "stage": ("Stage", "阶段"),
    "tier": ("Tier", "等级"),
    "owner": ("Owner", "负责人"),
    "locale": ("Language", "语言"),
    "time_zone": ("Time zone", "时区"),
    "latitude": ("Latitude", "纬度"),
    "longitude": ("Longitude", "经度"),
    "address.street": ("Street", "街道地址"),
    "address.postal_code": ("Postcode", "邮编"),
    "address.city": ("City", "城市"),
    "address.region": ("Region", "省份"),
    "address.country": ("Country", "国家"),
    "score": ("Score", "评分"),
    "channels": ("Channels", "渠道"),
    "orders_count": ("Orders", "订单数"),
    "orders_revenue": ("Revenue", "消费金额"),
    "created_at": ("Created", "创建时间"),
    "last_seen_at": ("Last seen", "最近活跃时间"),
}
#: Columns that say something no import may change.
READ_ONLY = frozenset({
    "score", "created_at", "updated_at", "last_seen_at", "orders_count", "orders_revenue", "channels",
})  # fmt: skip
_MEANS: Mapping[str, str] = {"id": "profile_id", "other_emails": "email", "other_phones": "phone"}


def plain_heading(name: str) -> str:
    """Small letters, one space between words: what two headings are compared by."""
    return " ".join(re.sub(r"[\W_]+", " ", folded(name)).split())


def _targets() -> dict[str, str]:
    found: dict[str, str] = {}
    for column, names in (*NAMES.items(), ("updated_at", ())):
        target = "ignore" if column in READ_ONLY else _MEANS.get(column, column)
        found |= {plain_heading(name): target for name in (column, *names)}
    return found


#: Heading of one of our columns, as `plain_heading` has it → what an import takes it for.
OURS: Mapping[str, str] = _targets()
ID_HEADINGS = frozenset(heading for heading, target in OURS.items() if target == "profile_id")


def headings_of(
    columns: Iterable[str], headings: Headings, labels: Mapping[str, str],
    meaning: Callable[[str], str | None] = lambda plain: None,
) -> list[str]:  # fmt: skip
    """What stands above each column. `labels`: attribute → what its field is called. `meaning`: what a column of that
    heading, as `plain_heading` has it, is taken for in any list.

    An attribute whose name could be taken for something else, or that another has already, is called by its path.
    """
    columns = list(columns)
    if headings == "keys":
        return columns
    called = {column: NAMES[column][headings == "zh"] for column in columns if column in NAMES}
    taken = {plain_heading(name) for name in called.values()} | OURS.keys()
    fields = {plain_heading(name) for name in labels.values()}
    for column in columns:
        if column in called:
            continue
        key = column.removeprefix("attributes.")
        name = labels.get(key, key)
        plain = plain_heading(name)
        mistaken = key not in labels and (plain in fields or meaning(plain) not in (None, column))
        free = plain and not mistaken and plain not in taken and "." not in name and not plain.startswith("attributes ")
        called[column] = name if free else column
        taken.add(plain)
    return [called[column] for column in columns]
