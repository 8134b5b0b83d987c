"""Hash the operator's password for the rating application: `python -m rating.password`.

Asks for the password (or reads one line of standard input) and prints its hash, argon2id. Put it into the
environment, in single quotes, as it contains dollar signs:

    export HUMAN_EVAL_PASSWORD_HASH='...'
"""

import argparse
import getpass
import secrets
import sys
import threading
import time
from collections.abc import Sequence

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError

VARIABLE = "HUMAN_EVAL_PASSWORD_HASH"
SHORTEST = 12  # characters of a password
IDLE_S = 2 * 3600.0
LONGEST_S = 12 * 3600.0


class Operator:
    """Checks the operator's password, one check at a time (each takes 64 MiB), and knows who is logged in."""

    def __init__(self, password_hash: str):
        try:
            PasswordHasher().check_needs_rehash(password_hash)
        except InvalidHashError:
            message = "is no hash of argon2: python -m rating.password makes one"
            raise InputError(message, field=VARIABLE) from None
        self._hash = password_hash
        self._checking = threading.Lock()
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[float, float]] = {}  # began, last used

    def log_in(self, password: str) -> str | None:
        """Return the secret of a new session, or None where the password is wrong."""
        with self._checking:
            try:
                PasswordHasher().verify(self._hash, password)
            except VerificationError:
                return None
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[session] = (time.monotonic(), time.monotonic())
        return session

    def knows(self, session: str) -> bool:
        """Whether this is the secret of a session that has not run out; using it keeps it alive."""
        now = time.monotonic()
        with self._lock:
            began, used = self._sessions.pop(session, (-LONGEST_S, -LONGEST_S))
            alive = now - began < LONGEST_S and now - used < IDLE_S
            if alive:
                self._sessions[session] = (began, now)
        return alive

    def log_out(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session, None)


def hash_password(password: str) -> str:
    """Return the hash to put into the environment; raise InputError where the password is too short."""
    if len(password) < SHORTEST:
        raise InputError(f"the password must have at least {SHORTEST} characters")
    return PasswordHasher().hash(password)


def main(argv: Sequence[str] | None = None) -> None:
    """Ask for the password and print its hash."""
    description = argparse.RawTextHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=description).parse_args(argv)
    if sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("once more: ") != password:
            raise InputError("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\n")
    print(hash_password(password))


if __name__ == "__main__":
    run(main)
