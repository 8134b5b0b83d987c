"""Text metrics in both protocols: cases worked out by hand, and properties."""

import marshal
import math
import os
import random
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfevolve.metrics import text
from selfevolve.nltk_data.lookup import WORDNET, find

WORDS = st.lists(
    st.sampled_from(["I", "you", "sad", ",", ".", "don't", "ok", "12", "é", "你好", "the"]), max_size=12
)
TEXTS = st.one_of(WORDS.map(" ".join), st.text(max_size=30))
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="session")
def reader(wordnet_folder):
    return find(WORDNET, [wordnet_folder]).reader


# By hand


@pytest.mark.parametrize(
    ("response", "reference", "expected"),
    [
        # The tokens are the letters and the space between them.
        ("a b", "a b", [100, 100, 100, 100 * 0.5**0.25]),  # no 4-gram: smoothed to 1/2
        ("a b", "a b c", [100 * math.exp(1 - 5 / 3) * share for share in (1, 1, 1, 0.5**0.25)]),
        # 1 of 3 unigrams (the space); then 1/(2*2), 1/(4*1), 1/(8*1)
        ("x y", "a b", [100 / 3, 100 / 12**0.5, 100 / 48 ** (1 / 3), 100 / 384**0.25]),
        ("x", "a b", [0, 0, 0, 0]),
        ("A", "a", [0, 0, 0, 0]),  # case counts
        ("", "a b", [0, 0, 0, 0]),
        (" \n", "a b", [0, 0, 0, 0]),
    ],
)
def test_paper_bleu(response, reference, expected):
    assert text.bleu(response, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("a a a", [200 / 5, 200 / 4, 200 / 3]),
        ("A a", [100, 100, 100]),
        ("a", [100, 0, 0]),
        ("", [0, 0, 0]),
        ("  ", [0, 0, 0]),
    ],
)
def test_paper_distinct(response, expected):
    assert text.distinct(response) == pytest.approx(expected)


def test_standard_bleu():
    scores, signature = text.corpus_bleu(["The cat sat", "dogs"], ["the cat sat down", "a dog"])
    brevity = math.exp(1 - 6 / 4)
    assert scores == pytest.approx(
        [75 * brevity, 100 * 0.75**0.5 * brevity, 100 * 0.75 ** (1 / 3) * brevity, 0]
    )
    assert "case:lc" in signature
    assert text.corpus_bleu(["", ""], ["a b", "c d e f"])[0] == [0, 0, 0, 0]


def test_standard_bleu_leaves_out_the_orders_for_which_no_reference_has_words():
    assert text.corpus_bleu(["so"], ["so"])[0] == pytest.approx([100])
    assert text.corpus_bleu(["a", ""], ["a b c", "d"])[0][1:] == [0, 0]
    assert text.bleu_orders(["a", "a, b"]) == (1, 2, 3)
    assert text.bleu_orders(["<skipped>"]) == ()  # sacreBLEU finds no word in it


def test_standard_distinct_is_of_the_corpus_and_crosses_no_response():
    assert text.corpus_distinct(["a a", "A b", ""]) == pytest.approx([50, 100, 0])
    assert text.corpus_distinct(["don't do"]) == pytest.approx([200 / 3, 100, 100])  # do n't do
    assert text.corpus_distinct(["", " "]) == [0, 0, 0]


def test_rouge_l():
    assert text.rouge_l("the cat sat", "The cat is sitting!") == pytest.approx(100 * 4 / 7)  # 2 of 3, 2 of 4
    assert text.rouge_l("cats", "cat") == 0  # no stemming
    assert text.rouge_l("", "cat") == 0


def test_meteor(reader):
    # 2 matches in 2 chunks, precision 1, recall 2/3: half of 10 P R / (R + 9 P)
    assert text.meteor("the cat", "The dog cat", reader) == pytest.approx(50 * (20 / 3) / (2 / 3 + 9))
    # a synonym matches: 3 matches in one chunk
    assert text.meteor("the auto stopped", "the car stopped", reader) == pytest.approx(100 * (1 - 0.5 / 27))
    assert text.meteor("", "the cat", reader) == 0


def test_a_cache_file_that_somebody_left_for_jieba_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "jieba.cache").write_bytes(marshal.dumps(({"我": 0, "我喜": 9}, 9)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(text, "_jieba", text._jieba.__wrapped__)
    pieces = text.jieba_pieces.__wrapped__("我喜欢图书馆 OK")
    assert pieces == ("我", "喜欢", "图书馆", " ", "OK")
    assert os.listdir(tmp_path) == ["jieba.cache"]


def test_a_mean_is_rounded_once():
    assert text.mean([0.1] * 10) == 0.1


# Properties


@RELAXED
@given(response=TEXTS, reference=TEXTS.filter(str.strip))
def test_every_metric_stays_between_0_and_100(reader, response, reference):
    values = [*text.bleu(response, reference), *text.distinct(response), text.rouge_l(response, reference)]
    values += [text.meteor(response, reference, reader), *text.corpus_distinct([response])]
    values += text.corpus_bleu([response], [reference])[0]
    assert all(0 <= value <= 100 + 1e-9 for value in values)
    if not response.strip():
        assert not any(values)


@RELAXED
@given(words=st.lists(st.sampled_from(["sad", "tired", "lonely", "work", "hope"]), min_size=4, max_size=9))
def test_a_response_equal_to_its_reference_scores_the_most(reader, words):
    same = " ".join(words)
    assert [*text.bleu(same, same), text.rouge_l(same, same)] == pytest.approx([100] * 5)
    assert text.corpus_bleu([same], [same])[0] == pytest.approx([100] * 4)
    assert text.meteor(same, same, reader) == pytest.approx(100 * (1 - 0.5 / len(words) ** 3))


@RELAXED
@given(
    pairs=st.lists(st.tuples(TEXTS, TEXTS.filter(str.strip)), min_size=1, max_size=6), seed=st.integers(0, 99)
)
def test_corpus_scores_do_not_depend_on_the_order_of_the_pairs(pairs, seed):
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    (one, other), (responses, references) = zip(*pairs, strict=True), zip(*shuffled, strict=True)
    assert text.corpus_bleu(one, other) == text.corpus_bleu(responses, references)
    assert text.corpus_distinct(one) == text.corpus_distinct(responses)
    for metric in range(4):
        assert text.mean([text.bleu(*pair)[metric] for pair in pairs]) == text.mean(
            [text.bleu(*pair)[metric] for pair in shuffled]
        )
