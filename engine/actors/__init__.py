"""Mailboxes, the actor loop and the timer wheel. Know nothing of LLMs."""

from engine.actors.actor import serve
from engine.actors.mailbox import Mailbox, MailboxStatistics, Sender
from engine.actors.roster import Observable, Place, Roster, use_roster
from engine.actors.wheel import Handle, Wheel, WheelStatistics

__all__ = [
    "serve",
    "Mailbox",
    "MailboxStatistics",
    "Sender",
    "Roster",
    "Observable",
    "Place",
    "use_roster",
    "Wheel",
    "Handle",
    "WheelStatistics",
]
