"""Agreement is what the literature's worked examples say, and its absence has a reason."""

import numpy as np
import pytest

from rating.analysis.agreement import agreement
from selfevolve.metrics.statistics import Resampling

HOW = Resampling(seed=1, resamples=200)

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C and D: four observers, 12 units.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
# Fleiss, Measuring nominal scale agreement among many raters (1971), in the form of ten subjects that
# fourteen raters put into five categories, of which kappa is 0.210.
FLEISS = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]


def by_unit(raters: list[list[int | None]]) -> dict[str, dict[str, int]]:
    """Units of what every rater gave, from 1; None is nothing."""
    return {
        f"u{unit}": {f"r{at}": row[unit] - 1 for at, row in enumerate(raters) if (row[unit] or 0) > 0}  # type: ignore[operator]
        for unit in range(len(raters[0]))
    }


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_is_that_of_krippendorff_s_example(level: str, expected: float):
    found = agreement(by_unit(KRIPPENDORFF), 5, level, HOW)  # type: ignore[arg-type]
    assert found["alpha"]["value"] == pytest.approx(expected, abs=0.0005)
    assert found["alpha"]["low"] < expected <= found["alpha"]["high"]
    assert (found["units"], found["values"], found["raters"]) == (11, 40, 4)
    assert found["units_of_one_rater"] == 1  # unit 12 has one observer


def test_fleiss_kappa_is_that_of_the_published_table():
    given = {
        f"u{at}": {f"r{n}": value for n, value in enumerate(np.repeat(range(5), row))}
        for at, row in enumerate(FLEISS)
    }
    found = agreement(given, 5, "nominal", HOW)["fleiss_kappa"]
    assert found == {"value": pytest.approx(0.210, abs=0.0005), "n": 10, "raters_per_unit": 14}


def test_cohen_s_kappa_of_two_raters_is_that_of_the_textbook():
    # 20 yes of both, 5 and 10 of one alone, 15 no of both: observed 0.7, expected 0.5, kappa 0.4
    pairs = [(0, 0)] * 20 + [(0, 1)] * 5 + [(1, 0)] * 10 + [(1, 1)] * 15
    given = {f"u{at}": {"a": one, "b": other} for at, (one, other) in enumerate(pairs)}
    found = agreement(given, 2, "nominal", HOW)["cohen_kappa"]
    assert found["mean"] == found["least"] == found["most"] == pytest.approx(0.4)
    assert (found["pairs"], found["units_per_pair"], found["weights"]) == (1, 50.0, "none")


def test_weights_make_a_near_miss_a_better_agreement_than_a_far_one():
    near = {f"u{at}": {"a": at % 5, "b": min(4, at % 5 + at % 2)} for at in range(20)}
    far = {f"u{at}": {"a": at % 5, "b": (at % 5 + 3 * (at % 2)) % 5} for at in range(20)}
    kappas = [agreement(given, 5, "ordinal", HOW)["cohen_kappa"]["mean"] for given in (near, far)]
    assert kappas[0] > 0.8 > kappas[1]


def test_without_overlap_all_of_it_is_not_available_and_says_why():
    found = agreement({"u0": {"a": 1}, "u1": {"b": 2}}, 5, "ordinal", HOW)
    assert found["units_of_one_rater"] == 2
    for name in ("alpha", "fleiss_kappa", "cohen_kappa"):
        assert found[name] == {"not_available": "no unit was rated by two raters"}


def test_constant_ratings_have_no_agreement_to_speak_of():
    found = agreement({f"u{at}": {"a": 2, "b": 2} for at in range(4)}, 5, "ordinal", HOW)
    assert "all values are the same" in found["alpha"]["not_available"]
    assert "all values are the same" in found["fleiss_kappa"]["not_available"]
    assert found["cohen_kappa"]["pairs_of_one_value"] == 1


def test_units_of_different_numbers_of_raters_have_no_fleiss_kappa():
    found = agreement(by_unit(KRIPPENDORFF), 5, "ordinal", HOW)["fleiss_kappa"]
    assert found["not_available"] == "units have between 2 and 4 raters, not all the same number"


def test_one_unit_has_an_alpha_without_an_interval():
    found = agreement({"u": {"a": 1, "b": 2}}, 5, "ordinal", HOW)
    assert found["alpha"]["no_interval"] == "there is one unit only"
    assert found["cohen_kappa"]["pairs_of_one_unit"] == 1
