"""Opt-in stages of rewards: a reward model, how good rewards are, the best of several answers."""
