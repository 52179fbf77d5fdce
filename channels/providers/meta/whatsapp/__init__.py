"""WhatsApp Cloud API: messages, receipts, consent and notices in; text, media, buttons and templates out."""
