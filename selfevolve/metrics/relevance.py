"""How near responses are to what the seeker said: cosines, their distribution, and how two overlap.

The paper's figure 5 shows "response relevance to user statements in the dialogue history" without a
formula. Here it is the mean, over the seeker's turns of the context, of the cosine between the response's
sentence vector and the turn's (`sentence_vectors`): every statement counts alike, and none is cut
off for being early in a long dialogue.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from selfevolve.metrics.semantic import Encoder, Reader
from selfevolve.metrics.statistics import mean_and_interval, paired_permutation
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import NonEmpty, Preference
from selfevolve.runtime.parameters import Params

COLUMNS = ("relevance", "chosen_percent", "rejected_percent", "chosen_density", "rejected_density")
SEED = 42  # of the intervals and the test
Values = dict[str, list[float]]
"""`chosen` and `rejected`, one number a pair each."""
EDGES = np.linspace(-1, 1, 101)  # of the histogram's bins
_GRID = np.linspace(-1.5, 1.5, 6001)  # of the integral; a density has tails beyond the values
_LEAST_SPREAD = 0.01  # standard deviation below which a density is a needle that the grid would miss


class RelevanceParams(Params):
    """Section `relevance` of params.yaml: which encoder makes the sentence vectors.

    It is not `score.encoder`: BERTScore's best encoder, roberta-large, makes no good sentence vectors.
    """

    encoder: NonEmpty = "minilm"
    num_layers: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)


class Asked(NamedTuple):
    """The seeker's turns of one context (at least one), and the texts whose relevance is asked."""

    seeker: Sequence[str]
    responses: Sequence[str]


def relevance(
    asked: Sequence[Asked], encoder: Encoder, batch_size: int = 64
) -> tuple[NDArray[np.float64], int]:
    """Return the relevance of every response (-1..1), [contexts, responses], and how many texts were cut.

    All contexts have the same number of responses. The batch size changes speed and memory only.
    """
    texts = {text for one in asked for text in (*one.seeker, *one.responses)}
    vectors, truncated = sentence_vectors(texts, encoder, batch_size)
    rows = []
    for one in asked:
        seeker = np.mean([vectors[text] for text in one.seeker], axis=0, dtype=np.float64)
        rows.append([float(seeker @ vectors[text]) for text in one.responses])
    return np.array(rows), truncated


def sentence_vectors(
    texts: Collection[str], encoder: Encoder, batch_size: int = 64
) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Return one unit vector [size] for each different text, and how many were cut to the window.

    The mean of the states of all tokens of the text in the encoder's last layer that is read, those that
    mark its beginning and end included, without padding, scaled to length 1: what sentence-transformers
    does for the encoder `minilm` (mean pooling, then normalising).
    """
    reader = Reader(encoder)
    ordered = sorted(set(texts), key=lambda text: (len(text), text))
    vectors: dict[str, NDArray[np.float32]] = {}
    for text, _, states in reader.read(ordered, batch_size):
        mean = states.mean(dim=0)
        vectors[text] = (mean / mean.norm()).numpy()
    return vectors, len(reader.truncated)


def shares(values: Sequence[float]) -> list[float]:
    """Return which percent of the values (at least one, -1..1) falls into each bin between `EDGES`."""
    counts, _ = np.histogram(np.clip(values, -1, 1), EDGES)
    return (100 * counts / len(values)).tolist()


def density(values: Sequence[float]) -> list[float] | None:
    """Return the density at the middle of each bin; None where the values hardly differ.

    Gaussian kernels with Scott's bandwidth (scipy's `gaussian_kde`).
    """
    return None if _needle(values) else _kernels(values)((EDGES[:-1] + EDGES[1:]) / 2).tolist()


def overlap(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the area under the lower one of two densities: 0 apart, 1 the same; None as for `density`."""
    if _needle(first) or _needle(second):
        return None
    lower = np.minimum(_kernels(first)(_GRID), _kernels(second)(_GRID))
    return min(1.0, float(np.trapezoid(lower, _GRID)))


def pair_words(pairs: Sequence[Preference]) -> dict[str, Any]:
    """Return the lengths of both responses in words, compared, and where the chosen ones come from."""
    words = {
        side: [float(len(getattr(pair, side).value.split())) for pair in pairs]
        for side in ("chosen", "rejected")
    }
    sources = Counter(pair.chosen_source for pair in pairs)
    return {
        "words": _compared(words, _dialogues(pairs)),
        "chosen_source": {
            source: {"pairs": count, "percent": 100 * count / len(pairs)}
            for source, count in sorted(sources.items())
        },
    }


def pair_relevance(
    pairs: Sequence[Preference], encoder: Encoder, batch_size: int
) -> tuple[Values, dict[str, Any]]:
    """Return the relevance of both responses of every pair, and what is reported of them.

    The report also has each source of chosen responses alone: a golden response in the place of a refined
    one is no refinement.
    """
    asked = [
        Asked(
            [message.value for message in pair.conversations if message.from_ == "human"],
            [pair.chosen.value, pair.rejected.value],
        )
        for pair in pairs
    ]
    found, truncated = relevance(asked, encoder, batch_size)
    values = {"chosen": found[:, 0].tolist(), "rejected": found[:, 1].tolist()}
    dialogues = _dialogues(pairs)
    nearer = [c > r for c, r in zip(values["chosen"], values["rejected"], strict=True)]
    area = overlap(values["chosen"], values["rejected"])
    by_source: dict[str, Any] = {}
    for source in sorted({pair.chosen_source for pair in pairs}):
        at = [number for number, pair in enumerate(pairs) if pair.chosen_source == source]
        own = {side: [values[side][number] for number in at] for side in values}
        by_source[source] = {"pairs": len(at), **_compared(own, [dialogues[number] for number in at])}
    return values, {
        **_compared(values, dialogues),
        "chosen_nearer": 100 * sum(nearer) / len(nearer),
        "overlap": "not available" if area is None else area,
        "by_source": by_source,
        "truncated": truncated,
        "signature": f"{encoder.vector_signature}|mean over the seeker's turns",
    }


def distribution(values: Values) -> list[list[Any]]:
    """Return a line of `COLUMNS` for each bin; a density is None where `density` has none.

    Six decimals: what lies far from all values would be noise of 1e-30 otherwise.
    """
    sides = [values["chosen"], values["rejected"]]
    middles = [f"{middle:.2f}" for middle in (EDGES[:-1] + EDGES[1:]) / 2]
    nothing = [None] * len(middles)
    columns = [middles, *map(shares, sides), *(density(side) or nothing for side in sides)]
    return [
        [middle, *(None if cell is None else round(cell, 6) for cell in cells)]
        for middle, *cells in zip(*columns, strict=True)
    ]


def _dialogues(pairs: Sequence[Preference]) -> list[str]:
    return [dialogue_of(pair.id) for pair in pairs]


def _compared(values: Values, dialogues: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return means and intervals of `chosen` and `rejected`, and of the margin between them with its p."""
    margin = [c - r for c, r in zip(values["chosen"], values["rejected"], strict=True)]
    p = paired_permutation(values["rejected"], values["chosen"], dialogues, seed=SEED)
    return {
        **{side: mean_and_interval(values[side], dialogues, seed=SEED) for side in ("chosen", "rejected")},
        "margin": mean_and_interval(margin, dialogues, seed=SEED) | {"p": p},
    }


def _needle(values: Sequence[float]) -> bool:
    return len(values) < 2 or float(np.std(values)) < _LEAST_SPREAD


def _kernels(values: Sequence[float]) -> Any:
    from scipy.stats import gaussian_kde  # here, since it takes a second to load

    return gaussian_kde(values)
