"""Segment: tracking calls of websites, apps and servers."""
