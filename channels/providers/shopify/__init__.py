"""Shopify: orders, parcels, refunds, checkouts and customers of a shop."""
