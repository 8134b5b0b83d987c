"""Train a tiny backbone from nothing: `python -m testbed.pretrain --lessons ... --out testbed/trained ...`.

A tokenizer is made from the prompts and the lessons, then LLaMA-Factory trains a small Llama with
`train_from_scratch`, one lesson a row, the loss on the answers alone. The weights are published in
bfloat16 safetensors.
"""

import argparse
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from selfevolve.policies.convert import TOKENIZER_FILES, convert
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Conversation
from selfevolve.runtime.command import run
from selfevolve.runtime.digests import digest_file, digest_value
from selfevolve.runtime.files import publish_json, publishing
from selfevolve.runtime.parameters import Params, load_params, read_params
from selfevolve.training.configuration import merge_sources, read_arguments
from selfevolve.training.datasets import check_samples, write_dataset_info
from selfevolve.training.llamafactory import train
from selfevolve.training.results import first_values, read_log, write_curves

# What LLaMA-Factory's `llama3` template writes between turns; it warns about tokens it has to add.
SPECIAL_TOKENS = [
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eom_id|>", "<|eot_id|>"),
]
# The same turns as that template, for programs that ask the tokenizer itself (lm-evaluation-harness).
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
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
    prompts = [load_prompts(load_params("lesson_prompts", args.params)).text(name) for name in TAUGHT]
    lessons = read_records(args.lessons, Conversation)
    sources = {str(args.config): read_arguments(args.config)}
    sources[f"pretrain.training in {args.params}"] = params.training
    config = merge_sources(sources) | {"cutoff_len": params.window}
    files = [args.lessons, __file__, CHAT_TEMPLATE]
    described = [params.model_dump(), config, prompts, *map(digest_file, files)]
    scratch = Path(".scratch/pretrain") / digest_value(described)[:16]
    start = scratch / "start"
    if not (start / "config.json").exists():
        with publishing(start) as folder:
            write_start(folder, params, config, prompts, lessons)
    config |= {"model_name_or_path": str(start), "dataset_dir": str(start), "dataset": "lessons"}

    def check() -> dict[str, int]:
        counts = check_samples(start, scratch, params.window, ["train"])
        return {"lessons": counts["train_samples"], "longest_tokens": counts["train_longest_tokens"]}

    output = train(config, scratch, check)
    log = read_log(output)
    with publishing(args.out) as folder:
        folder.mkdir()
        for name in TOKENIZER_FILES:
            shutil.copyfile(start / name, folder / name)
        size = convert(output, folder, "bfloat16")
    write_curves(log, args.curves)
    last = {"loss_last": [entry["loss"] for entry in log if "loss" in entry][-1]}
    counts = {"parameters": size, **check(), "steps": log[-1]["step"]}
    publish_json(args.metrics, {**counts, **first_values(log), **last})


def write_start(
    folder: Path,
    params: PretrainParams,
    config: Mapping[str, Any],
    prompts: Sequence[str],
    lessons: Sequence[Conversation],
) -> None:
    """Make the folder that training starts from: tokenizer, config.json, and the lessons in order."""
    folder.mkdir()
    # Every request begins with a prompt: in a vocabulary that knows its words it costs half the tokens.
    texts = [*[*prompts] * 50, *(turn.value for lesson in lessons for turn in lesson.conversations)]
    vocabulary = build_tokenizer(texts, params.vocabulary, params.window, folder)
    write_config(params.sizes, vocabulary, params.window, folder)
    rows: list[Conversation] = []
    for early in (True, False):
        part = [lesson for lesson in lessons if lesson.id.startswith(f"{params.first}-") == early]
        rows += in_batches(part, folder, config["per_device_train_batch_size"], config["seed"])
    text = "".join(f"{row.model_dump_json(by_alias=True)}\n" for row in rows)
    (folder / "train.jsonl").write_text(text, encoding="utf-8")
    write_dataset_info(folder, {"lessons": folder / "train.jsonl"}, ranking=False)


def build_tokenizer(texts: Iterable[str], vocabulary: int, window: int, folder: Path) -> int:
    """Train a byte-level BPE tokenizer with a chat template and save it in `folder`; return its size.

    `vocabulary` is the most tokens it may have, special tokens and 256 bytes included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # Digits stay apart so that no number is one rare token.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|end_of_text|>",
        model_max_length=window,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE.read_text(encoding="utf-8"),
    )
    wrapped.save_pretrained(folder)
    return len(wrapped)


def write_config(sizes: dict[str, Any], vocabulary: int, window: int, folder: Path) -> None:
    """Write the `config.json` of a small Llama; `sizes` are LlamaConfig's own names."""
    from transformers import LlamaConfig

    LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=window,
        bos_token_id=SPECIAL_TOKENS.index("<|begin_of_text|>"),
        eos_token_id=SPECIAL_TOKENS.index("<|eot_id|>"),
        pad_token_id=SPECIAL_TOKENS.index("<|end_of_text|>"),
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        **sizes,
    ).save_pretrained(folder)


def in_batches(lessons: Sequence[Conversation], tokenizer: Path, size: int, seed: int) -> list[Conversation]:
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


if __name__ == "__main__":
    run(main)
