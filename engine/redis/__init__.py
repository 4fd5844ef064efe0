"""How the engine speaks with Redis: its address, one connection that is kept up, its scripts."""
