"""How seconds and memory grow with the number of contexts, on a model next to nothing, with its journal."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from stages.benching.contestants import engine_of
from stages.engines.generate import generate
from stages.engines.policy import LoadedPolicy
from stages.engines.request import Request, Sampling
from stages.records.schema import Message

BATCH_TOKENS = 16384
WORDS = ("work", "sleep", "sister", "exam", "money", "friend", "alone", "move", "angry", "quiet", "home")


def grow(loaded: LoadedPolicy, count: int, scratch: Path) -> dict[str, Any]:
    """Answer `count` contexts of one to eleven words with one token; run it in a process of its own.

    Returns:
        seconds with journal and tokenisation, the answers, and the most resident memory in MiB, before the
        first context and in the end.
    """
    before = _peak_mib()
    requests = [
        Request.make(f"r{n}", [Message(role="user", content=" ".join(WORDS[: 1 + n % 11]))], 42)
        for n in range(count)
    ]
    sampling = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=1)
    begin = time.perf_counter()
    answered = len(generate(engine_of(loaded, BATCH_TOKENS), requests, sampling, "grow", scratch))
    seconds = round(time.perf_counter() - begin, 3)
    return {
        "seconds": [seconds],
        "median_s": seconds,
        "answered": answered,
        "start_mib": before,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> int:
    """The most resident memory of this program: getrusage's also has that of whoever started it (Linux)."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) // 1024
