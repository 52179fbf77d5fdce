"""One customer, many identities."""
