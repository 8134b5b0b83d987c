"""Parts of a benchmark in processes of their own: what one does to memory the next does not see."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

TOLD = 20  # lines of a process that failed


def run_apart(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a process whose last line is a JSON object, and return that; else `failed`, its last word.

    Args:
        command: program and arguments.
        environment: defaults of variables; those of this process go before.
    """
    ran = subprocess.run(command, capture_output=True, text=True, env={**environment, **os.environ})
    if ran.returncode == 0:
        return json.loads(ran.stdout.splitlines()[-1])
    lines = ran.stderr.strip().splitlines() or [f"ended with exit code {ran.returncode} and no message"]
    print("\n".join(lines[-TOLD:]), file=sys.stderr)
    return {"failed": lines[-1] if ran.returncode > 0 else f"ended by signal {-ran.returncode}"}
