"""A session's end as one HTTP answer: its status and its body, for `/run` and the rater's twin.

The one rule: the body of a success is what the stream's last message has, with the first one's
`warnings` where there are any, and every failure has the status that contracts 2 and 3 name. Must
not import transports.
"""

from __future__ import annotations

from typing import Any

from quart import Response

from engine import JSON, Cancelled, Completed, Entry, Failed, SessionRecord
from server.problems import problem_of
from server.protocols.encoding import Encoder, to_json

CANCELLED_STATUS = {"deadline": 504, "shutdown": 503}
"""By a cancel's reason; a cancel that somebody asked for is a conflict with this request."""

RATER_STATUS = {
    "LLM_NOT_AVAILABLE": 503,
    "GENERATION_TIMEOUT": 504,
    "CONTEXT_ERROR": 422,
    "GENERATION_FAILED": 502,
    "PARSE_FAILED": 502,
}


def content_answer(record: SessionRecord, entry: Entry, encoder: Encoder) -> Response:
    """Answer with the object of `complete`; one that did not pass the validator is 422."""
    event = entry.event
    match event:
        case Completed():
            return _json(record, encoder, entry, 200)
        case Failed() if "success" in event.data:
            return _json(record, encoder, entry, 422)
    return _problem(record, entry)


def rater_answer(record: SessionRecord, entry: Entry, encoder: Encoder) -> Response:
    """Answer with the result's `data`; a failure is a problem with its `error_code`."""
    event = entry.event
    match event:
        case Completed():
            body = to_json({**event.data, **_warnings(record)})
            return _with_session(Response(body, content_type="application/json"), record)
        case Failed():
            error_code = encoder.fields(entry)["error_code"]
            status = None if event.code == "internal" else RATER_STATUS[error_code]
            return _problem(record, entry, status, error_code=error_code)
    return _problem(record, entry, error_code="CANCELLED")


def _json(record: SessionRecord, encoder: Encoder, entry: Entry, status: int) -> Response:
    body = to_json({**encoder.fields(entry), **_warnings(record)})
    return _with_session(Response(body, status=status, content_type="application/json"), record)


def _problem(
    record: SessionRecord, entry: Entry, status: int | None = None, **more: Any
) -> Response:
    event = entry.event
    more["session_id"] = record.session_id
    match event:
        case Failed():
            if event.code == "too_large":  # the budget is; a body would not have come so far
                status = 422
            answer = problem_of(
                event.code, event.message, status, event.retry_after_s, usage=event.usage, **more
            )
        case Cancelled(reason=reason):
            codes = {"deadline": "deadline_exceeded", "shutdown": "shutting_down"}
            why = f": {event.message}" if event.message else ""
            answer = problem_of(
                codes.get(reason, "conflict"),
                f"the session was cancelled ({reason}){why}",
                CANCELLED_STATUS.get(reason, 409),
                usage=event.usage,
                reason=reason,
                **more,
            )
        case _:
            raise AssertionError(f"{event!r} ends no session")
    return _with_session(answer, record)


def _warnings(record: SessionRecord) -> JSON:
    """Say what was odd about the request; a stream's first message does, and here is but one."""
    return {"warnings": list(record.warnings)} if record.warnings else {}


def _with_session(response: Response, record: SessionRecord) -> Response:
    response.headers["X-Session-Id"] = record.session_id
    return response
