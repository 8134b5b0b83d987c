"""Runs of a study made by hand, whose answers are known."""

from stages.findings.runs import Run

TEXT = {"bleu_2_paper": 5.0, "bleu_2_standard": 4.0, "distinct_2_paper": 90.0, "distinct_2_standard": 50.0}
MODEL = {"own_share": 20.0, "own_count": 1.0, "personal": 50.0, "generic": 40.0, "wrong": 10.0, "words": 12.0}
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
TRAINED = STARTED | {"reward_chosen_last": 0.5, "words_chosen": 20.0}


def model(own_share: float, **more: float) -> dict[str, float]:
    return MODEL | TEXT | {"own_share": own_share} | more


def shares(value: float, dialogues: int) -> dict[str, float]:
    """Two contexts a dialogue."""
    return {f"d{d}#{turn}": value for d in range(dialogues) for turn in (3, 5)}


def base(seed: int, own_share: float = 20.0, dialogues: int = 12, **more: float) -> Run:
    models = {"vanilla": model(0.0, capability=50.0), "m0": model(own_share, capability=50.0, **more)}
    known = {"vanilla": shares(0.0, dialogues), "m0": shares(own_share, dialogues)}
    return Run("base", seed, models, {"m1-synesc": REFLECTIONS}, known)


def arm(seed: int, m1: float, m2: float, name: str = "self", dialogues: int = 12, **more: float) -> Run:
    models = {"m1": model(m1), "m2": model(m2, **({"capability": 48.0} | more))}
    known = {"m1": shares(m1, dialogues), "m2": shares(m2, dialogues)}
    return Run(name, seed, models, {"m1": TRAINED, "m2": TRAINED | REFLECTIONS}, known)


def without(run: Run, iteration: str, *names: str) -> Run:
    """The same run, where some numbers of an iteration were not measured."""
    left = {name: value for name, value in run.iterations[iteration].items() if name not in names}
    return Run(run.arm, run.seed, run.models, run.iterations | {iteration: left}, run.shares)
