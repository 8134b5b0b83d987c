"""What `make bench-gpu` measures: the sizes for a GPU, and small ones to rehearse with on a CPU."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Setting(BaseModel):
    """Sizes in tokens, texts at once and bytes; `sizes` are those of the model, in LlamaConfig's names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = "cuda"
    dtype: str = "bfloat16"
    sizes: dict[str, Any]
    rounds: int = 5
    copy_bytes: int = 4 << 30
    matmul: int = 8192
    rows: tuple[int, ...] = (64, 1)
    prompt_tokens: int = 512
    new_tokens: int = 128
    lengths: tuple[int, ...] = (2048, 600)  # the cut-off, and what is usual
    answer_tokens: int = 100
    batch: int = 4
    accumulation: int = 2
    rank: int = 8
    limit_gb: float = 40.0
    server: str = "conf/engine/vllm.yaml"
    server_needs: str = ".venv-vllm/bin/vllm"

    @property
    def window(self) -> int:
        """Tokens of a prompt and its answer at most; a word may take a prompt a few beyond what is asked."""
        return self.prompt_tokens + 64 + self.new_tokens

    @property
    def most(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.window, *self.lengths)


REHEARSAL: dict[str, Any] = {
    "device": "cpu",
    "sizes": {
        "vocab_size": 2048,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "tie_word_embeddings": False,
    },
    "rounds": 1,
    "copy_bytes": 1 << 20,
    "matmul": 64,
    "rows": (4, 1),
    "prompt_tokens": 24,
    "new_tokens": 6,
    "lengths": (24, 16),
    "answer_tokens": 4,
}
"""Settings of `--device cpu`: the same code, and figures that say nothing."""
