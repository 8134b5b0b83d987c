"""Two models in sessions with the same seekers: differences, their intervals, and two tests of each.

A session of one model is compared with the other's of the same id, so of the same card and the same seed.
Whole cards are drawn and exchanged. As in selfevolve.metrics.comparison, a family of tests is one test on all
scores of one pair of models, adjusted by Holm's method.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.metrics.comparison import TESTS, CompareParams
from selfevolve.metrics.dialogues import compare, estimate
from selfevolve.metrics.statistics import Resampling, holm
from selfevolve.records.jsonl import dialogue_of, read_records
from selfevolve.runtime.errors import InputError
from selfevolve.sessions.measures import Phrases, Scores, measure, totals
from selfevolve.sessions.session import Session

METHODS = {
    "interval": "percentile bootstrap over cards",
    "p_bootstrap": "paired bootstrap over cards, two-sided",
    "p_randomisation": "approximate randomisation of whole cards, two-sided",
    "holm": "a family is one test on all scores of one pair of models",
}


def compare_sessions(
    files: Mapping[str, Path],
    pairs: Sequence[tuple[str, str]],
    params: CompareParams,
    gold: Path | None = None,
) -> dict[str, Any]:
    """Return the scores of every model, and the differences and tests of every pair.

    Args:
        files: Session records by the name of a model; all with the same cards, numbers, seeker and seed.
        pairs: (first, last) by names of `files`; a difference is the last one's score minus the first one's.
        params: seed, resamples and level.
        gold: as for `Phrases.of`.

    Raises:
        InputError: a file has no sessions, or two files' sessions are not comparable; it names what differs.
    """
    how = Resampling(**params.model_dump())
    sessions = {name: read_sessions(path) for name, path in files.items()}
    names = list(files)
    for name in names[1:]:
        require_comparable(sessions[names[0]], sessions[name], files[names[0]], files[name])
    phrases = Phrases.of([one for found in sessions.values() for one in found.values()], gold)
    measured = {name: measure(list(found.values()), phrases) for name, found in sessions.items()}
    first = sessions[names[0]]
    return {
        "sessions": len(first),
        "cards": len({dialogue_of(identity) for identity in first}),
        **params.model_dump(),
        "methods": METHODS,
        "models": {
            name: {
                metric: estimate(score, how)._asdict()
                for metric, score in totals(scores).items()
                if len(score.dialogues) > 1
            }
            for name, scores in measured.items()
        },
        "pairs": [
            {"first": one, "last": other, **differences(measured[one], measured[other], how)}
            for one, other in pairs
        ],
    }


def differences(
    first: Mapping[str, Scores], last: Mapping[str, Scores], how: Resampling
) -> dict[str, dict[str, Any]]:
    """Return the differences of two models by score, with adjusted p-values, and what could not be compared.

    Of each score the sessions count that have it for both models; at least two cards must have one.
    """
    found: dict[str, Any] = {}
    lacking: dict[str, str] = {}
    for name in next(iter(first.values()), {}):
        both = [i for i in first if first[i][name] is not None and last[i][name] is not None]
        if len({dialogue_of(identity) for identity in both}) < 2:
            lacking[name] = f"both models have it with {len(both)} sessions, and it takes two cards"
            continue
        one, other = (totals({i: {name: side[i][name]} for i in both})[name] for side in (first, last))
        found[name] = compare(one, other, how)._asdict() | {"sessions": len(both)}
    for test in TESTS:
        for name, p in holm({name: values[test] for name, values in found.items()}).items():
            found[name][f"{test}_holm"] = p
    return {"scores": found, "not_available": lacking}


def read_sessions(path: Path) -> dict[str, Session]:
    """Return the sessions of a file, at least one, by id; raises InputError as `read_records`."""
    found = {session.id: session for session in read_records(path, Session)}
    if not found:
        raise InputError("has no sessions: run `converse` first", file=path)
    return found


def require_comparable(
    first: Mapping[str, Session], other: Mapping[str, Session], first_file: Path, file: Path
) -> None:
    """Raise InputError where two models did not talk with the same seekers."""
    for identity in [*first, *other]:
        if identity not in first or identity not in other:
            where = file if identity not in other else first_file
            message = "has no such session, and the other model does: hold both with the same parameters"
            raise InputError(message, file=where, record=identity)
        for field in ("seeker", "seed", "length", "resistant", "facts"):
            if getattr(first[identity], field) != getattr(other[identity], field):
                message = f"is not what it is in {first_file}: hold both with the same parameters"
                raise InputError(message, file=file, record=identity, field=field)
