"""Mailboxes and the actor loop. Know nothing of LLMs."""

from engine.actors.actor import serve
from engine.actors.mailbox import Mailbox, MailboxStatistics, Sender

__all__ = ["serve", "Mailbox", "MailboxStatistics", "Sender"]
