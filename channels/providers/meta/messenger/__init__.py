"""Facebook Messenger: one page per account."""
