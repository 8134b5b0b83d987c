"""Publish the backbone that everything starts from: `python -m stages.backbone --out models/backbone`.

A model of Hugging Face (or an absolute folder) is a `policy.json` with its name, template and window; its
weights stay where they are. A folder of this repository, such as `testbed/tiny`, is copied: tokenizer and
weights, these in the precision that `backbone.dtype` names. A `.gguf` file is dequantised into that
precision. Whatever it is, it is checked before anything is spent on it.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from selfevolve.policies.checks import check_backbone, check_window
from selfevolve.policies.convert import TOKENIZER_FILES, convert
from selfevolve.policies.gguf import dequantise, gguf_file, read_header
from selfevolve.policies.policy import Backbone, Source, write_backbone
from selfevolve.records.schema import NonEmpty
from selfevolve.runtime.command import run
from selfevolve.runtime.digests import digest_file
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing
from selfevolve.runtime.parameters import read_params

FILES = (*TOKENIZER_FILES, "config.json", "model.safetensors")  # what testbed.pretrain makes
GENERATION = "generation_config.json"  # names the tokens that end a text; not every model has one
DTYPES = ("float32", "bfloat16", "float16")


class BackboneParams(Backbone):
    """Section `backbone` of params.yaml: the policy file's fields and a name.

    `weights` is a Hugging Face name, an absolute folder, a folder of this repository, or a `.gguf` file.
    """

    name: NonEmpty
    source: None = None  # is found, not said


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and publish the backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("backbone", BackboneParams, args.params)
    backbone = Backbone(**params.model_dump(include=set(Backbone.model_fields)))
    file = gguf_file(backbone.weights)
    source = None if file else own_folder(backbone.weights)
    if (file or source) and backbone.dtype not in DTYPES:
        raise InputError(f"must be one of {', '.join(DTYPES)}", file=args.params, field="backbone.dtype")
    with publishing(args.out) as folder:
        folder.mkdir()
        if file:
            backbone = unpack(file, folder, backbone)
        elif source:
            copy(source, folder, backbone.dtype)
            backbone = backbone.model_copy(update={"weights": "."})
        check_backbone(folder, backbone, params.weights)
        write_backbone(folder, backbone)


def own_folder(weights: str) -> Path | None:
    """Return the folder of this repository that `weights` names, or None for a name or an absolute folder.

    All that begins with `testbed/` is meant as such a folder, whether it exists or not; else a relative
    path is one if it exists (`meta-llama/Meta-Llama-3-8B-Instruct` does not).
    """
    path = Path(weights)
    return path if weights.startswith("testbed/") or (not path.is_absolute() and path.is_dir()) else None


def unpack(file: Path, folder: Path, backbone: Backbone) -> Backbone:
    """Dequantise a GGUF file into a folder; return what `policy.json` says of it."""
    header = read_header(file)
    check_window(header.window, backbone, backbone.weights)  # dequantising takes minutes
    dequantise(file, header, folder, backbone.dtype)
    source = Source(file=file.name, sha256=digest_file(file), quantisation=header.quantisation)
    return backbone.model_copy(update={"weights": ".", "revision": None, "source": source})


def copy(source: Path, folder: Path, dtype: str) -> None:
    """Copy the tokenizer, and the weights in this precision, from a folder as testbed.pretrain makes it."""
    from safetensors import SafetensorError

    for name in FILES:
        if not (source / name).is_file():
            hint = "to use a folder where it is, name it by its absolute path"
            raise InputError(f"no such file ({hint})", file=source / name)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)
    if (source / GENERATION).is_file():
        shutil.copyfile(source / GENERATION, folder / GENERATION)
    try:
        convert(source, folder, dtype)
    except SafetensorError as error:
        raise InputError(f"the weights cannot be read: {error}", file=source) from None


if __name__ == "__main__":
    run(main)
