"""Publish the backbone that everything starts from: `python -m stages.backbone --out models/backbone`.

A model of Hugging Face (or an absolute folder) is a `policy.json` with its name, template and window; its
weights stay where they are. A folder of this repository, such as `backbones/tiny`, is copied: tokenizer and
weights, these in the precision that `backbone.dtype` names.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.command import read_params, run
from stages.engines.policy import Backbone, write_backbone
from stages.records.errors import InputError
from stages.records.publish import publishing
from stages.records.schema import NonEmpty
from stages.training.tiny import TOKENIZER_FILES, convert

FILES = (*TOKENIZER_FILES, "config.json", "model.safetensors")  # what stages.pretrain makes
DTYPES = ("float32", "bfloat16", "float16")


class BackboneParams(Backbone):
    """Section `backbone` of params.yaml: the policy file's fields and a name.

    `weights` is a Hugging Face name, an absolute folder, or a folder of this repository.
    """

    name: NonEmpty


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and publish the backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("backbone", BackboneParams, args.params)
    backbone = Backbone(**params.model_dump(include=set(Backbone.model_fields)))
    source = own_folder(backbone.weights)
    if source and backbone.dtype not in DTYPES:
        raise InputError(f"must be one of {', '.join(DTYPES)}", file=args.params, field="backbone.dtype")
    with publishing(args.out) as folder:
        folder.mkdir()
        if source:
            copy(source, folder, backbone)
            backbone = backbone.model_copy(update={"weights": "."})
        write_backbone(folder, backbone)


def own_folder(weights: str) -> Path | None:
    """Return the folder of this repository that `weights` names, or None for a name or an absolute folder.

    All that begins with `backbones/` is meant as such a folder, whether it exists or not; else a relative
    path is one if it exists (`meta-llama/Meta-Llama-3-8B-Instruct` does not).
    """
    path = Path(weights)
    return path if weights.startswith("backbones/") or (not path.is_absolute() and path.is_dir()) else None


def copy(source: Path, folder: Path, backbone: Backbone) -> None:
    """Copy the tokenizer, and the weights in `backbone.dtype`, from a folder as stages.pretrain makes it.

    Raises:
        InputError: a file is missing or damaged, or the model's own window is smaller than the backbone's.
    """
    from safetensors import SafetensorError

    for name in FILES:
        if not (source / name).is_file():
            hint = "a folder whose weights stay where they are is given as an absolute path"
            raise InputError(f"no such file ({hint})", file=source / name)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)
    try:
        convert(source, folder, backbone.dtype)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"weights or config.json cannot be read: {error}", file=source) from None
    if (longest := config.get("max_position_embeddings", 0)) < backbone.window:
        message = f"the model takes {longest} tokens, backbone.window is {backbone.window}"
        raise InputError(message, file=source / "config.json", field="max_position_embeddings")


if __name__ == "__main__":
    run(main)
