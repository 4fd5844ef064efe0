"""Speaks the five wires over the engine's door."""
