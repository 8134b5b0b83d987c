"""A model's weights in another precision."""

from pathlib import Path

from selfevolve.runtime.files import publish_json, read_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def convert(source: Path, folder: Path, dtype: str) -> int:
    """Write a model's `config.json` and `model.safetensors` in another precision; return its parameters.

    `dtype` is torch's name, `bfloat16` or `float32`.
    """
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(source / "model.safetensors")
    converted = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in tensors.items()}
    save_file(converted, folder / "model.safetensors", metadata={"format": "pt"})
    # Training leaves `use_cache` off, and generation would then compute every prompt anew at every token.
    config = read_json(source / "config.json") | {"dtype": dtype, "use_cache": True}
    publish_json(folder / "config.json", config)
    return sum(tensor.numel() for tensor in converted.values())
