"""`make tables`: DVC, the experiment and the table as they are, with stages that only write their outputs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from selfevolve.experiment.__main__ import ANALYSES
from selfevolve.report import console as table
from selfevolve.runtime.files import publish_json
from stages import capability
from tests.conftest import ROOT, stage_environment

NUMBERS = {"paper": {}, "standard": {}, "not_available": {}, "score": {"x": 1.0}}
# What stages ask for in folders.
INSIDE = tuple(
    f"{name}.jsonl" for name in ("synesc", "esconv_train", "esconv_test", "esconv_train-1", "test")
)
INSIDE += ("facts.json",)
SCRIPT = f"""
import json, pathlib, sys
for path in map(pathlib.Path, sys.argv[1:]):
    files = [path] if path.suffix else [path / name for name in {INSIDE}]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        facts = {{"with_profile": 1, "model": path.parent.name}}
        file.write_text(json.dumps({{**{NUMBERS}, "matching": 0, **facts}}))
"""
KEPT = ("vanilla", "m0", "hm1")


@pytest.fixture
def pipeline(checkout: Path) -> Path:
    """The pipeline with three models, every command one that only writes the outputs."""
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    for registry in ("sft", "iterations", "models"):
        params[registry] = {name: value for name, value in params[registry].items() if name in KEPT}
    pairs = params["comparisons"].items()
    params["comparisons"] = {key: pair for key, pair in pairs if set(pair.values()) <= set(KEPT)}
    params["judged"] = {"models": [], "pairs": {}}
    params["drifted"] = {}
    talkers = {name: one for name, one in params["conversed"]["world"]["models"].items() if name in KEPT}
    params["conversed"]["world"] = {"models": talkers, "pairs": {}, "shuffled": "m0"}
    (checkout / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for file in (checkout / "dvc.yaml", checkout / "testbed/dvc.yaml", checkout / ANALYSES):
        stub(file)
    (checkout / "make.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], check=True)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["add", "."], ["commit", "-qm", "cut down"]):
        subprocess.run([*git, *command], check=True)
    return checkout


def stub(file: Path) -> None:
    """Let every command of a DVC file only write what it has to."""
    graph = yaml.safe_load(file.read_text())
    graph.pop("plots", None)
    for stage in graph["stages"].values():
        body = stage.get("do", stage)
        outs = [part for kind in ("outs", "metrics", "plots") for part in body.get(kind, [])]
        paths = [part if isinstance(part, str) else next(iter(part)) for part in outs]
        body["cmd"] = f"{sys.executable} make.py {' '.join(paths)}"
        made = ("data/d", "data/c", "data/$", "models/", "metrics/", "${item.policy}")
        body["deps"] = [dep for dep in body.get("deps", []) if dep.startswith(made)]
    file.write_text(yaml.safe_dump(graph, sort_keys=False))


def experiment(what: str) -> str:
    """Run `python -m selfevolve.experiment` here as make does; return what it printed."""
    names = {
        f"GIT_{who}_{key}": "t@localhost" for who in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        [sys.executable, "-m", "selfevolve.experiment", what, "--name", "", "--set"],
        env=stage_environment() | names,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_make_tables_runs_all_that_is_registered_and_make_m0_does_not(pipeline: Path):
    printed = experiment("m0")
    assert not (pipeline / "models/hm1").exists()
    assert "hm1" not in printed
    printed = experiment("tables")
    ran = re.findall(r"^Running stage '(.+)':$", printed, re.MULTILINE)
    kinds = ("reject", "refine", "rank", "pair", "train", "respond", "score", "reflections")
    kinds += ("capability",)
    figures = {f"phrases@{model}" for model in KEPT} | {"relevance@hm1"}
    # The others were made already.
    made = {f"{kind}@hm1" for kind in kinds} | {"compare@vanilla-hm1"}
    assert set(ran) == made | {f"{ANALYSES}:{name}" for name in figures}
    assert yaml.safe_load((pipeline / "params.yaml").read_text())["headline"] == "m0"
    shown = printed[printed.index("the seeker's own facts") :].splitlines()[2:5]
    assert [line.split()[0] for line in shown] == list(KEPT)
    assert "kept as experiment tables:" in printed
    refs = ["git", "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps"]
    kept = subprocess.run(refs, capture_output=True, text=True, check=True).stdout.split()
    assert {"m0", "tables"} <= set(kept)


def test_make_has_a_target_for_the_tables():
    done = subprocess.run(
        [
            "make",
            "-n",
            "--no-print-directory",
            "tables",
            f"VENV={sys.prefix}",
            "SCALE=paper",
            "SET=pair.seed=1",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    command = " ".join(done.stdout.splitlines()[-1].split())
    assert command == 'exec python -m selfevolve.experiment tables --scale paper --name "" --set pair.seed=1'


def test_long_names_keep_their_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    text = NUMBERS | {"paper": {"bleu_1": 1.0}, "standard": {"bleu_1": 100.0}}
    facts = {"with_profile": 1, "own_share": 5.0}
    for model in ("m0", "self-reflection"):
        publish_json(tmp_path / model / "text.json", text)
        publish_json(tmp_path / model / "capability.json", NUMBERS)
        publish_json(tmp_path / model / "facts.json", facts)
        publish_json(tmp_path / model / "personalisation.json", {"auc": 50.0, "matched_auc": 100.0})
    table.main(["m0", "self-reflection", "--metrics", str(tmp_path)])
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert len(blocks) == 5
    for block in blocks:
        _, *rows = block.splitlines()
        assert len({len(row) for row in rows}) == 1, block
        assert [row.split()[0] for row in rows[1:]] == ["m0", "self-reflection"]


def test_a_model_whose_capability_is_not_asked_for_has_no_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    publish_json(tmp_path / "m0" / "capability.json", NUMBERS)
    out = tmp_path / "hm1" / "capability.json"
    capability.main(["--policy", "no-policy", "--out", str(out), "--measure", "false"])
    assert json.loads(out.read_text()) == {"measured": False, "score": {}}
    capsys.readouterr()
    table.main(["m0", "hm1", "m9", "--metrics", str(tmp_path)])
    block = capsys.readouterr().out.split("capability, lm-evaluation-harness\n")[1]
    rows = [line.split() for line in block.splitlines()]
    assert rows == [["x"], ["m0", "1.00"], ["m9", "not", "run"]]
