"""Where the numbers come from: commit, parameters, locks, models, data, how scores were computed."""

import hashlib
import json

from stages.records.errors import InputError
from stages.reporting.cells import not_available, not_run, without_folders
from stages.reporting.checks import unseen_folders
from stages.reporting.document import Block, Cell, Group, Row, Table
from stages.reporting.files import Revision, git
from stages.reporting.reading import Run, mapping
from stages.reporting.timings import Locked, locked, timing_blocks

GROUPS = {"backbone": ("backbone", "name"), "data": ("data", "name"), "scale": ("scale",)}
GROUPS |= {"engine": ("engine", "kind"), "judge": ("judge", "engine", "kind"), "headline": ("headline",)}
LISTED = 8  # files with changes that are named


def run_table(runs: list[Run]) -> Table:
    """Return what each run is: its commit and whether files differ from it, its groups, its digests."""
    facts = [_facts(run) for run in runs]
    rows = [
        Row((name,), tuple(Cell(one.get(name, "not there"), kind="text") for one in facts))
        for name in dict.fromkeys(name for one in facts for name in one)
    ]
    note = "Digests of files are SHA-256. A lock says of every stage what it read and made."
    return Table(
        "what-was-run",
        "What was run",
        ("",),
        tuple(run.name for run in runs),
        (Group("", tuple(rows)),),
        (note,),
    )


def origin_tables(run: Run) -> list[Block]:
    """Return the chains of models, data and models by DVC's digests, metrics files, and signatures."""
    outputs = locked(run)
    return [
        _models(run),
        _outputs(run, outputs),
        _metrics(run, outputs),
        _signatures(run),
        *timing_blocks(run, outputs),
    ]


def _facts(run: Run) -> dict[str, str]:
    facts = {"commit": "not available (no Git repository)", "files changed since": "not available"}
    if isinstance(run.files, Revision):
        facts = {"commit": run.files.commit, "files changed since": "none: a commit was read"}
    else:
        try:
            facts["commit"] = git("rev-parse", "HEAD").decode().strip()
            changed = git("status", "--porcelain", "--untracked-files=no").decode().splitlines()
            names = [line[3:] for line in changed]
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            facts["files changed since"] = ", ".join(names[:LISTED]) + more if names else "none"
        except InputError:
            pass  # no repository: the facts above say so
    facts |= {name: str(run.setting(*keys)) for name, keys in GROUPS.items()}
    for path in (run.layout.params, *run.layout.locks):
        content = run.files.bytes_of(path)
        facts[path] = "not there" if content is None else hashlib.sha256(content).hexdigest()
    return facts


def _models(run: Run) -> Table:
    rows = []
    absent = not_available if isinstance(run.files, Revision) else not_run
    for name, model in mapping(run.params, "models", file=run.where(run.layout.params)).items():
        folder = str(model.get("policy")) if isinstance(model, dict) else ""
        policy = run.json_at(f"{folder}/policy.json")
        asked = str(model.get("prompt")) if isinstance(model, dict) else ""
        cells = [Cell(folder, kind="text"), Cell(asked, kind="text")]
        if policy is None:
            cells += [absent(2)]
        elif "weights" in policy:
            weights = without_folders(str(policy["weights"]))
            cells += [Cell(f"a backbone: {weights}", kind="text"), Cell("–", kind="absent")]
        else:
            cells += [Cell(str(policy.get(key)), kind="text") for key in ("parent", "parent_digest")]
        capability = run.json(name, "capability.json") or {}
        measured = capability.get("policy")
        writer = _writer(run, name)
        cells += [absent() if writer is None else Cell(writer, kind="text")]
        cells += [Cell(measured, kind="text") if isinstance(measured, str) else not_run()]
        rows.append(Row((name,), tuple(cells)))
    columns = ("policy", "prompt", "trained on", "whose digest is", "responses written by", "benchmarks of")
    notes = (
        "From policy.json, the responses and capability.json. A digest covers all adapters below it too. "
        "A revision holds no models and no data: they are not available, and DVC's digests stand for them.",
    )
    caption = f"Chains of models{run.behind}"
    return Table(f"chains-{run.name}", caption, ("model",), columns, (Group("", tuple(rows)),), notes, True)


def _writer(run: Run, model: str) -> str | None:
    """Return the digest that stands in a model's first response."""
    path = f"{run.layout.data}/{model}/responses.jsonl"
    text = run.files.read(path)
    first = (text or "").partition("\n")[0]
    if not first.strip():
        return None
    try:
        return str(json.loads(first)["model"])
    except (ValueError, KeyError, TypeError):
        raise InputError("is no response", file=run.where(path), record="line 1") from None


def _outputs(run: Run, outputs: list[Locked]) -> Table:
    folders = (f"{run.layout.data}/", f"{run.layout.models}/")
    rows = [
        Row((one.path,), tuple(Cell(str(value), kind="text") for value in (one.stage, one.digest, one.size)))
        for one in outputs
        if one.path.startswith(folders)
    ]
    rows = rows or [Row(("all",), (not_run(3),))]
    notes = ("As the locks have them, MD5; sizes in bytes.",)
    caption = f"Data and models by DVC's digests{run.behind}"
    columns = ("stage", "digest", "size")
    return Table(f"outputs-{run.name}", caption, ("output",), columns, (Group("", tuple(rows)),), notes, True)


def _metrics(run: Run, outputs: list[Locked]) -> Table:
    rows = []
    own = [one for one in outputs if one.path.startswith(f"{run.layout.metrics}/")]
    for one in own:
        content = run.files.bytes_of(one.path)
        if content is None:
            state = "is not there"
        else:
            same = hashlib.md5(content, usedforsecurity=False).hexdigest() == one.digest
            state = "as locked" if same else "differs from the lock"
        cells = (Cell(one.stage, kind="text"), Cell(one.digest, kind="text"), Cell(state, kind="text"))
        rows.append(Row((one.path,), cells))
    known = {one.path for one in own}
    for path in (path for folder in _folders(run) for path in run.files.below(folder) if path not in known):
        digest = hashlib.md5(run.files.bytes_of(path) or b"", usedforsecurity=False).hexdigest()
        cells = (Cell("–", kind="absent"), Cell(digest, kind="text"), Cell("in no lock", kind="text"))
        rows.append(Row((path,), cells))
    rows = rows or [Row(("all",), (not_run(3),))]
    notes = (
        "“differs from the lock”: changed by hand, or by a stage run outside DVC. “in no lock”: made "
        f"outside DVC, as {run.layout.metrics}/iterations.json and the backbone's files are, or in Git.",
    )
    caption = f"Metrics files, and the stages that made them{run.behind}"
    columns = ("stage", "digest", "the file")
    return Table(f"files-{run.name}", caption, ("file",), columns, (Group("", tuple(rows)),), notes, True)


def _folders(run: Run) -> list[str]:
    names = ["", "backbone", *run.models, "comparisons", "judge", "study", "human"]
    names += unseen_folders(run)
    return [run.metrics_path(name).rstrip("/") for name in names]


def _signatures(run: Run) -> Table:
    found: dict[tuple[str, str], list[str]] = {}
    for model in run.models:
        document = run.json(model, "text.json")
        where = run.where(run.metrics_path(model, "text.json"))
        for name, signature in mapping(document, "signatures", file=where).items():
            found.setdefault((name, str(signature)), []).append(model)
    rows = [
        Row((name,), (Cell(without_folders(signature), kind="text"), Cell(", ".join(models), kind="text")))
        for (name, signature), models in found.items()
    ]
    rows = rows or [Row(("all",), (not_available(2),))]
    caption = f"How scores were computed{run.behind}"
    columns = ("signature", "models")
    return Table(f"signatures-{run.name}", caption, ("score",), columns, (Group("", tuple(rows)),), (), True)
