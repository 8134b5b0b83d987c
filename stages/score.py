"""Score responses against references in both protocols (DESIGN: metrics).

    python -m stages.score --responses R.jsonl --contexts C.jsonl --out FILE.json
    python -m stages.score --pairs FILE.jsonl --out FILE.json [--no-semantic]

The first reads the pipeline's records, matched by id. The second stands alone: each line of FILE.jsonl has
`response` and `reference`, an `id` if wanted, and anything else, which is ignored. `--details` also writes
each response's own scores in the paper protocol. Section `score` of the parameters: `semantic` (true),
`encoder` (minilm), `num_layers` (the encoder's own), `batch_size` (64); `--pairs` needs no parameters file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from stages.command import Params, read_params, run
from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, NonEmpty, Response, TextScores
from stages.scoring.protocols import Scores, score

PARAMS = "params.yaml"


class ScoreParams(Params):
    """Section `score` of the parameters."""

    semantic: bool = True
    encoder: NonEmpty = "minilm"
    num_layers: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)


class Pair(BaseModel):
    """One line of `--pairs`. Without an id it is known by its place among the pairs, from 1."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    id: NonEmpty | None = None
    response: str
    reference: NonEmpty


def main(argv: Sequence[str] | None = None) -> None:
    """Read the pairs, score them, publish the summary and, where asked for, the details."""
    arguments = _arguments(argv)
    params = _params(arguments)
    for output in filter(None, (arguments.out, arguments.details)):
        if output.is_dir():
            raise InputError("is a folder, not a file to write", file=output)
    if arguments.pairs:
        pairs = _read_pairs(arguments.pairs)
    else:
        pairs = _match(arguments.responses, arguments.contexts)
    scores = score(
        [pair.response for pair in pairs],
        [pair.reference for pair in pairs],
        encoder=params.encoder if params.semantic else None,
        num_layers=params.num_layers,
        batch_size=params.batch_size,
    )
    if arguments.details:
        write_records(arguments.details, _details(pairs, scores))
    publish_json(arguments.out, scores.summary())
    for metric, reason in scores.not_available.items():
        print(f"{metric}: not available ({reason})")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score responses against references in both protocols.")
    parser.add_argument("--pairs", type=Path, help="JSONL with `response` and `reference` on each line")
    parser.add_argument("--responses", type=Path, help="Response records")
    parser.add_argument("--contexts", type=Path, help="the Context records they answer")
    parser.add_argument("--out", type=Path, required=True, help="the scores (JSON)")
    parser.add_argument("--details", type=Path, help="each response's own scores (JSONL)")
    parser.add_argument("--no-semantic", action="store_true", help="leave BERTScore out")
    parser.add_argument("--params", type=Path, help=f"parameters file (default: {PARAMS})")
    arguments = parser.parse_args(argv)
    records = arguments.responses and arguments.contexts
    if bool(arguments.pairs) == bool(records) or (
        arguments.pairs and (arguments.responses or arguments.contexts)
    ):
        parser.error("give either --pairs, or --responses and --contexts")
    return arguments


def _params(arguments: argparse.Namespace) -> ScoreParams:
    path = arguments.params or Path(PARAMS)
    alone = arguments.pairs and not arguments.params and not path.exists()
    params = ScoreParams() if alone else read_params("score", ScoreParams, path)
    return params.model_copy(update={"semantic": False}) if arguments.no_semantic else params


def _read_pairs(path: Path) -> list[Pair]:
    pairs = [
        pair if pair.id is not None else pair.model_copy(update={"id": f"pair#{number}"})
        for number, pair in enumerate(read_records(path, Pair), start=1)
    ]
    return _checked(pairs, path)


def _match(responses_file: Path, contexts_file: Path) -> list[Pair]:
    responses = {response.id: response for response in read_records(responses_file, Response)}
    contexts = {context.id: context for context in read_records(contexts_file, Context)}
    for missing in sorted(contexts.keys() - responses.keys(), key=natural_key):
        raise InputError(
            f"no response to this context of {contexts_file}", file=responses_file, record=missing
        )
    for missing in sorted(responses.keys() - contexts.keys(), key=natural_key):
        raise InputError(
            f"no context of this response of {responses_file}", file=contexts_file, record=missing
        )
    return _checked(
        [
            Pair(id=identity, response=responses[identity].text, reference=contexts[identity].golden)
            for identity in sorted(responses, key=natural_key)
        ],
        responses_file,
    )


def _checked(pairs: list[Pair], path: Path) -> list[Pair]:
    """Return the pairs, at least one, all of whose texts are Unicode (JSON can hold half a character)."""
    if not pairs:
        raise InputError("holds nothing to score", file=path)
    for number, pair in enumerate(pairs, start=1):
        for field, value in pair.model_dump().items():
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise InputError("holds half a surrogate pair", file=path, record=f"{number}", field=field)
    return pairs


def _details(pairs: list[Pair], scores: Scores) -> list[TextScores]:
    metrics = scores.per_response
    rows = zip(*metrics.values(), strict=True)
    return [
        TextScores(id=pair.id, **dict(zip(metrics, row, strict=True)))
        for pair, row in zip(pairs, rows, strict=True)
    ]


if __name__ == "__main__":
    run(main)
