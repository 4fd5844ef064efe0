"""What the simulated provider is made of: reading, writing, pace and faults."""
