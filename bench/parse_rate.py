"""How often reflections parse: `python -m bench.parse_rate --policy models/backbone --contexts ...`.

A policy refines responses as stage `refine` does, with one engine after another, free or kept to the schema,
in one answer or two, and with one repetition penalty after another; everything else is params.yaml's. A
penalty counts against tokens of the prompt too, so it also falls on the keys and the quotes of the JSON that
is asked for.
"""

import argparse
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from selfevolve.generation.engines import open_engine
from selfevolve.preferences.length_rule import is_longer, read_length_rule
from selfevolve.preferences.refinement import RefineParams, refine
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records
from selfevolve.records.schema import Context, Refinement, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json, read_yaml
from selfevolve.runtime.parameters import load_params, read_params

# English words of a text that describes a response, and of one that is a response.
ABOUT_THE_TASK = re.compile(r"\b(seekers?|users?|supporters?|respon(se|ses|d))\b", re.IGNORECASE)
TO_THE_SEEKER = re.compile(r"\b(you|your|yours|yourself)\b", re.IGNORECASE)


def main(argv: Sequence[str] | None = None) -> None:
    """Refine with every engine and penalty, and write and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="the responses to refine")
    parser.add_argument("--count", type=int, help="how many contexts, the first by id; all by default")
    parser.add_argument(
        "--engines", type=Path, nargs="+", default=[], help="files of conf/engine, or params.yaml's"
    )
    parser.add_argument("--guided", choices=("true", "false"), nargs="+", default=["false"])
    parser.add_argument("--answers", choices=("one", "two"), nargs="+", help="or params.yaml's")
    parser.add_argument("--prompts", type=Path, help="a set of prompts, or params.yaml's")
    parser.add_argument("--penalties", type=float, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("refine", RefineParams, args.params)
    contexts = read_records(args.contexts, Context)[: args.count]
    found = read_by_id(args.responses, Response, [context.id for context in contexts])
    responses = {context.id: found[context.id].text for context in contexts}
    folder = args.prompts or load_params("prompts", args.params)["dir"]
    prompts = load_prompts(folder)
    rule = read_length_rule(args.params)
    most_words = [rule.most_words(responses[context.id], context.golden) for context in contexts]
    rows: list[dict[str, Any]] = []
    for engine_params in _engines(args.engines, args.guided, args.params):
        with open_engine(engine_params, args.policy) as (engine, window):
            for answers, penalty in product(args.answers or [params.answers], args.penalties):
                sampling = params.sampling.model_copy(update={"repetition_penalty": penalty})
                asked = params.model_copy(update={"sampling": sampling, "answers": answers})
                refinements, counts = refine(engine, window, contexts, responses, prompts, asked)
                row = {"engine": engine_params["kind"], "guided": bool(engine_params.get("guided", False))}
                row |= {"answers": answers, "penalty": penalty, **counts}
                rows.append(row | _described(refinements, contexts, most_words))
                print(rows[-1], flush=True)
    described = {"policy": str(args.policy), "prompts": str(folder), "sampling": params.sampling.model_dump()}
    publish_json(args.out, {**described, "rows": rows})


def _engines(files: Sequence[Path], guided: Sequence[str], params: Path) -> list[dict[str, Any]]:
    """Return the `engine` sections to try: a server's once for each value of `guided`, any other's once."""
    sections = [read_yaml(file)["engine"] for file in files] or [load_params("engine", params)]
    tried: list[dict[str, Any]] = []
    for section in sections:
        if "guided" in section:
            tried += [{**section, "guided": value == "true"} for value in guided]
        else:
            tried.append(section)
    return tried


def _described(
    refinements: Sequence[Refinement], contexts: Sequence[Context], most_words: Sequence[int | None]
) -> dict[str, Any]:
    """Return what the refined responses are like.

    `over_length_rule` of them have more than the most words, `about_the_task` speak of the seeker or the
    response, `to_the_seeker` say "you". `seekers_words` is the mean percentage of a response's words of at
    least four letters that the seeker has used.
    """
    texts = [one.refined_response or "" for one in refinements]
    lengths = [len(text.split()) for text in texts if text]
    shares = []
    for text, context in zip(texts, contexts, strict=True):
        own = _words(text)
        said = set().union(*(_words(m.content) for m in context.messages if m.role == "user"))
        shares += [100 * len(own & said) / len(own)] if own else []
    return {
        "words": round(fmean(lengths), 1) if lengths else None,
        "over_length_rule": sum(map(is_longer, texts, most_words)),
        "about_the_task": sum(bool(ABOUT_THE_TASK.search(text)) for text in texts),
        "to_the_seeker": sum(bool(TO_THE_SEEKER.search(text)) for text in texts),
        "seekers_words": round(fmean(shares), 1) if shares else None,
    }


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text.lower()))


if __name__ == "__main__":
    run(main)
