"""What the store refuses to do for a rater: never a defect, always something a page can explain."""

from typing import Any, Literal

Code = Literal[
    "unknown_token",  # no rater has this link
    "revoked",  # the operator took the link back
    "withdrawn",  # the rater's data were deleted
    "no_consent",  # consent comes before everything else
    "paused",  # the operator has paused the study
    "not_yours",  # no such task, or it is another rater's
    "wrong_state",  # the task is over, or of another kind
    "empty",  # nothing to read in the message
    "too_long",  # longer than the study's limit; facts: limit
    "bad_value",  # not a value of the scale, an unknown dimension, side or language
    "bad_nonce",  # a nonce that is no short word, or was used for something else
    "stale",  # the page is older than the dialogue (a second tab)
    "answer_pending",  # an answer of the last turn is not there yet
    "choose_first",  # the last turn has no choice yet
    "continue_first",  # a tie, and no answer chosen to go on with
    "too_early",  # fewer turns than the study asks for; facts: needed, done
    "enough_turns",  # as many turns as the study allows; facts: limit
    "unrated",  # not every dimension has a value; facts: missing
    "busy",  # the database was locked for too long: the same act can be tried again
]


class Refused(Exception):  # noqa: N818 - a refusal is an answer to a rater, not an error of the program
    """An act that cannot be done now. Nothing was changed.

    `code` is what a page translates; `facts` are numbers and names for its sentence. The message is English
    and names no text of a rater, so it may be logged.
    """

    def __init__(self, code: Code, **facts: Any):
        self.code = code
        self.facts = facts
        super().__init__(code + "".join(f" {name}={value}" for name, value in facts.items()))


class NotYours(Refused):
    """A task that does not exist, or belongs to another rater: the two look the same from outside."""

    def __init__(self) -> None:
        super().__init__("not_yours")
