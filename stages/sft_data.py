"""Write phase 1's training data: `python -m stages.sft_data --out data/sft ...`.

Training dialogues, every supporter turn to be learnt (L_SFT, equation 2), with the task prompt as system
message, and for M0 sampled Alpaca items as replay (paper, section 3.1), in LLaMA-Factory's layout. Table 2's
SFT baselines have no replay: the paper names no data for them but the dialogues. A dialogue that is longer
than the training window goes on in a further sample, so no turn is lost. Some dialogues are held back to
stop training early; the test dialogues are not used for that.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from selfevolve.data.corpus import AlpacaItem, load_alpaca
from selfevolve.data.corpus_files import counted_files
from selfevolve.data.samples import draw, sft_samples
from selfevolve.data.split import hold_out
from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import ChatTemplate, split_conversation
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records, write_folder
from selfevolve.records.schema import Dialogue
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import Params, load_params, read_params


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
    template = ChatTemplate.of(read_policy(args.policy))
    found = read_records(args.dialogues, Dialogue)
    dialogues = draw(found, params.dialogue_limit, params.seed)
    items, replayed = _replay(args.alpaca, params) if args.replay == "alpaca" else ([], {})
    samples, counts = sft_samples(
        dialogues,
        hold_out([dialogue.id for dialogue in dialogues], params.valid_share, params.seed),
        items,
        system,
        # One token less: of a sample that fills the window nobody could tell whether it was cut.
        lambda messages, head: split_conversation(messages, head, template, params.cutoff_len - 1),
    )
    sources = {"dialogues_found": len(found), "dialogues": len(dialogues), "alpaca_items": len(items)}
    write_folder(args.out, samples)
    publish_json(args.metrics, sources | replayed | counts)


def _replay(file: Path, params: SftDataParams) -> tuple[list[AlpacaItem], dict[str, int]]:
    """Return the drawn items, and how many items of the file were skipped and how many are missing."""
    counts = {"alpaca_files_passed_over": counted_files(file)["passed_over"]}
    items, skipped = load_alpaca(file)
    counts |= {f"alpaca_{reason}": number for reason, number in skipped.items()}
    counts["alpaca_missing"] = max(0, params.alpaca_items - len(items))
    return draw(items, params.alpaca_items, params.seed), counts


if __name__ == "__main__":
    run(main)
