"""A tiny backbone: a byte-level BPE tokenizer and a small Llama, both made from the text at hand."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.records.publish import publish_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
# What LLaMA-Factory's `llama3` template writes between turns; it warns about tokens it has to add.
SPECIAL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
]
# The same turns as that template, for programs that ask the tokenizer itself (lm-evaluation-harness).
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def build_tokenizer(texts: Iterable[str], vocabulary: int, window: int, folder: Path) -> int:
    """Train a byte-level BPE tokenizer with a chat template and save it in `folder`; return its size.

    Args:
        texts: the training text.
        vocabulary: the most tokens it may have, special tokens and 256 bytes included.
        window: the longest sequence, in tokens, that the model will take.
        folder: where the files of `save_pretrained` go; `TOKENIZER_FILES` names them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # Digits stay apart so that no number is one rare token.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|end_of_text|>",
        model_max_length=window,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
    wrapped.save_pretrained(folder)
    return len(wrapped)


def write_config(sizes: dict[str, Any], vocabulary: int, window: int, folder: Path) -> None:
    """Write the `config.json` of a small Llama; `sizes` are LlamaConfig's own names."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=window,
        bos_token_id=SPECIAL_TOKENS.index("<|begin_of_text|>"),
        eos_token_id=SPECIAL_TOKENS.index("<|eot_id|>"),
        pad_token_id=SPECIAL_TOKENS.index("<|end_of_text|>"),
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
        **sizes,
    )
    config.save_pretrained(folder)


def convert(source: Path, folder: Path, dtype: str) -> int:
    """Write a model's `config.json` and `model.safetensors` in another precision; return its parameters.

    Args:
        source: folder with both files.
        folder: where they go.
        dtype: torch's name, `bfloat16` or `float32`.
    """
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(source / "model.safetensors")
    converted = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in tensors.items()}
    save_file(converted, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    # Training leaves `use_cache` off, and generation would then compute every prompt anew at every token.
    publish_json(folder / "config.json", {**config, "dtype": dtype, "use_cache": True})
    return sum(tensor.numel() for tensor in converted.values())
