"""What a run would take: counts, tokens, memory, disk and time, before anything is spent."""
