"""Pipelines: what a session does, one for each of the five words."""
