"""When to stop: where each rule of measures.yaml would have stopped the runs, and what that was worth."""

from collections.abc import Mapping
from typing import Any

from selfevolve.metrics.statistics import t_interval
from testbed.evolution.results import Evolved, best, measures


def rules(runs: Mapping[int, Evolved]) -> list[dict[str, Any]]:
    """Return for each rule in how many seeds it stops, and what its model has beside others of the seed.

    Beside M2, where the paper stops, the last model, and the one with the most own facts of all; for
    comparison also of what knows nothing: to keep M1, M2 ... always.
    """
    each: dict[str, dict[int, tuple[int, bool]]] = {}
    for rule in measures().rules:
        each[rule.name] = {seed: run.kept_by(rule) for seed, run in runs.items()}
    for model in range(1, min(run.last for run in runs.values())):
        each[f"always M{model}"] = dict.fromkeys(runs, (model, True))
    return [{"rule": name, **_weighed(runs, kept)} for name, kept in each.items()]


def _weighed(runs: Mapping[int, Evolved], kept: Mapping[int, tuple[int, bool]]) -> dict[str, Any]:
    def beside(name: str, other: Mapping[int, int]) -> dict[str, float]:
        file, values = measures().models[name].file, []
        for seed, run in runs.items():
            own, theirs = run.number(kept[seed][0], file), run.number(other[seed], file)
            values.append((own or 0.0) - (theirs or 0.0))
        return t_interval(values)._asdict()

    ends = {seed: run.last for seed, run in runs.items()}
    own = {
        "of_last": beside("own_share", ends),
        "of_second": beside("own_share", dict.fromkeys(runs, 2)),
        "of_best": beside("own_share", {seed: best(run) for seed, run in runs.items()}),
    }
    stopped = sum(stop for _, stop in kept.values())
    early = all(kept[seed][0] < ends[seed] for seed in runs)
    return {
        "stopped": stopped,
        "seeds": len(runs),
        "kept": t_interval([number for number, _ in kept.values()])._asdict(),
        **own,
        "wrong_of_last": beside("wrong", ends),
        "supported": early and own["of_last"]["low"] > measures().least,
    }


def stops(runs: Mapping[int, Evolved]) -> list[dict[str, Any]]:
    """Return for each rule and seed which model it keeps, and its facts and the best model's."""

    def facts(run: Evolved, model: int) -> dict[str, float | None]:
        return {name: run.number(model, measures().models[name].file) for name in ("own_share", "wrong")}

    rows = []
    for rule in measures().rules:
        for seed, run in runs.items():
            model, stopped = run.kept_by(rule)
            most = best(run)
            rows.append(
                {
                    "rule": rule.name,
                    "seed": seed,
                    "keeps": f"M{model}" if stopped else f"M{model}, not stopped",
                    **facts(run, model),
                    "best": f"M{most}",
                    "best_own_share": facts(run, most)["own_share"],
                    "best_wrong": facts(run, most)["wrong"],
                }
            )
    return rows
