"""Who gets a conversation: teams, who is there, and how the queue is given out."""
