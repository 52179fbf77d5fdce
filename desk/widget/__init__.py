"""The public door of the web chat: what visitors' browsers load, ask and say. See `protocol.md`."""
