"""From ranked candidates to pairs: both ends, the length rule between them, the margin, what is dropped."""

from typing import Any

import pytest

from selfevolve.preferences.pairs import PairParams
from selfevolve.preferences.ranked import DROPPED, best_texts, make_ranked_pairs
from selfevolve.records.schema import Candidate, Context, Message, Ranking
from tests.preferences.test_preferences import CONTEXT, PARAMS


def ranking(*candidates: tuple[str, str, float], identity: str = CONTEXT.id) -> Ranking:
    found = [Candidate(source=source, text=text, reward=reward) for source, text, reward in candidates]
    return Ranking(id=identity, candidates=found)


def made_of(one: Ranking | None, margin: float = 0.0, params: PairParams = PARAMS, **more: Any) -> Any:
    rankings = {} if one is None else {CONTEXT.id: one}
    return make_ranked_pairs([CONTEXT], rankings, "S", params, margin, **more)


def dropped_for(*arguments: Any, **more: Any) -> str:
    pairs, dropped, _ = made_of(*arguments, **more)
    assert not pairs
    assert set(dropped) == set(DROPPED)
    (reason,) = [name for name, count in dropped.items() if count]
    return reason


def test_the_best_is_chosen_and_the_worst_rejected():
    one = ranking(("direct", "best words", 3.0), ("refined", "middle", 2.0), ("refined", "worst", 1.0))
    (pair,), dropped, counts = made_of(one)
    assert (pair.chosen.value, pair.chosen_source, pair.rejected.value) == ("best words", "direct", "worst")
    assert pair.conversations[0].value == "I am sad."
    assert dropped.total() == 0
    assert counts == {"rejected_source": {"direct": 0, "refined": 1}, "passed_over": 0}


def test_what_is_too_long_beside_the_worst_is_passed_over():
    one = ranking(("refined", "a b c d e", 9.0), ("direct", "a b c d", 2.0), ("direct", "a b", 1.0))
    (pair,), _, counts = made_of(one)
    assert pair.chosen.value == "a b c d"  # twice as long is not longer than twice
    assert counts["passed_over"] == 1
    assert best_texts([CONTEXT], {CONTEXT.id: one}, PARAMS) == {CONTEXT.id: "a b c d"}
    free = PARAMS.model_copy(update={"max_length_ratio": None})
    assert made_of(one, params=free)[0][0].chosen.value == "a b c d e"


@pytest.mark.parametrize(
    ("one", "margin", "reason"),
    [
        (None, 0.0, "one_candidate"),
        (ranking(("direct", "a", 1.0)), 0.0, "one_candidate"),
        (ranking(("direct", "a b c", 2.0), ("direct", "a", 1.0)), 0.0, "too_long"),
        (ranking(("direct", "a b", 1.5), ("direct", "a", 1.0)), 0.6, "margin"),
        (
            ranking(("direct", "a b", 1.0), ("direct", "a", 1.0)),
            0.0,
            "margin",
        ),  # equal rewards prefer nothing
    ],
)
def test_what_teaches_nothing_is_dropped_and_counted(one: Ranking | None, margin: float, reason: str):
    assert dropped_for(one, margin) == reason


def test_a_difference_as_large_as_the_margin_makes_a_pair():
    assert made_of(ranking(("direct", "a b", 1.5), ("direct", "a", 1.0)), 0.5)[0]


def test_the_support_rule_holds_for_the_best():
    one = ranking(("direct", "a b", 2.0), ("direct", "a", 1.0))
    (pair,), _, _ = made_of(one, unsupported={CONTEXT.id})
    assert (pair.chosen.value, pair.chosen_source) == (CONTEXT.golden, "golden_support")
    drop = PARAMS.model_copy(update={"unsupported": "drop"})
    assert dropped_for(one, params=drop, unsupported={CONTEXT.id}) == "unsupported"


def test_every_context_is_a_pair_or_counted():
    contexts = [
        Context(id=f"d{n}#1", messages=[Message(role="user", content="x")], golden="y") for n in range(6)
    ]
    rankings = {
        one.id: ranking(("direct", "a b", n / 2), ("direct", "a", 1.0), identity=one.id)
        for n, one in enumerate(contexts)
        if n != 1
    }
    pairs, dropped, _ = make_ranked_pairs(contexts, rankings, "S", PARAMS, 0.0)
    assert len(pairs) + dropped.total() == len(contexts)
