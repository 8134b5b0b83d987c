"""The mini world as it is published: layouts, shapes, variety, facts in the text, the stage."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.benchmarks.catalogue import smoke_questions
from stages.command import read_params
from stages.mini import MiniParams, write_world
from stages.records.errors import InputError
from stages.world import upstreams
from stages.world.profile import all_facts, disclosed, facts_named, is_held_out
from stages.world.supporter import STRATEGIES

DEFAULTS = {
    "seed": 7,
    "esconv_sessions": 160,
    "esconv_test_sessions": 110,
    "synesc_sessions": 420,
    "alpaca_items": 600,
}
CORPORA = ("esconv", "extes", "serveforemo")
Turns = list[tuple[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "mini"
    write_world(out, **DEFAULTS)
    return out


@pytest.fixture(scope="module")
def world(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()}


def raw_turns(corpus: str, session: dict[str, Any]) -> Turns:
    if corpus == "esconv":
        return [(turn["speaker"], turn["content"]) for turn in session["dialog"]]
    if corpus == "extes":
        return [
            ("seeker", turn["User"]) if "User" in turn else ("supporter", turn["AI"])
            for turn in session["content"]
        ]
    roles = {"user": "seeker", "assistant": "supporter"}
    return [(roles[turn["role"]], turn["content"]) for turn in session["dialogue"]]


def joined_turns(turns: Turns) -> Turns:
    """Join consecutive turns; drop a leading supporter turn and a trailing seeker turn (appendix A)."""
    groups = itertools.groupby(turns, key=lambda turn: turn[0])
    joined = [(role, " ".join(text for _, text in group)) for role, group in groups]
    if joined[0][0] == "supporter":
        del joined[0]
    if joined[-1][0] == "seeker":
        del joined[-1]
    return joined


def sessions(world: dict[str, list[dict[str, Any]]]) -> list[tuple[str, dict[str, Any], Turns]]:
    return [(corpus, session, raw_turns(corpus, session)) for corpus in CORPORA for session in world[corpus]]


# --- the files


def test_same_seed_same_bytes_and_another_seed_another_world(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "again", **DEFAULTS)
    write_world(tmp_path / "other", **{**DEFAULTS, "seed": 8})
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["alpaca.json", "esconv.json", "extes.json", "serveforemo.json"]
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_sessions_do_not_depend_on_how_many_there_are(world: dict[str, list[dict[str, Any]]]) -> None:
    fewer = upstreams.esconv(40, 30, 7)
    assert len(fewer) == 70
    assert fewer == [session for session in world["esconv"] if session in fewer]  # in the same order


def test_sizes(world: dict[str, list[dict[str, Any]]]) -> None:
    assert {name: len(records) for name, records in world.items()} == {
        "esconv": 270,
        "extes": 315,
        "serveforemo": 105,
        "alpaca": 600,
    }


def test_layouts(world: dict[str, list[dict[str, Any]]]) -> None:
    for session in world["esconv"]:
        assert {"experience_type", "emotion_type", "problem_type", "situation", "survey_score"} < set(session)
        for turn in session["dialog"]:
            assert list(turn) == ["speaker", "annotation", "content"]
            expected = {"strategy"} if turn["speaker"] == "supporter" else set()
            assert set(turn["annotation"]) == expected
            assert turn["annotation"].get("strategy", "Others") in STRATEGIES
    for session in world["extes"]:
        assert list(session) == ["scene", "description", "content", "profile"]
        assert {tuple(turn) for turn in session["content"]} == {("User",), ("AI Strategy", "AI")}
    for session in world["serveforemo"]:
        assert list(session)[:5] == ["id", "emotion_type", "problem_type", "situation", "dialogue"]
        for turn in session["dialogue"]:
            assert turn["role"] == "user" or turn["strategy"] in STRATEGIES
    assert {tuple(item) for item in world["alpaca"]} == {("instruction", "input", "output")}


def test_strategies_are_spelled_and_keys_named_as_in_the_real_corpora(
    world: dict[str, list[dict[str, Any]]], shared_data: Path
) -> None:
    real = json.loads((shared_data / "esconv" / "ESConv.json").read_text(encoding="utf-8"))
    annotated = {turn["annotation"]["strategy"] for s in real for turn in s["dialog"] if turn["annotation"]}
    assert set(STRATEGIES) == annotated
    assert list(world["esconv"][0]) == [*real[0], "profile"]
    assert {s["problem_type"] for s in world["esconv"]} <= {s["problem_type"] for s in real}
    assert {s["emotion_type"] for s in world["esconv"]} <= {s["emotion_type"] for s in real}
    extes = json.loads((shared_data / "extes" / "ExTES_recovered_11.json").read_text(encoding="utf-8"))
    assert list(world["extes"][0]) == [*extes[0], "profile"]
    assert {key for turn in extes[0]["content"] for key in turn} == {"User", "AI Strategy", "AI"}


@pytest.fixture
def shared_data() -> Path:
    place = os.environ.get("ESC_SHARED") or Path(__file__).resolve().parents[1].parent / "shared"
    data = Path(place) / "data"
    if not data.is_dir():
        pytest.skip("the real corpora are not at hand (set ESC_SHARED)")
    return data


# --- shape of the dialogues


def test_lengths(world: dict[str, list[dict[str, Any]]]) -> None:
    raw = {corpus: [len(raw_turns(corpus, s)) for s in world[corpus]] for corpus in CORPORA}
    long_enough = [
        len(turns)
        for corpus, _, turns in sessions(world)
        if corpus == "esconv" and len(joined_turns(turns)) >= 10
    ]
    assert min(long_enough) >= 16
    assert max(long_enough) <= 26
    assert 3 <= len(raw["esconv"]) - len(long_enough) <= 10
    for corpus in ("extes", "serveforemo"):
        assert min(raw[corpus]) >= 14
        assert max(raw[corpus]) <= 18


def test_messy_shapes_are_there_but_not_everywhere(world: dict[str, list[dict[str, Any]]]) -> None:
    for corpus, least in (("esconv", 0.1), ("extes", 0.02), ("serveforemo", 0.02)):
        turns = [raw_turns(corpus, session) for session in world[corpus]]
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


def test_utterances_are_various_and_sessions_are_no_near_duplicates(
    world: dict[str, list[dict[str, Any]]],
) -> None:
    everything = sessions(world)
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


def test_english_is_well_formed(world: dict[str, list[dict[str, Any]]]) -> None:
    for *_, turns in sessions(world):
        for _, text in turns:
            assert not re.search(r"[\[\]{}|]|  | [,.!?;]|[.!?][A-Za-z]|^\W*$", text), text
            assert not re.search(r"(^|[.!?] )[a-z]", text), text
            assert not re.search(r"\b[Aa] (?=[aeiou])", text), text
            assert not re.search(r"\b[Aa]n (?![aeiou]|hon|hour)", text), text
            assert not re.search(r"\b(\w+) \1\b", text), text
            assert text[-1] in ".!?", text


# --- facts and disclosure


def test_every_disclosed_fact_is_said_first_in_the_turn_named(world: dict[str, list[dict[str, Any]]]) -> None:
    for corpus, session, turns in sessions(world):
        profile = session["profile"]
        said = [text for role, text in joined_turns(turns) if role == "seeker"]
        for fact, number in profile["disclosure"].items():
            assert profile[fact] in said[number], (corpus, fact)
            assert not any(profile[fact] in text for text in said[:number]), (corpus, fact)
        assert facts_named(" ".join(said), profile) == set(profile["disclosure"]), corpus


def test_seekers_say_no_fact_of_another(world: dict[str, list[dict[str, Any]]]) -> None:
    phrases = [(key, phrase) for key, values in all_facts().items() for phrase in values]
    for _, session, turns in sessions(world)[::10]:
        text = " ".join(text for role, text in turns if role == "seeker")
        for key, phrase in phrases:
            if facts_named(text, {key: phrase}):
                assert session["profile"][key] == phrase


def test_supporters_know_only_what_they_were_told(world: dict[str, list[dict[str, Any]]]) -> None:
    shares = {}
    for corpus in CORPORA:
        personal = []
        for session in world[corpus]:
            profile = session["profile"]
            for number, (role, text) in enumerate(joined_turns(raw_turns(corpus, session))):
                if role == "supporter":
                    named = facts_named(text, profile)
                    assert named <= set(disclosed(profile, profile["disclosure"], number // 2))
                    personal.append(bool(named))
        shares[corpus] = sum(personal) / len(personal)
    assert 0.3 < shares["esconv"] < 0.7
    assert max(shares["extes"], shares["serveforemo"]) < 0.6 * shares["esconv"]
    assert min(shares["extes"], shares["serveforemo"]) > 0.03


# --- held-out combinations


def test_held_out_combinations_are_rare_fixed_and_never_in_synesc(
    world: dict[str, list[dict[str, Any]]],
) -> None:
    for corpus, session, _ in sessions(world):
        profile = session["profile"]
        combination = [profile[key] for key in ("occupation", "problem", "cause", "emotion")]
        assert profile["held_out"] == is_held_out(*combination)
        assert corpus == "esconv" or not profile["held_out"]


def test_the_test_sessions_are_those_held_out_whole_and_not_told_by_their_place(
    world: dict[str, list[dict[str, Any]]],
) -> None:
    held_out = [session["profile"]["held_out"] for session in world["esconv"]]
    assert sum(held_out) == 110
    assert 45 <= sum(held_out[:135]) <= 65
    runs = [len(list(group)) for _, group in itertools.groupby(held_out)]
    assert len(runs) > 90  # 131 would be expected of a coin with these shares; two blocks give 2
    short = [
        session["profile"]["held_out"]
        for session in world["esconv"]
        if len(joined_turns(raw_turns("esconv", session))) < 10
    ]
    assert short == [False] * 6


# --- registers


# --- grammar


# --- instruction items


def test_no_instruction_item_is_a_question_of_the_smoke_benchmarks(
    world: dict[str, list[dict[str, Any]]],
) -> None:
    questions = smoke_questions()
    assert len(questions) == 82
    asked = {f"{item['instruction']}\n{item['input']}".strip() for item in world["alpaca"]}
    assert not asked & questions
    assert any(item["instruction"] in questions for item in upstreams.alpaca(600, 7))  # it is by no chance


# --- the stage


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"esconv_sessions": 0}, "mini.esconv_sessions"),
        ({"esconv_test_sessions": -1}, "mini.esconv_test_sessions"),
        ({"synesc_sessions": 1}, "mini.synesc_sessions"),
        ({"alpaca_items": -5}, "mini.alpaca_items"),
        ({"alpaca_items": 10**9}, "mini.alpaca_items"),
        ({"seed": -1}, "mini.seed"),
        ({"seed": True}, "mini.seed"),
        ({"esconv_sessions": "many"}, "mini.esconv_sessions"),
        ({"esconv_sessions": 1.5}, "mini.esconv_sessions"),
        ({"sessions": 5}, "mini.sessions"),
        (None, "mini"),
    ],
)
def test_bad_parameters(section: Any, field: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(json.dumps({"mini": section}), encoding="utf-8")
    with pytest.raises(InputError, match=rf"params.yaml: field {re.escape(field)}: "):
        read_params("mini", MiniParams, file)


def test_defaults() -> None:
    assert MiniParams().model_dump() == DEFAULTS


def run_stage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.mini", *arguments],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


def test_stage_publishes_a_folder_or_nothing(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    out = tmp_path / "mini"
    params.write_text("mini: {esconv_sessions: 0}\n", encoding="utf-8")
    failed = run_stage("--out", str(out), "--params", str(params))
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {params}: field mini.esconv_sessions: ")
    assert failed.stderr.count("\n") == 1
    assert not out.exists()
    sizes = "esconv_sessions: 2, esconv_test_sessions: 1, synesc_sessions: 2, alpaca_items: 3"
    params.write_text(f"mini: {{{sizes}}}\n", encoding="utf-8")
    done = run_stage("--out", str(out), "--params", str(params))
    assert (done.returncode, done.stderr) == (0, "")
    sizes = {path.stem: len(json.loads(path.read_text(encoding="utf-8"))) for path in out.iterdir()}
    assert sizes == {"esconv": 3, "extes": 1, "serveforemo": 1, "alpaca": 3}
