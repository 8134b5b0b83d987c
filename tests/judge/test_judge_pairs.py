"""Two models side by side, in both orders."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfevolve.judge.pairs import OrderVerdict, Winner, compare, strata
from selfevolve.runtime.errors import InputError
from stages.judging import judge_pairs
from tests.conftest import read_lines
from tests.support.judges import always, read_json, says, write_params, write_world
from tests.support.servers import ChatServer, Reply, answers

LINE = ["--first", "m0/responses.jsonl", "--second", "m2/responses.jsonl", "--contexts", "contexts.jsonl"]
LINE += ["--out", "pairs.jsonl", "--metrics", "pairs.json"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wins(winner: str) -> Reply:
    return says(json.dumps({"explanation": "Better.", "winner": winner}))


def shown_first(body: dict[str, Any]) -> str:
    """The model whose response is A: responses say who wrote them."""
    return body["messages"][1]["content"].split("Turn A:")[1].split("Turn B:")[0].split("by ")[1][:2]


def prefers(model: str) -> Callable[[dict[str, Any], int], Reply]:
    return lambda body, nth: wins("A" if shown_first(body) == model else "b")


def compare_with(folder: Path, reply: Any, contexts: int = 6, **judge: Any) -> tuple[Any, ChatServer]:
    write_world(folder, contexts, {"m0": "Said by m0.", "m2": "Said by m2."})
    with ChatServer(reply) as server:
        write_params(folder, server.url, **judge)
        judge_pairs.main(LINE)
    return read_json(folder / "pairs.json"), server


def test_a_judge_that_prefers_a_model_in_both_orders_gives_it_the_wins(tmp_path: Path):
    metrics, server = compare_with(tmp_path, prefers("m2"))
    assert sorted(map(shown_first, server.bodies)) == ["m0"] * 6 + ["m2"] * 6
    assert metrics["win"] == {"count": 6, "of": 6, "percent": 100.0, "low": 100.0, "high": 100.0}
    assert metrics["loss"]["count"] == metrics["tie"]["count"] == metrics["flips"]["count"] == 0
    assert metrics["shown_first_wins"] == {
        "count": 6,
        "of": 12,
        "percent": 50.0,
        "low": 50.0,
        "high": 50.0,
    }
    lines = read_lines(tmp_path / "pairs.jsonl")
    assert [line["winner"] for line in lines] == ["second"] * 6
    assert [order["winner"] for order in lines[0]["orders"]] == ["second", "second"]


def test_the_other_model_s_wins_are_losses(tmp_path: Path):
    metrics, _ = compare_with(tmp_path, prefers("m0"))
    assert (metrics["win"]["count"], metrics["loss"]["count"]) == (0, 6)


def test_a_judge_that_prefers_what_is_shown_first_decides_nothing(tmp_path: Path):
    metrics, _ = compare_with(tmp_path, always(wins("A")))
    assert (metrics["win"]["count"], metrics["tie"]["count"], metrics["loss"]["count"]) == (0, 6, 0)
    assert metrics["flips"]["percent"] == metrics["reversals"]["percent"] == 100.0
    assert metrics["shown_first_wins"]["percent"] == 100.0


def test_a_win_and_a_tie_are_a_flip_but_no_reversal(tmp_path: Path):
    def reply(body: dict[str, Any], nth: int) -> Reply:
        return wins("A" if shown_first(body) == "m2" else "tie")

    metrics, _ = compare_with(tmp_path, reply)
    assert (metrics["tie"]["count"], metrics["flips"]["count"], metrics["reversals"]["count"]) == (6, 6, 0)
    assert metrics["shown_first_wins"]["of"] == 6


def test_a_pair_of_which_one_order_failed_has_no_winner_and_is_counted(tmp_path: Path):
    def reply(body: dict[str, Any], nth: int) -> Reply:
        first, dialogue = shown_first(body), body["messages"][1]["content"]
        if first == "m0" and "turn 1" in dialogue:
            return wins("both")
        return answers(b"no", 400) if first == "m2" and "turn 2" in dialogue else prefers("m2")(body, nth)

    write_world(tmp_path, 4, {"m0": "Said by m0.", "m2": "Said by m2."})
    path = tmp_path / "contexts.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace("My cat", f"turn {n} cat") for n, line in enumerate(lines)))
    with ChatServer(reply) as server:
        write_params(tmp_path, server.url, {"tolerance": 1})
        judge_pairs.main(LINE)
    metrics = read_json(tmp_path / "pairs.json")
    assert metrics["pairs"] == {"compared": 4, "decided": 2, "failed": 2}
    assert metrics["failures"] == {"http_400": 1, "invalid_winner": 1}
    assert metrics["failed_attempts"] == {"http_400": 1, "invalid_winner": 3}
    assert (metrics["win"]["count"], metrics["win"]["of"]) == (2, 2)
    assert ["winner" in line for line in read_lines(tmp_path / "pairs.jsonl")] == [True, False, False, True]


def verdicts(one: Winner | None, other: Winner | None) -> list[OrderVerdict]:
    return [
        OrderVerdict(order="first_second", winner=one, attempts=1),
        OrderVerdict(order="second_first", winner=other, attempts=1),
    ]


@pytest.mark.parametrize(
    ("one", "other", "winner", "flipped"),
    [
        ("first", "first", "first", False),
        ("second", "second", "second", False),
        ("tie", "tie", "tie", False),
        ("first", "second", "tie", True),
        ("second", "tie", "tie", True),
        (None, "first", None, False),
        (None, None, None, False),
    ],
)
def test_who_wins(one: Winner | None, other: Winner | None, winner: Winner | None, flipped: bool):
    comparison = compare("d#1", verdicts(one, other), "a b c", "d")
    assert (comparison.winner, comparison.flipped) == (winner, flipped)
    assert (comparison.words_first, comparison.words_second) == (3, 1)


@pytest.mark.parametrize(
    ("first", "second", "stratum"),
    [
        (10, 7, "below 0.8"),
        (10, 8, "0.8 to below 1.25"),
        (8, 10, "1.25 and above"),
        (0, 0, "0.8 to below 1.25"),
        (0, 3, "1.25 and above"),
        (3, 0, "below 0.8"),
    ],
)
def test_strata_follow_the_ratio_of_words(first: int, second: int, stratum: str):
    one = compare("d#1", verdicts("first", "first"), "w " * first, "w " * second)
    found = strata([one], [0.8, 1.25])
    assert [name for name, members in found.items() if members] == [stratum]
    assert list(found) == ["below 0.8", "0.8 to below 1.25", "1.25 and above"]


def test_wins_are_split_by_length(tmp_path: Path):
    """A judge that likes length: all of the wins are in the stratum where the second is longer."""
    write_world(tmp_path, 6, {"m0": "one two three", "m2": "one"})
    lines = read_lines(tmp_path / "m2" / "responses.jsonl")
    for line in lines[:2]:
        line["text"] = "w " * 9
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "m2" / "responses.jsonl").write_text(text)

    def reply(body: dict[str, Any], nth: int) -> Reply:
        a, b = body["messages"][1]["content"].split("Turn A:")[1].split("Turn B:")
        return wins("A" if len(a) > len(b) else "B")

    with ChatServer(reply) as server:
        write_params(tmp_path, server.url)
        judge_pairs.main(LINE)
    strata = read_json(tmp_path / "pairs.json")["by_length"]
    assert (strata["below 0.8"]["pairs"], strata["below 0.8"]["loss"]["count"]) == (4, 4)
    assert strata["0.8 to below 1.25"] == {
        "pairs": 0,
        **{name: {"count": 0, "of": 0} for name in ("win", "tie", "loss")},
    }
    longer = strata["1.25 and above"]
    assert (longer["pairs"], longer["win"]["count"], longer["win"]["percent"]) == (2, 2, 100.0)
    assert "low" not in longer["win"]  # of a single dialogue


@pytest.mark.parametrize("ratios", [[], [0.0], [1.5, 0.5], [1.0, 1.0]])
def test_wrong_ratios_are_named(tmp_path: Path, ratios: Sequence[float]):
    write_world(tmp_path, 1, {"m0": "a", "m2": "b"})
    write_params(tmp_path, "http://127.0.0.1:9/v1")
    path = tmp_path / "params.yaml"
    before, _, after = path.read_text().partition("length_ratios:\n  - 0.8\n  - 1.25\n")
    path.write_text(f"{before}length_ratios: {json.dumps(ratios)}\n{after}")
    with pytest.raises(InputError, match=r"field judge_pairs\.length_ratios"):
        judge_pairs.main(LINE)
