"""Where the numbers come from: commit, parameters, locks, models, data, how scores were computed, times."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from selfevolve.report.described import table
from selfevolve.report.document import Block, Text
from selfevolve.report.reading import LOCKS, Run
from selfevolve.report.scores import unseen_folders
from selfevolve.report.table import NOT_AVAILABLE, Cell, Row, not_available, not_run, shown, without_folders
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.git import git
from selfevolve.runtime.run_record import FILE, REQUIREMENTS, RunRecord, hardware, read_run_records, versions

GROUPS = {"backbone": ("backbone", "name"), "data": ("data", "name"), "scale": ("scale",)}
GROUPS |= {"loss": ("train", "dpo", "pref_loss")}
GROUPS |= {"engine": ("engine", "kind"), "judge": ("judge", "engine", "kind"), "headline": ("headline",)}
LISTED = 8  # files with changes that are named
FOLDERS = ("comparisons", "judge", "study", "human", "world_sessions", "sessions")
NOT_RECORDED, NOT_THERE = "not recorded", "not there"
DASH = Cell("–", kind="absent")
CHAIN = ("policy", "prompt", "trained on", "whose digest is", "responses written by", "benchmarks of")


class Output(NamedTuple):
    """One output as a lock file has it. `address` is what DVC calls the stage from the project's folder."""

    path: str
    stage: str
    address: str
    digest: str
    size: Any


def run_table(runs: Sequence[Run]) -> list[Block]:
    """Return what each run is: its commit and whether files differ from it, its groups, its digests."""
    names = [run.name for run in runs]
    return [*table("runs", runs[0], _side_by_side(list(map(_facts, runs))), names, behind="")]


def origin_tables(run: Run) -> list[Block]:
    """Return the chains of models, data and models by DVC's digests, metrics files, signatures, times."""
    outputs = outputs_of(run)
    return [
        *table("chains", run, _models(run), CHAIN),
        *table("outputs", run, _outputs(run, outputs), ("stage", "digest", "size")),
        *table("files", run, _metrics(run, outputs), ("stage", "digest", "the file")),
        *table("signatures", run, _signatures(run), ("signature", "models")),
        *_times(run, outputs),
    ]


def machine_blocks(run: Run) -> list[Block]:
    """Return hardware, Python and the direct dependencies' versions of the machine that makes the page."""
    rows = _side_by_side([hardware() | versions(Path(REQUIREMENTS))])
    return [*table("machine", run, rows, ["value"], behind="")]


def outputs_of(run: Run) -> list[Output]:
    """Return every output of every lock file of a run."""
    found = []
    for path in LOCKS:
        folder = path.rpartition("/")[0]
        for name, stage in run.file(path).at("stages").parts().items():
            address = f"{folder}/dvc.yaml:{name}" if folder else name
            for out in stage.objects("outs"):
                size = out.value.get("size")
                found.append(Output(out.said("path"), name, address, out.said("md5"), size))
    return found


def _side_by_side(columns: Sequence[Mapping[str, str]]) -> list[Row]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [Row.of(name, cells=[column.get(name, NOT_THERE) for column in columns]) for name in names]


def _facts(run: Run) -> dict[str, str]:
    commit, changed = run.commit, "none: a commit was read"
    if commit is None:
        try:
            commit = git("rev-parse", "HEAD")
            lines = git("status", "--porcelain", "--untracked-files=no").splitlines()
            more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
            changed = ", ".join(line[3:] for line in lines[:LISTED]) + more or "none"
        except InputError:
            commit, changed = "not available (no Git repository)", NOT_AVAILABLE
    facts = {"commit": commit, "files changed since": changed}
    facts |= {name: run.setting(*keys) for name, keys in GROUPS.items()}
    facts |= {path: _digest(run, path, "sha256") or NOT_THERE for path in (run.params_file, *LOCKS)}
    return facts


def _models(run: Run) -> Iterable[Row]:
    absent = not_available if run.commit is not None else not_run
    for name, model in run.params.at("models").parts().items():
        folder = model.said("policy", "")
        policy = run.file(f"{folder}/policy.json")
        trained: list[Cell | str] = [policy.said("parent"), policy.said("parent_digest")]
        if not policy.there:
            trained = [absent(2)]
        elif "weights" in policy.value:
            source = policy.at("source")
            named, digest = without_folders(policy.said("weights")), DASH
            if source.value:
                named, digest = (
                    f"{source.said('file')} ({source.said('quantisation')})",
                    source.said("sha256"),
                )
            trained = [f"a backbone: {named}", digest]
        measured = run.json(name, "capability.json").value.get("policy")
        of = [_writer(run, name) or absent(), measured if isinstance(measured, str) else not_run()]
        yield Row.of(name, cells=[folder, model.said("prompt", ""), *trained, *of])


def _writer(run: Run, model: str) -> str:
    """Return the digest that stands in a model's first response, an empty text where there is none."""
    path = f"data/{model}/responses.jsonl"
    first = run.text(path).partition("\n")[0]
    try:
        return str(json.loads(first)["model"]) if first.strip() else ""
    except (ValueError, KeyError, TypeError):
        raise InputError("is no response", file=run.where(path), record="line 1") from None


def _outputs(run: Run, outputs: Sequence[Output]) -> list[Row]:
    own = [one for one in outputs if one.path.startswith(("data/", "models/"))]
    rows = [Row.of(one.path, cells=map(str, (one.stage, one.digest, one.size))) for one in own]
    return rows or [Row(("all",), (not_run(3),))]


def _metrics(run: Run, outputs: Sequence[Output]) -> list[Row]:
    own = {one.path: one for one in outputs if one.path.startswith(f"{run.metrics}/")}
    rows = []
    for path, one in own.items():
        digest = _digest(run, path, "md5")
        state = "as locked" if digest == one.digest else "differs from the lock"
        rows.append(Row.of(path, cells=[one.stage, one.digest, state if digest else "is not there"]))
    names = ["", "backbone", *run.models, *FOLDERS, *unseen_folders(run)]
    others = [path for name in names for path in run.below(*filter(None, name.split("/"))) if path not in own]
    rows += [Row.of(path, cells=[DASH, _digest(run, path, "md5"), "in no lock"]) for path in others]
    return rows or [Row(("all",), (not_run(3),))]


def _digest(run: Run, path: str, kind: str) -> str:
    """Return a file's digest, an empty text where there is no file."""
    if not run.has(path):
        return ""
    return hashlib.new(kind, (run.root / path).read_bytes(), usedforsecurity=False).hexdigest()


def _signatures(run: Run) -> list[Row]:
    found: dict[tuple[str, str], list[str]] = {}
    for model in run.models:
        for name, signature in run.json(model, "text.json").at("signatures").value.items():
            found.setdefault((name, str(signature)), []).append(model)
    rows = [
        Row.of(name, cells=[without_folders(signature), ", ".join(models)])
        for (name, signature), models in found.items()
    ]
    return rows or [Row(("all",), (not_available(2),))]


def _times(run: Run, outputs: Sequence[Output]) -> list[Block]:
    """Return a table of the stages' seconds, and one of the machines and packages that they ran with."""
    records = _records(run, outputs)
    if not records:
        what = "seconds, hardware and packages of the stages"
        return [Text.of(run.says(f"{what}: {NOT_RECORDED} (DVC ran none of them here)."))]
    settings: list[dict[str, str]] = []
    rows = []
    for address in dict.fromkeys(one.address for one in outputs):
        if (record := records.get(address)) is None:
            rows.append(Row((address,), (Cell(NOT_RECORDED, kind="absent", span=3),)))
            continue
        if (setting := record.machine | record.packages) not in settings:
            settings.append(setting)
        machine = f"machine {settings.index(setting) + 1}"
        rows.append(Row.of(address, cells=[Cell(shown(record.seconds, 1)), record.ended, machine]))
    total = sum(record.seconds for record in records.values())
    note = f"{len(records)} stages, {shown(total, 0)} s together."
    names = [f"machine {at + 1}" for at in range(len(settings))]
    seconds = table("seconds", run, rows, ("seconds", "ended (UTC)", "machine"), [note])
    return [*seconds, *table("machines", run, _side_by_side(settings), names)]


def _records(run: Run, outputs: Iterable[Output]) -> dict[str, RunRecord]:
    """Return the last record of every stage whose files are those of the locks, by the stage's address."""
    path = run.metrics_path(FILE)
    digests: dict[str, dict[str, str]] = {}
    for one in outputs:
        digests.setdefault(one.address, {})[one.path] = one.digest
    found = {}
    for record in read_run_records(run.text(path), run.where(path)):
        own = digests.get(record.stage, {})
        known = [own[path] == digest for path, digest in record.outputs.items() if path in own]
        if known and all(known):
            found[record.stage] = record
    return found
