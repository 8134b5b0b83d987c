"""The policy refines: asked again until it parses, dialogues shortened to its window."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.policy import Backbone, write_backbone
from selfevolve.preferences.refinement import RefineParams, refine
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Response
from tests.conftest import ROOT, read_lines, run_here, write_prompts
from tests.support.judges import word_window
from tests.support.preferences import CONTEXT, UNDERSTANDING, direct

SAMPLING = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=8)


class Parrot:
    """An engine that gives valid JSON at a set attempt."""

    model, settings = "parrot", {"kind": "parrot"}

    def __init__(self, good_at: dict[str, int]):
        self.good_at, self.seeds = good_at, []

    def plan(self, requests: list[Request], sampling: Sampling, done: set[str]) -> list[list[Request]]:
        return [requests]

    def answer(self, batches: list[list[Request]], sampling: Sampling) -> Any:
        (requests,) = batches
        self.seeds += [request.seed for request in requests]
        for request in requests:
            good = request.attempt == self.good_at[request.id]
            answer = {"understanding": UNDERSTANDING.model_dump(), "refined_response": "better"}
            text = json.dumps(answer) if good else "I cannot"
            yield [
                Response(id=request.id, text=text, finish_reason="stop", attempt=request.attempt, model="p")
            ]


def test_the_policy_is_asked_again_until_its_answer_parses(tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    engine = Parrot({"a": 1, "b": 2, "c": 9})
    contexts = [CONTEXT.model_copy(update={"id": identity}) for identity in "abc"]
    params = RefineParams(seed=1, attempts=3, sampling=SAMPLING, answers="one")
    prompts, responses = load_prompts(ROOT / "prompts/tiny"), dict.fromkeys("abc", "I see.")
    refined, counts = refine(engine, word_window(1000), contexts, responses, prompts, params)
    results = {refinement.id: refinement for refinement in refined}
    assert len(engine.seeds) == len(set(engine.seeds)) == 3 + 2 + 1
    assert [(results[i].status, results[i].attempts) for i in "abc"] == [
        ("parsed", 1),
        ("parsed", 2),
        ("failed", 3),
    ]
    assert results["c"].raw == ["I cannot"] * 3
    assert results["b"].refined_response == "better"
    assert [counts[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [1, 1, 0]
    assert (counts["count"], counts["failed"], counts["too_long"]) == (3, 1, 0)


def test_the_refine_stage_shortens_the_dialogue_and_never_the_last_turn(
    backbone: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
):
    prompts = write_prompts(tmp_path / "prompts", refine="Reflect and answer as JSON.")
    ids = [line["id"] for line in read_lines(contexts_file)]
    responses = [direct("I see.", i) for i in ids]
    write_records(tmp_path / "responses.jsonl", responses)
    narrow = Backbone(weights=str(backbone), template="llama3", dtype="float32", window=144)
    write_backbone(tmp_path / "narrow", narrow)
    changes = {"prompts.dir": str(prompts), "refine.sampling.max_new_tokens": 32, "refine.attempts": 2}
    arguments = ["--policy", "narrow", "--contexts", contexts_file, "--responses", "responses.jsonl"]
    arguments += ["--out", "out.jsonl", "--metrics", "m.json", "--params", params_file(changes)]
    done = run_here("refine", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["count"] == 40 == counts["failed"] + counts["too_long"]  # a random model writes no JSON
    assert counts["shortened"] > 0
    assert counts["too_long"] > 0  # counted, and answered with the golden response by the next stage
    tried = [len(line["raw"]) for line in read_lines(tmp_path / "out.jsonl")]
    assert (tried.count(2), tried.count(0)) == (counts["failed"], counts["too_long"])
