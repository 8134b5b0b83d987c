"""Opt-in stages: what goes beyond the paper's tables."""
