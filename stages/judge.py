"""Let a judge score responses in seven dimensions: `python -m stages.judge --responses ... --contexts ...`.

Table 7's setting (appendices B.2 and E.2): 100 contexts, one question for each dimension, a score from 1 to 5
as JSON. Calls stand in a ledger before they are made: killed or stopped at a limit, the same command goes on,
and no answer is asked for twice. `--human FILE` adds the correlation with what people gave, a JSONL file:

    {"id": "esconv-0168#7", "model": "m2", "scores": {"empathy": 4, "overall": 3.5}}
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.command import read_params, run
from stages.dialogue.contexts import draw_evenly
from stages.engines.ask import Outcome, T, ask, spent_on
from stages.engines.ledger import Ledger, Spent
from stages.engines.load import Judge, load_judge
from stages.engines.request import Engine, Request, Sampling
from stages.engines.window import drop_oldest
from stages.judging.answers import read_verdict
from stages.judging.cost import Limits, estimate
from stages.judging.human import correlate, read_human
from stages.judging.texts import RUBRICS, TEXTS
from stages.judging.verdicts import DIMENSIONS, Interval, Judged, Score, Unread, Verdict, summarize
from stages.prompts.requests import transcript
from stages.prompts.templates import Prompts, load_texts
from stages.records.errors import InputError
from stages.records.fingerprint import digest_value
from stages.records.jsonl import natural_key, read_records, write_records
from stages.records.publish import publish_json
from stages.records.schema import Context, Message, NonEmpty, Response
from stages.scoring.significance import cluster_bootstrap

SCRATCH = Path(".scratch/judge")


class JudgeParams(Limits):
    """Section `judge` of params.yaml. `contexts` null takes all; files in `rubrics` replace ours."""

    seed: int = Field(ge=0)
    contexts: int | None = Field(ge=1)
    attempts: int = Field(ge=1)
    sampling: Sampling
    rubrics: NonEmpty
    engine: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask the judge, and write the verdicts and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--responses", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True, help="the test contexts they answer")
    parser.add_argument("--out", type=Path, required=True, help="the verdicts (JSONL)")
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--human", type=Path, help="scores that people gave (JSONL)")
    parser.add_argument("--model", help="the model's name in that file (default: the responses' folder)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("judge", JudgeParams, args.params)
    contexts, counts = draw(args.contexts, params)
    responses = texts_of(args.responses, contexts)
    model = args.model or args.responses.resolve().parent.name
    human = read_human(args.human, model, [context.id for context in contexts]) if args.human else None
    judge = load_judge(params.engine)
    rubrics = load_texts(TEXTS, RUBRICS, params.rubrics)
    questions = _questions(contexts, responses, rubrics, Questions(judge, params))
    outcomes, asking = questions.consult("judge", lambda answer: read_verdict(answer, Score, "score"))
    judged = [_judged(context.id, outcomes) for context in contexts]
    write_records(args.out, judged)
    metrics = {
        "model": model,
        "judge": described(judge, params, rubrics),
        "contexts": counts | {"empty_responses": sum(not responses[c.id].strip() for c in contexts)},
        **summarize(judged, interval_over(params.seed)),
        **asking,
        **({"human": correlate(judged, human)} if human else {}),
    }
    publish_json(args.metrics, metrics)
    _show(metrics)


def draw(path: Path, params: JudgeParams) -> tuple[list[Context], dict[str, int]]:
    """Return the contexts to judge, ordered by id, and their counts; every model gets the same ones."""
    found = read_records(path, Context)
    if not found:
        raise InputError("has no contexts", file=path)
    drawn = draw_evenly(found, params.contexts or len(found), params.seed)
    dialogues = {context.id.partition("#")[0] for context in drawn}
    counts = {"found": len(found), "sampled": len(drawn), "dialogues": len(dialogues)}
    return sorted(drawn, key=lambda context: natural_key(context.id)), counts


def texts_of(path: Path, contexts: Sequence[Context]) -> dict[str, str]:
    """Return the response to each of the contexts; InputError if one has none."""
    texts = {response.id: response.text for response in read_records(path, Response)}
    if missing := [context.id for context in contexts if context.id not in texts]:
        raise InputError(f"no response to {len(missing)} of the contexts", file=path, record=missing[0])
    return {context.id: texts[context.id] for context in contexts}


@dataclass
class Questions:
    """What a judge is to be asked, by id; None is a question that does not fit a local judge's window.

    A server's window is not known: what does not fit there is refused there.
    """

    judge: Judge
    params: JudgeParams
    asked: dict[str, list[Message] | None] = field(default_factory=dict)
    shortened: int = 0

    def add(self, identity: str, context: Context, build: Callable[[list[Message]], list[Message]]) -> None:
        """Add what `build` makes of a dialogue, without its oldest exchanges where it must be shorter."""
        left: list[Message] | None = context.messages
        if self.judge.template is not None and self.judge.window is not None:
            budget = self.judge.window - self.params.sampling.max_new_tokens
            left, dropped = drop_oldest(context.messages, build, self.judge.template, budget)
            self.shortened += left is not None and dropped > 0
        self.asked[identity] = build(left) if left is not None else None

    def consult(
        self, stage: str, read: Callable[[Response], T | str]
    ) -> tuple[dict[str, Outcome[T]], dict[str, Any]]:
        """Say what the questions will cost, ask them, and return the outcomes and what the calls came to."""
        params, engine = self.params, self.judge.engine
        asked = {identity: messages for identity, messages in self.asked.items() if messages is not None}
        with _open_ledger(engine, params) as ledger:
            self._announce(ledger, asked, stage)
            options = (params.sampling, params.seed, params.attempts)
            outcomes = ask(engine, ledger, asked, *options, read, stage)
            spent = spent_on(ledger, asked, outcomes, params.sampling, params.seed)
        outcomes |= {name: Outcome(unread=[("too_long", "")]) for name in self.asked.keys() - asked.keys()}
        counts = {
            "questions": len(self.asked),
            "shortened": self.shortened,
            "too_long": len(self.asked) - len(asked),
        }
        return outcomes, counts | {
            "calls": _calls(spent, params),
            "estimate": _estimate(asked.values(), params),
        }

    def _announce(self, ledger: Ledger, asked: Mapping[str, list[Message]], stage: str) -> None:
        params = self.params
        new = [
            messages
            for identity, messages in asked.items()
            if ledger.answer(Request.make(identity, messages, params.seed), params.sampling) is None
        ]
        expected = _estimate(new, params)
        cost = "" if expected["cost"] is None else f", a cost of at most about {expected['cost']:.2f}"
        print(
            f"{stage}: {len(self.asked)} questions, {len(self.asked) - len(asked)} too long, "
            f"{len(asked) - len(new)} answered before, {len(new)} to ask: about {expected['tokens_in']} "
            f"tokens in and at most {expected['tokens_out']} out{cost}; what cannot be read is asked up "
            f"to {params.attempts} times",
            flush=True,
        )


def described(judge: Judge, params: JudgeParams, rubrics: Prompts) -> dict[str, Any]:
    """Return who judged and how; `not_sent` are settings that the server's interface does not have."""
    engine = judge.engine.describe()
    not_sent = [] if engine.get("extensions", True) else ["top_k", "repetition_penalty"]
    return {
        "kind": engine["kind"],
        "model": judge.engine.model,
        "sampling": params.sampling.model_dump(),
        "not_sent": not_sent,
        "seed": params.seed,
        "rubrics": rubrics.digest,
    }


def interval_over(seed: int) -> Interval:
    """Return a function that gives means with bootstrap intervals over dialogues."""

    def interval(values: Sequence[float], ids: Sequence[str]) -> dict[str, float]:
        dialogues = [identity.partition("#")[0] for identity in ids]
        if len(set(dialogues)) > 1:
            return cluster_bootstrap(values, dialogues, seed=seed)._asdict()
        return {"mean": sum(values) / len(values)} if values else {}

    return interval


def unread(outcome: Outcome[Any]) -> list[Unread]:
    """Return an outcome's unread answers as records."""
    return [Unread(reason=reason, text=text) for reason, text in outcome.unread]


def _questions(
    contexts: Sequence[Context], responses: Mapping[str, str], rubrics: Prompts, questions: Questions
) -> Questions:
    """Add a question for every context and dimension, by `<context>/<dimension>`."""
    for context in contexts:
        for dimension in DIMENSIONS:

            def build(
                left: list[Message], context: Context = context, name: str = dimension
            ) -> list[Message]:
                request = rubrics.fill("request", dialogue=transcript(left), response=responses[context.id])
                return [
                    Message(role="system", content=rubrics.text(name)),
                    Message(role="user", content=request),
                ]

            questions.add(f"{context.id}/{dimension}", context, build)
    return questions


def _judged(identity: str, outcomes: Mapping[str, Outcome[Score]]) -> Judged:
    found = [(dimension, outcomes[f"{identity}/{dimension}"]) for dimension in DIMENSIONS]
    return Judged(
        id=identity,
        verdicts=[
            Verdict(
                dimension=dimension,
                score=outcome.value and outcome.value.score,
                explanation=outcome.value and outcome.value.explanation,
                attempts=outcome.attempts,
                unread=unread(outcome),
            )
            for dimension, outcome in found
        ],
    )


def _open_ledger(engine: Engine, params: JudgeParams) -> Ledger:
    """Return the ledger of this judge, shared by all models, comparisons and runs that ask it."""
    identity = digest_value({"model": engine.model, "engine": engine.describe()})

    def allow(spent: Spent) -> None:
        params.check(spent.calls, spent.most_in, spent.most_out)

    return Ledger(SCRATCH / identity[:16] / "ledger.jsonl", allow)


def _estimate(asked: Collection[Sequence[Message]], params: JudgeParams) -> dict[str, Any]:
    prompts = ["".join(message.content for message in messages) for messages in asked]
    return estimate(prompts, params.sampling.max_new_tokens, params.prices)


def _calls(spent: Spent, params: JudgeParams) -> dict[str, Any]:
    """Return what the calls came to. Tokens that no server has counted are null, and so is their cost."""
    measured = spent.measured > 0
    cost = params.prices.of(spent.prompt_tokens, spent.completion_tokens) if measured else None
    return {
        "calls": spent.calls,
        "refused": spent.refused,
        "answers": spent.answers,
        "answers_with_usage": spent.measured,
        "prompt_tokens": spent.prompt_tokens if measured else None,
        "completion_tokens": spent.completion_tokens if measured else None,
        "cost": cost,
        "cost_at_most": params.prices.of(spent.most_in, spent.most_out),
    }


def _show(metrics: Mapping[str, Any]) -> None:
    for dimension, score in metrics["scores"].items():
        mean = f"{score['mean']:.2f}" if "mean" in score else "not available"
        bounds = f" ({score['low']:.2f} to {score['high']:.2f})" if "low" in score else ""
        print(f"{dimension:<15} {mean}{bounds}, {score['count']} verdicts, {score['failed']} failed")


if __name__ == "__main__":
    run(main)
