"""Merge a policy's adapters into its backbone, by LLaMA-Factory."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from stages.records.errors import InputError
from stages.records.publish import publishing
from stages.training.llamafactory import read_config

CONFIG = Path(__file__).resolve().parents[2] / "llamafactory_configs" / "export.yaml"


def merge(
    weights: str, revision: str | None, template: str, dtype: str, adapters: Sequence[Path], out: Path
) -> None:
    """Write the whole weights of a chain and its tokenizer to the folder `out`, as safetensors.

    Args:
        weights: of the backbone, a folder or a Hugging Face name.
        revision: of that name, or None.
        template: LLaMA-Factory's name of the chat template.
        dtype: torch's name of the precision.
        adapters: folders of LoRA adapters, each trained on what is before it.
        out: the folder; it appears when it is whole.

    Raises:
        InputError: LLaMA-Factory failed; its last line.
    """
    config = read_config(CONFIG, {"model_revision": revision})
    config |= {
        "model_name_or_path": weights,
        "template": template,
        "infer_dtype": dtype,
    }
    if adapters:
        config["adapter_name_or_path"] = ",".join(str(adapter) for adapter in adapters)
    with publishing(out) as folder:
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
            raise InputError(f"LLaMA-Factory failed: {lines[-1] if lines else 'no output'}", file=out)
