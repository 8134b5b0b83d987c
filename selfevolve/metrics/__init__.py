"""Text metrics of responses against references, knowing nothing of who wrote the texts."""
