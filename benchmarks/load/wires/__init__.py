"""How messages travel: WebSocket and SSE, each a pure splitter and a thin connection."""
