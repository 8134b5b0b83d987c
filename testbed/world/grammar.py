"""Paraphrase templates: `[one|another|]` is a choice (it may nest), `{fact}` a slot, `{a fact}` a slot
with its indefinite article."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

_INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(a )?(\w+)\}")


def expand(template: str, facts: Mapping[str, str], rng: random.Random) -> str:
    """Return `template` with choices made by `rng`, and slots filled from `facts` or a KeyError."""
    text = template
    while "[" in text:
        text = _INNERMOST_CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
    return tidy(_SLOT.sub(lambda match: (with_article if match[1] else str)(facts[match[2]]), text))


@cache
def slots(template: str) -> frozenset[str]:
    """Return the names of the facts that an expansion of `template` may name."""
    return frozenset(match[2] for match in _SLOT.finditer(template))


def tidy(text: str) -> str:
    """Collapse white space, pull punctuation to its word and begin every sentence with a capital."""
    text = re.sub(r" +([,.!?;])", r"\1", " ".join(text.split()))
    return re.sub(r"(^|[.!?] )([a-z])", lambda match: match[1] + match[2].upper(), text)


def with_article(phrase: str) -> str:
    """Put `a` or `an` before a phrase, by its first letter; for no word of the vocabulary is that wrong."""
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


class Picker:
    """Draws templates, preferring those not drawn before: one dialogue does not repeat itself."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self._used: set[str] = set()

    def pick(self, templates: Sequence[str]) -> str:
        """Return one of `templates` (at least one), an unused one while there is one."""
        fresh = [template for template in templates if template not in self._used]
        chosen = self.rng.choice(fresh or list(templates))
        self._used.add(chosen)
        return chosen

    def say(self, templates: Sequence[str], facts: Mapping[str, str]) -> str:
        """Pick one of `templates` and expand it with `facts`."""
        return expand(self.pick(templates), facts, self.rng)


def fitting(templates: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the templates whose slots are all in `known`."""
    known = frozenset(known)
    return [template for template in templates if slots(template) <= known]
