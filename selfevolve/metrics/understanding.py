"""How good reflections are: how many parse, what they understand of the seeker, and what they lead to.

What reflections understand is checked against the seekers' gold profiles (selfevolve.metrics.facts).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from selfevolve.metrics.facts import FACTS, Seeker
from selfevolve.metrics.statistics import cluster_bootstrap, paired_permutation
from selfevolve.records.jsonl import dialogue_of
from selfevolve.records.schema import Preference, Refinement

# Field of a reflection's understanding (the paper's appendix E) -> the facts that belong in it.
FIELDS = {
    "user_profile": ("occupation", "problem", "cause", "person"),
    "user_emotion": ("emotion",),
    "user_personality": ("trait",),
    "user_intention": ("support",),
}
SEED = 42  # of the interval and the test


@dataclass(frozen=True)
class Understood:
    """How much of one seeker a reflection got right; all zero if no reflection parsed.

    `fields_right`: of the four fields. `known`: facts disclosed so far, without the name. `named`: how many
    of them the understanding mentions, in any field. `facts`: facts of the profile, without the name.
    `wrong`: whether it mentions a phrase of another profile.
    """

    fields_right: int
    known: int
    named: int
    facts: int
    wrong: bool


def field_checks(understanding: Mapping[str, str], seeker: Seeker) -> dict[str, bool]:
    """Tell which of the four fields of a reflection's understanding are right.

    A field is right if it mentions every fact that belongs in it (`FIELDS`) and has been disclosed, and no
    phrase of another profile. A field of which nothing has been disclosed is right if it mentions no fact.
    """
    checks = {}
    for field, facts in FIELDS.items():
        mentions = seeker.mentions(field, understanding[field])
        due = set(facts).intersection(mentions.known)
        checks[field] = due <= set(mentions.own) and not mentions.wrong if due else mentions.mentions_none
    return checks


def check_understanding(understanding: Mapping[str, str] | None, seeker: Seeker) -> Understood:
    """Check a reflection's understanding; None stands for an answer that did not parse."""
    fields = understanding or {}
    mentions = seeker.mentions("understanding", "\n".join(fields.values()))
    return Understood(
        fields_right=sum(field_checks(fields, seeker).values()) if fields else 0,
        known=len(mentions.known),
        named=len(mentions.own),
        facts=sum(bool(seeker.profile.get(key)) for key in FACTS if key != "name"),
        wrong=bool(mentions.wrong),
    )


def summarize_understanding(checks: Sequence[Understood]) -> dict[str, float]:
    """Return how much was understood over contexts (at least one), in percent.

    `contexts` (their number), `fields_right` (of all fields), `said_named` (of all facts disclosed so far,
    absent if there are none), `profile_named` (of all facts of the profiles: what is still hidden counts
    as missing), `wrong` (of the contexts).
    """
    named, known = sum(check.named for check in checks), sum(check.known for check in checks)
    return {
        "contexts": len(checks),
        "fields_right": 100 * sum(check.fields_right for check in checks) / (len(FIELDS) * len(checks)),
        **({"said_named": 100 * named / known} if known else {}),
        "profile_named": 100 * named / sum(check.facts for check in checks),
        "wrong": 100 * sum(check.wrong for check in checks) / len(checks),
    }


def measure_reflections(
    refined: Sequence[Refinement], direct: Mapping[str, str], seekers: Mapping[str, Seeker]
) -> dict[str, Any]:
    """Return the contents of reflections.json, given direct responses and seekers by context id.

    `valid_first` and `valid` are the percent of the refinements (at least one) that parsed at the first
    attempt, or at all. Seekers are those with a gold profile.
    """
    parsed = [refinement for refinement in refined if refinement.status == "parsed"]
    with_profile = [refinement for refinement in refined if refinement.id in seekers]
    return {
        "count": len(refined),
        "valid_first": 100 * sum(refinement.attempts == 1 for refinement in parsed) / len(refined),
        "valid": 100 * len(parsed) / len(refined),
        **_understood(with_profile, seekers),
        **_personalisation(with_profile, direct, seekers),
    }


def measure_pairs(pairs: Iterable[Preference], seekers: Mapping[str, Seeker]) -> dict[str, dict[str, float]]:
    """Return what the responses of preference pairs mention, by the source of the chosen ones.

    Args:
        pairs: those of seekers without a gold profile are left out.
        seekers: by the contexts' ids, those with a gold profile.

    Returns:
        for each source `pairs`, their number, and the mean numbers of the seeker's own facts and of wrong
        ones, of chosen and of rejected responses: `chosen_own`, `rejected_own`, `chosen_wrong`,
        `rejected_wrong`.
    """
    by_source: dict[str, list[Preference]] = {}
    for pair in pairs:
        if pair.id in seekers:
            by_source.setdefault(pair.chosen_source, []).append(pair)
    found: dict[str, dict[str, float]] = {}
    for source in sorted(by_source):
        own = by_source[source]
        chosen = [seekers[pair.id].mentions(pair.id, pair.chosen.value) for pair in own]
        rejected = [seekers[pair.id].mentions(pair.id, pair.rejected.value) for pair in own]
        found[source] = {
            "pairs": len(own),
            "chosen_own": fmean(len(one.own) for one in chosen),
            "rejected_own": fmean(len(one.own) for one in rejected),
            "chosen_wrong": fmean(len(one.wrong) for one in chosen),
            "rejected_wrong": fmean(len(one.wrong) for one in rejected),
        }
    return found


def _understood(refined: Sequence[Refinement], seekers: Mapping[str, Seeker]) -> dict[str, Any]:
    """How well the seekers were understood, in all contexts and by the number of seeker turns seen."""
    if not refined:
        return {"contexts": 0}
    checks = defaultdict(list)
    for refinement in refined:
        understanding = refinement.understanding and refinement.understanding.model_dump()
        seeker = seekers[refinement.id]
        checks[seeker.turn + 1].append(check_understanding(understanding, seeker))
    return {
        **summarize_understanding([check for some in checks.values() for check in some]),
        "by_seeker_turns": {str(turns): summarize_understanding(checks[turns]) for turns in sorted(checks)},
    }


def _personalisation(
    refined: Sequence[Refinement], direct: Mapping[str, str], seekers: Mapping[str, Seeker]
) -> dict[str, Any]:
    """Own shares of the refined and the direct responses, where a reflection parsed and a fact is known.

    Interval and test of the difference are over dialogues, and absent if there are fewer than two.
    """
    before, after, dialogues = [], [], []
    for refinement in refined:
        if refinement.refined_response is None:
            continue
        seeker = seekers[refinement.id]
        mentions = seeker.mentions(refinement.id, refinement.refined_response)
        if mentions.share is not None:
            before.append(seeker.mentions(refinement.id, direct[refinement.id]).share)
            after.append(mentions.share)
            dialogues.append(dialogue_of(refinement.id))
    if not after:
        return {}
    shares = {"refined_own_share": sum(after) / len(after), "direct_own_share": sum(before) / len(before)}
    if len(set(dialogues)) < 2:
        return shares
    differences = [new - old for new, old in zip(after, before, strict=True)]
    interval = cluster_bootstrap(differences, dialogues, seed=SEED)
    p = paired_permutation(before, after, dialogues, seed=SEED)
    return shares | {"refined_minus_direct": interval._asdict() | {"p": p}}
