"""How far a policy has moved: against distributions computed by hand, and the stage that measures it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from selfevolve.policies.divergence import divergences
from selfevolve.policies.likelihood import IGNORED
from selfevolve.policies.policy import load_policy
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, Message, Response
from selfevolve.runtime.errors import InputError
from stages.analyses import drift
from tests.conftest import random_backbone

TEXTS = ["You sound sad.", "What did your sister say?", " ", "That sounds hard."]
IDS = ["d0#1", "d0#3", "d1#1", "d2#1"]


def moved(folder: Path, source: Path, by: float) -> Path:
    """A policy that differs from another one by so much noise in its output layer."""
    loaded = load_policy(source)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        weights = loaded.model.get_output_embeddings().weight
        weights += by * torch.randn(weights.shape, generator=generator)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    (folder / "policy.json").write_bytes((source / "policy.json").read_bytes())
    return folder


def test_it_is_the_divergence_of_whole_distributions(backbone: Path, tmp_path: Path):
    one, other = load_policy(backbone), load_policy(moved(tmp_path / "other", backbone, 0.1))
    ids = list(range(40, 60))
    labels = [IGNORED] * 12 + ids[12:15] + [IGNORED] + ids[16:]
    with torch.no_grad():
        given = torch.tensor([ids])
        own, theirs = (loaded.model(input_ids=given).logits[0].softmax(-1) for loaded in (one, other))
    expected = (own * (own / theirs).log()).sum(-1)
    asked = [at for at, label in enumerate(labels) if label != IGNORED]
    found = divergences(one.model, other.model, ids, labels)
    assert found == pytest.approx([float(expected[at - 1]) for at in asked], abs=1e-5)
    assert min(found) > 1e-4
    assert divergences(one.model, one.model, ids, labels) == pytest.approx([0.0] * len(asked), abs=1e-6)


@pytest.fixture
def arguments(
    backbone: Path, tmp_path: Path, params_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The stage's arguments for four responses, one of them without a word."""
    monkeypatch.chdir(tmp_path)
    asked = [Message(role="user", content="I feel ashamed.")]
    write_records("contexts.jsonl", [Context(id=i, messages=asked, golden="g") for i in IDS])
    for name, texts in (("now", TEXTS), ("before", ["You sound sad.", "x", " ", "That sounds"])):
        records = [
            Response(id=i, text=text, finish_reason="stop", attempt=1, model="m")
            for i, text in zip(IDS, texts, strict=True)
        ]
        write_records(f"{name}.jsonl", records)
    params = params_file({"respond.sampling.max_new_tokens": 16})
    given = ["--policy", str(backbone), "--responses", "now.jsonl", "--contexts", "contexts.jsonl"]
    return [*given, "--out", "out.json", "--params", str(params)]


def test_a_policy_is_far_from_one_that_was_moved_further(
    backbone: Path, tmp_path: Path, arguments: list[str]
):
    near, far = (moved(tmp_path / name, backbone, by) for name, by in (("near", 0.05), ("far", 0.2)))
    references = {"itself": backbone, "near": near, "far": far}
    for name, folder in references.items():
        arguments += ["--reference", f"{name}={folder}"]
    drift.main(arguments)
    found = json.loads(Path("out.json").read_text())
    assert (found["responses"], found["empty"], "previous" in found) == (4, 1, False)
    means = {name: found["divergence"][name]["mean"] for name in references}
    assert means["itself"] == pytest.approx(0.0, abs=1e-6)
    assert 0 < 5 * means["near"] < means["far"]
    assert all(one["low"] <= one["mean"] <= one["high"] for one in found["divergence"].values())


def test_responses_are_compared_with_those_to_the_same_contexts(arguments: list[str]):
    drift.main([*arguments, "--previous", "before.jsonl"])
    found = json.loads(Path("out.json").read_text())
    assert "divergence" not in found
    assert found["previous"]["identical"]["mean"] == 50.0
    assert found["previous"]["word_overlap"]["mean"] == pytest.approx((100 + 0 + 100 + 80) / 4)


def test_a_reference_with_other_tokens_is_named(tmp_path: Path, arguments: list[str]):
    random_backbone(tmp_path / "other", ["quite different words here"] * 20, 300, 512)
    with pytest.raises(InputError, match="other: has other tokens than"):
        drift.main([*arguments, "--reference", f"other={tmp_path / 'other'}"])
    assert not Path("out.json").exists()


def test_a_response_without_its_context_is_named(backbone: Path, arguments: list[str]):
    write_records("contexts.jsonl", [])
    with pytest.raises(InputError, match=r"contexts\.jsonl: record d0#1: has no record of this id"):
        drift.main([*arguments, "--reference", f"itself={backbone}"])


def test_a_reference_needs_a_name_and_a_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        drift.main([*arguments, "--reference", "models/m0"])
    assert "--reference takes NAME=FOLDER" in capsys.readouterr().err
