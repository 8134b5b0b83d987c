"""A backbone with random weights."""

from pathlib import Path


def random_backbone(folder: Path, texts: list[str], vocabulary: int, window: int) -> Path:
    """Make a policy folder of a random Llama, with a tokenizer for these texts; return the folder."""
    import torch  # here: conftest.py imports this module, and most tests need no model
    from transformers import LlamaConfig, LlamaForCausalLM

    from selfevolve.policies.policy import Backbone, write_backbone
    from testbed import pretrain

    folder.mkdir(parents=True)
    size = pretrain.build_tokenizer(texts, vocabulary, window, folder)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    pretrain.write_config(sizes, size, window, folder)
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig.from_pretrained(folder)).save_pretrained(folder)
    write_backbone(folder, Backbone(weights=".", template="llama3", dtype="float32", window=window))
    return folder
