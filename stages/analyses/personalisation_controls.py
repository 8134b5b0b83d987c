"""Show what personalisation says of human responses, and of controls that must score otherwise.

    python -m stages.analyses.personalisation_controls --dialogues D.jsonl --out FILE.json

The scores (selfevolve/metrics/personalisation.py) of the supporters' own turns, which were written to their
seekers, and of what must score otherwise:

- `shuffled`: the same turns, each in the place of one to another seeker. Nothing can be told: chance.
- `generic`: those turns that most seekers were given, in seeded order. Chance.
- `longer`: the own turns with a generic one behind each. More words to nobody: no more than the own turns.

`differences` has, for each, the difference from the own turns, with an interval over dialogues and the p of a
paired permutation test. Where a control is not where it must be, do not read the scores on these data.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfevolve.data.contexts import contexts, draw_evenly
from selfevolve.data.split import seeded_order
from selfevolve.metrics.line_ups import PersonalisationParams
from selfevolve.metrics.personalisation import SEED, personalisation
from selfevolve.metrics.relevance import RelevanceParams
from selfevolve.metrics.statistics import mean_and_interval, paired_permutation
from selfevolve.records.jsonl import dialogue_of, read_records
from selfevolve.records.schema import Dialogue
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError, Unavailable
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import read_params

GENERIC = 20  # different texts


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, score the turns and the controls, and publish the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dialogues", type=Path, required=True, help="Dialogue records")
    parser.add_argument("--out", type=Path, required=True, help="the scores of each control (JSON)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = read_params("personalisation", PersonalisationParams, args.params)
    encoding = read_params("relevance", RelevanceParams, args.params)
    dialogues = {dialogue.id: dialogue for dialogue in read_records(args.dialogues, Dialogue)}
    if len(dialogues) < 2:
        raise InputError("has not two dialogues: nobody can be told from anybody", file=args.dialogues)
    found = [context for dialogue in dialogues.values() for context in contexts(dialogue, 1)]
    drawn = draw_evenly(found, params.control_responses, params.seed)
    human = {context.id: context.golden for context in drawn}
    if len({dialogue_of(identity) for identity in human}) < 2:
        raise InputError("has supporter turns behind the first exchange in one dialogue", file=args.dialogues)
    try:
        texts = {"human": human, **controls(human, dialogues, params.seed)}
        scored = {name: personalisation(one, dialogues, params, encoding) for name, one in texts.items()}
    except Unavailable as absence:
        publish_json(args.out, {"not_available": {"personalisation": str(absence)}})
        return
    values = {name: [one.auc for one in scores] for name, (scores, _) in scored.items()}
    own = [one.id for one in scored["human"][0]]
    publish_json(
        args.out,
        {
            **{name: summary for name, (_, summary) in scored.items()},
            "differences": {
                name: difference(values["human"], values[name], own) for name in texts if name != "human"
            },
        },
    )


def controls(
    human: Mapping[str, str], dialogues: Mapping[str, Dialogue], seed: int
) -> dict[str, dict[str, str]]:
    """Return the controls by name: texts by context id, of the same contexts as the human ones."""
    order = sorted(human)  # by dialogue: moved on by as many as the largest has, none keeps its own
    step = max(Counter(map(dialogue_of, order)).values())
    moved = dict(zip(order, order[step:] + order[:step], strict=True))
    given: dict[str, set[str]] = defaultdict(set)
    for dialogue in dialogues.values():
        for turn in dialogue.turns:
            if turn.role == "supporter":
                given[turn.text].add(dialogue.id)
    common = sorted(given, key=lambda text: (-len(given[text]), text))[:GENERIC]
    places = seeded_order(human, seed, "generic responses")
    generic = {identity: common[number % len(common)] for number, identity in enumerate(places)}
    return {
        "shuffled": {identity: human[other] for identity, other in moved.items()},
        "generic": generic,
        "longer": {identity: f"{human[identity]} {generic[identity]}" for identity in human},
    }


def difference(human: Sequence[float], other: Sequence[float], ids: Sequence[str]) -> dict[str, Any]:
    """Return other minus human, in points of AUC, with its interval over dialogues and its p."""
    clusters = [dialogue_of(identity) for identity in ids]
    changes = [b - a for a, b in zip(human, other, strict=True)]
    p = paired_permutation(human, other, clusters, seed=SEED)
    return mean_and_interval(changes, clusters, seed=SEED) | {"p": p}


if __name__ == "__main__":
    run(main)
