"""Make preference pairs: `python -m stages.pair --contexts ... --rejected ... --refined ... --out ...`.

Rejected is the direct response, chosen the refined one, or the golden response where the reflection never
parsed or the refined response is too long (paper, appendix A; `pair.too_long` has other answers to the
latter). With `pair.supported_by` a refined response must also say nothing of the seeker that the dialogue
does not hold; `pair.unsupported` says what becomes of one that does. With `--chosen golden` it is the
golden response throughout (the paper's sources {HM, P} and {HL, P}). With `--chosen reward` the pair is the
best and the worst of the candidates that stage `rank` has ranked; where that file is empty, the principles
choose as before. Pairs that teach nothing, or whose rejected response was cut off, are dropped, whole
dialogues are held back for early stopping, and everything is counted. With `--earlier` and `pair.replay`
some of the training pairs give way to training pairs of earlier iterations, which `replay` in the counts
says; all other counts are of the pairs before.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.relevance import RelevanceParams
from selfevolve.metrics.semantic import find_encoder
from selfevolve.preferences.pairs import PairParams, count_pairs, make_pairs, refined_choices, split, spoil
from selfevolve.preferences.ranked import best_texts, make_ranked_pairs
from selfevolve.preferences.replay import replay
from selfevolve.preferences.support import Support, by_encoder, by_facts
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records, write_folder
from selfevolve.records.schema import Context, Preference, Ranking, Refinement, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError, Unavailable
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write train.jsonl, valid.jsonl and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--rejected", type=Path, required=True)
    parser.add_argument("--refined", type=Path, help="not read where golden responses are chosen")
    parser.add_argument("--ranked", type=Path, help="ranked candidates, for --chosen reward")
    parser.add_argument(
        "--vocabulary", type=Path, help="phrases of all gold profiles (JSON), for their facts"
    )
    parser.add_argument("--chosen", choices=("refined", "golden", "reward"), default="refined")
    parser.add_argument("--earlier", type=Path, nargs="+", default=[], help="folders of earlier pairs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if args.chosen != "golden" and args.refined is None:
        parser.error("--refined is needed where refined responses are chosen")
    if args.chosen == "reward" and args.ranked is None:
        parser.error("--ranked is needed where a reward chooses")
    params = read_params("pair", PairParams, args.params)
    pairs, counts = chosen(args, params)
    parts = split(pairs, params)
    if args.earlier and params.replay:
        earlier = [read_records(folder / "train.jsonl", Preference) for folder in args.earlier]
        mixed = replay(parts["train"], parts["valid"], earlier, params.replay, params.seed)
        parts["train"], counts["replay"] = mixed
    write_folder(args.out, parts)
    publish_json(args.metrics, counts | {name: len(records) for name, records in parts.items()})


def chosen(args: argparse.Namespace, params: PairParams) -> tuple[list[Preference], dict[str, Any]]:
    """Return the pairs of an iteration's own contexts, and what happened to every context.

    Raises:
        InputError: a file is broken, or no pair is left.
    """
    system = load_prompts(load_params("prompts", args.params)["dir"]).text("task")
    contexts = read_records(args.contexts, Context)
    rankings = {one.id: one for one in read_records(args.ranked, Ranking)} if args.chosen == "reward" else {}
    more: dict[str, Any] = {}
    refined: dict[str, Refinement] = {}
    support = Support()
    if rankings:
        margin = load_params("reward", args.params)["margin"]
        if params.supported_by is not None:
            texts = best_texts(contexts, rankings, params)
            support = supported(contexts, texts, params, args.vocabulary, args.params)
        of_rewards = make_ranked_pairs(contexts, rankings, system, params, margin, support.unsupported)
        pairs, dropped, more = of_rewards
    else:
        ids = [context.id for context in contexts]
        rejected = read_by_id(args.rejected, Response, ids)
        if args.chosen != "golden":
            refined = read_by_id(args.refined, Refinement, ids)
        if refined and params.supported_by is not None:
            texts = refined_choices(contexts, rejected, refined, params)
            support = supported(contexts, texts, params, args.vocabulary, args.params)
        pairs, dropped = make_pairs(contexts, rejected, refined, system, params, support.unsupported)
    if not pairs:
        raise InputError("no preference pair is left", file=args.contexts)
    pairs = spoil(pairs, params.control, params.seed)
    counts = count_pairs(pairs, dropped, list(refined.values()), params.max_length_ratio) | more
    return pairs, counts | ({"support": dict(support.counts)} if support.counts else {})


def supported(
    contexts: Sequence[Context],
    responses: Mapping[str, str],
    params: PairParams,
    vocabulary: Path | None,
    file: Path,
) -> Support:
    """Return which refined responses fail the support rule, by the instrument that the parameters name.

    Args:
        contexts: those of the responses, at least.
        responses: text by context id.
        params: with an instrument.
        vocabulary: the file of the phrases of gold profiles, None where the command line names none.
        file: the parameters' file, which has section `relevance`.

    Raises:
        InputError: the instrument is not there.
    """
    if params.supported_by == "facts":
        if vocabulary is None:
            raise InputError("facts need --vocabulary", file=file, field="pair.supported_by")
        return by_facts(contexts, responses, vocabulary)
    relevance = read_params("relevance", RelevanceParams, file)
    try:
        encoder = find_encoder(relevance.encoder, relevance.num_layers)
    except Unavailable as absence:
        raise InputError(str(absence), file=file, field="relevance.encoder") from None
    return by_encoder(contexts, responses, encoder, params.least_support, relevance.batch_size)


if __name__ == "__main__":
    run(main)
