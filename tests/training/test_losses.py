"""Preference losses: real steps with each, what is said of them, and what is refused beforehand."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Preference
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.training.configuration import Training, method_arguments
from selfevolve.training.losses import Loss, read_loss
from selfevolve.training.results import check_reference
from tests.conftest import ROOT, run_here
from tests.support.trainings import SMALL, answer_log_probs, arguments, metrics

LOSSES = {file.stem: read_yaml(file)["train"]["dpo"] for file in (ROOT / "conf/loss").glob("*.yaml")}
STEPS = {"max_steps": 4, "eval_steps": 2, "save_steps": 2}
# What the loss is where policy and reference agree, and what it is made of the means of a pair otherwise.
FIRST = {"sigmoid": math.log(2), "ipo": 25.0, "hinge": 1.0}
Likely = dict[str, list[float]]


@pytest.mark.slow
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
        "simpo": lambda: math.log(1 + math.exp(1.4 - beta * difference)),
    }
    return {
        "eval_loss": likelier[name](),
        "chosen_nll": -mean["chosen"],
        "reward_margin": beta * difference,
        "reward_accuracy": float(difference > 0),
        "gained_chosen": gained["chosen"],
        "gained_rejected": gained["rejected"],
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"pref_loss": "kto_pair"},
            "field pref_loss: TRL has removed kto_pair, .*: take sigmoid, ipo, hinge, orpo, simpo",
        ),
        ({"pref_loss": "dpo"}, "field pref_loss: Input should be 'sigmoid', 'ipo', .* got \"dpo\""),
        ({"pref_loss": "ipo", "pref_beta": 0.0}, "field pref_beta: .* greater than 0, got 0.0"),
        ({"pref_loss": "ipo", "simpo_gamma": 1.4}, "simpo_gamma goes with the loss simpo, and this is ipo"),
        ({"pref_loss": "orpo", "pref_ftx": 1.0}, "pref_ftx is 1.0, and the loss orpo has that term itself"),
        ({"pref_loss": "simpo", "ref_model": "m0"}, "the loss simpo has no reference: remove ref_model"),
    ],
)
def test_what_cannot_be_trained_is_one_line_before_anything_is_spent(
    tmp_path: Path, settings: dict[str, Any], message: str
):
    (tmp_path / "dpo.yaml").write_text("stage: dpo\ngradient_accumulation_steps: 8\n")
    training = Training(config=None, processes=1, batch=4, merge=False)
    with pytest.raises(InputError, match=f"^train.dpo in params.yaml: {message}"):
        method_arguments(tmp_path / "dpo.yaml", settings, training, "train.dpo in params.yaml")


def test_rewards_begin_at_0_where_a_loss_has_a_reference_and_nowhere_else():
    off = {"reward_chosen_first": -3.0, "reward_rejected_first": -4.0}
    assert (
        check_reference(off, Loss(pref_loss="simpo"))
        == check_reference(off, Loss(pref_loss="orpo"))
        == "none"
    )
    assert check_reference(off, Loss(ref_model="models/backbone")) == "models/backbone"
    for name in ("sigmoid", "ipo", "hinge"):
        with pytest.raises(InputError, match="the reference is not the policy trained on"):
            check_reference(off, Loss(pref_loss=name))


def test_a_loss_stays_finite_where_exponentials_do_not():
    for name in LOSSES:
        loss = read_loss(LOSSES[name], name)
        for chosen, rejected in (([-9000.0], [-1e-9]), ([-1e-9], [-9000.0])):
            now = {"chosen": chosen, "rejected": rejected}
            found = loss.of_pair(now, {"chosen": [-1.0], "rejected": [-1.0]})
            assert all(math.isfinite(number) for number in found.values()), name
