"""What the study's runs show: the effects, controls, variants, losses, sessions and sources of findings.yaml.

Differences between models are taken within a seed, so their interval (Student's t over seeds) is that of
a paired difference. A claim that a number differs has a p as well. Where single responses can be paired it is
that of a permutation test over dialogues, all seeds together: the chance of so large a difference if both
models were the same. Otherwise it is Student's over the seeds. Holm's correction goes over all claims of a
table. A claim holds if its whole interval lies on the expected side and its corrected p is below LEVEL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field

from selfevolve.metrics.statistics import holm, paired_permutation, t_interval, t_test
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate
from testbed.study.parameters import METHOD
from testbed.study.run_file import SESSIONS, RunFile

FILE = Path(__file__).with_name("findings.yaml")
OF_SESSIONS = f"/{SESSIONS}"
LATE = 3  # seeker turns from which on a profile should be recognised
LEVEL = 0.05

# Rows of study.json, intervals in percent or points; then the names of what was not measured in every seed.
Findings: TypeAlias = tuple[list[dict[str, Any]], list[str]]
Numbers: TypeAlias = Mapping[str, float]  # of one seed, by their names in findings.yaml
Responses: TypeAlias = Mapping[str, Mapping[str, float]]  # the same of single responses, by context id


@dataclass(frozen=True)
class Run:
    """What one arm of one seed measured, in percent and counts; what was not measured is absent.

    `models`: model -> metric -> number. `iterations`: model made -> numbers of what it was made from, where
    `by_seeker_turns` has numbers by turns. `responses`: `MODEL.METRIC` -> context id -> number of that
    response, for the metrics of facts, or session id -> score of that session.
    """

    arm: str
    seed: int
    models: dict[str, dict[str, float]]
    iterations: dict[str, dict[str, Any]]
    responses: Responses


def run_of(made: RunFile, file: Path) -> Run:
    """Return what findings.yaml names of a run; InputError where its file lacks metrics of a model."""
    kinds: dict[str, set[str]] = {}
    for path in made.metrics:
        place, _, kind = path.rpartition("/")
        kinds.setdefault(place, set()).add(kind)
    models, iterations, responses = {}, {}, {}
    for place, own in sorted(kinds.items()):
        reflected = sorted(own & {"reflections"})
        if own & {"facts", "preferences"}:
            models[place] = _model(made, place, file)
        if "world_sessions" in own:  # of a model, or of a supporter who must come out badly
            models[place] = models.get(place, {}) | _sessions(made, place, file)
        if "preferences" in own:
            iterations[place] = _read(made, place, file, "preferences", "training", *reflected)
        elif reflected:  # of M0: with what the arms share
            iterations[place] = _read(made, place, file, *reflected)
    for model, columns in made.responses.items():
        for metric, values in columns.items():
            each = zip(made.contexts[model], values, strict=True)
            responses[f"{model.removesuffix(OF_SESSIONS)}.{metric}"] = {
                name: value for name, value in each if value is not None
            }
    return Run(made.arm, made.seed, models, iterations, responses)


def _model(made: RunFile, place: str, file: Path) -> dict[str, float]:
    numbers, text = _read(made, place, file, "facts"), _metrics(made, place, file, "text")
    for protocol in ("paper", "standard"):
        numbers |= {f"{name}_{protocol}": value for name, value in text[protocol].items()}
    if f"{place}/personalisation" in made.metrics:  # there for runs since it is a score
        numbers |= _read(made, place, file, "personalisation")
    average = _value(made.metrics.get(f"{place}/capability"), "score.average")  # not measured of every model
    return numbers if average is None else numbers | {"capability": average}


def _sessions(made: RunFile, place: str, file: Path) -> dict[str, float]:
    """Return the scores of a supporter's sessions, named `session_` and the score."""
    scores = _read(made, place, file, "world_sessions")
    return {f"session_{name.split('.')[1]}": value for name, value in scores.items()}


def _read(made: RunFile, place: str, file: Path, *kinds: str) -> dict[str, Any]:
    """Return what findings.yaml names of these metrics of a place, and what was measured."""
    found: dict[str, Any] = {}
    for kind in kinds:
        numbers = _metrics(made, place, file, kind)
        values = {name: _value(numbers, name) for name in wanted().read[kind]}
        found |= {name: value for name, value in values.items() if value is not None}
    return found


def _metrics(made: RunFile, place: str, file: Path, kind: str) -> Any:
    """Return the metrics of a kind of a place, such as the facts of m1."""
    path = f"{place}/{kind}"
    if path not in made.metrics:
        raise InputError("missing field", file=file, field=f"metrics.{path}")
    return made.metrics[path]


def _value(numbers: Any, name: str) -> Any:
    """Return a value by its dotted name, None where it was not measured."""
    for part in name.split("."):
        numbers = numbers.get(part) if isinstance(numbers, dict) else None
    return numbers


class Difference(Params):
    """One number of a seed, or two and their difference; effects and symptoms have a name.

    `expected` is `> 0` or `< 0`, a claim with a test, or `>= NUMBER`, a bound for the whole interval.
    """

    name: str = ""
    of: str
    minus: str = ""
    expected: str = Field("> 0", pattern=r"^([<>] 0|>= -?\d+)$")


class Wanted(Params):
    """All of findings.yaml."""

    read: dict[str, list[str]]
    effects: list[Difference]
    controls: dict[str, list[Difference]]
    variants: dict[str, list[Difference]]
    losses: dict[str, list[Difference]]
    sources: dict[str, str]
    of_sources: dict[str, Difference]
    sessions: list[Difference]
    best_of: list[Difference]
    instruments: dict[str, str]


@cache
def wanted() -> Wanted:
    """Return findings.yaml."""
    return validate(Wanted, read_yaml(FILE), file=FILE)


def effects(method: Sequence[Run], bases: Sequence[Run]) -> Findings:
    """Test every expectation on the runs of the method and of what they share, one of each a seed."""
    seeds = _seeds(method, method, bases)
    rows = {one.name: {"name": one.name, **_tested(one, seeds)} for one in wanted().effects}
    return _findings(rows)


def controls(arms: Mapping[str, Sequence[Run]], method: Sequence[Run], bases: Sequence[Run]) -> Findings:
    """Test every symptom of the controls that were run."""
    return _findings(_of_arms(wanted().controls, "symptom", arms, method, bases))


def variants(arms: Mapping[str, Sequence[Run]], method: Sequence[Run], bases: Sequence[Run]) -> Findings:
    """Test every difference between the method and the variants of it that were run."""
    return _findings(_of_arms(wanted().variants, "difference", arms, method, bases))


def losses(arms: Mapping[str, Sequence[Run]], method: Sequence[Run], bases: Sequence[Run]) -> Findings:
    """Test every difference between the method and those of its arms that were trained with other losses."""
    return _findings(_of_arms(wanted().losses, "difference", arms, method, bases))


def of_some_seeds(differences: Sequence[Difference], method: Sequence[Run], bases: Sequence[Run]) -> Findings:
    """Test differences that not every seed has measured, each on the seeds that have both, at least two."""
    seeds, rows = _seeds(method, method, bases), {}
    for one in differences:
        own = [seed for seed in seeds if {one.of, one.minus} <= seed.numbers.keys()]
        tested = _tested(one, own) if len(own) > 1 else {}
        rows[one.name] = {"name": one.name, "seeds": len(own), **tested}
    return _findings(rows)


def sources(arms: Mapping[str, Sequence[Run]], method: Sequence[Run], bases: Sequence[Run]) -> Findings:
    """Return the own facts of M0, M1 and M2 and what they gain, for each source of preferences."""
    rows: dict[str, dict[str, Any]] = {}
    for source, arm in wanted().sources.items():
        seeds = _seeds(arms.get(arm, ()), method, bases)
        for name, one in wanted().of_sources.items() if seeds else ():
            if arm == METHOD and "method" in one.of:
                continue  # the method is not compared with itself
            head = {"source": source, "arm": arm, "seeds": len(seeds), "number": name}
            rows[f"{name} of the source {source}"] = head | _tested(one, seeds)
    return _findings(rows)


def paired(first: Sequence[Mapping[str, float]], last: Sequence[Mapping[str, float]]) -> float | None:
    """Return p over dialogues for the responses of two models, per seed; None if no context is in common."""
    keys = [(seed, key) for seed, values in enumerate(first) for key in values if key in last[seed]]
    if not keys:
        return None
    before, after = ([values[seed][key] for seed, key in keys] for values in (first, last))
    return paired_permutation(before, after, [key.partition("#")[0] for _, key in keys], seed=0)


@dataclass(frozen=True)
class _Seed:
    """The numbers of an arm's seed, with those of the base, and with `method` before them of the method."""

    numbers: Numbers
    responses: Responses


def _seeds(runs: Sequence[Run], method: Sequence[Run], bases: Sequence[Run]) -> list[_Seed]:
    base, own = ({run.seed: run for run in these} for these in (bases, method))
    found = []
    for run in runs:
        numbers, responses = _numbers(base[run.seed]), dict(base[run.seed].responses)
        numbers |= {f"method {name}": n for name, n in _numbers(own[run.seed]).items()} | _numbers(run)
        responses |= {f"method {name}": values for name, values in own[run.seed].responses.items()}
        found.append(_Seed(numbers, responses | dict(run.responses)))
    return found


def _of_arms(
    wanted_of: Mapping[str, Sequence[Difference]],
    head: str,
    arms: Mapping[str, Sequence[Run]],
    method: Sequence[Run],
    bases: Sequence[Run],
) -> dict[str, dict[str, Any]]:
    """Return the rows of all arms that were run; `head` is what the name of a difference is called."""
    rows: dict[str, dict[str, Any]] = {}
    for arm, differences in wanted_of.items():
        seeds = _seeds(arms.get(arm, ()), method, bases)
        for one in differences if seeds else ():
            named = {"arm": arm, "seeds": len(seeds), head: one.name}
            rows[f"{arm}: {one.name}"] = named | _tested(one, seeds)
    return rows


def _tested(one: Difference, seeds: Sequence[_Seed]) -> dict[str, Any]:
    """Return what was expected of a difference, its interval over seeds and p; nothing where it is not known.

    `p` is None of a bound.
    """
    if any(name and name not in seed.numbers for name in (one.of, one.minus) for seed in seeds):
        return {}
    values = [seed.numbers[one.of] - (seed.numbers[one.minus] if one.minus else 0.0) for seed in seeds]
    p = None
    if one.expected.endswith(" 0") and "=" not in one.expected:
        first, last = ([seed.responses.get(name, {}) for seed in seeds] for name in (one.minus, one.of))
        p = paired(first, last)
        p = t_test(values) if p is None else p
    return {"expected": one.expected, **t_interval(values)._asdict(), "p": p}


def _findings(rows: Mapping[str, dict[str, Any]]) -> Findings:
    """Return the rows that were measured, with Holm's p and whether each is as expected, and the others."""
    tested = holm({name: row["p"] for name, row in rows.items() if row.get("p") is not None})
    found = []
    for name, row in rows.items():
        if "expected" not in row:
            continue
        sign, bound = row["expected"].split()
        if sign == ">=":
            holds = row["low"] >= float(bound)
        else:
            outside = row["high"] < 0 if sign == "<" else row["low"] > 0
            holds = outside and tested.get(name, 1.0) < LEVEL
        found.append(row | {"p_holm": tested.get(name), "holds": holds})
    return found, [name for name, row in rows.items() if "expected" not in row]


def _numbers(run: Run) -> dict[str, float]:
    """Return a run's numbers by name, with those that are made of several."""
    found: dict[str, float] = {}
    for places in (run.models, run.iterations):
        for place, numbers in places.items():
            found |= {f"{place}.{name}": n for name, n in numbers.items() if isinstance(n, int | float)}
            turns = [(int(at), of) for at, of in numbers.get("by_seeker_turns", {}).items() if of["contexts"]]
            for when, is_late in (("later", True), ("earlier", False)):
                groups = [group for at, group in turns if (at >= LATE) == is_late]
                for name in ("fields_right", "profile_named"):
                    if groups and all(name in group for group in groups):
                        total = sum(group[name] * group["contexts"] for group in groups)
                        found[f"{place}.{name}_{when}"] = total / sum(group["contexts"] for group in groups)
            if {"refined_own_share", "direct_own_share"} <= numbers.keys():
                difference = numbers["refined_own_share"] - numbers["direct_own_share"]
                found[f"{place}.refined_minus_direct"] = difference
            if {"reward_chosen_first", "reward_rejected_first"} <= numbers.keys():
                rewards = numbers["reward_chosen_first"], numbers["reward_rejected_first"]
                found[f"{place}.rewards_first"] = sum(map(abs, rewards))
    if {"m1.own_share", "m2.own_share"} <= found.keys():
        found["m2.own_share_gain"] = found["m2.own_share"] - found["m1.own_share"]
    return found
