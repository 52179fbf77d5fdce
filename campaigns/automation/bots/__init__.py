"""Programs of the deployment's own that answer customers first, and hand over to people."""
