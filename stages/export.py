"""Merge a policy into one model for a server: `python -m stages.export --policy models/m2 --out FOLDER`.

Not part of the pipeline: M2 is kept as a chain of adapters of some megabytes, and the merged weights can be
made at any time.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

from stages.command import run
from stages.engines.policy import read_policy
from stages.records.errors import InputError
from stages.records.publish import publishing
from stages.training.llamafactory import read_config

CONFIG = Path(__file__).resolve().parents[1] / "llamafactory_configs" / "export.yaml"


def main() -> None:
    """Read the command line and let LLaMA-Factory merge the chain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.out.exists():
        raise InputError("is there already", file=args.out)
    policy = read_policy(args.policy)
    config = read_config(CONFIG, {"model_revision": policy.backbone.revision})
    config |= {
        "model_name_or_path": policy.weights,
        "template": policy.backbone.template,
        "infer_dtype": policy.backbone.dtype,
    }
    if policy.adapters:
        config["adapter_name_or_path"] = ",".join(str(adapter) for adapter in policy.adapters)
    with publishing(args.out) as folder:
        folder.mkdir()
        settings = folder / "export.yaml"
        settings.write_text(yaml.safe_dump(config | {"export_dir": str(folder)}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "llamafactory.cli", "export", str(settings)],
            capture_output=True,
            text=True,
            check=False,
        )
        settings.unlink()
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise InputError(f"LLaMA-Factory failed: {lines[-1] if lines else 'no output'}", file=args.policy)
    print(f"{args.policy} merged into {args.out}")


if __name__ == "__main__":
    run(main)
