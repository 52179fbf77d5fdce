"""What the inbox has come to: facts of each conversation, folded into cells, and tables made of them (decision 48).
Pure."""
