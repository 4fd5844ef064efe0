"""The messages that all protocols have in common (contract 0). Pure."""

from __future__ import annotations

from engine import JSON, Attempt, Cancelled, PartCancelled, Receipt, Usage


def receipt_fields(receipt: Receipt) -> JSON:
    """Give a receipt in the wire's form."""
    return {
        "accepted_at_seq": receipt.accepted_at_seq,
        "upstream_closed_ms": receipt.upstream_closed_ms,
        "tokens_after_accept": receipt.tokens_after_accept,
    }


def usage_fields(usage: Usage) -> JSON:
    """Give one part's usage in the wire's form."""
    fields: JSON = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.estimated:
        fields["estimated"] = True
    return fields


def attempt_fields(event: Attempt) -> JSON:
    """Give the message that declares a part's text void."""
    return {
        "type": "attempt",
        "target": event.part.target,
        "attempt": event.part.attempt,
        "reason": event.reason,
        "code": event.code,
    }


def part_cancelled_fields(event: PartCancelled) -> JSON:
    """Give the message of a part that was cancelled alone."""
    message: JSON = {
        "type": "part_cancelled",
        "target": event.part.target,
        "partial": event.partial,
    }
    if event.receipt is not None:
        message["receipt"] = receipt_fields(event.receipt)
    return message


def cancelled_fields(event: Cancelled) -> JSON:
    """Give the terminal message of a cancelled session."""
    message: JSON = {
        "type": "cancelled",
        "reason": event.reason,
        "partial": event.partial,
        "usage": event.usage,
        "receipt": receipt_fields(event.receipt),
    }
    if event.message:
        message["message"] = event.message
    return message
