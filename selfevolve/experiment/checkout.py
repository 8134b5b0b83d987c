"""Whether this folder can keep a run: `python -m selfevolve.experiment.checkout`, before anything runs.

A run ends as a commit, which `dvc exp save` makes in the Git repository that this folder is. What is missing
for that is said here, before hours of work. `make m2` asks before it builds .venv: this needs no package.
"""

import os
import subprocess
import sys
from pathlib import Path

from selfevolve.runtime.errors import InputError

_INIT = "`git init && git add -A && git commit -m start`"
# What Git says, and what that means for whoever wants to run something here.
_REFUSALS = {
    "dubious ownership": "belongs to another user, so Git refuses it: clone it as yourself, or trust it with"
    " `git config --global --add safe.directory {here}`",
    "not a git repository": "is no Git repository (a downloaded archive is none): clone it, or make it one"
    f" with {_INIT}",
    "Needed a single revision": "has no commit: make one with `git add -A && git commit -m start`",
}


def require_checkout() -> None:
    """Return if the working directory is a Git repository that this user can commit to.

    Raises:
        InputError: it is not; the message says what to do.
    """
    here = Path.cwd()
    top = _git("rev-parse", "--show-toplevel")
    if Path(top).resolve() != here.resolve():
        message = f"is no Git repository of its own, it lies in {top}: clone it, or make it one with {_INIT}"
        raise InputError(message, file=here)
    _git("rev-parse", "--verify", "HEAD")
    if not os.access(here, os.W_OK):
        raise InputError("cannot be written to by this user: clone it as yourself", file=here)


def _git(*arguments: str) -> str:
    """Return what Git says; raise InputError with the reason in our words where it refuses."""
    here = Path.cwd()
    english = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(["git", *arguments], env=english, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError("Git is not installed, and runs are kept with it: install it") from None
    if done.returncode == 0:
        return done.stdout.strip()
    said = done.stderr.strip() or f"exit code {done.returncode}"
    reasons = [reason.format(here=here) for words, reason in _REFUSALS.items() if words in said]
    raise InputError(reasons[0] if reasons else f"Git refuses it: {said}", file=here)


def main() -> int:
    """Say in one line what is missing; return the exit code."""
    try:
        require_checkout()
    except InputError as error:  # selfevolve.runtime.command needs packages
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
