"""`refine.answers: two`: the stage asks a real server on loopback for a reflection, then for a response."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT
from tests.support.answers import REFLECTION_ALONE, UNDERSTANDING
from tests.support.refining import DIRECT, run_refine, write_contexts
from tests.support.servers import Reply, answers, completion

JSON, LONG, SHORT = json.dumps(REFLECTION_ALONE), "long " * 9, "Supporter: What happened there?"
# What a policy writes when it is asked to reflect, and then to respond, one text an attempt.
WRITES: dict[str, tuple[list[str], list[str]]] = {
    "plain": ([JSON], [SHORT]),
    "later": (["no JSON", JSON], [SHORT]),
    "blank": ([JSON], ["supporter:", SHORT]),
    "long": ([JSON], [LONG, LONG, SHORT]),
    "never": (["no JSON"] * 3, []),
    "mute": ([JSON], ["..."] * 3),
}


class Policy:
    """Writes what WRITES says to the seeker who names it."""

    def __init__(self) -> None:
        self.reflecting: dict[str, list[dict[str, Any]]] = {name: [] for name in WRITES}
        self.responding: dict[str, list[dict[str, Any]]] = {name: [] for name in WRITES}

    def __call__(self, body: dict[str, Any], nth: int) -> Reply:
        request = body["messages"][-1]["content"]
        asked = self.reflecting if "Response to improve:" in request else self.responding
        (name,) = [name for name in WRITES if f"I am {name}." in request]
        texts = WRITES[name][asked is self.responding]
        text = texts[len(asked[name])]
        asked[name].append(body)
        return answers(completion(text))


@pytest.fixture
def run(
    params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Policy, dict[str, Any], dict[str, dict[str, Any]]]]:
    """Runs refine with this `pair.too_long`; returns the policy, the counts and the records."""
    monkeypatch.chdir(tmp_path)
    write_contexts({name: f"I am {name}." for name in WRITES})

    def run_stage(too_long: str) -> tuple[Policy, dict[str, Any], dict[str, dict[str, Any]]]:
        policy = Policy()
        changes = {"refine.answers": "two", "prompts.dir": str(ROOT / "prompts/paper")}
        counts, records, _ = run_refine(policy, params_file, {**changes, "pair.too_long": too_long})
        return policy, counts, records

    return run_stage


def test_the_reflection_comes_first_and_the_response_is_asked_for_by_the_dialogue(run: Callable[[str], Any]):
    policy, counts, records = run("golden")
    assert {name: len(bodies) for name, bodies in policy.reflecting.items()} == {
        name: len(texts) for name, (texts, _) in WRITES.items()
    }
    expected = {"plain": 1, "later": 1, "blank": 2, "long": 1, "never": 0, "mute": 3}
    assert {name: len(bodies) for name, bodies in policy.responding.items()} == expected
    system, seeker = policy.responding["plain"][0]["messages"]
    assert seeker == {"role": "user", "content": "I am plain."}
    assert all(text in system["content"] for text in (*UNDERSTANDING.values(), "too vague", DIRECT))
    found = {name: (one["status"], one.get("refined_response")) for name, one in records.items()}
    good = ("parsed", "What happened there?")
    assert found == {
        **dict.fromkeys(("plain", "later", "blank"), good),
        "long": ("parsed", LONG.strip()),
        **dict.fromkeys(("never", "mute"), ("failed", None)),
    }
    assert [records[name]["attempts"] for name in WRITES] == [1, 2, 2, 1, 3, 3]
    assert records["plain"]["understanding"] == UNDERSTANDING
    assert records["mute"]["raw"] == ["..."] * 3
    assert records["mute"]["understanding"] == UNDERSTANDING  # a reflection without a response is one
    assert records["never"].get("understanding") is None
    assert (counts["count"], counts["failed"], counts["parse_failures"]) == (6, 1, {"no_json": 4})
    second = counts["responses"]
    assert [second[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [3, 1, 0]
    assert (second["count"], second["failed"], second["labelled"]) == (5, 1, 3)
    assert second["parse_failures"] == {"blank": 1, "placeholder": 3}


def test_a_shorter_response_is_asked_for_in_the_same_form(run: Callable[[str], Any]):
    policy, counts, records = run("ask_again")
    bodies = policy.responding["long"]
    assert ["at most 8 words" in body["messages"][0]["content"] for body in bodies] == [False, True, True]
    assert len({body["seed"] for body in bodies}) == 3
    assert len(policy.reflecting["long"]) == 1
    assert records["long"]["refined_response"] == "What happened there?"
    assert records["long"]["understanding"] == UNDERSTANDING
    assert (counts["shorter"]["over_length_rule"], counts["shorter"]["made_shorter"]) == (1, 1)


def test_another_number_of_answers_is_refused(
    params_file: Callable[..., Path], tmp_path: Path, monkeypatch: Any
):
    monkeypatch.chdir(tmp_path)
    write_contexts({"plain": "I am plain."})
    with pytest.raises(InputError, match=r"refine\.answers.*'one' or 'two'"):
        run_refine(Policy(), params_file, {"refine.answers": "three"})
    assert not (tmp_path / "refined.jsonl").exists()
