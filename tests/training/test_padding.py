"""Batches padded on the right come without a mask, and the model learns the same from them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from selfevolve.policies.policy import LoadedPolicy, load_policy
from selfevolve.training import padding, worker
from tests.conftest import TEXTS


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 1, 1], [1, 1, 1]], True),
        ([[1, 1, 0], [1, 0, 0]], True),
        ([[1, 1, 0], [0, 1, 1]], False),  # padded on the left
        ([[1, 0, 1]], False),
        ([[0, 0, 0]], True),
    ],
)
def test_only_what_is_hidden_behind_a_row_needs_no_mask(rows: list[list[int]], expected: bool):
    assert padding.pads_right(torch.tensor(rows)) is expected


def test_a_mask_of_another_kind_is_kept():
    assert not padding.pads_right(None)
    assert not padding.pads_right(torch.ones(2, 1, 4, 4))


@pytest.fixture(scope="module")
def loaded(backbone: Path) -> LoadedPolicy:
    return load_policy(backbone)


def collate(loaded: LoadedPolicy, kind: str, side: str = "right") -> dict[str, Any]:
    """Make a batch of answers, or of pairs, of different lengths, as LLaMA-Factory does in this process."""
    from llamafactory.data import collator
    from llamafactory.data.template import TEMPLATES

    loaded.tokenizer.padding_side = side
    made = getattr(collator, kind)(
        template=TEMPLATES["llama3"], tokenizer=loaded.tokenizer, padding=True, pad_to_multiple_of=8
    )
    rows = []
    for number, text in enumerate(TEXTS):
        ids = loaded.tokenizer.encode(text[: 20 + 9 * number])
        row = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * 4 + ids[4:]}
        media = {"images": [], "videos": [], "audios": []}
        if kind.startswith("Pairwise"):
            row = {f"{name}_{key}": row[key] for name in ("chosen", "rejected") for key in row}
        rows.append(row | media)
    return made(rows)


@pytest.fixture
def collators(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The collators of SFT and DPO, put back afterwards."""
    from llamafactory.data import collator

    names = ("SFTDataCollatorWith4DAttentionMask", "PairwiseDataCollatorWithPadding")
    for name in names:
        monkeypatch.setattr(getattr(collator, name), "__call__", getattr(collator, name).__call__)
    return names


@pytest.mark.parametrize("number", [0, 1])
def test_loss_and_gradients_are_those_with_the_mask(
    collators: tuple[str, ...], loaded: LoadedPolicy, number: int
):
    def learn(batch: dict[str, Any]) -> list[torch.Tensor]:
        loaded.model.zero_grad()
        loss = loaded.model(**batch).loss
        loss.backward()
        gradients = [p.grad.clone() for p in loaded.model.parameters() if p.grad is not None]
        return [loss.detach(), *gradients]

    masked = collate(loaded, collators[number])
    padding.drop_needless_masks()
    plain = collate(loaded, collators[number])
    assert masked.keys() - plain.keys() == {"attention_mask"}
    assert not masked["attention_mask"].all()  # the rows are of different lengths
    for expected, found in zip(learn(masked), learn(plain), strict=True):
        assert torch.allclose(expected, found, rtol=1e-5, atol=1e-7)


def test_a_batch_padded_on_the_left_keeps_its_mask(collators: tuple[str, ...], loaded: LoadedPolicy):
    padding.drop_needless_masks()
    assert "attention_mask" in collate(loaded, collators[0], "left")


def test_the_process_that_trains_collates_so(
    collators: tuple[str, ...], loaded: LoadedPolicy, monkeypatch: pytest.MonkeyPatch
):
    from llamafactory import hparams
    from llamafactory.model import loader
    from llamafactory.train import tuner

    batches: list[dict[str, Any]] = []
    monkeypatch.setattr(hparams, "read_args", dict)
    monkeypatch.setattr(loader, "init_adapter", loader.init_adapter)  # the worker changes it for good
    monkeypatch.setattr(tuner, "run_exp", lambda _: batches.append(collate(loaded, collators[0])))
    worker.main()
    assert "attention_mask" not in batches[0]
