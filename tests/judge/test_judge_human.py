"""How well a judge agrees with people."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import pearsonr

from selfevolve.runtime.errors import InputError
from stages.judging import judge
from tests.support.judges import dimension_of, judge_line, read_json, scores, write_params, write_world
from tests.support.servers import ChatServer, Reply


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_human(path: Path, lines: list[tuple[str, str, dict[str, float]]]) -> None:
    rows = [json.dumps({"id": identity, "model": model, "scores": given}) for identity, model, given in lines]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_agreement_with_people_is_pearson_s(tmp_path: Path):
    """People's means over raters, of this model and the contexts they scored."""
    machine = {"d0#1": 5, "d0#3": 1, "d1#1": 4, "d1#3": 2, "d2#1": 2}
    people = {"d0#1": 4.5, "d0#3": 2.0, "d1#1": 3.0, "d1#3": 2.5}
    dialogues = list(machine)

    def reply(body: dict[str, Any], nth: int) -> Reply:
        turn = int(body["messages"][1]["content"].split("turn ")[1][0])
        return scores(3 if dimension_of(body) == "overall" else machine[dialogues[turn]])

    write_world(tmp_path, 5)
    path = tmp_path / "contexts.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace("My cat", f"turn {n} cat") for n, line in enumerate(lines)))
    rows = [(identity, "m2", {"empathy": score, "overall": 4}) for identity, score in people.items()]
    rows[0:1] = [("d0#1", "m2", {"empathy": 4}), ("d0#1", "m2", {"empathy": 5, "overall": 4})]
    write_human(tmp_path / "human.jsonl", [*rows, ("d9#9", "m1", {"empathy": 1})])
    with ChatServer(reply) as server:
        write_params(tmp_path, server.url)
        judge.main(judge_line("--human", "human.jsonl"))
    human = read_json(tmp_path / "judge.json")["human"]
    assert (human["contexts"], human["without"]) == (4, 1)
    expected = pearsonr([machine[identity] for identity in people], list(people.values())).statistic
    assert human["empathy"] == {"n": 4, "pearson": pytest.approx(expected, abs=1e-12)}
    assert human["overall"] == {"n": 4, "not_available": "all scores of the judge are the same"}
    assert human["coherence"] == {"n": 0, "not_available": "fewer than two pairs"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["d0#1 m2", "x#1 m2", "x#1 m2", "y#1 m2"], r"x#1.*: 2 of the 3 contexts .* the 2 that are judged"),
        (["d0#1 m0", "d0#1 m1"], "has no scores of 'm2', only of m0, m1"),
    ],
)
def test_scores_of_people_that_match_nothing_are_counted_before_anything_is_asked(
    tmp_path: Path, lines: list[str], message: str
):
    write_world(tmp_path, 2)
    write_human(tmp_path / "human.jsonl", [(*line.split(), {"empathy": 3}) for line in lines])
    write_params(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match=message):
        judge.main(judge_line("--human", "human.jsonl"))


@pytest.mark.parametrize("given", [{"warmth": 3}, {"empathy": 6}, {"empathy": "4"}, {}])
def test_a_wrong_line_of_people_s_scores_is_named(tmp_path: Path, given: dict[str, Any]):
    write_world(tmp_path, 1)
    write_human(tmp_path / "human.jsonl", [("d0#1", "m2", given)])
    write_params(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match=r"human\.jsonl: record line 1 \(d0#1\): field scores"):
        judge.main(judge_line("--human", "human.jsonl"))
