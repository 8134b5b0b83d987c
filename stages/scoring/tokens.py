"""The two ways a text becomes tokens: jieba pieces (paper protocol) and Treebank words (standard)."""

import logging
import warnings
from functools import cache, lru_cache
from typing import Any

REMEMBERED = 16384  # texts: several metrics cut the same ones


@lru_cache(REMEMBERED)
def jieba_pieces(text: str) -> tuple[str, ...]:
    """Return what `jieba.cut(text)` yields: spaces and punctuation marks are tokens, case is kept.

    This is how LLaMA-Factory tokenises for its metrics; why the paper's numbers imply it is told in the
    README.
    """
    return tuple(_jieba().cut(text))


@lru_cache(REMEMBERED)
def treebank_words(text: str) -> tuple[str, ...]:
    """Return the lower-cased text's Penn Treebank words (NLTK; needs no downloaded data)."""
    return tuple(_treebank().tokenize(text.lower()))


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
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer()
