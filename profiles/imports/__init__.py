"""Bringing a list of people: read, mapped, looked at, carried out in batches, and taken back."""
