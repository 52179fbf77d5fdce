"""What somebody has to do today: one list of all that waits for a hand, and what is done with its rows."""
