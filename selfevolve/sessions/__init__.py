"""Sessions: a played seeker and a supporter talk for several turns, and what came of it is measured."""
