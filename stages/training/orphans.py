"""A process that ends with the one that started it, however that ends (Linux)."""

import ctypes
import signal
import sys

_PDEATHSIG = 1  # PR_SET_PDEATHSIG of prctl(2)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends; elsewhere than on Linux do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
