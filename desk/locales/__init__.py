"""The catalogues. `messages.po` per language; English is the source itself."""
