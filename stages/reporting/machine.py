"""The machine and the packages that a report was made with. What made the numbers is not recorded by them."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stages.reporting.document import Block, Cell, Group, Row, Table, Text

NOT_RECORDED = (
    "Seconds a stage: not recorded. DVC's locks have no times, and none are made up here.",
    "Hardware and package versions of the runs: not recorded either; the signatures above name what scores "
    "depend on. Below is what made this page.",
)


def machine_blocks(requirements: Path) -> list[Block]:
    """Return hardware, Python and the direct dependencies' versions, and what is not recorded."""
    rows = [
        Row((name,), (Cell(value, kind="text"),))
        for name, value in {**hardware(), **versions(requirements)}.items()
    ]
    caption = "The machine and the packages that made this page"
    return [
        Text(NOT_RECORDED),
        Table("machine", caption, ("what",), ("value",), (Group("", tuple(rows)),), (), True),
    ]


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
