"""Measure generation and training of an 8B model on a GPU: `python -m bench.gpu`.

docs/speed.md says what each number means. Every part runs in a process of its own, so a part that runs out of
memory leaves the others theirs. `--device cpu` rehearses the same code with a model of no size.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench import device
from bench.baselines import Job, in_batches
from bench.device import Setting, setting_of
from bench.measuring import run_child
from bench.results import merge, read, table
from bench.workloads import TINY, WORDS, sampling_of
from selfevolve.engines.local.engine import TransformersEngine
from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import Engine, Request, complete
from selfevolve.policies.policy import LoadedPolicy, write_backbone
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.schema import Message
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.training.memory import shape_of

ALLOCATOR = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}  # as in conf/hardware/gpu40.yaml
SHORT = 4  # times the rounds of what takes milliseconds
LIMITED = "in {:g} GB"  # how the name of a training ends that has less memory than the GPU
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the parts asked for, write each when it is done, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--only", nargs="+", default=[""], help="parts whose names begin so, such as dpo")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--setting", type=json.loads, default={}, help="keys of settings.yaml's `gpu`, JSON")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    setting = setting_of(arguments.device, arguments.setting)
    if arguments.part:
        print(json.dumps(measure(arguments.part, setting)))
        return
    section = "gpu" if setting.device == "cuda" else "cpu rehearsal"
    rows = dict(read(arguments.out)["parts"].get(section, {}))
    machine = rows.pop("machine", {})
    absent, failed = "", []
    if setting.device == "cuda" and not torch.cuda.is_available():
        absent = "no CUDA device (torch.cuda.is_available() is false)"
    for name in parts(setting):
        if not name.startswith(tuple(arguments.only)) or (absent and "median_s" in rows.get(name, {})):
            continue  # what was measured is not replaced by what was not
        print(f"bench: {section}: {name} ...", file=sys.stderr, flush=True)
        row = {"reason": absent} if absent else _in_child(name, setting)
        machine = row.pop("machine", machine)
        failed += [name] if "failed" in row and not row.get("out_of_memory") else []
        rows = compared({**rows, name: row})
        merge(arguments.out, section, rows, machine)
    if absent:
        print(f"nothing is measured here: {absent}")
    print(table(read(arguments.out), (section,)))
    if failed:
        raise InputError(f"failed: {', '.join(failed)}", file=arguments.out)


def parts(setting: Setting) -> dict[str, Callable[[Setting], Row]]:
    """Return what is measured, by name, in order: first what the rest is compared with."""
    found: dict[str, Callable[[Setting], Row]] = {"copy": _copy, "matmul": _matmul}
    for way, measured in (("engine", _engine), ("generate", _generate), ("server", _server)):
        found |= {f"{way}, {rows} at once": partial(measured, rows) for rows in setting.rows}
    limit = f", {LIMITED.format(setting.limit_gb)}"
    trainings = [*((length, "") for length in setting.lengths), (setting.lengths[0], limit)]
    for kind in ("sft", "dpo"):
        for length, end in trainings:
            found[f"{kind}, {length} tokens{end}"] = partial(_train, kind, length, bool(end))
    return found


def measure(name: str, setting: Setting) -> Row:
    """Measure one part in this process; want of memory is a result, `failed` and `out_of_memory`."""
    try:
        row = parts(setting)[name](setting)
        if "median_s" in row:
            row.setdefault("peak_mib", setting.peak_mib())
    except Exception as error:  # want of memory has many types
        if not device.is_out_of_memory(error):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        row = {"failed": f"out of memory: {first}", "out_of_memory": True}
        row |= {"fits": False} if name.endswith(LIMITED.format(setting.limit_gb)) else {}
    return {**row, "machine": device.describe(setting.device)}


def compared(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows with shares of the bandwidth and arithmetic that the device was measured at."""
    bandwidth, rate = rows.get("copy", {}).get("bytes_s"), rows.get("matmul", {}).get("flops_s")
    made = {name: dict(row) for name, row in rows.items()}
    for row in made.values():
        if bandwidth and "bytes_read" in row and row["decode_s"] > 0:
            row["bound_percent"] = round(100 * row["bytes_read"] / bandwidth / row["decode_s"], 2)
        if rate and "flops" in row:
            row["mfu_percent"] = round(100 * row["flops"] / row["median_s"] / rate, 2)
    return made


def _in_child(name: str, setting: Setting) -> Row:
    command = [sys.executable, "-m", "bench.gpu", "--part", name, "--setting", setting.model_dump_json()]
    try:
        return json.loads(run_child(command, ALLOCATOR))
    except InputError as error:
        return {"failed": str(error)}


def _copy(setting: Setting) -> Row:
    """Copy on the device; bytes a second count each byte twice, read and written."""
    source = torch.ones(setting.copy_bytes, dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    seconds = setting.median_s(lambda: target.copy_(source), SHORT)
    return {"median_s": seconds, "bytes_s": 2 * setting.copy_bytes / seconds}


def _matmul(setting: Setting) -> Row:
    """Multiply two square matrices; 2 x size^3 operations over the median seconds."""
    torch.manual_seed(1)
    size, kind = setting.matmul, {"device": setting.device, "dtype": getattr(torch, setting.dtype)}
    left, right = (torch.randn(size, size, **kind) for _ in range(2))
    seconds = setting.median_s(lambda: left @ right, SHORT)
    return {"median_s": seconds, "flops_s": 2 * size**3 / seconds}


def _engine(rows: int, setting: Setting) -> Row:
    loaded = setting.load()
    engine = TransformersEngine(loaded, rows * loaded.policy.backbone.window)
    row = _decoding(rows, setting, loaded, lambda job: _ask(engine, job))
    return {**row, "halvings": engine.halvings}


def _generate(rows: int, setting: Setting) -> Row:
    return _decoding(rows, setting, setting.load(), lambda job: in_batches(job, rows)())


def _server(rows: int, setting: Setting) -> Row:
    """Measure a server, which needs the random model as a policy folder; ours stays without weights."""
    if not Path(setting.server_needs).exists():
        return {"reason": f"{setting.server_needs} is not there: make setup-vllm"}
    options = {**read_yaml(setting.server)["engine"], "concurrency": rows}
    Path(".scratch").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=".scratch") as parent:
        folder, loaded = Path(parent) / "random", setting.load()
        loaded.model.save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(TINY / name, folder)
        write_backbone(folder, loaded.policy.backbone)
        loaded.model.to("meta")
        if setting.device == "cuda":
            torch.cuda.empty_cache()  # the server needs it
        with open_engine(options, folder) as (engine, _):
            row = _decoding(rows, setting, loaded, lambda job: _ask(engine, job))
    return {**row, "peak_mib": None}  # the server takes what it is allowed to, whatever it needs


def _ask(engine: Engine, job: Job) -> None:
    reasons = [r.finish_reason for batch in complete(engine, job.requests, job.sampling) for r in batch]
    if reasons != ["length"] * len(job.requests):
        texts = f"{len(reasons)} texts of {job.sampling.max_new_tokens} tokens"
        raise ValueError(f"{texts} were asked for; they ended by {set(reasons)}")


def _decoding(rows: int, setting: Setting, loaded: LoadedPolicy, write: Callable[[Job], object]) -> Row:
    """Time whole texts and, for `first_s`, their first tokens alone, in turn, with new prompts each round."""
    template = ChatTemplate(loaded.tokenizer, loaded.template)
    new, seconds = setting.new_tokens, {1: list[float](), setting.new_tokens: list[float]()}
    for number in range(setting.rounds + 1):
        requests = _requests(template, rows, setting.prompt_tokens, number)
        for tokens, taken in seconds.items():
            job = Job(loaded, requests, sampling_of("paper", tokens))
            taken.append(setting.timed(partial(write, job)))
    first_s, median_s = (median(taken[1:]) for taken in seconds.values())  # the first round warms up
    decode_s, prompt = median_s - first_s, len(template.encode(requests[0].messages))
    shape, size = shape_of(loaded.model.config.to_dict()), loaded.model.dtype.itemsize
    return {
        "median_s": median_s,
        "first_s": first_s,
        "decode_s": decode_s,
        "tokens": rows * new,
        "tokens_s": rows * new / median_s,
        "decode_tokens_s": rows * (new - 1) / decode_s if decode_s > 0 else None,
        "prompt_tokens": prompt,
        "bytes_read": device.bytes_read(shape, size, rows, prompt, new),
    }


def _requests(template: ChatTemplate, rows: int, tokens: int, seed: int) -> list[Request]:
    """Return prompts of one length, the least from `tokens` on; another seed gives other prompts."""

    def message(words: Sequence[str]) -> list[Message]:
        return [Message(role="user", content=" ".join(words))]

    words = [WORDS[0]]
    while len(template.encode(message(words))) < tokens:
        words.append(WORDS[len(words) % len(WORDS)])
    draw = random.Random(seed)
    drawn = [message([words[0], *draw.sample(words[1:], len(words) - 1)]) for _ in range(rows)]
    return [Request.make(f"r{number}", messages, seed) for number, messages in enumerate(drawn)]


def _train(kind: str, length: int, limited: bool, setting: Setting) -> Row:
    if limited and setting.device != "cuda":
        return {"reason": "only a GPU's memory can be limited"}
    if limited:
        device.limit_memory(setting.limit_gb * 1e9)
    model = setting.load().model
    shape, training = shape_of(model.config.to_dict()), device.Training(model, setting.rank)
    batches = device.batches(kind, setting, length)
    losses: list[float] = []
    seconds = setting.median_s(lambda: losses.append(training.step(device.LOSSES[kind], batches)))
    tokens = sum(ids.numel() for ids, _ in batches)
    row = {"median_s": seconds, "tokens": tokens, "tokens_s": tokens / seconds, "losses": losses}
    row["flops"] = device.flops(shape, kind, batches)
    if limited:
        row["fits"] = setting.peak_mib() << 20 <= setting.limit_gb * 1e9
    return row


if __name__ == "__main__":
    run(main)
