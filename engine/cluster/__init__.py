"""Several processes as one service: who runs which session, and how they speak to each other."""
