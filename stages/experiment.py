"""Run everything up to one model and keep it as an experiment: `python -m stages.experiment m2 ...`.

This is what `make m2` calls; with `tables` in place of a model, as `make tables` does, all models run that
the paper's tables compare, and what figures 5 and 6 show. Without a group the parameters are params.yaml as
it stands; with a group (`--backbone llama3`) they are composed anew from conf/, which would lose hand edits,
so these stop it. Then stages/repro.py runs what changed and `dvc exp save` keeps the result under the
experiment's name.

`dvc exp run --name m2` could do both only once: under a name that exists it stops, and with `--force`
it runs every stage again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from stages.command import run
from stages.records.errors import InputError
from stages.records.fingerprint import digest_file, digest_value
from stages.records.jsonl import read_text
from stages.records.publish import publish_json, publishing
from stages.repro import repro
from stages.table import print_sample, print_table

PARAMS = Path("params.yaml")
LAST = Path(".scratch/params.last.yaml")  # params.yaml as the last run left it
# What Git does not know yet but the experiment needs.
METRICS, REPORT = Path("metrics"), "report"
LOCKS = ("dvc.lock", "data/dvc.lock", "analyses/dvc.lock", "judging/dvc.lock")
SAVED = Path(".scratch/experiments.json")  # what each experiment was saved from
GROUPS = ("backbone", "data", "engine", "hardware", "judge", "scale")
TABLES = "tables"
ANALYSES = "analyses/dvc.yaml"


def main() -> None:
    """Read the command line, settle the parameters, run, keep and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help=f"the last model to make and measure: m0, m1, m2 ... or {TABLES}")
    for group in GROUPS:
        parser.add_argument(f"--{group}", default="", help=f"a file of conf/{group}/ without .yaml")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="single parameters")
    parser.add_argument("--name", default="", help="the experiment's name")
    parser.add_argument("--jobs", type=int, help="stages at a time; else `jobs` of the parameters")
    args = parser.parse_args()
    groups = {group: getattr(args, group) for group in GROUPS if getattr(args, group)}
    whole = args.model == TABLES
    headline = [] if whole else [f"headline={args.model}"]  # of the tables no model is the last: it stays
    settle_params(groups, [*headline, *args.set])
    params = yaml.safe_load(read_text(PARAMS))
    check_registry(params)
    models = list(params["models"]) if whole else chain(params, args.model)
    chosen = {"backbone": params["backbone"]["name"], "data": params["data"]["name"]}
    chosen |= {"engine": params["engine"]["kind"], "scale": params["scale"]}
    chosen["hardware"] = params["hardware"]["name"]
    print(f"parameters: {', '.join(f'{group} {name}' for group, name in chosen.items())}", flush=True)
    wanted = targets(models, params["iterations"], params["comparisons"])
    repro(everything(params) if whole else wanted, params["jobs"] if args.jobs is None else args.jobs)
    name = args.name or "-".join([*dict.fromkeys(groups.values()), args.model])
    keep(name)
    print_table(models, METRICS)
    print_sample(METRICS)
    print(f"\nkept as experiment {name}: compare with `dvc metrics diff OTHER {name}`")


def settle_params(groups: dict[str, str], overrides: list[str]) -> None:
    """Compose params.yaml anew if groups are named, then set single parameters in it.

    Raises:
        InputError: a group or parameter does not exist, or composing would lose hand edits.
    """
    check_groups(groups)
    if groups and (edits := hand_edits()):
        message = f"composing would lose hand edits of {', '.join(edits)}: run without {_flags(groups)}, "
        message += "give them with SET=, or undo them with `git checkout params.yaml`"
        raise InputError(message, file=PARAMS)
    with tempfile.TemporaryDirectory(dir=".", prefix=".params-") as folder:
        draft = Path(folder) / PARAMS.name
        draft_params(groups, overrides, draft)
        os.replace(draft, PARAMS)
    if groups:
        print(f"params.yaml composed of conf/: {_flags(groups)}")


def check_groups(groups: Mapping[str, str]) -> None:
    """Raise InputError unless conf/ has a file for each of these groups."""
    for group, name in groups.items():
        if not Path("conf", group, f"{name}.yaml").exists():
            known = ", ".join(sorted(path.stem for path in Path("conf", group).glob("*.yaml")))
            raise InputError(f"there is no {name}.yaml; there are {known}", file=f"conf/{group}")


def draft_params(groups: dict[str, str], overrides: list[str], path: Path) -> None:
    """Write the parameters to `path`: composed of these groups, or params.yaml; then single ones set.

    Raises:
        InputError: a single parameter does not exist or has no value.
    """
    if groups:
        compose(groups, path)
    else:
        shutil.copyfile(PARAMS, path)
    if not overrides:
        return
    from dvc.utils.hydra import apply_overrides

    try:
        apply_overrides(path, overrides)
    except Exception as error:  # DVC and Hydra have no common base for what can be wrong here
        reason = error.__cause__ or error
        raise InputError(f"{reason} in {' '.join(overrides)}", file=PARAMS) from None


def keep(name: str) -> None:
    """Save the finished run as an experiment, unless the one of that name is this very run.

    What a run was made of and what it gave stands in the locks, so they, the parameters and the commit
    tell whether there is anything new to save: a judge's scores and analyses that were made since are. The
    report is made of the rest and stays out; it would be added, although Git ignores it.
    """
    now = made_of()
    saved = json.loads(SAVED.read_text(encoding="utf-8")) if SAVED.exists() else {}
    refs = _git("for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps").split()
    if saved.get(name) != now or name not in refs:
        made = sorted(str(path) for path in METRICS.iterdir() if path.name != REPORT)
        locks = [path for path in LOCKS if Path(path).exists()]
        files = [part for path in (*made, *locks) for part in ("-I", path)]
        _dvc("exp", "save", "--force", "--name", name, *files, "headline", quiet=True)
        publish_json(SAVED, saved | {name: now})
    with publishing(LAST) as temporary:
        shutil.copyfile(PARAMS, temporary)


def made_of() -> str:
    """Return one digest of the commit, the parameters and what DVC's locks say of this run."""
    locks = {path: digest_file(path) for path in LOCKS if Path(path).exists()}
    return digest_value([_git("rev-parse", "HEAD"), locks, digest_file(PARAMS)])


def compose(groups: dict[str, str], path: Path) -> None:
    """Write the parameters that conf/ gives for these groups; what is not named keeps its default."""
    from dvc.utils.hydra import compose_and_dump
    from dvc.utils.serialize import modify_yaml

    overrides = [f"{group}={name}" for group, name in groups.items()]
    compose_and_dump(str(path), str(Path("conf").resolve()), None, "config", ".dvc/hydra_plugins", overrides)
    with modify_yaml(path):
        pass  # written as it is when a parameter is set: setting one then changes its line and no other


def hand_edits() -> list[str]:
    """Return the parameters in params.yaml that neither the last run nor the committed file had."""
    current = _flat(yaml.safe_load(read_text(PARAMS)))
    known = [_flat(yaml.safe_load(read_text(LAST)))] if LAST.exists() else []
    committed = subprocess.run(["git", "show", f"HEAD:{PARAMS}"], capture_output=True, text=True, check=False)
    if committed.returncode == 0:
        known.append(_flat(yaml.safe_load(committed.stdout)))
    known = known or [{}]
    differing = [
        [key for key in current.keys() | old.keys() if key != "headline" and current.get(key) != old.get(key)]
        for old in known
    ]
    return sorted(min(differing, key=len))


def chain(params: dict[str, Any], model: str) -> list[str]:
    """Return the models to measure on the way to `model`: vanilla, M0 if it leads there, and every iteration.

    Raises:
        InputError: the model is not in `models`, or its iterations go in a circle.
    """
    if model not in params["models"]:
        known = ", ".join(params["models"])
        raise InputError(f"there is no {model}; there are {known}", file=PARAMS, field="models")
    found = [model]
    while found[0] in params["iterations"]:
        previous = params["iterations"][found[0]]["prev"]
        if previous in found:
            raise InputError("goes in a circle", file=PARAMS, field=f"iterations.{found[0]}.prev")
        found.insert(0, previous)
    return [name for name in dict.fromkeys(["vanilla", *found]) if name in params["models"]]


def check_registry(params: Mapping[str, Any]) -> None:
    """Raise InputError where a line of the registry names what no other line makes.

    DVC would take what an earlier run left in that place for a file of yours, and score it again for ever.
    """
    made = {"backbone", *params["sft"], *params["iterations"]}
    models, parts = set(params["models"]), range(1, params["contexts"]["parts"] + 1)
    named: dict[str, tuple[Any, Collection[Any]]] = {"headline": (params["headline"], models)}
    for name, iteration in params["iterations"].items():
        named[f"iterations.{name}.prev"] = iteration.get("prev"), made
        named[f"iterations.{name}.part"] = iteration.get("part"), parts
        named[f"iterations.{name}.chosen"] = iteration.get("chosen"), ("refined", "golden")
    policies = {f"models.{name}.policy": model.get("policy") for name, model in params["models"].items()}
    asked = params["unseen"]["asked"] if params["unseen"]["sets"] else []
    policies |= {f"unseen.asked.{one.get('name')}.policy": one.get("policy") for one in asked}
    for field, policy in policies.items():
        if str(policy).startswith("models/"):  # a folder elsewhere is your own
            named[field] = policy, {f"models/{name}" for name in made}
    for place, pairs in (("comparisons", params["comparisons"]), ("judged.pairs", params["judged"]["pairs"])):
        for key, pair in pairs.items():
            named |= {f"{place}.{key}.{side}": (pair.get(side), models) for side in ("first", "last")}
    named |= {f"judged.models.{at}": (name, models) for at, name in enumerate(params["judged"]["models"])}
    for field, (name, known) in named.items():
        if name not in known:
            message = f"there is no {name}; there are {', '.join(map(str, sorted(known)))}"
            raise InputError(message, file=PARAMS, field=field)


def targets(
    models: list[str],
    iterations: Mapping[str, Mapping[str, Any]],
    comparisons: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Return the DVC stages that measure and compare these models, and the headline.

    The sample compares the last model with M0, so it is asked for only where M0 is on the way; reflections
    are there only where a model has refined its responses.
    """
    stages = ("score", "facts", "intervals", "capability")
    measured = [f"{stage}@{model}" for model in models for stage in stages]
    compared = [f"compare@{key}" for key, pair in comparisons.items() if set(pair.values()) <= set(models)]
    chosen = {model: iterations[model]["chosen"] for model in models if model in iterations}
    reflections = [f"reflections@{model}" for model, kind in chosen.items() if kind == "refined"]
    return ["headline", *measured, *compared, *reflections, *(["sample"] if "m0" in models else [])]


def everything(params: Mapping[str, Any]) -> list[str]:
    """Return what the paper's tables and figures 5 and 6 need: DVC's file, and two of the analyses."""
    relevance = [f"{ANALYSES}:relevance@{name}" for name in params["iterations"]]
    return ["dvc.yaml", *relevance, *(f"{ANALYSES}:phrases@{name}" for name in params["models"])]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _flags(groups: dict[str, str]) -> str:
    return " ".join(f"{group.upper()}={name}" for group, name in groups.items())


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [_flat(part, f"{prefix}.{key}" if prefix else str(key)) for key, part in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}


def _dvc(*arguments: str, quiet: bool = False) -> None:
    sys.stdout.flush()
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=quiet, text=True, check=False)
    if done.returncode != 0:
        if quiet:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise InputError(f"`dvc {' '.join(arguments[:2])}` failed (exit code {done.returncode}); see above")


if __name__ == "__main__":
    run(main)
