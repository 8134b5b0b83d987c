"""The support rule: a refined response may say nothing of the seeker that the dialogue does not hold.

A policy that is rewarded for being personal may be personal about the wrong person. There are two
instruments. Where gold profiles tell the facts, `facts` is exact for them: whatever a response names of
the vocabulary, the dialogue must have named. In real language, `encoder` looks for support instead of
truth: a statement about the seeker must be near to something that was said. Nearness is no entailment: a
wrong detail of the right subject passes, and so does a negation, and what was rightly inferred in other
words may fail.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from selfevolve.metrics.facts import read_vocabulary
from selfevolve.metrics.phrases import words
from selfevolve.metrics.relevance import sentence_vectors
from selfevolve.metrics.semantic import Encoder
from selfevolve.records.schema import Context
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params

LEAST_WORDS = 2  # of a statement, besides those of support.yaml
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|\n+")
_YOU = re.compile(r"\byou(?:r|rs|rself)?\b", re.IGNORECASE)
# What the seeker might do, or would if, is no statement about him or her; that he or she cannot is one.
_MODAL = r"can(?!')|could|may|might|must|should|will|would|(?:don't )?(?:have|need) to"
_ADVICE = re.compile(rf"\b(?:if|you(?:'d|'ll| (?:{_MODAL})))\b", re.IGNORECASE)
_SAYS_NOTHING = frozenset(
    word for part in read_yaml(Path(__file__).with_name("support.yaml")).values() for word in part.split()
)


class SupportRule(Params):
    """The rule's part of section `pair` of params.yaml.

    `supported_by` is the instrument, null for no rule. `unsupported` says what becomes of a context whose
    refined response fails: the golden response is preferred in its place, as where one is too long, or
    there is no pair. `least_support` is for `encoder`: the least cosine that a statement has to some
    sentence of the dialogue.
    """

    supported_by: Literal["facts", "encoder"] | None
    unsupported: Literal["golden", "drop"]
    least_support: float = Field(ge=-1, le=1)


@dataclass(frozen=True)
class Support:
    """What responses say without support, by context id, of those that do; and the counts."""

    unsupported: Mapping[str, Sequence[str]] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)


def by_facts(contexts: Sequence[Context], responses: Mapping[str, str], vocabulary: Path) -> Support:
    """Look for phrases of gold profiles that a response names and no turn of its dialogue does.

    Args:
        contexts: those of the responses, at least.
        responses: text by context id.
        vocabulary: the file that stages.prepare writes.

    Returns:
        the phrases, and the numbers of responses `checked`, of `statements` (phrases that they name), of
        `unsupported_statements`, and of responses that have some, `unsupported`.

    Raises:
        InputError: the vocabulary is empty, so that everything would pass.
    """
    known = read_vocabulary(vocabulary)
    if not known:
        message = "is empty, since no dialogue has a gold profile: pair.supported_by must be encoder or null"
        raise InputError(message, file=vocabulary)
    named = {identity: known.mentioned(text) for identity, text in responses.items()}
    missing = {}
    for context in contexts:
        held = {phrase for message in context.messages for phrase in known.mentioned(message.content)}
        missing[context.id] = [phrase for phrase in named.get(context.id, ()) if phrase not in held]
    return _counted(named, missing)


def by_encoder(
    contexts: Sequence[Context],
    responses: Mapping[str, str],
    encoder: Encoder,
    least_support: float,
    batch_size: int = 64,
) -> Support:
    """Look for statements about the seeker that are near to nothing that was said in the dialogue.

    Args:
        contexts: those of the responses, at least.
        responses: text by context id.
        encoder: makes the sentence vectors.
        least_support: the least cosine, -1 to 1, of a statement to the nearest sentence of any turn, the
            supporter's own included.
        batch_size: of the encoder; changes speed and memory only.

    Returns:
        the statements, and counts as of `by_facts`; besides, how many texts were `truncated` to the encoder's
        window, and the `signature` of the vectors.
    """
    made = {identity: statements(text) for identity, text in responses.items()}
    support, truncated = nearness(contexts, made, encoder, batch_size)
    missing = {
        identity: [one for one, near in zip(made[identity], found, strict=True) if near < least_support]
        for identity, found in support.items()
    }
    found = _counted(made, missing)
    more = {"truncated": truncated, "signature": encoder.vector_signature}
    return Support(found.unsupported, {**found.counts, **more})


def nearness(
    contexts: Sequence[Context], made: Mapping[str, Sequence[str]], encoder: Encoder, batch_size: int = 64
) -> tuple[dict[str, list[float]], int]:
    """Return how near each statement is to the nearest sentence of its dialogue, and how many texts were cut.

    Args:
        contexts: those of the statements, at least.
        made: the statements by context id.
        encoder: makes the sentence vectors; `batch_size` changes speed and memory only.

    Returns:
        cosines, -1 to 1, in the order of the statements, by context id of those that have any; and the
        number of texts that were cut to the encoder's window.
    """
    said = {
        context.id: [part for message in context.messages for part in sentences(message.content)]
        for context in contexts
        if made.get(context.id)
    }
    texts = {text for those in (*made.values(), *said.values()) for text in those}
    vectors, truncated = sentence_vectors(texts, encoder, batch_size)
    near = {
        identity: [max(float(vectors[one] @ vectors[part]) for part in dialogue) for one in made[identity]]
        for identity, dialogue in said.items()
    }
    return near, truncated


def statements(text: str) -> list[str]:
    """Return the sentences of a text that say something about the seeker, in order.

    They speak of `you`, are no question, no condition and no advice (`you could ...`), and have two words
    at least that are no function words of English and no formulas of supporters (support.yaml).
    """
    return [
        sentence
        for sentence in sentences(text)
        if _YOU.search(sentence)
        and not sentence.rstrip("\"'”’)]").endswith("?")
        and not _ADVICE.search(sentence.replace("’", "'"))
        and len(set(words(sentence)) - _SAYS_NOTHING) >= LEAST_WORDS
    ]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order; a dot behind an abbreviation ends one as well."""
    return [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence.strip()]


def _counted(made: Mapping[str, Collection[str]], missing: Mapping[str, Sequence[str]]) -> Support:
    unsupported = {identity: those for identity, those in missing.items() if those}
    counts = {
        "checked": len(made),
        "statements": sum(map(len, made.values())),
        "unsupported_statements": sum(map(len, unsupported.values())),
        "unsupported": len(unsupported),
    }
    return Support(unsupported, counts)
