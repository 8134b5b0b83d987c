"""What every script that holds sessions does: read arguments, open a supporter, talk, measure, publish."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selfevolve.generation.engines import open_engine
from selfevolve.generation.request import ResponseParams
from selfevolve.metrics.comparison import CompareParams
from selfevolve.metrics.statistics import Resampling
from selfevolve.prompts.templates import load_prompts
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import load_params, read_params
from selfevolve.sessions.cards import read_cards
from selfevolve.sessions.measures import Phrases, report
from selfevolve.sessions.supporters import PolicySupporter, Same, Shuffled
from selfevolve.sessions.talk import ConverseParams, Seeker, Supporter, as_sessions, hold, plan_talks

CONTROLS = ("same", "shuffled")


def read_arguments(description: str | None, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of a script that holds sessions; wrong ones end the program with its usage."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, help="the supporter, a policy folder")
    parser.add_argument("--prompt", default="task", help="plain, task or self_reflection")
    parser.add_argument("--control", choices=CONTROLS, help="instead of a policy")
    parser.add_argument("--of", type=Path, help="for shuffled: sessions of the model whose answers are given")
    parser.add_argument("--cards", type=Path, required=True, help="role cards (JSON or JSONL)")
    parser.add_argument("--vocabulary", type=Path, help="further facts that count as wrong (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="the sessions (JSONL)")
    parser.add_argument("--metrics", type=Path, required=True, help="what they came to (JSON)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    if (args.policy is None) == (args.control is None):
        parser.error("give --policy or --control, and not both")
    if (args.control == "shuffled") != (args.of is not None):
        parser.error("--of names the sessions for --control shuffled, and for nothing else")
    return args


def hold_sessions(args: argparse.Namespace, make_seeker: Callable[[ConverseParams], Seeker]) -> None:
    """Hold the sessions that the arguments and parameters ask for; publish them and their measures.

    Args:
        args: as `read_arguments` returns them.
        make_seeker: returns who plays the seekers, once the input has been read.

    Raises:
        InputError: a file or a parameter is wrong, or an engine gave up; what it answered is kept.
    """
    params = read_params("converse", ConverseParams, args.params)
    compared = read_params("compare", CompareParams, args.params)
    talks = plan_talks(read_cards(args.cards), params)
    with _open_supporter(args, params) as supporter:
        seeker = make_seeker(params)
        hold(talks, seeker, supporter)
    sessions = as_sessions(talks, seeker.name, supporter.name)
    if not sessions:
        message = f"none of {len(talks)} sessions has a supporter turn: the seeker gave no usable text"
        raise InputError(message, field="converse.seeker")
    write_records(args.out, sessions)
    measured = report(sessions, Phrases.of(sessions, args.vocabulary), Resampling(**compared.model_dump()))
    counts = {
        "without_an_exchange": len(talks) - len(sessions),
        "supporter": dict(sorted(supporter.counts.items())),
        "seeker": dict(sorted(seeker.counts.items())),
    }
    publish_json(args.metrics, {**measured, "counts": counts})
    for name, score in measured["all"].items():
        bounds = f" ({score['low']:.2f} to {score['high']:.2f})" if "low" in score else ""
        print(f"{name:<15} {score['value']:.2f}{bounds}")


@contextmanager
def _open_supporter(args: argparse.Namespace, params: ConverseParams) -> Iterator[Supporter]:
    """Give the supporter of the arguments; an engine ends with the block."""
    if args.control == "same":
        yield Same()
    elif args.control == "shuffled":
        yield Shuffled(args.of)
    else:
        asking = read_params("respond", ResponseParams, args.params).model_copy(update={"seed": params.seed})
        prompts = load_prompts(load_params("prompts", args.params)["dir"])
        with open_engine(load_params("engine", args.params), args.policy) as (engine, window):
            yield PolicySupporter(engine, window, prompts, args.prompt, asking)
