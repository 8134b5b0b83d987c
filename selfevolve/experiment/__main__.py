"""Make, measure and keep everything up to one model: `python -m selfevolve.experiment m2`.

This is what `make m2` calls. It resolves params.yaml, runs `dvc repro` on the stages that measure vanilla, M0
and every model up to the one named, saves the result with `dvc exp save`, and prints the table. With `tables`
in place of a model, as `make tables` does, the stages are those of every model of the paper's tables, and of
figures 5 and 6.
"""

import argparse
from pathlib import Path

from selfevolve.experiment.checkout import require_checkout
from selfevolve.experiment.compose import GROUPS, PARAMS, resolve_params
from selfevolve.experiment.pipeline import METRICS, repro, save
from selfevolve.experiment.registry import Registry, read_registry
from selfevolve.report.console import print_sample, print_table
from selfevolve.runtime.command import run
from selfevolve.runtime.ending import ending_whole
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import load_params
from selfevolve.training.losses import read_loss

TABLES = "tables"
ANALYSES = "stages/analyses/dvc.yaml"


def main() -> None:
    """Read the command line, and end all of the run however it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help=f"the last model to make and measure: m0, m1, m2 ... or {TABLES}")
    for group in GROUPS:
        parser.add_argument(f"--{group}", default="", help=f"a file of conf/{group}/ without .yaml")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="single parameters")
    parser.add_argument("--name", default="", help="the experiment's name")
    args = parser.parse_args()
    require_checkout()
    with ending_whole():
        make(args)


def make(args: argparse.Namespace) -> None:
    """Resolve the parameters, run, save and print what the command line asks for."""
    groups = {group: getattr(args, group) for group in GROUPS if getattr(args, group)}
    whole = args.model == TABLES
    headline = [] if whole else [f"headline={args.model}"]  # of the tables no model is the last: it stays
    resolve_params(groups, [*headline, *args.set])
    registry = read_registry()
    read_loss(load_params("train", PARAMS)["dpo"], f"train.dpo in {PARAMS}")  # before M0 is made for nothing
    models = list(registry.models) if whole else registry.chain(args.model)
    print(f"parameters: {described(PARAMS)}", flush=True)
    repro(everything(registry) if whole else registry.targets(models))
    name = args.name or "-".join([*dict.fromkeys(groups.values()), args.model])
    save(name)
    print_table(models, METRICS)
    print_sample(METRICS)
    print(f"\nkept as experiment {name}: compare with `dvc metrics diff OTHER {name}`")


def described(path: Path) -> str:
    """Return one line that names the groups of a parameters file."""
    params = read_yaml(path)
    names = {group: params[group]["name"] for group in ("backbone", "data", "hardware")}
    names |= {"engine": params["engine"]["kind"], "scale": params["scale"]}
    names["loss"] = params["train"]["dpo"]["pref_loss"]
    return ", ".join(f"{group} {name}" for group, name in names.items())


def everything(registry: Registry) -> list[str]:
    """Return the targets of the paper's tables and of figures 5 and 6: dvc.yaml, and two of the analyses."""
    relevance = [f"{ANALYSES}:relevance@{name}" for name in registry.iterations]
    return ["dvc.yaml", *relevance, *(f"{ANALYSES}:phrases@{name}" for name in registry.models)]


if __name__ == "__main__":
    run(main)
