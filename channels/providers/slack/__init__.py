"""Slack apps."""
