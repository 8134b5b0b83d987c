"""One evolution of the study, from M0 to M2: `python -m stages.evolve --arm self --seed 1 --work ...`.

`--arm base` makes what all arms of a seed share: phase 1's data and M0, the contexts, and M0's direct and
refined responses. Any other arm of `study.arms` then makes its pairs, M1 and M2 from there and measures
them. These are the pipeline's own stages, called in one process. Killed and started again it goes on:
finished generations and trainings are found in .scratch.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from stages import capability, contexts, facts, pair, refine, reflections, respond, score, sft_data, train
from stages.command import Params, load_params, read_params, run
from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.records.publish import publishing

SEEDED = ("sft_data.seed", "contexts.seed", "respond.seed", "refine.seed", "pair.seed")
SEEDED_TRAINING = ("train.sft.seed", "train.dpo.seed")
BASE = "base"
INPUTS = (Path("data/dialogues"), Path("models/backbone"), Path("llamafactory_configs"))
STAGES = (
    "capability",
    "contexts",
    "facts",
    "pair",
    "refine",
    "reflections",
    "respond",
    "score",
    "sft_data",
    "train",
)
WITHOUT_PARAMETERS = (facts.main, reflections.main)
MODELS = {"m1": ("m0", 1), "m2": ("m1", 2)}  # what each is made from, and the part it learns from


class ArmParams(Params):
    """One arm: how many of the seeds it is run with (null for all), whose dialogues give the contexts, which
    responses are chosen, and the parameters that differ from the pipeline's."""

    seeds: int | None = Field(None, ge=2)
    contexts: str = Field("synesc", pattern="^(synesc|esconv_train)$")
    chosen: Literal["refined", "golden"] = "refined"
    set: dict[str, Any] = Field(default_factory=dict)


class StudyParams(Params):
    """Section `study` of params.yaml: seeds of the evolution, parameters of all arms, and the arms."""

    seeds: list[int] = Field(min_length=2)
    workers: int = Field(ge=1)
    set: dict[str, Any] = Field(default_factory=dict)
    arms: dict[str, ArmParams]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and run one arm of one seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arm", required=True, help=f"{BASE}, or an arm of `study.arms`")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--work", type=Path, required=True, help="the folder of this seed, shared by its arms"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    evolve(args.work, args.arm, args.seed, args.params)


def evolve(work: Path, arm: str, seed: int, params: Path) -> None:
    """Make and measure the models of one arm in `work/<arm>`.

    Raises:
        InputError: there is no such arm, or a stage says so.
    """
    study = read_params("study", StudyParams, params)
    if arm != BASE and arm not in study.arms:
        raise InputError(f"there is no arm {arm}; there are {', '.join(study.arms)}", file=params)
    own = arm_params(params, arm, seed)
    with publishing(work / arm / "params.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(own, sort_keys=False), encoding="utf-8")
    paths = _Paths(work, work / arm)
    if arm == BASE:
        sources = sorted({other.contexts for other in study.arms.values()})
        refined = {other.contexts for other in study.arms.values() if other.chosen == "refined"}
        _base(paths, {source: source in refined for source in sources})
    else:
        _arm(paths, study.arms[arm])


def arm_params(source: Path, arm: str, seed: int) -> dict[str, Any]:
    """Return the parameters of one arm and seed: those of the file, the study's changes, the arm's.

    Raises:
        InputError: a change names a section that is not there.
    """
    study = read_params("study", StudyParams, source)
    params = yaml.safe_load(read_text(source))
    del params["study"]
    changes = dict.fromkeys((*SEEDED, *SEEDED_TRAINING), seed) | study.set
    changes |= study.arms[arm].set if arm != BASE else {}
    for name, value in changes.items():
        *sections, key = name.split(".")
        place: Any = params
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InputError("there is no such section", file=source, field=name)
        place[key] = value
    return params


class _Paths:
    """Where things lie, and how a stage is called with them."""

    dialogues, backbone, configs = INPUTS

    def __init__(self, work: Path, folder: Path):
        self.base = work / BASE
        self.folder = folder
        self.params = folder / "params.yaml"

    def call(
        self, main: Callable[[Sequence[str]], None], **arguments: Path | str | Sequence[Path | str]
    ) -> None:
        """Run a stage; `out=x` becomes `--out x`, and of a list every item follows."""
        if main not in WITHOUT_PARAMETERS:
            arguments["params"] = self.params
        parts: list[str] = []
        for key, value in arguments.items():
            values = [value] if isinstance(value, Path | str) else value
            parts += [f"--{key.replace('_', '-')}", *map(str, values)]
        main(parts)

    def contexts(self, name: str) -> Path:
        return self.base / "contexts" / f"{name}.jsonl"

    def measure(self, model: str, policy: Path, prompt: str = "task", *, able: bool = True) -> None:
        """Answer the test contexts and measure facts and text, and if `able` capability."""
        test, out = self.contexts("test"), self.folder / model
        self.call(
            respond.main,
            policy=policy,
            prompt=prompt,
            contexts=test,
            out=out / "responses.jsonl",
            metrics=out / "responses.json",
        )
        self.call(
            facts.main,
            responses=out / "responses.jsonl",
            dialogues=self.dialogues / "esconv_test.jsonl",
            out=out / "facts.json",
            details=out / "facts.jsonl",
        )
        self.call(score.main, responses=out / "responses.jsonl", contexts=test, out=out / "text.json")
        if able:
            self.call(capability.main, policy=policy, out=out / "capability.json")

    def reflect(self, policy: Path, source: str, part: int, out: Path, *, refining: bool) -> None:
        """Answer a part's contexts directly; if `refining`, reflect, refine and measure the reflections."""
        asked = self.contexts(f"{source}-{part}")
        rejected, refined = out / "rejected.jsonl", out / "refined.jsonl"
        self.call(respond.main, policy=policy, contexts=asked, out=rejected, metrics=out / "rejected.json")
        if not refining:
            return
        self.call(
            refine.main,
            policy=policy,
            contexts=asked,
            responses=rejected,
            out=refined,
            metrics=out / "refined.json",
        )
        self.call(
            reflections.main,
            refined=refined,
            rejected=rejected,
            dialogues=self.dialogues / f"{source}.jsonl",
            out=out / "reflections.json",
        )


def _base(paths: _Paths, sources: dict[str, bool]) -> None:
    """`sources`: whose contexts are wanted, and whether their responses are refined."""
    alpaca = load_params("data", paths.params)["alpaca"]
    m0 = paths.folder / "models" / "m0"
    paths.call(
        contexts.main,
        train=[paths.dialogues / f"{source}.jsonl" for source in sources],
        test=paths.dialogues / "esconv_test.jsonl",
        policy=paths.backbone,
        out=paths.folder / "contexts",
        metrics=paths.folder / "contexts.json",
    )
    paths.call(
        sft_data.main,
        dialogues=paths.dialogues / "esconv_train.jsonl",
        alpaca=alpaca,
        policy=paths.backbone,
        out=paths.folder / "sft",
        metrics=paths.folder / "sft.json",
    )
    _train(paths, "sft", paths.backbone, paths.folder / "sft", m0)
    paths.measure("vanilla", paths.backbone, "plain")
    paths.measure("m0", m0)
    for source in sources:
        paths.reflect(m0, source, 1, paths.folder / f"m1-{source}", refining=sources[source])


def _arm(paths: _Paths, arm: ArmParams) -> None:
    source, refining = arm.contexts, arm.chosen == "refined"
    for model, (previous, part) in MODELS.items():
        out = paths.folder / model
        if part == 1:
            policy, responses = paths.base / "models" / previous, paths.base / f"{model}-{source}"
        else:
            policy, responses = paths.folder / "models" / previous, out
            paths.reflect(policy, source, part, responses, refining=refining)
        paths.call(
            pair.main,
            contexts=paths.contexts(f"{source}-{part}"),
            chosen=arm.chosen,
            rejected=responses / "rejected.jsonl",
            out=out / "preferences",
            metrics=out / "preferences.json",
            **({"refined": responses / "refined.jsonl"} if refining else {}),
        )
        _train(paths, "dpo", policy, out / "preferences", paths.folder / "models" / model)
        paths.measure(model, paths.folder / "models" / model, able=model == list(MODELS)[-1])


def _train(paths: _Paths, method: str, policy: Path, data: Path, out: Path) -> None:
    paths.call(
        train.main,
        method=method,
        config=paths.configs / f"{method}.yaml",
        policy=policy,
        data=data,
        out=out,
        curves=paths.folder / out.name / "curves.csv",
        metrics=paths.folder / out.name / "training.json",
    )


if __name__ == "__main__":
    run(main)
