"""The run record: for every stage that DVC ran, how long it ran, on which machine, with which packages.

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

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import Params

FILE = "runs.jsonl"  # in the folder metrics/
REQUIREMENTS = "requirements.in"
STAGE, ROOT = "DVC_STAGE", "DVC_ROOT"  # what DVC tells the commands that it runs
_TICK_S = 0.05  # files' times are coarser than the clock


class RunRecord(Params):
    """One run of a stage: wall-clock seconds, when it ended (UTC), the machine and the packages.

    `stage` is DVC's name. `outputs` are the files that the command line names and that the stage wrote, with
    their MD5, as DVC's locks have them: they tell whether the record is of the files that lie there now.
    """

    stage: str = Field(min_length=1)
    seconds: float = Field(ge=0)
    ended: str = Field(min_length=1)
    outputs: dict[str, str]
    machine: dict[str, str]
    packages: dict[str, str]


def note(began_at: float, seconds: float, arguments: Sequence[str]) -> None:
    """Append the record of a stage that has ended well, if DVC ran it; where that fails, only say so.

    `began_at` are seconds since the epoch; `arguments` are those of the stage's command line.
    """
    stage, root = os.environ.get(STAGE), os.environ.get(ROOT)
    if not stage or not root:
        return
    try:
        record = RunRecord(
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
            lines.write(record.model_dump_json() + "\n")
    except OSError as error:
        print(f"the run record of {stage} could not be written: {error.strerror}", file=sys.stderr)


def read_run_records(text: str, file: str) -> list[RunRecord]:
    """Return the records of such a file; a last line that a kill cut off is left out."""
    found = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            found.append(RunRecord.model_validate_json(line))
        except ValidationError:
            raise InputError("is not a run record", file=file, record=f"line {number}") from None
    return found


def hardware() -> dict[str, str]:
    """Return processor, cores, memory and graphics cards, as far as Linux tells."""
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
