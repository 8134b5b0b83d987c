"""What several tests need: a small policy, a mini world, rows, a server, and a way to run stages."""

import contextlib
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import hypothesis
import pytest
import yaml

from selfevolve.runtime.files import read_yaml
from tests.support.backbones import random_backbone
from tests.support.sessions import DEFAULTS, World
from tests.support.upstreams import Upstream

if TYPE_CHECKING:
    from tests.support.graphs import Graph

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ESC_SHARED") or ROOT.parent / "shared")
DVC_FILES = ("data/dvc.yaml", "testbed/dvc.yaml", "stages/judging/dvc.yaml", "stages/analyses/dvc.yaml")
DVC_FILES += ("stages/rewards/dvc.yaml",)
# One thread each: tests run beside each other's servers and stages on machines with few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The same examples in every run, and no limit that a busy machine would break.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

# Minutes each: with two workers the run ends soonest if these begin first.
LONGEST = ("test_pipeline.py", "test_study.py", "test_evolution.py", "test_train.py", "test_tables.py")


# `make check` skips these files: their tests train, start a server, a browser or a cluster, run a pipeline,
# or decode and simulate for longer than the rest of their room together.
SLOW = (
    *("bench/test_bench.py", "bench/test_bench_gpu.py", "benchmarks/test_capability.py"),
    *("engines/test_decoding.py", "engines/test_engines.py", "rating/test_ratings_truth.py"),
    *("engines/test_openai_engine.py", "engines/test_openai_stage.py", "engines/test_ray_engine.py"),
    *("engines/test_ray_stage.py", "engines/test_server_engine.py", "engines/test_server_programs.py"),
    *("engines/test_server_stage.py", "experiment/test_pipeline_child.py", "judge/test_judge_faults.py"),
    *("nltk_data/test_punkt.py", "nltk_data/test_wordnet.py", "pipeline/test_pipeline.py"),
    *("pipeline/test_tables.py", "policies/test_loading.py", "policies/test_merge_killed.py"),
    *("policies/test_merge_prompt.py", "rating/test_rating_attacks.py", "rating/test_rating_browser.py"),
    *("rating/test_rating_database.py", "rating/test_rating_faults.py", "rating/test_rating_http.py"),
    *("rating/test_rating_models.py", "rating/test_rating_operator.py", "rating/test_rating_pictures.py"),
    *("rating/test_rating_thinking.py",),
    *("testbed/test_pretrain.py", "testbed/test_skills.py", "testbed/test_study.py"),
    "testbed/test_evolution.py",
    *("training/test_hardware.py", "training/test_hardware_parsed.py", "training/test_train.py"),
    *("training/test_losses_trained.py", "training/test_train_refused.py"),
    *("experiment/test_ending.py", "experiment/test_saving.py"),
    *("bench/test_pilot.py", "bench/test_rounding.py", "policies/test_unmerged.py"),
    "training/test_train_bfloat16.py",
    "sessions/test_converse_stage.py",
    "training/test_reward_model.py",
    *("engines/test_end_tokens.py", "engines/test_sharing.py", "engines/test_vllm_cpu.py"),
)


SLOW_FILES = {ROOT / "tests" / name for name in SLOW}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the slow files unread where they would be deselected: what they import takes seconds."""
    return True if collection_path in SLOW_FILES and config.option.markexpr == "not slow" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out, and put the files that take longest first."""
    for item in items:
        if item.path in SLOW_FILES:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


TEXTS = [
    "I lost my job at the bakery and I feel ashamed in front of my sister.",
    "That sounds hard. What happened at the bakery, and what did your sister say?",
    "My manager closed the shop without a word, and now I cannot sleep at night.",
    "You could tell your sister how you feel; she may surprise you. I would like to help.",
]
SYSTEM = "You are a supporter."


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of some 50,000 parameters with a real tokenizer, as a policy folder."""
    return random_backbone(tmp_path_factory.mktemp("models") / "backbone", TEXTS * 4, 400, 512)


@pytest.fixture
def contexts_file(tmp_path: Path) -> Path:
    """Forty contexts of different lengths, one exchange to four."""
    from selfevolve.records.jsonl import write_records
    from selfevolve.records.schema import Context, Message

    records = []
    for number in range(40):
        messages = []
        for turn in range(2 * (number % 4) + 1):
            role = "assistant" if turn % 2 else "user"
            messages.append(Message(role=role, content=TEXTS[(number + turn) % 4][: 20 + number]))
        records.append(
            Context(id=f"d{number // 4:03d}#{2 * (number % 4) + 1}", messages=messages, golden=TEXTS[1])
        )
    path = tmp_path / "contexts.jsonl"
    write_records(path, records)
    return path


@pytest.fixture
def params_file(tmp_path: Path) -> Callable[..., Path]:
    """The project's params.yaml with some keys replaced: params_file({"respond.seed": 1})."""

    def write(changes: dict[str, Any] | None = None) -> Path:
        params = read_yaml(ROOT / "params.yaml")
        params["prompts"]["dir"] = str(ROOT / params["prompts"]["dir"])
        for key, value in (changes or {}).items():
            *path, last = key.split(".")
            section = params
            for part in path:
                section = section[part]
            section[last] = value
        file = tmp_path / "params.yaml"
        file.write_text(yaml.dump(params, Dumper=yaml.CSafeDumper), encoding="utf-8")
        return file

    return write


def write_prompts(folder: Path, **texts: str) -> Path:
    """Make a whole set of prompts in which these take the place of the paper's; return the folder."""
    shutil.copytree(ROOT / "prompts/paper", folder)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration alone, committed in a repository of its own, made once to be copied."""
    folder = tmp_path_factory.mktemp("committed")
    for name in ("conf", "params.yaml", "dvc.yaml", *DVC_FILES, "testbed/params.yaml", ".gitignore"):
        source = ROOT / name
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "start"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def checkout(committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration alone, committed in a repository of its own, as the current folder."""
    shutil.copytree(committed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A few rows of every benchmark."""
    from tests.support.benchmark_rows import write_rows

    return write_rows(tmp_path / "rows")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A server of files that can be told to misbehave."""
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> "Graph":
    """The graph of all stages with the parameters of this tree, made once: tests only read it."""
    from tests.support.graphs import Graph

    params = read_yaml(ROOT / "params.yaml")
    return Graph(tmp_path_factory.mktemp("graph"), params)


@pytest.fixture(scope="session")
def wordnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An NLTK data folder with WordNet: the one installed, or else made of the shared archive."""
    from selfevolve.nltk_data.lookup import WORDNET, find
    from selfevolve.runtime.errors import Unavailable

    try:
        return find(WORDNET).folder
    except Unavailable as absence:
        archive = SHARED / "data" / "wordnet" / "wordnet.zip"
        if not archive.is_file():
            pytest.skip(f"METEOR needs WordNet: {absence}")
        folder = tmp_path_factory.mktemp("nltk_data")
        (folder / "corpora").mkdir()
        shutil.copy(archive, folder / "corpora")
        return folder


@pytest.fixture(scope="session")
def mini_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a mini world of the default sizes, made once: tests only read them."""
    from testbed.mini import MiniParams, write_world

    out = tmp_path_factory.mktemp("world") / "mini"
    write_world(out, MiniParams(**DEFAULTS))
    return out


@pytest.fixture(scope="session")
def mini_world(mini_folder: Path) -> World:
    """What these files hold, by their names."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in mini_folder.iterdir()}


@pytest.fixture
def with_wordnet(wordnet_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WordNet is the first that a search finds."""
    monkeypatch.setenv("NLTK_DATA", str(wordnet_folder))


def stage_command(name: str, *arguments: object) -> list[str]:
    """The command line that runs a stage of this checkout from any folder."""
    return [sys.executable, "-m", name if "." in name else f"stages.{name}", *map(str, arguments)]


def stage_environment() -> dict[str, str]:
    """The environment of a stage run from another folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run_here(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage as `python -m` does, but in this process, which has imported already what it needs.

    A test of a start, of a kill, of an environment or of two processes' bytes needs `run_stage`.
    """
    command = stage_command(name, *arguments)
    out, err, code = io.StringIO(), io.StringIO(), None
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        mock.patch.object(sys, "argv", command[2:]),
        mock.patch.dict(os.environ, stage_environment()),
    ):
        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)  # others imported it
        try:
            runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(command, code or 0, out.getvalue(), err.getvalue())


def run_stage(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a stage to its end in a folder."""
    return subprocess.run(
        stage_command(name, *arguments),
        cwd=cwd,
        env=stage_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The values of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
