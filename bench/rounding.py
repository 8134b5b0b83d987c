"""What merging adapters into rounded weights loses: `python -m bench.rounding --policy models/m1 ...`.

The exact policy has the backbone's weights in float32 and the adapters merged into them, and computes in
float32. It is compared with what can be run in the backbone's own precision, on the chosen answers of
preference pairs. docs/paper.md says what the columns mean.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import kl_div, log_softmax
from transformers import PreTrainedModel

from bench.baselines import Job, ours
from bench.measuring import take_turns
from bench.workloads import sampling_of
from selfevolve.generation.request import Request
from selfevolve.policies.policy import LoadedPolicy, load_policy
from selfevolve.policies.unmerged import UPDATES, merge_once
from selfevolve.policies.window import ChatTemplate
from selfevolve.records.jsonl import read_records
from selfevolve.records.schema import Message, Preference
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json

TIMED, NEW_TOKENS = 4, 16  # the answers whose writing is timed, and their length
EXACT, NOTHING = "exact", "backbone alone"
ROLES = {"human": "user", "gpt": "assistant"}
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Sample:
    """An answer in its context: token ids, shape (1, tokens), and where the answer begins."""

    messages: list[Message]
    ids: torch.Tensor
    start: int


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every way to run the policy and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True, help="a chain of adapters, such as models/m1")
    parser.add_argument("--pairs", type=Path, required=True, help="preference pairs (JSONL)")
    parser.add_argument("--count", type=int, default=16, help="how many of them")
    parser.add_argument("--rounds", type=int, default=0, help="how often the engine's speed is measured")
    parser.add_argument("--out", type=Path, required=True, help="the results (JSON)")
    args = parser.parse_args(argv)
    loaded = load_policy(args.policy)
    if loaded.model.dtype == torch.float32:
        raise InputError("in float32 nothing is rounded", file=args.policy, field="dtype")
    samples = samples_of(args.pairs, ChatTemplate(loaded.tokenizer, loaded.template), args.count)
    rows, models = measure(loaded, samples)
    if args.rounds:
        for name, speed in speeds(loaded, models, samples[:TIMED], args.rounds).items():
            rows[name]["tokens_per_s"] = speed
    publish_json(args.out, {"pairs": len(samples), "rms_b": rms_of_b(loaded.model), "rows": rows})
    columns = [*rows[EXACT], "tokens_per_s"]
    print("\t".join(["", *columns]))
    for name, row in rows.items():
        print("\t".join([name, *(f"{row[column]:.4g}" if column in row else "" for column in columns)]))


def samples_of(file: Path, template: ChatTemplate, count: int) -> list[Sample]:
    """Return the first chosen answers of a file of preference pairs."""
    made = []
    for pair in read_records(file, Preference)[:count]:
        said = [Message(role=ROLES[turn.from_], content=turn.value) for turn in pair.conversations]
        messages = [*([Message(role="system", content=pair.system)] if pair.system else []), *said]
        ids = template.encode(messages, answer=pair.chosen.value)
        made.append(Sample(messages, torch.tensor([ids]), len(template.encode(messages))))
    return made


def measure(
    loaded: LoadedPolicy, samples: Sequence[Sample]
) -> tuple[dict[str, dict[str, float]], dict[str, PreTrainedModel]]:
    """Return a row of every way to run the policy, and the models of those ways that keep some update."""
    policy, dtype = loaded.policy, loaded.model.dtype
    exact = load_policy(policy.folder, "float32").model
    backbone = load_policy(policy.backbone_folder).model
    ways: dict[str, Callable[[], PreTrainedModel]] = {
        NOTHING: lambda: backbone,
        "merged one by one": lambda: merged_one_by_one(loaded),
        "merged once": lambda: merged_once(loaded),
        "unmerged": lambda: loaded.model,
    }
    base, whole = weights_of(backbone), weights_of(exact)
    wanted = log_probabilities(exact, samples)
    rows: dict[str, dict[str, float]] = {EXACT: {"kept": 1.0, "noise": 0.0, "loss": loss(wanted, samples)}}
    models = {}
    for name, make in ways.items():
        model = make()
        row = kept(base, whole, weights_of(model))
        in_own = log_probabilities(model, samples)
        in_float32 = log_probabilities(model.float(), samples)
        model.to(dtype)  # exact: all of these numbers came from there
        rows[name] = row | {
            "loss": loss(in_own, samples),
            "kl": divergence(wanted, in_own),
            "kl_float32": divergence(wanted, in_float32),
        }
        models |= {} if name == NOTHING else {name: model}
    rows[EXACT] |= {"kl": 0.0, "kl_float32": 0.0}
    return rows, models


def merged_one_by_one(loaded: LoadedPolicy) -> PreTrainedModel:
    """Return the backbone with each adapter merged into weights of its own precision, as PEFT does it."""
    model: Any = load_policy(loaded.policy.backbone_folder).model
    for adapter in loaded.policy.adapters:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        del model.peft_config
    return model


def merged_once(loaded: LoadedPolicy) -> PreTrainedModel:
    """Return the backbone with all adapters added in float32 and the sum rounded, as the export does it."""
    model = load_policy(loaded.policy.folder).model
    merge_once(model)
    return model


def weights_of(model: PreTrainedModel) -> Weights:
    """Return what every linear layer multiplies by, in float32."""
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            found[name] = layer.weight.detach().float().clone()
            for update in getattr(layer, UPDATES, ()):
                found[name] += update.scaling * update.up.float() @ update.down.float()
    return found


def rms_of_b(model: PreTrainedModel) -> float:
    """Return the root mean square of all numbers in the adapters' B, which begin at 0."""
    squares = [update.up.float().square() for m in model.modules() for update in getattr(m, UPDATES, ())]
    return torch.cat([square.flatten() for square in squares]).mean().sqrt().item()


def kept(base: Weights, exact: Weights, actual: Weights) -> dict[str, float]:
    """Return the share of the update along itself, and the length of what else differs over the update's.

    With D the exact change of all weights and d the actual one: <d, D> / <D, D>, and |d - share D| / |D|.
    """
    along = square = own = 0.0
    for name, start in base.items():
        wanted, made = exact[name] - start, actual[name] - start
        along += (wanted * made).sum(dtype=torch.float64).item()
        square += (wanted * wanted).sum(dtype=torch.float64).item()
        own += (made * made).sum(dtype=torch.float64).item()
    share = along / square
    return {"kept": share, "noise": max(0.0, own / square - share**2) ** 0.5}


def speeds(
    loaded: LoadedPolicy, models: Mapping[str, PreTrainedModel], samples: Sequence[Sample], rounds: int
) -> dict[str, float]:
    """Return the tokens a second that the local engine writes with each model, in turn."""
    requests = [Request.make(str(n), sample.messages, n) for n, sample in enumerate(samples)]
    sampling = sampling_of("greedy", NEW_TOKENS)
    jobs = {name: Job(replace(loaded, model=model), requests, sampling) for name, model in models.items()}
    timed = take_turns({name: ours(job) for name, job in jobs.items()}, rounds, same_lengths=False)
    return {name: result["tokens_per_s"] for name, result in timed.items()}


@torch.inference_mode()
def log_probabilities(model: PreTrainedModel, samples: Sequence[Sample]) -> list[torch.Tensor]:
    """Return each answer's log-probabilities of all tokens in float32, shape (answer tokens, vocabulary)."""
    found = []
    for sample in samples:
        logits = model(sample.ids.to(model.device), use_cache=False).logits[0, sample.start - 1 : -1]
        found.append(log_softmax(logits.float(), dim=-1).cpu())
    return found


def loss(found: Sequence[torch.Tensor], samples: Sequence[Sample]) -> float:
    """Return the mean over answers of the negative log-likelihood a token, in nats."""
    chosen = (sample.ids[0, sample.start :, None] for sample in samples)
    return mean(-rows.gather(1, ids).mean().item() for rows, ids in zip(found, chosen, strict=True))


def divergence(exact: Sequence[torch.Tensor], actual: Sequence[torch.Tensor]) -> float:
    """Return the mean over the answers' tokens of KL(exact || actual), in nats."""
    pairs = zip(exact, actual, strict=True)
    return torch.cat([kl_div(a, e, reduction="none", log_target=True).sum(1) for e, a in pairs]).mean().item()


if __name__ == "__main__":
    run(main)
