"""What can be loaded: one adapter for each protocol; `interface` is read first."""
