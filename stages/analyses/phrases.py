"""Find the phrases a model repeats: `python -m stages.analyses.phrases ...`.

The paper's figure 6: the commonest openings and phrases of a model's responses, the golden responses to the
same contexts beside them, and how many responses begin with one of the commonest openings.
selfevolve/metrics/phrases.py says what a phrase is. Section `phrases` of the parameters: `opening_words` (3),
`orders` ([2, 3, 4, 5] words) and `top` (10).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from selfevolve.metrics.phrases import COLUMNS, PhraseCounts
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Context, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_csv, publish_json
from selfevolve.runtime.parameters import Params, read_params


class PhrasesParams(Params):
    """Section `phrases`: words of an opening, words of the phrases, and how many of each are listed."""

    opening_words: int = Field(default=3, ge=1)
    orders: list[Annotated[int, Field(ge=1)]] = Field(default=[2, 3, 4, 5], min_length=1)
    top: int = Field(default=10, ge=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, count, and write the summary and two tables for `dvc plots`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True, help="with the golden responses")
    parser.add_argument("--out", type=Path, required=True, help="the summary (JSON)")
    parser.add_argument("--openings", type=Path, required=True, help="the commonest openings (CSV)")
    parser.add_argument("--phrases", type=Path, required=True, help="the commonest phrases (CSV)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("phrases", PhrasesParams, args.params)
    texts = {response.id: response.text for response in read_records(args.responses, Response)}
    contexts = {context.id: context.golden for context in read_records(args.contexts, Context)}
    if missing := sorted(texts.keys() - contexts.keys()):
        raise InputError("has no context of this response", file=args.contexts, record=missing[0])
    model = PhraseCounts(texts, **params.model_dump())
    golden = PhraseCounts({identity: contexts[identity] for identity in texts}, **params.model_dump())
    for said, file in ((model, args.responses), (golden, args.contexts)):
        if not said.responses:
            raise InputError("holds no response with a word in it", file=file)
    publish_csv(args.openings, COLUMNS, model.rows(model.openings, golden, golden.openings))
    rows = [
        row
        for order in params.orders
        for row in model.rows(model.phrases[order], golden, golden.phrases[order])
    ]
    publish_csv(args.phrases, COLUMNS, rows)
    publish_json(args.out, {"model": model.summary(), "golden": golden.summary()})


if __name__ == "__main__":
    run(main)
