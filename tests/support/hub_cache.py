"""A Hub cache with what a plan reads of the paper's backbones."""

from typing import Any

# The sizes in the config.json of the paper's backbones on the Hub.
NAMES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
)


CONFIGS: dict[str, dict[str, Any]] = {
    "meta-llama/Meta-Llama-3-8B-Instruct": {
        **dict(zip(NAMES, (32, 4096, 32, 8, 14336, 128256), strict=True)),
        "model_type": "llama",
        "attention_bias": False,
    },
    "Qwen/Qwen2-7B-Instruct": {
        **dict(zip(NAMES, (28, 3584, 28, 4, 18944, 152064), strict=True)),
        "model_type": "qwen2",
        "tie_word_embeddings": False,
    },
    "mistralai/Mistral-7B-Instruct-v0.3": {
        **dict(zip(NAMES, (32, 4096, 32, 8, 14336, 32768), strict=True)),
        "model_type": "mistral",
        "head_dim": None,
    },
}


LLAMA, QWEN, MISTRAL = CONFIGS


COMMIT = "0123456789abcdef0123456789abcdef01234567"
