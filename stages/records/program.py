"""Fetching with another program: run it for a bounded time, and say in one line why it failed."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

_ERROR = re.compile(r"E: |ERROR: ")  # how apt and pip begin the line that matters


class SourceUnavailable(Exception):  # noqa: N818 - an absence to report, not an error of the program
    """Something cannot be fetched from here, or is not what it should be; the message says why."""


def run_program(
    command: Sequence[str],
    seconds: float,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a program to its end, in English and without input.

    Args:
        command: the program and its arguments.
        seconds: how long it may take.
        folder: where it runs.
        environment: variables over those of this process.

    Raises:
        SourceUnavailable: it is not installed, takes too long or fails; the reason is apt's or pip's
            first error, else the last line it wrote.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except FileNotFoundError:
        raise SourceUnavailable(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise SourceUnavailable(f"no result within {seconds} seconds") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        errors = [line for line in lines if _ERROR.match(line)] or lines[-1:]
        raise SourceUnavailable(errors[0].removeprefix("ERROR: ").strip()[:300])
