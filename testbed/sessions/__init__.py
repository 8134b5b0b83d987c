"""Seekers of the mini world who talk: role cards, and a state machine that plays them by rule."""
