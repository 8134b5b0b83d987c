"""BLEU, Distinct, ROUGE-L and METEOR. Every value is in percent; a blank response scores 0 in each.

Functions without a suffix score one response against one reference; `corpus_*` functions score a whole
list at once. stages.scoring.protocols says which of them make up which protocol.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from stages.scoring.tokens import jieba_pieces, treebank_words

BLEU_ORDERS = (1, 2, 3, 4)
DISTINCT_ORDERS = (1, 2, 3)


def is_blank(text: str) -> bool:
    """Whether a text holds nothing but white space."""
    return not text.strip()


def bleu(response: str, reference: str) -> list[float]:
    """Return BLEU-1 to BLEU-4 (0..100) of one response on jieba's tokens.

    NLTK's `sentence_bleu` with uniform weights up to each order and smoothing method 3, as LLaMA-Factory
    computes it. A response shorter than the order is smoothed, not zero: one word that equals its
    reference has BLEU-2 of 100 * sqrt(1/2).
    """
    if is_blank(response):
        return [0.0] * len(BLEU_ORDERS)
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    scores = sentence_bleu(
        [jieba_pieces(reference)],
        jieba_pieces(response),
        weights=[(1 / order,) * order for order in BLEU_ORDERS],
        smoothing_function=SmoothingFunction().method3,
    )
    return [100 * score for score in scores]


def distinct(response: str) -> list[float]:
    """Return Distinct-1 to Distinct-3 (0..100): distinct share of one response's n-grams of jieba's tokens.

    0 where the response is too short to have an n-gram of that order (Li et al. 2016, per response).
    """
    pieces = () if is_blank(response) else jieba_pieces(response)
    return [_distinct_share(ngrams(pieces, order)) for order in DISTINCT_ORDERS]


def rouge_l(response: str, reference: str) -> float:
    """Return ROUGE-L F1 (0..100) from rouge-score, without stemming."""
    return 100 * _rouge().score(reference, response)["rougeL"].fmeasure


def meteor(response: str, reference: str, wordnet: Any) -> float:
    """Return METEOR (0..100) from NLTK with its default parameters, on lower-cased Treebank words.

    `wordnet` is the reader of stages.scoring.wordnet.open_wordnet.
    """
    from nltk.translate.meteor_score import single_meteor_score

    words = treebank_words(reference), treebank_words(response)
    return 100 * single_meteor_score(*words, stemmer=_stemmer(), wordnet=wordnet)


def corpus_bleu(responses: Sequence[str], references: Sequence[str]) -> tuple[list[float], str]:
    """Return sacreBLEU's corpus BLEU up to orders 1 to 4 (0..100), lower-cased, and its signature.

    The signature does not mention the order: it is the same for the four.
    """
    from sacrebleu.metrics import BLEU

    # force: no warning on standard error about texts that look tokenised; it changes no score.
    metric = BLEU(lowercase=True, max_ngram_order=BLEU_ORDERS[-1], force=True)
    found = metric.corpus_score(list(responses), [list(references)])
    scores = [  # of the same counts
        BLEU.compute_bleu(
            found.counts[:order],
            found.totals[:order],
            found.sys_len,
            found.ref_len,
            smooth_method=metric.smooth_method,
            max_ngram_order=order,
        ).score
        for order in BLEU_ORDERS
    ]
    return scores, str(metric.get_signature())


def corpus_distinct(responses: Sequence[str]) -> list[float]:
    """Return Distinct-1 to Distinct-3 (0..100) over all responses together, on Treebank words.

    No n-gram crosses from one response into the next.
    """
    words = [treebank_words(response) for response in responses]
    return [
        _distinct_share([ngram for text in words for ngram in ngrams(text, order)])
        for order in DISTINCT_ORDERS
    ]


def mean(values: Sequence[float]) -> float:
    """Return the mean, rounded correctly, so that it does not depend on the values' order."""
    return math.fsum(values) / len(values)


def named(metric: str, orders: Sequence[int], values: Sequence[Any]) -> dict[str, Any]:
    """Name values by metric and order: `bleu_1`, `bleu_2` and so on."""
    return {f"{metric}_{order}": value for order, value in zip(orders, values, strict=True)}


def per_response(
    responses: Sequence[str], references: Sequence[str], score: Callable[[str, str], Any]
) -> list[Any]:
    """Apply a pairwise metric to every response and its reference, in order."""
    return [score(*pair) for pair in zip(responses, references, strict=True)]


def ngrams(tokens: tuple[str, ...], order: int) -> list[tuple[str, ...]]:
    """Return all n-grams of `order` tokens, in order; none where there are fewer tokens."""
    return [tokens[start : start + order] for start in range(len(tokens) - order + 1)]


def _distinct_share(ngrams: list[tuple[str, ...]]) -> float:
    return 100 * len(set(ngrams)) / len(ngrams) if ngrams else 0.0


@cache
def _stemmer() -> Any:
    """NLTK's default stemmer for METEOR, remembering the words it has seen."""
    from nltk.stem.porter import PorterStemmer

    stemmer = PorterStemmer()
    stemmer.stem = cache(stemmer.stem)
    return stemmer


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)
