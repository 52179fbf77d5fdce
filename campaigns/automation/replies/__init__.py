"""What a channel says by itself: a greeting, that nobody is there, answers to certain words."""
