"""The machine and the packages that a report was made with."""

from pathlib import Path

from stages.records.took import hardware, versions
from stages.reporting.document import Block, Cell, Group, Row, Table


def machine_blocks(requirements: Path) -> list[Block]:
    """Return hardware, Python and the direct dependencies' versions."""
    rows = [
        Row((name,), (Cell(value, kind="text"),))
        for name, value in {**hardware(), **versions(requirements)}.items()
    ]
    caption = "The machine and the packages that made this page"
    return [Table("machine", caption, ("what",), ("value",), (Group("", tuple(rows)),), (), True)]
