"""Mail by SMTP out and by our own listener in."""
