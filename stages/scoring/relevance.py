"""How near responses are to what the seeker said: cosines, their distribution, and how two overlap.

The paper's figure 5 shows "response relevance to user statements in the dialogue history" without a
formula. Here it is the mean, over the seeker's turns of the context, of the cosine between the response's
sentence vector and the turn's (`semantic.sentence_vectors`): every statement counts alike, and none is cut
off for being early in a long dialogue.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.scoring.semantic import Encoder, sentence_vectors

EDGES = np.linspace(-1, 1, 101)  # of the histogram's bins
_GRID = np.linspace(-1.5, 1.5, 6001)  # of the integral; a density has tails beyond the values
_LEAST_SPREAD = 0.01  # standard deviation below which a density is a needle that the grid would miss


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


def _needle(values: Sequence[float]) -> bool:
    return len(values) < 2 or float(np.std(values)) < _LEAST_SPREAD


def _kernels(values: Sequence[float]) -> Any:
    from scipy.stats import gaussian_kde  # here, since it takes a second to load

    return gaussian_kde(values)
