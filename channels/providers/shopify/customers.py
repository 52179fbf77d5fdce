"""Customers, what they agreed to, and what Shopify asks of the account itself. One function per kind; pure.

https://shopify.dev/docs/apps/build/privacy-law-compliance for the three duties
(by the facts file, section 14, read 2026-11-28).
"""

from __future__ import annotations

from datetime import datetime

from base.ids import unique_key
from channels.commerce import mail_address, own_id, phone_number, short
from channels.providers.shopify.frame import Frame, full_name, number_of
from channels.reading import Json, instant, items, mapping, text
from channels.vocabulary import AccountNotice, AnyEvent, ConsentChange, Person, ProfileSeen

#: States that are an act of the person; the others (`not_subscribed`, `pending`, `invalid`, `redacted`) say neither.
GRANTED: dict[str, bool] = {"subscribed": True, "unsubscribed": False}


def customer(frame: Frame) -> list[AnyEvent]:
    """Name and mail address, then what the customer agreed to."""
    body, customer_id = frame.body, own_id(frame.body.get("id"))
    if customer_id is None:
        return [frame.unrecognised("a customer without an id")]
    email = mail_address(body.get("email"))
    person = Person(
        name=full_name(body),
        email=email,
        locale=short(body.get("locale"), 35),
        verified=body.get("verified_email") is not False,
    )
    seen = ProfileSeen(**frame.shared(), address=frame.address(customer_id, email), person=person)
    return [seen, *_by_mail(frame, email), *_by_sms(frame, customer_id, _phone(body), email)]


def mail_consent(frame: Frame) -> list[AnyEvent]:
    """`customers_email_marketing_consent/update`."""
    email = mail_address(frame.body.get("email_address")) or mail_address(frame.body.get("email"))
    return _by_mail(frame, email) or [frame.unrecognised("neither subscribed nor unsubscribed, or no address")]


def sms_consent(frame: Frame) -> list[AnyEvent]:
    """`customers_marketing_consent/update`, which is about text messages."""
    body = frame.body
    customer_id = own_id(body.get("customer_id")) or own_id(body.get("id"))
    found = _by_sms(frame, customer_id, _phone(body), mail_address(body.get("email")))
    return found or [frame.unrecognised("neither subscribed nor unsubscribed, or no number")]


def merged(frame: Frame) -> list[AnyEvent]:
    """Two customers became one: the id that went lives on as a former one."""
    body = frame.body
    kept = number_of(body.get("admin_graphql_api_customer_kept_id"))
    gone = number_of(body.get("admin_graphql_api_customer_deleted_id"))
    if kept is None or gone is None or text(body.get("status")) not in (None, "completed"):
        return [frame.unrecognised("a merge that is not completed")]
    return [ProfileSeen(**frame.shared(), address=frame.address(kept), former_external_id=gone)]


def removed(frame: Frame) -> list[AnyEvent]:
    """A customer was deleted in the shop. That is tidying up, not a wish to be forgotten: those come by `redact`."""
    customer_id = own_id(frame.body.get("id"))
    words = f"Customer {customer_id or '?'} was deleted in the shop. Nothing was deleted here."
    return [AccountNotice(**frame.shared(), topic=frame.topic, text=words, details=_named(frame.body))]


def uninstalled(frame: Frame) -> list[AnyEvent]:
    """The app is gone, its token void, its webhooks deleted."""
    words = "The app was removed from the shop. Install it again and enter the new access token to hear of orders."
    return [AccountNotice(**frame.shared(), topic=frame.topic, severity="critical", text=words)]


def duty(frame: Frame) -> list[AnyEvent]:
    """What the law asks and a person has to carry out within thirty days."""
    details = {**_named(mapping(frame.body.get("customer"))), **_orders(frame.body)}
    details["shop_domain"] = short(frame.body.get("shop_domain"), 253)
    request = own_id(mapping(frame.body.get("data_request")).get("id"))
    if request is not None:
        details["data_request_id"] = request
    words = DUTIES[frame.topic].format(who=_words_for(details))
    told = {name: value for name, value in details.items() if value}
    return [AccountNotice(**frame.shared(), topic=frame.topic, severity="warning", text=words, details=told)]


def _by_mail(frame: Frame, email: str | None) -> list[AnyEvent]:
    """Consent hangs on the mail address itself, whichever account writes to it."""
    consent = mapping(frame.body.get("email_marketing_consent")) or _in_old_words(frame.body)
    act = _act(frame, consent)
    if act is None or email is None:
        return []
    granted, at = act
    return [
        ConsentChange(
            event_id=unique_key("email", email.lower(), granted, at.isoformat()),
            occurred_at=at,
            address=frame.address(email, email),
            person=Person(email=email),
            granted=granted,
            proof=_proof(consent),
            raw=frame.body,
        )
    ]


def _by_sms(frame: Frame, customer_id: str | None, phone: str | None, email: str | None) -> list[AnyEvent]:
    """The number counts as the person's own only when they confirmed it by text message."""
    consent = mapping(frame.body.get("sms_marketing_consent"))
    act = _act(frame, consent)
    if act is None or phone is None:
        return []
    granted, at = act
    proved = text(consent.get("opt_in_level")) == "confirmed_opt_in"
    aliases = (customer_id,) if customer_id else ()
    person = Person(phone=phone, email=email if proved else None, verified=proved, aliases=aliases)
    return [
        ConsentChange(
            event_id=unique_key("sms", phone, granted, at.isoformat()),
            occurred_at=at,
            address=frame.address(phone, phone),
            person=person,
            granted=granted,
            proof=_proof(consent),
            raw=frame.body,
        )
    ]


def _act(frame: Frame, consent: Json) -> tuple[bool, datetime] | None:
    """A yes without a time of its own is as old as the customer, or it would lift a later no."""
    granted = GRANTED.get(text(consent.get("state")) or "")
    at = instant(consent.get("consent_updated_at"))
    if granted is None:
        return None
    if at is None:
        at = instant(frame.body.get("created_at")) if granted else frame.at
    return (granted, at) if at is not None else None


def _in_old_words(body: Json) -> Json:
    """Before 2022-04 a yes was one flag with its time; its being off says nothing."""
    if body.get("accepts_marketing") is not True:
        return {}
    return {
        "state": "subscribed", "consent_updated_at": body.get("accepts_marketing_updated_at"),
        "opt_in_level": body.get("marketing_opt_in_level"),
    }  # fmt: skip


def _proof(consent: Json) -> str:
    words = [short(consent.get(name), 60) for name in ("state", "opt_in_level", "consent_collected_from")]
    return "Shopify: " + ", ".join(word for word in words if word)


def _phone(body: Json) -> str | None:
    country = mapping(body.get("default_address")).get("country_code")
    return phone_number(body.get("phone"), country)


def _named(customer: Json) -> Json:
    found = {
        "customer_id": own_id(customer.get("id")),
        "email": mail_address(customer.get("email")),
        "phone": short(customer.get("phone"), 40),
    }
    return {name: value for name, value in found.items() if value}


def _orders(body: Json) -> Json:
    asked = [*items(body.get("orders_requested")), *items(body.get("orders_to_redact"))]
    found = [order_id for each in asked[:200] if (order_id := own_id(each))]
    return {"orders": found} if found else {}


def _words_for(details: Json) -> str:
    return str(details.get("email") or details.get("phone") or details.get("customer_id") or "a customer")


#: Topic → what an administrator must do.
DUTIES: dict[str, str] = {
    "customers/data_request": (
        "{who} asks the shop for all data about them. Export the profile for the shop's owner within 30 days."
    ),
    "customers/redact": (
        "{who} asks to be forgotten. Erase the profile within 30 days, unless the law makes you keep it."
    ),
    "shop/redact": "The shop left the app 48 hours ago. Erase what came from it within 30 days.",
}
