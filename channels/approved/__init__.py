"""Templates that platforms keep and approve: fetched, kept here, offered where only they may be sent."""
