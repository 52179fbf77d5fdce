"""Business hours: when a team is there, and how much of that lies between two instants."""
