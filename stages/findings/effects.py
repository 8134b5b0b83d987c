"""What must come out if the method works, and what did: each expectation with its numbers and a verdict.

Differences between models are taken within a seed, so their interval (Student's t over seeds) is that of
a paired difference. Where single responses can be paired, a permutation test over dialogues, all seeds
together, gives p: the chance of so large a difference if both models were the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from stages.findings.runs import NotMeasured, Run, number
from stages.scoring.significance import paired_permutation, t_interval

LEVEL = 0.01  # p below this is called significant
EARLY = 3  # seeker turns from which on a profile should be recognised

_Seed: TypeAlias = tuple[Run, Run]  # of one seed: what its arms share, and the method's run


@dataclass(frozen=True)
class Effect:
    """One expectation. `mean`, `low` and `high` are in percent or points; `p` where there is a test."""

    name: str
    expected: str
    mean: float
    low: float
    high: float
    p: float | None
    holds: bool

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def effects(runs: Sequence[Run], bases: Sequence[Run]) -> tuple[list[Effect], list[str]]:
    """Test every expectation on the runs of the method and of what they share, one of each a seed.

    Returns:
        the effects, and the names of those that were not measured in every seed.
    """
    seeds = list(zip(bases, runs, strict=True))
    reflections = {
        "M0": [base.iterations.get("m1-synesc", {}) for base in bases],
        "M1": [run.iterations.get("m2", {}) for run in runs],
    }
    found: list[Effect] = []
    not_available: list[str] = []

    def expect(name: str, make: Callable[..., Effect], *arguments: Any) -> None:
        try:
            found.append(make(name, *arguments))
        except NotMeasured:
            not_available.append(name)

    for model, those in reflections.items():
        expect(f"valid reflections of {model} at the first attempt", _valid, those)
    for model, those in reflections.items():
        expect(f"profile fields right, {model}, {EARLY} seeker turns or more", _right, those)
        expect(f"share of the whole profile recognised, {model}, later - earlier turns", _grows, those)
        expect(f"own facts taken up, {model}: refined - direct", _refines, those)
    expect("own facts taken up, refined - direct: M0 - M1", _nears, *reflections.values())
    for first, last, expected in (("m0", "m1", "> 0"), ("m1", "m2", ">= 0"), ("m0", "m2", "> 0, p < 0.01")):
        name = f"own facts taken up without reflecting: {last.upper()} - {first.upper()}"
        expect(name, _learns, seeds, first, last, expected)
    for metric, label in (("distinct_2", "Distinct-2"), ("bleu_2", "BLEU-2")):
        for protocol in ("paper", "standard"):
            expect(f"{label}, {protocol} protocol: M2 - M0", _gains, seeds, f"{metric}_{protocol}")
    expect("capability: M2 - M0, points", _keeps, seeds)
    return found, not_available


def by_turns(reflections: Mapping[str, Any], name: str, wanted: Callable[[int], bool]) -> float:
    """Return a mean over the contexts with a wanted number of seeker turns (percent).

    Raises:
        NotMeasured: there is no such context.
    """
    by_number = number(reflections, "by_seeker_turns")
    groups = [group for turns, group in by_number.items() if wanted(int(turns))]
    contexts = sum(group["contexts"] for group in groups)
    if not contexts:
        raise NotMeasured(name)
    return sum(number(group, name) * group["contexts"] for group in groups) / contexts


def paired(first: Sequence[dict[str, float]], last: Sequence[dict[str, float]]) -> float:
    """Return p for the shares of two models, given per seed by context id; dialogues are the clusters.

    Raises:
        NotMeasured: they have no context in common.
    """
    keys = [(seed, key) for seed, shares in enumerate(first) for key in shares if key in last[seed]]
    if not keys:
        raise NotMeasured("shares")
    return paired_permutation(
        [first[seed][key] for seed, key in keys],
        [last[seed][key] for seed, key in keys],
        [key.partition("#")[0] for _, key in keys],
        seed=0,
    )


def _valid(name: str, reflections: Sequence[dict[str, Any]]) -> Effect:
    return _at_least(name, [number(r, "valid_first") for r in reflections], 85)


def _right(name: str, reflections: Sequence[dict[str, Any]]) -> Effect:
    return _at_least(name, [by_turns(r, "fields_right", _late) for r in reflections], 80)


def _grows(name: str, reflections: Sequence[dict[str, Any]]) -> Effect:
    later = [by_turns(r, "profile_named", _late) for r in reflections]
    earlier = [by_turns(r, "profile_named", lambda turns: not _late(turns)) for r in reflections]
    return _rises(name, _differences(earlier, later))


def _refines(name: str, reflections: Sequence[dict[str, Any]]) -> Effect:
    return _rises(name, _distances(reflections))


def _nears(name: str, m0: Sequence[dict[str, Any]], m1: Sequence[dict[str, Any]]) -> Effect:
    """What a model could still learn from its own refinement is less after an iteration (figure 5b)."""
    return _rises(name, _differences(_distances(m1), _distances(m0)))


def _distances(reflections: Sequence[dict[str, Any]]) -> list[float]:
    direct, refined = (
        [number(r, f"{kind}_own_share") for r in reflections] for kind in ("direct", "refined")
    )
    return _differences(direct, refined)


def _learns(name: str, seeds: Sequence[_Seed], first: str, last: str, expected: str) -> Effect:
    p = paired([_shares(seed, first) for seed in seeds], [_shares(seed, last) for seed in seeds])
    return _rises(name, _gain(seeds, "own_share", first, last), expected, p)


def _gains(name: str, seeds: Sequence[_Seed], metric: str) -> Effect:
    return _rises(name, _gain(seeds, metric, "m0", "m2"))


def _keeps(name: str, seeds: Sequence[_Seed]) -> Effect:
    return _at_least(name, _gain(seeds, "capability", "m0", "m2"), -3)


def _late(turns: int) -> bool:
    return turns >= EARLY


def _gain(seeds: Sequence[_Seed], metric: str, first: str, last: str) -> list[float]:
    before, after = ([_metric(seed, model, metric) for seed in seeds] for model in (first, last))
    return _differences(before, after)


def _differences(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip(before, after, strict=True)]


def _metric(seed: _Seed, model: str, name: str) -> float:
    base, run = seed
    return number(run.models.get(model) or base.models.get(model, {}), name)


def _shares(seed: _Seed, model: str) -> dict[str, float]:
    base, run = seed
    return run.shares.get(model) or base.shares.get(model, {})


def _at_least(name: str, values: Sequence[float], least: float) -> Effect:
    found = t_interval(values)
    return Effect(name, f">= {least}", found.mean, found.low, found.high, None, found.mean >= least)


def _rises(name: str, values: Sequence[float], expected: str = "> 0", p: float | None = None) -> Effect:
    """Above zero with the whole interval; `>= 0` asks for the mean alone, and a p must be small enough."""
    found = t_interval(values)
    holds = found.mean >= 0 if expected == ">= 0" else found.low > 0
    if "p <" in expected:
        holds = holds and p is not None and p < LEVEL
    return Effect(name, expected, found.mean, found.low, found.high, p, holds)
