"""One folder per company whose secrets and API it is; found by `channels.registry`."""
