"""Which facts a text names, found one phrase at a time: another way than the metric's one search."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from selfevolve.metrics.facts import FACTS
from testbed.world.profile import Profile


def facts_named(text: str, facts: Mapping[str, Any]) -> set[str]:
    """The keys of the facts whose phrase stands in the text as whole words, whatever the case."""
    return {key for key in FACTS if facts.get(key) and pattern(facts[key]).search(text)}


@cache
def pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)


def profile_of(meta: Mapping[str, Any]) -> Profile:
    """The profile that `Profile.as_meta` recorded."""
    return Profile(**{key: meta.get(key) for key in FACTS})
