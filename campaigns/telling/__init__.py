"""Colleagues are told what concerns them: who of which event, which way, and when."""
