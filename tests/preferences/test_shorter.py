"""`pair.too_long: ask_again`: the stage refine asks a real server on loopback for shorter responses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import pair
from tests.conftest import ROOT, read_lines
from tests.support.preferences import UNDERSTANDING
from tests.support.refining import run_refine, write_contexts
from tests.support.servers import Reply, answers, completion

LONG, SHORT = "long " * 9, "short " * 8
# What a policy writes at each attempt; a number stands for text without JSON.
WRITES: dict[str, list[Any]] = {
    "fits": [SHORT],
    "second": [LONG, SHORT],
    "third": [LONG, 1, SHORT],
    "late": [1, LONG, SHORT],
    "never": [LONG, LONG, LONG],
    "spent": [1, 2, LONG],
    "failed": [1, 2, 3],
}
ASKED_AGAIN = {"second": 1, "third": 2, "late": 1, "never": 2}


class Policy:
    """Writes what WRITES says to the seeker whose name stands in the request."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[dict[str, Any]]] = {name: [] for name in WRITES}

    def __call__(self, body: dict[str, Any], nth: int) -> Reply:
        request = body["messages"][-1]["content"]
        (name,) = [name for name in WRITES if f"seeker: {name}\n" in request]
        text = WRITES[name][len(self.bodies[name])]
        self.bodies[name].append(body)
        if isinstance(text, int):
            return answers(completion(f"no JSON {text}"))
        feedback = f"attempt {len(self.bodies[name])}"
        reflection = {"understanding": UNDERSTANDING.model_dump(), "feedback": feedback}
        return answers(completion(json.dumps(reflection | {"evaluation_score": 2, "refined_response": text})))


@pytest.fixture
def run(
    params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Policy, dict[str, Any], dict[str, dict[str, Any]]]]:
    """Runs refine and pair with this `pair.too_long`; returns the policy, the counts and the records."""
    monkeypatch.chdir(tmp_path)
    write_contexts({name: name for name in WRITES})

    def run_stage(too_long: str) -> tuple[Policy, dict[str, Any], dict[str, dict[str, Any]]]:
        policy = Policy()
        changes = {"prompts.dir": str(ROOT / "prompts/tiny"), "pair.valid_share": 0.2}
        counts, records, params = run_refine(policy, params_file, {**changes, "pair.too_long": too_long})
        files = [
            "--contexts",
            "contexts.jsonl",
            "--rejected",
            "responses.jsonl",
            "--refined",
            "refined.jsonl",
        ]
        pair.main([*files, "--out", "pairs", "--metrics", "pairs.json", "--params", str(params)])
        return policy, counts, records

    return run_stage


def sources() -> dict[str, str]:
    pairs = read_lines(Path("pairs/train.jsonl")) + read_lines(Path("pairs/valid.jsonl"))
    return {line["id"].removesuffix("#1"): line["chosen_source"] for line in pairs}


def test_shorter_responses_are_asked_for_as_often_as_attempts_are_left(run: Callable[[str], Any]):
    policy, counts, records = run("ask_again")
    assert {name: len(bodies) for name, bodies in policy.bodies.items()} == {
        name: len(texts) for name, texts in WRITES.items()
    }
    again = {
        name: sum("at most 8 words" in body["messages"][-1]["content"] for body in bodies)
        for name, bodies in policy.bodies.items()
    }
    assert {name: count for name, count in again.items() if count} == ASKED_AGAIN
    seeds = [body["seed"] for bodies in policy.bodies.values() for body in bodies]
    assert len(set(seeds)) == len(seeds)
    words = {name: record.get("refined_response", "").partition(" ")[0] for name, record in records.items()}
    assert words == {
        **dict.fromkeys(("fits", "second", "third", "late"), "short"),
        **dict.fromkeys(("never", "spent"), "long"),
        "failed": "",
    }
    # the whole reflection is that of the answer with the response
    assert [records[name]["feedback"] for name in ("third", "late", "never")] == [
        "attempt 3",
        "attempt 3",
        "attempt 1",
    ]
    assert [records[name]["attempts"] for name in WRITES] == [1, 1, 1, 2, 1, 3, 3]
    assert counts["shorter"].pop("generated_tokens") > 6 * 8
    assert counts["shorter"] == {
        "over_length_rule": 5,
        "made_shorter": 3,
        "stayed_longer": 2,
        "asked": 6,
        "labelled": 0,
        "parse_failures": {"no_json": 1, "too_long": 2},
    }
    assert [counts[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [4, 1, 1]
    refined, long, failed = (["fits", "late", "second", "third"], ["never", "spent"], ["failed"])
    assert sources() == {
        **dict.fromkeys(refined, "refined"),
        **dict.fromkeys(long, "golden_length"),
        **dict.fromkeys(failed, "golden_parse"),
    }


@pytest.mark.parametrize("too_long", ["golden", "drop"])
def test_nobody_is_asked_again_unless_the_parameters_say_so(run: Callable[[str], Any], too_long: str):
    policy, counts, records = run(too_long)
    asked = {name: len(bodies) for name, bodies in policy.bodies.items()}
    assert asked == {"fits": 1, "second": 1, "third": 1, "late": 2, "never": 1, "spent": 3, "failed": 3}
    assert "shorter" not in counts
    long = {"second", "third", "late", "never", "spent"}
    assert {
        name for name, one in records.items() if one.get("refined_response", "").startswith("long")
    } == long
    if too_long == "golden":
        assert {name for name, source in sources().items() if source == "golden_length"} == long
    else:
        assert sources() == {"fits": "refined", "failed": "golden_parse"}
        assert json.loads(Path("pairs.json").read_text())["dropped"]["too_long"] == 5
