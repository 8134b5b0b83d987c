"""One device, a CUDA GPU or (to rehearse) the CPU: clock, memory, bandwidth, arithmetic, a model on it."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WANT_OF_MEMORY = ("not enough memory", "can't allocate memory", "bad_alloc", "memory does not suffice")


def timed(work: Callable[[], object], device: str) -> float:
    """Return the seconds of one run, from an idle device until it is idle again."""
    _wait(device)
    begin = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begin


def median_s(work: Callable[[], object], device: str, rounds: int) -> float:
    """Return the median seconds of so many runs, after one that is not counted."""
    work()
    return median(timed(work, device) for _ in range(rounds))


def copy_bandwidth(device: str, size: int, rounds: int) -> dict[str, Any]:
    """Copy `size` bytes on the device; bytes a second count each byte twice, read and written."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = median_s(lambda: target.copy_(source), device, rounds)
    return {"median_s": seconds, "bytes_s": 2 * size / seconds}


def matmul_rate(device: str, size: int, dtype: str, rounds: int) -> dict[str, Any]:
    """Multiply two square matrices; 2 x size^3 operations over the median seconds."""
    torch.manual_seed(1)
    left, right = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    seconds = median_s(lambda: left @ right, device, rounds)
    return {"median_s": seconds, "flops_s": 2 * size**3 / seconds}


def peak_mib(device: str) -> int:
    """Return the most MiB this process has held: what CUDA's allocator reserved, or resident on a CPU.

    Not in it, on a GPU: the CUDA context, some hundred MiB.
    """
    if device == "cuda":
        return torch.cuda.max_memory_reserved() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # KiB


def limit_memory(size: float) -> None:
    """Let this process have no more of the GPU than `size` bytes, less what is taken already.

    Taken are its CUDA context and whatever other processes hold. More than that runs out of memory, as on a
    smaller card; the allocator first gives back what it only keeps. A smaller GPU stays as it is.
    """
    torch.cuda.init()
    free, total = torch.cuda.mem_get_info()
    taken = total - free - torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, size - taken) / total))


def random_llama(
    sizes: Mapping[str, Any], longest: int, device: str, dtype: str, drawn: Sequence[int]
) -> PreTrainedModel:
    """Make a Llama with random weights (seed 1) on the device itself, in eval mode.

    Nothing passes through the CPU's memory. The output's rows of all tokens but `drawn` are 0: of some
    hundred tokens about half have positive logits, so that with top-k 50 none but `drawn` is ever sampled,
    no text ends early, and the arithmetic stays the same.

    Args:
        sizes: in LlamaConfig's names.
        longest: tokens of the longest sequence.
        device: `cuda` or `cpu`.
        dtype: torch's name.
        drawn: ids that may be sampled, more than a hundred.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig

    tokens = {"bos_token_id": None, "eos_token_id": None}
    config = LlamaConfig(**sizes, **tokens, max_position_embeddings=longest)
    torch.manual_seed(1)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    silent = torch.ones(config.vocab_size, dtype=torch.bool, device=device)
    silent[torch.tensor(drawn, device=device)] = False
    with torch.no_grad():
        model.get_output_embeddings().weight.masked_fill_(silent[:, None], 0)
    return model.eval()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, Python or an engine says that memory has run out."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(words in str(error) for words in WANT_OF_MEMORY)


def describe(device: str) -> dict[str, Any]:
    """Return what was measured on: the device and versions."""
    versions = {"torch": torch.__version__, "transformers": version("transformers")}
    if device != "cuda":
        return {"device": platform.machine(), "threads": torch.get_num_threads(), **versions}
    card = torch.cuda.get_device_properties(0)
    return {
        "device": card.name,
        "memory_mib": card.total_memory >> 20,
        "cuda": torch.version.cuda,
        **versions,
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
