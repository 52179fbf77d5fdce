"""What Messenger and Instagram have in common: the Messenger Platform."""
