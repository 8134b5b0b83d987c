"""What a problem is: its persons, its causes, and what fits to be said about it.

A cause is a head and a tail (`the missed promotion` + `after the merger`); within one problem every
head fits every tail. All causes are singular and begin with `the`, so that a line around them is right.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One problem: `problem_type` is ESConv's name, `scene` an ExTES-like title of our own.

    `who` is a key of `vocabulary.OCCUPATIONS`. `details` are seeker lines that tell more without naming
    a fact; each of `advice` follows "you could"; `unfitting` are emotions that would read oddly.
    """

    phrase: str
    problem_type: str
    scene: str
    who: str
    persons: tuple[str, ...]
    heads: tuple[str, ...]
    tails: tuple[str, ...]
    details: tuple[str, ...]
    advice: tuple[str, ...]
    unfitting: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """Every head with every tail."""
        return tuple(f"{head} {tail}" for head in self.heads for tail in self.tails)
