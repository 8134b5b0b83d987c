"""See that no process outlives the one that asked for it: `python -m stages.engines.guard COMMAND ...`.

Runs a command, and ends it with all that it has started when standard input ends. Whoever starts a guard
holds the other end of its standard input, so however that process ends, `kill -9` included, the guard sees
it. Servers start workers in sessions and process groups of their own, which no signal to a group reaches;
the guard is their subreaper (prctl(2)): an orphan among them becomes its child, and it knows them all.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36  # of prctl(2)
PATIENCE_S = 10.0  # between SIGTERM and SIGKILL
POLL_S = 0.1


def main() -> int:
    """Run the command of the command line; return its exit code, or 128 and the signal that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the stage says when to end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _prctl(_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_begin)
    try:
        while child.poll() is None and not _ended(sys.stdin.fileno()):
            pass
    finally:
        end_all()
    code = child.wait()
    return code if code >= 0 else 128 - code


def end_all() -> None:
    """Ask all processes below this one to end, and kill those that do not."""
    below = psutil.Process().children(recursive=True)
    for process in below:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(below, timeout=PATIENCE_S)
    # Anew, for what they may have started meanwhile.
    for process in {*alive, *psutil.Process().children(recursive=True)}:
        _quietly(process.kill)


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


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        return  # it has ended by itself, which is what was wanted


if __name__ == "__main__":
    sys.exit(main())
