"""What Git says about the working tree."""

import subprocess
from collections.abc import Sequence

from selfevolve.runtime.errors import InputError


def git(*arguments: str) -> str:
    """Return what Git prints, without the last line's end; InputError where Git is not there, or fails."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
        return done.stdout.rstrip()
    except OSError as error:
        raise InputError(f"Git cannot be run: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or f"exit code {error.returncode}"
        raise InputError(f"`git {arguments[0]}` failed: {reason}") from None


def last_commit(paths: Sequence[str]) -> str:
    """Return the last commit that changed one of these paths (12 digits), with `+` where one differs from it.

    Files that Git does not track do not count. Commits that change other paths leave the answer as it is.
    """
    commit = git("log", "-1", "--format=%H", "--", *paths)[:12]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *paths)
    return commit + ("+" if changed else "")
