"""Train an adapter on a policy: `python -m stages.train --method sft|dpo --policy models/m0 ...`.

Runs LLaMA-Factory with the YAML of the method, the policy's chain as `adapter_name_or_path`, and the
numbers of `train.<method>` in the parameters. For DPO the chain is merged and a fresh adapter trained on
it, so the reference is the policy before training (theta' in equation 6; of a backbone, where table 5
begins, the backbone): at the first step both agree and all rewards are 0. This is checked in every run,
unless `train.dpo.ref_model` names another reference (a folder of weights, for example models/backbone):
then it is an experiment on what the reference is for.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stages.command import load_params, read_params, run
from stages.engines.merge import merged
from stages.engines.policy import Policy, read_policy, write_adapter
from stages.records.errors import InputError
from stages.records.fingerprint import digest_folder, digest_value
from stages.records.publish import publish_json, publishing
from stages.training.curves import read_log, summary, write_curves
from stages.training.datasets import write_dataset_info
from stages.training.hardware import Hardware, settle
from stages.training.llamafactory import follow, read_config, sample_counts, train

SCRATCH = Path(".scratch")
REWARD_TOLERANCE = 1e-3  # rewards at the first step are exactly 0 in float32; bfloat16 may round


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, train, check and publish the adapter, its curves and its metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", choices=("sft", "dpo"), required=True)
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
    launch, processes = hardware.launch, hardware.training.processes
    config = configuration(args, policy, hardware)
    inputs = {"config": config, "policy": policy.digest, "data": digest_folder(args.data)}
    inputs["hardware"] = hardware.training.model_dump()
    scratch = SCRATCH / "train" / digest_value(inputs)[:16]
    files = {name: args.data / f"{name}.jsonl" for name in ("train", "valid")}
    write_dataset_info(scratch / "data", files, ranking=args.method == "dpo")

    def check() -> dict[str, int]:
        return check_samples(args.data, scratch, config["cutoff_len"])

    config["dataset_dir"] = str(scratch / "data")
    with ExitStack() as stack:
        if hardware.training.merge and policy.adapters:
            config = on_merged(config, stack.enter_context(merged(policy, SCRATCH)))
        if launch.follows:
            follow(config, scratch, launch, processes)
            return
        output = train(config, scratch, check, launch, processes)
    log = read_log(output)
    metrics = {**check(), **summary(log)}
    if args.method == "dpo" and "ref_model" not in config:
        check_reference(metrics)
    with publishing(args.out) as folder:
        publish_adapter(output, folder, args.out, policy)
    write_curves(log, args.curves)
    publish_json(args.metrics, metrics)


def configuration(args: argparse.Namespace, policy: Policy, hardware: Hardware) -> dict[str, Any]:
    """Return LLaMA-Factory's arguments: the YAML, the parameters, the hardware, then model and data."""
    config = read_config(args.config, load_params("train", args.params)[args.method])
    overlay = hardware.training.config
    config = settle(config, read_config(overlay, {}) if overlay else {}, hardware.training)
    config |= {
        "model_name_or_path": policy.weights,
        "template": policy.backbone.template,
        "dataset": "train",
        "eval_dataset": "valid",
    }
    if policy.backbone.revision:
        config["model_revision"] = policy.backbone.revision
    if policy.adapters:
        config["adapter_name_or_path"] = ",".join(str(adapter) for adapter in policy.adapters)
        config["create_new_adapter"] = True
    return config


def on_merged(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the arguments with the merged weights of the policy in place of its chain.

    The adapter is trained on the merged weights, which are the chain below it: its parent stays the policy.
    """
    without = ("adapter_name_or_path", "create_new_adapter", "model_revision")
    kept = {key: value for key, value in config.items() if key not in without}
    return kept | {"model_name_or_path": str(folder)}


def check_samples(data: Path, scratch: Path, cutoff: int) -> dict[str, int]:
    """Return the numbers of samples; LLaMA-Factory must have kept every one, and cut none.

    Raises:
        InputError: it dropped samples, or one is as long as the cut-off, so that it may have been cut.
    """
    kept = sample_counts(scratch, cutoff)
    counts = {}
    for ours, theirs in (("train", "train"), ("valid", "validation")):
        with (data / f"{ours}.jsonl").open(encoding="utf-8") as file:
            given = sum(1 for line in file if line.strip())
        if kept.get(theirs) != given:
            message = f"LLaMA-Factory kept {kept.get(theirs)} of {given} samples; see its log in {scratch}"
            raise InputError(message, file=data / f"{ours}.jsonl")
        if kept[f"{theirs}_full"]:
            message = f"a sample does not fit cutoff_len {cutoff} and would be cut"
            raise InputError(message, file=data / f"{ours}.jsonl")
        counts[f"{ours}_samples"] = given
        counts[f"{ours}_longest_tokens"] = kept[f"{theirs}_longest"]
    return counts


def check_reference(metrics: dict[str, Any]) -> None:
    """Raise InputError unless policy and reference agree at the first step (rewards 0)."""
    for name in ("reward_chosen_first", "reward_rejected_first"):
        if name not in metrics:
            raise InputError("LLaMA-Factory logged no rewards: logging_first_step must be true", field=name)
        if abs(metrics[name]) > REWARD_TOLERANCE:
            message = f"is {metrics[name]} at the first step: the reference is not the policy trained on"
            raise InputError(message, field=name)


def publish_adapter(output: Path, folder: Path, final: Path, policy: Policy) -> None:
    """Copy the adapter, with what varies between equal runs put in order, and note its parent.

    PEFT writes the target modules in the order of a hash; `training_args.bin` is a pickle and stays.
    """
    folder.mkdir()
    adapter = json.loads((output / "adapter_config.json").read_text(encoding="utf-8"))
    adapter["target_modules"] = sorted(adapter["target_modules"])
    publish_json(folder / "adapter_config.json", adapter)
    shutil.copyfile(output / "adapter_model.safetensors", folder / "adapter_model.safetensors")
    parent = Path("..") / policy.folder.name
    if (final / parent).resolve() != policy.folder.resolve():
        parent = policy.folder.resolve()
    write_adapter(folder, parent.as_posix(), policy.digest)


if __name__ == "__main__":
    run(main)
