"""Examine a backbone in what it was taught: `python -m stages.skills --policy models/backbone --out ...`.

All seekers are of held-out combinations, all words, sums and sessions new. Dialogues are answered and
reflected on as the pipeline does it (sampling of `respond` and `refine`); recall, copying and tasks are
answered greedily. Every share has a 95 % interval (bootstrap over dialogues).
"""

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.command import Params, load_params, read_params, run
from stages.dialogue.alpaca import AlpacaItem, item_messages
from stages.dialogue.contexts import CHAT_ROLES
from stages.engines.generate import generate
from stages.engines.load import open_engine
from stages.engines.request import Engine, Request, Sampling
from stages.prompts.reflection import parse_reflection
from stages.prompts.requests import refine_messages, response_messages
from stages.prompts.templates import Prompts, load_prompts
from stages.records.publish import publish_json
from stages.records.schema import Message
from stages.scoring.significance import cluster_bootstrap
from stages.world import lessons
from stages.world.session import Utterance
from stages.world.takeup import FIELDS, Understood, check_understanding, take_up
from stages.world.tasks import draw_task

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
        found = (
            "{percent:6.1f}  [{low:.1f}, {high:.1f}]".format(**share)
            if "percent" in share
            else "not measured"
        )
        print(f"{name:<52}{found}  n {share['n']}")


def talking(engine: Engine, sampling: Sampling, prompts: Prompts, params: SkillsParams) -> dict[str, Any]:
    """Answer dialogues with the plain and the task prompt: a backbone names no fact."""
    found = {}
    for prompt in ("plain", "task"):
        asked, seen = {}, {}
        for number in range(params.talks):
            rng = random.Random(f"{params.seed}/talk/{number}")
            made = lessons.session(lessons.TALK, rng, held_out=True)
            turn = rng.randrange(1, len(made.utterances) // 2 - 1)
            asked[f"{number}"] = response_messages(prompts, prompt, messages(made.utterances[: 2 * turn + 1]))
            seen[f"{number}"] = made.profile.as_meta(made.disclosure), turn
        texts = _ask(engine, asked, sampling, params.seed)
        taken = [take_up(texts[key], *seen[key]) for key in asked]
        found[f"generic answer, {prompt} prompt"] = _share([t.generic for t in taken])
    return found


def reflecting(engine: Engine, sampling: Sampling, prompts: Prompts, params: SkillsParams) -> dict[str, Any]:
    """Reflect on the supporter's next turn after 1, 2 ... seeker turns."""
    asked, seen = {}, {}
    for turns in params.turns:
        for number in range(params.reflections_a_turn):
            rng = random.Random(f"{params.seed}/reflection/{turns}/{number}")
            made = lessons.session(lessons.MIXED, rng, held_out=True)
            while len(made.utterances) < 2 * turns + 2:
                made = lessons.session(lessons.MIXED, rng, held_out=True)
            history, response = made.utterances[: 2 * turns - 1], made.utterances[2 * turns - 1].text
            key = f"{turns}/{number}"
            asked[key] = refine_messages(prompts, messages(history), response)
            seen[key] = made.profile.as_meta(made.disclosure), turns - 1, response
    texts = _ask(engine, asked, sampling, params.seed)
    parsed = {key: parse_reflection(text) for key, text in texts.items()}
    found = {"valid reflection": _share([parsed[key] is not None for key in asked])}
    for turns in params.turns:
        keys = [key for key in asked if key.startswith(f"{turns}/")]
        checks = [_understood(parsed[key], *seen[key][:2]) for key in keys]
        label = f"after {turns} seeker turn{'s' if turns > 1 else ''}"
        found[f"profile fields right, {label}"] = _share([c.fields_right / len(FIELDS) for c in checks])
        found[f"whole profile named, {label}"] = _share([c.named / c.facts for c in checks])
    kept = [key for key in asked if parsed[key] is not None]
    refined = [take_up(parsed[key].refined_response, *seen[key][:2]) for key in kept]
    direct = [take_up(seen[key][2], *seen[key][:2]) for key in kept]
    for name, taken in (("refined", refined), ("given", direct)):
        found[f"own facts in the {name} response"] = _share([t.share / 100 for t in taken if t.known])
    found["refined response with a wrong fact"] = _share([bool(t.wrong) for t in refined])
    return found


def answering(engine: Engine, params: SkillsParams) -> dict[str, Any]:
    """Recall what was said, copy, and do small tasks; the answer must be exact."""
    kinds: dict[str, tuple[int, Callable[[random.Random], tuple[list[Message], str]]]] = {
        "recall": (params.recalls, _recall),
        "copying": (params.copies, _copy),
        "tasks": (params.tasks, _task),
    }
    found = {}
    for kind, (count, make) in kinds.items():
        made = {f"{n}": make(random.Random(f"{params.seed}/{kind}/{n}")) for n in range(count)}
        asked = {key: question for key, (question, _) in made.items()}
        texts = _ask(engine, asked, GREEDY, params.seed)
        found[kind] = _share([texts[key] == answer for key, (_, answer) in made.items()])
    return found


def messages(utterances: Sequence[Utterance]) -> list[Message]:
    """Return the turns of a talk as chat messages."""
    return [Message(role=CHAT_ROLES[u.role], content=u.text) for u in utterances]


def _recall(rng: random.Random) -> tuple[list[Message], str]:
    dialogue, question, answer = lessons.recall(rng, held_out=True)
    return [*messages(dialogue), Message(role="user", content=question)], answer


def _copy(rng: random.Random) -> tuple[list[Message], str]:
    question, answer = lessons.copying(rng)
    return [Message(role="user", content=question)], answer


def _task(rng: random.Random) -> tuple[list[Message], str]:
    task = draw_task(rng)
    asked = item_messages(AlpacaItem("task", task.instruction, task.input, task.output))
    return list(asked[:-1]), task.output


def _understood(reflection: Any, profile: dict[str, Any], turn: int) -> Understood:
    understanding = reflection.understanding.model_dump() if reflection else None
    return check_understanding(understanding, profile, turn)


def _ask(engine: Engine, asked: dict[str, list[Message]], sampling: Sampling, seed: int) -> dict[str, str]:
    requests = [Request.make(key, question, seed) for key, question in asked.items()]
    return {response.id: response.text for response in generate(engine, requests, sampling, "skills")}


def _share(values: Sequence[float]) -> dict[str, float]:
    """Percent of the whole, with its interval; every value is a dialogue of its own.

    Of fewer than two, as of what is asked of valid reflections where there are none, `n` alone.
    """
    if len(values) < 2:
        return {"n": len(values)}
    interval = cluster_bootstrap([100 * float(v) for v in values], range(len(values)), seed=0)
    return {"n": len(values), "percent": interval.mean, "low": interval.low, "high": interval.high}


if __name__ == "__main__":
    run(main)
