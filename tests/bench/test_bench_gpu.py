"""What `make bench-gpu` does, at small sizes on a CPU: the same code but for the clock and memory of CUDA."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from bench import device
from bench import gpu as bench_gpu
from bench.device import Setting, setting_of
from bench.gpu import compared
from bench.results import judge, merge, table
from bench.workloads import random_policy
from selfevolve.training.memory import shape_of
from tests.conftest import ROOT

CHAT = ROOT / "tests/support/child_chat.py"
LIMITED = "dpo, 2048 tokens, in 40 GB"


def small(**changes: Any) -> Setting:
    return setting_of("cpu", changes)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tokenizer's in it, so that nothing is left in the checkout."""
    (tmp_path / "testbed").symlink_to(ROOT / "testbed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_part_is_measured_by_the_code_that_runs_on_a_gpu(dtype: str, folder: Path) -> None:
    setting = small(dtype=dtype)
    rows = compared({name: bench_gpu.measure(name, setting) for name in bench_gpu.parts(setting)})
    unmeasured = {name: row["reason"] for name, row in rows.items() if "median_s" not in row}
    assert set(unmeasured) == {"server, 4 at once", "server, 1 at once"} | {
        f"{kind}, 24 tokens, in 40 GB" for kind in ("sft", "dpo")
    }
    for way in ("engine", "generate"):
        assert rows[f"{way}, 4 at once"]["tokens"] == 4 * 6
        assert rows[f"{way}, 4 at once"]["bytes_read"] > rows[f"{way}, 1 at once"]["bytes_read"]
    for kind in ("sft", "dpo"):
        assert rows[f"{kind}, 24 tokens"]["tokens"] == 4 * 2 * 24 * (2 if kind == "dpo" else 1)
        assert rows[f"{kind}, 24 tokens"]["mfu_percent"] > 0
        first, second = rows[f"{kind}, 24 tokens"]["losses"]
        assert second < first  # the adapter has learnt
        untrained = math.log(2048) + (math.log(2) if kind == "dpo" else 0)
        assert first == pytest.approx(untrained, abs=0.02)
    json.dumps(rows, allow_nan=False)


def test_the_model_is_made_on_the_device_and_has_the_shape_of_llama_3_8b() -> None:
    model = random_policy(setting_of("cuda", {}).sizes, 2048, "meta", "bfloat16").model
    weights = list(model.parameters())
    assert sum(weight.numel() for weight in weights) == 8_030_261_248
    assert {(weight.device.type, weight.dtype) for weight in weights} == {("meta", torch.bfloat16)}
    shape = shape_of(model.config.to_dict())
    one, two = (device.bytes_read(shape, 2, rows, 10, 2) for rows in (1, 2))
    assert two - one == 11 * 131_072


def test_a_part_that_runs_out_of_memory_says_so_and_the_next_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = json.dumps({"copy_bytes": 10**15})
    arguments = ["--device", "cpu", "--only", "copy", "matmul", "--setting", changes, "--out", "bench.json"]
    bench_gpu.main(arguments)
    rows = json.loads((folder / "bench.json").read_text())["parts"]["cpu rehearsal"]
    assert rows["copy"]["failed"].startswith("out of memory: ")
    assert rows["matmul"]["flops_s"] > 0
    assert rows["machine"]["torch"] == torch.__version__
    assert "| cpu rehearsal | copy | failed |  |  | out of memory: " in capsys.readouterr().out


def test_a_training_without_enough_memory_does_not_fit(folder: Path) -> None:
    assert bench_gpu.measure("dpo, 24 tokens", small(batch=10**12))["out_of_memory"] is True


def test_without_a_gpu_nothing_is_measured_and_nothing_measured_is_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    merge(folder / "bench.json", "gpu", {"copy": {"median_s": 0.5}}, {"device": "a card"})
    bench_gpu.main(["--out", "bench.json"])
    whole = json.loads((folder / "bench.json").read_text())
    rows = whole["parts"]["gpu"]
    assert rows.pop("copy") == {"median_s": 0.5}
    assert rows.pop("machine") == {"device": "a card"}
    assert len(rows) == 13
    assert all(row["reason"].startswith("no CUDA device") for row in rows.values())
    printed = capsys.readouterr().out
    assert printed.startswith("nothing is measured here: no CUDA device")
    assert "| DPO of 2,048 tokens fits in 40 GB | not measured |" in printed
    assert "| gpu | matmul | not measured |" in table(whole)


def test_a_server_is_measured_and_one_that_ends_texts_early_is_not(folder: Path) -> None:
    def asked(*faults: str) -> dict[str, Any]:
        options = yaml.safe_load((ROOT / "conf/engine/vllm.yaml").read_text())["engine"]
        words = ["{python}", str(CHAT), "{port}", "{served}", *faults]
        file = folder / "server.yaml"
        file.write_text(yaml.safe_dump({"engine": {**options, "command": " ".join(words)}}))
        return bench_gpu.measure("server, 4 at once", small(server=str(file), server_needs=sys.executable))

    row = asked("length")
    assert row["tokens"] == 24
    assert row["bytes_read"] > 0
    with pytest.raises(ValueError, match=r"4 texts of 1 tokens were asked for; they ended by \{'stop'\}"):
        asked()
    assert not list((folder / ".scratch").glob("*/random"))


def test_bytes_and_operations_are_those_of_the_model() -> None:
    setting = small()
    model = setting.load().model
    own = sum(p.numel() for p in model.parameters()) - 2048 * 64  # the embedding is not read whole
    shape = shape_of(model.config.to_dict())
    token = 2 * 2 * 2 * 16 * 2  # keys and values, layers, heads, numbers, bytes
    steps = device.bytes_read(shape, 2, rows=3, prompt=10, new=4)
    assert steps == 3 * 2 * own + 3 * (11 + 12 + 13) * token

    setting = small(batch=3, accumulation=1)
    sft, dpo = (device.flops(shape, k, device.batches(k, setting, 24)) for k in ("sft", "dpo"))
    model.set_attn_implementation("eager")  # its products are counted, also of the half that is masked
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(3, 24, dtype=torch.long))
    masked = 3 * 24 * 2 * shape.layers * shape.heads * shape.head * 24
    assert (dpo - 2 * sft) / 2 + masked == pytest.approx(counter.get_total_flops(), rel=1e-4)


def test_the_reference_stays_as_it_was_while_the_adapter_learns() -> None:
    training = device.Training(small().load().model, 8, learning_rate=1e-2)
    batches = device.batches("dpo", small(batch=2, accumulation=1), 16)
    losses = [training.step(lambda m, b: device.dpo_loss(m, b, gamma=0.0), batches) for _ in range(4)]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)
    assert losses[-1] < losses[0] - 0.01


def test_shares_and_goals_follow_from_what_the_device_does() -> None:
    rows = compared(
        {
            "copy": {"bytes_s": 1e9},
            "matmul": {"flops_s": 1e12},
            "engine, 64 at once": {"median_s": 9.0, "decode_s": 8.0, "bytes_read": 2e9},
            "sft, 600 tokens": {"median_s": 4.0, "flops": 1e12},
            LIMITED: {"failed": "out of memory: a lot", "fits": False},
        }
    )
    assert rows["engine, 64 at once"]["bound_percent"] == 25
    assert rows["sft, 600 tokens"]["mfu_percent"] == 25
    judged = {entry["goal"]: entry for entry in judge({"gpu": rows})}
    assert judged["at least 50 % of the bandwidth bound, 64 texts at once"]["missed_by"] == 25
    assert judged["DPO of 2,048 tokens fits in 40 GB"]["value"] is False
    shown = table({"parts": {"gpu": rows}})
    assert f"| gpu | {LIMITED} | failed |  |  | fits: no, out of memory: a lot |" in shown
    assert "| DPO of 2,048 tokens fits in 40 GB | no |" in shown
    assert "25.0 % of the bandwidth bound" in shown
