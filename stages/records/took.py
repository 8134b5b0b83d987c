"""What a stage took, on which machine and with which packages: a line for every stage that DVC ran.

DVC's locks have no times, and a stage's outputs must be the same on every machine, so neither can say it. A
stage that is run by hand, or is found in DVC's cache, leaves no line.
"""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field, ValidationError

from stages.records.errors import InputError
from stages.records.schema import NonEmpty, Record

FILE = "runs.jsonl"  # in the folder metrics/
REQUIREMENTS = "requirements.in"
STAGE, ROOT = "DVC_STAGE", "DVC_ROOT"  # what DVC tells the commands that it runs
_TICK_S = 0.05  # files' times are coarser than the clock


class Took(Record):
    """One run of a stage: seconds of wall-clock time, when it ended (UTC), and what it left.

    `stage` is DVC's name of it. `outputs` are the files that its command line names and that it wrote, with
    their MD5, as DVC's locks have them: they tell whether the line is of what lies there now.
    """

    stage: NonEmpty
    seconds: float = Field(ge=0)
    ended: NonEmpty
    outputs: dict[str, str]
    machine: dict[str, str]
    packages: dict[str, str]


def note(began_at: float, seconds: float, arguments: Sequence[str]) -> None:
    """Write the line of a stage that has ended well, if DVC ran it; where that fails, say so and no more.

    Args:
        began_at: seconds since the epoch.
        seconds: that it took.
        arguments: of its command line.
    """
    stage, root = os.environ.get(STAGE), os.environ.get(ROOT)
    if not stage or not root:
        return
    try:
        took = Took(
            stage=stage,
            seconds=round(seconds, 3),
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
            outputs=_written(arguments, began_at - _TICK_S),
            machine=hardware(),
            packages=versions(Path(root, REQUIREMENTS)),
        )
        file = Path(root, "metrics", FILE)
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(took.model_dump_json() + "\n")
    except OSError as error:
        print(f"what {stage} took could not be written down: {error.strerror}", file=sys.stderr)


def read_took(text: str, file: str) -> list[Took]:
    """Return the lines of such a file; one that is not whole is left out.

    Raises:
        InputError: a line is none.
    """
    found = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            found.append(Took.model_validate_json(line))
        except ValidationError:
            raise InputError("is no run of a stage", file=file, record=f"line {number}") from None
    return found


def hardware() -> dict[str, str]:
    """Return processor, cores, memory and graphics cards, as far as Linux says them."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else []
    gpus = [
        re.search(r"Model:\s*(.+)", file.read_text())
        for file in Path("/proc/driver/nvidia/gpus").glob("*/information")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "graphics cards": ", ".join(gpu.group(1) for gpu in gpus if gpu) or "none found",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }


def versions(requirements: Path) -> dict[str, str]:
    """Return the installed version of every package that a requirements file names."""
    found: dict[str, str] = {}
    lines = requirements.read_text(encoding="utf-8").splitlines() if requirements.is_file() else []
    for line in lines:
        if name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            try:
                found[name.group()] = version(name.group())
            except PackageNotFoundError:
                found[name.group()] = "not installed"
    return found


def _written(arguments: Sequence[str], since: float) -> dict[str, str]:
    paths = [argument for argument in arguments if os.path.isfile(argument)]
    return {
        path: hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()
        for path in dict.fromkeys(paths)
        if os.stat(path).st_mtime >= since
    }
