"""What a file is, by its bytes and not by what it says of itself; under which name, and how far it may be shown. Pure.

A sender chooses name and type. A name becomes harmless on every system; a type is read from the bytes, and where bytes
tell nothing, only types that no browser and no system carries out are believed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import filetype

from channels.capabilities import Capabilities, MediaLimit
from channels.vocabulary import AttachmentKind

NEUTRAL: Final = "application/octet-stream"
#: Shown in a page. A browser does nothing with them but draw and play; everything else is offered as a download.
SHOWN: Final = frozenset({
    "image/png", "image/jpeg", "image/gif", "image/webp", "video/mp4", "video/webm", "audio/mpeg", "audio/ogg",
    "audio/mp4", "audio/aac", "audio/wav",
})  # fmt: skip
_GIVEN = SHOWN | {
    "application/pdf", "application/zip", "text/plain", "text/csv", "application/msword", "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint", "video/3gpp", "video/quicktime", "audio/amr",
}  # fmt: skip
_OFFICE = "application/vnd.openxmlformats-officedocument."
#: What the bytes say, in the word that browsers use.
_RENAMED: Mapping[str, str] = {
    "audio/x-wav": "audio/wav", "image/apng": "image/png", "audio/x-flac": "audio/flac", "video/x-m4v": "video/mp4",
    "application/x-rar-compressed": "application/vnd.rar", "image/x-icon": "image/vnd.microsoft.icon",
}  # fmt: skip
#: Type → endings a name of it may have; the first is given to a name that has none of them.
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": ("jpg", "jpeg", "jpe", "jfif"), "image/png": ("png", "apng"), "image/tiff": ("tif", "tiff"),
    "image/heic": ("heic", "heif"), "video/mp4": ("mp4", "m4v"), "video/quicktime": ("mov", "qt"),
    "video/mpeg": ("mpg", "mpeg"), "audio/mpeg": ("mp3",), "audio/mp4": ("m4a", "mp4", "aac"),
    "audio/ogg": ("ogg", "oga", "opus"), "audio/wav": ("wav",), "audio/flac": ("flac",), "audio/midi": ("mid", "midi"),
    "audio/x-aiff": ("aif", "aiff"), "application/pdf": ("pdf", "ai"), "application/gzip": ("gz", "tgz"),
    "application/zip": (
        "zip", "docx", "xlsx", "pptx", "odt", "ods", "odp", "odg", "epub", "pages", "numbers", "key", "sketch", "kmz",
        "gpkg", "3mf", "usdz", "idml", "xps", "oxps", "dotx", "xltx", "potx", "vsdx", "pkpass",
    ),
    f"{_OFFICE}wordprocessingml.document": ("docx", "dotx"), f"{_OFFICE}spreadsheetml.sheet": ("xlsx", "xltx"),
    f"{_OFFICE}presentationml.presentation": ("pptx", "potx", "ppsx"),
    "application/msword": ("doc", "dot", "xls", "ppt", "pps", "msg", "vsd", "pub"),
    "application/vnd.ms-excel": ("xls",), "application/vnd.ms-powerpoint": ("ppt", "pps"),
    "application/postscript": ("ps", "eps", "ai"), "application/rtf": ("rtf", "doc"),
}  # fmt: skip
#: What bytes do not tell. Nothing runs these; every other ending of an unknown file gets `.bin` behind it.
_BY_ENDING: Mapping[str, str] = {
    "txt": "text/plain", "log": "text/plain", "md": "text/markdown", "csv": "text/csv", "tsv": "text/plain",
    "ics": "text/calendar", "vcf": "text/vcard", "json": "application/json", "geojson": "application/json",
    "eml": "message/rfc822", "asc": "text/plain", "srt": "text/plain", "vtt": "text/plain", "tex": "text/plain",
    "bib": "text/plain", "po": "text/plain", "yaml": "text/plain", "yml": "text/plain", "ini": "text/plain",
    "p7s": "application/pkcs7-signature", "p7m": "application/pkcs7-mime", "sig": NEUTRAL, "pgp": NEUTRAL,
    "gpg": NEUTRAL, "xml": NEUTRAL, "edi": NEUTRAL, "gpx": NEUTRAL, "kml": NEUTRAL, "dxf": NEUTRAL, "step": NEUTRAL,
    "stp": NEUTRAL, "stl": NEUTRAL, "obj": NEUTRAL, "dat": NEUTRAL, "bin": NEUTRAL, "heif": NEUTRAL,
}  # fmt: skip
#: Bytes of these were recognised as something that runs: the name says so to nobody.
_PROGRAMS = frozenset({
    "application/x-msdownload", "application/x-executable", "application/wasm", "application/x-rpm",
    "application/x-shockwave-flash", "application/x-google-chrome-extension", "application/x-deb",
    "application/vnd.ms-cab-compressed",
})  # fmt: skip
_NAME_MAX_BYTES, _ENDING_MAX = 180, 10
_FORBIDDEN = re.compile(r'[<>:"|?*\\/]')
#: Names that old systems take for devices, whatever follows the dot.
_DEVICES = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")


def type_of(content: bytes, told: str | None = None, name: str | None = None) -> str:
    """The media type: what the bytes show; where they show nothing, a harmless text type that name or sender claims."""
    found: str | None = filetype.guess_mime(content)
    if found is not None and not (found == "image/bmp" and _is_text(content)):  # two letters: "BMW …" is no picture
        found = _RENAMED.get(found, found)
        return NEUTRAL if found in _PROGRAMS else found
    believed = _BY_ENDING.get(_ending(name or "")) or plain_type(told)
    return believed if believed in _BY_ENDING.values() and _is_text(content) else NEUTRAL


def plain_type(told: str | None) -> str:
    """A claimed type without parameters and in small letters; neutral when it is none."""
    bare = (told or "").partition(";")[0].strip().lower()
    return bare if re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}", bare) else NEUTRAL


def is_given(media_type: str) -> bool:
    """Whether a provider that fetches a file from us is told its type, to send it on. Never of what has scripts."""
    return media_type in _GIVEN or media_type.startswith((_OFFICE, "application/vnd.oasis.opendocument."))


def safe_name(claimed: str | None, media_type: str | None = None, kind: str = "file") -> str:
    """A name without folders, controls, invisible and reserved signs, that ends as its type does.

    `media_type` None: the bytes are not here yet, the ending is left alone.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", claimed or ""))[-1]
    seen = "".join(each for each in last if _is_visible(each))
    clean = re.sub(r"\s+", " ", _FORBIDDEN.sub("_", seen)).strip(" .~")
    if not clean:
        clean = "voice" if kind == "voice" else kind
    if _DEVICES.match(clean):
        clean = f"_{clean}"
    return _shortened(clean if media_type is None else _ended(clean, media_type))


def kind_of(media_type: str, size_bytes: int, able: Capabilities | None) -> AttachmentKind:
    """How a file goes out: as what it is where the channel takes that, else as a plain file."""
    family = media_type.partition("/")[0]
    kind = AttachmentKind(family) if family in ("image", "video", "audio") else AttachmentKind.FILE
    if media_type not in SHOWN and kind is AttachmentKind.IMAGE:
        kind = AttachmentKind.FILE
    if able is None or any(_takes(limit, kind, media_type, size_bytes) for limit in able.media):
        return kind
    has_files = any(limit.kind is AttachmentKind.FILE for limit in able.media)
    return AttachmentKind.FILE if has_files else kind


def _takes(limit: MediaLimit, kind: AttachmentKind, media_type: str, size_bytes: int) -> bool:
    fits = not limit.media_types or any(plain_type(each) == media_type for each in limit.media_types)
    return limit.kind is kind and fits and size_bytes <= limit.max_bytes


def _is_text(content: bytes) -> bool:
    """Text that no reader of types would take for a page: without NUL, and not beginning with markup."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n\x0c")
    return b"\x00" not in content[:65536] and not head.startswith((b"<", b"%!", b"#!", b"MZ"))


def _is_visible(sign: str) -> bool:
    """Letters, digits, marks, signs and ordinary spaces; no control, format (direction!), private or lone surrogate."""
    return unicodedata.category(sign) not in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if stem and dot and len(ending) <= _ENDING_MAX and ending.isalnum() else ""


def _ended(name: str, media_type: str) -> str:
    ending = _ending(name)
    if media_type in _ENDINGS:
        allowed = _ENDINGS[media_type]
        return name if ending in allowed else f"{name}.{allowed[0]}"
    kind = next((each for each in filetype.types if _RENAMED.get(each.mime, each.mime) == media_type), None)
    if kind is not None and media_type != NEUTRAL:
        return name if ending == kind.extension.lower() else f"{name}.{kind.extension}"
    if ending in _BY_ENDING:
        return name
    usual = next((each for each, known in _BY_ENDING.items() if known == media_type != NEUTRAL), "bin")
    return f"{name}.{usual}"


def _shortened(name: str) -> str:
    """At most so many bytes as any file system takes, with the ending kept."""
    if len(name.encode()) <= _NAME_MAX_BYTES:
        return name
    ending = _ending(name)
    tail = f".{ending}" if ending else ""
    stem = name[: len(name) - len(tail)] if tail else name
    kept = stem.encode()[: _NAME_MAX_BYTES - len(tail.encode())].decode(errors="ignore")
    return kept.rstrip(" .") + tail
