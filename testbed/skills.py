"""Examine a backbone in what it was taught: `python -m testbed.skills --policy models/backbone --out ...`.

All seekers are of held-out combinations, all words, sums and sessions new. Dialogues are answered and
reflected on as the pipeline does it (sampling of `respond` and `refine`); recall, copying and tasks are
answered greedily. Every share has a 95 % interval (bootstrap over dialogues).
"""

import argparse
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import Field

from selfevolve.generation.engines import open_engine
from selfevolve.generation.generate import generate
from selfevolve.generation.request import Engine, Request, Sampling
from selfevolve.metrics.facts import Seeker, Vocabulary
from selfevolve.metrics.statistics import cluster_bootstrap
from selfevolve.metrics.understanding import FIELDS, check_understanding
from selfevolve.prompts.answers import Reflection, parse_reflection
from selfevolve.prompts.requests import refine_messages, response_messages
from selfevolve.prompts.response_text import example_texts
from selfevolve.prompts.templates import Prompts, load_prompts
from selfevolve.records.schema import Message, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import ParseError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import Params, load_params, read_params
from testbed import lessons
from testbed.world.profile import all_facts
from testbed.world.session import Session
from testbed.world.tasks import draw_task

GREEDY = Sampling(temperature=0, top_p=1, top_k=0, repetition_penalty=1, max_new_tokens=128)


class SkillsParams(Params):
    """Section `skills`: number of questions of each kind; `turns` are the seeker turns reflected on."""

    seed: int
    talks: int = Field(ge=2)
    reflections_a_turn: int = Field(ge=2)
    turns: list[int]
    recalls: int = Field(ge=2)
    copies: int = Field(ge=2)
    tasks: int = Field(ge=2)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask everything and publish the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, required=True, help="file with section `skills`")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="sampling and prompts")
    args = parser.parse_args(argv)
    params = read_params("skills", SkillsParams, args.recipe)
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    respond = Sampling(**load_params("respond", args.params)["sampling"])
    refine = Sampling(**load_params("refine", args.params)["sampling"])
    with open_engine(load_params("engine", args.params), args.policy) as (engine, _):
        skills = {
            **talking(engine, respond, prompts, params),
            **reflecting(engine, refine, prompts, params),
            **answering(engine, params),
        }
    publish_json(args.out, {"policy": engine.model, "skills": skills})
    for name, share in skills.items():
        shown = "{percent:6.1f}  [{low:.1f}, {high:.1f}]" if "percent" in share else "not measured"
        print(f"{name:<52}{shown.format(**share)}  n {share['n']}")


def talking(engine: Engine, sampling: Sampling, prompts: Prompts, params: SkillsParams) -> dict[str, Any]:
    """Answer dialogues with the plain and the task prompt: a backbone names no fact."""
    found = {}
    for prompt in ("plain", "task"):
        asked, seekers = {}, {}
        for number in range(params.talks):
            rng = random.Random(f"{params.seed}/talk/{number}")
            made = lessons.session("talk", rng, held_out=True)
            turn = rng.randrange(1, len(made.utterances) // 2 - 1)
            history = lessons.messages(made.utterances[: 2 * turn + 1])
            asked[f"{number}"] = response_messages(prompts, prompt, history)
            seekers[f"{number}"] = _seeker(made, turn)
        answers = _ask(engine, asked, sampling, params.seed)
        mentions = [seekers[key].mentions(key, answers[key].text) for key in asked]
        found[f"generic answer, {prompt} prompt"] = _share([one.generic for one in mentions])
    return found


def reflecting(engine: Engine, sampling: Sampling, prompts: Prompts, params: SkillsParams) -> dict[str, Any]:
    """Reflect on the supporter's next turn after 1, 2 ... seeker turns."""
    asked, seekers, responses = {}, {}, {}
    for turns in params.turns:
        for number in range(params.reflections_a_turn):
            rng = random.Random(f"{params.seed}/reflection/{turns}/{number}")
            made = lessons.session("mixed", rng, held_out=True)
            while len(made.utterances) < 2 * turns + 2:
                made = lessons.session("mixed", rng, held_out=True)
            history, response = made.utterances[: 2 * turns - 1], made.utterances[2 * turns - 1].text
            key = f"{turns}/{number}"
            asked[key] = refine_messages(prompts, lessons.messages(history), response)
            seekers[key], responses[key] = _seeker(made, turns - 1), response
    examples = example_texts(prompts.text("refine"))
    parsed: dict[str, Reflection] = {}
    for key, answer in _ask(engine, asked, sampling, params.seed).items():
        with suppress(ParseError):
            parsed[key] = parse_reflection(answer, examples).value
    understood = {key: reflection.understanding.model_dump() for key, reflection in parsed.items()}
    found = {"valid reflection": _share([key in parsed for key in asked])}
    for turns in params.turns:
        keys = [key for key in asked if key.startswith(f"{turns}/")]
        checks = [check_understanding(understood.get(key), seekers[key]) for key in keys]
        label = f"after {turns} seeker turn{'s' if turns > 1 else ''}"
        found[f"profile fields right, {label}"] = _share([c.fields_right / len(FIELDS) for c in checks])
        found[f"whole profile named, {label}"] = _share([c.named / c.facts for c in checks])
    refined = [seekers[key].mentions(key, parsed[key].refined_response) for key in parsed]
    original = [seekers[key].mentions(key, responses[key]) for key in parsed]
    for name, mentions in (("refined", refined), ("original", original)):
        shares = [one.share / 100 for one in mentions if one.share is not None]
        found[f"own facts in the {name} response"] = _share(shares)
    found["refined response with a wrong fact"] = _share([bool(one.wrong) for one in refined])
    return found


def answering(engine: Engine, params: SkillsParams) -> dict[str, Any]:
    """Recall what was said, copy, and do small tasks; the answer must be exact."""
    kinds: dict[str, tuple[int, Callable[[random.Random], list[Message]]]] = {
        "recall": (params.recalls, partial(lessons.recall, held_out=True)),
        "copying": (params.copies, lessons.copying),
        "tasks": (params.tasks, lambda rng: draw_task(rng).messages()),
    }
    found = {}
    for kind, (count, make) in kinds.items():
        made = {f"{n}": make(random.Random(f"{params.seed}/{kind}/{n}")) for n in range(count)}
        answers = _ask(engine, {key: asked[:-1] for key, asked in made.items()}, GREEDY, params.seed)
        found[kind] = _share([answers[key].text == asked[-1].content for key, asked in made.items()])
    return found


def _seeker(made: Session, turn: int) -> Seeker:
    return Seeker(made.profile.as_meta(made.disclosure), turn, _vocabulary())


@cache
def _vocabulary() -> Vocabulary:
    return Vocabulary(phrase for phrases in all_facts().values() for phrase in phrases)


def _ask(
    engine: Engine, asked: dict[str, list[Message]], sampling: Sampling, seed: int
) -> dict[str, Response]:
    requests = [Request.make(key, question, seed) for key, question in asked.items()]
    return {response.id: response for response in generate(engine, requests, sampling, "skills")}


def _share(values: Sequence[float]) -> dict[str, float]:
    """Percent with its interval, a value a dialogue; of fewer than two values `n` alone."""
    if len(values) < 2:
        return {"n": len(values)}
    interval = cluster_bootstrap([100 * float(v) for v in values], range(len(values)), seed=0)
    return {"n": len(values), "percent": interval.mean, "low": interval.low, "high": interval.high}


if __name__ == "__main__":
    run(main)
