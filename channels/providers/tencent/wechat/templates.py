"""The templates of an Official Account, as WeChat keeps them: wording with named fields, no language, no approval.

https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html (by the platform
facts of 2026-11-28).
"""

from __future__ import annotations

import re

from channels.providers.tencent.api import Api
from channels.reading import Json, items, mapping, text
from channels.vocabulary import ApprovedTemplate

#: `{{thing1.DATA}}` in WeChat's wording, `{{thing1}}` in ours.
_FIELD = re.compile(r"\{\{\s*(\w+)(?:\.DATA)?\s*\}\}")
#: WeChat names no language; the fields around the values are Chinese.
_LANGUAGE = "zh_CN"


async def all_templates(api: Api) -> tuple[ApprovedTemplate, ...]:
    """Those that the account has added; an account may have 25. Raises `SendFailed`."""
    found = await api.get("/cgi-bin/template/get_all_private_template")
    told = (_template(mapping(each)) for each in items(found.get("template_list")))
    return tuple(each for each in told if each is not None)


def fields_of(wording: str) -> list[str]:
    """The names of the fields, in the order in which they first stand in the text."""
    return list(dict.fromkeys(_FIELD.findall(wording)))


def _template(item: Json) -> ApprovedTemplate | None:
    """What is in the account's list may be sent. Its id is its name; the title stands above it."""
    name, wording = text(item.get("template_id")), text(item.get("content")) or ""
    if name is None:
        return None
    return ApprovedTemplate(
        name=name,
        language=_LANGUAGE,
        status="approved",
        category=text(item.get("primary_industry")),
        body=_FIELD.sub(r"{{\1}}", wording),
        header=text(item.get("title")),
        body_values=len(fields_of(wording)),
    )
