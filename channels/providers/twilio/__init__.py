"""Twilio: SMS, MMS and WhatsApp through one API."""
