"""Make one run of the evolution: `python -m testbed.evolution.evolve --arm fresh --seed 11 --out ...`.

M1, M2 and so on to `evolution.last`, each from the one before as the pipeline makes it, and each measured;
all in one process, by the stages' own programs. M0 and its responses are those of the study's base of the
same seed. Killed and started again, the run finds its texts and its trainings in .scratch. What it measured
also goes into one small file, as that of a run of the study (testbed/study/run_file.py).
"""

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.policies.merge import merge
from selfevolve.policies.policy import read_policy
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import load_params
from stages import capability, contexts, pair, refine, reflections, respond, score, train
from stages.analyses import drift, relevance
from testbed.evolution.parameters import Arm, Evolution, read_evolution, write_params
from testbed.study import run_file
from testbed.study.parameters import BASE

BACKBONE, DIALOGUES = Path("models/backbone"), Path("data/dialogues")
SYNESC, TEST, FACTS = (DIALOGUES / name for name in ("synesc.jsonl", "esconv_test.jsonl", "facts.json"))
SCRATCH = Path(".scratch/evolution")
# What the base has measured of M0, and the run's file holds as well.
OF_M0 = (
    "responses.jsonl",
    "responses.json",
    "text.json",
    "facts.json",
    "facts.jsonl",
    "personalisation.json",
)
OF_M0 += ("training.json", "capability.json")


class Evolving:
    """One run: where its files are, and its steps."""

    def __init__(self, evolution: Evolution, arm: str, seed: int, out: Path):
        """Name the places of a run; nothing is written."""
        self.arm: Arm = evolution.differs[arm]
        self.name, self.out, self.last = f"{arm}-{seed}", out, evolution.last
        self.base = Path(f"testbed/runs/{BASE}-{seed}")
        self.params = out / "params.yaml"

    def model(self, number: int) -> Path:
        """Return the folder of M0, M1 ..."""
        return SCRATCH / self.name / f"m{number}" if number else self.base / "models/m0"

    def part(self, number: int) -> Path:
        """Return the contexts that an iteration learns from."""
        return self.out / f"contexts/synesc-{1 if self.arm.contexts == 'same' else number}.jsonl"

    def prepare(self) -> None:
        """Cut the contexts, and take over what the base has measured of M0."""
        of = ["--policy", BACKBONE, "--train", SYNESC, "--test", TEST, "--out", self.out / "contexts"]
        self._run(contexts, *of, "--metrics", self.out / "contexts.json")
        test = "contexts/test.jsonl"
        if (self.out / test).read_bytes() != (self.base / test).read_bytes():
            raise InputError("are not those of the evolution: make the base again", file=self.base / test)
        (self.out / "m0").mkdir(exist_ok=True)
        for name in OF_M0:
            shutil.copyfile(self.base / "m0" / name, self.out / "m0" / name)
        self._drift(0)

    def iterate(self, number: int) -> None:
        """Make and measure M(number) from the model before it."""
        at, before, part = self.out / f"m{number}", self.model(number - 1), self.part(number)
        rejected, refined, pairs = at / "rejected.jsonl", at / "refined.jsonl", at / "preferences"
        asked = ["--policy", before, "--contexts", part]
        self._run(respond, *asked, "--out", rejected, "--metrics", at / "rejected.json")
        asked += ["--responses", rejected]
        self._run(refine, *asked, "--out", refined, "--metrics", at / "refined.json")
        both = ["--rejected", rejected, "--refined", refined]
        earlier = [self.out / f"m{one}/preferences" for one in range(1, number)]
        of = ["--contexts", part, *both, "--vocabulary", FACTS, *(["--earlier", *earlier] if earlier else [])]
        self._run(pair, *of, "--out", pairs, "--metrics", at / "preferences.json")
        known = ["--preferences", pairs, "--dialogues", SYNESC, "--vocabulary", FACTS]
        reflections.main(_texts([*both, *known, "--out", at / "reflections.json"]))
        out = ["--out", at / "relevance.json", "--plot", at / "relevance.csv"]
        self._run(relevance, "--preferences", pairs, *out)
        how = ["--method", "dpo", "--config", "llamafactory_configs/dpo.yaml", "--policy", before]
        out = ["--out", self.model(number), "--curves", at / "curves.csv", "--metrics", at / "training.json"]
        self._run(train, *how, "--data", pairs, *out)
        self._measure(number)

    def finish(self) -> None:
        """Measure what is measured of the last model alone."""
        out = self.out / f"m{self.last}/capability.json"
        self._run(capability, "--policy", self.model(self.last), "--out", out)

    def _measure(self, number: int) -> None:
        at, test = self.out / f"m{number}", self.out / "contexts/test.jsonl"
        responses, of = at / "responses.jsonl", ["--policy", self.model(number), "--contexts", test]
        self._run(respond, *of, "--out", responses, "--metrics", at / "responses.json")
        of = ["--responses", responses, "--contexts", test, "--dialogues", TEST, "--vocabulary", FACTS]
        of += ["--facts", at / "facts.json", "--fact-details", at / "facts.jsonl"]
        of += ["--personalisation", at / "personalisation.json"]
        of += ["--personalisation-details", at / "personalisation.jsonl"]
        self._run(score, *of, "--out", at / "text.json")
        self._drift(number)

    def _drift(self, number: int) -> None:
        """Measure how far a model is from the backbone, from M0 and from the model before it."""
        at = self.out / f"m{number}"
        references = {"backbone": BACKBONE}
        if number:
            references |= {"m0": self.model(0), "previous": self.model(number - 1)}
        of = ["--policy", self.model(number), "--responses", at / "responses.jsonl"]
        of += ["--contexts", self.out / "contexts/test.jsonl", "--out", at / "drift.json"]
        for name, folder in references.items():
            of += ["--reference", f"{name}={folder}"]
        if number:
            of += ["--previous", self.out / f"m{number - 1}/responses.jsonl"]
        self._run(drift, *of)

    def _run(self, stage: Any, *arguments: object) -> None:
        stage.main(_texts([*arguments, "--params", self.params]))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, make the run and publish its file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arm", required=True, help="one of evolution.arms")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--file", type=Path, required=True, help="what it measured (JSON)")
    args = parser.parse_args(argv)
    evolution = read_evolution()
    one = Evolving(evolution, args.arm, args.seed, args.out)
    write_params(evolution, args.arm, args.seed, changes(one), one.params)
    one.prepare()
    for number in range(1, one.last + 1):
        begun = time.monotonic()
        print(f"> M{number} of {one.name}", flush=True)
        one.iterate(number)
        print(f"> M{number} of {one.name} took {time.monotonic() - begun:.0f} s", flush=True)
    one.finish()
    made = [BACKBONE, DIALOGUES, load_params("prompts")["dir"], *map(one.model, range(one.last + 1))]
    of = ["--arm", args.arm, "--seed", args.seed, "--run", args.out, "--made-of", *made, "--out", args.file]
    run_file.main(_texts(of))


def changes(one: Evolving) -> Mapping[str, Any]:
    """Return the parameters that depend on a run's own files: M0's merged weights, where it is the reference.

    They are merged here and stay in .scratch.
    """
    if one.arm.reference != "m0":
        return {}
    policy = read_policy(one.model(0))
    weights = SCRATCH / f"merged-m0/{policy.digest[:16]}"
    if not weights.exists():
        merge(policy, weights)
    return {"train.dpo.ref_model": str(weights)}


def _texts(arguments: Sequence[object]) -> list[str]:
    return [str(argument) for argument in arguments]


if __name__ == "__main__":
    run(main)
