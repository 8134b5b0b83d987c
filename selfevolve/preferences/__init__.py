"""Preference pairs: what a policy refines, what is chosen and what is rejected."""
