"""A dossier for people: one HTML page that needs nothing else, in the language it was asked for. Pure.

Its words stand here and not in the desk's catalogue: workers make it, and whoever reads it has no desk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Everything we hold about you", "made": "Made on",
        "intro": "This page shows all that is kept about one person. The same stands in data.json for programs; files "
                 "that were sent or received lie in the folder “files”.",
        "profiles": "Profile", "identities": "Addresses and ids", "consents": "What you allowed and refused",
        "events": "What happened", "conversations": "Conversations", "messages": "Messages", "files": "Files",
        "sends": "Messages on their way out, with what became of them", "enrolments": "Automatic series of messages",
        "enrolment_log": "Steps of those series", "tasks": "Tasks of our people about you", "orders": "Orders",
        "early_orders": "News of orders we do not know yet", "merges": "Profiles that were joined",
        "suggestions": "Profiles that may be yours, too", "deliveries": "What was delivered to us, as far as kept",
        "receipts_early": "Receipts", "changes_early": "Changes to messages", "feed": "Notices to open pages",
        "idempotency": "Answers kept for repeated requests", "dossiers": "Exports like this one",
        "privacy_requests": "Requests about your data", "notes": "Notes of our people",
    },
    "zh_CN": {
        "title": "我们保存的关于您的全部数据", "made": "生成时间",
        "intro": "本页列出了所保存的关于某一个人的全部数据。data.json 中是供程序读取的相同内容；"
                 "收发的文件在 files 文件夹中。",
        "profiles": "客户资料", "identities": "地址与标识", "consents": "您同意与拒绝的内容", "events": "发生的事件",
        "conversations": "会话", "messages": "消息", "files": "文件", "sends": "外发消息及其结果",
        "enrolments": "自动消息流程", "enrolment_log": "流程步骤", "tasks": "我们员工关于您的任务", "orders": "订单",
        "early_orders": "尚未知晓的订单的消息", "merges": "合并过的资料", "suggestions": "可能也属于您的资料",
        "deliveries": "推送给我们的数据（仍保存的部分）", "receipts_early": "回执", "changes_early": "消息的更改",
        "feed": "页面通知", "idempotency": "为重复请求保存的答复", "dossiers": "类似的导出",
        "privacy_requests": "关于您数据的请求",
        "notes": "我们员工的备注",
    },
}  # fmt: skip
STYLE = (
    "body{font:15px/1.5 system-ui,'Noto Sans CJK SC',sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c1917;background:#fff}h2{margin-top:2.5rem;border-bottom:1px solid #d6d3d1}section>p{color:#57534e}"
    "article{border:1px solid #e7e5e4;border-radius:8px;padding:.5rem 1rem;margin:.6rem 0;break-inside:avoid}"
    "dl{display:grid;grid-template-columns:minmax(7rem,14rem) 1fr;gap:.15rem 1rem;margin:.3rem 0}"
    "dt{color:#57534e}dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}nav a{margin-right:1rem}"
    "@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}"
)


def word(language: str, name: str) -> str:
    """What a room is called; its own name where nobody has said."""
    return WORDS.get(language, WORDS["en"]).get(name) or name.replace("_", " ").capitalize()


def head(language: str, made_at: str, counts: Mapping[str, int]) -> str:
    """The page up to its first room, with a table of contents."""
    title = escape(word(language, "title"))
    links = "".join(f'<a href="#{escape(name)}">{escape(word(language, name))} ({count})</a> '
                    for name, count in counts.items())  # fmt: skip
    return (
        f'<!doctype html><html lang="{language.replace("_", "-")}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{escape(word(language, 'intro'))}</p>"
        f"<p>{escape(word(language, 'made'))} <time>{escape(made_at)}</time></p><nav>{links}</nav>"
    )


def room_head(language: str, name: str) -> str:
    """The heading of a room."""
    return f'<section id="{escape(name)}"><h2>{escape(word(language, name))}</h2>'


ROOM_END, END = "</section>", "</body></html>"


def entry(row: Mapping[str, Any]) -> str:
    """One row."""
    return f"<article>{_facts(row)}</article>"


def _facts(row: Mapping[str, Any]) -> str:
    told = ((name, value) for name, value in row.items() if value not in (None, "", [], {}))
    return f"<dl>{''.join(f'<dt>{escape(_name(name))}</dt><dd>{_value(value)}</dd>' for name, value in told)}</dl>"


def _name(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _facts(value)
    if isinstance(value, list):
        if all(not isinstance(each, Mapping | list) for each in value):
            return escape(", ".join(str(each) for each in value))
        return "".join(_value(each) for each in value)
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
