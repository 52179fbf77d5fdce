"""Simple orders, linked to the customer by any identity."""
