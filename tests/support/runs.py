"""Runs of a study made by hand, whose answers are known."""

from typing import Any

from testbed.study.findings import Run, wanted
from testbed.study.run_file import RunFile

TEXT = {"bleu_2_paper": 5.0, "bleu_2_standard": 4.0, "distinct_2_paper": 90.0, "distinct_2_standard": 50.0}
MODEL = {
    "own_share": 20.0,
    "own_count": 1.0,
    "personal": 50.0,
    "generic": 40.0,
    "garbled": 0.0,
    "wrong": 10.0,
    "words": 12.0,
}
SESSIONS = {"session_taken_up": 40.0, "session_disclosed": 50.0, "session_emotion_change": -0.5}
SESSIONS |= {"session_wrong": 2.0, "session_invented": 3.0}
TURNS = {
    "2": {"contexts": 1, "fields_right": 100.0, "profile_named": 30.0, "wrong": 0.0},
    "3": {"contexts": 3, "fields_right": 90.0, "profile_named": 50.0, "wrong": 4.0},
    "5": {"contexts": 1, "fields_right": 50.0, "profile_named": 70.0, "wrong": 8.0},
}
REFLECTIONS = {
    "valid_first": 90.0,
    "refined_own_share": 80.0,
    "direct_own_share": 20.0,
    "by_seeker_turns": TURNS,
}
STARTED = {"reward_chosen_first": 0.0, "reward_rejected_first": 0.0}
TRAINED = STARTED | {"kept.reward_chosen.mean": 0.5, "words_chosen": 20.0}


def model(own_share: float, **more: float) -> dict[str, float]:
    return MODEL | TEXT | SESSIONS | {"own_share": own_share} | more


def shares(value: float, dialogues: int) -> dict[str, float]:
    """Two contexts a dialogue."""
    return {f"d{d}#{turn}": value for d in range(dialogues) for turn in (3, 5)}


def base(seed: int, own_share: float = 20.0, dialogues: int = 12, **more: float) -> Run:
    models = {"vanilla": model(0.0, capability=50.0), "m0": model(own_share, capability=50.0, **more)}
    models |= {"best_of": model(own_share + 5.0), "same": SESSIONS}
    known = {"vanilla.own_share": shares(0.0, dialogues), "m0.own_share": shares(own_share, dialogues)}
    return Run("base", seed, models, {"m1-synesc": REFLECTIONS}, known)


def arm(seed: int, m1: float, m2: float, name: str = "self", dialogues: int = 12, **more: float) -> Run:
    models = {"m1": model(m1), "m2": model(m2, **({"capability": 48.0} | more)), "shuffled": SESSIONS}
    known = {"m1.own_share": shares(m1, dialogues), "m2.own_share": shares(m2, dialogues)}
    return Run(name, seed, models, {"m1": TRAINED, "m2": TRAINED | REFLECTIONS}, known)


def without(run: Run, iteration: str, *names: str) -> Run:
    """The same run, where some numbers of an iteration were not measured."""
    left = {name: value for name, value in run.iterations[iteration].items() if name not in names}
    return Run(run.arm, run.seed, run.models, run.iterations | {iteration: left}, run.responses)


def file_of(run: Run, commit: str = "abc", backbone: str = "1", m0: str = "1") -> RunFile:
    """The file of a run from which these numbers are read again."""
    metrics: dict[str, Any] = {}
    for model, numbers in run.models.items():
        talked = {name.removeprefix("session_"): value for name, value in numbers.items() if name in SESSIONS}
        metrics[f"{model}/world_sessions"] = {
            "all": {name: {"value": value} for name, value in talked.items()}
        }
        if "own_share" not in numbers:
            continue  # it only talks
        metrics[f"{model}/facts"] = {name: numbers[name] for name in MODEL if name in numbers}
        texts = {protocol: {} for protocol in ("paper", "standard")}
        for name in TEXT:
            score, _, protocol = name.rpartition("_")
            texts[protocol][score] = numbers[name]
        metrics[f"{model}/text"] = texts
        metrics[f"{model}/capability"] = {"score": {"average": numbers.get("capability")}}
    for place, numbers in run.iterations.items():
        for kind in ("preferences", "training", "reflections"):
            found: dict[str, Any] = {}
            for name in set(wanted().read[kind]) & numbers.keys():
                *above, last = name.split(".")
                part = found
                for key in above:
                    part = part.setdefault(key, {})
                part[last] = numbers[name]
            if found or (kind == "preferences" and place in run.models):
                metrics[f"{place}/{kind}"] = found
    responses: dict[str, dict[str, list[float | None]]] = {}
    contexts = {}
    for name, values in run.responses.items():
        model, _, metric = name.partition(".")
        contexts[model] = list(values)
        responses.setdefault(model, {})[metric] = list(values.values())
    made_of = {
        "models/backbone": backbone,
        "data/dialogues": "1",
        f"testbed/runs/base-{run.seed}/models/m0": m0,
    }
    return RunFile(
        arm=run.arm,
        seed=run.seed,
        commit=commit,
        made_of=made_of,
        seconds=1,
        machine={},
        metrics=metrics,
        contexts=contexts,
        responses=responses,
    )
