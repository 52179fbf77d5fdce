"""Handing out a list of people as a file."""
