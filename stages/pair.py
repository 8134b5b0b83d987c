"""Make preference pairs: `python -m stages.pair --contexts ... --rejected ... --refined ... --out ...`.

Rejected is the direct response, chosen the refined one, or the golden response where the reflection never
parsed or the refined response is too long (paper, appendix A). Pairs with equal sides teach nothing and
are dropped. Whole dialogues are held back for early stopping. Everything is counted.
"""

import argparse
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.dialogue.split import hold_out
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Context, Preference, Refinement, Response, ShareGptMessage
from stages.training.datasets import sharegpt

SOURCES = ("refined", "golden_length", "golden_parse")


class PairParams(Params):
    """Section `pair` of params.yaml."""

    seed: int
    max_length_ratio: float = Field(gt=0)
    length_against: list[Literal["rejected", "golden"]]
    valid_share: float = Field(gt=0, lt=1)


def main() -> None:
    """Read the command line and write train.jsonl, valid.jsonl and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True)
    parser.add_argument("--refined", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    params = read_params("pair", PairParams, args.params)
    system = load_prompts(load_params("prompts", args.params)["dir"]).text("task")
    contexts = read_records(args.contexts, Context)
    rejected = {response.id: response for response in read_records(args.rejected, Response)}
    refined = {refinement.id: refinement for refinement in read_records(args.refined, Refinement)}
    for file, there in ((args.rejected, rejected), (args.refined, refined)):
        if missing := [context.id for context in contexts if context.id not in there]:
            raise InputError("has no record of this id", file=file, record=missing[0])
    pairs: list[Preference] = []
    dropped: Counter[str] = Counter(equal=0, empty_rejected=0)
    for context in contexts:
        pair, reason = make_pair(context, rejected[context.id].text, refined[context.id], system, params)
        if pair is None:
            dropped[reason] += 1
        else:
            pairs.append(pair)
    if not pairs:
        raise InputError("no preference pair is left", file=args.contexts)
    held_back = hold_out({dialogue_id(pair) for pair in pairs}, params.valid_share, params.seed)
    parts = {"train": [], "valid": []}
    for pair in pairs:
        parts["valid" if dialogue_id(pair) in held_back else "train"].append(pair)
    with publishing(args.out) as folder:
        folder.mkdir()
        for name, records in parts.items():
            write_records(folder / f"{name}.jsonl", records)
    counts = count(contexts, pairs, refined, dropped)
    publish_json(args.metrics, counts | {name: len(records) for name, records in parts.items()})


def make_pair(
    context: Context, rejected: str, refinement: Refinement, system: str, params: PairParams
) -> tuple[Preference | None, str]:
    """Return the pair of one context, or None and the reason it was dropped.

    The length rule counts words: a refined response longer than `max_length_ratio` times each text
    that `length_against` names (`rejected`, `golden`) gives way to the golden response. An empty
    rejected response is dropped: there is nothing to prefer against.
    """
    if not rejected.strip():
        return None, "empty_rejected"
    chosen, source = refinement.refined_response, "refined"
    measures = {"rejected": rejected, "golden": context.golden}
    if chosen is None:
        chosen, source = context.golden, "golden_parse"
    elif any(
        len(chosen.split()) > params.max_length_ratio * len(measures[name].split())
        for name in params.length_against
    ):
        chosen, source = context.golden, "golden_length"
    if chosen.split() == rejected.split():
        return None, "equal"
    pair = Preference(
        id=context.id,
        system=system,
        conversations=sharegpt(context.messages),
        chosen=ShareGptMessage(from_="gpt", value=chosen),
        rejected=ShareGptMessage(from_="gpt", value=rejected),
        chosen_source=source,
    )
    return pair, ""


def dialogue_id(pair: Preference) -> str:
    """Return the id of the dialogue that a pair's context was cut from."""
    return pair.id.partition("#")[0]


def count(
    contexts: list[Context],
    pairs: list[Preference],
    refined: dict[str, Refinement],
    dropped: Counter[str],
) -> dict[str, Any]:
    """Return what happened to every context: numbers that add up, and mean lengths in words."""
    sources = Counter(pair.chosen_source for pair in pairs)
    attempts = [refined[context.id].attempts for context in contexts]
    return {
        "contexts": len(contexts),
        "pairs": len(pairs),
        "chosen_source": {name: sources[name] for name in SOURCES},
        "dropped": dict(dropped),
        "reflections_failed": sum(refined[context.id].status == "failed" for context in contexts),
        "mean_attempts": mean(attempts),
        "words_chosen": mean(len(pair.chosen.value.split()) for pair in pairs),
        "words_rejected": mean(len(pair.rejected.value.split()) for pair in pairs),
    }


if __name__ == "__main__":
    run(main)
