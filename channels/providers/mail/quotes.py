"""The visible reply of a mail: quoted history and signatures cut off. Line by line, linear, no backtracking.

The library mail-parser-reply was measured first and is not used: 4,000 empty lines keep it busy for 4.6 s, and it
missed both Chinese samples. Its list of languages is covered by the tables below; talon's and our own samples are
the test. Nothing is lost by a wrong cut: the whole text is kept beside the visible one.
"""

from __future__ import annotations

import re

#: Lines and characters per line that are looked at; a longer letter is shown whole.
MAX_LINES = 5000
_LOOKED_AT = 400

#: The last words of "On Monday, Anna wrote:" in the languages met so far.
_WROTE = (
    "wrote", "writes", "schrieb", "schrieb am", "a écrit", "escribió", "escreveu", "ha scritto", "scrisse", "schreef",
    "napsal(a)", "napsal", "napísal(a)", "napisał(a)", "napisał", "skrev", "kirjoitti", "yazdı", "написал(а)",
    "написал", "пише", "a scris", "írta", "έγραψε", "写道", "寫道", "写到", "が書きました", "さんは書きました",
    "のメール", "님이 작성", "viết", "menulis", "wrote on", "<unknown> wrote",
)  # fmt: skip
_WROTE_LINE = re.compile("(?:" + "|".join(map(re.escape, _WROTE)) + r").{0,120}[:：]\s*$", re.I)
#: Some languages have no verb there: "2026年1月2日(金) 10:00 Anna <anna@example.jp>:".
_ADDRESS_COLON = re.compile(r"\d{4}\D.{4,200}<[^<>\s@]{1,64}@[^<>\s]{1,200}>\s?[:：]$")
#: How such a line begins, or what it holds: a date or an address. Else "as my brother wrote:" would be cut.
_DATED = re.compile(r"\d{1,4}\D{0,3}[./年년:-]|\d{4}|@|\bon\b|\bam\b|于|在", re.I)

_HEADER_NAMES = {
    "from": ("from", "von", "de", "da", "van", "od", "från", "fra", "lähettäjä", "kimden", "от", "expéditeur",
             "发件人", "寄件者", "寄件人", "差出人", "보낸 사람", "보낸사람", "从"),
    "more": ("sent", "date", "to", "cc", "subject", "gesendet", "datum", "an", "betreff", "envoyé", "à", "objet",
             "enviado", "enviado el", "fecha", "para", "asunto", "assunto", "data", "inviato", "a", "oggetto",
             "verzonden", "aan", "onderwerp", "odesláno", "komu", "předmět", "wysłano", "do", "temat", "skickat",
             "till", "ämne", "sendt", "til", "emne", "lähetetty", "aihe", "gönderilme", "konu", "отправлено", "кому",
             "тема", "дата", "发送时间", "发送日期", "日期", "时间", "收件人", "抄送", "主题", "傳送時間", "寄件日期",
             "收件者", "副本", "主旨", "送信日時", "日時", "宛先", "件名", "보낸 날짜", "받는 사람", "제목"),
}  # fmt: skip
_HEADER_LINE = re.compile(r"^[*_>\s]{0,6}([^:：\n]{1,30}?)\s{0,3}[*_]{0,2}\s{0,3}[:：]")

_SEPARATOR = re.compile(
    r"^[\s>*]{0,6}(?:[-–—_=*]{2,40}(?:\s|&nbsp;){0,4}"
    r"(?:original|ursprüngliche|message d'origine|mensaje original|mensagem original|messaggio originale"
    r"|oorspronkelijk|oprindelig|ursprungligt|původní|oryginalna|исходное|原始邮件|邮件原件|原邮件|回复的原邮件|回复邮件"
    r"|原始郵件|转发邮件|转发的邮件|轉寄郵件|元のメッセージ|원본 메시지|reply message|回复的原始邮件|reply above)"
    r"[^\n]{0,60}|_{30,}|[-=]{40,})\s*$",
    re.I,
)
_FORWARDED = re.compile(
    r"^[\s>*]{0,6}(?:[-–—=]{2,40}\s{0,4}(?:forwarded|weitergeleitete|message transféré|mensaje reenviado|转发|轉寄)"
    r"[^\n]{0,60}|begin forwarded message:)\s*$",
    re.I,
)
_REPLY_MARK = re.compile(r"^#{2,}[^\n]{0,80}(?:reply|antwort|répon|回复)[^\n]{0,80}#{0,}\s*$", re.I)
_SIGNATURE = re.compile(r"^\s{0,2}(?:--|—|__)\s?$")
_SENT_FROM = re.compile(
    r"^\s{0,4}[*_-]{0,2}(?:sent from (?:my|outlook|mail|yahoo|samsung|proton)|sent with|sent via|get outlook for"
    r"|von meinem .{1,40} gesendet|gesendet (?:von|mit)|envoyé (?:de|depuis)|enviado desde|inviato da|verzonden vanaf"
    r"|odesláno z|wysłano z|skickat från|sendt fra|发自|从我的.{1,20}发送|来自我?的?.{1,20}(?:手机|邮箱|iphone|ipad)"
    r"|從我的.{1,20}傳送|iphoneから送信|(?:나의|내) .{1,20}에서 보냄)[^\n]{0,80}$",
    re.I,
)
_MANY_BREAKS = re.compile(r"\n{3,}")
#: A signature after `--` is taken for one when it is no longer than this; otherwise it is text.
_SIGNATURE_LINES = 25


def visible_reply(text: str) -> str:
    """What the sender wrote this time. Falls back to the whole text when nothing would be left (a bare forward)."""
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        return text.strip()
    history = _history_start(lines)
    kept = lines[:history]
    if history < len(lines):
        kept += _answers_between(lines, history)
    kept = _without_tail(kept)
    return _MANY_BREAKS.sub("\n\n", "\n".join(kept)).strip() or text.strip()


def _history_start(lines: list[str]) -> int:
    """Index of the first line of the quoted history; the number of lines when there is none."""
    for at, line in enumerate(lines):
        looked = line[:_LOOKED_AT]
        if not looked.strip():
            continue
        if _SEPARATOR.match(looked) or _FORWARDED.match(looked) or _REPLY_MARK.match(looked):
            if _is_rule(looked) and not _header_block(lines, at + 1):
                continue
            return at
        if _header_block(lines, at) or _wrote_length(lines, at):
            return at
    return len(lines)


def _is_rule(line: str) -> bool:
    """A line of nothing but strokes is history only when a header block follows."""
    return not line.strip(" \t>*-–—_=")


def _wrote_length(lines: list[str], at: int) -> int:
    """How many lines the introduction "On …, … wrote:" takes from here (mail programs wrap it); 0 when it is none."""
    if lines[at].lstrip().startswith(">"):
        return 0
    joined = ""
    for count in range(1, 5):
        if at + count > len(lines):
            return 0
        part = lines[at + count - 1][:_LOOKED_AT].strip()
        if not part or part.startswith(">"):
            return 0
        joined = f"{joined} {part}" if joined else part
        if part.endswith((":", "：")):
            return count if _is_introduction(joined) else 0
    return 0


def _is_introduction(joined: str) -> bool:
    wrote = _WROTE_LINE.search(joined[-300:]) or _ADDRESS_COLON.search(joined[-300:])
    return len(joined) <= 3 * _LOOKED_AT and wrote is not None and _DATED.search(joined[:300]) is not None


def _header_block(lines: list[str], at: int) -> bool:
    """True when a From line stands here and at least two other header lines follow close behind (Outlook, QQ)."""
    for start in range(at, min(at + 3, len(lines))):  # an empty line or two after a separator
        if lines[start].strip():
            break
    else:
        return False
    if _header_name(lines[start]) not in _HEADER_NAMES["from"]:
        return False
    following = [line for line in lines[start + 1 : start + 10] if line.strip()][:6]
    return sum(_header_name(line) in _HEADER_NAMES["more"] for line in following) >= 2


def _header_name(line: str) -> str:
    found = _HEADER_LINE.match(line[:_LOOKED_AT])
    return found[1].strip(" *_\u3000").lower().replace("\u3000", "") if found else ""


def _answers_between(lines: list[str], at: int) -> list[str]:
    """What was written below or between the quoted lines of an introduction; empty where everything is history.

    Only `>` shows what is quoted: after an Outlook block nobody can tell.
    """
    length = _wrote_length(lines, at)
    rest = lines[at + length :]
    if not length or not any(line.lstrip().startswith(">") for line in rest):
        return []
    last_quoted = max(index for index, line in enumerate(rest) if line.lstrip().startswith(">"))
    below = _without_tail(rest[last_quoted + 1 :])
    first = next((index for index, line in enumerate(rest) if line.strip()), 0)
    between = [line for line in rest[first:last_quoted] if line.strip() and not line.lstrip().startswith(">")]
    if not rest[first].lstrip().startswith(">") or (not between and not any(map(str.strip, below))):
        return []
    return ["", *rest[first:last_quoted], *rest[last_quoted : last_quoted + 1], *below] if between else ["", *below]


def _without_tail(lines: list[str]) -> list[str]:
    """Without trailing quoted lines, signature, "Sent from my …" and empty lines."""
    for _ in range(3):  # each may stand behind the other
        lines = _without_signature(lines)
        end = len(lines)
        while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith(">")):
            end -= 1
        if not end or not _SENT_FROM.match(lines[end - 1][:_LOOKED_AT]):
            return lines[:end]
        lines = lines[: end - 1]
    return lines


def _without_signature(lines: list[str]) -> list[str]:
    for at in range(max(0, len(lines) - _SIGNATURE_LINES), len(lines)):
        if _SIGNATURE.match(lines[at]) and any(line.strip() for line in lines[:at]):
            return lines[:at]
    return lines
