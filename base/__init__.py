"""Plumbing: no customer, no message, no campaign."""
