"""Restart policy (pure) and supervisors. Know nothing of LLMs."""
