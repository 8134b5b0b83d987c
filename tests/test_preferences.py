"""From contexts to preference pairs: appendix A's rules, and numbers that add up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import pair
from stages.engines.request import Request, Sampling
from stages.pair import PairParams, make_pair
from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records, write_records
from stages.records.schema import Context, Message, Preference, Refinement, Response, Understanding
from stages.refine import refine
from tests.conftest import read_lines, run_stage

CONTEXT = Context(
    id="d1#3", messages=[Message(role="user", content="I am sad.")], golden="What made you sad?"
)
PARAMS = PairParams(seed=1, max_length_ratio=2.0, length_against=["rejected"], valid_share=0.1)
UNDERSTANDING = Understanding(user_profile="p", user_emotion="e", user_personality="q", user_intention="i")
SAMPLING = Sampling(temperature=0.9, top_p=0.8, top_k=50, repetition_penalty=1.2, max_new_tokens=8)


def refined(text: str | None, identity: str = "d1#3") -> Refinement:
    if text is None:
        return Refinement(id=identity, attempts=3, status="failed", raw=["x", "y", "z"])
    return Refinement(
        id=identity,
        understanding=UNDERSTANDING,
        evaluation_score=3.0,
        feedback="f",
        refined_response=text,
        attempts=1,
        status="parsed",
    )


@pytest.mark.parametrize(
    ("rejected", "refinement", "chosen", "source"),
    [
        ("one two", "a b c d", "a b c d", "refined"),  # exactly twice as long is not longer than twice
        ("one two", "a b c d e", CONTEXT.golden, "golden_length"),
        ("one two", None, CONTEXT.golden, "golden_parse"),
    ],
)
def test_who_is_chosen(rejected: str, refinement: str | None, chosen: str, source: str):
    pair, _ = make_pair(CONTEXT, rejected, refined(refinement), "S", PARAMS)
    assert pair is not None
    assert (pair.chosen.value, pair.chosen_source, pair.rejected.value) == (chosen, source, rejected)
    assert [message.value for message in pair.conversations] == ["I am sad."]


def test_the_length_rule_can_take_the_golden_response_as_measure():
    params = PARAMS.model_copy(update={"length_against": ["rejected", "golden"]})
    pair, _ = make_pair(CONTEXT, "w " * 9, refined("w " * 10), "S", params)
    assert pair is not None
    assert pair.chosen_source == "golden_length"  # 10 words against the golden response's 4


@pytest.mark.parametrize(
    ("rejected", "refinement", "reason"),
    [("a  b", "a b", "equal"), (CONTEXT.golden, None, "equal"), (" ", "a", "empty_rejected")],
)
def test_what_is_dropped_has_a_reason(rejected: str, refinement: str | None, reason: str):
    assert make_pair(CONTEXT, rejected, refined(refinement), "S", PARAMS) == (None, reason)


def write_inputs(folder: Path) -> dict[str, int]:
    """Sixty contexts of twenty dialogues; every third reflection failed, some are long or equal."""
    contexts, responses, refinements = [], [], []
    expected = {"refined": 0, "golden_length": 0, "golden_parse": 0, "golden": 0, "equal": 0}
    for n in range(60):
        identity = f"d{n // 3:02d}#{2 * (n % 3) + 1}"
        contexts.append(CONTEXT.model_copy(update={"id": identity}))
        responses.append(Response(id=identity, text="a b", finish_reason="stop", attempt=1, model="m"))
        kind = ["golden_parse", "refined", "golden_length", "equal"][n % 4]
        text = {"golden_parse": None, "refined": "c d", "golden_length": "a b c d e", "equal": "a b"}[kind]
        refinements.append(refined(text, identity))
        expected[kind] += 1
    write_records(folder / "contexts.jsonl", contexts)
    write_records(folder / "rejected.jsonl", responses)
    write_records(folder / "refined.jsonl", refinements)
    return expected


def run_pair(folder: Path, params: Path) -> Any:
    arguments = ["--contexts", "contexts.jsonl", "--rejected", "rejected.jsonl", "--refined", "refined.jsonl"]
    return run_stage(
        "pair", *arguments, "--out", "out", "--metrics", "m.json", "--params", params, cwd=folder
    )


def test_every_context_is_accounted_for(tmp_path: Path, params_file: Callable[..., Path]):
    expected = write_inputs(tmp_path)
    done = run_pair(tmp_path, params_file({"pair.valid_share": 0.2}))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["contexts"] == 60 == counts["pairs"] + sum(counts["dropped"].values())
    assert counts["dropped"] == {"equal": expected.pop("equal"), "empty_rejected": 0}
    assert counts["chosen_source"] == expected
    parts = [read_records(tmp_path / "out" / f"{name}.jsonl", Preference) for name in ("train", "valid")]
    assert [len(part) for part in parts] == [counts["train"], counts["valid"]]
    dialogues = [{pair.id.split("#")[0] for pair in part} for part in parts]
    assert not dialogues[0] & dialogues[1]
    assert len(dialogues[1]) == 4


def test_a_context_without_a_refinement_is_named(tmp_path: Path, params_file: Callable[..., Path]):
    write_inputs(tmp_path)
    lines = (tmp_path / "refined.jsonl").read_text().splitlines()
    (tmp_path / "refined.jsonl").write_text("\n".join(lines[1:]))
    done = run_pair(tmp_path, params_file())
    assert (done.returncode, done.stderr) == (
        1,
        "error: refined.jsonl: record d00#1: has no record of this id\n",
    )
    assert not (tmp_path / "out").exists()


def write_own(folder: Path, sizes: list[int]) -> None:
    """Dialogues with so many contexts each; every text begins with the id of the context it is of."""
    ids = [f"d{d:02d}#{2 * n + 1}" for d, size in enumerate(sizes) for n in range(size)]
    contexts = [CONTEXT.model_copy(update={"id": i, "golden": f"{i} golden"}) for i in ids]
    rejected = [Response(id=i, text=f"{i} direct", finish_reason="stop", attempt=1, model="m") for i in ids]
    write_records(folder / "contexts.jsonl", contexts)
    write_records(folder / "rejected.jsonl", rejected)
    write_records(folder / "refined.jsonl", [refined(f"{i} refined, and longer", i) for i in ids])


def make_pairs(folder: Path, params: Path, *more: str) -> list[Preference]:
    """Run the stage on the folder's contexts and direct responses; return all pairs by id."""
    arguments = ["--contexts", folder / "contexts.jsonl", "--rejected", folder / "rejected.jsonl", *more]
    arguments += ["--out", folder / "out", "--metrics", folder / "m.json", "--params", params]
    pair.main([str(argument) for argument in arguments])
    parts = [read_records(folder / "out" / f"{name}.jsonl", Preference) for name in ("train", "valid")]
    return sorted(parts[0] + parts[1], key=lambda made: natural_key(made.id))


def sides(pairs: list[Preference]) -> list[tuple[str, str]]:
    return [(made.chosen.value, made.rejected.value) for made in pairs]


def test_swapped_pairs_prefer_what_was_rejected(tmp_path: Path, params_file: Callable[..., Path]):
    write_own(tmp_path, [3, 3, 3])
    more = ("--refined", str(tmp_path / "refined.jsonl"))
    plain = make_pairs(tmp_path, params_file(), *more)
    swapped = make_pairs(tmp_path, params_file({"pair.control": "swapped"}), *more)
    assert sides(swapped) == [(rejected, chosen) for chosen, rejected in sides(plain)]
    assert [made.conversations for made in swapped] == [made.conversations for made in plain]


def test_shuffled_pairs_go_to_other_dialogues_and_stay_whole(
    tmp_path: Path, params_file: Callable[..., Path]
):
    write_own(tmp_path, [1, 4, 2, 3, 2])
    more = ("--refined", str(tmp_path / "refined.jsonl"))
    plain = make_pairs(tmp_path, params_file(), *more)
    made, files = {}, {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        changes = {"pair.control": "shuffled", "pair.seed": seed}
        made[name] = make_pairs(tmp_path, params_file(changes), *more)
        files[name] = [(tmp_path / "out" / f"{part}.jsonl").read_bytes() for part in ("train", "valid")]
    assert files["first"] == files["again"]
    assert sides(made["first"]) != sides(made["other"])
    for pairs in made.values():
        assert [(p.id, p.conversations) for p in pairs] == [(p.id, p.conversations) for p in plain]
        assert sorted(sides(pairs)) == sorted(sides(plain))  # chosen and rejected of one context together
        assert not [p.id for p in pairs if p.chosen.value.startswith(pair.dialogue_id(p))]


def test_too_few_dialogues_cannot_be_shuffled(tmp_path: Path, params_file: Callable[..., Path]):
    write_own(tmp_path, [4, 2, 1])  # of seven, four would have to go to the other three
    params = params_file({"pair.control": "shuffled"})
    with pytest.raises(InputError, match=r"field pair\.control: too few dialogues"):
        make_pairs(tmp_path, params, "--refined", str(tmp_path / "refined.jsonl"))
    assert not (tmp_path / "out").exists()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 99))
def test_no_shuffled_pair_keeps_its_dialogue_whatever_their_sizes(sizes: list[int], seed: int):
    made = [
        make_pair(CONTEXT.model_copy(update={"id": f"d{d}#{n}"}), "direct", refined(f"d{d}"), "S", PARAMS)[0]
        for d, size in enumerate(sizes)
        for n in range(size)
    ]
    pairs = [found for found in made if found is not None]
    if 2 * max(sizes) > sum(sizes):
        with pytest.raises(InputError, match="too few dialogues"):
            pair.spoil(pairs, "shuffled", seed)
        return
    shuffled = pair.spoil(pairs, "shuffled", seed)
    assert [p.id for p in shuffled] == sorted((p.id for p in pairs), key=natural_key)
    assert not [p.id for p in shuffled if p.chosen.value == pair.dialogue_id(p)]
    assert sorted(sides(shuffled)) == sorted(sides(pairs))


def test_without_a_length_rule_long_refined_responses_stay(tmp_path: Path, params_file: Callable[..., Path]):
    write_inputs(tmp_path)
    done = run_pair(tmp_path, params_file({"pair.max_length_ratio": None}))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["chosen_source"] == {"refined": 30, "golden_length": 0, "golden_parse": 15, "golden": 0}


class Parrot:
    """An engine that gives valid JSON at a set attempt."""

    model = "parrot"

    def __init__(self, good_at: dict[str, int]):
        self.good_at, self.seeds = good_at, []

    def describe(self) -> dict[str, Any]:
        return {"kind": "parrot"}

    def complete(self, requests: list[Request], sampling: Sampling, done: set[str]) -> Any:
        self.seeds += [request.seed for request in requests]
        for request in requests:
            good = request.attempt == self.good_at[request.id]
            answer = {"understanding": UNDERSTANDING.model_dump(), "refined_response": "better"}
            text = json.dumps(answer) if good else "I cannot"
            yield [
                Response(id=request.id, text=text, finish_reason="stop", attempt=request.attempt, model="p")
            ]


def test_only_what_did_not_parse_is_asked_again_with_a_fresh_seed(tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    engine = Parrot({"a": 1, "b": 2, "c": 9})
    asked = {identity: [Message(role="user", content=identity)] for identity in "abc"}
    results = {refinement.id: refinement for refinement in refine(engine, asked, SAMPLING, 1, 3)}
    assert len(engine.seeds) == len(set(engine.seeds)) == 3 + 2 + 1
    assert [(results[i].status, results[i].attempts) for i in "abc"] == [
        ("parsed", 1),
        ("parsed", 2),
        ("failed", 3),
    ]
    assert results["c"].raw == ["I cannot"] * 3
    assert results["b"].refined_response == "better"


def test_the_refine_stage_shortens_the_dialogue_and_never_the_last_turn(
    backbone: Path, contexts_file: Path, params_file: Callable[..., Path], tmp_path: Path
):
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "refine.txt").write_text("Reflect and answer as JSON.")
    ids = [line["id"] for line in read_lines(contexts_file)]
    responses = [Response(id=i, text="I see.", finish_reason="stop", attempt=1, model="m") for i in ids]
    write_records(tmp_path / "responses.jsonl", responses)
    changes = {"prompts.dir": str(prompts), "refine.sampling.max_new_tokens": 400, "refine.attempts": 2}
    arguments = ["--policy", backbone, "--contexts", contexts_file, "--responses", "responses.jsonl"]
    arguments += ["--out", "out.jsonl", "--metrics", "m.json", "--params", params_file(changes)]
    done = run_stage("refine", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["count"] == 40 == counts["failed"] + counts["too_long"]  # a random model writes no JSON
    assert counts["shortened"] > 0
    assert counts["too_long"] > 0  # counted, and answered with the golden response by the next stage
    tried = [len(line["raw"]) for line in read_lines(tmp_path / "out.jsonl")]
    assert (tried.count(2), tried.count(0)) == (counts["failed"], counts["too_long"])
