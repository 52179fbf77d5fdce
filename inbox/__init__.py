"""Conversations: what came in, what is to be sent, and what became of it."""
