"""Models that only pretend: to try a study before there are models, and to measure the pages alone."""

import random
import time
from collections.abc import Callable, Iterator, Sequence

from stages.records.schema import Message

TEXT = (
    "that sounds like a lot to carry and I am glad you told me what would help you most right now perhaps "
    "we can look at it together step by step how long has it been this way you have done well to come so far"
)
WORDS = TEXT.split(" ")
DIGEST = "rehearsal"


def pretend(name: str, seconds: float = 1.0) -> Callable[[Sequence[Message], int], Iterator[str]]:
    """Return a model whose answers follow from its name and the seed, and take so many seconds."""

    def speak(messages: Sequence[Message], seed: int) -> Iterator[str]:
        draw = random.Random(f"{name} {seed}")
        words = [draw.choice(WORDS) for _ in range(draw.randint(8, 24))]
        for number, word in enumerate(words):
            time.sleep(seconds / len(words))
            yield f"{word.capitalize() if not number else word}{'.' if number == len(words) - 1 else ' '}"

    return speak
