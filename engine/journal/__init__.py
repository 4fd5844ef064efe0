"""Journals: the durable side of every session's log."""
