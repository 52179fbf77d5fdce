"""Meta's platforms: one app secret, one way to sign, one Graph API. WhatsApp now, Messenger and Instagram beside it."""
