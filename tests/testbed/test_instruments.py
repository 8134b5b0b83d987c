"""Whether a measure ranks models as their facts do: agreement, chance, ties, and length taken out."""

import pytest

from testbed.study.findings import Run
from testbed.study.instruments import instruments, spearman
from tests.support.runs import model

FACTS = (10.0, 20.0, 30.0, 40.0, 50.0)


def runs(measure: str, *seeds: tuple[float, ...], words: tuple[float, ...] = (9.0, 12.0, 10.0, 11.0, 8.0)):
    """One run a seed, whose models have these values of a measure beside facts that grow."""

    def models(values: tuple[float, ...]) -> dict[str, dict[str, float]]:
        return {f"m{n}": model(FACTS[n], words=words[n]) | {measure: v} for n, v in enumerate(values)}

    return [Run("self", seed, models(values), {}, {}) for seed, values in enumerate(seeds)]


def row(name: str, made: list[Run]) -> dict:
    return next(one for one in instruments(made) if one["name"] == name)


def test_a_measure_that_grows_with_the_facts_agrees_and_a_reversed_one_disagrees():
    grows = row("own seeker (AUC)", runs("auc", (50, 60, 61, 70, 90), (51, 52, 53, 54, 60)))
    assert (grows["mean"], grows["seeds"], grows["models"]) == (pytest.approx(1.0), 2, 5)
    falls = row("own seeker (AUC)", runs("auc", (5, 4, 3, 2, 1), (9, 8, 5, 2, 1)))
    assert falls["mean"] == pytest.approx(-1.0)


def test_ranks_count_and_not_distances():
    assert spearman([1, 2, 3, 4], [1, 2, 3, 400]) == pytest.approx(1.0)
    assert spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(0.8660254)  # 0.5 * 3 ** 0.5, ties at their middle
    assert spearman([1, 1, 1], [1, 2, 3]) == 0.0


def test_what_agrees_by_length_alone_is_nothing_once_length_is_taken_out():
    """Ranks of facts, of length and of the measure; the measure is length itself under another name."""
    words = (10.0, 12.0, 11.0, 14.0, 13.0)
    found = row("own seeker (AUC)", runs("auc", words, words, words=words))
    assert found["mean"] == pytest.approx(0.8)
    assert found["partial"]["mean"] == pytest.approx(0.0)
    assert "partial" not in row("words a response", runs("auc", words, words, words=words))


def test_a_measure_of_one_seed_or_of_few_models_has_no_row():
    one_seed = [*runs("auc", FACTS), Run("self", 7, {"m1": model(3.0)}, {}, {})]
    assert "own seeker (AUC)" not in {found["name"] for found in instruments(one_seed)}
    few = runs("auc", FACTS[:3], FACTS[:3])
    assert instruments(few) == []
