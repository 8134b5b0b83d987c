"""Cut dialogues into the contexts that models answer: `python -m stages.contexts --out data/contexts ...`.

`test.jsonl` has every supporter turn of the ESConv test dialogues (utterance level, ground-truth history).
Each file of training dialogues is cut into disjoint parts without greeting turns, one an iteration: of
`synesc.jsonl` these are `synesc-1.jsonl`, `synesc-2.jsonl` ... (paper, sections 2.2.1 and 4.1, appendices A
and B.1). A dialogue too long for the model's window loses its oldest exchanges, counted, and never its last
seeker turn.

Without `--train` there are test contexts alone, of any dialogues; with `--seeker-turns 1 2 all` only those
in which the seeker has spoken so many turns.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.dialogue.contexts import contexts, contexts_at, draw_evenly, split_parts
from stages.engines.policy import read_policy
from stages.engines.template import ChatTemplate
from stages.engines.window import drop_oldest
from stages.prompts.requests import response_messages
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records, write_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Context, Dialogue


class ContextsParams(Params):
    """Section `contexts` of params.yaml.

    A limit of null takes all; else dialogues are covered evenly (`draw_evenly`): a `test_limit` of the
    number of test dialogues gives one context of each.
    """

    seed: int
    parts: int = Field(ge=1)
    skip_first_exchanges: int = Field(ge=0)
    skip_last_turns: int = Field(ge=0)
    part_limit: int | None = Field(ge=1)
    test_limit: int | None = Field(ge=1)
    answer_tokens: int = Field(ge=1)
    cutoff_len: int = Field(ge=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the parts, the test contexts and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", default=[], help="dialogues to be cut in parts")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--seeker-turns", nargs="+", type=_seeker_turns, help="of the test: numbers, or all")
    parser.add_argument("--policy", type=Path, required=True, help="its tokenizer measures the prompts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if len({file.stem for file in args.train}) < len(args.train):
        parser.error("--train: the parts are named after their files, and two of these have the same name")
    params = read_params("contexts", ContextsParams, args.params)
    fit = _Fit(args.policy, args.params, params)
    written: dict[str, list[Context]] = {}
    metrics: dict[str, Any] = {}
    test, counts = _test(read_records(args.test, Dialogue), args.seeker_turns)
    written["test"], metrics["test"] = fit(test, params.test_limit)
    metrics["test"] |= counts
    for file in args.train:
        for name, dialogues in _parts(file, params).items():
            skipped = params.skip_first_exchanges, params.skip_last_turns
            part = [c for dialogue in dialogues for c in contexts(dialogue, *skipped)]
            written[name], counts = fit(part, params.part_limit)
            metrics[name] = {"dialogues": len(dialogues), **counts}
    with publishing(args.out) as folder:
        folder.mkdir()
        for name, records in written.items():
            write_records(folder / f"{name}.jsonl", records)
    publish_json(args.metrics, metrics)


def _seeker_turns(text: str) -> int | str:
    """Read `all` or a number from 1 on."""
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is neither a number from 1 on nor all")
    return int(text)


def _test(
    dialogues: Sequence[Dialogue], turns: Sequence[int | str] | None
) -> tuple[list[Context], dict[str, Any]]:
    """Return the test contexts, and how many dialogues are too short for each number of seeker turns."""
    if turns is None:
        return [c for dialogue in dialogues for c in contexts(dialogue)], {}
    numbers = {turn for turn in turns if isinstance(turn, int)}
    found = [c for d in dialogues for c in contexts_at(d, numbers, all_turns="all" in turns)]
    lengths = [len(dialogue.turns) // 2 for dialogue in dialogues]
    short = {str(number): sum(length < number for length in lengths) for number in sorted(numbers)}
    return found, {"dialogues_too_short_for": short}


def _parts(file: Path, params: ContextsParams) -> dict[str, list[Dialogue]]:
    """Return the dialogues of each part of a file, by the part's name.

    Raises:
        InputError: it has fewer dialogues than there are parts.
    """
    found = {dialogue.id: dialogue for dialogue in read_records(file, Dialogue)}
    try:
        parts = split_parts(found, params.parts, params.seed)
    except InputError as error:
        raise InputError(str(error), file=file) from None
    return {
        f"{file.stem}-{number}": [found[identity] for identity in ids]
        for number, ids in enumerate(parts, start=1)
    }


class _Fit:
    """Samples contexts and makes them fit: prompt, and room for the longest answer that may follow."""

    def __init__(self, policy: Path, params_file: Path, params: ContextsParams):
        chain = read_policy(policy)
        # one less: of a sample that fills cut-off or window nobody could tell whether it was cut
        self.window = min(chain.backbone.window, params.cutoff_len) - 1
        self.template = ChatTemplate.of(chain)
        self.prompts = load_prompts(load_params("prompts", params_file)["dir"])
        self.answer = params.answer_tokens
        self.seed = params.seed
        if self.answer >= self.window:
            raise InputError(
                "must be smaller than the window", file=params_file, field="contexts.answer_tokens"
            )

    def __call__(self, found: list[Context], limit: int | None) -> tuple[list[Context], dict[str, int]]:
        """Return at most `limit` contexts, drawn with the seed, and what was done to them."""
        chosen = found if limit is None else draw_evenly(found, limit, self.seed)
        dialogues = {context.id.rpartition("#")[0] for context in chosen}
        counts = {"found": len(found), "sampled": len(chosen), "dialogues_sampled": len(dialogues)}
        counts |= {"shortened": 0, "exchanges_dropped": 0}
        kept: list[Context] = []
        for context in sorted(chosen, key=lambda context: natural_key(context.id)):
            golden = len(self.template.tokenizer.encode(context.golden, add_special_tokens=False)) + 1
            messages, dropped = drop_oldest(
                context.messages,
                lambda left: response_messages(self.prompts, "task", left),
                self.template,
                self.window - max(self.answer, golden),
            )
            counts["exchanges_dropped"] += dropped
            counts["shortened"] += dropped > 0
            if messages is not None:
                kept.append(context.model_copy(update={"messages": messages}))
        counts["too_long"] = len(chosen) - len(kept)
        counts["written"] = len(kept)
        return kept, counts


if __name__ == "__main__":
    run(main)
