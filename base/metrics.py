"""Counters and clocks for Prometheus, named once. Labels hold kinds and outcomes, never ids or people."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

WEBHOOKS = Counter(
    "rapport_webhooks_total",
    "Webhook requests by provider and outcome.",
    ["provider", "outcome"],
    registry=REGISTRY,
)
WEBHOOK_SECONDS = Histogram(
    "rapport_webhook_seconds",
    "Seconds from request to answer.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
EVENTS = Counter("rapport_events_total", "Channel events by kind and outcome.", ["kind", "outcome"], registry=REGISTRY)
SENDS = Counter("rapport_sends_total", "Sends by provider and end state.", ["provider", "state"], registry=REGISTRY)
STEPS = Counter("rapport_journey_steps_total", "Journey steps carried out.", registry=REGISTRY)
JOB_SECONDS = Histogram("rapport_job_seconds", "Seconds of one drain by bell.", ["bell"], registry=REGISTRY)
TALLIES_OFF = Counter(
    "rapport_view_tallies_off_total", "Kept counts of views that were not as counting found them.", registry=REGISTRY
)
FIGURES_OFF = Counter(
    "rapport_figures_off_total", "Cells of reports that were not as adding up their facts made them.", registry=REGISTRY
)
AGED_OUT = Counter("rapport_aged_out_total", "Rows that went by their age.", ["kind"], registry=REGISTRY)
OLDEST_DUE = Gauge("rapport_oldest_due_seconds", "Age of the oldest due row by kind.", ["kind"], registry=REGISTRY)
REQUESTS = Counter(
    "rapport_http_requests_total", "Requests by area and status class.", ["area", "status"], registry=REGISTRY
)


def exposition() -> bytes:
    """The text format Prometheus reads."""
    return generate_latest(REGISTRY)
