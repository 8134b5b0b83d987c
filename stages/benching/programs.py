"""Programs that one would use instead: LLaMA-Factory's `do_predict` and `api`, and distilabel.

All decode greedily here, as the engine does beside them: then no program's own sampling makes texts longer or
shorter. Chat templates and sums differ a little all the same, so speeds are in tokens a second.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.benching.contestants import lengths
from stages.benching.rounds import Contestant, Timed
from stages.engines.openai_engine import OpenAIEngine
from stages.engines.policy import LoadedPolicy
from stages.engines.request import Request, Sampling
from stages.records.errors import InputError

DISTILABEL = Path(__file__).with_name("distilabel_run.py")


def do_predict(
    loaded: LoadedPolicy,
    requests: Sequence[Request],
    sampling: Sampling,
    size: int,
    scratch: Path,
    python: Path,
) -> Contestant:
    """Return `llamafactory-cli train` with `do_predict`; its own `predict_runtime` counts, not its start.

    That time has LLaMA-Factory's loop, generation and its text metrics of the answers in it. `python` is that
    of an environment which has rouge_chinese: LLaMA-Factory wants it for those metrics.
    """
    import yaml

    data = scratch / "predict-data"
    data.mkdir(parents=True)
    _write_rows(data / "test.jsonl", [_sharegpt(request) for request in requests])
    columns = {"messages": "conversations", "system": "system"}
    info = {"test": {"file_name": "test.jsonl", "formatting": "sharegpt", "columns": columns}}
    (data / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    config = {
        "stage": "sft", "do_predict": True, "predict_with_generate": True, "finetuning_type": "full",
        "model_name_or_path": loaded.policy.weights, "template": loaded.template, "infer_dtype": "float32",
        "eval_dataset": "test", "dataset_dir": str(data), "output_dir": str(scratch / "predicted"),
        "overwrite_output_dir": True, "overwrite_cache": True, "cutoff_len": loaded.policy.backbone.window,
        "max_new_tokens": sampling.max_new_tokens, "do_sample": False, "repetition_penalty": 1.0,
        "per_device_eval_batch_size": size, "use_cpu": True, "report_to": "none",
    }  # fmt: skip
    settings = scratch / "predict.yaml"
    settings.write_text(yaml.safe_dump(config), encoding="utf-8")

    def write() -> Timed:
        _called([str(python), "-m", "llamafactory.cli", "train", str(settings)])
        found = json.loads((scratch / "predicted" / "predict_results.json").read_text(encoding="utf-8"))
        rows = (scratch / "predicted" / "generated_predictions.jsonl").read_text(encoding="utf-8")
        texts = [json.loads(row)["predict"] for row in rows.splitlines()]
        named = dict(zip([request.id for request in requests], texts, strict=True))
        return Timed(found["predict_runtime"], lengths(loaded, named))

    return write


def distilabel(
    loaded: LoadedPolicy,
    requests: Sequence[Request],
    sampling: Sampling,
    size: int,
    scratch: Path,
    python: Path,
) -> Contestant:
    """Return distilabel's TransformersLLM in the environment of `python`; its start does not count."""
    scratch.mkdir(parents=True, exist_ok=True)
    asked = scratch / "asked.jsonl"
    _write_rows(asked, [[m.model_dump() for m in request.messages] for request in requests])

    def write() -> Timed:
        arguments = [loaded.policy.weights, asked, scratch / "answered.json", sampling.max_new_tokens, size]
        _called([str(python), str(DISTILABEL), *map(str, arguments)])
        found = json.loads((scratch / "answered.json").read_text(encoding="utf-8"))
        named = dict(zip([request.id for request in requests], found["texts"], strict=True))
        return Timed(found["seconds"], lengths(loaded, named))

    return write


def api(
    loaded: LoadedPolicy, requests: Sequence[Request], sampling: Sampling, engine: OpenAIEngine
) -> Callable[[], Mapping[str, int]]:
    """Return a server that is running, asked by the engine for servers."""

    def write() -> Mapping[str, int]:
        texts = {r.id: r.text for batch in engine.complete(requests, sampling, ()) for r in batch}
        return lengths(loaded, texts)

    return write


def _sharegpt(request: Request) -> dict[str, Any]:
    """The row of a request; LLaMA-Factory wants an answer, which it does not show to the model."""
    speakers = {"user": "human", "assistant": "gpt"}
    turns = [m for m in request.messages if m.role != "system"]
    system = "".join(m.content for m in request.messages if m.role == "system")
    rows = [{"from": speakers[m.role], "value": m.content} for m in turns]
    return {"conversations": [*rows, {"from": "gpt", "value": "."}], "system": system}


def _write_rows(path: Path, rows: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _called(command: list[str]) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise InputError(f"failed: {lines[-1] if lines else 'no output'}", file=command[-1])
