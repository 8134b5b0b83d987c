"""What the stages of a run took, and on what: the lines they left, where these are of what the locks hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.records.took import FILE, Took, read_took
from stages.reporting.cells import shown
from stages.reporting.document import Block, Cell, Group, Row, Table, Text
from stages.reporting.reading import Run, mapping

NOT_RECORDED = "not recorded"
NOTES = (
    "Seconds of the run that made what the lock holds; of one that was interrupted, its last run's alone. "
    "“not recorded”: the stage was run by hand, came out of DVC's cache, or makes folders alone.",
    "The pipeline's own work only: what a server, an engine or a judge elsewhere took stands on no line.",
)


@dataclass(frozen=True)
class Locked:
    """One output as a lock file has it. `address` is what DVC calls the stage from the project's folder."""

    path: str
    stage: str
    address: str
    digest: str
    size: Any


def locked(run: Run) -> list[Locked]:
    """Return every output of every lock file of a run."""
    found = []
    for path in run.layout.locks:
        where = run.where(path)
        folder = path.rpartition("/")[0]
        stages = mapping(run.yaml_at(path), "stages", file=where)
        for name in stages:
            address = f"{folder}/dvc.yaml:{name}" if folder else name
            outs = mapping(stages, name, file=where).get("outs", [])
            for out in outs if isinstance(outs, list) else []:
                one = mapping(out, file=where)
                found.append(
                    Locked(str(one.get("path")), name, address, str(one.get("md5")), one.get("size"))
                )
    return found


def took(run: Run, outputs: Iterable[Locked]) -> dict[str, Took]:
    """Return the last line of every stage whose files are those of the locks, by the stage's address."""
    path = run.metrics_path(FILE)
    digests: dict[str, dict[str, str]] = {}
    for one in outputs:
        digests.setdefault(one.address, {})[one.path] = one.digest
    found = {}
    for line in read_took(run.files.read(path) or "", run.where(path)):
        own = digests.get(line.stage, {})
        known = [own[path] == digest for path, digest in line.outputs.items() if path in own]
        if known and all(known):
            found[line.stage] = line
    return found


def timing_blocks(run: Run, outputs: Sequence[Locked]) -> list[Block]:
    """Return a table of the stages' seconds, and one of the machines and packages that they ran with."""
    lines = took(run, outputs)
    if not lines:
        sentence = (
            f"seconds, hardware and packages of the stages: {NOT_RECORDED} (DVC ran none of them here)."
        )
        return [Text.of(run.says(sentence))]
    settings: list[tuple[dict[str, str], dict[str, str]]] = []
    for line in lines.values():
        if (line.machine, line.packages) not in settings:
            settings.append((line.machine, line.packages))
    rows = [
        Row((address,), _cells(lines.get(address), settings))
        for address in dict.fromkeys(one.address for one in outputs)
    ]
    total = sum(line.seconds for line in lines.values())
    notes = (*NOTES, f"{len(lines)} stages, {shown(total, 0)} s together.")
    caption = f"Seconds of every stage{run.behind}"
    columns = ("seconds", "ended (UTC)", "machine")
    stages = Table(
        f"seconds-{run.name}", caption, ("stage",), columns, (Group("", tuple(rows)),), notes, folded=True
    )
    return [stages, _machines(run, settings)]


def _cells(line: Took | None, settings: Sequence[tuple[dict[str, str], dict[str, str]]]) -> tuple[Cell, ...]:
    if line is None:
        return (Cell(NOT_RECORDED, kind="absent", span=3),)
    at = settings.index((line.machine, line.packages))
    return Cell(shown(line.seconds, 1)), Cell(line.ended, kind="text"), Cell(_letter(at), kind="text")


def _machines(run: Run, settings: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]) -> Table:
    both = [{**machine, **packages} for machine, packages in settings]
    rows = tuple(
        Row((name,), tuple(Cell(one.get(name, "not there"), kind="text") for one in both))
        for name in dict.fromkeys(name for one in both for name in one)
    )
    caption = f"Machines and packages of the stages{run.behind}"
    columns = tuple(_letter(at) for at in range(len(both)))
    return Table(f"machines-{run.name}", caption, ("what",), columns, (Group("", rows),), (), folded=True)


def _letter(at: int) -> str:
    return f"machine {at + 1}"
