"""How good a reward is: accuracy, and what of it is length; the control that must fail does."""

from pathlib import Path

import numpy as np
import pytest

from selfevolve.preferences.pairs import make_pairs
from selfevolve.records.jsonl import write_records
from selfevolve.rewards.accuracy import Scored, length_reward, measure, rank_correlation, score_pairs, slope
from selfevolve.runtime.errors import InputError
from stages.rewards import accuracy
from tests.conftest import ROOT
from tests.preferences.test_preferences import CONTEXT, PARAMS, direct

DIALOGUES = [f"d{n}" for n in range(40)]


def scored(rewards: np.ndarray, words: np.ndarray) -> Scored:
    return Scored(rewards, words, DIALOGUES)


@pytest.fixture
def words() -> np.ndarray:
    """Human texts of ten words and more, a model's of five and more; eight in ten are longer."""
    rng = np.random.default_rng(1)
    return np.stack([rng.integers(10, 20, 40), rng.integers(5, 17, 40)], axis=1).astype(float)


def test_a_reward_of_length_alone_is_at_chance_without_length(words: np.ndarray):
    found = measure(scored(words * 0.25 + 3, words), seed=1)
    assert found["accuracy"]["mean"] > 80
    assert found["accuracy_without_length"]["mean"] == 50
    assert found["rank_correlation_with_words"] == pytest.approx(1)


def test_a_reward_that_tells_people_apart_keeps_its_accuracy(words: np.ndarray):
    rewards = np.tile([1.0, 0.0], (40, 1)) - words  # and is against length
    found = measure(scored(rewards, words), seed=1)
    assert found["accuracy_without_length"] == {"mean": 100, "low": 100, "high": 100}
    assert found["accuracy"]["mean"] < 50
    assert found["rank_correlation_with_words"] < -0.5


def test_what_the_writers_differ_in_is_no_part_of_the_slope():
    words = np.array([[10.0, 1.0], [12.0, 3.0], [14.0, 5.0]])
    rewards = np.array(
        [[7.0, 0.0], [7.0, 0.0], [7.0, 0.0]]
    )  # the longer writer is better, not the longer text
    assert slope(words, rewards) == 0
    assert slope(words, 2 * words) == pytest.approx(2)


def test_pairs_of_like_length_are_counted():
    words = np.array([[10.0, 8.0], [10.0, 7.0], [1.0, 1.0]] + [[9.0, 1.0]] * 37)
    rewards = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]] + [[0.0, 1.0]] * 37)
    found = measure(scored(rewards, words), seed=1)
    assert found["matched_pairs"] == 2  # 10 beside 8 is 1.25, 10 beside 7 is more
    assert found["accuracy_matched"]["mean"] == 50
    assert found["accuracy"]["mean"] == pytest.approx(2.5)


def test_equal_rewards_are_half_right_and_correlate_with_nothing(words: np.ndarray):
    found = measure(scored(np.ones((40, 2)), words), seed=1)
    assert found["accuracy"]["mean"] == 50
    assert found["rank_correlation_with_words"] is None
    assert rank_correlation(np.arange(4.0), np.arange(4.0) ** 3) == pytest.approx(1)


def test_the_control_counts_words():
    pairs, _ = make_pairs([CONTEXT], {CONTEXT.id: direct("one two")}, {}, "", PARAMS)
    found = score_pairs(pairs, {CONTEXT.id: CONTEXT}, length_reward())
    assert found.rewards.tolist() == found.words.tolist() == [[4.0, 2.0]]


def test_too_few_dialogues_for_the_shuffled_control_are_named_by_their_file(tmp_path: Path):
    """It is the contexts that are too few: no parameter of the user asked to shuffle anything."""
    contexts, responses = tmp_path / "contexts.jsonl", tmp_path / "responses.jsonl"
    write_records(contexts, [CONTEXT])
    write_records(responses, [direct("one two")])
    files = ["--contexts", str(contexts), "--responses", str(responses), "--dialogues", "d.jsonl"]
    params = ["--params", str(ROOT / "params.yaml")]
    with pytest.raises(InputError, match=r"contexts\.jsonl: has too few dialogues"):
        accuracy.main(["--by", "length", *files, "--out", str(tmp_path / "o.json"), *params])
    assert not (tmp_path / "o.json").exists()
