"""Controls: runs of which a part is spoilt on purpose. Each should show its symptom, or says it does not."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stages.findings.runs import NotMeasured, Run, number
from stages.scoring.significance import t_interval


@dataclass(frozen=True)
class Symptom:
    """What a control should show: a number a seed, that should lie above zero (or below)."""

    sentence: str
    measure: Callable[[Run, Run, Run], float]
    """takes the base, the method's run and the control's run of one seed"""
    above: bool


@dataclass(frozen=True)
class Control:
    """What a control showed. `shown`: the whole interval over seeds lies on the expected side of zero."""

    arm: str
    seeds: int
    symptom: str
    mean: float
    low: float
    high: float
    shown: bool

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def _against_method(name: str) -> Callable[[Run, Run, Run], float]:
    return lambda base, method, control: _metric(control, "m2", name) - _metric(method, "m2", name)


def _against_m0(name: str) -> Callable[[Run, Run, Run], float]:
    return lambda base, method, control: _metric(control, "m2", name) - _metric(base, "m0", name)


def _rewards_at_start(base: Run, method: Run, control: Run) -> float:
    first = control.iterations.get("m1", {})
    return sum(abs(number(first, f"reward_{side}_first")) for side in ("chosen", "rejected"))


def _m1_against_method(name: str) -> Callable[[Run, Run, Run], float]:
    def measure(base: Run, method: Run, control: Run) -> float:
        own, others = (number(run.iterations.get("m1", {}), name) for run in (control, method))
        return own - others

    return measure


def _metric(run: Run, model: str, name: str) -> float:
    return number(run.models.get(model, {}), name)


SYMPTOMS = {
    "swapped": (
        Symptom("own facts, M2 - M0: below zero", _against_m0("own_share"), False),
        Symptom("responses that name no fact, M2 - M0: above zero", _against_m0("generic"), True),
    ),
    "shuffled": (
        Symptom("responses with somebody else's facts, M2 - the method's M2", _against_method("wrong"), True),
        Symptom("own facts, M2 - the method's M2: below zero", _against_method("own_share"), False),
    ),
    "raw-reference": (
        Symptom("rewards at the first step of M1 differ from 0", _rewards_at_start, True),
        Symptom("own facts, M2 - the method's M2: below zero", _against_method("own_share"), False),
    ),
    "no-sft-term": (
        Symptom(
            "reward of the chosen at the end of M1 - the method's: below zero",
            _m1_against_method("reward_chosen_last"),
            False,
        ),
        Symptom("BLEU-2 (paper), M2 - the method's M2: below zero", _against_method("bleu_2_paper"), False),
    ),
    "no-length-rule": (
        Symptom("words a chosen response of M1 - the method's", _m1_against_method("words_chosen"), True),
        Symptom("words a response, M2 - the method's M2", _against_method("words"), True),
    ),
    "golden": (Symptom("own facts, M2 - the method's M2: below zero", _against_method("own_share"), False),),
}


def controls(
    arms: dict[str, Sequence[Run]], method: Sequence[Run], bases: Sequence[Run]
) -> tuple[list[Control], list[str]]:
    """Return what every control with a known symptom showed, each against the other runs of its seeds.

    What was not measured in every seed is left out; the second list names it.
    """
    base, own = {run.seed: run for run in bases}, {run.seed: run for run in method}
    found: list[Control] = []
    not_available: list[str] = []
    for arm, symptoms in SYMPTOMS.items():
        for symptom in symptoms if arm in arms else ():
            try:
                values = [symptom.measure(base[run.seed], own[run.seed], run) for run in arms[arm]]
            except NotMeasured:
                not_available.append(f"{arm}: {symptom.sentence}")
                continue
            interval = t_interval(values)
            shown = interval.low > 0 if symptom.above else interval.high < 0
            found.append(Control(arm, len(values), symptom.sentence, *interval, shown))
    return found, not_available


def sources(
    arms: dict[str, Sequence[Run]], names: dict[str, str], method: Sequence[Run], bases: Sequence[Run]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return, for each source of preferences, the own facts of M0, M1 and M2 and both gains.

    `behind` is how much less it gains in the second iteration than the method does in the same seeds. What
    was not measured in every seed is left out; the second list names it.

    Args:
        arms: runs by arm.
        names: the paper's name of a source -> the arm.
        method: the runs that the others are compared with.
        bases: what the arms of each seed share.
    """
    rows: list[dict[str, Any]] = []
    not_available: list[str] = []
    base, own = {run.seed: run for run in bases}, {run.seed: run for run in method}
    for source, arm in names.items():
        runs = arms[arm]
        try:
            share = {
                "m0": [_m0(base[run.seed]) for run in runs],
                **{model: [_metric(run, model, "own_share") for run in runs] for model in ("m1", "m2")},
                "first gain": [_metric(r, "m1", "own_share") - _m0(base[r.seed]) for r in runs],
                "second gain": [_second_gain(run) for run in runs],
                "behind": [_second_gain(own[run.seed]) - _second_gain(run) for run in runs],
            }
        except NotMeasured:
            not_available.append(f"own facts of the source {source}")
            continue
        row: dict[str, Any] = {"source": source, "arm": arm, "seeds": len(runs)}
        for name, values in share.items():
            row[name] = dict(zip(("mean", "low", "high"), t_interval(values), strict=True))
        rows.append(row)
    return rows, not_available


def _m0(base: Run) -> float:
    return _metric(base, "m0", "own_share")


def _second_gain(run: Run) -> float:
    return _metric(run, "m2", "own_share") - _metric(run, "m1", "own_share")
