"""What sessions came to: the path of the emotion, disclosure, facts taken up, wrong and invented facts.

A score is one number a session, None where the session has none. Values of one card resemble each other, so
intervals and tests draw and exchange whole cards (selfevolve.metrics.dialogues).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from selfevolve.metrics.dialogues import Totals, estimate, mean
from selfevolve.metrics.facts import GoldFacts, Seeker, Vocabulary
from selfevolve.metrics.statistics import Resampling
from selfevolve.records.jsonl import dialogue_of
from selfevolve.runtime.files import read_json
from selfevolve.runtime.parameters import validate
from selfevolve.sessions.session import Session, SessionTurn

ORDER = 3  # words of an n-gram whose repetition is counted

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Phrases:
    """The facts that anybody in these sessions may have: each phrase in lower case, and the fact it is of."""

    facts: Mapping[str, str]

    @classmethod
    def of(cls, sessions: Sequence[Session], gold: Path | None = None) -> "Phrases":
        """Collect the facts of the sessions' cards, and those of a vocabulary file.

        Args:
            sessions: those with facts count.
            gold: a file in the layout of `data/dialogues/facts.json`.

        Raises:
            InputError: the file is no vocabulary.
        """
        facts = {phrase.lower(): name for one in sessions for name, phrase in (one.facts or {}).items()}
        if gold is not None:
            known = validate(GoldFacts, read_json(gold), file=gold).phrases
            facts |= {phrase.lower(): name for name, phrases in known.items() for phrase in phrases}
        return cls(facts)

    def vocabulary(self) -> Vocabulary:
        """Return what to look for in texts."""
        return Vocabulary(self.facts)


def session_scores(session: Session, phrases: Phrases, vocabulary: Vocabulary) -> Scores:
    """Return the scores of one session, by name.

    Args:
        session: with at least one supporter turn.
        phrases: which facts there are.
        vocabulary: that of `phrases`, made once for many sessions.

    Returns:
        `emotion_start`, `emotion_end`: the first and last known level, 1 to 5. `emotion_change`: the end less
        the start; below 0 the seeker feels better. `disclosed`: percent of the card's facts that were told.
        `taken_up`: percent of the facts told before the last supporter turn that the supporter named in a
        later turn. `wrong`, `invented`: percent of supporter turns that name a phrase of somebody else where
        the seeker has told, or has not told, their own. `repetition`: percent of a turn's word trigrams that
        the supporter has used before in this session, mean over turns from the second. `words`: mean length
        of a supporter turn. `exchanges`: supporter turns. `gave_up`: 100 where the seeker left unheard, else
        0. The seeker's name counts nowhere.
    """
    levels = [turn.emotion for turn in session.turns if turn.emotion is not None]
    answers = [turn.text for turn in session.turns if turn.role == "supporter"]
    start, end = (levels[0], levels[-1]) if levels else (None, None)
    return {
        "emotion_start": start,
        "emotion_end": end,
        "emotion_change": None if start is None or end is None else end - start,
        **_fact_scores(session, phrases, vocabulary),
        "repetition": repetition(answers),
        "words": fmean(len(text.split()) for text in answers),
        "exchanges": len(answers),
        "gave_up": 100 * (session.ended == "gave_up"),
    }


def repetition(answers: Sequence[str]) -> float | None:
    """Return the mean share of trigrams used before, in percent; None where no later turn has a trigram."""
    used: set[tuple[str, ...]] = set()
    shares = []
    for number, text in enumerate(answers):
        words = text.lower().split()
        found = [tuple(words[at : at + ORDER]) for at in range(len(words) - ORDER + 1)]
        if number and found:
            shares.append(100 * sum(one in used for one in found) / len(found))
        used.update(found)
    return fmean(shares) if shares else None


def report(sessions: Sequence[Session], phrases: Phrases, how: Resampling) -> dict[str, Any]:
    """Return what a model's sessions came to, as its metrics file has it.

    Args:
        sessions: at least one.
        phrases: which facts there are.
        how: seed, resamples and level of the intervals over cards.

    Returns:
        The numbers of sessions and cards, how sessions ended, every score with its interval over all sessions
        (`all`) and over those whose seeker is `resistant` or `open`, and the mean level by seeker turn
        (`emotion_path`, turns from 1).
    """
    measured = measure(sessions, phrases)
    groups = {
        "all": [session.id for session in sessions],
        "resistant": [session.id for session in sessions if session.resistant],
        "open": [session.id for session in sessions if not session.resistant],
    }
    return {
        "sessions": len(sessions),
        "cards": len({dialogue_of(session.id) for session in sessions}),
        "ended": dict(sorted(Counter(session.ended for session in sessions).items())),
        "emotion_path": emotion_path(sessions),
        **{name: _estimates({i: measured[i] for i in ids}, how) for name, ids in groups.items() if ids},
    }


def measure(sessions: Sequence[Session], phrases: Phrases) -> dict[str, Scores]:
    """Return the scores of every session, by its id."""
    vocabulary = phrases.vocabulary()
    return {session.id: session_scores(session, phrases, vocabulary) for session in sessions}


def totals(measured: Mapping[str, Scores]) -> dict[str, Totals]:
    """Return each score that any session has, as a mean over sessions that knows its cards."""
    ids = list(measured)
    names = measured[ids[0]] if ids else {}
    columns = {name: [measured[identity][name] for identity in ids] for name in names}
    return {
        name: mean(ids, values)
        for name, values in columns.items()
        if any(value is not None for value in values)
    }


def emotion_path(sessions: Sequence[Session]) -> dict[str, dict[str, float]]:
    """Return the mean level by seeker turn, from 1, and of how many sessions it is: some end early."""
    levels: dict[int, list[int]] = {}
    for session in sessions:
        for number, turn in enumerate(_of_seeker(session), start=1):
            if turn.emotion is not None:
                levels.setdefault(number, []).append(turn.emotion)
    return {
        str(number): {"mean": fmean(found), "sessions": len(found)}
        for number, found in sorted(levels.items())
    }


def _estimates(measured: Mapping[str, Scores], how: Resampling) -> dict[str, Any]:
    """Return scores with their intervals; one that rests on a single card has its value alone."""
    return {
        name: estimate(score, how)._asdict()
        if len(score.dialogues) > 1
        else {"value": score.value, "dialogues": 1}
        for name, score in totals(measured).items()
    }


def _fact_scores(session: Session, phrases: Phrases, vocabulary: Vocabulary) -> Scores:
    names = ("disclosed", "taken_up", "wrong", "invented")
    told_in = {
        name: number for number, turn in enumerate(_of_seeker(session)) for name in turn.disclosed or []
    }
    facts = [name for name in session.facts or {} if name != "name"]
    if not facts:
        return dict.fromkeys(names)
    answers = [turn.text for turn in session.turns if turn.role == "supporter"]
    told = {name for name, number in told_in.items() if name != "name" and number < len(answers)}
    own: set[str] = set()
    wrong = invented = 0
    for number, text in enumerate(answers):
        seeker = Seeker({**(session.facts or {}), "disclosure": told_in}, number, vocabulary)
        found = seeker.mentions(session.id, text)
        own.update(found.own)
        kinds = {phrases.facts[phrase.lower()] for phrase in found.wrong} - {"name"}
        wrong += bool(kinds & set(found.known))
        invented += bool(kinds - set(found.known))
    return {
        "disclosed": 100 * len(told_in.keys() & set(facts)) / len(facts),
        "taken_up": 100 * len(own & told) / len(told) if told else None,
        "wrong": 100 * wrong / len(answers),
        "invented": 100 * invented / len(answers),
    }


def _of_seeker(session: Session) -> list[SessionTurn]:
    return [turn for turn in session.turns if turn.role == "seeker"]
