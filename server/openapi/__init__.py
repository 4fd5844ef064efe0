"""The HTTP interface as an OpenAPI document, for people and for programs that write clients."""

from server.openapi.document import openapi_document

__all__ = ["openapi_document"]
