"""Orders in words: their number and their status. Pure."""

from __future__ import annotations

from desk.i18n import N_, Formats

#: Status → words, tone of its chip, sign of its milestone.
STATUSES = {
    "checkout": (N_("Checkout"), "", "shopping-cart"),
    "pending": (N_("Not paid yet"), "warn", "clock"),
    "payment_failed": (N_("Payment failed"), "danger", "x-circle"),
    "authorised": (N_("Authorised"), "warn", "lock-closed"),
    "paid": (N_("Paid"), "good", "banknotes"),
    "processing": (N_("In preparation"), "info", "archive-box"),
    "fulfilled": (N_("Shipped"), "info", "truck"),
    "out_for_delivery": (N_("Out for delivery"), "info", "truck"),
    "delivered": (N_("Delivered"), "good", "home"),
    "completed": (N_("Completed"), "good", "check-circle"),
    "cancelled": (N_("Cancelled"), "danger", "x-circle"),
    "partially_refunded": (N_("Partly refunded"), "danger", "receipt-refund"),
    "refunded": (N_("Refunded"), "danger", "receipt-refund"),
}


def order_number(external_id: str) -> str:
    """Numbers get their sign, other ids stay as they are."""
    return f"#{external_id}" if external_id.isdigit() else external_id


def status_words(status: str, formats: Formats) -> str:
    """A status in words."""
    return formats.text(STATUSES[status][0]) if status in STATUSES else status.replace("_", " ")


def status_tone(status: str) -> str:
    """The colour of its chip."""
    return STATUSES[status][1] if status in STATUSES else ""
