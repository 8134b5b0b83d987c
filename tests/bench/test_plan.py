"""`make plan`: what it says before data and weights exist, and after a run."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import plan as stage
from bench.planning.tokens import Work
from selfevolve.report.table import Table, to_text
from tests.conftest import ROOT, run_here, stage_environment
from tests.support.hub_cache import CONFIGS, LLAMA, QWEN

PAPER = ("--data", "paper", "--scale", "paper")


@pytest.fixture
def repository(checkout: Path) -> Path:
    """A checkout with what the plan reads besides conf/."""
    for name in ("llamafactory_configs", "testbed/tiny", "selfevolve", "bench", "prompts"):
        (checkout / name).symlink_to(ROOT / name)
    return checkout


@pytest.fixture
def no_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub cache with nothing in it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


def written(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if ".git" not in p.parts}


@pytest.mark.parametrize("backbone", ["llama3", "qwen2", "mistral"])
def test_the_paper_s_run_is_planned_without_data_weights_or_a_trace(
    repository: Path, hub_cache: Path, backbone: str
):
    before = written(repository)
    done = run_here("bench.plan", "--backbone", backbone, *PAPER, "--hardware", "gpu40", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert written(repository) == before
    text = done.stdout.splitlines()
    assert max(map(len, text)) <= 80
    assert "the paper's table 1" in " ".join(done.stdout.split())
    (row,) = [line.split() for line in text if line.startswith("refine@m2")]
    # (11167 x (16.68 / 2 - 2) + 3749 x (15.91 / 2 - 2)) / 2 contexts a part
    assert row[1] == "46,562"
    assert row[row.index("GB") + 1] == ">"  # nothing was measured on a GPU: a bound, and named as one
    assert "not measured here. > is no estimate" in " ".join(done.stdout.split())
    assert "fits       not" not in done.stdout  # in the 40 GB of the paper's GPU, at the full 2,048 tokens
    with_4 = (*PAPER, "--hardware", "gpu40", "--set", "hardware.training.batch=4")
    done = run_here("bench.plan", "--backbone", backbone, *with_4, cwd=repository)
    assert ("fits       not at the longest" in done.stdout) == (backbone != "mistral")


def test_a_hub_name_without_a_cached_config_has_contexts_and_tokens_and_no_memory(
    repository: Path, no_cache: None
):
    done = run_here("bench.plan", "--backbone", "llama3", *PAPER, "--hardware", "gpu40", cwd=repository)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert f"Memory is not known: {LLAMA} is neither a folder with a config.json nor in" in said
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("refine@m2")]
    assert row == ["refine@m2", "46,562", "42.5M", "35.8M", "not", "known", "not", "known"]
    assert "weights, models, data, scratch not known" in said
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_backbone_file_and_a_folder_with_a_config_are_enough_for_a_plan(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
):
    weights = tmp_path_factory.mktemp("weights")
    (weights / "config.json").write_text(json.dumps(CONFIGS[QWEN]))
    text = (repository / "conf/backbone/qwen2.yaml").read_text()
    own = text.replace("name: qwen2", "name: own").replace(QWEN, str(weights), 2)
    (repository / "conf/backbone/own.yaml").write_text(own)
    done = run_here("bench.plan", "--backbone", "own", *PAPER, "--hardware", "gpu40", cwd=repository)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "7,615,616,512 parameters" in said
    assert "1.3 a word, assumed" in said
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("train@m1")]
    assert row[row.index("GB") + 1] == ">"


def test_every_backbone_names_its_prompts():
    for file in (ROOT / "conf/backbone").glob("*.yaml"):
        assert (ROOT / yaml.safe_load(file.read_text())["prompts"]["dir"] / "task.txt").is_file(), file


def test_a_loss_without_a_reference_spares_its_forward_pass(repository: Path, hub_cache: Path):
    bounds = {}
    for loss in ("sigmoid", "ipo", "orpo", "simpo"):
        settings = ("--backbone", "llama3", *PAPER, "--hardware", "gpu40", "--loss", loss)
        done = run_here("bench.plan", *settings, cwd=repository)
        assert done.returncode == 0, done.stderr
        (row,) = [line for line in done.stdout.splitlines() if line.startswith("train@m1")]
        bounds[loss] = float(re.search(r"> ([\d.]+) h", row)[1])
    assert bounds["sigmoid"] == bounds["ipo"] > bounds["orpo"] == bounds["simpo"]
    assert bounds["orpo"] / bounds["sigmoid"] == pytest.approx(4 / 6, rel=0.03)


def test_of_hardware_that_nothing_is_known_of_no_time_is_said(repository: Path):
    done = run_here("bench.plan", "--hardware", "gloo2", cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "not known" in done.stdout
    assert ">" not in done.stdout
    assert "not measured on this hardware" in done.stdout


def test_after_a_run_what_its_stages_took_stands_beside(repository: Path):
    metrics = repository / "metrics"
    (metrics / "m0").mkdir(parents=True)
    (metrics / "m0/training.json").write_text("{}")
    digest = hashlib.md5(b"{}").hexdigest()
    lines_ = [
        took("sft@m0", 100.0, {"metrics/m0/training.json": digest}),
        took("sft@m0", 200.0, {"metrics/m0/training.json": digest}),
        took("train@m1", 50.0, {"metrics/m0/training.json": "of another run"}),
    ]
    (metrics / "runs.jsonl").write_text("".join(line + "\n" for line in lines_))
    counted = {name: {"written": 77} for name in ("test", "synesc-1", "synesc-2")}
    (metrics / "contexts.json").write_text(json.dumps(counted))
    done = run_here("bench.plan", cwd=repository)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if "@" in line}
    assert "200.0 s" in rows["sft@m0"]
    assert rows["reject@m1"].split()[1] == "77"
    assert "50.0 s" not in rows["train@m1"]
    other = run_here(
        "bench.plan", "--scale", "paper", cwd=repository
    )  # another run than the one that lies there
    assert "runs.jsonl" not in other.stdout
    assert " 77 " not in other.stdout


def test_public_dialogues_are_known_before_they_are_there_and_two_answers_write_twice(repository: Path):
    rows = {}
    for answers in ("one", "two"):
        settings = ["--data", "public", "--set", f"refine.answers={answers}"]
        done = run_here("bench.plan", *settings, cwd=repository)
        assert done.returncode == 0, done.stderr
        rows[answers] = next(line.split() for line in done.stdout.splitlines() if "refine@m1" in line)
    assert rows["one"][:2] == rows["two"][:2] == ["refine@m1", "100"]  # contexts.part_limit
    assert (rows["one"][3], rows["two"][3]) == ("25.6k", "51.2k")  # 100 texts of at most 256 tokens


def took(name: str, seconds: float, outputs: dict[str, str]) -> str:
    line: dict[str, Any] = {"stage": name, "seconds": seconds, "ended": "now", "outputs": outputs}
    return json.dumps(line | {"machine": {}, "packages": {}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hardware", "abacus"], "conf/hardware: there is no abacus.yaml; there are gloo2, gpu40"),
        (["--set", "train.dpo.no_such=1"], "no_such"),
        (["--data", "local", "--set", "data.name=mine"], "the data mine have no counts yet"),
        (
            ["--hardware", "gpus-zero2", "--set", "hardware.training.processes=3"],
            "does not divide the 8 samples",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line(repository: Path, arguments: list[str], message: str):
    done = run_here("bench.plan", *arguments, cwd=repository)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert any(part in done.stderr for part in message.split("|"))


def test_a_plan_needs_no_torch():
    code = "import sys; import bench.plan; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=stage_environment(), check=False)
    assert done.returncode == 0


def test_a_table_fits_80_columns_whatever_stands_in_it():
    big = stage.Line(
        "reject@a-long-name", Work("", "refine", 99_999_999, 9.99e11, 9.99e11, 1), None, None, 9e8, 9e7
    )
    small = stage.Line("x", predicted=5.0, actual=6.0)
    lines = to_text(Table("", ("stage",), stage.COLUMNS, (big.row, small.row)), stage.WIDTHS)
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["x", "5.0", "s", "6.0", "s", "1.20"]


def test_groups_are_composed_as_the_run_would_have_them(repository: Path):
    before = (repository / "params.yaml").read_text()
    params = stage.composed({"backbone": "qwen2", "hardware": "nodes"}, ["headline=m1"])
    assert (params["backbone"]["name"], params["hardware"]["name"], params["headline"]) == (
        "qwen2",
        "nodes",
        "m1",
    )
    assert (repository / "params.yaml").read_text() == before


def test_stages_that_neither_generate_nor_train_are_counted_and_timed_at_their_scale_alone(repository: Path):
    planned = stage.Plan(stage.composed({}, []), repository / "metrics")
    assert {"score x 4", "pair x 2", "sft_data", "compare x 4"} <= {line.stage for line in planned.lines}
    planned.actual = {"score@m0": 1.0, "prepare": 3.0}
    score, prepare = planned.other_line("score", 4), planned.other_line("prepare", 1)
    assert score.predicted == pytest.approx(4 * planned.rate["others"]["score"])
    assert score.actual is None  # one of four is not all
    assert prepare.actual == 3.0
    planned.names["scale"] = "paper"
    assert planned.other_line("score", 4).predicted is None
    assert stage.total([score, planned.other_line("score", 4)]).predicted is None  # not known of some
