"""Train a tiny backbone from nothing: `python -m stages.pretrain --lessons ... --out backbones/trained ...`.

A tokenizer is made from the prompts and the lessons, then LLaMA-Factory trains a small Llama with
`train_from_scratch`, one lesson a row, the loss on the answers alone. The weights are published in
bfloat16 safetensors.
"""

import argparse
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from stages.records.fingerprint import digest_file, digest_value
from stages.records.jsonl import read_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Conversation
from stages.training import tiny
from stages.training.curves import read_log, summary, write_curves
from stages.training.datasets import write_dataset_info
from stages.training.llamafactory import read_config, sample_counts, train

TAUGHT = ("plain", "task", "refine", "refine_request")  # the prompts that lessons have


class PretrainParams(Params):
    """Section `pretrain`: `sizes` are LlamaConfig's own names, `training` LLaMA-Factory's over its YAML.

    `first` is the kind of lesson (its ids begin with it) that comes before all others.
    """

    vocabulary: int = Field(ge=300)
    window: int = Field(ge=64)
    first: str
    sizes: dict[str, int]
    training: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, train and publish the backbone, its curve and its counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="LLaMA-Factory YAML")
    parser.add_argument("--lessons", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--curves", type=Path, required=True, help="training curves (CSV)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("pretrain", PretrainParams, args.params)
    prompts = [load_prompts(load_params("prompts", args.params)["dir"]).text(name) for name in TAUGHT]
    lessons = read_records(args.lessons, Conversation)
    config = read_config(args.config, params.training)
    described = [params.model_dump(), config, digest_file(args.lessons), prompts, digest_file(tiny.__file__)]
    scratch = Path(".scratch/pretrain") / digest_value(described)[:16]
    start = scratch / "start"
    if not (start / "config.json").exists():
        # Every request begins with a prompt: in a vocabulary that knows its words it costs half the tokens.
        texts = [*prompts * 50, *(turn.value for lesson in lessons for turn in lesson.conversations)]
        with publishing(start) as folder:
            folder.mkdir()
            size = tiny.build_tokenizer(texts, params.vocabulary, params.window, folder)
            tiny.write_config(params.sizes, size, params.window, folder)
            size = config["per_device_train_batch_size"]
            early = [lesson for lesson in lessons if lesson.id.startswith(f"{params.first}-")]
            late = [lesson for lesson in lessons if not lesson.id.startswith(f"{params.first}-")]
            rows = [row for part in (early, late) for row in in_batches(part, folder, size, config["seed"])]
            (folder / "train.jsonl").write_text(
                "".join(f"{row.model_dump_json(by_alias=True)}\n" for row in rows)
            )
            write_dataset_info(folder, {"lessons": folder / "train.jsonl"}, ranking=False)
    config |= {"model_name_or_path": str(start), "dataset_dir": str(start), "dataset": "lessons"}
    output = train(config, scratch, lambda: check_samples(scratch, config["cutoff_len"], len(lessons)))
    log = read_log(output)
    with publishing(args.out) as folder:
        folder.mkdir()
        for name in tiny.TOKENIZER_FILES:
            shutil.copyfile(start / name, folder / name)
        size = tiny.convert(output, folder, "bfloat16")
    write_curves(log, args.curves)
    counts = check_samples(scratch, config["cutoff_len"], len(lessons))
    publish_json(args.metrics, {"parameters": size, **counts, **summary(log)})


def in_batches(lessons: list[Conversation], tokenizer: Path, size: int, seed: int) -> list[Conversation]:
    """Return the lessons in batches of `size` of about the same number of tokens, the batches shuffled.

    Little is padded, and yet no kind of lesson comes all at once: the Trainer's own grouping by length
    goes through fifty batches from long to short, over and over, and a tiny model forgets on the way.
    """
    from transformers import AutoTokenizer

    encode = AutoTokenizer.from_pretrained(tokenizer).encode
    lengths = {
        lesson.id: len(encode(lesson.system + "".join(turn.value for turn in lesson.conversations)))
        for lesson in lessons
    }
    ordered = sorted(lessons, key=lambda lesson: (lengths[lesson.id], lesson.id))
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    random.Random(seed).shuffle(batches)
    return [lesson for batch in batches for lesson in batch]


def check_samples(scratch: Path, cutoff: int, given: int) -> dict[str, int]:
    """Return the numbers of lessons; LLaMA-Factory must have kept every one, and cut none.

    Raises:
        InputError: it dropped lessons, or one is as long as the cut-off, so that it may have been cut.
    """
    kept = sample_counts(scratch, cutoff)
    if kept["train"] != given:
        raise InputError(f"LLaMA-Factory kept {kept['train']} of {given} lessons; see its log", file=scratch)
    if kept["train_full"]:
        raise InputError(f"a lesson does not fit cutoff_len {cutoff} and would be cut", file=scratch)
    return {"lessons": given, "longest_tokens": kept["train_longest"]}


if __name__ == "__main__":
    run(main)
