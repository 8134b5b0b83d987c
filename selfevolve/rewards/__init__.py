"""Rewards: numbers that say how good a response to a context is, and the ranking of candidates by one."""
