"""Run a command that cannot outlive the process that started it, `kill -9` included.

`start` runs the command below a guard, which is this file as a program. The starter holds the other end of
the guard's standard input, so the guard notices however the starter ends. It then ends the command and
everything that the command has started. Servers start workers in sessions and process groups of their own,
which no signal to a group reaches; the guard is their subreaper (prctl(2)), so that an orphan among them
becomes its child.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36  # of prctl(2)
PATIENCE_S = 10.0  # between SIGTERM and SIGKILL
STOP_S = 3 * PATIENCE_S  # until `stop` no longer believes in the guard
POLL_S = 0.1


def start(
    command: Sequence[str],
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a command below a guard; it ends with `stop`, or when this process ends.

    The command gets no input; all that it writes is appended to `log`, if there is one. It inherits the open
    files `pass_fds`, such as a lock. Returned is the guard, which ends with the command's exit code (128 and
    the signal, if a signal ended it).
    """
    with ExitStack() as stack:
        out = stack.enter_context(log.open("ab")) if log else None
        return subprocess.Popen(
            [sys.executable, "-P", __file__, *command],
            env=env,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            pass_fds=pass_fds,
            start_new_session=True,
        )


def stop(guard: subprocess.Popen[bytes]) -> None:
    """End a started command and all that it has started; return when they are gone."""
    assert guard.stdin is not None
    guard.stdin.close()  # what the guard waits for
    try:
        guard.wait(STOP_S)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


def main() -> int:
    """Run the command of the command line; return its exit code, or 128 and the signal that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the starter says when to end
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as below nohup
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    _prctl(_CHILD_SUBREAPER, 1)
    # What the starter passed on, such as a lock, is inheritable and goes on to the command.
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=_begin)
    try:
        while child.poll() is None and not _ended(sys.stdin.fileno()):
            pass
    finally:
        _end_all()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_all() -> None:
    """Ask all processes below this one to end, and kill those that do not."""
    below = psutil.Process().children(recursive=True)
    for process in below:
        with suppress(psutil.NoSuchProcess):  # it has ended by itself, which is what was wanted
            process.terminate()
    _, alive = psutil.wait_procs(below, timeout=PATIENCE_S)
    # Listed anew, for what they may have started meanwhile.
    for process in {*alive, *psutil.Process().children(recursive=True)}:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    _prctl(_PDEATHSIG, signal.SIGKILL)  # should the guard itself be killed


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _ended(stream: int) -> bool:
    """Wait a little for standard input; whether it has ended."""
    ready, _, _ = select.select([stream], [], [], POLL_S)
    return bool(ready) and os.read(stream, 1024) == b""


if __name__ == "__main__":
    sys.exit(main())
