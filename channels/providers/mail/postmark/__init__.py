"""Mail by Postmark: its API out, its webhooks in."""
