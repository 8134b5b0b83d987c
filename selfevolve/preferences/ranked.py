"""Pairs of ranked candidates: the one that a reward puts last is rejected, the best one is chosen.

The length rule holds for the pair: candidates that are too long beside the rejected one are passed over, and
the best of the others is chosen.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from selfevolve.preferences.length_rule import LengthRule, is_longer
from selfevolve.preferences.pairs import PairParams
from selfevolve.records.schema import Candidate, Context, Preference, Ranking, ShareGptMessage, sharegpt

DROPPED = ("one_candidate", "margin", "too_long", "unsupported")


class Ends(NamedTuple):
    """What is chosen and rejected of a ranking, and how many better candidates were passed over as too long.

    `best` is None where all of them were.
    """

    best: Candidate | None
    worst: Candidate
    passed_over: int


def ends(ranking: Ranking, golden: str, rule: LengthRule) -> Ends:
    """Return both ends of a ranking by the length rule; `golden` is the context's golden response."""
    *others, worst = ranking.candidates
    most = rule.most_words(worst.text, golden)
    for passed, one in enumerate(others):
        if not is_longer(one.text, most):
            return Ends(one, worst, passed)
    return Ends(None, worst, len(others))


def best_texts(
    contexts: Sequence[Context], rankings: Mapping[str, Ranking], rule: LengthRule
) -> dict[str, str]:
    """Return by context id the candidates that would be chosen without margin and support rule."""
    found = {one.id: ends(rankings[one.id], one.golden, rule) for one in contexts if one.id in rankings}
    return {identity: both.best.text for identity, both in found.items() if both.best is not None}


def make_ranked_pairs(
    contexts: Sequence[Context],
    rankings: Mapping[str, Ranking],
    system: str,
    params: PairParams,
    margin: float,
    unsupported: Collection[str] = (),
) -> tuple[list[Preference], Counter[str], dict[str, Any]]:
    """Make one pair of each context, unless its candidates teach nothing.

    Args:
        contexts: in any order; the pairs keep it.
        rankings: by context id; a context without one had no candidate.
        system: the system message of every pair.
        params: the rules.
        margin: the least difference of the rewards, in their unit; equal rewards never make a pair.
        unsupported: ids of contexts whose `best_texts` say what their dialogue does not hold: the golden
            response is chosen in their place, or there is no pair, as `params.unsupported` says.

    Returns:
        the pairs; how many contexts were dropped for which reason: there is but `one_candidate`, or none; the
        rewards differ by less than the `margin`; all others are `too_long` beside the worst; the best one is
        `unsupported`; and the counts of rejected candidates by their source, and of candidates that were
        `passed_over` for their length.
    """
    pairs: list[Preference] = []
    dropped: Counter[str] = Counter(dict.fromkeys(DROPPED, 0))
    rejected: Counter[str] = Counter(direct=0, refined=0)
    passed_over = 0
    for context in contexts:
        ranking = rankings.get(context.id)
        if ranking is None or len(ranking.candidates) < 2:
            dropped["one_candidate"] += 1
            continue
        best, worst, passed = ends(ranking, context.golden, params)
        passed_over += passed
        if best is None:
            dropped["too_long"] += 1
        elif best.reward == worst.reward or best.reward - worst.reward < margin:
            dropped["margin"] += 1
        elif context.id in unsupported and params.unsupported == "drop":
            dropped["unsupported"] += 1
        else:
            falls_back = context.id in unsupported
            pair = Preference(
                id=context.id,
                system=system,
                conversations=sharegpt(context.messages),
                chosen=ShareGptMessage(from_="gpt", value=context.golden if falls_back else best.text),
                rejected=ShareGptMessage(from_="gpt", value=worst.text),
                chosen_source="golden_support" if falls_back else best.source,
            )
            pairs.append(pair)
            rejected[worst.source] += 1
    return pairs, dropped, {"rejected_source": dict(rejected), "passed_over": passed_over}
