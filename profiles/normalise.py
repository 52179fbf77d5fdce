"""Raw names, addresses and ids in the one form that is compared. Pure; nothing here decides who is who."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat

NAME_MAX, VALUE_MAX = 200, 512

#: Values that stand for "nothing": never an identity of anybody.
PLACEHOLDERS = frozenset({
    "", "-", "-1", "0", "n/a", "na", "nan", "nil", "none", "null", "undefined", "unknown", "anonymous", "anon",
    "guest", "user", "customer", "test", "true", "false", "[object object]", "(null)", "<null>",
})  # fmt: skip

#: Local parts of mailboxes that many people share, and of machines. Real to write to; no proof who somebody is.
SHARED_MAILBOXES = frozenset({
    "abuse", "accounting", "accounts", "admin", "administrator", "billing", "bookings", "bounce", "bounces",
    "careers", "contact", "customerservice", "daemon", "do-not-reply", "donotreply", "email", "enquiries", "feedback",
    "finance", "hello", "help", "helpdesk", "hostmaster", "hr", "info", "inquiries", "invoices", "jobs", "mail",
    "mailer-daemon", "marketing", "me", "newsletter", "no-reply", "noreply", "office", "orders", "postmaster",
    "press", "privacy", "reception", "root", "sales", "security", "service", "shop", "spam", "staff", "support",
    "team", "test", "unsubscribe", "webmaster",
})  # fmt: skip

#: Letters of scripts written without spaces between words, as a set of a pattern.
UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0e7f"
_MEANINGLESS = re.compile(r"[0\s\-_.:+]*", re.ASCII)
_MEXICAN_MOBILE = re.compile(r"\+521(\d{10})", re.ASCII)
_ARGENTINE_MOBILE = re.compile(r"\+549(\d{10})", re.ASCII)
_BRAZILIAN_SHORT_MOBILE = re.compile(r"\+55(\d\d)([6-9]\d{7})", re.ASCII)


def folded(text: str) -> str:
    """Width, case and accents evened out, for comparing and searching: `Ｍüller` and `muller` are the same."""
    wide = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in wide if not unicodedata.combining(c)))


def clean_text(raw: str | None, limit: int = NAME_MAX) -> str | None:
    """One line without control or invisible formatting characters, at most `limit` long; None when nothing is left.

    The joiners inside emoji and Indic names stay.
    """
    if raw is None:
        return None
    if raw.isprintable():  # nothing to take out, as of most texts
        return " ".join(raw.split())[:limit].strip() or None
    kept = "".join(" " if c in "\t\r\n\u2028\u2029" else c for c in raw if _shown(c))
    return " ".join(kept.split())[:limit].strip() or None


def is_placeholder(value: str) -> bool:
    """True for what stands for "no value": empty, zeros and dashes, null, none, anonymous and the like."""
    plain = unicodedata.normalize("NFKC", value).strip().casefold()
    return plain in PLACEHOLDERS or _MEANINGLESS.fullmatch(plain) is not None


def is_shared_mailbox(email: str) -> bool:
    """True for role boxes (support@, info@, …): an address to write to that never tells who somebody is."""
    local = email.partition("@")[0].partition("+")[0]
    return local.casefold() in SHARED_MAILBOXES


@lru_cache(maxsize=20_000)
def email_address(raw: str) -> str | None:
    """Lower case, half width, the domain in its ASCII form; None when it is no address.

    No provider's tricks are undone: dots and +tags are part of an address.
    """
    plain = unicodedata.normalize("NFKC", raw).strip().lower()
    if len(plain) > 254 or is_placeholder(plain):
        return None
    try:
        found = validate_email(plain, check_deliverability=False, test_environment=True, globally_deliverable=False)
    except (EmailNotValidError, UnicodeError, ValueError):
        return None
    if "." not in found.ascii_domain:
        return None
    return f"{found.local_part}@{found.ascii_domain}".lower()


def phone_number(raw: str, region: str | None = None) -> str | None:
    """E.164 of a number written in any way; None when it is none.

    Without an international prefix `region` (`DE`) says where it was written down; without a region such a number
    is not guessed at. Mexico's former mobile digit 1 is taken out, Brazil's ninth mobile digit put in.
    """
    return _phone_number(raw, None if raw.startswith("+") else region)


@lru_cache(maxsize=20_000)
def _phone_number(raw: str, region: str | None) -> str | None:
    plain = unicodedata.normalize("NFKC", raw).strip().removeprefix("tel:")
    if len(plain) > 40 or _MEANINGLESS.fullmatch(plain):
        return None
    if plain.startswith("00"):
        plain = "+" + plain[2:]
    try:
        number = phonenumbers.parse(plain, region)
    except NumberParseException:
        return None
    whole = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    text = _country_rules(whole)
    # Written with its country a number is read as such: Italian zeros stay, an extension goes.
    plainly = plain == whole == text
    return text if phonenumbers.is_possible_number(number if plainly else phonenumbers.parse(text)) else None


@lru_cache(maxsize=20_000)
def listed_phone(raw: str, region: str | None = None) -> str | None:
    """As `phone_number`, for lists: a spreadsheet that took a number for an amount has eaten its plus, which is put
    back where the digits are a valid number with it and none without. Two or three digits are no number."""
    digits = unicodedata.normalize("NFKC", raw).strip()
    found = phone_number(digits, region)
    found = found if found is not None and len(found) >= 8 else None
    if len(digits) < 10 or not (digits.isascii() and digits.isdigit()) or digits.startswith("0") or _is_valid(found):
        return found
    whole = phone_number(f"+{digits}")
    return whole if _is_valid(whole) else found


def _is_valid(e164: str | None) -> bool:
    return e164 is not None and phonenumbers.is_valid_number(phonenumbers.parse(e164))


def phone_key(e164: str) -> str:
    """The form of a number under which it is compared.

    Argentina's mobile 9 comes and goes with the way a number is dialled, so it is left out here; `e164` stays as it
    is for sending.
    """
    return _fully(_ARGENTINE_MOBILE, r"+54\1", e164)


def _country_rules(e164: str) -> str:
    return _fully(_BRAZILIAN_SHORT_MOBILE, r"+55\g<1>9\2", _fully(_MEXICAN_MOBILE, r"+52\1", e164))


def _fully(pattern: re.Pattern[str], replacement: str, text: str) -> str:
    return pattern.sub(replacement, text) if pattern.fullmatch(text) else text


def _shown(character: str) -> bool:
    if character in "\t\r\n\u200c\u200d":
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
