"""Scores as functions of dialogues: their intervals, and differences of two models on the same dialogues.

The turns of a dialogue resemble each other, so whole dialogues are drawn and exchanged. A score keeps what it
is made of by dialogue, from which it is computed again for every draw or exchange: sums and counts for means,
sacreBLEU's n-gram counts and lengths for BLEU of the corpus, the n-grams themselves for Distinct of the
corpus.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from selfevolve.metrics.scripts import spaced
from selfevolve.metrics.statistics import (
    Counts,
    Flags,
    Floats,
    Resampling,
    bootstrap,
    bounds,
    randomisation,
    times_drawn,
)
from selfevolve.metrics.text import (
    BLEU_ORDERS,
    DISTINCT_ORDERS,
    bleu_orders,
    named,
    ngrams,
    treebank_words,
)
from selfevolve.records.jsonl import dialogue_of

Ngram: TypeAlias = tuple[str, ...]
_BLOCK = 256  # exchanges for which Distinct is counted at a time
_TIE = 1e-9  # what differs by less, differs by rounding


class Totals:
    """A score that is a function of sums over responses, such as a mean or BLEU of the corpus.

    Args:
        dialogues: their names, at least one.
        totals: the sums of every dialogue (dialogues x sums).
        formula: the score of sums: (..., sums) -> (...).
    """

    def __init__(self, dialogues: Iterable[str], totals: Floats, formula: Callable[[Floats], Floats]):
        self.dialogues = tuple(dialogues)
        self._totals, self._formula = totals, formula
        self.value = float(formula(totals.sum(axis=0)))

    def resampled(self, times: Counts) -> Floats:
        """Return the score of every draw: `times` (draws x dialogues) says how often each was drawn."""
        return self._formula(times @ self._totals)

    def exchanged(self, other: "Totals", swap: Flags) -> Floats:
        """Return the difference, the other's side minus this one's, after every exchange.

        `other` is the same score of another model on the same dialogues; `swap` (exchanges x dialogues)
        says of which dialogues the two models' responses change sides.
        """
        moved = swap @ (other._totals - self._totals)
        sums, others = self._totals.sum(axis=0), other._totals.sum(axis=0)
        return self._formula(others - moved) - self._formula(sums + moved)


class CorpusDistinct:
    """Distinct of the corpus (0..100): the share of all n-grams, dialogues together, that differ.

    The number of different n-grams is no function of sums, and an ordinary bootstrap of it is wrong: a draw
    repeats dialogues, which adds n-grams but no different ones, so that the draws lie below the score and
    their interval may not even hold it. So what is drawn is each dialogue's jackknife pseudo-value, by which
    the score is linear in the draws (Efron and Tibshirani 1993, chapter 11). An exchange repeats nothing
    and is counted as it is.

    Args:
        dialogues: their names, at least one.
        found: the n-grams of every dialogue, in any order, as often as they occur.
    """

    def __init__(self, dialogues: Iterable[str], found: Sequence[Sequence[Ngram]]):
        self.dialogues = tuple(dialogues)
        self._different = [set(some) for some in found]
        self._counts = np.array([len(some) for some in found], dtype=np.float64)
        places = Counter(ngram for some in self._different for ngram in some)
        own = np.array([sum(places[ngram] == 1 for ngram in some) for some in self._different])
        self.value = float(_share(np.array(float(len(places))), self._counts.sum()))
        without = _share(len(places) - own, self._counts.sum() - self._counts)
        # Pseudo-values are D * value - (D - 1) * without; only their deviations from the mean are needed.
        self._influence = (len(own) - 1) * (without.mean() - without)

    def resampled(self, times: Counts) -> Floats:
        """Return the score of every draw, linearised."""
        return self.value + times @ self._influence / len(self.dialogues)

    def exchanged(self, other: "CorpusDistinct", swap: Flags) -> Floats:
        """Return the differences after every exchange."""
        from scipy.sparse import csr_matrix  # here, since it takes a moment to load

        # What both models say in one dialogue, both sides hold after any exchange. Of the rest, n-grams that
        # occur in the same dialogues of the same models come and go together.
        pairs = zip(self._different, other._different, strict=True)
        always = set().union(*(one & two for one, two in pairs))
        places: dict[Ngram, list[int]] = defaultdict(list)
        for place, some in enumerate([*self._different, *other._different]):
            for ngram in some - always:
                places[ngram].append(place)
        patterns = Counter(map(tuple, places.values()))
        ends = np.cumsum([0, *map(len, patterns)])
        at = np.fromiter((place for pattern in patterns for place in pattern), dtype=np.int64)
        shape = len(patterns), 2 * len(self.dialogues)
        there = csr_matrix((np.ones(len(at), dtype=np.float32), at, ends), shape=shape)
        numbers = np.fromiter(patterns.values(), dtype=np.float64)
        counts = np.concatenate([self._counts, other._counts])

        def share(chosen: Flags) -> Floats:
            different = numbers @ (there @ chosen.T.astype(np.float32) > 0)
            return _share(len(always) + different, chosen @ counts)

        blocks = [swap[start : start + _BLOCK] for start in range(0, len(swap), _BLOCK)]
        sides = [(np.hstack([~block, block]), np.hstack([block, ~block])) for block in blocks]
        return np.concatenate([share(other_side) - share(side) for side, other_side in sides])


Score: TypeAlias = Totals | CorpusDistinct
"""One score of one model, in its own unit: `value` over all of its `dialogues`."""


class Estimate(NamedTuple):
    """A score and the bounds of its interval, in the score's unit; the number of its dialogues."""

    value: float
    low: float
    high: float
    dialogues: int


class Difference(NamedTuple):
    """The last model's score minus the first's, the bounds of its interval, and two-sided p-values."""

    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float
    dialogues: int


def estimate(score: Score, how: Resampling) -> Estimate:
    """Return a score of at least two dialogues with its percentile-bootstrap interval over dialogues."""
    return Estimate(score.value, *bounds(draws(score, how), how.level), len(score.dialogues))


def draws(score: Score, how: Resampling) -> Floats:
    """Return the score of every bootstrap resample of its dialogues, [resamples]."""
    return bootstrap(lambda drawn: score.resampled(times_drawn(drawn)), len(score.dialogues), how)


def compare(first: Score, last: Score, how: Resampling) -> Difference:
    """Return the difference of a score between two models, its interval, and two tests of it.

    Paired bootstrap: p is the chance that the difference of a draw is as far from the mean of all draws as
    the observed one is from 0. Approximate randomisation: p is the chance of so large a difference if the
    two models' responses can be exchanged, whole dialogues at a time.

    Raises:
        ValueError: they are not of the same dialogues, or of fewer than two.
    """
    if first.dialogues != last.dialogues:
        raise ValueError("the scores are not of the same dialogues")
    difference, dialogues = last.value - first.value, len(first.dialogues)
    drawn = draws(last, how) - draws(first, how)
    beyond = np.abs(drawn - drawn.mean()) >= abs(difference) - _TIE
    return Difference(
        difference,
        *bounds(drawn, how.level),
        float((1 + beyond.sum()) / (1 + len(drawn))),
        randomisation(lambda swap: first.exchanged(last, swap), difference, dialogues, how, _TIE),
        dialogues,
    )


def mean(ids: Sequence[str], values: Sequence[float | None]) -> Totals:
    """Return the mean of one value a response: finite numbers, at least one, and None where there is none."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for identity, value in zip(ids, values, strict=True):
        if value is not None:
            if not np.isfinite(value):
                raise ValueError(f"the value of {identity} is not a finite number")
            sums[dialogue_of(identity)][0] += value
            sums[dialogue_of(identity)][1] += 1
    if not sums:
        raise ValueError("there is no value to take the mean of")
    return Totals(sums, np.array(list(sums.values())), lambda totals: totals[..., 0] / totals[..., 1])


def corpus_bleu(ids: Sequence[str], responses: Sequence[str], references: Sequence[str]) -> dict[str, Totals]:
    """Return BLEU of the corpus in the orders 1 to 4, as selfevolve.metrics.text.corpus_bleu has it."""
    from sacrebleu.metrics import BLEU

    # effective_order is about the score of a sentence, which is not used, and spares a warning about it.
    metric = BLEU(lowercase=True, max_ngram_order=BLEU_ORDERS[-1], effective_order=True)
    totals: dict[str, Floats] = {}
    for identity, response, reference in zip(ids, responses, references, strict=True):
        found = metric.sentence_score(spaced(response), [spaced(reference)])
        counts = np.array([found.sys_len, found.ref_len, *found.counts, *found.totals], dtype=np.float64)
        totals[dialogue_of(identity)] = totals.get(dialogue_of(identity), 0) + counts
    table = np.array(list(totals.values()))
    orders = bleu_orders(references)
    scores = [Totals(totals, table, lambda sums, order=order: _bleu(sums, order)) for order in orders]
    return named("bleu", orders, scores)


def corpus_distinct(ids: Sequence[str], responses: Sequence[str]) -> dict[str, CorpusDistinct]:
    """Return Distinct-1 to Distinct-3 of the corpus, as selfevolve.metrics.text.corpus_distinct has them."""
    words: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for identity, response in zip(ids, responses, strict=True):
        words[dialogue_of(identity)].append(treebank_words(response))
    scores = []
    for order in DISTINCT_ORDERS:
        found = [[ngram for text in texts for ngram in ngrams(text, order)] for texts in words.values()]
        scores.append(CorpusDistinct(words, found))
    return named("distinct", DISTINCT_ORDERS, scores)


def _bleu(sums: Floats, order: int) -> Floats:
    """SacreBLEU's score (0..100) of summed counts, with its default smoothing `exp`.

    `sums` (..., 10) are the lengths of responses and references, then of the orders 1 to 4 the n-grams
    that match, and all n-grams of the responses.
    """
    length, reference = sums[..., 0], sums[..., 1]
    matches, all_ = sums[..., 2 : 2 + order], sums[..., 6 : 6 + order]
    none = matches == 0
    halves = 0.5 ** none.cumsum(axis=-1)  # each order without a match counts half of what the last one did
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(all_ > 0, np.where(none, halves, matches) / all_, 0.0)
        brevity = np.exp(np.minimum(0.0, 1 - reference / length))
        score = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    return np.where(none.all(axis=-1), 0.0, score)


def _share(different: Floats, all_: Floats) -> Floats:
    """Percent of n-grams that differ, 0 where there are none."""
    return 100 * np.divide(different, all_, out=np.zeros_like(all_, dtype=np.float64), where=all_ > 0)
