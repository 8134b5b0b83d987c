"""Measure how far a model has moved: `python -m stages.analyses.drift --policy models/m2 --responses ...`.

From other policies, by the divergence of its own responses: KL(policy || reference), the mean over all tokens
of the responses, in nats, whole distributions at temperature 1. From another model's responses to the same
contexts, by the words that both have in common and the share of responses that are the same. Responses of the
same seed to the same contexts are drawn with the same random numbers: two equal models would agree in all.

References need the policy's tokens, as all policies on one backbone have. A response without a word is left
out of the divergence and counted as `empty`. Sections `respond` (the length that a prompt leaves room for)
and `prompts` of the parameters.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from selfevolve.generation.request import ResponseParams
from selfevolve.metrics.overlap import word_overlap
from selfevolve.metrics.statistics import mean_and_interval
from selfevolve.policies.divergence import divergences
from selfevolve.policies.likelihood import IGNORED
from selfevolve.policies.policy import LoadedPolicy, load_policy
from selfevolve.policies.window import ChatTemplate, Window
from selfevolve.prompts.requests import response_messages
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import dialogue_of, read_by_id, read_records
from selfevolve.records.schema import Context, Response
from selfevolve.records.texts import is_blank
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params

SEED = 0  # of the intervals' resamples


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--responses", type=Path, required=True, help="the policy's, to the task prompt")
    parser.add_argument("--contexts", type=Path, required=True, help="what they answer")
    parser.add_argument("--reference", action="append", default=[], metavar="NAME=FOLDER", help="a policy")
    parser.add_argument("--previous", type=Path, help="another model's responses to the same contexts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    references = dict(text.partition("=")[::2] for text in args.reference)
    if not all(references.values()):
        parser.error("--reference takes NAME=FOLDER")
    responses = read_records(args.responses, Response)
    if not responses:
        raise InputError("has no responses", file=args.responses)
    texts = {one.id: one.text for one in responses}
    empty = sum(map(is_blank, texts.values()))
    found: dict[str, Any] = {"responses": len(texts), "empty": empty}
    if references and empty < len(texts):
        contexts = read_by_id(args.contexts, Context, texts)
        found["divergence"] = diverged(load_policy(args.policy), references, contexts, texts, args.params)
    if args.previous:
        before = {name: one.text for name, one in read_by_id(args.previous, Response, texts).items()}
        found["previous"] = compared(texts, before)
    publish_json(args.out, found)


def diverged(
    loaded: LoadedPolicy,
    references: Mapping[str, str],
    contexts: Mapping[str, Context],
    texts: Mapping[str, str],
    params: Path,
) -> dict[str, dict[str, float]]:
    """Return the mean divergence of a policy's responses from each reference, with its interval.

    Args:
        loaded: the policy.
        references: folders of policies, by the names they are to have.
        contexts: what was answered, by id.
        texts: the responses, by id; at least one has a word.
        params: the parameters file.

    Raises:
        InputError: a reference has other tokens.
    """
    asked = read_params("respond", ResponseParams, params)
    build = partial(response_messages, load_prompts(load_params("prompts", params)["dir"]), "task")
    window = Window(ChatTemplate(loaded.tokenizer, loaded.template), loaded.policy.backbone.window)
    samples: dict[str, tuple[list[int], list[int]]] = {}
    for name, text in texts.items():
        if is_blank(text):
            continue
        prompt = window.fit(contexts[name].messages, build, asked.sampling.max_new_tokens).prompt
        ids, begin = window.template.encode(prompt, answer=text), len(window.template.encode(prompt))
        samples[name] = ids, [IGNORED] * begin + ids[begin:]
    found: dict[str, dict[str, float]] = {}
    for folder in dict.fromkeys(references.values()):  # M1 has M0 before it, which has two names then
        reference = load_policy(folder)
        if reference.tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
            raise InputError(f"has other tokens than {loaded.policy.folder}", file=folder)
        values, dialogues = [], []
        for name, sample in tqdm(samples.items(), f"divergence from {folder}", disable=None):
            of_tokens = divergences(loaded.model, reference.model, *sample)
            values += of_tokens
            dialogues += [dialogue_of(name)] * len(of_tokens)
        found[folder] = mean_and_interval(values, dialogues, seed=SEED)
    return {name: found[folder] for name, folder in references.items()}


def compared(texts: Mapping[str, str], before: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return `word_overlap` with other responses and the share of `identical` ones, in percent, by id."""
    dialogues = [dialogue_of(name) for name in texts]
    values = {
        "word_overlap": [word_overlap(text, before[name]) for name, text in texts.items()],
        "identical": [100.0 * (text.split() == before[name].split()) for name, text in texts.items()],
    }
    return {name: mean_and_interval(of_all, dialogues, seed=SEED) for name, of_all in values.items()}


if __name__ == "__main__":
    run(main)
