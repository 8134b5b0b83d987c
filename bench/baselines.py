"""The engine, and what it is compared with: `model.generate`, LLaMA-Factory and distilabel.

The engine and `model.generate` sample with the same sampler and seeds, so they write the same tokens. The
other programs have samplers of their own, so beside them all decode greedily; their chat templates and sums
differ a little, so lengths may.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from transformers import LogitsProcessor

from bench.measuring import SETTINGS, Contestant, Timed, run_child
from selfevolve.engines.local.engine import TransformersEngine
from selfevolve.engines.local.sampler import Sampler, uniforms
from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import Engine, Request, Sampling, complete
from selfevolve.policies.policy import LoadedPolicy
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Conversation, Message, sharegpt
from selfevolve.runtime.files import read_json
from selfevolve.training.datasets import write_dataset_info

BATCH_TOKENS = 32768  # conf/engine/transformers.yaml
AT_ONCE = SETTINGS["do_predict"]["per_device_eval_batch_size"]
PYTHON = Path(".venv-bench/bin/python")  # has distilabel, and rouge_chinese, which do_predict needs
DISTILABEL = Path(__file__).with_name("distilabel_run.py")
OFFLINE = {"HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Job:
    """What every contestant does: answer these requests with this model and sampling."""

    loaded: LoadedPolicy
    requests: Sequence[Request]
    sampling: Sampling

    def lengths(self, texts: Sequence[str]) -> dict[str, int]:
        """Return the tokens of each request's text; counted alike for all contestants."""
        encoded = self.loaded.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return {r.id: len(row) for r, row in zip(self.requests, encoded, strict=True)}

    def ask(self, engine: Engine) -> dict[str, int]:
        """Return the tokens of each request's text as an engine writes it."""
        texts = {r.id: r.text for batch in complete(engine, self.requests, self.sampling) for r in batch}
        return self.lengths([texts[request.id] for request in self.requests])


def ours(job: Job) -> Contestant:
    """Return the engine, fresh in every round: tokenisation and planning count.

    It has a copy of the model, since it changes its attention and its linear layers.
    """
    loaded = replace(job.loaded, model=deepcopy(job.loaded.model))
    return lambda: job.ask(TransformersEngine(loaded, BATCH_TOKENS))


def in_batches(job: Job, size: int) -> Contestant:
    """Return `model.generate` on `size` requests at a time, in the order of the list."""

    def write() -> Mapping[str, int]:
        template = ChatTemplate(job.loaded.tokenizer, job.loaded.template)
        starts = range(0, len(job.requests), size)
        parts = (_generate(job, template, job.requests[start : start + size]) for start in starts)
        return job.lengths([text for part in parts for text in part])

    return write


def do_predict(job: Job, scratch: Path) -> Contestant:
    """Return `llamafactory-cli train` with `do_predict`; its own `predict_runtime` counts, not its start.

    That time includes LLaMA-Factory's loop, and its text metrics of the answers.
    """
    data, out, settings = scratch / "test.jsonl", scratch / "predicted", scratch / "predict.yaml"
    write_records(data, (_conversation(n, request.messages) for n, request in enumerate(job.requests)))
    write_dataset_info(scratch, {"test": data}, ranking=False)
    config = {
        **SETTINGS["do_predict"],
        **job.loaded.policy.arguments(),
        "cutoff_len": job.loaded.policy.backbone.window,
        "max_new_tokens": job.sampling.max_new_tokens,
        "dataset_dir": str(scratch),
        "output_dir": str(out),
    }
    settings.write_text(yaml.safe_dump(config), encoding="utf-8")

    def write() -> Timed:
        run_child([str(PYTHON), "-m", "llamafactory.cli", "train", str(settings)], OFFLINE)
        rows = (out / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
        seconds = read_json(out / "predict_results.json")["predict_runtime"]
        return Timed(seconds, job.lengths([json.loads(row)["predict"] for row in rows]))

    return write


def distilabel(job: Job, scratch: Path) -> Contestant:
    """Return distilabel's TransformersLLM in an environment of its own; its start does not count."""
    asked = scratch / "asked.json"
    asked.write_text(json.dumps([[m.model_dump() for m in request.messages] for request in job.requests]))
    arguments = (job.loaded.policy.weights, asked, job.sampling.max_new_tokens, AT_ONCE)

    def write() -> Timed:
        found = json.loads(run_child([str(PYTHON), str(DISTILABEL), *map(str, arguments)], OFFLINE))
        return Timed(found["seconds"], job.lengths(found["texts"]))

    return write


@contextmanager
def api(job: Job) -> Iterator[Contestant]:
    """Give `llamafactory-cli api`, which starts when it is first asked and ends with the block."""
    with open_engine({**SETTINGS["api"], "concurrency": AT_ONCE}, job.loaded.policy.folder) as (engine, _):
        yield lambda: job.ask(engine)


class SeededSampler(LogitsProcessor):
    """Lets a batch of `model.generate` draw what the engine draws: greedy search among one token a row."""

    def __init__(
        self, sampling: Sampling, seeds: Sequence[int], prompts: Sequence[Sequence[int]], device: torch.device
    ):
        """Take a batch, a seed and a prompt a row; prompts are padded to the length of the longest."""
        self.sampler = Sampler(sampling, len(prompts), device)
        for slot, prompt in enumerate(prompts):
            self.sampler.begin(slot, prompt)
        self.uniforms = [uniforms(seed, sampling.max_new_tokens) for seed in seeds]
        self.length = max(map(len, prompts))

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return scores, shape (rows, vocabulary), that are -inf for all but the chosen token of each row."""
        step = input_ids.shape[1] - self.length
        chosen = self.sampler.next_tokens(scores, [numbers[step] for numbers in self.uniforms], 0)
        at = torch.tensor(chosen, device=scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter_(1, at, 0.0)


def _generate(job: Job, template: ChatTemplate, batch: Sequence[Request]) -> list[str]:
    model, tokenizer = job.loaded.model, job.loaded.tokenizer
    prompts = [template.encode(request.messages) for request in batch]
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(model.device)
    seeds = [request.seed for request in batch]
    sampler = SeededSampler(job.sampling, seeds, prompts, model.device)
    with torch.inference_mode():
        output = model.generate(
            **padded,
            do_sample=False,
            max_new_tokens=job.sampling.max_new_tokens,
            eos_token_id=sorted({*template.stop_ids, *job.loaded.end_ids}),
            pad_token_id=tokenizer.pad_token_id,
            logits_processor=[sampler],
        )
    return template.decode_all(output[:, sampler.length :].tolist())


def _conversation(number: int, messages: Sequence[Message]) -> Conversation:
    """Return a request for LLaMA-Factory, which wants an answer and does not show it to the model."""
    turns = [m for m in messages if m.role != "system"] + [Message(role="assistant", content=".")]
    system = "".join(m.content for m in messages if m.role == "system")
    return Conversation(id=f"{number:06}", system=system, conversations=sharegpt(turns))
