"""Words in scripts that the metrics' own tokenizers do not know.

jieba cuts a Hebrew word into letters, rouge-score drops all but a to z and digits, and Treebank and sacreBLEU
take a Chinese sentence for one word. So a word is here a run of letters with their marks, and in scripts that
are written without spaces a character with its marks, as sacreBLEU has it for Chinese. Texts in Latin
letters are left to the metrics' tokenizers: not one of their tokens changes.
"""

import re

# Thai, Lao, Tibetan, Burmese and Khmer; Han, kana and bopomofo; with their marks of punctuation.
_SOUTHERN = r"\u0e01-\u0e5b\u0e81-\u0edf\u0f00-\u0fda\u1000-\u109f\u1780-\u17f9\ua9e0-\ua9fe\uaa60-\uaa7f"
_EASTERN = (
    r"\u2e80-\u2fdf\u3001-\u33ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f"
    r"\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_UNSPACED = _SOUTHERN + _EASTERN
_UNSPACED_MARKS = (
    r"\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u0f35\u0f37\u0f39\u0f71-\u0f84\u0f86\u0f87"
    r"\u0f8d-\u0fbc\u102b-\u103e\u1056-\u1059\u105e-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108f\u17b4-\u17d3"
    r"\u17dd\u3099\u309a\uff9e\uff9f\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
# Latin letters beyond U+036F, superscripts, and letters and numbers that serve as symbols.
_LATIN = (
    r"\x00-\u036f\u1d00-\u1dbf\u1e00-\u1eff\u2070-\u218f\u2460-\u24ff\u2776-\u2793\u2c60-\u2c7f\ua720-\ua7ff"
    r"\uab30-\uab6f\ufb00-\ufb06"
)
# Marks of letters: Cyrillic, Hebrew, Arabic, Syriac, Thaana, the scripts of India and Sri Lanka; and joiners.
_MARKS = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    r"\u06d6-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u0900-\u0963\u0971-\u0df3\u200c\u200d"
)
# Punctuation that Treebank and sacreBLEU would leave at its word: Armenian, Hebrew, Arabic, Indic, Ethiopic.
_PUNCTUATION = r"\u0589\u05be\u05c3\u060c\u061b\u061f\u06d4\u0964\u0965\u1361-\u1368"

_LETTER = rf"[^\W_{_LATIN}{_UNSPACED}]"
_LETTERS = rf"{_LETTER}(?:{_LETTER}|[{_MARKS}])*"
_CHARACTER = rf"[{_UNSPACED}][{_UNSPACED_MARKS}]*"
_OTHER = re.compile(rf"{_LETTER}|(?![\W_])[{_UNSPACED}]")
_ALONE = re.compile(rf"{_CHARACTER}|[{_PUNCTUATION}]")
_UNKNOWN_TO_JIEBA = re.compile(rf"({_LETTERS}|[{_SOUTHERN}][{_UNSPACED_MARKS}]*)")
_ROUGE = re.compile(rf"[a-z0-9]+|(?![\W_]){_CHARACTER}|{_LETTERS}")


def spaced(text: str) -> str:
    """Return the text with spaces around what is a word without them; a text in Latin letters as it is."""
    return _ALONE.sub(r" \g<0> ", text) if _OTHER.search(text) else text


def parted(text: str) -> list[str]:
    """Return the text in parts, of which every second one is a word that jieba does not know."""
    return _UNKNOWN_TO_JIEBA.split(text)


def rouge_words(text: str) -> list[str]:
    """Return rouge-score's words and those of other scripts; of a text without any its characters."""
    lowered = text.lower()
    return _ROUGE.findall(lowered) or [character for character in lowered if not character.isspace()]
