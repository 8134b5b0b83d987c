"""Measure whether reflections name emotion and problem: `python -m stages.profile_inference --refined ...`.

By the number of seeker turns seen, on dialogues of which both are known: where the seeker has a hidden
profile (mini world), by its own phrases (stages/world/takeup.py); else where both are annotated
(ESConv), by the words that stand for the labels (stages/dialogue/labels.py). The emotion is looked for in the
reflection's `user_emotion`, the problem in the whole understanding. A reflection that could not be read names
nothing, and `by_chance` says how often a reflection names what is true of another dialogue instead.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.command import run
from stages.dialogue import labels
from stages.records.errors import InputError
from stages.records.jsonl import read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Dialogue, NonEmpty, Record, Refinement
from stages.scoring.significance import described
from stages.world.takeup import (
    Seekers,
    Seen,
    check_understanding,
    phrases_named,
    summarize_understanding,
    take_up,
)

ASKED = {"emotion": labels.EMOTIONS, "problem": labels.PROBLEMS}
ALL = "all"  # the group of the contexts in which the seeker has said everything
SEED = 42  # of the intervals


class Finding(Record):
    """What is true of a seeker and what a reflection names: a phrase of the mini world, or labels.

    `told` says whether the seeker has said it by then; of an annotated label nobody knows.
    """

    own: NonEmpty
    by: Literal["profile", "label"]
    told: bool | None = None
    named: list[str]


class Inference(Record):
    """One reflection: the seeker turns of its context, its group, whether it was read, what it names.

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


class _Item(NamedTuple):
    inference: Inference
    refinement: Refinement
    seen: Seen | None


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, look for what is known in every reflection and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--refined", type=Path, required=True, help="the reflections")
    parser.add_argument("--contexts", type=Path, required=True, help="what they reflect on")
    parser.add_argument("--dialogues", type=Path, required=True, help="what the contexts were cut from")
    parser.add_argument("--out", type=Path, required=True, help="the shares (JSON)")
    parser.add_argument("--details", type=Path, required=True, help="what each reflection names (JSONL)")
    args = parser.parse_args(argv)
    refined = read_records(args.refined, Refinement)
    if not refined:
        raise InputError("has no refinements", file=args.refined)
    contexts = {context.id: context for context in read_records(args.contexts, Context)}
    if missing := [one.id for one in refined if one.id not in contexts]:
        raise InputError("has no record of this id", file=args.contexts, record=missing[0])
    dialogues = {dialogue.id: dialogue for dialogue in read_records(args.dialogues, Dialogue)}
    seekers = Seekers(args.dialogues)
    known = {
        kind: sorted({d.meta[kind] for d in dialogues.values() if isinstance(d.meta.get(kind), str)})
        for kind in ASKED
    }
    items = []
    for one in refined:
        seen = seekers.find(one.id, args.refined)
        items.append(_Item(_infer(one, contexts[one.id], dialogues, seen, known), one, seen))
    write_records(args.details, [item.inference for item in items])
    publish_json(args.out, _report(items))


def _infer(
    one: Refinement,
    context: Context,
    dialogues: dict[str, Dialogue],
    seen: Seen | None,
    known: dict[str, list[str]],
) -> Inference:
    identity, _, index = one.id.partition("#")
    dialogue, turns = dialogues[identity], int(index) // 2 + 1
    fields = one.understanding.model_dump() if one.understanding else {}
    texts = {"emotion": fields.get("user_emotion", ""), "problem": "\n".join(fields.values())}
    found: dict[str, Finding] = {}
    for kind, words in ASKED.items():
        if seen is not None:
            told = kind in take_up("", seen.profile, seen.turn).known
            named = phrases_named(texts[kind])
            found[kind] = Finding(own=seen.profile[kind], by="profile", told=told, named=named)
        elif isinstance(own := dialogue.meta.get(kind), str) and own.strip():
            named = sorted(labels.named(texts[kind], known[kind], words))
            found[kind] = Finding(own=own, by="label", named=named)
    return Inference(
        id=one.id,
        seeker_turns=turns,
        group=ALL if int(index) == len(dialogue.turns) - 1 else str(turns),
        shortened=sum(message.role == "user" for message in context.messages) < turns,
        valid=one.status == "parsed",
        **found,
    )


def _report(items: Sequence[_Item]) -> dict[str, Any]:
    groups: dict[str, list[_Item]] = defaultdict(list)
    for item in items:
        groups[item.inference.group].append(item)
    order = sorted(groups, key=lambda name: (name == ALL, int(name) if name != ALL else 0))
    return {
        "reflections": len(items),
        "dialogues": len({item.inference.id.partition("#")[0] for item in items}),
        "nothing_known": sum(not (i.inference.emotion or i.inference.problem) for i in items),
        "by_seeker_turns": {name: _group(groups[name]) for name in order},
    }


def _group(items: Sequence[_Item]) -> dict[str, Any]:
    inferences = [item.inference for item in items]
    checks = [
        check_understanding(
            item.refinement.understanding and item.refinement.understanding.model_dump(), *item.seen
        )
        for item in items
        if item.seen is not None
    ]
    return {
        "contexts": len(items),
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
    dialogues = [one.id.partition("#")[0] for one in inferences]
    return described([100.0 * flag for flag in flags], dialogues, seed=SEED)


if __name__ == "__main__":
    run(main)
