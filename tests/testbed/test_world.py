"""The mini world as it is published: layouts, shapes, variety, well-formed English."""

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from selfevolve.benchmarks.catalogue import smoke_questions
from testbed.mini import MiniParams, alpaca, esconv, write_world
from testbed.world.data import world
from tests.conftest import SHARED
from tests.support.sessions import CORPORA, DEFAULTS, World, joined_turns, raw_turns, sessions

STRATEGIES = world().supporter.strategies

# --- the files


def test_same_seed_same_bytes_and_another_seed_another_world(mini_folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "again", MiniParams(**DEFAULTS))
    write_world(tmp_path / "other", MiniParams(**{**DEFAULTS, "seed": 8}))
    names = sorted(path.name for path in mini_folder.iterdir())
    assert names == ["alpaca.json", "esconv.json", "extes.json", "serveforemo.json"]
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (mini_folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (mini_folder / name).read_bytes()


def test_sessions_do_not_depend_on_how_many_there_are(mini_world: World) -> None:
    fewer = esconv(40, 30, 7)
    assert len(fewer) == 70
    assert fewer == [session for session in mini_world["esconv"] if session in fewer]  # in the same order


def test_sizes(mini_world: World) -> None:
    assert {name: len(records) for name, records in mini_world.items()} == {
        "esconv": 270,
        "extes": 315,
        "serveforemo": 105,
        "alpaca": 600,
    }


def test_layouts(mini_world: World) -> None:
    for session in mini_world["esconv"]:
        assert {"experience_type", "emotion_type", "problem_type", "situation", "survey_score"} < set(session)
        for turn in session["dialog"]:
            assert list(turn) == ["speaker", "annotation", "content"]
            expected = {"strategy"} if turn["speaker"] == "supporter" else set()
            assert set(turn["annotation"]) == expected
            assert turn["annotation"].get("strategy", "Others") in STRATEGIES
    for session in mini_world["extes"]:
        assert list(session) == ["scene", "description", "content", "profile"]
        assert {tuple(turn) for turn in session["content"]} == {("User",), ("AI Strategy", "AI")}
    for session in mini_world["serveforemo"]:
        assert list(session)[:5] == ["id", "emotion_type", "problem_type", "situation", "dialogue"]
        for turn in session["dialogue"]:
            assert turn["role"] == "user" or turn["strategy"] in STRATEGIES
    assert {tuple(item) for item in mini_world["alpaca"]} == {("instruction", "input", "output")}


def test_strategies_are_spelled_and_keys_named_as_in_the_real_corpora(
    mini_world: World, shared_data: Path
) -> None:
    real = json.loads((shared_data / "esconv" / "ESConv.json").read_text(encoding="utf-8"))
    annotated = {turn["annotation"]["strategy"] for s in real for turn in s["dialog"] if turn["annotation"]}
    assert set(STRATEGIES) == annotated
    assert list(mini_world["esconv"][0]) == [*real[0], "profile"]
    assert {s["problem_type"] for s in mini_world["esconv"]} <= {s["problem_type"] for s in real}
    assert {s["emotion_type"] for s in mini_world["esconv"]} <= {s["emotion_type"] for s in real}
    extes = json.loads((shared_data / "extes" / "ExTES_recovered_11.json").read_text(encoding="utf-8"))
    assert list(mini_world["extes"][0]) == [*extes[0], "profile"]
    assert {key for turn in extes[0]["content"] for key in turn} == {"User", "AI Strategy", "AI"}


@pytest.fixture
def shared_data() -> Path:
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip("the real corpora are not at hand (set ESC_SHARED)")
    return data


# --- shape of the dialogues


def test_lengths(mini_world: World) -> None:
    raw = {corpus: [len(raw_turns(corpus, s)) for s in mini_world[corpus]] for corpus in CORPORA}
    long_enough = [
        len(turns)
        for corpus, _, turns in sessions(mini_world)
        if corpus == "esconv" and len(joined_turns(turns)) >= 10
    ]
    assert min(long_enough) >= 16
    assert max(long_enough) <= 26
    assert 3 <= len(raw["esconv"]) - len(long_enough) <= 10
    for corpus in ("extes", "serveforemo"):
        assert min(raw[corpus]) >= 14
        assert max(raw[corpus]) <= 18


def test_messy_shapes_are_there_but_not_everywhere(mini_world: World) -> None:
    for corpus, least in (("esconv", 0.1), ("extes", 0.02), ("serveforemo", 0.02)):
        turns = [raw_turns(corpus, session) for session in mini_world[corpus]]
        shares = {
            "leading supporter": [t[0][0] == "supporter" for t in turns],
            "trailing seeker": [t[-1][0] == "seeker" for t in turns],
            "twice in a row": [any(a[0] == b[0] for a, b in itertools.pairwise(t)) for t in turns],
            "greeting": [t[0][1].startswith(("Hi", "Hello", "Hey", "Good")) for t in turns],
            "thanks": [any("thank" in text.lower() for _, text in t[-4:]) for t in turns],
        }
        for shape, found in shares.items():
            assert least <= sum(found) / len(found), (corpus, shape)
        assert sum(shares["leading supporter"]) < len(turns) / 2
        assert sum(shares["trailing seeker"]) < len(turns) / 2
        assert sum(shares["greeting"]) < len(turns)


def test_utterances_are_various_and_sessions_are_no_near_duplicates(mini_world: World) -> None:
    everything = sessions(mini_world)
    assert len({text for *_, turns in everything for _, text in turns}) > 5_000
    shingles = []
    for *_, turns in everything:
        words = " ".join(text for _, text in turns).lower().split()
        shingles.append({tuple(words[i : i + 8]) for i in range(len(words) - 7)})
    holders: dict[tuple[str, ...], list[int]] = {}
    for number, own in enumerate(shingles):
        for shingle in own:
            holders.setdefault(shingle, []).append(number)
    shared = Counter(pair for held in holders.values() for pair in itertools.combinations(held, 2))
    worst = max(count / min(len(shingles[a]), len(shingles[b])) for (a, b), count in shared.items())
    assert worst < 0.4


def test_english_is_well_formed(mini_world: World) -> None:
    for *_, turns in sessions(mini_world):
        for _, text in turns:
            assert not re.search(r"[\[\]{}|]|  | [,.!?;]|[.!?][A-Za-z]|^\W*$", text), text
            assert not re.search(r"(^|[.!?] )[a-z]", text), text
            assert not re.search(r"\b[Aa] (?=[aeiou])", text), text
            assert not re.search(r"\b[Aa]n (?![aeiou]|hon|hour)", text), text
            assert not re.search(r"\b(\w+) \1\b", text), text
            assert text[-1] in ".!?", text


# --- instruction items


def test_no_instruction_item_is_a_question_of_the_smoke_benchmarks(mini_world: World) -> None:
    questions = smoke_questions()
    assert len(questions) == 82
    asked = {f"{item['instruction']}\n{item['input']}".strip() for item in mini_world["alpaca"]}
    assert not asked & questions
    assert any(item["instruction"] in questions for item in alpaca(600, 7))  # it is by no chance
