"""LINE official accounts through the Messaging API."""
