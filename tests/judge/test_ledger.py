"""The ledger never asks twice and counts every call; a judge that runs in this process."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

from selfevolve.generation.generate import ask
from selfevolve.generation.request import Request, ResponseParams, Sampling
from selfevolve.judge import questions
from selfevolve.judge.engine import Judge
from selfevolve.judge.ledger import MESSAGE_TOKENS, Ledger, Spent, most_tokens, request_key
from selfevolve.records.schema import Message, Response, Usage
from selfevolve.runtime.errors import InputError, ParseError
from stages.judging import judge
from tests.support.judges import judge_line, read_json, word_window, write_params, write_world

SAMPLING = Sampling(temperature=0.8, top_p=0.95, top_k=50, repetition_penalty=1.0, max_new_tokens=20)
MESSAGES = [Message(role="user", content="zwölf")]
BOUND = 6 + MESSAGE_TOKENS


def request(identity: str, attempt: int = 1) -> Request:
    return Request.make(identity, MESSAGES, 1, attempt)


def response(identity: str, usage: Usage | None = None, text: str = "yes") -> Response:
    return Response(id=identity, text=text, finish_reason="stop", attempt=1, model="m", usage=usage)


def keep(ledger: Ledger, *batch: Response) -> None:
    requests = [request(one.id) for one in batch]
    with ledger.answers(Scripted(str), requests, SAMPLING) as answers:
        answers.append(batch)


def test_a_call_counts_at_its_bound_until_the_server_reports_its_tokens(tmp_path: Path):
    assert most_tokens(MESSAGES) == BOUND
    with Ledger(tmp_path / "l.jsonl") as ledger:
        for identity in ("a", "b", "c", "c", "d"):
            ledger.sending(request(identity), SAMPLING)
        ledger.refused(request("b"), SAMPLING)
        assert ledger.spent() == Spent(calls=5, refused=1, most_in=4 * BOUND, most_out=4 * 20)
        usage = Usage(prompt_tokens=3, completion_tokens=2)
        keep(ledger, response("a", usage), response("c", usage), response("d"))
        spent = ledger.spent()
    # a and c measured, the lost call of c and the uncounted d at their worst, b for nothing
    expected = Spent(5, 1, 3, 2, 6, 4, most_in=6 + 2 * BOUND, most_out=4 + 2 * 20)
    assert spent == expected
    with Ledger(tmp_path / "l.jsonl") as ledger:
        assert ledger.spent() == expected
        assert ledger.spent({request_key(request("b"), SAMPLING)}) == Spent(calls=1, refused=1)
        assert ledger.answer(request("a"), SAMPLING) == response("a", usage)
        assert ledger.answer(request("a", 2), SAMPLING) is None
        assert ledger.answer(request("a"), SAMPLING.model_copy(update={"top_k": 1})) is None


def test_a_call_that_is_not_allowed_is_not_written_down(tmp_path: Path):
    def allow(spent: Spent) -> None:
        if spent.calls > 1:
            raise InputError("enough")

    with Ledger(tmp_path / "l.jsonl", allow) as ledger:
        ledger.sending(request("a"), SAMPLING)
        with pytest.raises(InputError, match="enough"):
            ledger.sending(request("b"), SAMPLING)
        assert ledger.spent().calls == 1


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path: Path):
    path = tmp_path / "l.jsonl"
    with Ledger(path) as ledger:
        keep(ledger, response("a"))
    path.write_bytes(path.read_bytes() + b'{"key":"b","ev')
    with Ledger(path) as ledger:
        assert ledger.spent().answers == 1
        ledger.sending(request("b"), SAMPLING)
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["answered", "sent"]


class Scripted:
    """A judge in this process that answers by the attempt."""

    model, settings = "scripted", {"kind": "transformers"}

    def __init__(self, say: Callable[[Request], str]):
        self.say, self.asked = say, list[tuple[str, int]]()

    def plan(
        self, requests: Sequence[Request], sampling: Sampling, done: Collection[str]
    ) -> list[Sequence[Request]]:
        """Whole batches of three, as the transformers engine does: with what is done already."""
        batches = [requests[start : start + 3] for start in range(0, len(requests), 3)]
        return [batch for batch in batches if not all(one.id in done for one in batch)]

    def answer(self, batches: Sequence[Sequence[Request]], sampling: Sampling) -> Iterator[list[Response]]:
        for batch in batches:
            self.asked += [(one.id, one.attempt) for one in batch]
            yield [response(one.id, text=self.say(one)) for one in batch]


def parse_yes(answer: Response) -> dict[str, str]:
    if answer.text != "yes":
        raise ParseError("unclear")
    return {"said": answer.text}


def test_only_answers_that_do_not_parse_are_asked_for_again_and_at_most_three_times(tmp_path: Path):
    engine = Scripted(lambda one: "yes" if (one.id, one.attempt) in {("a", 1), ("b", 2)} else "hm")
    asked = dict.fromkeys("abc", MESSAGES)
    with Ledger(tmp_path / "l.jsonl") as ledger:
        params = ResponseParams(seed=1, attempts=3, sampling=SAMPLING)
        options = (params, parse_yes, "t", ledger.answers)
        outcomes = ask(engine, asked, *options)
        assert engine.asked == [("a", 1), ("b", 1), ("c", 1), ("b", 2), ("c", 2), ("c", 3)]
        assert [outcome.attempts for outcome in outcomes.values()] == [1, 2, 3]
        assert [outcome.value for outcome in outcomes.values()] == [{"said": "yes"}] * 2 + [None]
        assert [(one.reason, one.text) for one in outcomes["c"].failed] == [("unclear", "hm")] * 3
        assert ask(engine, asked, *options) == outcomes
        assert len(engine.asked) == 6


@pytest.mark.parametrize(("window", "shortened", "too_long"), [(1000, 0, 0), (600, 18, 3), (400, 0, 21)])
def test_a_judge_in_this_process_whose_answers_are_nonsense_is_counted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, shortened: int, too_long: int
):
    """Its window is kept: the oldest exchanges go first, and what does not fit then is not asked."""
    monkeypatch.chdir(tmp_path)
    engine = Scripted(lambda one: "the the the")
    loaded = Judge(engine, word_window(window), lambda meter: engine)
    monkeypatch.setattr(questions, "load_judge", lambda options: loaded)
    write_world(tmp_path, 3)
    path = tmp_path / "contexts.jsonl"
    talk = [Message(role=role, content="w " * 100).model_dump() for role in ("user", "assistant")]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps(line | {"messages": [*talk, *line["messages"]]}) for line in lines))
    write_params(tmp_path, "http://127.0.0.1:9/v1")
    judge.main(judge_line())
    metrics = read_json(tmp_path / "judge.json")
    assert metrics["verdicts"] == {"asked": 21, "decided": 0, "failed": 21}
    assert all("mean" not in score for score in metrics["scores"].values())
    assert metrics["questions"] == 21
    assert metrics["calls"]["calls"] == 0
    assert (metrics["shortened"], metrics["too_long"]) == (shortened, too_long)
    reasons = {"no_json": 21 - too_long, "too_long": too_long}
    assert metrics["failures"] == {reason: count for reason, count in reasons.items() if count}
    assert len(engine.asked) == 3 * (21 - too_long)
