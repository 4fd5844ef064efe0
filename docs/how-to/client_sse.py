"""Read a session over SSE with the standard library alone, from a cursor on."""

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen


def events(url: str, session_id: str, after: str = "") -> Iterator[tuple[str, Any]]:
    """Give each message with its cursor."""
    headers = {"Last-Event-ID": after} if after else {}
    request = Request(f"{url}/api/sessions/{session_id}/events", headers=headers)
    cursor = after
    with urlopen(request, timeout=60) as answer:  # a comment comes each 15 seconds
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                cursor = value
            elif name == "data":
                yield cursor, json.loads(value)


def main(url: str, content: str) -> None:
    body = {"content_type": "SUMMARY", "input_text": content}
    request = Request(
        f"{url}/run/stream/draft",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=60) as answer:
        session_id = answer.headers["X-Session-Id"]
        first = next(line for line in answer if line.startswith(b"id: "))
    cursor = first.decode().strip().removeprefix("id: ")  # and the connection is lost
    for place, message in events(url, session_id, cursor):
        print(place.rpartition(":")[2], message["type"])


main(*sys.argv[1:3])
