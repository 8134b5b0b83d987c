"""Measure the engine side by side with other ways to generate: `python -m bench`.

Every part is written to metrics/bench.json when it is done, beside the parts there already, so `--only`
completes a bench that was interrupted. docs/speed.md says what is measured, and why it is fair.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import baselines
from bench.baselines import BATCH_TOKENS, PYTHON, Job
from bench.device import describe
from bench.measuring import SETTINGS, resident_peak_mib, run_child, take_turns, time_child
from bench.real import real
from bench.results import merge, read, table
from bench.sessions import sessions
from bench.workloads import WORDS, random_policy, requests_of, sampling_of, tiny_policy
from selfevolve.engines.local.engine import TransformersEngine
from selfevolve.generation.generate import generate
from selfevolve.generation.request import Request
from selfevolve.policies.policy import LoadedPolicy
from selfevolve.records.schema import Message
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_text
from selfevolve.runtime.run_record import FILE, read_run_records
from testbed import lessons

Rows = dict[str, Any]
SIZES = (4, 8, 16, 32, 64)
MODEL_STAGES = ("sft", "train", "respond", "reject", "refine")


def job_of(work: str, loaded: LoadedPolicy, most: int, sampling: str = "no_penalty") -> Job:
    """Return the job of an entry of `work` in settings.yaml: at most `most` of its requests."""
    wanted = SETTINGS["work"][work]
    requests = requests_of({**wanted, "count": min(wanted["count"], most)})
    return Job(loaded, requests, sampling_of(sampling, wanted["new_tokens"]))


def model_of(part: str, scratch: Path) -> LoadedPolicy:
    """Return the model of a part: the random one for `small`, else the tiny backbone."""
    return random_policy(SETTINGS["models"]["small"]) if part == "small" else tiny_policy(scratch)


def side_by_side(part: str, arguments: argparse.Namespace, scratch: Path) -> Rows:
    """Compare the engine with `model.generate`, one by one and in batches of the size found best."""
    job = job_of(part, model_of(part, scratch), arguments.requests)
    fitting = [n for n in SIZES if n <= len(job.requests)] or [len(job.requests)]
    sizes = {str(n): baselines.in_batches(job, n) for n in fitting}
    found = take_turns(sizes, 1, warm=False)
    searched = {size: found[size].get("median_s") for size in sizes}
    best = min(sizes, key=lambda size: searched[size] or float("inf"))
    ours, one = baselines.ours(job), baselines.in_batches(job, 1)
    results = take_turns({"ours": ours, "one by one": one, "fixed batch": sizes[best]}, arguments.rounds)
    results["fixed batch"] |= {"size": int(best), "searched": searched}
    return results


def programs(arguments: argparse.Namespace, scratch: Path) -> Rows:
    """Compare with LLaMA-Factory's do_predict and api, and with distilabel, all greedy."""
    job = job_of("programs", tiny_policy(scratch), arguments.requests, "greedy")
    others = {"do_predict": baselines.do_predict, "distilabel": baselines.distilabel}
    absent = {}
    if not PYTHON.exists():
        absent = {name: {"reason": "its environment is not there: make setup-bench"} for name in others}
    with baselines.api(job) as api:
        contestants = {"ours": baselines.ours(job), "llamafactory api": api}
        contestants |= {name: others[name](job, scratch) for name in others if name not in absent}
        return take_turns(contestants, arguments.rounds, same_lengths=False) | absent


def overhead(arguments: argparse.Namespace, scratch: Path) -> Rows:
    """Measure how much of the engine's time is not in the model's forward passes, on both models."""
    results = {}
    for model, work in (("tiny", "respond"), ("small", "small")):
        job = job_of(work, model_of(model, scratch), arguments.requests)
        rounds = [forward_share(job, scratch / f"{model}{n}") for n in range(arguments.rounds + 1)][1:]
        digits = {"median_s": 4, "forward_s": 4, "percent": 2}
        results[model] = {key: round(median(row[key] for row in rounds), n) for key, n in digits.items()}
    return results


def forward_share(job: Job, scratch: Path) -> dict[str, float]:
    """Return the seconds of a generation with its journal, and those of its forward passes.

    A forward pass is a call of the model. Not in one: tokenisation, planning, masks, sampling, moving rows,
    texts, the journal with its fsync. `percent` is that time, of the forward passes.
    """
    times: list[float] = []
    model = job.loaded.model
    hooks = [
        model.register_forward_pre_hook(lambda *_: times.append(-time.perf_counter())),
        model.register_forward_hook(lambda *_: times.append(time.perf_counter())),
    ]
    begin = time.perf_counter()
    generate(TransformersEngine(job.loaded, BATCH_TOKENS), job.requests, job.sampling, "bench", scratch)
    whole, spent = time.perf_counter() - begin, sum(times)
    for hook in hooks:
        hook.remove()
    return {"median_s": whole, "forward_s": spent, "percent": 100 * (whole - spent) / spent}


def growth(arguments: argparse.Namespace, scratch: Path) -> Rows:
    """Measure seconds and memory by the number of contexts, each in a process of its own."""
    results: Rows = {}
    for count in [n for n in SETTINGS["growth"] if n <= arguments.most]:
        try:
            row = json.loads(run_child([sys.executable, "-m", "bench", "--grow", str(count)]))
        except InputError as error:
            row = {"failed": str(error)}
        results[f"{count} contexts"] = row
    return results


def grow(count: int) -> Rows:
    """Answer `count` contexts of one to eleven words with one token each, on a model of next to no size."""
    loaded, before = random_policy(SETTINGS["models"]["speck"]), resident_peak_mib()
    asked = [Message(role="user", content=" ".join(WORDS[: 1 + n % 11])) for n in range(11)]
    requests = [Request.make(f"r{n}", [asked[n % 11]], 42) for n in range(count)]
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        engine = TransformersEngine(loaded, BATCH_TOKENS // 2)
        answered = len(generate(engine, requests, sampling_of("paper", 1), "grow", Path(scratch)))
        seconds = round(time.perf_counter() - begin, 3)
    memory = {"start_mib": before, "peak_mib": resident_peak_mib()}
    return {"seconds": [seconds], "median_s": seconds, "answered": answered, **memory}


def scoring(arguments: argparse.Namespace, scratch: Path) -> Rows:
    """Time `stages.score --no-semantic`, its start included, on responses of the mini world's sentences."""
    draw = random.Random(1)
    texts = [u.text for _ in range(60) for u in lessons.session("mixed", draw).utterances]
    file, results = scratch / "pairs.jsonl", {}
    for count in [n for n in SETTINGS["scoring"] if n <= arguments.most]:
        draw = random.Random(42)
        with file.open("w", encoding="utf-8") as lines:
            for _ in range(count):
                pair = {"response": " ".join(draw.choices(texts, k=2)), "reference": draw.choice(texts)}
                lines.write(json.dumps(pair) + "\n")
        command = [sys.executable, "-m", "stages.score", "--pairs", str(file), "--no-semantic"]
        command += ["--out", str(scratch / "scores.json")]
        rounds = 1 if count > SETTINGS["scoring"][0] else 3
        results[f"{count} responses"] = {**time_child(command, rounds), "answered": count}
    return results


def pipeline(arguments: argparse.Namespace, scratch: Path) -> Rows:
    """Time a `dvc repro` that has nothing to do, and what of the last run was not the models'."""
    dvc = [sys.executable, "-m", "dvc"]
    try:
        run_child([*dvc, "status", "--quiet", "headline"])
        no_change = time_child([*dvc, "repro", "headline"], arguments.rounds)
    except InputError:
        no_change = {"reason": "the pipeline in this folder is not up to date: make m2 first"}
    return {"no-change repro": no_change, "not generation or training": share(Path("metrics") / FILE)}


def share(runs: Path) -> Rows:
    """Return the share of the last runs' seconds, in percent, that was not generation or training."""
    if not runs.exists():
        return {"reason": f"{runs} is not there: make m2 first"}
    last = {record.stage: record.seconds for record in read_run_records(read_text(runs), str(runs))}
    whole = sum(last.values())
    models = sum(s for stage, s in last.items() if stage.split("@")[0].split(":")[-1] in MODEL_STAGES)
    percent = round(100 * (whole - models) / whole, 1)
    return {"percent": percent, "whole_s": round(whole, 1), "stages": len(last)}


PARTS: dict[str, Callable[[argparse.Namespace, Path], Rows]] = {
    **{name: partial(side_by_side, name) for name in ("respond", "scattered", "reflect", "small")},
    "real": lambda arguments, scratch: real(arguments.weights, arguments.rounds, scratch),
    "sessions": lambda arguments, scratch: sessions(arguments.rounds, arguments.requests, scratch),
    "programs": programs,
    "overhead": overhead,
    "growth": growth,
    "scoring": scoring,
    "pipeline": pipeline,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the parts asked for, write each when it is done, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--only", choices=PARTS, nargs="*", help="parts; all of them where none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000, help="the most requests of a part, for a try")
    parser.add_argument("--most", type=int, default=100_000, help="the most contexts, responses, for a try")
    parser.add_argument("--weights", help="of part `real`: a folder in Hugging Face's layout")
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)  # one row of the part `growth`
    arguments = parser.parse_args(argv)
    if arguments.grow:
        print(json.dumps(grow(arguments.grow)))
        return
    failed = []
    for part in arguments.only or PARTS:
        print(f"bench: {part} ...", file=sys.stderr, flush=True)
        rows = measure(part, arguments)
        merge(arguments.out, part, rows, describe("cpu"))
        failed += [f"{part}, {name}: {row['failed']}" for name, row in rows.items() if "failed" in row]
    whole = read(arguments.out)
    print(table(whole))
    if missing := [part for part in PARTS if part not in whole["parts"]]:
        print(f"not in {arguments.out} yet: {', '.join(missing)}", file=sys.stderr)
    if failed:
        raise InputError("; ".join(failed), file=arguments.out)


def measure(part: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the rows of a part; a part that fails is a result too, and the others go on."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return PARTS[part](arguments, Path(scratch))
        except Exception as error:  # of any program that is measured
            return {part: {"failed": f"{type(error).__name__}: {error}"}}


if __name__ == "__main__":
    run(main)
