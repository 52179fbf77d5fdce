"""Automation: one list of actions, carried out by macros, by rules and by whatever answers on its own."""
