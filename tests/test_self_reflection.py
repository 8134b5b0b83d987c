"""Table 3's self-reflection prompt: its JSON read tolerantly, asked for again, and counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import respond
from stages.prompts.self_reflection import parse_self_reflection
from stages.prompts.strategies import STRATEGIES
from stages.prompts.templates import load_prompts
from stages.records.errors import InputError
from stages.records.jsonl import write_records
from stages.records.schema import Context, Message
from tests.conftest import ROOT, read_lines
from tests.servers import ChatServer, Reply, answers, completion

ANSWER = {"strategy": "Question", "text": "What happened at the bakery?"}


@pytest.mark.parametrize("folder", ["stages/prompts/templates", "backbones/prompts"])
def test_the_prompt_names_the_strategies_and_the_keys(folder: str):
    text = load_prompts(ROOT / folder).text("self_reflection")
    assert all(word in text for word in (*STRATEGIES, "strategy", "text", "JSON"))
    assert "{{" not in text


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ANSWER),
        f"They have lost their job. So:\n```json\n{json.dumps(ANSWER, indent=1)}\n```\nThat is it.",
        str(ANSWER),  # single quotes
        json.dumps(ANSWER)[:-1],  # cut off before the bracket
        json.dumps([ANSWER]).replace("[", "My answer: "),
        json.dumps({"text": [ANSWER["text"]], "strategy": ["Question"], "mood": 3}),
    ],
)
def test_tolerated_forms_give_the_same_response(text: str):
    found = parse_self_reflection(text)
    assert found is not None
    assert found.model_dump() == ANSWER


@pytest.mark.parametrize(
    "text", ["", "What happened?", "{}", '{"strategy": "Question"}', '{"text": " "}', '["text"]']
)
def test_an_answer_without_a_text_is_none(text: str):
    assert parse_self_reflection(text) is None


def test_an_unknown_strategy_does_not_lose_the_response():
    for strategy in ({}, {"strategy": None}, {"strategy": "Hugging"}):
        found = parse_self_reflection(json.dumps({"text": "I see."} | strategy))
        assert found is not None
        assert found.text == "I see."


@given(st.one_of(st.text(), st.text().map(lambda text: '{"text":' + text), st.binary().map(repr)))
def test_no_text_breaks_the_parser(text: str):
    found = parse_self_reflection(text)
    assert found is None or found.text.strip()


@given(
    st.recursive(
        st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_value_in_any_field_gives_a_response_or_none(value: object):
    for key in ANSWER:
        found = parse_self_reflection(json.dumps({**ANSWER, key: value}))
        assert found is None or found.text.strip()


# --- the stage respond, asking a server

GOOD_AT = {"first": 1, "second": 2, "never": 9, "blank": 3}  # the attempt at which an answer has a text


class Seeker:
    """Answers a seeker's last words with JSON at the attempt that GOOD_AT says."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, body: dict[str, Any], nth: int) -> Reply:
        self.bodies.append(body)
        last = body["messages"][-1]["content"]
        attempt = sum(other["messages"][-1]["content"] == last for other in self.bodies)
        if attempt == GOOD_AT[last]:
            return answers(completion(json.dumps({"strategy": "Others", "text": f"to {last}"})))
        bad = '{"strategy": "Others", "text": ""}' if last == "blank" else f"no JSON {attempt}"
        return answers(completion(bad))


@pytest.fixture
def ask(
    backbone: Path, params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, dict[str, Any]], dict[str, Any], Seeker]]:
    """Runs the stage with a prompt on one context for each of GOOD_AT; returns responses and counts."""
    contexts = [
        Context(id=f"{words}#1", messages=[Message(role="user", content=words)], golden="g")
        for words in GOOD_AT
    ]
    write_records(tmp_path / "asked.jsonl", contexts)
    monkeypatch.chdir(tmp_path)

    def run(prompt: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any], Seeker]:
        seeker = Seeker()
        with ChatServer(seeker) as server:
            engine = {"kind": "openai", "base_url": server.url, "model": "{policy}", "concurrency": 1}
            engine |= {"timeout_s": 60.0, "retries": 0, "key_variable": "OPENAI_API_KEY"}
            params = params_file({"engine": engine, "respond.attempts": 3})
            files = {"policy": backbone, "contexts": "asked.jsonl", "out": "out.jsonl", "metrics": "m.json"}
            parts = [part for name, value in files.items() for part in (f"--{name}", str(value))]
            respond.main([*parts, "--prompt", prompt, "--params", str(params)])
        responses = {line["id"].partition("#")[0]: line for line in read_lines(tmp_path / "out.jsonl")}
        return responses, json.loads((tmp_path / "m.json").read_text()), seeker

    return run


def test_what_does_not_parse_is_asked_again_and_what_never_does_stays_as_it_is(ask: Callable[..., Any]):
    responses, counts, seeker = ask("self_reflection")
    texts = {name: (line["text"], line["attempt"]) for name, line in responses.items()}
    assert texts == {
        "first": ("to first", 1),
        "second": ("to second", 2),
        "blank": ("to blank", 3),
        "never": ("no JSON 3", 3),
    }
    assert [counts[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [1, 1, 1]
    assert (counts["unparsed"], counts["count"], counts["shortened"]) == (1, 4, 0)
    assert len({body["seed"] for body in seeker.bodies}) == len(seeker.bodies) == 1 + 2 + 3 + 3
    assert {body["messages"][0]["role"] for body in seeker.bodies} == {"system"}


def test_other_prompts_are_asked_once_and_their_answers_are_not_read_as_json(ask: Callable[..., Any]):
    responses, counts, seeker = ask("task")
    assert len(seeker.bodies) == 4
    assert responses["first"]["text"] == '{"strategy": "Others", "text": "to first"}'
    assert responses["second"]["text"] == "no JSON 1"
    assert set(counts) == {"count", "empty", "cut_off", "mean_words", "shortened"}


# --- a prompt longer than the one that contexts are cut for


def run_locally(
    backbone: Path, contexts_file: Path, params: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    files = {"policy": backbone, "contexts": contexts_file, "out": "out.jsonl", "metrics": "m.json"}
    parts = [part for name, value in files.items() for part in (f"--{name}", str(value))]
    respond.main([*parts, "--prompt", "self_reflection", "--params", str(params)])
    return json.loads((folder / "m.json").read_text())


def test_a_longer_prompt_takes_the_oldest_exchanges_and_is_counted(
    backbone: Path,
    contexts_file: Path,
    params_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "self_reflection.txt").write_text("Think of the seeker, and answer with JSON.")
    changes = {"prompts.dir": str(prompts), "respond.attempts": 1}
    short = params_file(changes | {"respond.sampling.max_new_tokens": 8})
    counts = run_locally(backbone, contexts_file, short, tmp_path, monkeypatch)
    assert (counts["shortened"], counts["count"]) == (0, 40)
    tight = params_file(changes | {"respond.sampling.max_new_tokens": 400})
    counts = run_locally(backbone, contexts_file, tight, tmp_path, monkeypatch)
    assert 0 < counts["shortened"] < counts["count"] == counts["unparsed"] == 40
    full = params_file(changes | {"respond.sampling.max_new_tokens": 511})
    with pytest.raises(InputError, match=r"record d000#1: field messages: .* exceed 512"):
        run_locally(backbone, contexts_file, full, tmp_path, monkeypatch)
