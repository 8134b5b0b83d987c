"""The length rule: how long a refined response may be, and what becomes of a longer one.

Stage `pair` applies it, and where `too_long` is `ask_again`, stage `refine` asks for shorter responses first.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from selfevolve.runtime.parameters import Params, load_params, validate


class LengthRule(Params):
    """The rule's part of section `pair` of params.yaml (paper, appendix A).

    `too_long` says what becomes of a context whose refined response is too long: the golden response is
    preferred in its place (the paper's rule), the pair is dropped, or the policy is asked again, and what
    stays too long gives way to the golden response.
    """

    too_long: Literal["golden", "drop", "ask_again"]
    max_length_ratio: float | None = Field(gt=0)  # null for no rule
    length_against: list[Literal["rejected", "golden"]]

    def most_words(self, rejected: str, golden: str) -> int | None:
        """Return the most words that a refined response may have; None where there is no rule.

        They are `max_length_ratio` times those of the shortest text that it is held against.
        """
        if self.max_length_ratio is None or not self.length_against:
            return None
        measures = {"rejected": rejected, "golden": golden}
        shortest = min(len(measures[name].split()) for name in self.length_against)
        return int(self.max_length_ratio * shortest)


def read_length_rule(params: Path | str = "params.yaml") -> LengthRule:
    """Return the rule in section `pair` of a parameters file; raises InputError as `read_params`.

    The section's other keys are left out, since they decide nothing about refined responses.
    """
    section = load_params("pair", params)
    rule = {key: section[key] for key in LengthRule.model_fields if key in section}
    return validate(LengthRule, rule, file=params, section="pair")


def is_longer(text: str, most_words: int | None) -> bool:
    """Tell whether a text has more words than it may have; never where there is no rule."""
    return most_words is not None and len(text.split()) > most_words
