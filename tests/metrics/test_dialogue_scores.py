"""Scores by dialogue: they are the scores of the texts, and Distinct's intervals hold what they promise."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from selfevolve.metrics import dialogues, text
from selfevolve.metrics.dialogues import draws, estimate
from selfevolve.metrics.scripts import spaced
from selfevolve.metrics.statistics import Resampling
from tests.support.corpora import make_corpus

HOW = Resampling(seed=1, resamples=400, level=0.95)
TEXTS = st.one_of(
    st.lists(
        st.sampled_from(["I", "i", "you", "Sad", "sad", ",", ".", "don't", "é", "你好", "the"]), max_size=9
    ).map(" ".join),
    st.text(max_size=20),
)
TURNS = st.lists(st.tuples(st.integers(0, 3), TEXTS, TEXTS.filter(str.strip)), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(TURNS)
def test_a_score_by_dialogue_is_the_score_of_the_texts(turns: list[tuple[int, str, str]]):
    ids = [f"d{dialogue}#{number}" for number, (dialogue, _, _) in enumerate(turns)]
    responses, references = [turn[1] for turn in turns], [turn[2] for turn in turns]
    bleu = dialogues.corpus_bleu(ids, responses, references)
    assert list(bleu) == [f"bleu_{order}" for order in text.bleu_orders(references)]
    assert [score.value for score in bleu.values()] == pytest.approx(
        text.corpus_bleu(responses, references)[0], abs=1e-9
    )
    distinct = dialogues.corpus_distinct(ids, responses)
    assert list(distinct) == ["distinct_1", "distinct_2", "distinct_3"]
    assert [score.value for score in distinct.values()] == pytest.approx(
        text.corpus_distinct(responses), abs=1e-9
    )
    for order, score in enumerate(bleu.values(), start=1):
        alone = BLEU(lowercase=True, max_ngram_order=order, force=True)
        said, expected = list(map(spaced, responses)), [list(map(spaced, references))]
        assert score.value == pytest.approx(alone.corpus_score(said, expected).score, abs=1e-9)
    lengths = [float(len(response)) for response in responses]
    assert dialogues.mean(ids, lengths).value == pytest.approx(text.mean(lengths), abs=1e-9)
    for score in (*bleu.values(), *distinct.values()):
        assert score.dialogues == tuple(dict.fromkeys(f"d{turn[0]}" for turn in turns))


@settings(max_examples=60, deadline=None)
@given(TURNS, st.integers(0, 2**16))
def test_any_draw_and_exchange_of_blank_or_short_texts_has_finite_scores(
    turns: list[tuple[int, str, str]], seed: int
):
    ids = [f"d{number % 4}#{number}" for number in range(len(turns))]
    responses, references = [turn[1] for turn in turns], [turn[2] for turn in turns]
    rng = np.random.default_rng(seed)
    one = dialogues.corpus_bleu(ids, responses, references) | dialogues.corpus_distinct(ids, responses)
    two = dialogues.corpus_bleu(ids, references, references) | dialogues.corpus_distinct(ids, references)
    count = len(one["distinct_1"].dialogues)
    times = rng.multinomial(count, np.full(count, 1 / count), size=20)
    swap = rng.integers(2, size=(20, count), dtype=bool)
    for metric, score in one.items():
        assert np.isfinite(score.resampled(times)).all()
        differences = score.exchanged(two[metric], swap)
        assert np.isfinite(differences).all()
        assert score.exchanged(two[metric], ~swap) == pytest.approx(-differences)
        assert np.abs(differences).max() <= 100 + 1e-9


def test_what_has_no_value_counts_in_no_mean():
    ids = ["a#1", "a#3", "b#1", "c#1"]
    score = dialogues.mean(ids, [1.0, None, 4.0, None])
    assert (score.value, score.dialogues) == (2.5, ("a", "b"))


def test_distinct_is_drawn_by_what_it_would_be_without_each_dialogue():
    corpus = make_corpus(9, 3, seed=2)
    for order, score in enumerate(dialogues.corpus_distinct(corpus.ids, corpus.first).values()):
        without = [
            text.corpus_distinct(
                [r for r, d in zip(corpus.first, corpus.dialogues, strict=True) if d != dialogue]
            )[order]
            for dialogue in score.dialogues
        ]
        pseudo = 9 * score.value - 8 * np.array(without)
        times = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=30)
        drawn = times @ pseudo / 9 - pseudo.mean() + score.value
        assert score.resampled(times) == pytest.approx(drawn)


def make_world(seed: int) -> list[list[int]]:
    """Forty dialogues of 30 to 90 words, few of them common, as in any language (Zipf's law)."""
    rng = np.random.default_rng(seed)
    common = 1 / np.arange(1, 3001)
    return [rng.choice(3000, size=rng.integers(30, 90), p=common / common.sum()).tolist() for _ in range(40)]


def test_intervals_of_distinct_hold_its_mean_over_many_corpora_as_often_as_they_should():
    """And those of an ordinary bootstrap never do, nor do they hold the score they were made of."""
    found, ordinary = [], []
    rng = np.random.default_rng(0)
    for seed in range(120):
        world = make_world(seed)
        score = dialogues.CorpusDistinct([str(d) for d in range(40)], [[(str(w),) for w in d] for d in world])
        found.append(estimate(score, HOW._replace(seed=seed)))
        drawn = [[w for d in rng.integers(0, 40, 40) for w in world[d]] for _ in range(40)]
        ordinary.append([100 * len(set(words)) / len(words) for words in drawn])
    mean = np.mean([one.value for one in found])
    assert 0.89 <= np.mean([one.low <= mean <= one.high for one in found]) <= 0.99
    assert all(max(draws) < one.value for draws, one in zip(ordinary, found, strict=True))


def test_the_order_of_the_turns_of_a_dialogue_changes_nothing():
    corpus = make_corpus(30, 3)
    order = sorted(range(len(corpus.ids)), key=lambda n: (corpus.dialogues[n], random.Random(n).random()))
    one = dialogues.corpus_distinct(corpus.ids, corpus.first)["distinct_2"]
    other = dialogues.corpus_distinct([corpus.ids[n] for n in order], [corpus.first[n] for n in order])
    assert draws(other["distinct_2"], HOW) == pytest.approx(draws(one, HOW))
