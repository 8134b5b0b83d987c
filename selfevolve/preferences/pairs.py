"""Make preference pairs: what is chosen, what is rejected, two rules for it, fallbacks and controls.

Rejected is the direct response, chosen the refined one (paper, appendix A). The golden response is the
fallback where the reflection never parsed, or the refined response is too long or says what the dialogue does
not hold; with the paper's sources {HM, P} and {HL, P} it is chosen throughout. A direct response is chosen
only where a reward ranks (selfevolve.preferences.ranked).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import mean
from typing import Any, Literal

from pydantic import Field

from selfevolve.data.split import hold_out, seeded_order
from selfevolve.metrics.overlap import word_overlap
from selfevolve.preferences.length_rule import LengthRule, is_longer
from selfevolve.preferences.support import SupportRule
from selfevolve.records.jsonl import dialogue_of, natural_key
from selfevolve.records.schema import Context, Preference, Refinement, Response, ShareGptMessage, sharegpt
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import InputError

SOURCES = ("refined", "direct", "golden_length", "golden_support", "golden_parse", "golden")
DROPPED = ("equal", "empty_rejected", "cut_rejected", "too_long", "unsupported")


class PairParams(LengthRule, SupportRule):
    """Section `pair` of params.yaml: the length rule, the support rule and what else makes the pairs.

    `control` spoils the pairs on purpose, to see that the outcome follows: `swapped` prefers the rejected
    response, `shuffled` gives every pair to another dialogue's context. `replay` is the share of the training
    pairs that come from earlier iterations, where there are any.
    """

    seed: int
    control: Literal["swapped", "shuffled"] | None = None
    valid_share: float = Field(gt=0, lt=1)
    replay: float = Field(default=0.0, ge=0, lt=1)


def make_pairs(
    contexts: Sequence[Context],
    rejected: Mapping[str, Response],
    refined: Mapping[str, Refinement],
    system: str,
    params: PairParams,
    unsupported: Collection[str] = (),
) -> tuple[list[Preference], Counter[str]]:
    """Make one pair of each context, unless it teaches nothing.

    Args:
        contexts: in any order; the pairs keep it.
        rejected: the direct responses by the contexts' ids, one for each.
        refined: the refinements by id. A context without one, not even a failed one, prefers the golden
            response.
        system: the system message of every pair.
        params: the rules.
        unsupported: ids of contexts whose refined response says what their dialogue does not hold.

    Returns:
        the pairs, and how many contexts were dropped for which reason: `equal`, chosen and rejected have the
        same words; `empty_rejected`, there is nothing to prefer the chosen response to; `cut_rejected`, the
        rejected response has no end of its own, and training would give it one; `too_long`, the refined
        response is too long and `params.too_long` says `drop`; `unsupported`, it says what the dialogue does
        not hold and `params.unsupported` says so.
    """
    pairs: list[Preference] = []
    dropped: Counter[str] = Counter(dict.fromkeys(DROPPED, 0))
    for context in contexts:
        direct = rejected[context.id].text
        chosen, source = choose(context, direct, refined.get(context.id), params, unsupported)
        if is_blank(direct):
            dropped["empty_rejected"] += 1
        elif rejected[context.id].finish_reason != "stop":
            dropped["cut_rejected"] += 1
        elif source == "golden_length" and params.too_long == "drop":
            dropped["too_long"] += 1
        elif source == "golden_support" and params.unsupported == "drop":
            dropped["unsupported"] += 1
        elif chosen.split() == direct.split():
            dropped["equal"] += 1
        else:
            pair = Preference(
                id=context.id,
                system=system,
                conversations=sharegpt(context.messages),
                chosen=ShareGptMessage(from_="gpt", value=chosen),
                rejected=ShareGptMessage(from_="gpt", value=direct),
                chosen_source=source,
            )
            pairs.append(pair)
    return pairs, dropped


def choose(
    context: Context,
    rejected: str,
    refinement: Refinement | None,
    rule: LengthRule,
    unsupported: Collection[str] = (),
) -> tuple[str, str]:
    """Return the chosen response and its source, one of SOURCES.

    A refined response gives way to the golden one if it is longer than the rule allows, and else if its
    context is one of those whose response is `unsupported`.
    """
    if refinement is None:
        return context.golden, "golden"
    text = refinement.refined_response
    if text is None:
        return context.golden, "golden_parse"
    if is_longer(text, rule.most_words(rejected, context.golden)):
        return context.golden, "golden_length"
    if context.id in unsupported:
        return context.golden, "golden_support"
    return text, "refined"


def refined_choices(
    contexts: Sequence[Context],
    rejected: Mapping[str, Response],
    refined: Mapping[str, Refinement],
    rule: LengthRule,
) -> dict[str, str]:
    """Return the refined responses, by context id, that would be chosen if no support were asked for."""
    chosen = {one.id: choose(one, rejected[one.id].text, refined.get(one.id), rule) for one in contexts}
    return {identity: text for identity, (text, source) in chosen.items() if source == "refined"}


def spoil(pairs: list[Preference], control: str | None, seed: int) -> list[Preference]:
    """Return the pairs as they are, or spoilt as `PairParams.control` says.

    Raises:
        InputError: the pairs to shuffle come from too few dialogues.
    """
    if control == "swapped":
        return [p.model_copy(update={"chosen": p.rejected, "rejected": p.chosen}) for p in pairs]
    if control == "shuffled":
        # In order of dialogues, and moved on by as many as the largest has: none keeps its own dialogue.
        dialogues = [dialogue_of(pair.id) for pair in pairs]
        place = {d: n for n, d in enumerate(seeded_order(dialogues, seed, "shuffled pairs"))}
        ordered = sorted(pairs, key=lambda pair: (place[dialogue_of(pair.id)], pair.id))
        step = max(Counter(dialogues).values())
        if 2 * step > len(ordered):
            raise InputError("too few dialogues to shuffle pairs between them", field="pair.control")
        responses = ("chosen", "rejected", "chosen_source")
        moved = zip(ordered, ordered[step:] + ordered[:step], strict=True)
        spoilt = [own.model_copy(update={k: getattr(other, k) for k in responses}) for own, other in moved]
        return sorted(spoilt, key=lambda pair: natural_key(pair.id))
    return pairs


def split(pairs: Sequence[Preference], params: PairParams) -> dict[str, list[Preference]]:
    """Return the pairs as `train` and `valid`: whole dialogues are held back for early stopping.

    Raises:
        InputError: as `hold_out`.
    """
    held_back = hold_out({dialogue_of(pair.id) for pair in pairs}, params.valid_share, params.seed)
    parts: dict[str, list[Preference]] = {"train": [], "valid": []}
    for pair in pairs:
        parts["valid" if dialogue_of(pair.id) in held_back else "train"].append(pair)
    return parts


def count_pairs(
    pairs: Sequence[Preference],
    dropped: Counter[str],
    refined: Sequence[Refinement],
    max_length_ratio: float | None,
) -> dict[str, Any]:
    """Return what happened to every context: numbers that add up, lengths in words, and `word_overlap`.

    The latter is the mean over the pairs of what chosen and rejected have in common, in percent.

    Args:
        pairs: at least one.
        dropped: as `make_pairs` counts them.
        refined: numbers on reflections are absent where there are none.
        max_length_ratio: of the length rule; None for no rule.
    """
    sources = Counter(pair.chosen_source for pair in pairs)
    reflections: dict[str, float] = {}
    if refined:
        reflections["reflections_failed"] = sum(refinement.status == "failed" for refinement in refined)
        reflections["mean_attempts"] = mean(refinement.attempts for refinement in refined)
    return {
        "contexts": len(pairs) + dropped.total(),
        "pairs": len(pairs),
        "chosen_source": {name: sources[name] for name in SOURCES},
        "dropped": dict(dropped),
        **reflections,
        "words_chosen": mean(len(pair.chosen.value.split()) for pair in pairs),
        "words_rejected": mean(len(pair.rejected.value.split()) for pair in pairs),
        "word_overlap": mean(word_overlap(pair.chosen.value, pair.rejected.value) for pair in pairs),
        "by_source": by_source(pairs, max_length_ratio),
    }


def by_source(pairs: Sequence[Preference], max_length_ratio: float | None) -> dict[str, dict[str, float]]:
    """Return how long chosen responses are beside the rejected ones, for each source that pairs have.

    `pairs`, their number; `percent` of all pairs; `length_ratio` and `length_ratio_max`, the mean and the
    largest ratio of words, chosen to rejected; `over_length_rule`, how many chosen responses have more than
    `max_length_ratio` times the words of the rejected one, absent where there is no rule. The rule is not
    asked about golden responses, so some of those that replace long refined ones can be as long.
    """
    lengths: dict[str, list[tuple[int, int]]] = {source: [] for source in SOURCES}
    for pair in pairs:
        words = len(pair.chosen.value.split()), len(pair.rejected.value.split())
        lengths[pair.chosen_source].append(words)
    found: dict[str, dict[str, float]] = {}
    for source, own in lengths.items():
        if not own:
            continue
        ratios = [chosen / rejected for chosen, rejected in own]
        found[source] = {
            "pairs": len(own),
            "percent": 100 * len(own) / len(pairs),
            "length_ratio": mean(ratios),
            "length_ratio_max": max(ratios),
        }
        if max_length_ratio is not None:
            longer = sum(chosen > max_length_ratio * rejected for chosen, rejected in own)
            found[source]["over_length_rule"] = longer
    return found
