"""Mail by Mailgun."""
