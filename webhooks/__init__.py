"""The door where providers post, and the journal behind it."""
