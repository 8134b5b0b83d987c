"""A judge's opt-in stages: scores and comparisons."""
