"""A CUDA GPU or, to rehearse, the CPU: its clock and memory, and optimiser steps of SFT and DPO on it.

The steps are LLaMA-Factory's, with a LoRA adapter, on random tokens. It and PEFT are imported where they are
needed: `make bench` measures the memory of a process without them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from bench.measuring import SETTINGS, resident_peak_mib
from bench.workloads import random_policy
from selfevolve.policies.policy import LoadedPolicy
from selfevolve.runtime.parameters import Params, validate
from selfevolve.runtime.run_record import hardware
from selfevolve.training.memory import Shape

WANT_OF_MEMORY = ("not enough memory", "can't allocate memory", "bad_alloc", "memory does not suffice")

IGNORED = -100
Batch = tuple[torch.Tensor, torch.Tensor]
"""Token ids and labels, shape (sequences, tokens); labels are `IGNORED` but for the answers'."""


class Setting(Params):
    """Section `gpu` of settings.yaml."""

    device: str
    dtype: str
    sizes: dict[str, Any]
    rounds: int
    copy_bytes: int
    matmul: int
    rows: list[int]
    prompt_tokens: int
    new_tokens: int
    lengths: list[int]
    answer_tokens: int
    batch: int
    accumulation: int
    rank: int
    limit_gb: float
    server: str
    server_needs: str

    def load(self) -> LoadedPolicy:
        """Make the model; its window holds a prompt and its answer (a word may add a few tokens)."""
        window = max(self.prompt_tokens + 64 + self.new_tokens, *self.lengths)
        return random_policy(self.sizes, window, self.device, self.dtype)

    def timed(self, work: Callable[[], object]) -> float:
        """Return the seconds of one run, from an idle device until it is idle again."""
        wait = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        wait()
        begin = time.perf_counter()
        work()
        wait()
        return time.perf_counter() - begin

    def median_s(self, work: Callable[[], object], times: int = 1) -> float:
        """Return the median seconds of all rounds, or of `times` as many, after a run that does not count."""
        work()
        return median(self.timed(work) for _ in range(times * self.rounds))

    def peak_mib(self) -> int:
        """Return the most MiB that CUDA's allocator reserved, or on a CPU the resident ones."""
        return torch.cuda.max_memory_reserved() >> 20 if self.device == "cuda" else resident_peak_mib()


def setting_of(kind: str, changes: Mapping[str, Any]) -> Setting:
    """Return the setting of `cuda` or `cpu`, with changes; raise InputError for those that are none."""
    own = SETTINGS["gpu"]["cpu"] if kind == "cpu" else {}
    return validate(Setting, {**SETTINGS["gpu"]["cuda"], **own, **changes}, section="--setting")


def limit_memory(size: float) -> None:
    """Let this process hold no more of the GPU than `size` bytes, less its context and other processes."""
    torch.cuda.init()
    free, total = torch.cuda.mem_get_info()
    taken = total - free - torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, size - taken) / total))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch, Python or an engine says that memory has run out."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in WANT_OF_MEMORY)


def describe(device: str) -> dict[str, Any]:
    """Return the machine, its GPU if that is measured, and the versions of torch and transformers."""
    found: dict[str, Any] = {**hardware(), "threads": torch.get_num_threads()}
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        found |= {"device": card.name, "memory_mib": card.total_memory >> 20, "cuda": torch.version.cuda}
    return {**found, "torch": torch.__version__, "transformers": version("transformers")}


def bytes_read(shape: Shape, size: int, rows: int, prompt: int, new: int) -> int:
    """Return the least bytes that all decoding steps but the first read: weights, and keys and values.

    Every step reads all weights once (but looks up an embedding that is not also the output), and step i
    attends to `prompt` + i tokens of each of the `rows` texts. A number has `size` bytes.
    """
    steps = new - 1
    weights = shape.parameters - (0 if shape.tied else shape.embedding)
    attended = steps * prompt + steps * (steps + 1) // 2
    return steps * weights * size + shape.cache_bytes(rows * attended, size)


class Training:
    """A model with a fresh adapter on all of its linear layers but the output, and AdamW."""

    def __init__(self, model: Any, rank: int, learning_rate: float = 5e-6):
        """Take a model: freeze its weights, turn on gradient checkpointing, add a float32 adapter."""
        from peft import LoraConfig, get_peft_model

        model.config.use_cache = False
        model.gradient_checkpointing_enable({"use_reentrant": False})
        settings = LoraConfig(
            r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(model, settings).train()
        self.model.enable_input_require_grads()
        self._trained = [p for p in self.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, lr=learning_rate)
        self._mixed = model.dtype == torch.bfloat16

    def step(self, loss: Callable[[Any, Batch], torch.Tensor], batches: Sequence[Batch]) -> float:
        """Take one optimiser step over the batches; return the mean loss."""
        total = torch.zeros((), device=self.model.device)
        for batch in batches:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._mixed):
                part = loss(self.model, batch) / len(batches)
            part.backward()
            total += part.detach()
        torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(total)


def flops(shape: Shape, kind: str, batches: Sequence[Batch]) -> float:
    """Return the floating point operations that one step needs, by the formula in docs/speed.md."""
    dense = 2 * (shape.matrices + shape.embedding)
    scores = 2.0 * shape.layers * shape.heads * shape.head * batches[0][0].shape[1]
    forward, backward = dense + scores, dense + 2 * scores
    tokens = sum(ids.numel() for ids, _ in batches)
    return tokens * (forward * (2 if kind == "dpo" else 1) + backward)


def batches(kind: str, setting: Setting, length: int) -> list[Batch]:
    """Return the random batches of one step (seed 1); those of DPO hold the chosen half first."""
    torch.manual_seed(1)
    sequences = setting.batch * (2 if kind == "dpo" else 1)
    made = []
    for _ in range(setting.accumulation):
        ids = torch.randint(setting.sizes["vocab_size"], (sequences, length), device=setting.device)
        labels = torch.full_like(ids, IGNORED)
        labels[:, -setting.answer_tokens :] = ids[:, -setting.answer_tokens :]
        made.append((ids, labels))
    return made


def sft_loss(model: Any, batch: Batch) -> torch.Tensor:
    """Return the mean cross entropy of the answers' tokens."""
    ids, labels = batch
    return model(input_ids=ids, labels=labels).loss


def dpo_loss(model: Any, batch: Batch, beta: float = 0.1, gamma: float = 1.0) -> torch.Tensor:
    """Return DPO's loss (paper, equations 6 to 8); the reference is the model without its adapter.

    As in LLaMA-Factory, chosen and rejected share one forward pass, logits of all tokens are float32, the
    policy's stay in memory while the reference runs, and `gamma` weighs the mean NLL of the chosen tokens.
    """
    from llamafactory.train.trainer_utils import get_batch_logps

    ids, labels = batch
    logits = model(input_ids=ids).logits.float()
    policy, tokens = get_batch_logps(logits, labels)
    with torch.no_grad(), model.disable_adapter():
        reference, _ = get_batch_logps(model(input_ids=ids).logits.float(), labels)
    chosen, rejected = (policy - reference).chunk(2)
    supervised = -(policy / tokens).chunk(2)[0]
    return (-logsigmoid(beta * (chosen - rejected)) + gamma * supervised).mean()


LOSSES: dict[str, Callable[[Any, Batch], torch.Tensor]] = {"sft": sft_loss, "dpo": dpo_loss}
