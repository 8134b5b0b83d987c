"""What the benchmarks run: the pipeline's requests, on dialogues of the mini world, and the models."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from bench.measuring import SETTINGS
from selfevolve.data.contexts import contexts
from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.policy import Backbone, LoadedPolicy, Policy, load_policy, write_backbone
from selfevolve.policies.window import ChatTemplate
from selfevolve.prompts.requests import refine_messages, response_messages
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.schema import Dialogue, Turn
from testbed import lessons

PROMPTS, TINY, TEMPLATE, WINDOW = "prompts/tiny", Path("testbed/tiny"), "llama3", 1120
WORDS = ("work", "sleep", "sister", "exam", "money", "friend", "alone", "move", "angry", "quiet", "home")


def requests_of(work: Mapping[str, Any], seed: int = 42) -> list[Request]:
    """Return the pipeline's requests for dialogues of the mini world, in the order of their files.

    Each dialogue gives all contexts that training would take, or one of them. A response has the task prompt
    and the history; a reflection has the instructions, the history and the response to refine. `work` is an
    entry of `work` in settings.yaml, or `real`, which names a set of prompts.
    """
    prompts = load_prompts(work.get("prompts", PROMPTS))
    made: list[Request] = []
    number = 0
    while len(made) < work["count"]:
        draw = random.Random(f"{seed}/{number}")
        said = lessons.session("mixed", draw, held_out=True).utterances
        turns = [Turn(role=u.role, text=u.text) for u in said]
        found = contexts(Dialogue(id=f"r{number}", source="mini", turns=turns), 1, 2)
        for context in draw.sample(found, 1) if work.get("scattered") else found:
            if work.get("reflect"):
                asked = refine_messages(prompts, context.messages, context.golden)
            else:
                asked = response_messages(prompts, "task", context.messages)
            made.append(Request.make(context.id, asked, seed))
        number += 1
    return made[: work["count"]]


def sampling_of(name: str, new_tokens: int) -> Sampling:
    """Return an entry of `sampling` in settings.yaml, for texts of at most so many tokens."""
    return Sampling(**SETTINGS["sampling"][name], max_new_tokens=new_tokens)


def tiny_policy(folder: Path) -> LoadedPolicy:
    """Load the trained weights in testbed/tiny, as a policy in `folder`."""
    backbone = Backbone(weights=str(TINY.resolve()), template=TEMPLATE, dtype="float32", window=WINDOW)
    write_backbone(folder, backbone)
    return load_policy(folder)


def random_policy(
    sizes: Mapping[str, Any], window: int = WINDOW, device: str = "cpu", dtype: str = "float32"
) -> LoadedPolicy:
    """Make a Llama with random weights (seed 1) on its device, with the tokenizer of the tiny backbone.

    The output's rows of all but text tokens are 0. About half of the text tokens have positive logits, so
    with top-k 50 no other token is sampled and no text ends early. `sizes` are in LlamaConfig's names.
    """
    tokenizer = AutoTokenizer.from_pretrained(TINY, local_files_only=True, padding_side="left")
    stops = ChatTemplate(tokenizer, TEMPLATE).stop_ids
    never = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids, *stops}
    ends = {"bos_token_id": None, "eos_token_id": None}
    config = LlamaConfig(**sizes, **ends, max_position_embeddings=window)
    torch.manual_seed(1)
    with torch.device(device), torch.no_grad():
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
        silent = torch.arange(config.vocab_size) >= len(tokenizer)
        silent[torch.tensor(sorted(never))] = True
        model.get_output_embeddings().weight.masked_fill_(silent[:, None], 0)
    backbone = Backbone(weights=".", template=TEMPLATE, dtype=dtype, window=window)
    return LoadedPolicy(model.eval(), tokenizer, Policy(TINY, backbone, TINY, (), "random"))
