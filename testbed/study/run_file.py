"""Put what a run measured into one file: `python -m testbed.study.run_file --run testbed/runs/self-11 ...`.

A run's folder and DVC's cache stay on the machine that made them. This file is Git's, and the tables are made
of such files alone. It holds every metrics file of the run, what single responses mention (for the tests over
dialogues), and what the run was made of, by which commit, where and how fast.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.facts import columns
from selfevolve.policies.policy import POLICY_FILE, read_policy
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import FactMentions
from selfevolve.runtime.command import run
from selfevolve.runtime.digests import digest_file, digest_folder
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing, read_json
from selfevolve.runtime.git import last_commit
from selfevolve.runtime.parameters import Params, validate
from selfevolve.runtime.run_record import hardware
from selfevolve.sessions.measures import Phrases, measure
from selfevolve.sessions.session import Session

PARAMS = "params.yaml"
# What the numbers of a run may depend on: its commit is the last one that changed any of this.
CODE = ("llamafactory_configs", PARAMS, "prompts", "requirements.txt", "selfevolve", "stages", "testbed")
CODE += (":(exclude)*.md", ":(exclude)*dvc.lock")


COMMON = ("models/backbone", "data/dialogues")  # what all runs of a study are made of
SESSIONS = "sessions"  # behind a model's name: its sessions
OF_A_SESSION = ("emotion_change", "disclosed", "taken_up")  # scores that need no facts but the card's


class RunFile(Params):
    """One run of the study.

    `commit` is the last one that changed CODE, with `+` where CODE differs from it. `made_of` has the digests
    of its parameters, data and models by their paths. `seconds` went by since its parameters were written: a
    run that was killed counts from its last start. `metrics` has the run's metrics files by their
    paths in its folder, without `.json`. `contexts` and `responses` have, by the model, the contexts that it
    answered and the numbers of each answer in their order; `MODEL/sessions` has the same of its sessions.
    """

    arm: str
    seed: int
    commit: str
    made_of: dict[str, str]
    seconds: int
    machine: dict[str, str]
    metrics: dict[str, dict[str, Any]]
    contexts: dict[str, list[str]]
    responses: dict[str, dict[str, list[float | None]]]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and the run's folder, and publish the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="the run's folder")
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--made-of", type=Path, nargs="+", required=True, help="files, folders and policies")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    params = args.run / PARAMS
    measured = measured_in(args.run)
    made_of = {path.as_posix(): digest(path) for path in (params, *args.made_of)}
    made = RunFile(
        arm=args.arm,
        seed=args.seed,
        commit=last_commit(CODE),
        made_of=made_of,
        seconds=round(time.time() - params.stat().st_mtime),
        machine=hardware(),
        **measured,
    )
    with publishing(args.out) as temporary:
        text = json.dumps(made.model_dump(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def measured_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `metrics`, `contexts` and `responses` of a run's folder; InputError where a file is broken."""
    files = sorted(file for at in ("*.json", "*/*.json") for file in folder.glob(at))
    metrics = {file.relative_to(folder).with_suffix("").as_posix(): read_json(file) for file in files}
    contexts, responses = {}, {}
    for file in sorted(folder.glob("*/facts.jsonl")):
        records = read_records(file, FactMentions)
        contexts[file.parent.name] = [record.id for record in records]
        responses[file.parent.name] = columns(records)
    for file in sorted(folder.glob("*/world_sessions.jsonl")):
        sessions = read_records(file, Session)
        scores = measure(sessions, Phrases.of(sessions)).values()
        name = f"{file.parent.name}/{SESSIONS}"
        contexts[name] = [session.id for session in sessions]
        responses[name] = {f"session_{score}": [one[score] for one in scores] for score in OF_A_SESSION}
    return {"metrics": metrics, "contexts": contexts, "responses": responses}


def digest(path: Path) -> str:
    """Return the digest of a policy and its chain, a folder or a file; InputError where there is none."""
    if (path / POLICY_FILE).exists():
        return read_policy(path).digest
    if path.is_dir():
        return digest_folder(path)
    if not path.is_file():
        raise InputError("the run was made of it, and it is not there", file=path)
    return digest_file(path)


def read_run_file(file: Path) -> RunFile:
    """Return the run in such a file; InputError where it is missing or broken."""
    return validate(RunFile, read_json(file), file=file)


def read_run_files(folder: Path, names: Sequence[str], of: str) -> dict[str, RunFile]:
    """Return the runs whose files are in a folder, by name, in the order of the names.

    Args:
        folder: has a file NAME.json for each run.
        names: all runs that there may be.
        of: what they are runs of, for messages.

    Raises:
        InputError: a file is broken or of no such run, or its run is made of another backbone or of other
            dialogues than the first one.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.json"))}
    for name in files.keys() - set(names):
        raise InputError(f"is no run of the {of}: remove it", file=files[name])
    made = {name: read_run_file(files[name]) for name in names if name in files}
    for name, one in made.items():
        if name != f"{one.arm}-{one.seed}":
            raise InputError(f"is of the run {one.arm}-{one.seed}", file=files[name])
        first, common = next(iter(made.items()))
        for path in COMMON:
            if one.made_of.get(path) != common.made_of.get(path):
                message = f"is not that of {first}, and all runs have the same: make this one again"
                raise InputError(message, file=files[name], field=f"made_of.{path}")
    return made


def too_few_seeds(made: Mapping[str, RunFile], method: str, least: int) -> str:
    """Return why no tables can be made of these runs, an empty text where there are seeds enough."""
    seeds = sum(one.arm == method for one in made.values())
    return f"no tables: they need {least} seeds of {method}, and {seeds} are there" if seeds < least else ""


if __name__ == "__main__":
    run(main)
