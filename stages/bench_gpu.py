"""Measure generation and training of an 8B model on a GPU: `python -m stages.bench_gpu`.

What each number means: docs/speed.md. Every part runs in a process of its own, so that one that runs out of
memory leaves the others theirs. `--device cpu` rehearses the same with a model of no size.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from stages.benching.apart import run_apart
from stages.benching.device_table import COPY, MATMUL, compared, device_table, goals
from stages.benching.results import merge, read
from stages.benching.setting import REHEARSAL, Setting
from stages.command import run
from stages.engines.policy import Backbone, LoadedPolicy, Policy, write_backbone
from stages.engines.request import Engine, Request, Sampling
from stages.planning.shapes import shape_of
from stages.records.errors import InputError

if TYPE_CHECKING:
    from stages.benching.decode import Writer
    from stages.engines.template import ChatTemplate

TOKENIZER = Path("backbones/tiny")
TEMPLATE = "llama3"
SAMPLING = {"temperature": 0.9, "top_p": 0.8, "top_k": 50, "repetition_penalty": 1.2}  # paper, section 3.2
ALLOCATOR = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}  # as conf/hardware/gpu40.yaml has it
SHORT = 4  # times the rounds of what takes milliseconds
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the parts asked for, each written when it is done, and print the table."""
    arguments = _arguments(argv)
    setting = _setting(arguments.device, arguments.setting)
    if arguments.part:
        print(json.dumps(measure(arguments.part, setting)))
        return
    section = "gpu" if setting.device == "cuda" else "cpu rehearsal"
    known = read(arguments.out)["parts"].get(section, {}) if arguments.out.exists() else {}
    machine = known.get("machine", {})
    rows: dict[str, Row] = {name: row for name, row in known.items() if name != "machine"}
    absent = _absence(setting)
    failed = []
    for name in parts(setting):
        if not name.startswith(tuple(arguments.only)) or (absent and "median_s" in rows.get(name, {})):
            continue  # what was measured is not replaced by what was not
        print(f"bench: {section}: {name} ...", file=sys.stderr, flush=True)
        row = {"reason": absent} if absent else run_apart(_command(name, setting), ALLOCATOR)
        machine = row.pop("machine", machine)
        failed += [name] if "failed" in row and not row.get("out_of_memory") else []
        rows = compared({**rows, name: row})
        merge(arguments.out, section, rows, machine)
    if absent:
        print(f"nothing is measured here: {absent}")
    decoding, training = f"engine, {setting.rows[0]} at once", _limited("dpo", setting.lengths[0], setting)
    print(device_table(rows, goals(rows, decoding, training)))
    if failed:
        raise InputError(f"failed: {', '.join(failed)}", file=arguments.out)


def parts(setting: Setting) -> dict[str, Callable[[Setting], Row]]:
    """Return what is measured, by name, in order: first what the rest is compared with."""
    found: dict[str, Callable[[Setting], Row]] = {COPY: _copy, MATMUL: _matmul}
    for way, writer in (("engine", _engine), ("generate", _generate), ("server", _server)):
        found |= {f"{way}, {rows} at once": partial(writer, rows) for rows in setting.rows}
    for kind in ("sft", "dpo"):
        for length in setting.lengths:
            found[f"{kind}, {length} tokens"] = partial(_train, kind, length, False)
        longest = setting.lengths[0]
        found[_limited(kind, longest, setting)] = partial(_train, kind, longest, True)
    return found


def measure(name: str, setting: Setting) -> Row:
    """Measure one part in this process; want of memory is a result, `failed` and `out_of_memory`."""
    from stages.benching import device

    try:
        row = parts(setting)[name](setting)
        if "median_s" in row:
            row.setdefault("peak_mib", device.peak_mib(setting.device))
    except Exception as error:  # want of memory has many types
        if not device.is_out_of_memory(error):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        row = {"failed": f"out of memory: {first}", "out_of_memory": True}
        if name == _limited(name.split(",")[0], setting.lengths[0], setting):
            row["fits"] = False
    return {**row, "machine": device.describe(setting.device)}


def _command(name: str, setting: Setting) -> list[str]:
    options = ["--device", setting.device, "--part", name, "--setting", setting.model_dump_json()]
    return [sys.executable, "-m", "stages.bench_gpu", *options]


def _absence(setting: Setting) -> str:
    import torch

    here = setting.device != "cuda" or torch.cuda.is_available()
    return "" if here else "no CUDA device (torch.cuda.is_available() is false)"


def _limited(kind: str, length: int, setting: Setting) -> str:
    return f"{kind}, {length} tokens, in {setting.limit_gb:g} GB"


def _copy(setting: Setting) -> Row:
    from stages.benching.device import copy_bandwidth

    return copy_bandwidth(setting.device, setting.copy_bytes, SHORT * setting.rounds)


def _matmul(setting: Setting) -> Row:
    from stages.benching.device import matmul_rate

    return matmul_rate(setting.device, setting.matmul, setting.dtype, SHORT * setting.rounds)


def _engine(rows: int, setting: Setting) -> Row:
    from stages.engines.transformers_engine import TransformersEngine

    loaded = load(setting)
    engine = TransformersEngine(loaded, rows * setting.window)
    write = _asking(engine, engine.template, rows, setting)
    return {**_written(setting, rows, engine.template, _weigh(loaded), write), "halvings": engine.halvings}


def _generate(rows: int, setting: Setting) -> Row:
    from stages.benching.decode import conversations, generate
    from stages.engines.template import ChatTemplate

    loaded = load(setting)
    template = ChatTemplate(loaded.tokenizer, TEMPLATE)

    def write(seed: int, new: int) -> None:
        prompts = map(template.encode, conversations(template.encode, rows, setting.prompt_tokens, seed))
        generate(loaded.model, list(prompts), new, **SAMPLING)

    return _written(setting, rows, template, _weigh(loaded), write)


def _server(rows: int, setting: Setting) -> Row:
    if not Path(setting.server_needs).exists():
        return {"reason": f"{setting.server_needs} is not there: make setup-vllm"}
    from stages.engines.load import open_engine

    options = yaml.safe_load(Path(setting.server).read_text(encoding="utf-8"))["engine"]
    options |= {"concurrency": rows}
    with _folder(setting) as (folder, weighed), open_engine(options, folder) as (engine, template):
        row = _written(setting, rows, template, weighed, _asking(engine, template, rows, setting))
    return {**row, "peak_mib": None}  # the server takes what it is allowed to, whatever it needs


def _train(kind: str, length: int, limited: bool, setting: Setting) -> Row:
    from stages.benching import device, lora

    if limited and setting.device != "cuda":
        return {"reason": "only a GPU's memory can be limited"}
    if limited:
        device.limit_memory(setting.limit_gb * 1e9)
    work = lora.Load(setting.batch, setting.accumulation, length, setting.answer_tokens)
    training = lora.Training(load(setting).model, setting.rank)
    batches = lora.batches(kind, work, setting.sizes["vocab_size"], setting.device)
    losses: list[float] = []
    seconds = device.median_s(
        lambda: losses.append(training.step(lora.LOSSES[kind], batches)), setting.device, setting.rounds
    )
    tokens = sum(ids.numel() for ids, _ in batches)
    row = {"median_s": seconds, "tokens": tokens, "tokens_s": tokens / seconds, "losses": losses}
    row["flops"] = lora.step_flops(kind, work, training.dense, training.attention)
    if limited:
        row["fits"] = device.peak_mib(setting.device) << 20 <= setting.limit_gb * 1e9
    return row


def load(setting: Setting) -> LoadedPolicy:
    """Make the random model on its device, with the tiny backbone's tokenizer: it draws no other tokens."""
    from transformers import AutoTokenizer

    from stages.benching.device import random_llama
    from stages.engines.template import ChatTemplate

    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER, local_files_only=True, padding_side="left")
    stops = ChatTemplate(tokenizer, TEMPLATE).stop_ids
    never = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids, *stops}
    drawn = [token for token in range(len(tokenizer)) if token not in never]
    model = random_llama(setting.sizes, setting.most, setting.device, setting.dtype, drawn)
    return LoadedPolicy(model, tokenizer, Policy(TOKENIZER, _backbone(setting), TOKENIZER, (), "random"))


def _asking(engine: Engine, template: "ChatTemplate", rows: int, setting: Setting) -> "Writer":
    from stages.benching.decode import conversations

    def write(seed: int, new: int) -> None:
        texts = conversations(template.encode, rows, setting.prompt_tokens, seed)
        requests = [Request.make(f"r{at}", messages, seed) for at, messages in enumerate(texts)]
        batches = engine.complete(requests, Sampling(**SAMPLING, max_new_tokens=new), ())
        reasons = [response.finish_reason for batch in batches for response in batch]
        if reasons != ["length"] * rows:
            raise ValueError(f"{rows} texts of {new} tokens were asked for; they ended by {set(reasons)}")

    return write


def _written(
    setting: Setting, rows: int, template: "ChatTemplate", weighed: tuple[int, int], write: "Writer"
) -> Row:
    from stages.benching.decode import Texts, bytes_read, conversations, measure

    prompt = len(template.encode(conversations(template.encode, 1, setting.prompt_tokens, 0)[0]))
    texts = Texts(rows, prompt, setting.new_tokens)
    row = measure(write, texts, setting.device, setting.rounds)
    return {**row, "bytes_read": bytes_read(texts, *weighed)}


def _weigh(loaded: LoadedPolicy) -> tuple[int, int]:
    """Bytes of the weights that a step reads, and of a token's keys and values."""
    from stages.benching.decode import cache_bytes, read_each_step

    return read_each_step(loaded.model), cache_bytes(loaded.model.config, loaded.model.dtype.itemsize)


@contextmanager
def _folder(setting: Setting) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Give the random model as a policy folder, for as long as it is served, and what it weighs."""
    import torch

    Path(".scratch").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=".scratch") as parent:
        folder = Path(parent) / "random"
        loaded = load(setting)
        loaded.model.save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(TOKENIZER / name, folder)
        write_backbone(folder, _backbone(setting))
        weighed = _weigh(loaded)
        del loaded
        if setting.device == "cuda":
            torch.cuda.empty_cache()  # the server needs it
        yield folder, weighed


def _backbone(setting: Setting) -> Backbone:
    return Backbone(weights=".", template=TEMPLATE, dtype=setting.dtype, window=setting.window)


def _llama3() -> dict[str, Any]:
    shape = shape_of("llama3")[0]
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "tie_word_embeddings": shape.tied,
    }


def _setting(device: str, changes: str) -> Setting:
    start = REHEARSAL if device == "cpu" else {"sizes": _llama3()}
    try:
        return Setting.model_validate({**start, **json.loads(changes)})
    except (json.JSONDecodeError, ValidationError) as error:
        raise InputError(f"cannot be read: {str(error).splitlines()[0]}", field="--setting") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--only", nargs="+", default=[""], help="parts whose names begin so, such as dpo")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--setting", default="{}", help="other sizes, as JSON; see Setting")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
