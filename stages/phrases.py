"""Find the phrases a model repeats: `python -m stages.phrases --responses ... --contexts ... --out ...`.

The paper's figure 6: the commonest openings and phrases of a model's responses, the golden responses to the
same contexts beside them, and how many responses begin with one of the commonest openings. What a phrase is
stands in stages/scoring/phrases.py. Section `phrases` of the parameters: `opening_words` (3), `orders`
([2, 3, 4, 5] words) and `top` (10).
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stages.command import Params, read_params, run
from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.publish import publish_csv, publish_json
from stages.records.schema import Context, Response
from stages.scoring.phrases import commonest, in_responses, ngrams, opening, table
from stages.scoring.significance import described

COLUMNS = ("phrase", "words", "count", "percent", "golden_count", "golden_percent")
SEED = 42  # of the intervals


class PhrasesParams(Params):
    """Section `phrases`: words of an opening, words of the phrases, and how many of each are listed."""

    opening_words: int = Field(default=3, ge=1)
    orders: list[Annotated[int, Field(ge=1)]] = Field(default=[2, 3, 4, 5], min_length=1)
    top: int = Field(default=10, ge=1)


class Said:
    """What a set of responses says: counts of openings and of phrases, and who begins with what.

    `responses` counts those with a word in them; shares are of these.
    """

    def __init__(self, texts: dict[str, str], params: PhrasesParams):
        """Take responses by context id."""
        found = {identity: opening(text, params.opening_words) for identity, text in texts.items()}
        self.first = {identity: one for identity, one in found.items() if one is not None}
        self.empty = len(texts) - len(self.first)
        self.responses = len(self.first)
        self.openings = Counter(self.first.values())
        self.phrases = {
            order: in_responses(ngrams(texts[identity], order) for identity in self.first)
            for order in params.orders
        }
        self._top = params.top

    @property
    def begins_commonly(self) -> dict[str, float]:
        """By context id: 100 where the response begins with one of the commonest openings, else 0."""
        common = set(commonest(self.openings, self._top))
        return {identity: 100.0 * (first in common) for identity, first in self.first.items()}

    def summary(self) -> dict[str, Any]:
        """Return counts, the share of common beginnings with its interval, and the commonest phrases."""
        common = self.begins_commonly
        dialogues = [identity.partition("#")[0] for identity in common]
        return {
            "responses": self.responses,
            "empty": self.empty,
            "different_openings": len(self.openings),
            "in_top_openings": described(list(common.values()), dialogues, seed=SEED),
            "openings": table(self.openings, commonest(self.openings, self._top), self.responses),
            "phrases": {
                str(order): table(counts, commonest(counts, self._top), self.responses)
                for order, counts in self.phrases.items()
            },
        }


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, count, and write the summary and two tables for `dvc plots`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument(
        "--contexts", type=Path, required=True, help="what they answer, with golden responses"
    )
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
    model = Said(texts, params)
    golden = Said({identity: contexts[identity] for identity in texts}, params)
    for said, file in ((model, args.responses), (golden, args.contexts)):
        if not said.responses:
            raise InputError("holds no response with a word in it", file=file)
    publish_csv(args.openings, COLUMNS, lines(model, golden, model.openings, golden.openings, params))
    rows = [
        row
        for order in params.orders
        for row in lines(model, golden, model.phrases[order], golden.phrases[order], params)
    ]
    publish_csv(args.phrases, COLUMNS, rows)
    publish_json(args.out, {"model": model.summary(), "golden": golden.summary()})


def lines(
    model: Said, golden: Said, own: Counter[str], other: Counter[str], params: PhrasesParams
) -> list[list[object]]:
    """Return a line for each of the model's commonest phrases, the golden responses' use of it beside it."""
    return [
        [
            phrase,
            len(phrase.split()),
            own[phrase],
            100 * own[phrase] / model.responses,
            other[phrase],
            100 * other[phrase] / golden.responses,
        ]
        for phrase in commonest(own, params.top)
    ]


if __name__ == "__main__":
    run(main)
