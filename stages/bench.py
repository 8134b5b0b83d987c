"""Measure the engine side by side with what one would do without it: `python -m stages.bench`.

How, and what is fair about it: docs/speed.md.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from stages.benching.models import make_model
from stages.benching.results import merge, table
from stages.benching.rounds import Contestant, compare
from stages.command import run
from stages.engines.policy import Backbone, LoadedPolicy, load_policy, write_backbone
from stages.engines.request import Request, Sampling
from stages.records.errors import InputError
from stages.records.schema import Message

PARTS = ("tiny", "small", "growth", "pipeline")
SIZES = (4, 8, 16, 32, 64)
WORDS = ("work", "sleep", "sister", "exam", "money", "friend", "alone", "move", "angry", "quiet", "home")
COUNTS = (1_000, 10_000, 100_000)
TINY = Path("backbones/tiny")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the parts asked for, each written when it is done, and print the table."""
    arguments = _arguments(argv)
    if arguments.grow:
        print(json.dumps(_grow(arguments.grow)))
        return
    failed = []
    whole: dict[str, Any] = {}
    for part in [arguments.only] if arguments.only else PARTS:
        print(f"bench: {part} ...", file=sys.stderr, flush=True)
        result = _measure(part, arguments)
        whole = merge(arguments.out, part, result, _machine())
        failed += [f"{part}: {name}" for name, row in result.items() if "failed" in row]
    print(table(whole))
    if failed:
        raise InputError(f"failed: {', '.join(failed)}", file=arguments.out)


def requests_of(count: int, seed: int = 42) -> list[Request]:
    """Return conversations of 1 to 9 turns in no order of length, the same for the same seed."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        turns = 2 * draw.randrange(5) + 1
        messages = [
            Message(role="assistant" if turn % 2 else "user", content=" ".join(draw.choices(WORDS, k=12)))
            for turn in range(turns)
        ]
        made.append(Request.make(f"r{number}", messages, seed))
    return made


def contestants(loaded: Any, requests: list[Request], sampling: Sampling, budget: int, size: int) -> dict:
    """Return our engine, one-by-one generate and batches of `size` in file order, all sampling alike."""
    from stages.engines.transformers_engine import TransformersEngine

    def ours() -> Mapping[str, int]:
        engine = TransformersEngine(loaded, budget)
        tokenizer = engine.template.tokenizer
        return {
            response.id: len(tokenizer.encode(response.text, add_special_tokens=False))
            for batch in engine.complete(requests, sampling, ())
            for response in batch
        }

    def batches(size: int) -> Contestant:
        return lambda: {
            key: count
            for start in range(0, len(requests), size)
            for key, count in _generate(loaded, requests[start : start + size], sampling).items()
        }

    return {"ours": ours, "one by one": batches(1), "fixed batch": batches(size)}


def _generate(loaded: Any, batch: list[Request], sampling: Sampling) -> dict[str, int]:
    import torch

    from stages.engines.sampler import SeededSampler
    from stages.engines.template import ChatTemplate

    template = ChatTemplate(loaded.tokenizer, loaded.template)
    tokenizer = loaded.tokenizer
    rows = [template.encode(request.messages) for request in batch]
    longest = max(map(len, rows))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=loaded.model.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=ids.device)
    seeds = [request.seed for request in batch]
    sampler = SeededSampler(sampling, seeds, ids, mask, loaded.model.config.vocab_size)
    with torch.inference_mode():
        output = loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=template.stop_ids,
            pad_token_id=pad,
            logits_processor=[sampler],
        )
    counts = {}
    for request, row in zip(batch, output[:, longest:].tolist(), strict=True):
        stop = next((at for at, token in enumerate(row) if token in template.stop_ids), len(row))
        text = template.decode(row[:stop])
        counts[request.id] = len(tokenizer.encode(text, add_special_tokens=False))
    return counts


def _measure(part: str, arguments: argparse.Namespace) -> dict[str, Any]:
    if part == "growth":
        return _growth()
    if part == "pipeline":
        return _pipeline(arguments)
    tiny = part == "tiny"
    count, new_tokens = (arguments.requests, 48) if tiny else (arguments.requests // 2, 16)
    return _compare(_load(part), requests_of(count), new_tokens, arguments)


def _load(name: str) -> LoadedPolicy:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / name
        make_model(name, TINY, folder)
        write_backbone(folder, Backbone(weights=".", template="llama3", dtype="float32", window=1120))
        return load_policy(folder)


def _growth() -> dict[str, Any]:
    """Run each count in a process of its own, so that the peak of memory is its own."""
    results: dict[str, Any] = {}
    for count in COUNTS:
        command = [sys.executable, "-m", "stages.bench", "--grow", str(count)]
        ran = subprocess.run(command, capture_output=True, text=True)
        failed = {"failed": (ran.stderr.strip().splitlines() or ["no message"])[-1]}
        results[f"{count} contexts"] = failed if ran.returncode else json.loads(ran.stdout)
        print(f"bench: growth {count} {results[f'{count} contexts']}", file=sys.stderr, flush=True)
    return results


def _grow(count: int) -> dict[str, Any]:
    from stages.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(_load("speck"), 16384)
    message = [Message(role="user", content="hi")]
    requests = [Request.make(f"r{number}", message, 42) for number in range(count)]
    sampling = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=1)
    begin = time.perf_counter()
    answered = sum(len(batch) for batch in engine.complete(requests, sampling, ()))
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    return {"median_s": round(seconds, 3), "answered": answered, "peak_mib": peak // 1024}


def _compare(
    loaded: LoadedPolicy, requests: list[Request], new_tokens: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    sampling = Sampling(
        temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=new_tokens
    )
    seconds = {}
    sizes = [size for size in SIZES if size <= len(requests)] or [len(requests)]
    for size in sizes:  # the search for the best size costs that contestant nothing
        begin = time.perf_counter()
        contestants(loaded, requests, sampling, arguments.batch_tokens, size)["fixed batch"]()
        seconds[size] = time.perf_counter() - begin
    best = min(seconds, key=lambda size: seconds[size])
    results = compare(contestants(loaded, requests, sampling, arguments.batch_tokens, best), arguments.rounds)
    results["fixed batch"]["size"] = best
    return results


def _pipeline(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time `dvc repro` where all is up to date; a pipeline that is not is not measured."""
    if subprocess.run(["dvc", "status", "-q"], capture_output=True).returncode:
        return {"no-change repro": {"reason": "the pipeline in this folder is not finished: make m2 first"}}
    seconds = []
    for _ in range(arguments.rounds):
        begin = time.perf_counter()
        subprocess.run(["dvc", "repro"], check=True, capture_output=True)
        seconds.append(round(time.perf_counter() - begin, 4))
    return {"no-change repro": {"seconds": seconds, "median_s": median(seconds)}}


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
