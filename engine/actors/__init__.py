"""Mailboxes, the actor loop and the timer wheel. Know nothing of LLMs."""

from engine.actors.actor import serve
from engine.actors.mailbox import Mailbox, MailboxStatistics, Sender
from engine.actors.wheel import Handle, Wheel, WheelStatistics

__all__ = ["serve", "Mailbox", "MailboxStatistics", "Sender", "Wheel", "Handle", "WheelStatistics"]
