"""Studies of known truth: an export as a study would leave it, and what its analysis ought to find.

Truth is what the same estimators give in the limit: in closed form where there is one, else of a sample so
large that its error does not matter.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from selfevolve.metrics.statistics import Floats
from selfevolve.runtime.files import publish_json, publishing

_LARGE = 20_000  # units of the sample that alpha is read from
T = TypeVar("T")


@dataclass(frozen=True)
class Truth:
    """What is so in a simulated study.

    quality: point-wise, the latent mean (on the scale of 1 to 5) of every model in every dimension.
    strengths: pair-wise, natural logarithms of Bradley-Terry strengths.
    severity, item, noise: standard deviations of raters, of items and of single ratings.
    position: logits in favour of the answer shown first; ties: their share.
    """

    models: Sequence[str] = ("m0", "m1", "m2")
    dimensions: Sequence[str] = ("empathy", "overall")
    quality: Sequence[Sequence[float]] = ((2.8, 2.6), (3.3, 3.2), (3.6, 3.3))
    strengths: Sequence[float] = (-0.6, 0.1, 0.5)
    severity: float = 0.4
    item: float = 0.8
    noise: float = 0.6
    position: float = 0.0
    ties: float = 0.0


@dataclass(frozen=True)
class Size:
    """How large a study is; a pair-wise session has `turns` comparisons."""

    raters: int = 20
    sessions: int = 6
    items: int = 30
    raters_per_item: int = 3
    turns: int = 10


def pointwise(folder: Path, truth: Truth, size: Size, seed: int) -> dict[str, Any]:
    """Write a point-wise study and return its truth: `means` by dimension and model, `alpha` by dimension.

    Alpha is that of these raters, as severe as they were drawn, over endlessly many items.
    """
    rng = np.random.default_rng(seed)
    severity = rng.normal(0, truth.severity, size.raters)
    quality = np.asarray(truth.quality)
    models = dict(enumerate(truth.models))
    sessions, ratings = [], []
    for rater, name, model, session in _sessions(size, "pointwise", list(models)):
        sessions.append(session | {"model": models[model]})
        latent = quality[model] + severity[rater] + rng.normal(0, truth.item)
        ratings += _ratings(rater, name, models[model], latent, truth, rng)
    for rater, unit, model, effect in _items(size, truth, list(models), rng):
        latent = quality[model] + severity[rater] + effect
        ratings += _ratings(rater, unit, models[model], latent, truth, rng)
    _write(folder, "pointwise", truth, {"sessions": sessions, "ratings": ratings})
    spread = float(np.sqrt(truth.severity**2 + truth.item**2 + truth.noise**2))
    columns = dict(zip(truth.dimensions, quality.T, strict=True))
    return {
        "means": {
            dimension: {models[row]: _expected(mean, spread) for row, mean in enumerate(column)}
            for dimension, column in columns.items()
        },
        "alpha": {
            dimension: _large_alpha(column, severity, truth, size) for dimension, column in columns.items()
        },
    }


def pairwise(folder: Path, truth: Truth, size: Size, seed: int) -> dict[str, Any]:
    """Write a pair-wise study and return its truth.

    `win_rates` by (later, earlier) model, `first` the share of decided comparisons that the first answer
    wins, `scores` the Bradley-Terry scores, which are the strengths where there are no ties and no bias.
    """
    rng = np.random.default_rng(seed)
    every = [(a, b) for b in range(len(truth.models)) for a in range(b)]
    sessions, comparisons = [], []
    for rater, name, pair, session in _sessions(size, "pairwise", every):
        sessions.append(session | {"models": [truth.models[one] for one in pair]})
        for turn in range(size.turns):
            shown = rng.permutation(pair)
            comparisons.append(_comparison(rater, f"{name}#{turn}", shown, 0.0, truth, rng))
    for rater, unit, pair, effect in _items(size, truth, every, rng):
        comparisons.append(_comparison(rater, unit, rng.permutation(pair), effect, truth, rng))
    _write(folder, "pairwise", truth, {"sessions": sessions, "comparisons": comparisons})
    return _pairwise_truth(truth, every)


def _sessions(size: Size, mode: str, models: Sequence[T]) -> Iterator[tuple[int, str, T, dict[str, Any]]]:
    """Yield rater, name, model or pair of models, and the record of every session."""
    for rater in range(size.raters):
        for number in range(size.sessions):
            name = f"s{rater:03}-{number:02}"
            moment = f"2025-01-{1 + number // 24:02}T{number % 24:02}:00:00Z"
            record = {"session": name, "rater": _name(rater), "mode": mode, "state": "submitted"}
            record |= {"started_at": moment, "active_s": 300.0, "turns": 8}
            yield rater, name, models[(rater + number) % len(models)], record


def _items(
    size: Size, truth: Truth, models: Sequence[T], rng: np.random.Generator
) -> Iterator[tuple[int, str, T, float]]:
    """Yield rater, unit, model or pair of models, and the item's effect, for every item and its raters."""
    for item in range(size.items):
        effect = rng.normal(0, truth.item)
        for rater in rng.choice(size.raters, size.raters_per_item, replace=False):
            yield int(rater), f"item:i{item:03}", models[item % len(models)], effect


def _pairwise_truth(truth: Truth, every: Sequence[tuple[int, int]]) -> dict[str, Any]:
    from choix import ilsr_pairwise_dense

    won = np.zeros((len(truth.models), len(truth.models)))
    first = []
    for a, b in every:
        better = truth.strengths[b] - truth.strengths[a]
        shown_first, shown_second = expit(better + truth.position), expit(better - truth.position)
        won[b, a] = truth.ties / 2 + (1 - truth.ties) * (shown_first + shown_second) / 2
        won[a, b] = 1 - won[b, a]
        first.append((shown_first + 1 - shown_second) / 2)
    scores = ilsr_pairwise_dense(won)
    return {
        "win_rates": {(truth.models[b], truth.models[a]): float(won[b, a]) for a, b in every},
        "scores": dict(zip(truth.models, map(float, scores - scores.mean()), strict=True)),
        "first": float(np.mean(first)),
    }


def _expected(mean: float, spread: float) -> float:
    """Return the mean of a normal number that is rounded and cut to 1 .. 5."""
    return float(1 + sum(norm.sf(edge, mean, spread) for edge in (1.5, 2.5, 3.5, 4.5)))


def _large_alpha(quality: Floats, severity: Floats, truth: Truth, size: Size) -> float:
    import krippendorff

    rng = np.random.default_rng(0)
    raters = np.argsort(rng.random((_LARGE, size.raters)), axis=1)[:, : size.raters_per_item]
    latent = np.resize(quality, _LARGE)[:, np.newaxis] + rng.normal(0, truth.item, (_LARGE, 1))
    given = _rounded(latent + severity[raters] + rng.normal(0, truth.noise, raters.shape))
    table = (given[:, :, np.newaxis] == np.arange(1, 6)).sum(axis=1)
    return float(krippendorff.alpha(value_counts=table, level_of_measurement="ordinal"))


def _rounded(latent: Floats) -> Any:
    return np.clip(np.floor(latent + 0.5), 1, 5).astype(int)


def _ratings(
    rater: int, unit: str, model: str, latent: Floats, truth: Truth, rng: np.random.Generator
) -> list[dict[str, Any]]:
    scores = _rounded(latent + rng.normal(0, truth.noise, len(latent)))
    return [
        {"rater": _name(rater), "unit": unit, "model": model, "dimension": dimension, "score": int(score)}
        for dimension, score in zip(truth.dimensions, scores, strict=True)
    ]


def _comparison(
    rater: int, unit: str, shown: Sequence[int], effect: float, truth: Truth, rng: np.random.Generator
) -> dict[str, Any]:
    """Return a comparison; `effect` favours the later model of the two, whichever side it is on."""
    first, second = map(int, shown)
    better = truth.strengths[first] - truth.strengths[second] + truth.position
    better += effect if first > second else -effect
    winner = "tie" if rng.random() < truth.ties else "first" if rng.random() < expit(better) else "second"
    return {
        "rater": _name(rater),
        "unit": unit,
        "position": 0,
        "first": truth.models[first],
        "second": truth.models[second],
        "winner": winner,
        "seconds": 20.0,
    }


def _name(rater: int) -> str:
    return f"r{rater:03}"


def _write(folder: Path, mode: str, truth: Truth, lines: dict[str, list[dict[str, Any]]]) -> None:
    dimensions = list(truth.dimensions) if mode == "pointwise" else []
    study = {"name": f"simulated {mode}", "mode": mode, "models": list(truth.models)}
    publish_json(folder / "study.json", study | {"dimensions": dimensions})
    publish_json(folder / "withdrawals.json", {"count": 0})
    for name in ("sessions", "ratings", "comparisons", "attention"):
        with publishing(folder / f"{name}.jsonl") as temporary:
            text = "".join(json.dumps(line) + "\n" for line in lines.get(name, []))
            temporary.write_text(text, encoding="utf-8")
