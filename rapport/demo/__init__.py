"""Sample data and pretended providers, so that a newcomer sees the hub alive within a minute."""
