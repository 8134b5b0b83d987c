"""The table of rewards: means over the bases that measured them, and what a seed lacks."""

from typing import Any

import pytest

from testbed.study.rewards import reward_rows
from testbed.study.run_file import RunFile
from tests.support.runs import base, file_of


def measured(seed: int, **rewards: dict[str, Any]) -> RunFile:
    """A base that has measured these rewards."""
    made = file_of(base(seed))
    return made.model_copy(
        update={"metrics": made.metrics | {f"reward/{name}": r for name, r in rewards.items()}}
    )


def accuracy(mean: float, correlation: float | None = 0.5) -> dict[str, Any]:
    number = {"mean": mean, "low": 0.0, "high": 100.0}
    return {
        "accuracy": number,
        "accuracy_without_length": {"mean": 50.0},
        "shuffled": {"accuracy": {"mean": mean - 10}},
        "rank_correlation_with_words": correlation,
    }


def test_a_reward_has_its_means_over_the_seeds_that_measured_it():
    made = [measured(seed, model=accuracy(60.0 + seed), length=accuracy(50.0)) for seed in (1, 3)]
    length, model = reward_rows([*made, file_of(base(2))])
    assert (length["reward"], model["reward"], model["seeds"]) == ("length", "model", 2)
    assert model["accuracy"]["mean"] == pytest.approx(62.0)
    assert model["shuffled_accuracy"]["mean"] == pytest.approx(52.0)
    assert model["accuracy"]["high"] > 63.0  # over seeds, and not that of one seed's dialogues
    assert "accuracy_matched" not in model


def test_what_a_seed_lacks_has_no_mean_and_one_seed_is_no_row():
    rows = reward_rows([measured(1, model=accuracy(60.0, None)), measured(2, model=accuracy(60.0))])
    assert "rank_correlation_with_words" not in rows[0]
    assert reward_rows([measured(1, model=accuracy(60.0))]) == []
