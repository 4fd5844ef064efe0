"""Every message of the wire, as tables: what the reference, AsyncAPI and OpenAPI are made from."""

from server.messages.catalogue import PROTOCOLS, commons, messages_of, sse_messages
from server.messages.interface import Message, shared_schemas

__all__ = ["PROTOCOLS", "Message", "commons", "messages_of", "shared_schemas", "sse_messages"]
