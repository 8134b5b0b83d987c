"""Measure what a policy can still do besides emotional support, with lm-evaluation-harness (Table 4).

The smoke tasks and local rows (`data_dir`, laid out `<benchmark>/<split>.jsonl` in the fields of the
Hugging Face data sets) need no network; other tasks come from the Hub. Of a model that the table does not
have (`--measure false`), and where the parameters name no task, the report has no scores, and the policy is
not loaded.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from selfevolve.benchmarks.measure import Settings, go_offline, measure
from selfevolve.benchmarks.tasks import check_names, needs_hub
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments, load the policy, measure it and publish the report."""
    parser = argparse.ArgumentParser(prog="python -m stages.capability", description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True, help="a policy folder, such as models/m1")
    parser.add_argument("--out", type=Path, required=True, help="the report, JSON")
    parser.add_argument("--measure", choices=("true", "false"), default="true")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    settings = read_params("capability", Settings, args.params)
    if args.measure == "false" or not settings.tasks:
        publish_json(args.out, {"measured": False, "score": {}})
        return
    check_names(settings.tasks, settings.data_dir)  # before the model, which can take minutes to load
    if not needs_hub(settings.tasks, settings.data_dir):
        go_offline()
    from selfevolve.policies.policy import load_policy

    policy = load_policy(args.policy)
    report = measure(policy.model, policy.tokenizer, settings)
    publish_json(args.out, {"policy": policy.digest, **report})
    for name, reason in report["not_available"].items():
        print(f"capability: {name} left out: {reason}")
    scores = ", ".join(f"{name} {value}" for name, value in report["score"].items())
    print(f"capability: {scores} -> {args.out}")


if __name__ == "__main__":
    run(main)
