"""Preference losses: what is refused before anything is spent, the reference, and numbers of any size."""

import math
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from selfevolve.training.configuration import Training, method_arguments
from selfevolve.training.losses import Loss, read_loss
from selfevolve.training.results import check_reference
from tests.support.trainings import LOSSES


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
