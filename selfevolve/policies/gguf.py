"""A backbone in one GGUF file: what the file says of itself, and its weights dequantised.

transformers reads the weights, the tokenizer and the sizes. For some architectures it takes the tokens that
begin and end a text from the wrong fields of the header, so that what the file says replaces them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFReader, LlamaFileType

from selfevolve.runtime.errors import InputError
from selfevolve.runtime.imports import hidden

SUFFIX = ".gguf"
# What a reader meets in a file that is cut off, was damaged, or is something else.
DAMAGE = (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    `quantisation` is llama.cpp's name, such as `MOSTLY_Q4_K_M`; `window` the tokens the model was made for.
    A prompt may begin with `start_token`, and an answer ends with `end_token`.
    """

    architecture: str
    quantisation: str
    window: int
    start_token: str | None
    end_token: str
    chat_template: str


class _Reader(GGUFReader):
    """A reader that stops where the file ends: its parent goes on, with empty values."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        part = super()._get(offset, dtype, count, override_order)
        if len(part) != int(count):
            raise ValueError("it is cut off")
        return part


def gguf_file(weights: str) -> Path | None:
    """Return the GGUF file that `backbone.weights` names, or None where it names something else."""
    return Path(weights).expanduser() if weights.lower().endswith(SUFFIX) else None


def read_header(file: Path) -> GgufHeader:
    """Read the header of a GGUF file and check that all of its weights are there.

    Raises:
        InputError: the file is absent, is no whole GGUF file, is of an architecture that transformers cannot
            read, or lacks a chat template or an end token.
    """
    if not file.is_file():
        raise InputError("no such file", file=file)
    try:
        return _describe(_Reader(file), file)
    except DAMAGE as error:
        raise InputError(f"is no whole GGUF file: {_reason(error)}", file=file) from None


def _describe(reader: GGUFReader, file: Path) -> GgufHeader:
    """Return what the fields of a header say; a field of a wrong type raises one of DAMAGE."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    def value(name: str, hint: str = "") -> Any:
        if name in reader.fields:
            return reader.fields[name].contents()
        if not hint:
            return None
        raise InputError(f"is not in the file: {hint}", file=file, field=name)

    def token(name: str, hint: str = "") -> str | None:
        number = value(name, hint)
        tokens = reader.fields["tokenizer.ggml.tokens"]
        if number is not None and not 0 <= number < len(tokens.data):
            raise InputError(f"{number} is none of the file's tokens", file=file, field=name)
        return None if number is None else tokens.contents(int(number))

    architecture = str(value("general.architecture", "what kind of model it is is not known"))
    if architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        message = f"transformers reads no GGUF file of the architecture {architecture!r}"
        raise InputError(message, file=file, field="general.architecture")
    end = token("tokenizer.ggml.eos_token_id", "the end of an answer would not be known")
    return GgufHeader(
        architecture=architecture,
        quantisation=_quantisation(value("general.file_type")),
        window=int(value(f"{architecture}.context_length", "how much text the model takes is not known")),
        start_token=token("tokenizer.ggml.bos_token_id"),
        end_token=str(end),
        chat_template=str(value("tokenizer.chat_template", "take the file of an instruct model")),
    )


def dequantise(file: Path, header: GgufHeader, folder: Path, dtype: str) -> None:
    """Write a GGUF file's model, as `from_pretrained` takes it, into a folder.

    Args:
        file: The GGUF file.
        header: What `read_header` found in it.
        folder: An existing folder, for config.json, safetensors and the tokenizer.
        dtype: torch's name of the precision, such as `float32`.

    Raises:
        InputError: transformers cannot read the file.
    """
    with hidden("sklearn"):  # transformers wants it for assisted generation alone
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **where)
        model = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=getattr(torch, dtype), **where)
    except (*DAMAGE, OSError, RuntimeError) as error:
        raise InputError(f"transformers cannot read it: {_reason(error)}", file=file) from None
    tokenizer.bos_token, tokenizer.eos_token = header.start_token, header.end_token
    tokenizer.chat_template = header.chat_template
    end = int(tokenizer.convert_tokens_to_ids(header.end_token))
    model.config.eos_token_id = model.generation_config.eos_token_id = end
    model.config.use_cache = True
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=True, max_shard_size="100GB")


def _quantisation(file_type: Any) -> str:
    """Return llama.cpp's name of a `general.file_type`, or `unknown`."""
    try:
        return LlamaFileType(int(file_type)).name
    except (TypeError, ValueError):
        return "unknown"


def _reason(error: BaseException) -> str:
    """Return what an exception says in one line, or else its name."""
    return " ".join(str(error).split()) or type(error).__name__
