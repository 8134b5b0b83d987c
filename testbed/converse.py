"""Let a supporter talk with seekers of the mini world: `python -m testbed.converse ...`.

    python -m testbed.converse --policy models/m2 --cards data/cards/cards.jsonl \\
        --vocabulary data/cards/facts.json --out data/m2/world_sessions.jsonl \\
        --metrics metrics/m2/world_sessions.json

As `python -m stages.analyses.converse`, but no model plays the seekers: they follow the rules of
testbed/sessions/seeker.py, so that what they do can be checked, and nothing is asked but the supporter.
"""

from collections.abc import Sequence

from selfevolve.runtime.command import run
from selfevolve.sessions.command import hold_sessions, read_arguments
from testbed.sessions.seeker import WorldSeeker


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and hold the sessions."""
    hold_sessions(read_arguments(__doc__, argv), lambda params: WorldSeeker())


if __name__ == "__main__":
    run(main)
