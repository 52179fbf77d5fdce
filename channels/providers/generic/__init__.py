"""Any system that can post and receive signed JSON."""
