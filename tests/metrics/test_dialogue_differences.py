"""Intervals and tests over dialogues: SciPy's and sacreBLEU's answers, and what must hold for any score."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest, _compute_p_value
from scipy import stats

from selfevolve.metrics import dialogues, text
from selfevolve.metrics.dialogues import Score, compare, draws, estimate
from selfevolve.metrics.statistics import (
    Resampling,
    cluster_bootstrap,
    paired_permutation,
    randomisation,
)
from tests.support.corpora import Corpus, make_corpus

HOW = Resampling(seed=5, resamples=2000, level=0.95)
METRICS = ("letters", "bleu_1", "bleu_4", "distinct_1", "distinct_2")


def score_of(metric: str, ids: Sequence[str], responses: Sequence[str], golden: Sequence[str]) -> Score:
    """A score of selfevolve.metrics.dialogues by name; `letters` is a mean, the others are of the corpus."""
    if metric == "letters":
        return dialogues.mean(ids, [len(response) for response in responses])
    if metric.startswith("bleu"):
        return dialogues.corpus_bleu(ids, responses, golden)[metric]
    return dialogues.corpus_distinct(ids, responses)[metric]


def directly(metric: str, responses: Sequence[str], golden: Sequence[str]) -> float:
    """The same score of texts as they are, by selfevolve.metrics.text."""
    name, _, order = metric.partition("_")
    if name == "letters":
        return float(np.mean([len(response) for response in responses]))
    scores = text.corpus_bleu(responses, golden)[0] if name == "bleu" else text.corpus_distinct(responses)
    return scores[int(order) - 1]


def both(metric: str, corpus: Corpus) -> tuple[Score, Score]:
    return tuple(score_of(metric, corpus.ids, side, corpus.golden) for side in (corpus.first, corpus.last))


def p_of(first: Score, last: Score, how: Resampling) -> float:
    return randomisation(
        lambda swap: first.exchanged(last, swap), last.value - first.value, len(first.dialogues), how
    )


# --- SciPy's answers


def test_the_interval_of_a_mean_is_scipy_s_and_that_of_single_clusters():
    corpus = make_corpus(40, 4)
    values = [float(len(response)) for response in corpus.first]
    ours = estimate(dialogues.mean(corpus.ids, values), HOW)
    names = list(dict.fromkeys(corpus.dialogues))
    held = [[v for v, d in zip(values, corpus.dialogues, strict=True) if d == name] for name in names]
    theirs = stats.bootstrap(
        ([sum(some) for some in held], [len(some) for some in held]),
        lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours == pytest.approx((np.mean(values), theirs.low, theirs.high, 40))
    alone = cluster_bootstrap(values, corpus.dialogues, seed=5, resamples=2000)
    assert ours[:3] == pytest.approx(alone)


def test_the_interval_of_a_difference_is_scipy_s():
    corpus = make_corpus(40, 1)
    first, last = ([float(len(r)) for r in side] for side in (corpus.first, corpus.last))
    ours = compare(dialogues.mean(corpus.ids, first), dialogues.mean(corpus.ids, last), HOW)
    theirs = stats.bootstrap(
        (first, last),
        lambda x, y, axis: np.mean(y, axis=axis) - np.mean(x, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert ours[1:3] == pytest.approx(theirs)


@pytest.mark.parametrize("order", [1, 4])
def test_a_draw_of_dialogues_has_the_bleu_of_its_texts(order: int):
    corpus = make_corpus(8, 3)
    turns = {name: [n for n, d in enumerate(corpus.dialogues) if d == name] for name in corpus.dialogues}
    rows = list(turns.values())

    def bleu(drawn: np.ndarray) -> float:
        at = [n for row in drawn for n in rows[row]]
        return directly(f"bleu_{order}", [corpus.first[n] for n in at], [corpus.golden[n] for n in at])

    theirs = stats.bootstrap(
        (np.arange(8),),
        bleu,
        vectorized=False,
        n_resamples=60,
        method="percentile",
        rng=np.random.default_rng(5),
    )
    score = score_of(f"bleu_{order}", corpus.ids, corpus.first, corpus.golden)
    ours = draws(score, HOW._replace(resamples=60))
    assert ours == pytest.approx(theirs.bootstrap_distribution)


@pytest.mark.parametrize("metric", METRICS)
def test_p_of_few_dialogues_is_that_of_scipy_s_enumeration_of_the_texts(metric: str):
    corpus = make_corpus(6, 3, seed=3)
    names = list(dict.fromkeys(corpus.dialogues))
    turns = [[n for n, d in enumerate(corpus.dialogues) if d == name] for name in names]

    def difference(first: np.ndarray, last: np.ndarray) -> float:
        """Rows 0 to 5 are the first model's dialogues, 6 to 11 the last's."""
        scores = []
        for side in (first, last):
            at = [(int(row) // 6, n) for row in side for n in turns[int(row) % 6]]
            texts = [(corpus.first, corpus.last)[model][n] for model, n in at]
            scores.append(directly(metric, texts, [corpus.golden[n] for _, n in at]))
        return scores[1] - scores[0]

    theirs = stats.permutation_test(
        (np.arange(6), np.arange(6, 12)), difference, permutation_type="samples", vectorized=False
    )
    found = compare(*both(metric, corpus), HOW)
    assert found.difference == pytest.approx(theirs.statistic)
    assert found.p_randomisation == pytest.approx(theirs.pvalue)


def test_p_of_many_dialogues_is_near_scipy_s_and_that_of_the_sign_flips():
    corpus = make_corpus(60, 1, seed=7)
    first, last = ([float(len(r)) for r in side] for side in (corpus.first, corpus.last))
    ours = p_of(dialogues.mean(corpus.ids, first), dialogues.mean(corpus.ids, last), HOW)
    theirs = stats.permutation_test(
        (first, last),
        lambda x, y, axis: np.mean(y - x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue
    assert 0.05 < theirs < 0.95
    assert ours == pytest.approx(theirs, abs=0.03)
    assert ours == pytest.approx(paired_permutation(first, last, corpus.ids, seed=1), abs=0.03)


# --- sacreBLEU's answers


@pytest.mark.parametrize("order", [2, 4])
def test_where_dialogues_have_one_turn_it_is_sacrebleu_s_paired_test(
    order: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SACREBLEU_SEED", "5")
    corpus = make_corpus(50, 1, seed=4, last_changes=0.42)
    how = Resampling(seed=5, resamples=400, level=0.95)
    first, last = both(f"bleu_{order}", corpus)
    results = {}
    for kind in ("bs", "ar"):
        metric = BLEU(lowercase=True, max_ngram_order=order, force=True)
        systems = [("first", corpus.first), ("last", corpus.last)]
        test = PairedTest(systems, {"BLEU": metric}, [corpus.golden], test_type=kind, n_samples=400)
        results[kind] = test()[1]["BLEU"]
    assert [result.score for result in results["bs"]] == pytest.approx([first.value, last.value])
    assert 0.02 < results["ar"][1].p_value < 0.98
    # The same exchanges; one that gives the very same difference counts with us and not with them.
    p = p_of(first, last, how)
    assert -1e-12 <= p - results["ar"][1].p_value < 1.5 / 401
    drawn = [draws(score, how) for score in (first, last)]
    assert [d.mean() for d in drawn] == pytest.approx([result.mean for result in results["bs"]])
    # Their p takes the absolute value before the mean, and calls two equal systems different; ours does not.
    apart = np.abs(drawn[1] - drawn[0])
    p = _compute_p_value(apart - apart.mean(), abs(last.value - first.value))
    assert p == pytest.approx(results["bs"][1].p_value)


# --- what must hold for any score


@pytest.mark.parametrize("metric", METRICS)
def test_equal_models_do_not_differ(metric: str):
    corpus = make_corpus(30, 3)
    first = score_of(metric, corpus.ids, corpus.first, corpus.golden)
    again = score_of(metric, corpus.ids, list(corpus.first), corpus.golden)
    assert compare(first, again, HOW) == (0, 0, 0, 1, 1, 30)


@pytest.mark.parametrize("metric", METRICS)
def test_the_other_way_round_the_difference_has_the_other_sign_and_the_same_p(metric: str):
    first, last = both(metric, make_corpus(30, 3))
    forth, back = compare(first, last, HOW), compare(last, first, HOW)
    assert forth.difference != 0
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-forth.difference, -forth.high, -forth.low)
    )
    assert back[3:] == pytest.approx(forth[3:])


@pytest.mark.parametrize("metric", METRICS)
def test_a_model_that_says_one_thing_has_an_interval_of_no_width(metric: str):
    ids = [f"d{d}#{t}" for d in range(20) for t in (1, 3)]
    score = score_of(
        metric, ids, ["I hear you, and I am here for you."] * 40, ["I am sorry to hear it."] * 40
    )
    value, low, high, _ = estimate(score, HOW)
    assert value > 0
    assert (low, high) == pytest.approx((value, value))


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_hold_the_score_and_four_times_the_dialogues_narrow_them(metric: str):
    corpus = make_corpus(25, 3)
    once = estimate(score_of(metric, corpus.ids, corpus.first, corpus.golden), HOW)
    assert once.low < once.value < once.high
    ids = [f"{copy}-{identity}" for copy in range(4) for identity in corpus.ids]
    more = estimate(score_of(metric, ids, corpus.first * 4, corpus.golden * 4), HOW)
    assert more.high - more.low < 0.62 * (once.high - once.low)
    wider = estimate(score_of(metric, corpus.ids, corpus.first, corpus.golden), HOW._replace(level=0.99))
    assert wider.low < once.low < once.high < wider.high


def test_turns_of_a_dialogue_are_drawn_and_exchanged_together():
    corpus = make_corpus(40, 1)
    fivefold = [f"{identity.split('#')[0]}#{turn}" for identity in corpus.ids for turn in range(5)]
    first, last = ([v for r in side for v in [len(r)] * 5] for side in (corpus.first, corpus.last))
    once = compare(*(dialogues.mean(corpus.ids, side[::5]) for side in (first, last)), HOW)
    repeated = compare(*(dialogues.mean(fivefold, side) for side in (first, last)), HOW)
    assert repeated == pytest.approx(once)


@pytest.mark.parametrize("metric", ["letters", "bleu_2", "distinct_2"])
def test_p_is_small_where_models_differ_and_never_0(metric: str):
    corpus = make_corpus(60, 2)
    bland = ["It is hard, and that is sad, and that is hard."] * len(corpus.ids)
    found = compare(*both(metric, corpus._replace(last=bland)), HOW)
    assert found.p_bootstrap == found.p_randomisation == 1 / 2001
    assert not found.low <= 0 <= found.high


@pytest.mark.parametrize("metric", ["letters", "bleu_2", "distinct_2"])
def test_where_nothing_differs_p_is_small_no_more_often_than_it_says(metric: str):
    how = HOW._replace(resamples=199)
    found = [
        compare(*both(metric, make_corpus(25, 2, seed=seed, last_changes=0.4)), how) for seed in range(100)
    ]
    for p in ([one.p_randomisation for one in found], [one.p_bootstrap for one in found]):
        assert sum(value <= 0.05 for value in p) <= 12  # 5 expected; 12 or fewer with a chance of 99.9 %
        assert 35 <= sum(value <= 0.5 for value in p) <= 65


def test_all_exchanges_or_many_random_ones_give_nearly_the_same_p():
    first, last = both("bleu_2", make_corpus(10, 2, seed=1))
    every = p_of(first, last, HOW._replace(resamples=1024))
    assert 0.02 < every < 0.98
    assert p_of(first, last, HOW._replace(resamples=1023)) == pytest.approx(every, abs=0.06)


# --- what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate(dialogues.mean(["a#1", "a#3"], [1, 2]), HOW), "at least 2"),
        (lambda: compare(*[dialogues.mean(["a#1"], [1])] * 2, HOW), "at least 2"),
        (
            lambda: compare(
                dialogues.mean(["a#1", "b#1"], [1, 2]), dialogues.mean(["a#1", "c#1"], [1, 2]), HOW
            ),
            "not of the same dialogues",
        ),
        (lambda: dialogues.mean(["a#1"], [None]), "no value"),
        (lambda: dialogues.mean([], []), "no value"),
        (lambda: dialogues.mean(["a#1"], [float("nan")]), "a#1 is not a finite number"),
        (lambda: dialogues.mean(["a#1"], [1, 2]), "zip"),
    ],
)
def test_bad_input_is_a_value_error(call: Callable[[], object], message: str):
    with pytest.raises(ValueError, match=message):
        call()
