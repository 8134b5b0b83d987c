"""What two texts have in common."""

import pytest

from selfevolve.metrics.overlap import word_overlap


@pytest.mark.parametrize(
    ("one", "other", "percent"),
    [
        ("You sound sad.", "you, SAD, sound!", 100.0),
        ("a b c d", "a b", 200 * 2 / 6),
        ("very very sad", "very sad", 200 * 2 / 5),
        ("a b", "c d", 0.0),
        ("a", "", 0.0),
        ("", " ", 100.0),
    ],
)
def test_words_count_as_often_as_they_occur(one: str, other: str, percent: float):
    assert word_overlap(one, other) == word_overlap(other, one) == pytest.approx(percent)
