"""Let a supporter talk with seekers that a model plays: `python -m stages.analyses.converse ...`.

    python -m stages.analyses.converse --policy models/m2 --cards cards.jsonl \\
        --out data/m2/sessions.jsonl --metrics metrics/m2/sessions.json

Section `converse` of the parameters says how many sessions, how long, and who plays. All sessions advance
together, turn by turn. A killed run goes on where it was: every answer of both sides is in a journal.
`--control same` and `--control shuffled --of SESSIONS` are supporters who must come out badly.
docs/sessions.md says what the numbers mean.
"""

from collections.abc import Sequence

from selfevolve.runtime.command import run
from selfevolve.sessions.command import hold_sessions, read_arguments
from selfevolve.sessions.seekers import open_seeker


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and hold the sessions."""
    hold_sessions(read_arguments(__doc__, argv), open_seeker)


if __name__ == "__main__":
    run(main)
