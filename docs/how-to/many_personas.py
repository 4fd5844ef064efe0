"""Ask several personas at once; cancel the slowest, and keep what the others say."""

import sys

import trio

from server.client import Client

PERSONAS = ["tech_enthusiast", "creative_writer", "data_scientist"]


async def main(url: str) -> None:
    question = {
        "type": "multi_chat",
        "data": {"message": "Tea or coffee?", "persona_ids": PERSONAS},
    }
    client = Client(url)
    async with client.start("/ws", question) as stream:
        async for message in stream:
            if message["type"] == "persona_response":
                print(message["persona_id"], "took", message["latency"]["total"], "s")
            elif message["type"] == "part_cancelled":
                print(message["target"]["persona_id"], "was cut at", len(message["partial"]))
            elif message["type"] == "response":
                print("cancelled:", message["data"]["cancelled"])
            elif message.get("status") == "streaming" and message["persona_id"] == PERSONAS[2]:
                await cut(client, message["session_id"], PERSONAS[2])


async def cut(client: Client, session_id: str, persona_id: str) -> None:
    """Cancel one voice; any connection of yours may say it."""
    async with client.connect("/ws") as connection:
        target = f'{{"persona_id": "{persona_id}"}}'
        await connection.send_message(
            f'{{"type": "cancel", "session_id": "{session_id}", "target": {target}}}'
        )
        await connection.get_message()


trio.run(main, sys.argv[1])
