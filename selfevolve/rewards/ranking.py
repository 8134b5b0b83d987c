"""Rank the candidates of contexts by a reward."""

from collections.abc import Mapping, Sequence
from typing import Any

from selfevolve.records.schema import Candidate, Context, Ranking
from selfevolve.rewards.candidates import Written
from selfevolve.rewards.measures import Asked, Reward


def rank(
    contexts: Sequence[Context], candidates: Mapping[str, Sequence[Written]], reward: Reward
) -> list[Ranking]:
    """Return the rankings of the contexts that have candidates; equal rewards keep the candidates' order.

    Args:
        contexts: in any order; `candidates` are theirs, by id.
        reward: asked once, with all of them.
    """
    those = [context for context in contexts if candidates[context.id]]
    asked = [Asked(one, [written.text for written in candidates[one.id]]) for one in those]
    rankings = []
    for one, values in zip(asked, reward(asked) if asked else [], strict=True):
        pairs = zip(candidates[one.context.id], values, strict=True)
        found = [Candidate(source=w.source, text=w.text, reward=value) for w, value in pairs]
        found.sort(key=lambda candidate: -candidate.reward)
        rankings.append(Ranking(id=one.context.id, candidates=found))
    return rankings


def count_first(rankings: Sequence[Ranking]) -> dict[str, Any]:
    """Return how many rankings a refined candidate leads and how many it ends, and the words at both ends."""
    ends = [(one.candidates[0], one.candidates[-1]) for one in rankings if len(one.candidates) > 1]
    words = [(len(best.text.split()), len(worst.text.split())) for best, worst in ends]
    total = max(1, len(ends))
    return {
        "ranked": len(ends),
        "refined_first": sum(best.source == "refined" for best, _ in ends),
        "refined_last": sum(worst.source == "refined" for _, worst in ends),
        "words_first": sum(first for first, _ in words) / total,
        "words_last": sum(last for _, last in words) / total,
        "difference": sum(best.reward - worst.reward for best, worst in ends) / total,
    }
