"""Whether a text names an annotated emotion or problem: ESConv's labels and the words that stand for them.

A label is named where one of its words occurs in the text, whatever the case. `depress*` stands for every
word that begins so; other entries are whole words, or several in a row. A negated word counts as well, and a
person may be named whom the trouble is not about: how often that happens by chance has to be measured beside
it. A label that is not listed is named where all of its own words occur but for the `FILLERS`.
"""

import re
from collections.abc import Collection, Iterable
from functools import cache

# No word stands for two emotions: who names one has not named another.
EMOTIONS: dict[str, tuple[str, ...]] = {
    "anger": ("anger*", "angr*", "furious*", "fury", "rage", "mad", "resent*", "irritat*"),
    "anxiety": ("anxi*", "worr*", "panic*", "uneasy", "uneasiness"),
    "depression": ("depress*", "hopeless*", "despair*"),
    "disgust": ("disgust*", "revuls*", "repuls*", "repell*"),
    "fear": ("fear*", "afraid", "scare*", "frighten*", "terrif*"),
    "guilt": ("guilt*", "remorse*"),
    "jealousy": ("jealous*", "envy", "envious*"),
    "nervousness": ("nervous*", "jitter*", "on edge"),
    "pain": ("pain", "pains", "painful*", "hurt*", "agony"),
    "sadness": (
        *("sad", "sadder", "saddened", "sadly", "sadness", "sorrow*", "unhapp*", "heartbr*", "grief"),
        "griev*",
    ),
    "shame": ("asham*", "shame*", "embarrass*", "humiliat*"),
}
_PARENTS = (
    *("parent", "parents", "parental", "mother", "mothers", "mom", "moms", "mum", "mums"),
    *("father", "fathers", "dad", "dads"),
)  # fmt: skip
PROBLEMS: dict[str, tuple[str, ...]] = {
    "academic pressure": (
        *("academ*", "school*", "exam", "exams", "study", "studies", "studying", "universit*", "college*"),
        *("grade", "grades", "homework", "thesis", "coursework", "semester*", "degree"),
    ),
    "alcohol abuse": ("alcohol*", "drink", "drinks", "drinking", "drunk*", "sober*"),
    "appearance anxiety": ("appearance*", "looks", "body", "weight", "ugly", "attractive*"),
    "breakup with partner": (
        *("breakup*", "break up", "breaking up", "broke up", "broken up", "boyfriend*", "girlfriend*"),
        *("partner", "ex", "husband*", "wife", "spouse*", "marriage", "divorc*", "separation"),
    ),
    "conflict with parents": _PARENTS,
    "issues with children": ("child", "children", "kid", "kids", "son", "sons", "daughter*"),
    "issues with parents": _PARENTS,
    "job crisis": (
        *("job*", "work", "workplace*", "work-related", "unemploy*", "employ*", "career*", "boss*"),
        *("manager*", "colleague*", "coworker*", "co-worker*", "laid off", "layoff*", "fired"),
    ),
    "ongoing depression": ("depress*", "hopeless*", "low mood"),
    "problems with friends": ("friend", "friends", "friendship*"),
    "procrastination": ("procrastinat*", "putting off", "puts off", "put off", "postpon*"),
    "school bullying": ("bully*", "bullied", "bullies"),
    "sleep problems": ("sleep*", "insomn*", "awake", "nightmare*"),
}
FILLERS = frozenset(
    {"a", "an", "and", "about", "at", "by", "from", "in", "my", "of", "on", "or", "the", "to", "with"}
)


def named(text: str, labels: Iterable[str], words: dict[str, tuple[str, ...]]) -> set[str]:
    """Return those of some labels, spelled as given, that a text names by the rule above."""
    plain = " ".join(text.lower().replace("’", "'").split())
    return {label for label in labels if _names(plain, label, words)}


def plain_label(label: str) -> str:
    """Return a label as it stands in `EMOTIONS` and `PROBLEMS`: lower case, single spaces."""
    return " ".join(label.lower().split())


def _names(plain: str, label: str, words: dict[str, tuple[str, ...]]) -> bool:
    label = plain_label(label)
    if label in words:
        return _any(words[label]).search(plain) is not None
    own = [word for word in re.findall(r"\w+", label) if word not in FILLERS]
    return bool(own) and all(_any((word,)).search(plain) for word in own)


@cache
def _any(entries: Collection[str]) -> re.Pattern[str]:
    """A pattern of entries; `*` at the end stands for the rest of a word."""
    parts = (re.escape(e.removesuffix("*")) + (r"\w*" if e.endswith("*") else "") for e in entries)
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")
