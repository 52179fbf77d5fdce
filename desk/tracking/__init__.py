"""The script that websites load: what visitors do there becomes events of anonymous people."""
