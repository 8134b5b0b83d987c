"""Real steps with each preference loss: it is the one that is named, with the numbers of its paper."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Preference
from selfevolve.training.losses import read_loss
from tests.conftest import run_here
from tests.support.trainings import LOSSES, SMALL, answer_log_probs, arguments, metrics

STEPS = {"max_steps": 4, "eval_steps": 2, "save_steps": 2}
FIRST = {"sigmoid": math.log(2), "ipo": 25.0, "hinge": 1.0}  # where policy and reference agree
Likely = dict[str, list[float]]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_policy_is_trained_by_the_loss_that_is_named(
    name: str, models: Path, params_file: Callable[..., Path]
):
    """The stage itself refuses an adapter whose loss, as we compute it, is not what the Trainer logged."""
    params = params_file({"train.dpo": SMALL | STEPS | LOSSES[name] | {"pref_ftx": 0.0}})
    done = run_here("train", *arguments("dpo", "backbone", name, params), cwd=models)
    assert done.returncode == 0, done.stderr
    found = metrics(models, name)
    loss = read_loss(LOSSES[name], name)
    assert found["reference"] == ("the policy before the training" if loss.has_reference else "none")
    pairs = read_records(models / "pairs" / "valid.jsonl", Preference)
    before, now = ([likely(models, policy, pair) for pair in pairs] for policy in ("backbone", name))
    expected = [by_hand(name, own, old) for own, old in zip(now, before, strict=True)]
    for number in expected[0]:
        mean = fmean(one[number] for one in expected)
        assert found["kept"][number]["mean"] == pytest.approx(mean, abs=1e-4, rel=1e-4), number
    if loss.has_reference:
        assert found["loss_first"] == pytest.approx(FIRST[name], abs=1e-5)
        assert found["reward_margin_first"] == 0 < found["kept"]["reward_margin"]["mean"]
    else:
        assert found["reward_chosen_first"] < 0
    header, *_ = (models / f"{name}.csv").read_text().splitlines()
    assert {"loss", "reward_margin", "reward_accuracy", "eval_reward_margin"} <= set(header.split(","))


def likely(folder: Path, policy: str, pair: Preference) -> Likely:
    sides = {"chosen": pair.chosen.value, "rejected": pair.rejected.value}
    return {side: answer_log_probs(folder, policy, pair, text) for side, text in sides.items()}


def by_hand(name: str, now: Likely, before: Likely) -> dict[str, float]:
    """The numbers of a pair, from the papers' formulas."""
    gained = {side: sum(now[side]) - sum(before[side]) for side in now}
    mean = {side: fmean(now[side]) for side in now}
    mean_gained = {side: fmean(now[side]) - fmean(before[side]) for side in now}
    beta = LOSSES[name]["pref_beta"]
    worth = {"sigmoid": gained, "hinge": gained, "ipo": mean_gained, "orpo": mean, "simpo": mean}[name]
    difference = worth["chosen"] - worth["rejected"]
    odds = {side: math.exp(value) / (1 - math.exp(value)) for side, value in mean.items()}
    likelier = {
        "sigmoid": lambda: -math.log(1 / (1 + math.exp(-beta * difference))),
        "hinge": lambda: max(0.0, 1 - beta * difference),
        "ipo": lambda: (difference - 1 / (2 * beta)) ** 2,
        "orpo": lambda: -mean["chosen"] + beta * math.log(1 + odds["rejected"] / odds["chosen"]),
        "simpo": lambda: math.log(1 + math.exp(LOSSES["simpo"]["simpo_gamma"] - beta * difference)),
    }
    return {
        "eval_loss": likelier[name](),
        "chosen_nll": -mean["chosen"],
        "reward_margin": beta * difference,
        "reward_accuracy": float(difference > 0),
        "gained_chosen": gained["chosen"],
        "gained_rejected": gained["rejected"],
    }
