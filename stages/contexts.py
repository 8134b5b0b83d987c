"""Cut dialogues into the contexts that models answer: `python -m stages.contexts --out data/contexts ...`.

`test.jsonl` has every supporter turn of the ESConv test dialogues (utterance level, ground-truth history).
Each file of training dialogues is cut into disjoint parts without greeting turns, one an iteration: of
`synesc.jsonl` these are `synesc-1.jsonl`, `synesc-2.jsonl` ... (paper, sections 2.2.1 and 4.1, appendices A
and B.1). A dialogue too long for the model's window loses its oldest exchanges, counted, and never its last
seeker turn.

Without `--train` there are test contexts alone, of any dialogues; with `--seeker-turns 1 2 all` only those
in which the seeker has spoken one, two or all turns.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from selfevolve.data.contexts import Shorten, contexts, contexts_at, draw_fitting
from selfevolve.data.split import split_parts
from selfevolve.policies.policy import read_policy
from selfevolve.policies.window import ChatTemplate, Window
from selfevolve.prompts.requests import response_messages
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records, write_folder
from selfevolve.records.schema import Context, Dialogue, Message
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import Params, load_params, read_params


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
    shorten = _shortener(args.policy, args.params, params)
    written: dict[str, list[Context]] = {}
    metrics: dict[str, Any] = {}
    dialogues = read_records(args.test, Dialogue)
    turns = args.seeker_turns
    test = [
        c for dialogue in dialogues for c in (contexts_at(dialogue, turns) if turns else contexts(dialogue))
    ]
    written["test"], metrics["test"] = draw_fitting(test, params.test_limit, params.seed, shorten)
    if turns:
        lengths = [len(dialogue.turns) // 2 for dialogue in dialogues]
        numbers = sorted(turn for turn in set(turns) if turn != "all")
        short = {str(number): sum(length < number for length in lengths) for number in numbers}
        metrics["test"]["dialogues_too_short_for"] = short
    for file in args.train:
        by_id = {dialogue.id: dialogue for dialogue in read_records(file, Dialogue)}
        for number, ids in enumerate(split_parts(by_id, params.parts, params.seed, file), start=1):
            name, skipped = f"{file.stem}-{number}", (params.skip_first_exchanges, params.skip_last_turns)
            found = [context for identity in ids for context in contexts(by_id[identity], *skipped)]
            written[name], counts = draw_fitting(found, params.part_limit, params.seed, shorten)
            metrics[name] = {"dialogues": len(ids), **counts}
    write_folder(args.out, written)
    publish_json(args.metrics, metrics)


def _seeker_turns(text: str) -> int | str:
    """Read `all` or a number from 1 on."""
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is neither a number from 1 on nor all")
    return int(text)


def _shortener(policy: Path, file: Path, params: ContextsParams) -> Shorten:
    """Return what makes a context fit the window: the prompt, and room for the longest answer to it."""
    chain = read_policy(policy)
    # One token less: of a sample that fills cut-off or window nobody could tell whether it was cut.
    window = Window(ChatTemplate.of(chain), min(chain.backbone.window, params.cutoff_len) - 1)
    if params.answer_tokens >= window.tokens:
        raise InputError("must be smaller than the window", file=file, field="contexts.answer_tokens")
    prompts = load_prompts(load_params("prompts", file)["dir"])
    least = len(
        window.template.encode(response_messages(prompts, "task", [Message(role="user", content="")]))
    )
    if least > window.tokens - params.answer_tokens:
        room = f"{window.tokens} tokens with {params.answer_tokens} for the answer"
        raise InputError(f"the task prompt alone takes {least} tokens, the window is {room}", file=file)

    def shorten(context: Context) -> tuple[list[Message], int]:
        golden = len(window.template.tokenizer.encode(context.golden, add_special_tokens=False)) + 1
        reserved = max(params.answer_tokens, golden)
        fitted = window.fit(context.messages, partial(response_messages, prompts, "task"), reserved)
        return fitted.turns if fitted.fits else [], fitted.dropped

    return shorten


if __name__ == "__main__":
    run(main)
