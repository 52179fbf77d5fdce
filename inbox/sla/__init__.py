"""What is promised to customers: by when somebody answers, and by when it is done."""
