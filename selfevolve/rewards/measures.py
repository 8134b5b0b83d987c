"""Rewards without training: how near a response is to its seeker, alone or beside other seekers."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, TypeAlias

import numpy as np

from selfevolve.metrics.line_ups import PersonalisationParams, line_up
from selfevolve.metrics.personalisation import Question, by_sentence_vectors, seeker_turns
from selfevolve.metrics.relevance import RelevanceParams, sentence_vectors
from selfevolve.metrics.semantic import Encoder
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import Context, Dialogue
from selfevolve.runtime.errors import InputError


class Asked(NamedTuple):
    """A context, and the texts, none of them blank, whose rewards as its answer are asked."""

    context: Context
    texts: Sequence[str]


Reward: TypeAlias = Callable[[Sequence[Asked]], list[list[float]]]
"""Says how good each text is: a number for each, larger is better, by its own scale."""


def relevance_reward(encoder: Encoder, params: RelevanceParams) -> Reward:
    """Return figure 5's relevance as a reward: the mean cosine to the seeker's turns in the context."""

    def rewards(asked: Sequence[Asked]) -> list[list[float]]:
        said = [[turn.content for turn in one.context.messages if turn.role == "user"] for one in asked]
        texts = {text for one in asked for text in one.texts} | {turn for turns in said for turn in turns}
        vectors, _ = sentence_vectors(texts, encoder, params.batch_size)
        found = []
        for one, turns in zip(asked, said, strict=True):
            seeker = np.mean([vectors[turn] for turn in turns], axis=0, dtype=np.float64)
            found.append([float(seeker @ vectors[text]) for text in one.texts])
        return found

    return rewards


def personalisation_reward(
    encoder: Encoder,
    params: RelevanceParams,
    dialogues: Mapping[str, Dialogue],
    others: PersonalisationParams,
) -> Reward:
    """Return as a reward how much nearer a response is to its own seeker than to others.

    It is the cosine to the own seeker's turns (as of `relevance_reward`), less the mean of those to the other
    seekers that `selfevolve.metrics.line_ups` draws, of whom as many turns are read.

    Args:
        encoder: makes the sentence vectors; `params` say how many texts at once.
        dialogues: by id, those that the contexts were cut from, two at least.
        others: how many others.

    Raises:
        InputError: when it is asked about a context of none of these dialogues.
    """

    def rewards(asked: Sequence[Asked]) -> list[list[float]]:
        for one in asked:
            if dialogue_of(one.context.id) not in dialogues:
                raise InputError("is of no dialogue that personalisation was given", record=one.context.id)
        any_text = {one.context.id: one.texts[0] for one in asked}
        ups = {one.identity: one for one in line_up(any_text, dialogues, others)}
        names = {said.dialogue for up in ups.values() for said in (up.own, *up.others)}
        texts = {text for one in asked for text in one.texts}
        texts |= {turn for name in names for turn in seeker_turns(dialogues[name])}
        near = by_sentence_vectors(sentence_vectors(texts, encoder, params.batch_size)[0], dialogues)
        found = []
        for one in asked:
            up = ups[one.context.id]
            own = near([Question(text, up.own) for text in one.texts])
            rest = [near([Question(text, said) for said in up.others]) for text in one.texts]
            found.append([mine - fmean(theirs) for mine, theirs in zip(own, rest, strict=True)])
        return found

    return rewards
