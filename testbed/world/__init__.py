"""The mini world: made-up seekers and supporters whose dialogues stand in for the real corpora."""
