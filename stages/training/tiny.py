"""The tiny backbone: a byte-level BPE tokenizer and a small Llama, both made from the text at hand."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

# What LLaMA-Factory's `llama3` template writes between turns; it warns about tokens it has to add.
SPECIAL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
]


def build_tokenizer(texts: Iterable[str], vocabulary: int, window: int, folder: Path) -> int:
    """Train a byte-level BPE tokenizer and save it in `folder`; return its number of tokens.

    Args:
        texts: the training text.
        vocabulary: the most tokens it may have, special tokens and 256 bytes included.
        window: the longest sequence, in tokens, that the model will take.
        folder: where `tokenizer.json` and `tokenizer_config.json` go.
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
