"""Compare learning rates on held-out dialogues: `python -m bench.learning_rates --method sft ...`.

Stage `train` learns from the same data with one rate after another; everything else is params.yaml's. What it
says of the kept adapter on the samples held back (`valid.jsonl`, parts of training dialogues) becomes a row.
No test dialogue is looked at.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, read_yaml


def main(argv: Sequence[str] | None = None) -> None:
    """Train with every rate, and write and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", choices=("sft", "dpo"), required=True)
    parser.add_argument("--policy", type=Path, required=True, help="what to train on")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and valid.jsonl")
    parser.add_argument("--samples", type=int, help="how many of train.jsonl, the first; all by default")
    parser.add_argument("--rates", type=float, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_yaml(args.params)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="rates-") as name:
        folder = Path(name)
        data = _shortened(args.data, folder / "data", args.samples)
        for rate in args.rates:
            params["train"][args.method]["learning_rate"] = rate
            (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
            training = _trained(args.method, args.policy, data, folder, rate)
            rows.append({"learning_rate": rate, "steps": training["steps"], "kept": training["kept"]})
            print(json.dumps(rows[-1]), flush=True)
    settings = {key: value for key, value in params["train"][args.method].items() if key != "learning_rate"}
    publish_json(args.out, {"method": args.method, "samples": args.samples, "train": settings, "rows": rows})


def _shortened(data: Path, to: Path, samples: int | None) -> Path:
    """Copy the data with the first samples of its training part alone."""
    to.mkdir()
    for name, limit in (("train.jsonl", samples), ("valid.jsonl", None)):
        if not (data / name).is_file():
            raise InputError("there is no such file: a stage writes it before a training", file=data / name)
        with (data / name).open(encoding="utf-8") as lines:
            (to / name).write_text("".join(islice(lines, limit)), encoding="utf-8")
    return to


def _trained(method: str, policy: Path, data: Path, folder: Path, rate: float) -> dict[str, Any]:
    """Run stage `train` once and return its metrics."""
    out = folder / f"{rate:g}"
    command = [sys.executable, "-m", "stages.train", "--method", method, "--policy", str(policy)]
    command += ["--config", f"llamafactory_configs/{method}.yaml", "--data", str(data)]
    command += ["--out", str(out / "adapter"), "--curves", str(out / "curves.csv")]
    command += ["--metrics", str(out / "training.json"), "--params", str(folder / "params.yaml")]
    if (code := subprocess.run(command, check=False).returncode) != 0:
        message = f"stage train ended with exit code {code}: its own words stand above"
        raise InputError(message, record=f"{rate:g}")
    found: dict[str, Any] = json.loads((out / "training.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    run(main)
