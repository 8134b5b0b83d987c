"""Measure the engine side by side with what one would do without it: `python -m stages.bench`.

Every part is written to metrics/bench.json when it is done, beside the parts there already; a bench that was
interrupted goes on with `--only` for what is missing. How, and what is fair about it: docs/speed.md.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from stages.benching import commands
from stages.benching.models import make_model
from stages.benching.results import merge, missing, table
from stages.benching.rounds import Contestant, compare
from stages.benching.workloads import WORK, Work, requests_of
from stages.command import run
from stages.engines.policy import Backbone, LoadedPolicy, load_policy, write_backbone
from stages.engines.request import Sampling
from stages.records.errors import InputError
from stages.world import lessons

TINY = Path("backbones/tiny")
BATCH_TOKENS = 32768  # conf/engine/transformers.yaml
SIZES = (4, 8, 16, 32, 64)
COUNTS = (1_000, 10_000, 100_000)
SCORED = (2_600, 26_000)
GREEDY = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
PAPER = {"temperature": 0.9, "top_p": 0.8, "top_k": 50, "repetition_penalty": 1.0}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the parts asked for, each written when it is done, and print the table."""
    arguments = _arguments(argv)
    if arguments.grow:
        from stages.benching.growth import grow

        with _model("speck") as loaded, tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(grow(loaded, arguments.grow, Path(scratch))))
        return
    failed = []
    for part in arguments.only or PARTS:
        print(f"bench: {part} ...", file=sys.stderr, flush=True)
        result = _part(part, arguments)
        whole = merge(arguments.out, part, result, _machine())
        failed += [f"{part}, {name}: {row['failed']}" for name, row in result.items() if "failed" in row]
    print(table(whole))
    if left := missing(whole, PARTS):
        print(f"not in {arguments.out} yet: {', '.join(left)}", file=sys.stderr)
    if failed:
        raise InputError("; ".join(failed), file=arguments.out)


def _part(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one part; one that cannot be measured is a result as well, and the others go on."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return PARTS[name](arguments, Path(scratch))
        except Exception as error:
            return {name: {"failed": f"{type(error).__name__}: {error}"}}


def side_by_side(part: str) -> Callable[[argparse.Namespace, Path], dict[str, Any]]:
    """Return the part that compares the engine with `model.generate`; the best fixed size is looked for."""

    def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
        """Look for the best fixed size, then let all take turns."""
        from stages.benching.contestants import in_batches, ours

        work = _cut(WORK[part], arguments)
        requests = requests_of(work)
        sampling = Sampling(**PAPER, max_new_tokens=work.new_tokens)
        with _model("small" if part == "small" else "tiny") as loaded:
            sizes = {str(n): in_batches(loaded, requests, sampling, n) for n in SIZES if n <= len(requests)}
            found = compare(sizes, 1, warm=False)
            best = min(sizes, key=lambda size: found[size].get("median_s", float("inf")))
            contestants: dict[str, Contestant] = {
                "ours": ours(loaded, requests, sampling, BATCH_TOKENS),
                "one by one": in_batches(loaded, requests, sampling, 1),
                "fixed batch": sizes[best],
            }
            results = compare(contestants, arguments.rounds)
        results["fixed batch"] |= {
            "size": int(best),
            "searched": {n: found[n].get("median_s") for n in sizes},
        }
        return results

    return measure


def programs(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Compare with LLaMA-Factory's do_predict and api, and with distilabel, all greedy."""
    from stages.benching import contestants, programs
    from stages.engines.child_server import ChildServer
    from stages.engines.openai_engine import OpenAIEngine

    work = _cut(WORK["programs"], arguments)
    requests, sampling = requests_of(work), Sampling(**GREEDY, max_new_tokens=work.new_tokens)
    with _model("tiny") as loaded:
        names = {"served": "tiny", "model": loaded.policy.weights}
        command = "{python} -m llamafactory.cli api --model_name_or_path {model} --template llama3"
        environment = {"API_HOST": "127.0.0.1", "API_PORT": "{port}", "API_MODEL_NAME": "{served}"}
        environment |= {"MAX_CONCURRENT": "8", "CUDA_VISIBLE_DEVICES": ""}
        server = ChildServer(command, environment, names, scratch / "api.log", 300)
        python = Path(".venv-bench/bin/python")

        def answered() -> Mapping[str, int]:  # the round that does not count starts the server
            if not server.up:
                engine = OpenAIEngine(server.start(), "tiny", 8, timeout_s=300, extensions=False)
                asked.append(programs.api(loaded, requests, sampling, engine))
            return asked[-1]()

        asked: list[Callable[[], Mapping[str, int]]] = []
        made = {
            "ours": contestants.ours(loaded, requests, sampling, BATCH_TOKENS),
            "do_predict": programs.do_predict(loaded, requests, sampling, 8, scratch, python),
            "distilabel": programs.distilabel(loaded, requests, sampling, 8, scratch, python),
            "llamafactory api": answered,
        }
        try:
            if not python.exists():
                del made["distilabel"], made["do_predict"]
            results = compare(made, arguments.rounds, same_lengths=False)
        finally:
            server.stop()
    if not python.exists():
        left = {"reason": "its environment is not there: make setup-bench"}
        results |= {"distilabel": left, "do_predict": left}
    return results


def overhead(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure how much of the engine's time is not in the model's forward passes, on both models."""
    from stages.benching import contestants

    results = {}
    for model, work in (("tiny", WORK["overhead"]), ("small", WORK["small"])):
        work = _cut(work, arguments)
        requests, sampling = requests_of(work), Sampling(**PAPER, max_new_tokens=work.new_tokens)
        with _model(model) as loaded:
            rounds = [
                contestants.overhead(loaded, requests, sampling, BATCH_TOKENS, scratch / f"{model}{n}")
                for n in range(arguments.rounds + 1)
            ][1:]
        results[model] = {
            "median_s": round(median(r["whole_s"] for r in rounds), 4),
            "forward_s": round(median(r["forward_s"] for r in rounds), 4),
            "percent": round(median(r["percent"] for r in rounds), 2),
        }
    return results


def growth(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run each count in a process of its own, so that the peak of memory is its own."""
    results: dict[str, Any] = {}
    for count in [n for n in COUNTS if n <= arguments.most]:
        command = [sys.executable, "-m", "stages.bench", "--grow", str(count)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        failed = {"failed": (ran.stderr.strip().splitlines() or ["no message"])[-1]}
        results[f"{count} contexts"] = failed if ran.returncode else json.loads(ran.stdout)
    return results


def scoring(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Score responses made of the mini world's own sentences."""
    draw = random.Random(1)
    texts = [u.text for _ in range(60) for u in lessons.session(lessons.MIXED, draw).utterances]
    counts = [n for n in SCORED if n <= arguments.most]
    return {f"{n} responses": commands.scoring(n, texts, 1 if n > SCORED[0] else 3, scratch) for n in counts}


def pipeline(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Time a `dvc repro` that has nothing to do, and what of the last run was not the models'."""
    return {
        "no-change repro": commands.no_change(arguments.rounds, ["headline"]),
        "not generation or training": commands.share(Path("metrics/runs.jsonl")),
    }


PARTS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "respond": side_by_side("respond"),
    "scattered": side_by_side("scattered"),
    "reflect": side_by_side("reflect"),
    "small": side_by_side("small"),
    "programs": programs,
    "overhead": overhead,
    "growth": growth,
    "scoring": scoring,
    "pipeline": pipeline,
}


@contextmanager
def _model(name: str) -> Iterator[LoadedPolicy]:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / name
        make_model(name, TINY, folder)
        write_backbone(folder, Backbone(weights=".", template="llama3", dtype="float32", window=1120))
        yield load_policy(folder)


def _cut(work: Work, arguments: argparse.Namespace) -> Work:
    return work._replace(count=min(work.count, arguments.requests))


def _machine() -> dict[str, Any]:
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line for line in lines if line.startswith("model name")]
    return {
        "cpu": named[0].split(":")[1].strip() if named else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--only", choices=PARTS, nargs="*", help="parts; all of them where none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000, help="at most so many in a part, for a try")
    parser.add_argument("--most", type=int, default=100_000, help="the most contexts, responses, for a try")
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
