"""Whether reflections name the seeker's emotion and problem, by the number of seeker turns seen.

Where the seeker has a gold profile, a reflection names what its phrases mention (selfevolve.metrics.facts).
Otherwise, where a dialogue is annotated (ESConv), words stand for the labels (selfevolve.data.labels). The
emotion is looked for in the reflection's `user_emotion`, the problem in the whole understanding. A reflection
that did not parse names nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from selfevolve.data import labels
from selfevolve.metrics.facts import Seeker
from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.metrics.understanding import check_understanding, summarize_understanding
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import Context, Dialogue, NonEmpty, Record, Refinement

ASKED = {"emotion": labels.EMOTIONS, "problem": labels.PROBLEMS}
ALL = "all"  # the group of the contexts in which the seeker has said everything
SEED = 42  # of the intervals


class Finding(Record):
    """What is true of a seeker and what a reflection names: phrases of gold profiles, or labels.

    `told` says whether the seeker has said it by then; of an annotated label nobody knows.
    """

    own: NonEmpty
    by: Literal["profile", "label"]
    told: bool | None = None
    named: list[str]


class Inference(Record):
    """One reflection: the seeker turns of its context, its group, whether it parsed, what it names.

    `shortened`: the context had lost its oldest exchanges to the window. `emotion` and `problem` are absent
    where nobody knows them.
    """

    id: NonEmpty
    seeker_turns: int
    group: str
    shortened: bool
    valid: bool
    emotion: Finding | None = None
    problem: Finding | None = None


class Reflected(NamedTuple):
    """A reflection, its context and dialogue, and the seeker if he or she has a gold profile."""

    refinement: Refinement
    context: Context
    dialogue: Dialogue
    seeker: Seeker | None


def annotations(dialogues: Iterable[Dialogue]) -> dict[str, list[str]]:
    """Return the labels of emotion and of problem that occur in some dialogues."""
    metas = [dialogue.meta for dialogue in dialogues]
    return {kind: sorted({m[kind] for m in metas if isinstance(m.get(kind), str)}) for kind in ASKED}


def infer(one: Reflected, annotated: Mapping[str, Sequence[str]]) -> Inference:
    """Look for what is known of a seeker in a reflection; `annotated` as `annotations` returns it."""
    index = int(one.refinement.id.partition("#")[2])
    turns = index // 2 + 1
    understanding = one.refinement.understanding
    fields = understanding.model_dump() if understanding else {}
    texts = {"emotion": fields.get("user_emotion", ""), "problem": "\n".join(fields.values())}
    found: dict[str, Finding] = {}
    for kind, words in ASKED.items():
        if one.seeker is not None:
            told = kind in one.seeker.mentions(one.refinement.id, "").known
            named = one.seeker.vocabulary.mentioned(texts[kind])
            found[kind] = Finding(own=one.seeker.profile[kind], by="profile", told=told, named=named)
        elif isinstance(own := one.dialogue.meta.get(kind), str) and own.strip():
            named = sorted(labels.named(texts[kind], annotated[kind], words))
            found[kind] = Finding(own=own, by="label", named=named)
    return Inference(
        id=one.refinement.id,
        seeker_turns=turns,
        group=ALL if index == len(one.dialogue.turns) - 1 else str(turns),
        shortened=sum(message.role == "user" for message in one.context.messages) < turns,
        valid=understanding is not None,
        **found,
    )


def inference_report(reflected: Sequence[Reflected], inferences: Sequence[Inference]) -> dict[str, Any]:
    """Return the contents of profile_inference.json; both lists are in the same order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, inference in enumerate(inferences):
        groups[inference.group].append(number)
    order = sorted(groups, key=lambda name: (name == ALL, int(name) if name != ALL else 0))
    return {
        "reflections": len(inferences),
        "dialogues": len({dialogue_of(one.id) for one in inferences}),
        "nothing_known": sum(not (one.emotion or one.problem) for one in inferences),
        "by_seeker_turns": {
            name: _group([reflected[n] for n in groups[name]], [inferences[n] for n in groups[name]])
            for name in order
        },
    }


def _group(reflected: Sequence[Reflected], inferences: Sequence[Inference]) -> dict[str, Any]:
    checks = [
        check_understanding(
            one.refinement.understanding and one.refinement.understanding.model_dump(), one.seeker
        )
        for one in reflected
        if one.seeker is not None
    ]
    return {
        "contexts": len(inferences),
        "shortened": sum(one.shortened for one in inferences),
        "invalid": _percent([not one.valid for one in inferences], inferences),
        **{kind: _named(inferences, kind) for kind in ASKED},
        **({"understanding": summarize_understanding(checks)} if checks else {}),
    }


def _named(inferences: Sequence[Inference], kind: str) -> dict[str, Any]:
    """How often what is true is named; the three shares add up to 100."""
    asked = [one for one in inferences if getattr(one, kind) is not None]
    if not asked:
        return {"asked": 0}
    findings: list[Finding] = [getattr(one, kind) for one in asked]
    right = [finding.own in finding.named for finding in findings]
    told = [number for number, finding in enumerate(findings) if finding.told]
    wrong = [one.valid and not hit for one, hit in zip(asked, right, strict=True)]
    return {
        "asked": len(asked),
        "by": dict(sorted(Counter(finding.by for finding in findings).items())),
        "named": _percent(right, asked),
        "not_named": _percent(wrong, asked),
        "invalid": _percent([not one.valid for one in asked], asked),
        "by_chance": _by_chance(findings),
        **({"told": len(told)} if any(finding.told is not None for finding in findings) else {}),
        **({"named_of_told": _percent([right[n] for n in told], [asked[n] for n in told])} if told else {}),
    }


def _by_chance(findings: Sequence[Finding]) -> float | str:
    """Percent of all pairs of different contexts in which the one's reflection names the other's truth."""
    hits = [
        other.own in one.named
        for one in findings
        for other in findings
        if one is not other and one.by == other.by
    ]
    return 100 * sum(hits) / len(hits) if hits else "not available"


def _percent(flags: Sequence[bool], inferences: Sequence[Inference]) -> dict[str, float]:
    dialogues = [dialogue_of(one.id) for one in inferences]
    return mean_and_interval([100.0 * flag for flag in flags], dialogues, seed=SEED)
