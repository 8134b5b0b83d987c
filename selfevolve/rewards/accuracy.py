"""How well a reward tells human responses from a model's, and how much of that is length."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import Context, Preference
from selfevolve.rewards.measures import Asked, Reward

Floats = NDArray[np.float64]
MATCHED = 1.25  # the most that two texts of like length differ by, as a ratio of words
TIE = 1e-9  # two rewards that are closer than this, as a share of the largest one, differ by rounding only


class Scored(NamedTuple):
    """Rewards and words of both texts of pairs, [pairs, 2], the human text first; the pairs' dialogues."""

    rewards: Floats
    words: Floats
    dialogues: Sequence[str]


def length_reward() -> Reward:
    """Return the control that must fail once length is taken out: the longer a text, the better."""
    return lambda asked: [[float(len(text.split())) for text in one.texts] for one in asked]


def score_pairs(pairs: Sequence[Preference], contexts: Mapping[str, Context], reward: Reward) -> Scored:
    """Return the rewards of both texts of every pair; `contexts` are by id, those of the pairs at least."""
    asked = [Asked(contexts[pair.id], [pair.chosen.value, pair.rejected.value]) for pair in pairs]
    words = [[len(text.split()) for text in one.texts] for one in asked]
    dialogues = [dialogue_of(pair.id) for pair in pairs]
    return Scored(np.array(reward(asked)), np.array(words, dtype=np.float64), dialogues)


def measure(scored: Scored, seed: int) -> dict[str, Any]:
    """Return what a reward says of pairs, of which there is at least one.

    Args:
        scored: the pairs.
        seed: of the intervals over dialogues.

    Returns:
        `accuracy`, the percent of pairs whose human text has the larger reward, a tie counting half;
        `accuracy_without_length`, the same after what words predict of the reward was taken off: the slope is
        that among texts of the same writer, so that what the writers differ in is no part of it;
        `accuracy_matched`, that of the pairs whose texts have like numbers of words (MATCHED), with
        their number, absent where there is none; `rank_correlation_with_words`, Spearman's over all texts,
        None where all rewards or lengths are the same; `words_human` and `words_model`, means.
    """
    rewards, words = scored.rewards, scored.words
    residual = rewards - slope(words, rewards) * words
    ratio = words.max(axis=1) / np.maximum(1, words.min(axis=1))
    like = np.flatnonzero(ratio <= MATCHED)
    found: dict[str, Any] = {
        "accuracy": _accuracy(rewards, scored.dialogues, seed),
        "accuracy_without_length": _accuracy(residual, scored.dialogues, seed, np.abs(rewards).max()),
        "matched_pairs": len(like),
    }
    if len(like):
        dialogues = [scored.dialogues[at] for at in like]
        found["accuracy_matched"] = _accuracy(rewards[like], dialogues, seed)
    found["rank_correlation_with_words"] = rank_correlation(rewards.ravel(), words.ravel())
    return {**found, "words_human": words[:, 0].mean(), "words_model": words[:, 1].mean()}


def slope(words: Floats, rewards: Floats) -> float:
    """Return what one word more adds to the reward, by least squares among texts of the same writer."""
    longer, better = words - words.mean(axis=0), rewards - rewards.mean(axis=0)
    spread = float((longer**2).sum())
    return float((longer * better).sum()) / spread if spread else 0.0


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Return Spearman's rank correlation of two lists of numbers; None where one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    from scipy.stats import spearmanr  # here, since it takes a second to load

    return float(spearmanr(first, second).statistic)


def _accuracy(
    values: Floats, dialogues: Sequence[str], seed: int, scale: float | None = None
) -> dict[str, float]:
    difference = values[:, 0] - values[:, 1]
    tie = TIE * (np.abs(values).max() if scale is None else scale)
    won = np.where(np.abs(difference) <= tie, 50.0, np.where(difference > 0, 100.0, 0.0))
    return mean_and_interval(won.tolist(), dialogues, seed=seed)
