"""A small random Qwen2 in a GGUF file, as llama.cpp's converter would write it."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

NAMES = {  # of a layer's tensors
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def tensor_name(name: str) -> str:
    """Return llama.cpp's name of a tensor of Qwen2ForCausalLM."""
    if name in WHOLE:
        return WHOLE[name]
    _, _, number, rest = name.split(".", 3)
    for theirs, ours in NAMES.items():
        if rest.startswith(theirs):
            return f"blk.{number}.{ours}{rest.removeprefix(theirs)}"
    raise KeyError(name)


def write_gguf(file: Path, tokenizer_folder: Path, without: tuple[str, ...] = (), **changes: Any) -> Any:
    """Write a random model of 512 tokens' window with this tokenizer; return the model.

    Args:
        file: Where to.
        tokenizer_folder: A byte-level BPE tokenizer with a chat template.
        without: Keys of the header to be left out.
        changes: `architecture`, or `eos` (a token's id), other than they should be.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    model = Qwen2ForCausalLM(config)
    writer = gguf.GGUFWriter(str(file), changes.get("architecture", "qwen2"))
    writer.add_name("small")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(tokenizer.all_special_ids)
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if n in special else kinds.NORMAL for n in range(len(tokens))])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    if "bos" not in without:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if "eos" not in without:
        writer.add_eos_token_id(changes.get("eos", tokenizer.eos_token_id))
    if "chat_template" not in without:
        writer.add_chat_template(tokenizer.chat_template)
    for name, tensor in model.state_dict().items():
        values = tensor.float().numpy().astype(np.float32)
        if values.ndim == 2 and name.startswith("model.layers"):
            quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(tensor_name(name), quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(tensor_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model
