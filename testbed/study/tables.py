"""Make the tables of the study from the files of its runs: `python -m testbed.study.tables`.

It reads nothing but these files (testbed/study/run_file.py), which give the same tables in every clone.
`study.json` has every number, `README.md` the tables, which are those of the report. They say which commits
made the runs, and which runs are missing.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.report.document import markdown_of
from selfevolve.report.reading import Part, Run
from selfevolve.report.study import study_tables
from selfevolve.runtime.command import run as run_command
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, publishing
from testbed.study.findings import Run as StudyRun
from testbed.study.findings import controls, effects, losses, of_some_seeds, run_of, sources, variants, wanted
from testbed.study.instruments import instruments
from testbed.study.parameters import BASE, METHOD, STUDY, StudyParams, read_study
from testbed.study.rewards import reward_rows
from testbed.study.run_file import RunFile, read_run_files, too_few_seeds

RUNS, OUT = Path("metrics/study/runs"), Path("metrics/study")
M0 = "testbed/runs/{base}/models/m0"
SEEDS = 2  # an interval needs so many


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and the runs' files, and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"the runs' files (default: {RUNS})")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the tables (default: {OUT})")
    parser.add_argument("--params", type=Path, default=STUDY, help="has section `study`")
    args = parser.parse_args(argv)
    study = read_study(args.params)
    made = read_runs(args.runs, study)
    if too_few := not_enough(made):
        raise InputError(too_few, file=args.runs)
    make_tables(made, study, args.runs, args.out)


def read_runs(folder: Path, study: StudyParams) -> dict[str, RunFile]:
    """Return the runs whose files are there, by name; InputError as `read_run_files`, or for no base."""
    made = read_run_files(folder, [f"{BASE}-{seed}" for seed in study.seeds] + list(study.runs), "study")
    for name, one in made.items():
        if f"{BASE}-{one.seed}" not in made:
            raise InputError(f"needs {BASE}-{one.seed}.json beside it", file=folder / f"{name}.json")
    return made


def not_enough(made: Mapping[str, RunFile]) -> str:
    """Return why no tables can be made of these runs, an empty text where they can."""
    return too_few_seeds(made, METHOD, SEEDS)


def make_tables(made: Mapping[str, RunFile], study: StudyParams, folder: Path, out: Path) -> None:
    """Publish the tables of these runs, whose files lie in `folder`, of which the method has seeds enough.

    An arm with fewer seeds is left out, as is a run whose seed the method lacks; each is named.
    """
    runs = {name: run_of(one, folder / f"{name}.json") for name, one in made.items()}
    seeds = [seed for seed in study.seeds if f"{METHOD}-{seed}" in runs]
    arms: dict[str, list[StudyRun]] = {}
    left_out = []
    for name, one in study.runs.items():
        if name in runs and one.seed in seeds:
            arms.setdefault(one.arm, []).append(runs[name])
        elif name in runs:
            left_out.append(f"{name}: there is no {METHOD}-{one.seed} to compare it with")
        elif any(other.arm == one.arm for other in made.values()):
            left_out.append(f"{name}: not run")
    for arm in [arm for arm, own in arms.items() if len(own) < SEEDS]:
        left_out.append(f"{arm}: has {len(arms.pop(arm))} seed to compare, and needs {SEEDS}")
    for line in left_out:
        print(f"left out of the tables: {line}")
    if missing := [name for name in study.runs if name not in made]:
        print(f"runs that are missing: {' '.join(missing)}")
    bases = [runs[f"{BASE}-{seed}"] for seed in seeds]
    rewards = reward_rows([made[f"{BASE}-{seed}"] for seed in seeds])
    publish(out, {"commit": made_by(made), "seeds": seeds, "rewards": rewards}, bases, arms, left_out)


def made_by(made: Mapping[str, RunFile]) -> str:
    """Return the commit of most runs, and which have another commit, or another M0 than their base."""
    of_commit: dict[str, list[str]] = {}
    for name, one in made.items():
        of_commit.setdefault(one.commit, []).append(name)
    most, *others = sorted(of_commit, key=lambda commit: -len(of_commit[commit]))
    texts = [most, *(f"of {commit}: {', '.join(of_commit[commit])}" for commit in others)]
    moved = []
    for name, one in made.items():
        base = f"{BASE}-{one.seed}"
        m0 = M0.format(base=base)
        if one.made_of.get(m0) != made[base].made_of.get(m0):
            moved.append(name)
    texts += [f"from another M0 than their base's: {', '.join(moved)}"] if moved else []
    return "; ".join(texts)


def publish(
    out: Path,
    made_by: Mapping[str, Any],
    bases: Sequence[StudyRun],
    arms: Mapping[str, Sequence[StudyRun]],
    left_out: Sequence[str] = (),
) -> None:
    """Publish study.json and README.md in the folder `out`; `bases` and each arm have one run a seed."""
    found, unknown = effects(arms[METHOD], bases)
    spoilt, unknown_controls = controls(arms, arms[METHOD], bases)
    other, unknown_variants = variants(arms, arms[METHOD], bases)
    trained, unknown_losses = losses(arms, arms[METHOD], bases)
    talked, unknown_sessions = of_some_seeds(wanted().sessions, arms[METHOD], bases)
    best, unknown_best = of_some_seeds(wanted().best_of, arms[METHOD], bases)
    by_source, unknown_sources = sources(arms, arms[METHOD], bases)
    changed = (*wanted().controls, *wanted().variants, *wanted().losses)
    needed = dict.fromkeys((*changed, *wanted().sources.values()))
    named = {line.partition(":")[0] for line in left_out}
    not_run = [f"{arm}: not run" for arm in needed if arm not in arms and arm not in named]
    runs = [*bases, *(run for of_arm in arms.values() for run in of_arm)]
    unknown += [*unknown_controls, *unknown_variants, *unknown_losses, *unknown_sessions, *unknown_best]
    unknown += unknown_sources
    study = {
        **made_by,
        "effects": found,
        "controls": spoilt,
        "variants": other,
        "losses": trained,
        "sessions": talked,
        "best_of": best,
        "sources": by_source,
        "instruments": instruments(runs),
        "not_available": [*unknown, *not_run, *left_out],
        "runs": [
            {"arm": one.arm, "seed": one.seed, "models": one.models, "iterations": one.iterations}
            for one in runs
        ],
    }
    publish_json(out / "study.json", study)
    with publishing(out / "README.md") as temporary:
        temporary.write_text(readme(study), encoding="utf-8")


def readme(study: Mapping[str, Any]) -> str:
    """Return the tables of a study.json in Markdown."""
    tables = study_tables(Part("study.json", study), Run())
    texts = ["# The study's tables", *(text for one in tables for text in markdown_of(one))]
    return "\n\n".join(texts) + "\n"


if __name__ == "__main__":
    run_command(main)
