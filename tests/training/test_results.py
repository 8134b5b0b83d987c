"""What is said of a training that has ended: the step that was kept, and whether the adapter is its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from selfevolve.policies.policy import Backbone, Policy
from selfevolve.runtime.errors import InputError
from selfevolve.training.evaluation import check_agreement
from selfevolve.training.results import first_values, kept_step, logged_eval_loss

BEST = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
LOG = [
    {"step": 1, "loss": 2.0},
    {"step": 4, "loss": 1.0, "learning_rate": 0.1, "grad_norm": 1.0},
    {"step": 4, "eval_loss": 1.5},
    {"step": 8, "loss": 0.5},
    {"step": 8, "eval_loss": 1.75},
]


@pytest.mark.parametrize(
    ("arguments", "best", "kept", "because"),
    [
        (BEST, ".scratch/train/1/output/checkpoint-4", 4, "lowest eval_loss"),
        (BEST, "runs/of-3/output/checkpoint-8", 8, "lowest eval_loss"),
        (BEST | {"greater_is_better": True}, "output/checkpoint-4", 4, "highest eval_loss"),
        (BEST, None, 8, "last step"),  # none was saved
        (
            {"metric_for_best_model": "eval_loss"},
            "output/checkpoint-4",
            8,
            "last step",
        ),  # watched, not loaded
    ],
)
def test_the_kept_step_is_the_one_that_the_trainer_loaded(
    tmp_path: Path, arguments: dict[str, Any], best: str | None, kept: int, because: str
):
    state = {"global_step": 8, "best_global_step": 4, "best_model_checkpoint": best}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    found = kept_step(tmp_path, arguments)
    assert found == {"kept_step": kept, "steps": 8, "kept_because": because}


def test_the_logged_loss_is_that_of_the_step():
    assert [logged_eval_loss(LOG, step) for step in (4, 8, 1)] == [1.5, 1.75, None]


def test_first_values_are_those_of_the_training():
    assert first_values(LOG) == {"loss_first": 2.0}


def test_a_curve_that_is_not_finite_is_an_error():
    with pytest.raises(InputError, match="record step 2: field loss: is not a finite number"):
        first_values([{"step": 1, "loss": 1.0}, {"step": 2, "loss": float("nan")}])


def check(
    found: float, logged: float | None, dtype: str = "float32", processes: int = 1, **method: Any
) -> None:
    backbone = Backbone(weights=".", template="llama3", dtype=dtype, window=4096)
    policy = Policy(Path("m0"), backbone, Path("m0"), (), "digest")
    check_agreement({"eval_loss": {"mean": found}}, logged, method, policy, processes)


def test_an_adapter_with_another_loss_than_the_kept_step_s_is_refused():
    check(1.50001, 1.5, pref_loss="sigmoid", pref_beta=0.1)
    check(150.01, 150.0)
    with pytest.raises(InputError, match="field eval_loss"):
        check(2.0, 1.5, pref_loss="ipo")
    for found, logged in ((1.5002, 1.5), (0.0002, 0.0), (150.02, 150.0), (float("nan"), 1.5)):
        with pytest.raises(
            InputError, match=r"field eval_loss: is .* and the training logged .* at the kept step"
        ):
            check(found, logged)


def test_where_the_two_losses_need_not_agree_nothing_is_refused():
    check(2.0, None)
    check(2.0, 1.5, dtype="bfloat16")
    check(2.0, 1.5, processes=2)
    check(2.0, 1.5, ref_model="models/backbone")
    check(2.0, 1.5, quantization_bit=4)
