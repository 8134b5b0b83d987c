"""Say how sure the scores of models are, and the differences between two: `python -m stages.compare ...`.

    python -m stages.compare --contexts C.jsonl --out FILE.json \\
        --responses m0=R.jsonl --details m0=D.jsonl --scores m0=text.json [--facts m0=F.jsonl] \\
        [--responses m1=... --details m1=... --scores m1=... --pair m0:m1]

Options of NAME=FILE are given once a model, `--pair` as often as wanted. Every score of both protocols, and
of the seeker's own facts where `--facts` is given, gets an interval over dialogues; every pair gets the
differences, their intervals, and two paired tests corrected by Holm's method. Nothing is generated or scored
here: `--scores` and `--details` are what stages.score wrote of the responses. Section `compare` of the
parameters: `seed`, `resamples`, `level`.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.command import Params, read_params, run
from stages.records.errors import InputError
from stages.records.jsonl import read_records
from stages.records.publish import publish_json
from stages.records.schema import Takeup
from stages.scoring.dialogues import Score, dialogue_of, mean
from stages.scoring.measured import Files, Measured, read_measured, read_references, require_same_signatures
from stages.scoring.resampling import Resampling, compare, estimate
from stages.scoring.significance import holm
from stages.world.takeup import Taken

BY_MODEL = {
    "responses": "its Response records",
    "details": "each response's own scores",
    "scores": "the summary of its scores",
    "facts": "the facts each response takes up (mini world)",
}
TESTS = ("p_bootstrap", "p_randomisation")
# A family of tests is what answers one question in one reading. A pair of models is a question of its own,
# put before the answers are seen; a reader takes one protocol, in which any of its scores may answer; and the
# two tests are two ways to the same answer. So one pair more or less changes no other pair's adjusted p.
METHODS = {
    "interval": "percentile bootstrap over dialogues; distinct of the corpus by jackknife pseudo-values",
    "p_bootstrap": "paired bootstrap over dialogues, two-sided",
    "p_randomisation": "approximate randomisation of whole dialogues, two-sided",
    "holm": "a family is one test on all scores of one group (paper, standard, facts) of one pair of models",
}


class CompareParams(Params):
    """Section `compare` of params.yaml."""

    seed: int = Field(ge=0)
    resamples: int = Field(ge=1000)
    level: float = Field(gt=0, lt=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the models, take the intervals and the tests, and publish them."""
    args = _arguments(argv)
    params = read_params("compare", CompareParams, args.params)
    how = Resampling(params.seed, params.resamples, params.level)
    references = read_references(args.contexts)
    models = {
        name: read_measured(Files(path, args.details[name], args.scores[name]), references)
        for name, path in args.responses.items()
    }
    if args.facts:
        _add_facts(models, args.facts, references)
    for first, last in args.pair:
        require_same_signatures((first, last), (models[first], models[last]), args.scores[last])
    result = {
        "dialogues": len({dialogue_of(identity) for identity in references}),
        "responses": len(references),
        **params.model_dump(),
        "methods": METHODS,
        "models": {name: _estimates(measured, how) for name, measured in models.items()},
        "pairs": [
            {"first": first, "last": last, **_differences(models[first], models[last], how)}
            for first, last in args.pair
        ],
    }
    publish_json(args.out, result)
    for name, found in result["models"].items():
        for metric, reason in found["not_available"].items():
            print(f"{name}: {metric}: not available ({reason})")


def _estimates(measured: Measured, how: Resampling) -> dict[str, Any]:
    """Return one model's scores with their intervals, by group, and what has none with its reason."""
    groups, not_available = _resampled(measured.groups, measured.not_available)
    return {
        **{
            group: {metric: estimate(score, how)._asdict() for metric, score in scores.items()}
            for group, scores in groups.items()
        },
        "signatures": measured.signatures,
        "not_available": not_available,
    }


def _differences(first: Measured, last: Measured, how: Resampling) -> dict[str, Any]:
    """Return what differs between two models, by group, with p-values adjusted within the group."""
    groups, not_available = _resampled(last.groups, first.not_available | last.not_available)
    result: dict[str, Any] = {}
    for group, scores in groups.items():
        both = {metric: score for metric, score in scores.items() if metric in first.groups.get(group, {})}
        found = {
            metric: compare(first.groups[group][metric], score, how)._asdict()
            for metric, score in both.items()
        }
        for test in TESTS:
            adjusted = holm({metric: values[test] for metric, values in found.items()})
            for metric, p in adjusted.items():
                found[metric][f"{test}_holm"] = p
        result[group] = found
    return {**result, "not_available": not_available}


def _resampled(
    groups: Mapping[str, Mapping[str, Score]], not_available: Mapping[str, str]
) -> tuple[dict[str, dict[str, Score]], dict[str, str]]:
    """Return the scores that rest on two dialogues or more, and the absences with those that do not."""
    reasons = dict(not_available)
    kept: dict[str, dict[str, Score]] = {}
    for group, scores in groups.items():
        kept[group] = {metric: score for metric, score in scores.items() if len(score.dialogues) > 1}
        alone = [metric for metric in scores if metric not in kept[group]]
        reasons |= dict.fromkeys(alone, "rests on one dialogue")
    return kept, reasons


def _add_facts(
    models: Mapping[str, Measured], files: Mapping[str, Path], references: Mapping[str, str]
) -> None:
    """Add the group `facts` to every model, or the reason why there is none."""
    first: dict[str, list[str]] | None = None
    for name, measured in models.items():
        records = {record.id: record for record in read_records(files[name], Takeup)}
        if unasked := [identity for identity in records if identity not in references]:
            raise InputError("is of no context that is asked for", file=files[name], record=unasked[0])
        known = {identity: records[identity].known for identity in references if identity in records}
        first = known if first is None else first
        for identity in references:
            if first.get(identity) != known.get(identity):
                message = f"is not what it is in {next(iter(files.values()))}"
                raise InputError(message, file=files[name], record=identity, field="known")
        if known:
            measured.groups["facts"] = _fact_scores([records[identity] for identity in known])
        else:
            measured.not_available["facts"] = "no dialogue has a hidden profile"


def _fact_scores(records: Sequence[Takeup]) -> dict[str, Score]:
    """Return the means of stages.world.takeup.summarize; `own_share` only where a fact is known."""
    taken = [Taken(tuple(r.known), tuple(r.own), tuple(r.early), tuple(r.wrong), r.words) for r in records]
    values: dict[str, list[float | None]] = {
        "own_share": [one.share for one in taken],
        "own_count": [len(one.own) for one in taken],
        "personal": [100 * one.personal for one in taken],
        "generic": [100 * one.generic for one in taken],
        "wrong": [100 * bool(one.wrong) for one in taken],
        "words": [one.words for one in taken],
    }
    if not any(one.known for one in taken):
        del values["own_share"]
    ids = [record.id for record in records]
    return {metric: mean(ids, column) for metric, column in values.items()}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for option, text in BY_MODEL.items():
        needed = option != "facts"
        parser.add_argument(f"--{option}", action="append", required=needed, metavar="NAME=FILE", help=text)
    parser.add_argument("--contexts", type=Path, required=True, help="the Context records all models answer")
    parser.add_argument("--pair", action="append", default=[], metavar="FIRST:LAST", help="models to compare")
    parser.add_argument("--out", type=Path, required=True, help="intervals and tests (JSON)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    for option in BY_MODEL:
        given = [value.partition("=") for value in getattr(args, option) or []]
        files = {name: Path(file) for name, _, file in given}
        if len(files) < len(given) or not all(name and file for name, _, file in given):
            parser.error(f"--{option} takes NAME=FILE, and each name once")
        setattr(args, option, files)
        if files.keys() != args.responses.keys() and (files or option != "facts"):
            parser.error(f"--{option} must name the models that --responses names")
    args.pair = [tuple(value.split(":")) for value in args.pair]
    for pair in args.pair:
        if len(set(pair)) != 2 or len(pair) != 2 or not args.responses.keys() >= set(pair):
            parser.error("--pair takes FIRST:LAST, two of the models that --responses names")
    return args


if __name__ == "__main__":
    run(main)
