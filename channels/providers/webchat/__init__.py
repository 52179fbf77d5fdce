"""Our own chat for web pages: the channel that needs no third party."""
