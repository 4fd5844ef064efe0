"""Sessions: their states, their log, and those who read it."""
