"""What reflections name of seekers whose emotion and problem are known, by the number of turns seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.data import labels
from selfevolve.data.contexts import contexts_at
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Dialogue, Refinement, Turn, Understanding
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from stages import contexts, refine, respond
from stages.analyses import profile_inference
from testbed.world.profile import all_facts
from tests.conftest import ROOT, TEXTS, read_lines
from tests.support.backbones import random_backbone

# --- the rule for annotated labels


@pytest.mark.parametrize("words", [labels.EMOTIONS, labels.PROBLEMS])
def test_every_label_names_itself(words: dict[str, tuple[str, ...]]):
    for label in words:
        if label not in ("conflict with parents", "issues with parents"):
            assert labels.named(f"It is about {label.upper()}.", words, words) >= {label}


def test_no_word_stands_for_two_emotions():
    for label, entries in labels.EMOTIONS.items():
        for entry in entries:
            assert labels.named(entry.removesuffix("*"), labels.EMOTIONS, labels.EMOTIONS) == {label}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She is anxious,\nand ASHAMED.", {"anxiety", "shame"}),
        ("saddened by it", {"sadness"}),
        ("in the saddle; a painting; not said yet", set()),
        ("on  edge", {"nervousness"}),
    ],
)
def test_emotions_are_found_as_whole_words(text: str, expected: set[str]):
    assert labels.named(text, labels.EMOTIONS, labels.EMOTIONS) == expected


def test_friends_are_not_boyfriends_and_labels_keep_their_spelling():
    known = ["Sleep Problems", "problems with friends", "breakup with partner"]
    assert labels.named("her boyfriend left", known, labels.PROBLEMS) == {"breakup with partner"}
    assert labels.named("insomnia since a friend left", known, labels.PROBLEMS) == set(known[:2])


def test_a_label_that_is_not_listed_needs_all_its_words():
    assert labels.named("The move to a new city.", ["new city"], labels.PROBLEMS) == {"new city"}
    assert labels.named("Something new.", ["the new city"], labels.PROBLEMS) == set()
    assert labels.named("The and of.", ["of the"], labels.PROBLEMS) == set()


# --- contexts after so many seeker turns


def dialogue(identity: str, exchanges: int, **meta: Any) -> Dialogue:
    turns = [
        Turn(role=role, text=f"{TEXTS[n % 4]} {n}")
        for n in range(exchanges)
        for role in ("seeker", "supporter")
    ]
    return Dialogue(id=identity, source="own", turns=turns, meta=meta)


def test_contexts_have_exactly_so_many_seeker_turns():
    found = contexts_at(dialogue("d", 7), [1, 3, 9, "all"])
    assert [context.id for context in found] == ["d#1", "d#5", "d#13"]
    assert [sum(m.role == "user" for m in context.messages) for context in found] == [1, 3, 7]
    assert [c.id for c in contexts_at(dialogue("d", 3), [3, "all"])] == ["d#5"]
    assert [c.id for c in contexts_at(dialogue("d", 2), [1, 5])] == ["d#1"]


# --- the stage on annotated dialogues


ANNOTATED = [
    ("anxiety", "job crisis"),
    ("anger", "Sleep Problems"),
    ("sadness", "job crisis"),
    ("fear", "problems with friends"),
]


def reflection(identity: str, emotion: str, problem: str) -> Refinement:
    said = Understanding(user_profile=problem, user_emotion=emotion, user_personality="q", user_intention="i")
    return Refinement(
        id=identity,
        understanding=said,
        evaluation_score=1.0,
        feedback="f",
        refined_response="r",
        attempts=1,
        status="parsed",
    )


def run(folder: Path, dialogues: list[Dialogue], refined: list[Refinement]) -> dict[str, Any]:
    write_records(folder / "dialogues.jsonl", dialogues)
    write_records(folder / "refined.jsonl", refined)
    found = [c for d in dialogues for c in contexts_at(d, [1, 2, "all"])]
    if not (folder / "contexts.jsonl").exists():
        write_records(folder / "contexts.jsonl", found)
    names = {name: f"{name}.jsonl" for name in ("refined", "contexts", "dialogues", "details")}
    publish_json(folder / "facts.json", {"phrases": all_facts(), "words": []})
    names["vocabulary"] = "facts.json"
    arguments = [part for name, path in names.items() for part in (f"--{name}", str(folder / path))]
    profile_inference.main([*arguments, "--out", str(folder / "out.json")])
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


def annotated() -> list[Dialogue]:
    return [dialogue(f"d{n}", 3, emotion=e, problem=p) for n, (e, p) in enumerate(ANNOTATED)]


def test_reflections_are_counted_as_naming_not_naming_or_invalid(tmp_path: Path):
    refined = [
        reflection("d0#1", "worried", "has lost her job"),
        reflection("d1#1", "happy", "lies awake"),
        reflection("d2#1", "sad and angry", "not said yet"),
        Refinement(id="d3#1", attempts=3, status="failed", raw=["x"]),
        *(reflection(f"d{n}#5", "?", "work") for n in range(3)),
        # Its refined response did not parse, an answer of its own: the reflection counts all the same.
        reflection("d3#5", "scared", "a friend").model_copy(
            update={"refined_response": None, "status": "failed"}
        ),
    ]
    report = run(tmp_path, annotated(), refined)
    assert (report["reflections"], report["dialogues"], report["nothing_known"]) == (8, 4, 0)
    assert list(report["by_seeker_turns"]) == ["1", "all"]
    first = report["by_seeker_turns"]["1"]
    assert (first["contexts"], first["shortened"]) == (4, 0)
    for kind in ("emotion", "problem"):
        assert first[kind]["by"] == {"label": 4}
        assert [first[kind][part]["mean"] for part in ("named", "not_named", "invalid")] == [50, 25, 25]
        assert first[kind]["named"]["low"] < 50 < first[kind]["named"]["high"]
    # Of 12 pairs of different contexts only the third's "angry" names another's (the second's) emotion.
    assert first["emotion"]["by_chance"] == pytest.approx(100 / 12)
    # The first names the third's problem.
    assert first["problem"]["by_chance"] == pytest.approx(100 / 12)
    assert "understanding" not in first
    everything = report["by_seeker_turns"]["all"]
    assert everything["problem"]["named"]["mean"] == 75
    assert everything["invalid"]["mean"] == 0
    details = {line["id"]: line for line in read_lines(tmp_path / "details.jsonl")}
    assert details["d2#1"]["emotion"] == {"own": "sadness", "by": "label", "named": ["anger", "sadness"]}
    assert details["d3#5"]["group"] == "all"
    assert details["d3#5"]["seeker_turns"] == 3


def test_the_emotion_is_looked_for_where_it_belongs(tmp_path: Path):
    report = run(tmp_path, annotated(), [reflection("d0#3", "calm", "a worried man")])
    assert report["by_seeker_turns"]["2"]["emotion"]["named"] == {"mean": 0}
    assert report["by_seeker_turns"]["2"]["emotion"]["by_chance"] == "not available"


def test_a_context_that_lost_its_beginning_is_counted(tmp_path: Path):
    found = contexts_at(annotated()[0], [2])
    cut = [context.model_copy(update={"messages": context.messages[2:]}) for context in found]
    write_records(tmp_path / "contexts.jsonl", cut)
    report = run(tmp_path, annotated(), [reflection("d0#3", "worried", "work")])
    assert report["by_seeker_turns"]["2"]["shortened"] == 1


def test_dialogues_of_which_nothing_is_known_are_counted_apart(tmp_path: Path):
    plain = [dialogue("d0", 3), dialogue("d1", 3, emotion="fear", problem="")]
    report = run(tmp_path, plain, [reflection(f"d{n}#1", "afraid", "x") for n in (0, 1)])
    assert report["nothing_known"] == 1
    first = report["by_seeker_turns"]["1"]
    assert (first["emotion"]["asked"], first["problem"]) == (1, {"asked": 0})


@pytest.mark.parametrize(
    ("refined", "message"),
    [
        ([], "refined.jsonl: has no refinements"),
        ([reflection("d0#9", "x", "y")], "contexts.jsonl: record d0#9"),
    ],
)
def test_what_does_not_fit_together_is_an_error(tmp_path: Path, refined: list[Refinement], message: str):
    with pytest.raises(InputError, match=message):
        run(tmp_path, annotated(), refined)
    assert not (tmp_path / "out.json").exists()


# --- the mini world, and the whole way from dialogues to shares


def profile(problem: str, emotion: str, disclosure: dict[str, int]) -> dict[str, Any]:
    return {
        **{"occupation": "baker", "person": "supervisor", "trait": "slow to trust people"},
        **{"cause": "the missed promotion after the merger", "support": "a small first step"},
        **{"problem": problem, "emotion": emotion, "disclosure": disclosure},
    }


def test_phrases_of_the_mini_world_are_known_from_the_profile(tmp_path: Path):
    facts = [
        profile("trouble at work", "anxious", {"problem": 0, "emotion": 1}),
        profile("exam pressure", "furious", {"problem": 0, "emotion": 0}),
    ]
    dialogues = [dialogue(f"d{n}", 3, profile=one, emotion="x", problem="y") for n, one in enumerate(facts)]
    refined = [
        reflection("d0#1", "anxious", "trouble at work"),
        reflection("d1#1", "worried", "exam pressure"),
    ]
    first = run(tmp_path, dialogues, refined)["by_seeker_turns"]["1"]
    assert first["problem"]["by"] == {"profile": 2}
    assert (first["problem"]["named"]["mean"], first["problem"]["told"]) == (100, 2)
    assert (first["emotion"]["named"]["mean"], first["emotion"]["told"]) == (50, 1)
    assert first["emotion"]["named_of_told"] == {"mean": 0}  # anxious was a guess, furious was missed
    assert first["understanding"]["contexts"] == 2


def test_from_test_dialogues_to_shares_with_a_real_policy(
    tmp_path: Path, params_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    texts = [*TEXTS, *load_prompts(ROOT / "prompts/paper").texts.values()]
    policy = str(random_backbone(tmp_path / "backbone", texts, 500, 2048))
    dialogues = [dialogue(f"d{n}", 2 + 2 * n, emotion=e, problem=p) for n, (e, p) in enumerate(ANNOTATED)]
    write_records(tmp_path / "dialogues.jsonl", dialogues)
    changes = {"respond.sampling.max_new_tokens": 8, "refine.sampling.max_new_tokens": 8}
    changes |= {"refine.attempts": 1, "contexts.test_limit": None, "prompts.dir": str(ROOT / "prompts/paper")}
    params = ["--params", str(params_file(changes | {"contexts.cutoff_len": 2048}))]
    monkeypatch.chdir(tmp_path)
    test, turns = "contexts/test.jsonl", ["--seeker-turns", "1", "4", "all"]
    asked = ["--policy", policy, "--metrics", "m.json", *params]
    contexts.main(["--test", "dialogues.jsonl", *turns, "--out", "contexts", *asked])
    counts = json.loads(Path("m.json").read_text())
    assert counts.keys() == {"test"}
    assert counts["test"]["dialogues_too_short_for"] == {"1": 0, "4": 1}
    ids = [context.id for context in read_records(tmp_path / test, Context)]
    assert ids == ["d0#1", "d0#3", "d1#1", "d1#7", "d2#1", "d2#7", "d2#11", "d3#1", "d3#7", "d3#15"]
    assert [path.name for path in Path("contexts").iterdir()] == ["test.jsonl"]
    respond.main(["--contexts", test, "--out", "responses.jsonl", *asked])
    refine.main(["--contexts", test, "--responses", "responses.jsonl", "--out", "refined.jsonl", *asked])
    publish_json(tmp_path / "facts.json", {"phrases": {}, "words": []})
    files = ["--refined", "refined.jsonl", "--contexts", test, "--dialogues", "dialogues.jsonl"]
    files += ["--vocabulary", "facts.json"]
    profile_inference.main([*files, "--out", "out.json", "--details", "details.jsonl"])
    groups = json.loads(Path("out.json").read_text())["by_seeker_turns"]
    assert {name: group["contexts"] for name, group in groups.items()} == {"1": 4, "4": 2, "all": 4}
    for group in groups.values():  # a random policy writes no JSON
        assert [group["emotion"][part]["mean"] for part in ("named", "not_named", "invalid")] == [0, 0, 100]


@pytest.mark.parametrize("turns", ["0", "-1", "some"])
def test_a_number_of_turns_that_is_none_is_refused(turns: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        contexts.main(["--test", "x", "--seeker-turns", turns])
    assert "neither a number from 1 on nor all" in capsys.readouterr().err
