"""Write phase 1's training data: `python -m stages.sft_data --out data/sft ...`.

Training dialogues, every supporter turn to be learnt (L_SFT, equation 2), with the task prompt as system
message, and for M0 sampled Alpaca items as replay (paper, section 3.1), in LLaMA-Factory's layout. Table 2's
SFT baselines have no replay: the paper names no data for them but the dialogues. A dialogue that is longer
than the training window goes on in a further sample, so no turn is lost. Some dialogues are held back to
stop training early; the test dialogues are not used for that.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.dialogue.alpaca import AlpacaItem, item_messages, load_alpaca
from stages.dialogue.contexts import chat_messages
from stages.dialogue.split import hold_out
from stages.engines.policy import read_policy
from stages.engines.template import ChatTemplate
from stages.engines.window import split_conversation
from stages.prompts.templates import load_prompts
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Conversation, Dialogue, Message
from stages.training.datasets import sharegpt

T = TypeVar("T")


class SftDataParams(Params):
    """Section `sft_data` of params.yaml."""

    seed: int
    dialogue_limit: int | None = Field(ge=2)  # null for all
    alpaca_items: int = Field(ge=0)
    valid_share: float = Field(gt=0, lt=1)
    cutoff_len: int = Field(ge=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write train.jsonl, valid.jsonl and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dialogues", type=Path, required=True)
    parser.add_argument("--alpaca", type=Path, required=True, help="the items; not read without replay")
    parser.add_argument("--replay", choices=("alpaca", "none"), default="alpaca")
    parser.add_argument("--policy", type=Path, required=True, help="its tokenizer measures the samples")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("sft_data", SftDataParams, args.params)
    system = load_prompts(load_params("prompts", args.params)["dir"]).text("task")
    found = read_records(args.dialogues, Dialogue)
    dialogues = _sample(found, params.dialogue_limit, params.seed)
    items, replayed = _replay(args.alpaca, params) if args.replay == "alpaca" else ([], {})
    template = ChatTemplate.of(read_policy(args.policy))
    valid = hold_out([d.id for d in dialogues], params.valid_share, params.seed)
    counts: dict[str, int] = {
        "dialogues_found": len(found),
        "dialogues": len(dialogues),
        "alpaca_items": len(items),
        **replayed,
        "continued_samples": 0,
        "exchanges_too_long": 0,
    }
    length = params.cutoff_len - 1  # of one that fills it nobody could tell whether it was cut
    samples: dict[str, list[Conversation]] = {"train": [], "valid": []}
    for dialogue in dialogues:
        part = "valid" if dialogue.id in valid else "train"
        samples[part] += _samples(dialogue.id, chat_messages(dialogue), system, template, length, counts)
    for item in items:
        samples["train"] += _samples(item.id, item_messages(item), "", template, length, counts)
    counts |= {name: len(records) for name, records in samples.items()}
    with publishing(args.out) as folder:
        folder.mkdir()
        for name, records in samples.items():
            write_records(folder / f"{name}.jsonl", records)
    publish_json(args.metrics, counts)


def _replay(file: Path, params: SftDataParams) -> tuple[list[AlpacaItem], dict[str, int]]:
    """Return the sampled items, and how many of the file were of no use or are wanting."""
    alpaca = load_alpaca(file)
    counts = {f"alpaca_{reason}": number for reason, number in alpaca.skipped.items()}
    counts["alpaca_missing"] = max(0, params.alpaca_items - len(alpaca.items))
    return _sample(alpaca.items, params.alpaca_items, params.seed), counts


def _sample(found: Sequence[T], count: int | None, seed: int) -> list[T]:
    return list(found) if count is None else random.Random(seed).sample(found, min(count, len(found)))


def _samples(
    identity: str,
    messages: Sequence[Message],
    system: str,
    template: ChatTemplate,
    length: int,
    counts: dict[str, int],
) -> list[Conversation]:
    pieces, lost = split_conversation(messages, system, template, length)
    counts["exchanges_too_long"] += lost
    counts["continued_samples"] += max(0, len(pieces) - 1)
    return [
        Conversation(id=f"{identity}#{number}", system=system, conversations=sharegpt(piece))
        for number, piece in enumerate(pieces)
    ]


if __name__ == "__main__":
    run(main)
