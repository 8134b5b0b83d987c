"""Signals that end a program which has started others: it gets the time to end them first.

For a program that make runs, make's own end counts as one.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from selfevolve.runtime.errors import Ended

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MAKE = "MAKELEVEL"  # in the environment of what make runs
_PDEATHSIG = 1  # of prctl(2)
_POLL_S = 0.1


@contextmanager
def ending_whole() -> Iterator[None]:
    """Raise `Ended` inside the block on SIGINT, SIGTERM or SIGHUP, so that what was started can be stopped.

    A signal that was ignored before (nohup) stays ignored, and so does a second one, which would interrupt
    the stopping. A program that make runs also ends with make.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def end(number: int, _frame: object) -> None:
        for one in heeded:
            signal.signal(one, signal.SIG_IGN)
        raise Ended(number)

    for number in heeded:
        signal.signal(number, end)
    try:
        _end_with_make()
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _end_with_make() -> None:
    """Have this process get SIGTERM when the make that runs it ends, or waits for it to end.

    make passes SIGTERM on to its recipe, but not SIGINT and SIGHUP: the terminal will have sent them to the
    recipe as well, so make gives up catching them and waits. Killed, it passes nothing on. The recipe must
    begin with `exec`, or a shell would stand between the two.
    """
    parent = os.getppid()
    if sys.platform != "linux" or _MAKE not in os.environ:
        return
    if "make" in Path(f"/proc/{parent}/comm").read_text():
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
        threading.Thread(target=_watch, args=(parent, _caught(parent)), daemon=True).start()


def _watch(make: int, caught: int) -> None:
    with suppress(OSError):  # make has ended: the kernel says so
        while _caught(make) == caught:
            time.sleep(_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)


def _caught(process: int) -> int:
    """Return the set of signals that a process catches: bit n - 1 is signal n (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("SigCgt:")).split()[1], 16)
