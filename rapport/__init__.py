"""The composition root: command line, wiring, embedded services."""
