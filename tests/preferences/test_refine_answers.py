"""What a server's model may write, through the stages refine, pair, respond and score."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfevolve.generation.journal import Journal
from selfevolve.policies.policy import Backbone, write_backbone
from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, Message, Response
from stages import pair, refine, respond, score
from tests.conftest import ROOT, read_lines
from tests.support.answers import REFLECTION
from tests.support.servers import ChatServer, Reply, answers, completion

Answer = tuple[str | None, str] | bytes
GOLDEN = "What would help you tonight?"
SAID = "What happened at the bakery?"


def saying(response: Any, **more: Any) -> str:
    return json.dumps({**REFLECTION, "refined_response": response, **more})


def thinking(content: str | None, reasoning: str) -> bytes:
    """What a server sends that tells thinking from the answer itself."""
    body = json.loads(completion(content))
    body["choices"][0]["message"]["reasoning_content"] = reasoning
    return json.dumps(body).encode()


class Runs:
    """Runs stages against a server whose model answers each seeker's words with the next of some answers."""

    def __init__(self, folder: Path, backbone: Path, params_file: Callable[..., Path]):
        self.folder, self.backbone, self.params_file = folder, backbone, params_file
        self.asked: Counter[str] = Counter()

    def write(self, names: list[str]) -> None:
        contexts = [
            Context(id=f"{name}#1", messages=[Message(role="user", content=f"I am {name}.")], golden=GOLDEN)
            for name in names
        ]
        write_records(self.folder / "contexts.jsonl", contexts)
        direct = [
            Response(id=one.id, text="I see that.", finish_reason="stop", attempt=1, model="m")
            for one in contexts
        ]
        write_records(self.folder / "direct.jsonl", direct)

    def run(
        self, stage: Any, says: dict[str, list[Answer]], *more: str, times: int = 1
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run a stage that asks, so many times; return its records by name and its metrics."""

        def reply(body: dict[str, Any], nth: int) -> Reply:
            told = body["messages"][-1]["content"]
            name = next(name for name in says if f"I am {name}." in told)
            answer = says[name][min(self.asked[name], len(says[name]) - 1)]
            self.asked[name] += 1
            return answers(answer if isinstance(answer, bytes) else completion(*answer))

        with ChatServer(reply) as server:
            engine = {"kind": "openai", "code": "selfevolve/engines/server", "base_url": server.url}
            engine |= {"model": "{policy}", "concurrency": 1, "timeout_s": 60.0, "retries": 0}
            engine |= {"key_variable": "OPENAI_API_KEY"}
            files = {"policy": self.backbone, "contexts": "contexts.jsonl", "out": "out.jsonl"}
            files |= {"metrics": "m.json", "params": self.params_file({"engine": engine})}
            for _ in range(times):
                call(stage, files, *more)
        return by_name("out.jsonl"), json.loads(Path("m.json").read_text())

    def refine(self, says: dict[str, list[Answer]], times: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
        self.write(list(says))
        return self.run(refine, says, "--responses", "direct.jsonl", times=times)

    def pair(self, rejected: str, refined: str) -> tuple[dict[str, tuple[str, str]], dict[str, Any]]:
        """Chosen and rejected by name, and the metrics."""
        files = {"contexts": "contexts.jsonl", "rejected": rejected, "refined": refined}
        files |= {"out": "pairs", "metrics": "p.json", "params": self.params_file({"pair.valid_share": 0.5})}
        call(pair, files)
        pairs = by_name("pairs/train.jsonl") | by_name("pairs/valid.jsonl")
        sides = {name: (one["chosen"]["value"], one["rejected"]["value"]) for name, one in pairs.items()}
        return sides, json.loads(Path("p.json").read_text())


def call(stage: Any, options: dict[str, Any], *more: str) -> None:
    stage.main([*(part for name, value in options.items() for part in (f"--{name}", str(value))), *more])


def by_name(path: str) -> dict[str, Any]:
    return {line["id"].partition("#")[0]: line for line in read_lines(Path(path))}


@pytest.fixture
def runs(params_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """With the tiny backbone's window, in which the prompts fit; the server answers in its place."""
    tiny = Backbone(weights=str(ROOT / "testbed/tiny"), template="llama3", dtype="float32", window=1120)
    (tmp_path / "backbone").mkdir()
    write_backbone(tmp_path / "backbone", tiny)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Runs(tmp_path, tmp_path / "backbone", params_file)


def test_what_is_cut_off_or_no_response_is_asked_again_counted_and_never_learnt(runs: Runs):
    whole = (saying(SAID), "stop")
    says: dict[str, list[Answer]] = {
        "cut": [(saying(SAID)[:-9], "length")],
        "unfinished": [(saying(SAID)[:-1], "stop"), whole],
        "damaged": [(saying(SAID)[:-1] + ",}", "length"), whole],
        "after a draft": [(saying("A draft.") + saying(SAID)[:-9], "length")],
        "a wrapper": [(saying({"text": SAID, "strategy": "Question"}), "stop"), whole],
        "a list": [(saying([SAID]), "stop"), whole],
        "a placeholder": [(saying("..."), "stop"), (saying("<your response>"), "stop"), whole],
        "invisible": [(saying("\u200b\ufeff"), "stop")],
        "withheld": [("", "content_filter"), whole],
    }
    refined, counts = runs.refine(says)
    parsed = {name: line.get("refined_response") for name, line in refined.items()}
    assert parsed == {name: SAID if whole in said else None for name, said in says.items()}
    assert counts["parse_failures"] == {
        **{"blank": 3, "content_filter": 1, "cut_off": 8, "invalid_refined_response": 2, "placeholder": 2}
    }
    assert (counts["failed"], counts["labelled"], counts["count"]) == (3, 0, 9)
    assert [counts[f"parsed_at_attempt_{n}"] for n in (1, 2, 3)] == [0, 5, 1]
    pairs, counts = runs.pair("direct.jsonl", "out.jsonl")
    assert {chosen for chosen, _ in pairs.values()} == {GOLDEN, SAID}
    assert counts["chosen_source"]["golden_parse"] == 3


def test_labels_and_strategies_are_removed_and_counted(runs: Runs):
    texts = {
        "labelled": f"Supporter: {SAID}",
        "tagged": f"[Question] {SAID}",
        "named": f"Strategy: Question\nResponse: {SAID}",
        "plain": SAID,
    }
    says: dict[str, list[Answer]] = {name: [(saying(text), "stop")] for name, text in texts.items()}
    refined, counts = runs.refine(says)
    assert {line["refined_response"] for line in refined.values()} == {SAID}
    assert (counts["labelled"], counts["parse_failures"]) == (3, {})
    says = {name: [(json.dumps({"text": text}), "stop")] for name, text in texts.items()}
    responses, counts = runs.run(respond, says, "--prompt", "self_reflection")
    assert {line["text"] for line in responses.values()} == {SAID}
    assert (counts["labelled"], counts["unparsed"], counts["unanswered"]) == (3, 0, 0)


def test_good_answers_among_fences_braces_and_drafts_are_kept_whole(runs: Runs):
    text = "Try this:\n```\nbreathe {in}\n```\nDoes it help?"
    whole, draft = saying(text), f"```json\n{saying('DRAFT.')}\n```"
    says: dict[str, list[Answer]] = {
        "fenced": [(f"```json\n{whole}\n```", "stop")],
        "in prose": [(f"Here is {{the JSON}}:\n{whole}\nUse {{it}} well :{{", "stop")],
        "after a fenced draft": [(f"{draft}\nWarmer:\n```json\n{whole}\n```", "stop")],
        "after thinking": [(f"<think>\n{draft}\n</think>\n{whole}", "stop")],
        "after thinking without a tag": [(f"so {draft}\n</THINK>{whole}", "stop")],
    }
    refined, counts = runs.refine(says)
    assert {name: line["refined_response"] for name, line in refined.items()} == dict.fromkeys(says, text)
    assert counts["parsed_at_attempt_1"] == 5


def test_half_a_character_ends_no_stage_and_is_in_no_file(runs: Runs):
    says: dict[str, list[Answer]] = {
        "in the profile": [(saying(SAID).replace("a baker", r"a \ud83d"), "stop")],
        "in the response": [(saying(SAID + "HALF").replace("HALF", r" \ude00"), "stop")],
        "in a failure": [(r"no JSON \ud83d", "stop")],
        "of the server": [("no JSON \ud83d", "stop"), (saying(SAID, feedback="\udc00"), "stop")],
    }
    refined, counts = runs.refine(says, times=2)  # the second time from the journal
    assert refined["in the profile"]["understanding"]["user_profile"] == "a \ufffd"
    assert refined["in the response"]["refined_response"] == f"{SAID} \ufffd"
    assert refined["in a failure"]["raw"] == [r"no JSON \ud83d"] * 3
    assert refined["of the server"]["attempts"] == 2
    assert counts["failed"] == 1
    assert sum(runs.asked.values()) == 1 + 1 + 3 + 2
    journals = list(runs.folder.rglob("journal.jsonl"))
    assert len(journals) == 3
    for path in journals:
        path.read_text(encoding="utf-8")
        with Journal(path) as journal:
            assert journal.responses


def test_thinking_is_no_part_of_a_response_and_a_response_that_never_came_is_empty(runs: Runs):
    says: dict[str, list[Answer]] = {
        "thinking": [("<think>She is sad.</think>\n\nI hear you.", "stop")],
        "thinking twice": [("<think>a</think>Hm.<THINK>b</THINK> I hear you.", "stop")],
        "thinking without a tag": [("She is sad.\n</think>I hear you.", "stop")],
        "unfinished": [("<think>She is", "length"), ("<think>She</think>I hear you.", "stop")],
        "apart": [thinking("I hear you.", "She is sad.")],
        "apart and unfinished": [thinking(None, "She is"), thinking("I hear you.", "She is sad.")],
        "for ever": [("<think>She is", "length")],
        "for ever apart": [thinking(None, "She is")],
        "plain": [("I hear you.", "stop")],
        "silent": [("", "stop")],
    }
    runs.write(list(says))
    responses, counts = runs.run(respond, says, "--prompt", "plain")
    silent = {"for ever", "for ever apart", "silent"}
    assert {name: line["text"] for name, line in responses.items()} == {
        name: "" if name in silent else "I hear you." for name in says
    }
    assert {name: line["attempt"] for name, line in responses.items() if line["attempt"] > 1} == {
        **{"unfinished": 2, "apart and unfinished": 2, "for ever": 3, "for ever apart": 3}
    }
    assert (counts["unanswered"], counts["empty"], counts["parse_failures"]) == (2, 3, {"thinking": 8})
    (runs.folder / "out.jsonl").rename(runs.folder / "rejected.jsonl")
    runs.run(refine, {name: [(saying(SAID), "stop")] for name in says}, "--responses", "rejected.jsonl")
    pairs, counts = runs.pair("rejected.jsonl", "out.jsonl")
    assert pairs == {name: (SAID, "I hear you.") for name in says if name not in silent}
    assert counts["dropped"]["empty_rejected"] == 3
    files = ["--responses", "rejected.jsonl", "--contexts", "contexts.jsonl", "--out", "s.json"]
    params = runs.params_file({"score.semantic": False})
    score.main([*files, "--params", str(params)])
    scores = json.loads((runs.folder / "s.json").read_text())
    assert (scores["count"], scores["empty"], scores["mean_words"]) == (10, 3, 2.1)


def test_a_self_reflected_response_that_never_parsed_is_kept_without_its_thinking(runs: Runs):
    says: dict[str, list[Answer]] = {
        "prose": [("<think>JSON?</think>I hear you.", "stop")],
        "thinking": [("<think>JSON?", "length")],
        "a draft": [('<think>{"text": "DRAFT."}</think>{"text": "I hear you."}', "stop")],
    }
    runs.write(list(says))
    responses, counts = runs.run(respond, says, "--prompt", "self_reflection")
    assert {name: line["text"] for name, line in responses.items()} == {
        **{"prose": "I hear you.", "thinking": "", "a draft": "I hear you."}
    }
    assert (counts["unparsed"], counts["unanswered"]) == (2, 1)
    assert counts["parse_failures"] == {"no_json": 3, "thinking": 3}
