"""Workers on a Ray cluster write what one process writes, whoever of them is lost."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from selfevolve.engines.ray.cluster import connected
from selfevolve.engines.ray.pool import Pool
from selfevolve.generation.engines import open_engine
from selfevolve.generation.generate import generate
from selfevolve.generation.request import Request, Sampling, complete
from selfevolve.records.schema import Message, Response
from selfevolve.runtime import process_guard
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT, SYSTEM, TEXTS, read_lines
from tests.engines.test_server_engine import OPTIONS
from tests.support.clusters import Nodes, two_nodes

SAMPLING = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=120)
WORKER = {"kind": "transformers", "code": "selfevolve/engines/local", "batch_tokens": 600}
RAY = {"kind": "ray", "code": "selfevolve/engines", "workers": 2, "cpus": 1.0, "gpus": 0.0, "worker": WORKER}
COUNT = 60


def requests() -> list[Request]:
    system = Message(role="system", content=SYSTEM)
    texts = [TEXTS[n % 4][: 15 + n] for n in range(COUNT)]
    return [
        Request.make(f"r{n:02d}", [system, Message(role="user", content=t)], 5) for n, t in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def alone(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Response]]:
    """The name of the journal of one process, and what it wrote."""
    scratch = tmp_path_factory.mktemp("alone")
    with open_engine(WORKER, backbone) as (engine, _):
        written = generate(engine, requests(), SAMPLING, "test", scratch)
    return journal(scratch).parent.name, written


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture
def on_the_cluster(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Two nodes, whatever the test before took away, and RAY_ADDRESS says where."""
    while len(nodes.nodes) < 2:
        nodes.add()
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    return nodes


def journal(scratch: Path) -> Path:
    (path,) = scratch.glob("test/*/journal.jsonl")
    return path


class Run(threading.Thread):
    """A generation in the background; `at(n)` waits until n texts are in its journal."""

    def __init__(self, policy: Path, scratch: Path):
        super().__init__(daemon=True)
        self.policy, self.scratch = policy, scratch
        self.written: list[Response] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with open_engine(RAY, self.policy) as (engine, _):
                self.written = generate(engine, requests(), SAMPLING, "test", self.scratch)
        except BaseException as error:
            self.error = error

    def at(self, count: int) -> None:
        wait_for(lambda: not self.is_alive() or len(self.lines()) >= count, f"{count} texts")
        assert self.is_alive(), f"it ended with {len(self.lines())} texts: {self.error}"

    def lines(self) -> list[dict[str, Any]]:
        return [line for path in self.scratch.glob("test/*/journal.jsonl") for line in read_lines(path)]

    def ends_as(self, alone: tuple[str, list[Response]]) -> None:
        """Wait for the end: the texts, and the journal's name, are those of one process; each text once."""
        self.join(120)
        assert not self.is_alive(), f"still at {len(self.lines())} texts"
        assert self.error is None
        assert (journal(self.scratch).parent.name, self.written) == alone
        assert len(self.lines()) == len({line["id"] for line in self.lines()}) == COUNT


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.01)


def test_a_worker_killed_in_mid_run_is_replaced_and_no_text_is_lost_or_doubled(
    on_the_cluster: Nodes,
    backbone: Path,
    tmp_path: Path,
    alone: tuple[str, list[Response]],
    capfd: pytest.CaptureFixture[str],
):
    run = Run(backbone, tmp_path)
    run.at(5)
    on_the_cluster.kill_a_worker()
    run.ends_as(alone)
    assert "lost a worker" in capfd.readouterr().err


def test_a_node_removed_in_mid_run_loses_and_doubles_nothing(
    on_the_cluster: Nodes, backbone: Path, tmp_path: Path, alone: tuple[str, list[Response]]
):
    run = Run(backbone, tmp_path)
    run.at(5)
    on_the_cluster.remove()
    run.ends_as(alone)


def test_without_any_node_the_stage_waits_and_goes_on_when_one_joins(
    on_the_cluster: Nodes,
    backbone: Path,
    tmp_path: Path,
    alone: tuple[str, list[Response]],
    capfd: pytest.CaptureFixture[str],
):
    run = Run(backbone, tmp_path)
    run.at(5)
    on_the_cluster.remove()
    on_the_cluster.remove()
    said = ""

    def waits() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "waiting for a worker" in said

    wait_for(waits, "the line that says so")
    assert run.is_alive()
    on_the_cluster.add()
    run.ends_as(alone)


def test_a_server_in_each_worker_ends_with_it(on_the_cluster: Nodes, backbone: Path, tmp_path: Path):
    """A small server answers with the seed; a worker is killed in mid-run."""
    script = tmp_path / "served.py"  # a name by which its processes can be told
    script.write_text((ROOT / "tests" / "support" / "child_chat.py").read_text())
    command = f"{{python}} {script} {{port}} {{served}} slow family"
    params = {**RAY, "worker": {**OPTIONS, "command": command, "concurrency": 1}}
    asked = requests()

    def servers() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if str(script) in (p.info["cmdline"] or [])]

    with open_engine(params, backbone) as (engine, _):
        batches = complete(engine, asked, SAMPLING)
        answered = list(next(batches))
        guards = [process for process in servers() if process_guard.__file__ in process.info["cmdline"]]
        worker = guards[0].parent()
        assert worker.name().startswith("ray::")
        worker.kill()
        answered += [response for batch in batches for response in batch]
    assert sorted(r.id for r in answered) == [request.id for request in asked]
    assert {r.id: r.text for r in answered} == {r.id: f"seed {r.seed}" for r in asked}
    wait_for(lambda: not servers(), "the end of all servers")


def test_an_error_of_the_engine_is_one_line_at_once(on_the_cluster: Nodes, backbone: Path, tmp_path: Path):
    long = SAMPLING.model_copy(update={"max_new_tokens": 510})
    with open_engine(RAY, backbone) as (engine, _), pytest.raises(InputError) as raised:
        generate(engine, requests(), long, "test", tmp_path)
    assert "record r00: field messages: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_worker_that_finds_another_policy_stops_the_stage(
    on_the_cluster: Nodes, backbone: Path, tmp_path: Path
):
    policy = tmp_path / "policy"
    shutil.copytree(backbone, policy)
    with open_engine(RAY, policy) as (engine, _):
        (policy / "tokenizer_config.json").write_text("{}")
        with pytest.raises(InputError, match=r"worker on .*: .*policy: is another policy than the stage's"):
            generate(engine, requests(), SAMPLING, "test", tmp_path)


def test_a_worker_without_the_policy_says_where(on_the_cluster: Nodes, backbone: Path, tmp_path: Path):
    policy = tmp_path / "policy"
    shutil.copytree(backbone, policy)
    with open_engine(RAY, policy) as (engine, _):
        shutil.rmtree(policy)
        with pytest.raises(InputError, match=r"worker on .*policy\.json: no such file"):
            generate(engine, requests(), SAMPLING, "test", tmp_path)


class Impossible:
    """Stands for a worker on a node that lacks what it imports."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'stages'")

    def open(self) -> None:
        """Never come to this."""


def test_a_worker_that_can_never_start_is_not_tried_for_ever(on_the_cluster: Nodes):
    with connected(1, 1.0, 0.0):
        import ray

        def hire() -> tuple[Any, Any]:
            actor = ray.remote(Impossible).options(num_cpus=1).remote()
            return actor, actor.open.remote()

        with pytest.raises(InputError, match=r"cannot be started: ModuleNotFoundError: .*"):
            next(Pool(1, hire, lambda opened: None).run([("open", ())]))


def test_where_nobody_listens_is_said_at_once(backbone: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with (
        pytest.raises(InputError, match=r"field RAY_ADDRESS: no Ray to work with"),
        open_engine(RAY, backbone),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"workers": 0}, "engine.workers"),
        ({"cpus": 0.0}, "engine.cpus"),
        ({"gpus": -1.0}, "engine.gpus"),
        ({"address": "auto"}, "engine.address"),
        ({"worker": WORKER | {"batch_tokens": 0}}, "engine.worker.batch_tokens"),
        ({"worker": WORKER | {"kind": "openai"}}, "engine.worker.kind"),
        ({"worker": WORKER | {"code": "selfevolve/engines"}}, "engine.worker.code"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, Any], field: str, backbone: Path):
    with pytest.raises(InputError, match=rf"field {field}: "), open_engine(RAY | changes, backbone):
        pass
