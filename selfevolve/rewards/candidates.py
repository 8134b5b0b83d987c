"""Candidates: several direct and several refined responses of one policy to the same contexts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from selfevolve.generation.request import Engine, ResponseParams
from selfevolve.policies.window import Window
from selfevolve.preferences.direct import respond
from selfevolve.preferences.refinement import RefineParams, refine
from selfevolve.prompts.templates import Prompts
from selfevolve.records.schema import Context, Refinement, Response
from selfevolve.records.texts import is_blank
from selfevolve.rewards.parameters import RewardParams

LEFT_OUT = ("empty", "cut_off", "not_refined", "same")


class Written(NamedTuple):
    """A response and who wrote it."""

    source: Literal["direct", "refined"]
    text: str


def direct_candidates(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    first: Mapping[str, Response],
    prompts: Prompts,
    params: ResponseParams,
    reward: RewardParams,
) -> tuple[list[Mapping[str, Response]], int]:
    """Return the direct responses, one mapping by context id for each candidate, and the tokens of new ones.

    Args:
        engine: the policy; `window`, `contexts`, `prompts` and `params` as for `respond`.
        first: the first responses, which are there.
        reward: how many there shall be, and the seed of the others.
    """
    found, tokens = [first], 0
    for number in range(2, reward.candidates.direct + 1):
        seeded = params.model_copy(update={"seed": reward.seed_of("direct", number, params.seed)})
        responses, counts = respond(engine, window, contexts, prompts, seeded)
        found.append({response.id: response for response in responses})
        tokens += counts["generated_tokens"]
    return found, tokens


def refined_candidates(
    engine: Engine,
    window: Window,
    contexts: Sequence[Context],
    direct: Mapping[str, Response],
    first: Mapping[str, Refinement],
    prompts: Prompts,
    params: RefineParams,
    reward: RewardParams,
) -> tuple[list[Mapping[str, Refinement]], int]:
    """Return refinements of the first direct responses, as `direct_candidates` does, and the new tokens.

    `direct` are these responses, `first` their first refinements, which are there if any are wanted.
    """
    found, tokens = ([first] if reward.candidates.refined else []), 0
    texts = {identity: response.text for identity, response in direct.items()}
    for number in range(2, reward.candidates.refined + 1):
        seeded = params.model_copy(update={"seed": reward.seed_of("refined", number, params.seed)})
        refinements, counts = refine(engine, window, contexts, texts, prompts, seeded)
        found.append({refinement.id: refinement for refinement in refinements})
        tokens += counts["generated_tokens"] + counts.get("responses", {}).get("generated_tokens", 0)
    return found, tokens


def gather(
    contexts: Sequence[Context],
    direct: Sequence[Mapping[str, Response]],
    refined: Sequence[Mapping[str, Refinement]],
) -> tuple[dict[str, list[Written]], dict[str, Any]]:
    """Return the candidates of every context that can be chosen or rejected, and what was left out.

    Args:
        contexts: whose candidates they are.
        direct: for each candidate the responses by context id; `refined` the refinements.

    Returns:
        candidates by context id, direct ones first; and the counts: of candidates that are left (`direct`,
        `refined`), and of those `left_out`: `empty` responses, responses that were `cut_off`, so that
        training would give them an end that is not theirs, `not_refined` where no answer parsed, and the
        `same` words once more.
    """
    out: Counter[str] = Counter(dict.fromkeys(LEFT_OUT, 0))
    found: dict[str, list[Written]] = {}
    for context in contexts:
        own: dict[tuple[str, ...], Written] = {}
        responses = [one[context.id] for one in direct]
        texts: list[Written] = []
        for response in responses:
            if response.finish_reason != "stop":
                out["cut_off"] += 1
            else:
                texts.append(Written("direct", response.text))
        for refinement in (one[context.id] for one in refined):
            if refinement.refined_response is None:
                out["not_refined"] += 1
            else:
                texts.append(Written("refined", refinement.refined_response))
        for written in texts:
            words = tuple(written.text.split())
            if is_blank(written.text):
                out["empty"] += 1
            elif words in own:
                out["same"] += 1
            else:
                own[words] = written
        found[context.id] = list(own.values())
    left = Counter(one.source for those in found.values() for one in those)
    return found, {"direct": left["direct"], "refined": left["refined"], "left_out": dict(out)}
