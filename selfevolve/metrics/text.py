"""BLEU, Distinct, ROUGE-L and METEOR. Every value is in percent; a blank response scores 0 in each.

Functions without a suffix score one response against one reference; `corpus_*` functions score a whole
list at once. selfevolve.metrics.protocols says which of them make up which protocol, and which of the two
ways to tokenise it uses: jieba's pieces or Treebank words. For scripts that they do not know, see
selfevolve.metrics.scripts.
"""

import logging
import math
import warnings
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from selfevolve.metrics.scripts import parted, rouge_words, spaced
from selfevolve.nltk_data.lookup import import_nltk
from selfevolve.records.texts import is_blank

BLEU_ORDERS = (1, 2, 3, 4)
DISTINCT_ORDERS = (1, 2, 3)
REMEMBERED = 16384  # texts: several metrics cut the same ones


@lru_cache(REMEMBERED)
def jieba_pieces(text: str) -> tuple[str, ...]:
    """Return what `jieba.cut(text)` yields: spaces and punctuation marks are tokens, case is kept.

    This is how LLaMA-Factory tokenises for its metrics; why the paper's numbers imply it is told in the
    README. jieba knows Latin letters and Han; a word of another script, which it would cut into letters and
    marks, is one piece.
    """
    pieces: list[str] = []
    for place, part in enumerate(parted(text)):
        pieces.extend([part] if place % 2 else _jieba().cut(part))
    return tuple(pieces)


@lru_cache(REMEMBERED)
def treebank_words(text: str) -> tuple[str, ...]:
    """Return the lower-cased text's Penn Treebank words (NLTK; needs no downloaded data)."""
    return tuple(_treebank().tokenize(spaced(text.lower())))


def bleu(response: str, reference: str) -> list[float]:
    """Return BLEU-1 to BLEU-4 (0..100) of one response on jieba's tokens.

    NLTK's `sentence_bleu` with uniform weights up to each order and smoothing method 3. This is inferred from
    the paper's numbers; LLaMA-Factory's own BLEU smooths alike but counts characters. A response shorter than
    the order is smoothed, not zero: one word that equals its reference has BLEU-2 of 100 * sqrt(1/2).
    """
    if is_blank(response):
        return [0.0] * len(BLEU_ORDERS)
    import_nltk()
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
    """Return ROUGE-L F1 (0..100) from rouge-score, without stemming, on `rouge_words`."""
    return 100 * _rouge().score(reference, response)["rougeL"].fmeasure


def meteor(response: str, reference: str, wordnet: Any) -> float:
    """Return METEOR (0..100) from NLTK with its default parameters, on lower-cased Treebank words.

    `wordnet` is the reader that selfevolve.nltk_data.lookup finds.
    """
    import_nltk()
    from nltk.translate.meteor_score import single_meteor_score

    words = treebank_words(reference), treebank_words(response)
    return 100 * single_meteor_score(*words, stemmer=_stemmer(), wordnet=wordnet)


def corpus_bleu(responses: Sequence[str], references: Sequence[str]) -> tuple[list[float], str]:
    """Return sacreBLEU's corpus BLEU of the orders 1 to 4 (0..100), lower-cased, and its signature.

    Orders that no reference has words for are left out: even responses equal to them would score 0. The
    signature does not mention the order: it is the same for all.
    """
    from sacrebleu.metrics import BLEU

    # force: no warning on standard error about texts that look tokenised; it changes no score.
    metrics = [BLEU(lowercase=True, max_ngram_order=order, force=True) for order in BLEU_ORDERS]
    said, expected = list(map(spaced, responses)), [list(map(spaced, references))]
    scores = [metric.corpus_score(said, expected).score for metric in metrics]
    return scores[: len(bleu_orders(references))], str(metrics[-1].get_signature())


def bleu_orders(references: Sequence[str]) -> tuple[int, ...]:
    """Return the orders of BLEU for which some reference has enough words, as sacreBLEU counts them."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    words = Tokenizer13a()
    longest = max(len(words(spaced(reference).lower()).split()) for reference in references)
    return BLEU_ORDERS[:longest]


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
    import_nltk()  # which rouge-score imports
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Words(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return rouge_words(text)

    return RougeScorer(["rougeL"], tokenizer=Words())


@cache
def _jieba() -> Any:
    """Return a jieba tokenizer that holds jieba's own dictionary, whatever lies in the temporary folder.

    Left alone, jieba trusts a cache file with a fixed name in the machine's temporary folder, which any
    program may have written; building the dictionary takes half a second and is always the same.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba 0.42 imports the deprecated pkg_resources
        import jieba
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


@cache
def _treebank() -> Any:
    import_nltk()
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer()
