"""Make the backbone: `python -m stages.backbone --out models/backbone ...`.

A backbone of Hugging Face is a `policy.json` with its name, template and sizes; its weights stay in the
Hub's own cache. With `backbone.weights: "."` it is a small Llama trained here from nothing: a tokenizer
from the text at hand, then LLaMA-Factory with `train_from_scratch`, on dialogues of the training sets and
instruction items. Test dialogues never come near it.
"""

import argparse
import random
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from stages.command import Params, load_params, read_params, run
from stages.dialogue.alpaca import item_messages, load_alpaca
from stages.dialogue.contexts import chat_messages
from stages.engines.policy import Backbone, write_backbone
from stages.prompts.templates import load_prompts
from stages.records.fingerprint import digest_file, digest_value
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Conversation, Dialogue, NonEmpty
from stages.training import tiny
from stages.training.curves import read_log, summary, write_curves
from stages.training.datasets import sharegpt, write_dataset_info
from stages.training.llamafactory import read_config, sample_counts, train


class ChatsParams(Params):
    """What the tiny backbone learns from besides all training dialogues."""

    alpaca_items: int = Field(ge=0)
    seed: int


class BackboneParams(Backbone):
    """Section `backbone` of params.yaml: the policy file's fields, and for one made here how it is made.

    `sizes` are LlamaConfig's own names, `pretrain` LLaMA-Factory's over its YAML file.
    """

    name: NonEmpty
    vocabulary: int | None = Field(default=None, ge=300)
    sizes: dict[str, int] | None = None
    chats: ChatsParams | None = None
    pretrain: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _says_how_it_is_made(self) -> "BackboneParams":
        how = (self.vocabulary, self.sizes, self.chats, self.pretrain)
        if any((part is None) == (self.weights == ".") for part in how):
            raise ValueError(
                "weights: . needs vocabulary, sizes, chats and pretrain; a name has none of them"
            )
        return self


def main() -> None:
    """Read the command line and make the backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="LLaMA-Factory YAML of the pretraining")
    parser.add_argument("--dialogues", type=Path, nargs="+", required=True, help="training dialogues (JSONL)")
    parser.add_argument("--alpaca", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--curves", type=Path, required=True, help="training curves (CSV)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    params = read_params("backbone", BackboneParams, args.params)
    backbone = Backbone(**params.model_dump(include=set(Backbone.model_fields)))
    if backbone.weights == ".":
        prompts = load_prompts(load_params("prompts", args.params)["dir"])
        samples = chats(args.dialogues, args.alpaca, prompts.text("plain"), params.chats)
        _pretrain(args, params, backbone, samples, list(prompts.texts.values()))
        return
    write_curves([], args.curves)
    publish_json(args.metrics, {"trained_here": 0})
    with publishing(args.out) as folder:
        folder.mkdir()
        write_backbone(folder, backbone)


def chats(dialogues: list[Path], alpaca: Path, system: str, params: ChatsParams) -> list[Conversation]:
    """Return the pretraining samples: every training dialogue and, seeded, some instruction items."""
    samples = [
        Conversation(id=d.id, system=system, conversations=sharegpt(chat_messages(d)))
        for path in dialogues
        for d in read_records(path, Dialogue)
    ]
    items = load_alpaca(alpaca).items
    chosen = random.Random(params.seed).sample(items, min(params.alpaca_items, len(items)))
    for item in chosen:
        messages = sharegpt(item_messages(item))
        samples.append(Conversation(id=item.id, system="", conversations=messages))
    return samples


def _pretrain(
    args: argparse.Namespace,
    params: BackboneParams,
    backbone: Backbone,
    samples: list[Conversation],
    prompts: list[str],
) -> None:
    config = read_config(args.config, params.pretrain)
    data = digest_value([sample.model_dump(by_alias=True) for sample in samples])
    fingerprint = digest_value([params.model_dump(), config, data, prompts, digest_file(tiny.__file__)])[:16]
    scratch = Path(".scratch/backbone") / fingerprint
    start = scratch / "start"
    if not (start / "config.json").exists():
        # Every request begins with a prompt: in a vocabulary that knows its words it costs half the tokens.
        texts = [*prompts * 50, *(turn.value for sample in samples for turn in sample.conversations)]
        with publishing(start) as folder:
            folder.mkdir()
            size = tiny.build_tokenizer(texts, params.vocabulary, backbone.window, folder)
            tiny.write_config(params.sizes, size, backbone.window, folder)
            write_records(folder / "train.jsonl", samples)
            write_dataset_info(folder, {"pretrain": folder / "train.jsonl"}, ranking=False)
    config |= {"model_name_or_path": str(start), "dataset_dir": str(start), "dataset": "pretrain"}
    output = train(config, scratch)
    log = read_log(output)
    with publishing(args.out) as folder:
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(start / name, folder / name)
        shutil.copyfile(output / "model.safetensors", folder / "model.safetensors")
        write_backbone(folder, backbone)
    write_curves(log, args.curves)
    kept = sample_counts(scratch, config["cutoff_len"])
    counts = {"samples": len(samples), "samples_kept": kept["train"], "samples_cut": kept["train_full"]}
    publish_json(args.metrics, {"trained_here": 1, **counts, **summary(log)})


if __name__ == "__main__":
    run(main)
