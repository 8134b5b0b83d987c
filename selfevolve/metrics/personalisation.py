"""Personalisation without a judge: can one tell whose response it is?

A response that speaks to one seeker is nearer to what this seeker has said than to what others have said of
the same kind of problem. One that would suit everybody is not. So a response is compared with its own seeker
and with some others, and its own seeker with the responses that the same model gave to others:

- `auc`: how often a response is nearer to its own seeker than to another one, a tie counting half;
- `reciprocal_rank`: one divided by the place of its own seeker among all of them, ties at their middle;
- `matched_auc`: how often a seeker is nearer to the own response than to one of nearly the same length that
  the model gave to another seeker. A response that is nearer to everybody gains nothing here.

All are in percent, and 50 is chance for the two areas under the curve (`chance` says it for all three). How
near they are is what the caller says: `Nearness`. Of another seeker as many turns are read as the own one has
said by then, so that nobody is recognised by how much there is of him or her.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from selfevolve.metrics.line_ups import LineUp, PersonalisationParams, Said, line_up
from selfevolve.metrics.relevance import RelevanceParams, sentence_vectors
from selfevolve.metrics.semantic import find_encoder
from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.records.jsonl import dialogue_of, read_records, seeker_turn_of, write_records
from selfevolve.records.schema import Dialogue, PersonalScores, Response
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import InputError, Unavailable

SEED = 42  # of the intervals


class Question(NamedTuple):
    """A text, and a seeker whom it may have been written to."""

    text: str
    seeker: Said


Nearness: TypeAlias = Callable[[Sequence[Question]], Sequence[float]]
"""Says of every question how near the text is to the seeker; larger is nearer, the scale does not matter."""


def measure_personalisation(
    responses: Path, dialogues: Path, details: Path, params: PersonalisationParams, encoding: RelevanceParams
) -> dict[str, Any]:
    """Score the responses by sentence vectors, write their PersonalScores to `details`; return the summary.

    Args:
        responses: Response records, at least one, of contexts of these dialogues.
        dialogues: Dialogue records.
        details: where the records go.
        params: whom responses are compared with.
        encoding: which encoder makes the vectors.

    Returns:
        as `summarize`, with the numbers of `responses` and of texts `truncated`, and the vectors'
        `signature`; or `not_available`, the reason, where the details are empty.
    """
    texts, known = read_answered(responses, dialogues)
    try:
        scores, summary = personalisation(texts, known, params, encoding)
    except Unavailable as absence:
        write_records(details, [])
        return {"responses": len(texts), "not_available": dict.fromkeys(chance(1), str(absence))}
    write_records(details, scores)
    return summary


def read_answered(responses: Path, dialogues: Path) -> tuple[dict[str, str], dict[str, Dialogue]]:
    """Return responses by context id, and by their ids the dialogues that the contexts were cut from.

    Raises:
        InputError: there is no response, or one to no supporter turn of these dialogues.
    """
    texts = {response.id: response.text for response in read_records(responses, Response)}
    known = {dialogue.id: dialogue for dialogue in read_records(dialogues, Dialogue)}
    if not texts:
        raise InputError("has no responses", file=responses)
    turns = {name: len(dialogue.turns) for name, dialogue in known.items()}
    for identity in texts:
        seeker_turn_of(identity, turns, responses, dialogues)
    return texts, known


def personalisation(
    texts: Mapping[str, str],
    dialogues: Mapping[str, Dialogue],
    params: PersonalisationParams,
    encoding: RelevanceParams,
) -> tuple[list[PersonalScores], dict[str, Any]]:
    """Return the scores of responses by sentence vectors, in the order of the ids, and their summary.

    Args:
        texts: responses by context id, at least one.
        dialogues: by id, those that the contexts were cut from.
        params: whom responses are compared with.
        encoding: which encoder makes the vectors.

    Returns:
        the scores; and as `summarize`, with the numbers of `responses` and of texts `truncated`, and the
        vectors' `signature`.

    Raises:
        Unavailable: there is but one dialogue, or no such encoder.
    """
    line_ups = line_up(texts, dialogues, params)
    encoder = find_encoder(encoding.encoder, encoding.num_layers)
    read = {text for text in texts.values() if not is_blank(text)}
    for name in {said.dialogue for one in line_ups for said in (one.own, *one.others)}:
        read.update(seeker_turns(dialogues[name]))
    vectors, truncated = sentence_vectors(read, encoder, encoding.batch_size)
    scores = tell_apart(texts, line_ups, by_sentence_vectors(vectors, dialogues))
    counts = {"responses": len(scores), "truncated": truncated}
    return scores, {**summarize(scores, line_ups), **counts, "signature": encoder.vector_signature}


def tell_apart(
    responses: Mapping[str, str], line_ups: Sequence[LineUp], nearness: Nearness
) -> list[PersonalScores]:
    """Score every response: can its seeker be told among the others, and it among others' responses?

    Args:
        responses: texts by context id.
        line_ups: of all of them.
        nearness: how near a text is to a seeker. It is asked once, with every question.

    Returns:
        one record for each line-up; `matched_auc` is None where no other seeker was given a response.
    """
    questions: list[Question] = []
    for one in line_ups:
        questions += [Question(responses[one.identity], said) for said in (one.own, *one.others)]
        questions += [Question(responses[other], one.own) for other in one.matched]
    near = iter(nearness(questions))
    scores = []
    for one in line_ups:
        own = next(near)
        others = [next(near) for _ in one.others]
        matched = [next(near) for _ in one.matched]
        rank = 1 + sum(other > own for other in others) + sum(other == own for other in others) / 2
        scores.append(
            PersonalScores(
                id=one.identity,
                auc=_won(own, others),
                reciprocal_rank=100 / rank,
                matched_auc=_won(own, matched) if matched else None,
            )
        )
    return scores


def summarize(scores: Sequence[PersonalScores], line_ups: Sequence[LineUp]) -> dict[str, Any]:
    """Return the means, what they are by chance, and the same by how much the seeker had said.

    Args:
        scores: at least one; `line_ups` are theirs, in the same order.
    """
    others = len(line_ups[0].others)
    compared = sum(len(one.others) for one in line_ups)
    groups: dict[str, list[PersonalScores]] = {}
    for one, score in sorted(zip(line_ups, scores, strict=True), key=lambda pair: pair[0].own.turns):
        groups.setdefault(_group(one.own.turns), []).append(score)
    return {
        **_means(scores),
        "others": others,
        "same_problem": 100 * sum(one.same_problem for one in line_ups) / compared,
        "chance": chance(others),
        "by_seeker_turns": {
            name: {"responses": len(some), "auc": _interval(some)} for name, some in groups.items()
        },
    }


def chance(others: int) -> dict[str, float]:
    """Return what each score is on average, in percent, where nothing can be told; one of `others` + 1."""
    places = range(1, others + 2)
    return {"auc": 50.0, "reciprocal_rank": 100 * fmean(1 / place for place in places), "matched_auc": 50.0}


def by_sentence_vectors(
    vectors: Mapping[str, NDArray[np.float32]], dialogues: Mapping[str, Dialogue]
) -> Nearness:
    """Return the nearness by cosine: the mean over the seeker's turns, as of selfevolve.metrics.relevance.

    Args:
        vectors: a unit vector [size] for each text and each turn of a seeker; a text without one, which has
            no word, is equally near to all.
        dialogues: by id.
    """
    means: dict[Said, NDArray[np.float64]] = {}

    def mean(said: Said) -> NDArray[np.float64]:
        if said not in means:
            turns = seeker_turns(dialogues[said.dialogue])[: said.turns]
            means[said] = np.mean([vectors[turn] for turn in turns], axis=0, dtype=np.float64)
        return means[said]

    def near(questions: Sequence[Question]) -> list[float]:
        return [
            float(mean(one.seeker) @ vectors[one.text]) if one.text in vectors else 0.0 for one in questions
        ]

    return near


def seeker_turns(dialogue: Dialogue) -> list[str]:
    """Return what the seeker says, a text a turn."""
    return [turn.text for turn in dialogue.turns if turn.role == "seeker"]


def _won(own: float, others: Sequence[float]) -> float:
    return 100 * fmean((own > other) + (own == other) / 2 for other in others)


def _group(turns: int) -> str:
    """Return the name of a doubling range of turns: 1, 2-3, 4-7 ..."""
    first = 1 << (turns.bit_length() - 1)
    return "1" if first == 1 else f"{first}-{2 * first - 1}"


def _means(scores: Sequence[PersonalScores]) -> dict[str, float]:
    values = {name: [getattr(one, name) for one in scores] for name in chance(1)}
    there = {name: [value for value in some if value is not None] for name, some in values.items()}
    return {name: fmean(some) for name, some in there.items() if some}


def _interval(scores: Sequence[PersonalScores]) -> dict[str, float]:
    return mean_and_interval([one.auc for one in scores], [dialogue_of(one.id) for one in scores], seed=SEED)
