"""Kill everything, then count: nothing lost, nothing doubled, nothing stuck."""
