"""Generation: seeds, batches, the journal, and a stage that is killed in the middle."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfevolve.generation.generate import generate
from selfevolve.generation.journal import Journal
from selfevolve.generation.request import Request, Sampling, complete, derive_seed
from selfevolve.records.schema import Message, Response
from selfevolve.runtime.errors import InputError
from tests.conftest import SYSTEM, TEXTS, read_lines, run_here, run_stage, stage_command, stage_environment

SAMPLING = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=24)


def requests(count: int) -> list[Request]:
    system = Message(role="system", content=SYSTEM)
    texts = [TEXTS[n % 4][: 15 + 2 * n] for n in range(count)]
    return [
        Request.make(f"r{n:02d}", [system, Message(role="user", content=t)], 5) for n, t in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def engine(backbone: Path) -> Callable[[int], Any]:
    from selfevolve.engines.local.engine import TransformersEngine
    from selfevolve.policies.policy import load_policy

    loaded = load_policy(backbone)
    return lambda batch_tokens: TransformersEngine(loaded, batch_tokens)


def texts(engine: Any, asked: Sequence[Request], sampling: Sampling) -> dict[str, str]:
    return {r.id: r.text for batch in complete(engine, asked, sampling) for r in batch}


def test_a_text_does_not_depend_on_its_batch_or_its_neighbours(engine: Callable[[int], Any]):
    asked = requests(12)
    together = texts(engine(100_000), asked, SAMPLING)
    assert together == texts(engine(1), asked, SAMPLING)  # one by one
    assert {i: together[i] for i in ("r03", "r07")} == texts(engine(300), [asked[7], asked[3]], SAMPLING)
    assert len(set(together.values())) > 6


def test_a_text_depends_on_its_seed_and_greedy_does_not(engine: Callable[[int], Any]):
    asked = requests(6)
    other = [replace(request, seed=request.seed + 1) for request in asked]
    assert texts(engine(9999), asked, SAMPLING) != texts(engine(9999), other, SAMPLING)
    greedy = SAMPLING.model_copy(update={"temperature": 0.0})
    assert texts(engine(9999), asked, greedy) == texts(engine(9999), other, greedy)


def test_a_prompt_that_leaves_no_room_is_named(engine: Callable[[int], Any]):
    with pytest.raises(InputError, match=r"record r00: field messages: .* exceed 512"):
        texts(engine(9999), requests(1), SAMPLING.model_copy(update={"max_new_tokens": 510}))


def test_the_sampler_keeps_what_top_k_and_top_p_keep_in_transformers():
    import torch
    from transformers import (
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    from bench.baselines import SeededSampler

    torch.manual_seed(0)
    scores = torch.randn(1, 30) * 2
    prompt = torch.tensor([[3, 9, 9, 21]])
    expected = RepetitionPenaltyLogitsProcessor(1.2)(prompt, scores)
    for warper in (TemperatureLogitsWarper(0.9), TopKLogitsWarper(12), TopPLogitsWarper(0.8)):
        expected = warper(prompt, expected)
    expected = torch.softmax(expected, -1)[0]
    sampling = SAMPLING.model_copy(update={"top_k": 12, "max_new_tokens": 1})
    drawn = torch.zeros(30)
    for seed in range(3000):
        sampler = SeededSampler(sampling, [seed], prompt.tolist(), prompt.device)
        drawn[sampler(prompt, scores).argmax()] += 1 / 3000
    assert set(drawn.nonzero().flatten().tolist()) == set(expected.nonzero().flatten().tolist())
    assert (drawn - expected).abs().max() < 0.03


def test_padding_is_never_penalised_as_repetition():
    import torch

    from bench.baselines import SeededSampler

    padded = torch.tensor([[7, 7, 2], [1, 3, 2]])
    sampling = SAMPLING.model_copy(update={"temperature": 0.0, "repetition_penalty": 5.0})
    scores = torch.zeros(2, 10)
    scores[:, 7], scores[:, 4] = 2.0, 1.0
    sampler = SeededSampler(sampling, [1, 2], [[2], [1, 3, 2]], padded.device)
    chosen = sampler(padded, scores).argmax(-1)
    assert chosen.tolist() == [7, 7]


def test_prompts_are_encoded_as_llamafactory_trains_them(backbone: Path):
    from selfevolve.policies.policy import read_policy
    from selfevolve.policies.window import ChatTemplate

    template = ChatTemplate.of(read_policy(backbone))
    messages = [Message(role="system", content="S"), Message(role="user", content="hi")]
    ids = template.encode(messages, answer="yo")
    assert template.tokenizer.decode(ids) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nyo<|eot_id|>"
    )
    assert ids[: len(template.encode(messages))] == template.encode(messages)
    assert ids[-1] in template.stop_ids
    with pytest.raises(InputError, match="no chat template named 'nonsense'"):
        ChatTemplate(template.tokenizer, "nonsense")


class Counting:
    """An engine that answers with the request's seed and dies after some batches."""

    model, settings = "counting", {"kind": "counting"}

    def __init__(self, batches: int):
        self.batches, self.asked = batches, 0

    def plan(
        self, asked: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> list[list[Request]]:
        return [[request] for request in asked if request.id not in done]

    def answer(self, batches: Sequence[Sequence[Request]], sampling: Sampling) -> Iterator[list[Response]]:
        for (request,) in batches:
            if self.asked == self.batches:
                raise KeyboardInterrupt
            self.asked += 1
            yield [
                Response(id=request.id, text=str(request.seed), finish_reason="stop", attempt=1, model="c")
            ]


def test_what_is_in_the_journal_is_not_asked_again(tmp_path: Path):
    asked = requests(6)
    first, second = Counting(4), Counting(99)
    with pytest.raises(KeyboardInterrupt):
        generate(first, asked, SAMPLING, "test", tmp_path)
    responses = generate(second, asked, SAMPLING, "test", tmp_path)
    assert (first.asked, second.asked) == (4, 2)
    assert [response.text for response in responses] == [str(request.seed) for request in asked]


def test_other_work_has_another_journal(tmp_path: Path):
    asked = requests(2)
    for sampling in (SAMPLING, SAMPLING.model_copy(update={"top_k": 49})):
        engine = Counting(99)
        generate(engine, asked, sampling, "test", tmp_path)
        assert engine.asked == 2
    other = [replace(asked[0], messages=asked[1].messages), asked[1]]
    engine = Counting(99)
    generate(engine, other, SAMPLING, "test", tmp_path)
    assert engine.asked == 2


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_kept(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    kept = Response(id="a", text="ä\u2028b", finish_reason="stop", attempt=1, model="m")
    with Journal(path) as journal:
        journal.append([kept])
    path.write_bytes(path.read_bytes() + b'{"id":"b","te')
    with Journal(path) as journal:
        assert journal.responses == {"a": kept}
        journal.append([kept.model_copy(update={"id": "c"})])
    assert [line["id"] for line in map(json.loads, path.read_text().split("\n")[:-1])] == ["a", "c"]


def test_a_full_disk_is_one_line_and_what_was_written_before_is_kept(tmp_path: Path):
    """A limit on a file's size in place of the disk: the write that reaches it is cut off and fails."""
    path = tmp_path / "journal.jsonl"
    answer = Response(id="a", text="b", finish_reason="stop", attempt=1, model="m")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        journal.append([answer])
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, hard))
        try:
            with pytest.raises(
                InputError, match=r"journal.jsonl: cannot be written: .*; what it has is kept"
            ):
                journal.append([answer.model_copy(update={"id": "c"})])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Journal(path) as journal:
        assert list(journal.responses) == ["a"]
        journal.append([answer.model_copy(update={"id": "c"})])
    assert [line["id"] for line in read_lines(path)] == ["a", "c"]


def test_a_damaged_journal_is_named(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match="record line 1: is damaged: remove this line"), Journal(path):
        pass


def test_a_second_writer_waits_and_finds_what_the_first_has_written(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    script = "import sys; from selfevolve.generation.journal import Journal\n"
    script += "with Journal(sys.argv[1]) as journal: print(*journal.responses)"
    with Journal(path) as journal:
        second = subprocess.Popen(
            [sys.executable, "-c", script, path],
            env=stage_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "waiting for the process that is writing" in second.stderr.readline()
        journal.append([Response(id="a", text="b", finish_reason="stop", attempt=1, model="m")])
    assert second.communicate(timeout=60)[0] == "a\n"
    assert second.returncode == 0


def test_seeds_differ_by_run_id_and_attempt():
    seeds = {derive_seed(*key) for key in [(1, "a", 1), (2, "a", 1), (1, "b", 1), (1, "a", 2)]}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("respond.sampling.top_p", 0),
        ("respond.sampling.temperature", "1"),
        ("respond.sampling.max_new_tokens", 2.5),
        ("engine.kind", "vllm"),
        ("engine.batch_tokens", 0),
    ],
)
def test_a_wrong_parameter_is_one_line(
    key: str,
    value: object,
    backbone: Path,
    contexts_file: Path,
    params_file: Callable[..., Path],
    tmp_path: Path,
):
    arguments = ["--policy", backbone, "--contexts", contexts_file, "--params", params_file({key: value})]
    done = run_here("respond", *arguments, "--out", "o.jsonl", "--metrics", "m.json", cwd=tmp_path)
    assert done.returncode == 1
    assert f"field {key}: " in done.stderr.strip().split("\n")[-1]


def test_a_stage_killed_in_the_middle_ends_byte_identical(
    backbone: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
):
    params = params_file({"engine.batch_tokens": 2000, "respond.sampling.max_new_tokens": 100})
    arguments = ["--policy", backbone, "--contexts", contexts_file, "--params", params, "--prompt", "plain"]
    arguments += ["--out", "out.jsonl", "--metrics", "m.json"]
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    quiet.mkdir(), killed.mkdir()
    done = run_stage("respond", *arguments, cwd=quiet)
    assert done.returncode == 0, done.stderr
    child = subprocess.Popen(stage_command("respond", *arguments), cwd=killed, env=stage_environment())
    journal = wait_for_lines(killed, 5, child)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = journal.read_bytes()
    assert not (killed / "out.jsonl").exists()
    assert 5 <= before.count(b"\n") < 40
    assert run_stage("respond", *arguments, cwd=killed).returncode == 0
    assert (killed / "out.jsonl").read_bytes() == (quiet / "out.jsonl").read_bytes()
    after = journal.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    assert len({line["id"] for line in read_lines(journal)}) == after.count(b"\n") == 40


def wait_for_lines(folder: Path, count: int, child: "subprocess.Popen[bytes]") -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        for journal in folder.glob(".scratch/respond/*/journal.jsonl"):
            if journal.read_bytes().count(b"\n") >= count:
                return journal
        time.sleep(0.01)
    raise AssertionError(f"no {count} lines in a journal; exit code {child.poll()}")


def test_a_missing_policy_is_one_line(contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path):
    arguments = ["--policy", "nowhere", "--contexts", contexts_file, "--params", params_file()]
    done = run_here("respond", *arguments, "--out", "o.jsonl", "--metrics", "m.json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().split("\n")[-1] == "error: nowhere/policy.json: no such file"
    assert not (tmp_path / "o.jsonl").exists()
