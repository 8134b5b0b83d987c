"""Make preference pairs: `python -m stages.pair --contexts ... --rejected ... --refined ... --out ...`.

Rejected is the direct response, chosen the refined one, or the golden response where the reflection never
parsed or the refined response is too long (paper, appendix A). With `--chosen golden` it is the golden
response throughout (the paper's sources {HM, P} and {HL, P}). Pairs with equal sides teach nothing and
are dropped. Whole dialogues are held back for early stopping. Everything is counted.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal, TypeVar

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.dialogue.split import hold_out, seeded_order
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records, write_records
from stages.records.publish import publish_json, publishing
from stages.records.schema import Context, Preference, Refinement, Response, ShareGptMessage
from stages.training.datasets import sharegpt

R = TypeVar("R", Response, Refinement)
SOURCES = ("refined", "golden_length", "golden_parse", "golden")
_SIDES = ("chosen", "rejected", "chosen_source")


class PairParams(Params):
    """Section `pair` of params.yaml.

    `control` spoils the pairs on purpose, to see that the outcome follows: `swapped` prefers the rejected
    side, `shuffled` gives every pair to another dialogue's context.
    """

    seed: int
    control: Literal["swapped", "shuffled"] | None = None
    max_length_ratio: float | None = Field(gt=0)  # null for no rule
    length_against: list[Literal["rejected", "golden"]]
    valid_share: float = Field(gt=0, lt=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write train.jsonl, valid.jsonl and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True)
    parser.add_argument("--refined", type=Path, help="not read where golden responses are chosen")
    parser.add_argument("--chosen", choices=("refined", "golden"), default="refined")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if args.chosen == "refined" and args.refined is None:
        parser.error("--refined is needed where refined responses are chosen")
    params = read_params("pair", PairParams, args.params)
    system = load_prompts(load_params("prompts", args.params)["dir"]).text("task")
    contexts = read_records(args.contexts, Context)
    rejected = _by_id(args.rejected, Response, contexts)
    refined = _by_id(args.refined, Refinement, contexts) if args.chosen == "refined" else {}
    pairs: list[Preference] = []
    dropped: Counter[str] = Counter(equal=0, empty_rejected=0)
    for context in contexts:
        pair, reason = make_pair(context, rejected[context.id].text, refined.get(context.id), system, params)
        if pair is None:
            dropped[reason] += 1
        else:
            pairs.append(pair)
    if not pairs:
        raise InputError("no preference pair is left", file=args.contexts)
    pairs = spoil(pairs, params.control, params.seed)
    held_back = hold_out({dialogue_id(pair) for pair in pairs}, params.valid_share, params.seed)
    parts = {"train": [], "valid": []}
    for pair in pairs:
        parts["valid" if dialogue_id(pair) in held_back else "train"].append(pair)
    with publishing(args.out) as folder:
        folder.mkdir()
        for name, records in parts.items():
            write_records(folder / f"{name}.jsonl", records)
    counts = count(contexts, pairs, list(refined.values()), dropped)
    publish_json(args.metrics, counts | {name: len(records) for name, records in parts.items()})


def make_pair(
    context: Context, rejected: str, refinement: Refinement | None, system: str, params: PairParams
) -> tuple[Preference | None, str]:
    """Return the pair of one context, or None and the reason it was dropped.

    Where there is no refinement at all, not even a failed one, the golden response is chosen. The length
    rule counts words: a refined response longer than `max_length_ratio` times each text that
    `length_against` names (`rejected`, `golden`) gives way to the golden response. An empty rejected
    response is dropped: there is nothing to prefer against.
    """
    if not rejected.strip():
        return None, "empty_rejected"
    measures = {"rejected": rejected, "golden": context.golden}
    chosen, source = refinement.refined_response if refinement else None, "refined"
    if refinement is None:
        chosen, source = context.golden, "golden"
    elif chosen is None:
        chosen, source = context.golden, "golden_parse"
    elif params.max_length_ratio is not None and any(
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


def _by_id(file: Path, kind: type[R], contexts: list[Context]) -> dict[str, R]:
    """Read the records of all contexts by id; raise InputError if one is missing."""
    found = {record.id: record for record in read_records(file, kind)}
    if missing := [context.id for context in contexts if context.id not in found]:
        raise InputError("has no record of this id", file=file, record=missing[0])
    return found


def spoil(pairs: list[Preference], control: str | None, seed: int) -> list[Preference]:
    """Return the pairs as they are, or spoilt as `PairParams.control` says.

    Raises:
        InputError: to be shuffled, the pairs must come from two dialogues at least.
    """
    if control == "swapped":
        return [p.model_copy(update={"chosen": p.rejected, "rejected": p.chosen}) for p in pairs]
    if control == "shuffled":
        # In order of dialogues, and moved on by as many as the largest has: none keeps its own dialogue.
        place = {d: n for n, d in enumerate(seeded_order(map(dialogue_id, pairs), seed, "shuffled pairs"))}
        ordered = sorted(pairs, key=lambda pair: (place[dialogue_id(pair)], pair.id))
        step = max(Counter(map(dialogue_id, pairs)).values())
        if 2 * step > len(ordered):
            raise InputError("too few dialogues to shuffle pairs between them", field="pair.control")
        moved = zip(ordered, ordered[step:] + ordered[:step], strict=True)
        spoilt = [own.model_copy(update={k: getattr(other, k) for k in _SIDES}) for own, other in moved]
        return sorted(spoilt, key=lambda pair: natural_key(pair.id))
    return pairs


def dialogue_id(pair: Preference) -> str:
    """Return the id of the dialogue that a pair's context was cut from."""
    return pair.id.partition("#")[0]


def count(
    contexts: list[Context],
    pairs: list[Preference],
    refined: list[Refinement],
    dropped: Counter[str],
) -> dict[str, Any]:
    """Return what happened to every context: numbers that add up, and mean lengths in words.

    Numbers on reflections are absent where there were none.
    """
    sources = Counter(pair.chosen_source for pair in pairs)
    reflections: dict[str, float] = {}
    if refined:
        reflections["reflections_failed"] = sum(refinement.status == "failed" for refinement in refined)
        reflections["mean_attempts"] = mean(refinement.attempts for refinement in refined)
    return {
        "contexts": len(contexts),
        "pairs": len(pairs),
        "chosen_source": {name: sources[name] for name in SOURCES},
        "dropped": dict(dropped),
        **reflections,
        "words_chosen": mean(len(pair.chosen.value.split()) for pair in pairs),
        "words_rejected": mean(len(pair.rejected.value.split()) for pair in pairs),
    }


if __name__ == "__main__":
    run(main)
