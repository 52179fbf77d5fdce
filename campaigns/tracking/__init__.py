"""What becomes of links and pictures in messages: who followed them, which machine did, and what was bought then."""
