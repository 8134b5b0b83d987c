"""Sessions held for real: a policy, seekers by rule and by a server, a killed process."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.records.jsonl import read_records, write_records
from selfevolve.sessions.cards import Card
from selfevolve.sessions.session import Session
from testbed.cards import CardsParams, write_cards
from tests.conftest import ROOT, read_lines, run_here, run_stage, stage_command, stage_environment
from tests.support.judges import ENGINE, read_json, says
from tests.support.servers import ChatServer, Reply

CONVERSE = {
    "seed": 3,
    "sessions": 8,
    "turns": [2, 4],
    "resistant": 0.5,
    "cards": "cards/cards.jsonl",
    "attempts": 2,
    "sampling": {
        "temperature": 0.9,
        "top_p": 0.8,
        "top_k": 50,
        "repetition_penalty": 1.0,
        "max_new_tokens": 12,
    },
    "prompts": str(ROOT / "prompts/seeker"),
    "seeker": {},
}
OUT = ["--cards", "cards/cards.jsonl", "--out", "sessions.jsonl", "--metrics", "sessions.json"]
EMOTION = (ROOT / "prompts/seeker/emotion.txt").read_text(encoding="utf-8").strip()


@pytest.fixture
def arguments(
    backbone: Path, params_file: Callable[..., Path], tmp_path: Path
) -> Callable[..., list[object]]:
    """The arguments of a stage in which the backbone talks, with these parameters changed."""
    write_cards(tmp_path / "cards", CardsParams(seed=5, count=5))

    def make(changes: dict[str, Any] | None = None, **converse: Any) -> list[object]:
        given = {"converse": CONVERSE | converse, "respond.sampling.max_new_tokens": 10}
        params = params_file(given | {"compare.resamples": 1000} | (changes or {}))
        return ["--policy", backbone, "--prompt", "plain", *OUT, "--params", params]

    return make


def sessions(folder: Path) -> dict[str, Session]:
    return {one.id: one for one in read_records(folder / "sessions.jsonl", Session)}


def test_a_session_is_the_same_whatever_sessions_are_beside_it(
    arguments: Callable[..., list[object]], tmp_path: Path
):
    found = {}
    for count, tokens in ((8, 32768), (3, 32768), (8, 1)):
        done = run_here(
            "testbed.converse", *arguments({"engine.batch_tokens": tokens}, sessions=count), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        found[count, tokens] = sessions(tmp_path)
    everything, few, one_by_one = found.values()
    assert len(everything) == 8
    assert len(few) == 3
    assert few.items() <= everything.items()
    assert one_by_one == everything
    assert len({turn.text for one in everything.values() for turn in one.turns}) > 20
    metrics = read_json(tmp_path / "sessions.json")
    assert (metrics["sessions"], metrics["cards"]) == (8, 5)
    assert metrics["counts"]["supporter"]["shortened"] == 0
    assert {"emotion_change", "disclosed", "repetition", "words"} <= metrics["all"].keys()


def test_a_long_session_loses_its_oldest_exchanges_and_they_are_counted(
    arguments: Callable[..., list[object]], tmp_path: Path
):
    given = arguments({"respond.sampling.max_new_tokens": 60}, turns=[9, 9], sessions=2)
    done = run_here("testbed.converse", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "sessions.json")["counts"]["supporter"]["shortened"] > 0


def test_a_run_killed_in_the_middle_ends_byte_identical(
    arguments: Callable[..., list[object]], tmp_path: Path
):
    given = arguments({"respond.sampling.max_new_tokens": 40, "engine.batch_tokens": 400}, sessions=12)
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    for folder in (quiet, killed):
        write_cards(folder / "cards", CardsParams(seed=5, count=5))
    done = run_stage("testbed.converse", *given, cwd=quiet)
    assert done.returncode == 0, done.stderr
    child = subprocess.Popen(
        stage_command("testbed.converse", *given), cwd=killed, env=stage_environment(), stderr=subprocess.PIPE
    )
    wait_for_lines(killed, 15, child)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    before = {path: path.read_bytes() for path in journals(killed)}
    assert not (killed / "sessions.jsonl").exists()
    whole = sum(path.read_bytes().count(b"\n") for path in journals(quiet))
    assert 15 <= sum(content.count(b"\n") for content in before.values()) < whole
    assert run_stage("testbed.converse", *given, cwd=killed).returncode == 0
    for name in ("sessions.jsonl", "sessions.json"):
        assert (killed / name).read_bytes() == (quiet / name).read_bytes()
    for path, content in before.items():  # what was answered was not asked again
        whole_lines = content[: content.rfind(b"\n") + 1]
        assert path.read_bytes().startswith(whole_lines)


def journals(folder: Path) -> list[Path]:
    return sorted((folder / ".scratch/converse").glob("*/journal.jsonl"))


def wait_for_lines(folder: Path, lines: int, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert child.poll() is None, "the stage ended before it was killed"
        if sum(path.read_bytes().count(b"\n") for path in journals(folder)) >= lines:
            return
        time.sleep(0.01)
    raise AssertionError("the stage wrote nothing in two minutes")


# ---- seekers whom a server plays


def player(level: Callable[[int], str], turn: Callable[[int], str]) -> Callable[[dict[str, Any], int], Reply]:
    """Answer the question for the level and for a turn by how many messages have been exchanged."""

    def reply(body: dict[str, Any], nth: int) -> Reply:
        is_question = body["messages"][-1]["content"] == EMOTION
        return says((level if is_question else turn)(len(body["messages"])))

    return reply


def hold(arguments: Callable[..., list[object]], folder: Path, reply: Any, **converse: Any) -> ChatServer:
    """Hold sessions with seekers whom a server plays."""
    with ChatServer(reply) as server:
        seeker = {**ENGINE, "base_url": server.url, "model": "the-seeker"}
        given = arguments(seeker=seeker, **converse)
        done = run_here("stages.analyses.converse", *given, cwd=folder)
    assert done.returncode == 0, done.stderr
    return server


def score(number: int) -> str:
    return json.dumps({"explanation": "So it is.", "score": number})


def test_a_server_plays_the_cards_and_says_how_its_seekers_feel(
    arguments: Callable[..., list[object]], tmp_path: Path
):
    def turn(length: int) -> str:
        return f"Seeker: I said this with {length} messages before."

    server = hold(arguments, tmp_path, player(lambda length: score(5 if length < 5 else 2), turn))
    found = sessions(tmp_path)
    assert len(found) == 8
    for one in found.values():
        of_seeker = [one_turn for one_turn in one.turns if one_turn.role == "seeker"]
        assert of_seeker[0].text == "I said this with 2 messages before."
        assert [one_turn.emotion for one_turn in of_seeker] == [5] + [2] * (len(of_seeker) - 1)
        assert len(of_seeker) == one.length + 1
    systems = {body["messages"][0]["content"] for body in server.bodies}
    hard = (ROOT / "prompts/seeker/resistant.txt").read_text(encoding="utf-8").strip()
    assert 0 < sum(one.resistant for one in found.values()) < 8
    assert {hard in text for text in systems} == {True, False}
    turns = [body["messages"] for body in server.bodies if body["messages"][-1]["content"] != EMOTION]
    for messages in turns:  # the supporter is the user whom the seeker, the assistant, answers
        assert [one["role"] for one in messages[1:]] == (["user", "assistant"] * 9)[: len(messages) - 1]
    metrics = read_json(tmp_path / "sessions.json")
    assert metrics["all"]["emotion_change"]["value"] == -3
    assert metrics["counts"]["seeker"]["emotion_failed"] == 0


def test_what_is_no_level_is_counted_and_stays_unknown(
    arguments: Callable[..., list[object]], tmp_path: Path
):
    hold(arguments, tmp_path, player(lambda n: score(7) if n < 6 else "Fine.", lambda n: f"Turn {n}."))
    counts = read_json(tmp_path / "sessions.json")["counts"]["seeker"]
    assert counts["emotion_failed"] == counts["emotion_asked"] > 16
    assert counts["emotion_out_of_range"] == 2 * 8
    assert counts["emotion_no_json"] == 2 * (counts["emotion_asked"] - 8)
    assert all(turn.emotion is None for one in sessions(tmp_path).values() for turn in one.turns)
    assert "emotion_change" not in read_json(tmp_path / "sessions.json")["all"]


def test_a_player_who_says_nothing_any_more_ends_its_session(
    arguments: Callable[..., list[object]], tmp_path: Path
):
    hold(arguments, tmp_path, player(lambda n: score(3), lambda n: f"Turn {n}." if n < 6 else " ... "))
    found = sessions(tmp_path)
    assert {one.ended for one in found.values()} == {"lost"}
    assert {len(one.turns) for one in found.values()} == {4}
    assert read_json(tmp_path / "sessions.json")["counts"]["seeker"]["seeker_failed"] == 8


def test_a_second_run_asks_nobody_anything(arguments: Callable[..., list[object]], tmp_path: Path):
    with ChatServer(player(lambda n: score(3), lambda n: f"Turn {n}.")) as server:
        given = arguments(seeker={**ENGINE, "base_url": server.url, "model": "the-seeker"})
        assert run_here("stages.analyses.converse", *given, cwd=tmp_path).returncode == 0
        asked, first = len(server.bodies), (tmp_path / "sessions.jsonl").read_bytes()
        assert run_here("stages.analyses.converse", *given, cwd=tmp_path).returncode == 0
        assert len(server.bodies) == asked
    assert (tmp_path / "sessions.jsonl").read_bytes() == first


def test_the_policy_itself_can_play_and_facts_that_it_says_are_disclosed(
    backbone: Path, arguments: Callable[..., list[object]], tmp_path: Path
):
    cards = [Card(id=f"n{n}", name=f"N{n}", facts={"person": "sister"}) for n in range(3)]
    write_records(tmp_path / "cards/cards.jsonl", cards)
    short = {"seeker": "{{card}} {{manner}}", "open": "Talk.", "resistant": "Do not.", "opening": "Hi?"}
    (tmp_path / "own").mkdir()
    for name, text in {**short, "emotion": "How bad is it?"}.items():
        (tmp_path / f"own/{name}.txt").write_text(text, encoding="utf-8")
    seeker = {"kind": "transformers", "policy": str(backbone), "batch_tokens": 4096}
    given = arguments(seeker=seeker, sessions=3, prompts="own")
    done = run_here("stages.analyses.converse", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in read_lines(tmp_path / "sessions.jsonl"):
        assert line["seeker"] != line["supporter"]  # the prompts belong to whoever plays
        for turn in line["turns"]:
            if turn["role"] == "seeker":
                assert ("person" in turn["disclosed"]) <= ("sister" in turn["text"].lower())


@pytest.mark.parametrize(
    ("converse", "more", "message"),
    [
        ({"turns": [0, 4]}, [], r"field converse.turns: must be the least and the most turns, from 1 to 50"),
        ({"sessions": 0}, [], "field converse.sessions: "),
        ({"resistant": 1.5}, [], "field converse.resistant: "),
        ({"seeker": {"kind": "x"}}, [], "field converse.seeker.kind: must be transformers or openai"),
        ({"prompts": "nowhere"}, [], "nowhere/seeker.txt: no such file"),
        ({}, ["--policy", "models/m9"], "models/m9"),
        ({}, ["--cards", "no.json"], "no.json: no such file"),
        ({}, ["--prompt", "rude"], "no prompt is named 'rude'"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: Callable[..., list[object]],
    tmp_path: Path,
    converse: dict[str, Any],
    more: list[str],
    message: str,
):
    done = run_here("stages.analyses.converse", *arguments(**converse), *more, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert message in line


@pytest.mark.parametrize("wrong", [["--control", "same"], ["--of", "sessions.jsonl"], ["--control", "rude"]])
def test_arguments_that_contradict_each_other_are_refused(
    arguments: Callable[..., list[object]], tmp_path: Path, wrong: list[str]
):
    assert run_here("testbed.converse", *arguments(), *wrong, cwd=tmp_path).returncode == 2


def test_controls_need_no_policy(arguments: Callable[..., list[object]], tmp_path: Path):
    assert run_here("testbed.converse", *arguments(), cwd=tmp_path).returncode == 0
    os.rename(tmp_path / "sessions.jsonl", tmp_path / "of.jsonl")
    given = arguments()[4:]  # without the policy and its prompt
    for control in (["same"], ["shuffled", "--of", "of.jsonl"]):
        done = run_here("testbed.converse", "--control", *control, *given, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert {one.supporter.split()[0] for one in sessions(tmp_path).values()} == {control[0]}
