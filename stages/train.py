"""Train an adapter on a policy: `python -m stages.train --method sft|dpo|rm --policy models/m0 ...`.

Runs LLaMA-Factory with the YAML of the method, the policy's chain of adapters, and the numbers of
`train.<method>` in the parameters. For DPO the chain is frozen and a fresh adapter trained on top of it,
so the reference is the policy before training (theta' in equation 6; of a backbone, where table 5 begins,
the backbone): at the first step both agree and all rewards are 0. This is checked in every run, unless
the loss (`train.dpo.pref_loss`) has no reference, or `train.dpo.ref_model` names another one (a folder of
weights, for example models/backbone): then it is an experiment on what the reference is for. `reference`
in the metrics says which of these it was.

`rm` trains a reward model: beside the adapter a value head, which lies in the policy's folder too. Without
checkpoints (llamafactory_configs/rm.yaml says why) a killed training begins anew.

The metrics say which step was kept, of how many, and why; and under `kept` what the published adapter does on
the held-out data, each number a mean with its interval over dialogues. `kept.eval_loss_logged` is what the
Trainer logged at the kept step: in float32 the stage fails if the adapter has another loss.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from selfevolve.policies.merge import merged
from selfevolve.policies.policy import read_policy
from selfevolve.runtime.command import run
from selfevolve.runtime.digests import digest_folder, digest_value
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params
from selfevolve.training.configuration import Hardware, method_arguments, policy_arguments
from selfevolve.training.datasets import check_samples, dataset_arguments
from selfevolve.training.evaluation import check_agreement, evaluate
from selfevolve.training.llamafactory import follow, train
from selfevolve.training.losses import read_loss
from selfevolve.training.memory import require_memory
from selfevolve.training.results import (
    check_reference,
    first_values,
    kept_step,
    logged_eval_loss,
    publishing_adapter,
    read_log,
    write_curves,
)

SCRATCH = Path(".scratch")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, train, check and publish the adapter, its curves and its metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", choices=("sft", "dpo", "rm"), required=True)
    parser.add_argument("--config", type=Path, required=True, help="LLaMA-Factory YAML")
    parser.add_argument("--policy", type=Path, required=True, help="what to train on")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and valid.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--curves", type=Path, required=True, help="training curves (CSV)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    policy = read_policy(args.policy)
    hardware = read_params("hardware", Hardware, args.params)
    parameters = load_params("train", args.params)[args.method]
    section = f"train.{args.method} in {args.params}"
    method = method_arguments(args.config, parameters, hardware.training, section)
    inputs = {"method": method, "policy": policy.digest, "data": digest_folder(args.data)}
    inputs["hardware"] = hardware.training.model_dump()
    scratch = SCRATCH / "train" / digest_value(inputs)[:16]
    dataset = dataset_arguments(scratch / "data", args.data, ranking=args.method != "sft")

    def check() -> dict[str, int]:
        return check_samples(args.data, scratch, method["cutoff_len"])

    def check_before() -> None:
        require_memory(policy, method, hardware, check()["train_longest_tokens"])

    with ExitStack() as stack:
        merge = hardware.training.merge and policy.adapters and policy.merges
        weights = stack.enter_context(merged(policy, SCRATCH)) if merge else None
        arguments = method | policy_arguments(policy, weights) | dataset
        if hardware.launch.follows:
            follow(arguments, scratch, hardware.launch, hardware.training.processes)
            return
        output = train(arguments, scratch, check_before, hardware.launch, hardware.training.processes)
    log = read_log(output)
    metrics = {**check(), **kept_step(output, method), **first_values(log)}
    if args.method == "dpo":
        metrics["reference"] = check_reference(metrics, read_loss(method, section))
    logged = logged_eval_loss(log, metrics["kept_step"])
    with publishing_adapter(output, args.out, policy) as adapter:
        kept = evaluate(adapter, policy, method, args.data, scratch)
        check_agreement(kept, logged, method, policy, hardware.training.processes)
    write_curves(log, args.curves)
    publish_json(args.metrics, {**metrics, "kept": {**kept, "eval_loss_logged": logged}})


if __name__ == "__main__":
    run(main)
