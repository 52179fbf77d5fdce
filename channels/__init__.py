"""What a channel is: one vocabulary, one contract, one folder per provider."""
