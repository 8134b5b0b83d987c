"""From contexts to preference pairs: appendix A's rules, and numbers that add up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.generation.request import Request, Sampling
from selfevolve.policies.policy import Backbone, write_backbone
from selfevolve.preferences.pairs import SOURCES, PairParams, count_pairs, make_pairs, spoil
from selfevolve.preferences.refinement import RefineParams, refine
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import dialogue_of, natural_key, read_records, write_records
from selfevolve.records.schema import Context, Message, Preference, Refinement, Response, Understanding
from selfevolve.runtime.errors import InputError
from stages import pair
from tests.conftest import ROOT, read_lines, run_here, write_prompts
from tests.support.judges import word_window

CONTEXT = Context(
    id="d1#3", messages=[Message(role="user", content="I am sad.")], golden="What made you sad?"
)
PARAMS = PairParams(
    seed=1,
    too_long="golden",
    max_length_ratio=2.0,
    length_against=["rejected"],
    supported_by=None,
    unsupported="golden",
    least_support=0.3,
    valid_share=0.1,
)
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


def direct(text: str, identity: str = "d1#3", finish_reason: str = "stop") -> Response:
    return Response(id=identity, text=text, finish_reason=finish_reason, attempt=1, model="m")


def pairs_of_one(
    rejected: str, refinement: str | None, params: PairParams = PARAMS, finish_reason: str = "stop"
) -> Any:
    """The pair of CONTEXT, or the reason that it has none."""
    response = direct(rejected, CONTEXT.id, finish_reason)
    return make_pairs([CONTEXT], {CONTEXT.id: response}, {CONTEXT.id: refined(refinement)}, "S", params)


@pytest.mark.parametrize(
    ("rejected", "refinement", "chosen", "source"),
    [
        ("one two", "a b c d", "a b c d", "refined"),  # exactly twice as long is not longer than twice
        ("one two", "a b c d e", CONTEXT.golden, "golden_length"),
        ("one two", None, CONTEXT.golden, "golden_parse"),
    ],
)
def test_who_is_chosen(rejected: str, refinement: str | None, chosen: str, source: str):
    (pair,) = pairs_of_one(rejected, refinement)[0]
    assert (pair.chosen.value, pair.chosen_source, pair.rejected.value) == (chosen, source, rejected)
    assert [message.value for message in pair.conversations] == ["I am sad."]


def test_the_length_rule_can_take_the_golden_response_as_measure():
    params = PARAMS.model_copy(update={"length_against": ["rejected", "golden"]})
    (pair,) = pairs_of_one("w " * 9, "w " * 10, params)[0]
    assert pair.chosen_source == "golden_length"  # 10 words against the golden response's 4


@pytest.mark.parametrize(
    ("rejected", "refinement", "reason"),
    [("a  b", "a b", "equal"), (CONTEXT.golden, None, "equal"), ("\u200b \ufeff", "a", "empty_rejected")],
)
def test_what_is_dropped_has_a_reason(rejected: str, refinement: str | None, reason: str):
    pairs, dropped = pairs_of_one(rejected, refinement)
    assert (pairs, +dropped) == ([], {reason: 1})


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
@pytest.mark.parametrize("refinement", ["a b", None, "a b c d e"])
def test_a_rejected_response_without_an_end_of_its_own_makes_no_pair(
    finish_reason: str, refinement: str | None
):
    pairs, dropped = pairs_of_one("one two", refinement, finish_reason=finish_reason)
    assert (pairs, +dropped) == ([], {"cut_rejected": 1})


@pytest.mark.parametrize("too_long", ["golden", "drop", "ask_again"])
def test_what_becomes_of_a_long_response_is_a_parameter(too_long: str):
    params = PARAMS.model_copy(update={"too_long": too_long})
    pairs, dropped = pairs_of_one("one two", "a b c d e", params)
    if too_long == "drop":
        assert (pairs, +dropped) == ([], {"too_long": 1})
    else:
        assert [pair.chosen_source for pair in pairs] == ["golden_length"]
    (short,) = pairs_of_one("one two", "a b c d", params)[0]
    assert short.chosen_source == "refined"
    (unread,) = pairs_of_one("one two", None, params)[0]
    assert unread.chosen_source == "golden_parse"


def test_a_golden_response_in_place_of_a_long_one_can_be_as_long():
    contexts = [CONTEXT.model_copy(update={"id": f"d{n}#3", "golden": "g " * 2 * n}) for n in range(1, 5)]
    responses = {one.id: direct("one two", one.id) for one in contexts}
    texts = dict(zip(responses, ["w " * 9, "w " * 9, "w " * 4, None], strict=True))
    refinements = {name: refined(text, name) for name, text in texts.items()}
    pairs, dropped = make_pairs(contexts, responses, refinements, "S", PARAMS)
    counts = count_pairs(pairs, dropped, list(refinements.values()), 2.0)
    assert counts["by_source"] == {
        "refined": {
            "pairs": 1,
            "percent": 25,
            "length_ratio": 2,
            "length_ratio_max": 2,
            "over_length_rule": 0,
        },
        "golden_length": {
            "pairs": 2,
            "percent": 50,
            "length_ratio": 1.5,
            "length_ratio_max": 2,
            "over_length_rule": 0,
        },
        "golden_parse": {
            "pairs": 1,
            "percent": 25,
            "length_ratio": 4,
            "length_ratio_max": 4,
            "over_length_rule": 1,
        },
    }
    without = count_pairs(pairs, dropped, [], None)["by_source"]
    assert not any("over_length_rule" in source for source in without.values())
    assert without["golden_parse"]["length_ratio_max"] == 4


def write_inputs(folder: Path) -> dict[str, int]:
    """Sixty contexts of twenty dialogues; every third reflection failed, some are long or equal."""
    contexts, responses, refinements = [], [], []
    expected = dict.fromkeys((*SOURCES, "equal"), 0)
    for n in range(60):
        identity = f"d{n // 3:02d}#{2 * (n % 3) + 1}"
        contexts.append(CONTEXT.model_copy(update={"id": identity}))
        responses.append(direct("a b", identity))
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
    return run_here("pair", *arguments, "--out", "out", "--metrics", "m.json", "--params", params, cwd=folder)


def test_every_context_is_accounted_for(tmp_path: Path, params_file: Callable[..., Path]):
    expected = write_inputs(tmp_path)
    done = run_pair(tmp_path, params_file({"pair.valid_share": 0.2}))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["contexts"] == 60 == counts["pairs"] + sum(counts["dropped"].values())
    none = dict.fromkeys(("empty_rejected", "cut_rejected", "too_long", "unsupported"), 0)
    assert counts["dropped"] == {"equal": expected.pop("equal"), **none}
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
    rejected = [direct(f"{i} direct", i) for i in ids]
    write_records(folder / "contexts.jsonl", contexts)
    write_records(folder / "rejected.jsonl", rejected)
    write_records(folder / "refined.jsonl", [refined(f"{i} refined, and longer", i) for i in ids])


def pairs_made_in(folder: Path, params: Path, *more: str) -> list[Preference]:
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
    plain = pairs_made_in(tmp_path, params_file(), *more)
    swapped = pairs_made_in(tmp_path, params_file({"pair.control": "swapped"}), *more)
    assert sides(swapped) == [(rejected, chosen) for chosen, rejected in sides(plain)]
    assert [made.conversations for made in swapped] == [made.conversations for made in plain]


def test_shuffled_pairs_go_to_other_dialogues_and_stay_whole(
    tmp_path: Path, params_file: Callable[..., Path]
):
    write_own(tmp_path, [1, 4, 2, 3, 2])
    more = ("--refined", str(tmp_path / "refined.jsonl"))
    plain = pairs_made_in(tmp_path, params_file(), *more)
    made, files = {}, {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        changes = {"pair.control": "shuffled", "pair.seed": seed}
        made[name] = pairs_made_in(tmp_path, params_file(changes), *more)
        files[name] = [(tmp_path / "out" / f"{part}.jsonl").read_bytes() for part in ("train", "valid")]
    assert files["first"] == files["again"]
    assert sides(made["first"]) != sides(made["other"])
    for pairs in made.values():
        assert [(p.id, p.conversations) for p in pairs] == [(p.id, p.conversations) for p in plain]
        assert sorted(sides(pairs)) == sorted(sides(plain))  # chosen and rejected of one context together
        assert not [p.id for p in pairs if p.chosen.value.startswith(dialogue_of(p.id))]


def test_too_few_dialogues_cannot_be_shuffled(tmp_path: Path, params_file: Callable[..., Path]):
    write_own(tmp_path, [4, 2, 1])  # of seven, four would have to go to the other three
    params = params_file({"pair.control": "shuffled"})
    with pytest.raises(InputError, match=r"field pair\.control: too few dialogues"):
        pairs_made_in(tmp_path, params, "--refined", str(tmp_path / "refined.jsonl"))
    assert not (tmp_path / "out").exists()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 99))
def test_no_shuffled_pair_keeps_its_dialogue_whatever_their_sizes(sizes: list[int], seed: int):
    ids = [f"d{d}#{n}" for d, size in enumerate(sizes) for n in range(size)]
    contexts = [CONTEXT.model_copy(update={"id": identity}) for identity in ids]
    refinements = {identity: refined(identity.split("#")[0], identity) for identity in ids}
    responses = {identity: direct("direct", identity) for identity in ids}
    pairs = make_pairs(contexts, responses, refinements, "S", PARAMS)[0]
    if 2 * max(sizes) > sum(sizes):
        with pytest.raises(InputError, match="too few dialogues"):
            spoil(pairs, "shuffled", seed)
        return
    shuffled = spoil(pairs, "shuffled", seed)
    assert [p.id for p in shuffled] == sorted((p.id for p in pairs), key=natural_key)
    assert not [p.id for p in shuffled if p.chosen.value == dialogue_of(p.id)]
    assert sorted(sides(shuffled)) == sorted(sides(pairs))


def test_without_a_length_rule_long_refined_responses_stay(tmp_path: Path, params_file: Callable[..., Path]):
    write_inputs(tmp_path)
    done = run_pair(tmp_path, params_file({"pair.max_length_ratio": None}))
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "m.json").read_text())
    assert counts["chosen_source"] == dict.fromkeys(SOURCES, 0) | {"refined": 30, "golden_parse": 15}


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
