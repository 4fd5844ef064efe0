"""Mailboxes and the actor loop. Know nothing of LLMs."""
