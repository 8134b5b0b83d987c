"""What a run would take, before anything is spent: `python -m stages.plan --backbone llama3 --scale paper`.

Prints contexts and tokens, memory and time by stage, and disk. Counts are those of the run that is there, or
else of the paper's table 1 or the mini world. Times are predicted from rates that were measured; where none
were, a bound from a data sheet is shown and named as such. After a run, what its stages took stands beside.
Nothing is written, least of all params.yaml. The formulas stand in stages/planning/ and docs/scale.md.
"""

import argparse
import tempfile
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stages.command import run
from stages.experiment import GROUPS, chain, check_groups, check_registry, draft_params, targets
from stages.planning import rates as known_rates
from stages.planning.actual import actual_seconds
from stages.planning.counts import Counts, count
from stages.planning.disk import disk_bytes
from stages.planning.memory import Sharing, generation_bytes, training_bytes
from stages.planning.shapes import Shape, shape_of
from stages.planning.table import WIDTH, Row, lines, size
from stages.planning.work import Work, works
from stages.prompts.templates import load_prompts
from stages.records.jsonl import read_text

METRICS = Path("metrics")
PARAMS = Path("params.yaml")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, compose the parameters in memory and print the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for group in GROUPS:
        parser.add_argument(f"--{group}", default="", help=f"a file of conf/{group}/ without .yaml")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="single parameters")
    args = parser.parse_args(argv)
    groups = {group: getattr(args, group) for group in GROUPS if getattr(args, group)}
    params = composed(groups, args.set)
    check_registry(params)
    print("\n".join(plan(params, METRICS)))


def composed(groups: dict[str, str], overrides: list[str]) -> dict[str, Any]:
    """Return the parameters that a run with these groups would have; params.yaml stays as it is.

    Raises:
        InputError: a group or a parameter does not exist.
    """
    check_groups(groups)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / PARAMS.name
        draft_params(groups, overrides, draft)
        return yaml.safe_load(read_text(draft))


def plan(params: Mapping[str, Any], metrics: Path) -> list[str]:
    """Return the plan's lines for these parameters, with what the run in `metrics` counted and took."""
    models = chain(params, params["headline"])
    names = {"backbone": params["backbone"]["name"], "data": params["data"]["name"]}
    names |= {"scale": params["scale"], "hardware": params["hardware"]["name"]}
    ran = same_run(params)
    shape, source = shape_of(names["backbone"])
    counts = count(params, metrics if ran else None)
    prompts = load_prompts(params["prompts"]["dir"])
    system = {
        name: len(prompts.text(name).split()) for name in ("task", "plain", "refine", "self_reflection")
    }
    todo = works(params, models, counts, system)
    rate = known_rates.measured(names["backbone"], names["hardware"])
    took = actual_seconds(metrics) if ran else {}
    rows = [row(work, params, shape, rate, took) for work in todo]
    rows += rest(others(params, models), names["scale"], rate, took)
    return [
        f"plan of {params['headline']}: {', '.join(f'{group} {name}' for group, name in names.items())}",
        *_wrapped(f"{shape.parameters:,} parameters, shape of {source}. Data: {counts.source}."),
        "",
        *lines([*rows, total(rows)]),
        "",
        *_notes(params, counts, todo, shape, rate, took),
    ]


def same_run(params: Mapping[str, Any]) -> bool:
    """Whether the run that lies here had these parameters, but for the model and what cannot change it."""
    if not PARAMS.is_file():
        return False
    current, asked = yaml.safe_load(read_text(PARAMS)), dict(params)
    free = ("headline", "jobs", "judge", "judged", "study", "relevance", "phrases", "unseen")
    return all(current.get(key) == asked[key] for key in asked if key not in free)


def row(
    work: Work,
    params: Mapping[str, Any],
    shape: Shape,
    rate: Mapping[str, Any] | None,
    took: Mapping[str, float],
) -> Row:
    """Return the line of a generation or training stage."""
    name, dtype = params["hardware"]["name"], params["backbone"]["dtype"]
    predicted = known_rates.seconds(work, rate) if rate else None
    card, texts = known_rates.card(name), batch_rows(work, params)
    least = None
    if predicted is None and card and params["backbone"]["name"] != "tiny":
        processes = params["hardware"]["training"]["processes"]
        least = known_rates.least_seconds(work, shape, dtype, texts, card, processes)
    memory = memory_of(work, params, shape, texts)
    actual = took.get(work.stage)
    return Row(work.stage, work.requests, work.prompt, work.new, memory, predicted, least, actual)


def batch_rows(work: Work, params: Mapping[str, Any]) -> int:
    """Return how many texts of the longest kind the engine takes at once."""
    budget = params["engine"].get("batch_tokens", 32768)
    return max(1, min(work.requests, int(budget) // work.longest))


def memory_of(work: Work, params: Mapping[str, Any], shape: Shape, texts: int) -> float:
    """Return the bytes that a stage needs at most, of one process."""
    dtype = params["backbone"]["dtype"]
    if work.new:
        return generation_bytes(shape, dtype, texts, texts * work.longest)
    config = settings(params, work.kind)
    hardware = params["hardware"]["training"]["processes"]
    zero = str(config.get("deepspeed", ""))
    spread = params["hardware"]["launch"]["accelerate_config"] is not None or "zero3" in zero
    sides = 2 if work.kind == "dpo" else 1
    return training_bytes(
        shape,
        dtype,
        sides * config["per_device_train_batch_size"] * work.longest,
        config["lora_rank"],
        bits=config.get("quantization_bit"),
        checkpointing=not config.get("disable_gradient_checkpointing", False),
        sharing=Sharing(hardware, states=spread or "zero2" in zero, weights=spread),
    )


def settings(params: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return LLaMA-Factory's arguments as the stage would make them, without model and data."""
    from stages.training.hardware import Hardware, settle
    from stages.training.llamafactory import read_config

    hardware = Hardware.model_validate(params["hardware"])
    config = read_config(Path("llamafactory_configs") / f"{method}.yaml", params["train"][method])
    overlay = hardware.training.config
    return settle(config, read_config(overlay, {}) if overlay else {}, hardware.training)


def others(params: Mapping[str, Any], models: Sequence[str]) -> Counter[str]:
    """Return how often each stage runs that neither generates nor trains, in the order of the pipeline."""
    first = ["mini"] if params["data"]["name"] == "mini" else []
    first += ["prepare", "backbone", "contexts"]
    first += [f"sft_data@{model}" for model in models if model in params["sft"]]
    first += [f"pair@{model}" for model in models if model in params["iterations"]]
    measured = targets(list(models), params["iterations"], params["comparisons"])
    return Counter(stage.split("@")[0] for stage in [*first, *measured])


def rest(
    stages: Mapping[str, int], scale: str, rate: Mapping[str, Any] | None, took: Mapping[str, float]
) -> list[Row]:
    """Return the lines of these stages, by kind: times that were measured at one scale hold for it alone."""
    known = rate["others"] if rate and rate["scale"] == scale else {}
    rows = []
    for name, number in stages.items():
        actual = [seconds for stage, seconds in took.items() if stage.split("@")[0] == name]
        predicted = known[name] * number if name in known else None
        title = f"{name} x {number}" if number > 1 else name
        whole = sum(actual) if len(actual) == number else None
        rows.append(Row(title, None, None, None, None, predicted, None, whole))
    return rows


def total(rows: Sequence[Row]) -> Row:
    """Return the sum of the times of all stages; predicted only where every stage is, actual alike."""
    predicted = (
        None if any(row.predicted is None for row in rows) else sum(row.predicted or 0 for row in rows)
    )
    least = sum(row.least or 0 for row in rows) or None
    actual = None if any(row.actual is None for row in rows) else sum(row.actual or 0 for row in rows)
    memory = max((row.memory or 0 for row in rows), default=0)
    prompt, new = sum(row.prompt or 0 for row in rows), sum(row.new or 0 for row in rows)
    return Row("sum (memory: most)", None, prompt, new, memory, predicted, least, actual)


def _notes(
    params: Mapping[str, Any],
    counts: Counts,
    todo: Sequence[Work],
    shape: Shape,
    rate: Mapping[str, Any] | None,
    took: Mapping[str, float],
) -> list[str]:
    name = params["hardware"]["name"]
    disk = disk_bytes(params, todo, counts, shape, settings(params, "sft")["lora_rank"])
    notes = [f"disk       {', '.join(f'{key} {size(value)}' for key, value in disk.items())}"]
    notes += [f"tokens     {counts.tokens_note}; new ones: the most of one attempt"]
    if params["refine"]["attempts"] > 1:
        notes += [f"refine     up to {params['refine']['attempts']} attempts each; the table has one"]
    notes += ["memory     at most, of one process, by formula; without CUDA, libraries, cache"]
    card = known_rates.card(name)
    if rate:
        notes += [
            f"time       measured: {rate['how']}; the sum is of stages, of which JOBS=2 runs two at once"
        ]
    elif card and params["backbone"]["name"] != "tiny":
        notes += [
            f"time       not measured here. > is no estimate: {card.name} cannot do these tokens in less"
        ]
        notes[-1] += f" ({card.source}); real programs take longer, and fewer tokens less"
        if (most := max(memory_of(w, params, shape, batch_rows(w, params)) for w in todo)) > card.memory:
            notes += [
                f"fits       not at the longest: {size(most)} of {size(card.memory)} (shorter data need less)"
            ]
    else:
        notes += ["time       not measured on this hardware"]
    if took:
        notes += [f"actual     each stage's last run in {METRICS}/runs.jsonl; ratio is actual to predicted"]
    return [line for note in notes for line in _wrapped(note, " " * 11)]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent)


if __name__ == "__main__":
    run(main)
