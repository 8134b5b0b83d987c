"""Section `evolution` of testbed/params.yaml, and the parameters of one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing
from selfevolve.runtime.parameters import Params, load_params, read_params
from testbed.study.parameters import SECTIONS, SEEDED, STUDY, changed, read_study

METHOD = "fresh"  # the arm that the others are compared with: the paper's method, only longer


class Arm(Params):
    """What differs in an arm.

    `contexts`: whether each iteration has a part of SynESC of its own, or all have the first. `reference`:
    DPO's, the policy before the training or M0 throughout. `set`: parameters by their dotted names.
    """

    contexts: str = Field("fresh", pattern="^(fresh|same)$")
    reference: str = Field("previous", pattern="^(previous|m0)$")
    set: dict[str, Any] = Field(default_factory=dict)


class Evolution(Params):
    """Section `evolution`: the seeds, the last iteration, what all runs set, the arms and what differs."""

    seeds: list[int] = Field(min_length=2)
    last: int = Field(ge=2)
    set: dict[str, Any]
    arms: list[str] = Field(min_length=1)
    differs: dict[str, Arm]

    @property
    def runs(self) -> dict[str, int]:
        """The seeds of all runs by their names, ARM-SEED, the method's first."""
        return {f"{arm}-{seed}": seed for arm in self.arms for seed in self.seeds}


def read_evolution(file: Path = STUDY) -> Evolution:
    """Read the section; InputError where its runs could not be made."""
    found = read_params("evolution", Evolution, file)
    for name in set(found.arms) ^ set(found.differs):
        message = f"{name} stands in one of `arms` and `differs` alone"
        raise InputError(message, file=file, field="evolution.arms")
    if METHOD not in found.arms:
        message = f"the arms are compared with {METHOD}, which is missing"
        raise InputError(message, file=file, field="evolution.arms")
    if others := set(found.seeds) - set(read_study(file).seeds):
        message = f"{min(others)} is no seed of the study, and a run starts from the study's M0"
        raise InputError(message, file=file, field="evolution.seeds")
    return found


def write_params(evolution: Evolution, arm: str, seed: int, changes: Mapping[str, Any], out: Path) -> None:
    """Write the parameters of a run: those of the study's runs, with the evolution's and the arm's changes.

    `changes` are the run's own, which come last.
    """
    study = read_study(STUDY)
    every = {f"{section}.seed": seed for section in SEEDED} | study.set | evolution.set
    every |= evolution.differs[arm].set | changes
    composed = changed({name: load_params(name) for name in SECTIONS}, every, STUDY)
    with publishing(out) as temporary:
        temporary.write_text(yaml.safe_dump(composed, sort_keys=False), encoding="utf-8")
