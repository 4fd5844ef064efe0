"""Exhibition's sources of knowledge; the door is `engine.knowledge.sources`."""
