"""How often reflections parse: `python -m bench.parse_rate --policy models/backbone --contexts ...`.

A policy refines responses as stage `refine` does, with one engine after another, free or kept to the schema,
and with one repetition penalty after another; everything else is params.yaml's. A penalty counts against
tokens of the prompt too, so it also falls on the keys and the quotes of the JSON that is asked for.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import ResponseParams
from selfevolve.preferences.length_rule import is_longer, read_length_rule
from selfevolve.preferences.refinement import refine
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import read_by_id, read_records
from selfevolve.records.schema import Context, Refinement, Response
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json, read_yaml
from selfevolve.runtime.parameters import load_params, read_params


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
    parser.add_argument("--penalties", type=float, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("refine", ResponseParams, args.params)
    contexts = read_records(args.contexts, Context)[: args.count]
    found = read_by_id(args.responses, Response, [context.id for context in contexts])
    responses = {context.id: found[context.id].text for context in contexts}
    prompts = load_prompts(load_params("prompts", args.params)["dir"])
    rule = read_length_rule(args.params)
    rows: list[dict[str, Any]] = []
    for engine_params in _engines(args.engines, args.guided, args.params):
        with open_engine(engine_params, args.policy) as (engine, window):
            for penalty in args.penalties:
                sampling = params.sampling.model_copy(update={"repetition_penalty": penalty})
                asked = params.model_copy(update={"sampling": sampling})
                refinements, counts = refine(engine, window, contexts, responses, prompts, asked)
                limits = [rule.most_words(responses[c.id], c.golden) for c in contexts]
                texts = [one.refined_response or "" for one in refinements]
                too_long = sum(map(is_longer, texts, limits))
                guided = bool(engine_params.get("guided", False))
                row = {"engine": engine_params["kind"], "guided": guided, "penalty": penalty}
                rows.append({**row, **counts, "over_length_rule": too_long, **_lengths(refinements)})
                print(rows[-1], flush=True)
    described = {"policy": str(args.policy), "sampling": params.sampling.model_dump()}
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


def _lengths(refinements: Sequence[Refinement]) -> dict[str, float | None]:
    """Return the mean number of words of the refined responses; None where there are none."""
    words = [len(one.refined_response.split()) for one in refinements if one.refined_response is not None]
    return {"words": round(sum(words) / len(words), 1) if words else None}


if __name__ == "__main__":
    run(main)
