"""The operator's password and sessions. The password is only ever seen hashed, with argon2id."""

import hashlib
import secrets
import threading
import time

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stages.records.errors import InputError

VARIABLE = "HUMAN_EVAL_PASSWORD_HASH"
SHORTEST = 12  # characters of a password
IDLE_S = 2 * 3600.0
LONGEST_S = 12 * 3600.0
MOST_SESSIONS = 50


def hash_password(password: str) -> str:
    """Return the hash to put into the environment; raise InputError where the password is too short."""
    if len(password) < SHORTEST:
        raise InputError(f"the password must have at least {SHORTEST} characters")
    return PasswordHasher().hash(password)


class Operator:
    """Checks the password, one check at a time (each takes 64 MiB), and knows who is logged in.

    Sessions live in memory: a restart logs the operator out.
    """

    def __init__(self, password_hash: str):
        """Take the hash; raise InputError where it is none."""
        try:
            PasswordHasher().check_needs_rehash(password_hash)
        except InvalidHashError:
            message = "is no hash of argon2: python -m stages.human_eval_password makes one"
            raise InputError(message, field=VARIABLE) from None
        self._hash = password_hash
        self._checking = threading.Lock()
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[float, float]] = {}

    def log_in(self, password: str) -> str | None:
        """Return the secret of a new session, or None."""
        with self._checking:
            try:
                PasswordHasher().verify(self._hash, password)
            except VerificationError:
                return None
        session = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            while len(self._sessions) >= MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[_digest(session)] = (now, now)
        return session

    def knows(self, session: str) -> bool:
        """Whether this is the secret of a session that has not run out; using it keeps it alive."""
        now = time.monotonic()
        with self._lock:
            began, used = self._sessions.get(_digest(session), (-LONGEST_S, -LONGEST_S))
            alive = now - began < LONGEST_S and now - used < IDLE_S
            if alive:
                self._sessions[_digest(session)] = (began, now)
            else:
                self._sessions.pop(_digest(session), None)
        return alive

    def log_out(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(session), None)


def _digest(session: str) -> str:
    """Sessions are looked up by digest, so that no comparison tells how much of a guess was right."""
    return hashlib.sha256(session.encode()).hexdigest()
