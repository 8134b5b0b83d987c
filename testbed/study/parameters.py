"""Compose the parameters of one run of the study.

    python -m testbed.study.parameters --arm self --seed 1 --out testbed/runs/self-1/params.yaml

They are those sections of params.yaml that the run's stages read, with the seed in every one of them, the
study's changes (`study.set` in testbed/params.yaml) and the arm's own (`study.arms.ARM`), in whose texts
`{seed}` stands for the seed.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing
from selfevolve.runtime.parameters import Params, load_params, read_params

STUDY = Path("testbed/params.yaml")
BASE = "base"  # what the arms of a seed share: M0, the contexts, and M0's direct and refined responses
METHOD = "self"  # the arm that is the paper's method
# The sections that the run's stages read; testbed/dvc.yaml lists them as `params`.
SECTIONS = (
    *("capability", "compare", "contexts", "converse", "engine", "hardware", "pair", "personalisation"),
    *("prompts", "refine", "relevance", "respond", "reward", "score", "sft_data", "train"),
)
SEEDED = ("contexts", "converse", "pair", "refine", "respond", "reward", "sft_data")
SEEDED += ("train.dpo", "train.rm", "train.sft")


class StudyRun(Params):
    """One run: its arm and seed, the dialogues of its contexts, and which responses its pairs choose.

    `pairs` are the contexts whose golden responses its pairs take: its own, or `personal` ones.
    """

    arm: str
    seed: int
    contexts: Literal["synesc", "esconv_train"]
    pairs: Literal["synesc", "esconv_train", "personal"]
    chosen: Literal["refined", "golden", "reward"]


class StudyParams(Params):
    """Section `study` of testbed/params.yaml, which says what the fields are."""

    seeds: list[int] = Field(min_length=2)
    set: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    runs: dict[str, StudyRun]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the parameters file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arm", required=True, help=f"{BASE}, or an arm of `study.arms`")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", type=Path, default=STUDY, help="has section `study`")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    study = read_study(args.study)
    if args.arm != BASE and args.arm not in study.arms:
        raise InputError(f"there is no arm {args.arm}; there are {', '.join(study.arms)}", file=args.study)
    changes = {f"{section}.seed": args.seed for section in SEEDED} | study.set
    own = study.arms.get(args.arm, {})
    changes |= {
        name: value.replace("{seed}", str(args.seed)) if isinstance(value, str) else value
        for name, value in own.items()
    }
    composed = changed({name: load_params(name, args.params) for name in SECTIONS}, changes, args.study)
    with publishing(args.out) as temporary:
        temporary.write_text(yaml.safe_dump(composed, sort_keys=False), encoding="utf-8")


def read_study(file: Path) -> StudyParams:
    """Read section `study` of a parameters file; InputError where its tables could not be made."""
    study = read_params("study", StudyParams, file)
    if len(set(study.seeds)) < len(study.seeds):
        raise InputError("a seed occurs twice", file=file, field="study.seeds")
    for name, one in study.runs.items():
        field = f"study.runs.{name}"
        if name != f"{one.arm}-{one.seed}":
            raise InputError(f"the name of this run is {one.arm}-{one.seed}", file=file, field=field)
        if one.arm not in study.arms or one.seed not in study.seeds:
            raise InputError("its arm or its seed is none of the study's", file=file, field=field)
        if sum(other.arm == one.arm for other in study.runs.values()) < 2:
            raise InputError("an arm needs two seeds at least, for its intervals", file=file, field=field)
        if one.pairs != one.contexts and (one.pairs, one.contexts) != ("personal", "synesc"):
            message = "these are not the run's contexts; `personal` goes with contexts of synesc"
            raise InputError(message, file=file, field=f"{field}.pairs")
        if one.contexts == "esconv_train" and one.chosen != "golden":
            raise InputError("responses to contexts of esconv_train are not refined", file=file, field=field)
    for seed in study.seeds:
        own = study.runs.get(f"{METHOD}-{seed}")
        if own is None or (own.contexts, own.chosen) != ("synesc", "refined"):
            message = "the method runs with all seeds, on contexts of synesc, and chooses refined responses"
            raise InputError(message, file=file, field=f"study.runs.{METHOD}-{seed}")
    return study


def changed(params: dict[str, Any], changes: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the parameters with values by dotted names; InputError where a name is in no section."""
    for name, value in changes.items():
        *sections, key = name.split(".")
        place: Any = params
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or place is params:
            raise InputError("there is no such section", file=file, field=name)
        place[key] = value
    return params


if __name__ == "__main__":
    run(main)
