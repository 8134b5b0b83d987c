"""Write the mini world: a folder of small made-up corpora in the upstreams' own layouts.

    python -m testbed.mini --out data/mini [--params params.yaml]

The folder holds esconv.json, extes.json, serveforemo.json and alpaca.json. The same parameters give the
same bytes. ESConv's test sessions are all of held-out profiles, and no others are. Three quarters of the
SynESC sessions are ExTES-like, one quarter ServeForEmo-like. No Alpaca item is one of the smoke benchmarks.

ESConv, ExTES and Alpaca have the files' own layouts; ExTES has other names of strategies, so ours are
translated. No public file of ServeForEmo is known; its layout here, with ESConv's strategies, is our
assumption. Every session has one key more, `profile`: the record of `Profile.as_meta`.
"""

import argparse
import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from selfevolve.benchmarks.catalogue import smoke_questions
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publishing
from selfevolve.runtime.parameters import Params, read_params
from testbed.world.data import world
from testbed.world.profile import draw_profile
from testbed.world.session import Session, make_session
from testbed.world.tasks import make_tasks

_ESCONV = [*["esconv"] * 12, "esconv_short", *["esconv"] * 12]  # one in 25 is too short for training
Count = Annotated[int, Field(ge=1, le=100_000)]


class MiniParams(Params):
    """Section `mini` of params.yaml: numbers of sessions and of instruction items."""

    seed: int = Field(ge=0)
    esconv_sessions: Count
    esconv_test_sessions: int = Field(ge=0, le=100_000)
    synesc_sessions: int = Field(ge=2, le=100_000)  # one at least in each of SynESC's two files
    alpaca_items: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Read the parameters, make the four corpora and publish their folder."""
    parser = argparse.ArgumentParser(description="Write the mini world in the upstreams' layouts.")
    parser.add_argument("--out", type=Path, required=True, help="folder to publish")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters file")
    args = parser.parse_args(argv)
    write_world(args.out, read_params("mini", MiniParams, args.params))


def write_world(out: Path | str, params: MiniParams) -> None:
    """Publish the folder `out` with the four files."""
    quarter = max(1, params.synesc_sessions // 4)
    first = _sessions("extes", params.synesc_sessions - quarter, params.seed, ["extes"])
    second = _sessions("serveforemo", quarter, params.seed, ["serveforemo"])
    corpora = {
        "esconv.json": esconv(params.esconv_sessions, params.esconv_test_sessions, params.seed),
        "extes.json": [_as_extes(session) for session, _ in first],
        "serveforemo.json": [
            _as_serveforemo(session, f"sfe-{n:05d}") for n, (session, _) in enumerate(second)
        ],
        "alpaca.json": alpaca(params.alpaca_items, params.seed, smoke_questions()),
    }
    with publishing(out) as folder:
        folder.mkdir()
        for name, records in corpora.items():
            text = json.dumps(records, ensure_ascii=False, indent=1) + "\n"
            (folder / name).write_text(text, encoding="utf-8", newline="\n")


def esconv(sessions: int, test_sessions: int, seed: int) -> list[dict[str, Any]]:
    """Return ESConv-like sessions, those for training and those for the test (held-out profiles) mixed.

    The order is seeded; a session more leaves the others as they are and in their order.
    """
    drawn = [
        *_sessions("esconv", sessions, seed, _ESCONV),
        *_sessions("esconv-test", test_sessions, seed, ["esconv"], held_out=True),
    ]
    names = [*(f"train/{n}" for n in range(sessions)), *(f"test/{n}" for n in range(test_sessions))]
    places = [random.Random(f"{seed}/esconv-order/{name}").random() for name in names]
    return [_as_esconv(*drawn[at]) for at in sorted(range(len(drawn)), key=places.__getitem__)]


def alpaca(items: int, seed: int, unwanted: Collection[str] = ()) -> list[dict[str, str]]:
    """Return `items` different instruction items in Alpaca's layout, none with an `unwanted` instruction."""
    tasks = make_tasks(items, random.Random(f"{seed}/alpaca"), unwanted)
    return [{"instruction": task.instruction, "input": task.input, "output": task.output} for task in tasks]


def _sessions(
    name: str, count: int, seed: int, styles: Sequence[str], *, held_out: bool = False
) -> Iterator[tuple[Session, random.Random]]:
    """Yield sessions, the styles in turn; each has a generator of its own, whatever their number."""
    for number in range(count):
        rng = random.Random(f"{seed}/{name}/{number}")
        profile = draw_profile(rng, held_out=held_out)
        yield make_session(profile, styles[number % len(styles)], rng), rng


def _as_esconv(session: Session, rng: random.Random) -> dict[str, Any]:
    profile = session.profile
    dialog = [
        {
            "speaker": utterance.role,
            "annotation": {"strategy": utterance.strategy} if utterance.strategy else {},
            "content": utterance.text,
        }
        for utterance in session.utterances
    ]
    return {
        "experience_type": rng.choice(("Current Experience", "Current Experience", "Previous Experience")),
        "emotion_type": world().vocabulary.emotions[profile.emotion],
        "problem_type": world().problems[profile.problem].problem_type,
        "situation": session.situation,
        "survey_score": {
            role: {question: str(rng.randint(*bounds)) for question, bounds in asked.items()}
            for role, asked in world().vocabulary.survey.items()
        },
        "dialog": dialog,
        **{f"{role}_question{number}": "" for role in ("seeker", "supporter") for number in (1, 2)},
        "profile": profile.as_meta(session.disclosure),
    }


def _as_extes(session: Session) -> dict[str, Any]:
    content = [
        {"User": utterance.text}
        if utterance.role == "seeker"
        else {"AI Strategy": world().supporter.extes[utterance.strategy or "Others"], "AI": utterance.text}
        for utterance in session.utterances
    ]
    return {
        "scene": world().problems[session.profile.problem].scene,
        "description": session.situation,
        "content": content,
        "profile": session.profile.as_meta(session.disclosure),
    }


def _as_serveforemo(session: Session, identity: str) -> dict[str, Any]:
    dialogue = [
        {"role": "user", "content": utterance.text}
        if utterance.role == "seeker"
        else {"role": "assistant", "content": utterance.text, "strategy": utterance.strategy}
        for utterance in session.utterances
    ]
    return {
        "id": identity,
        "emotion_type": world().vocabulary.emotions[session.profile.emotion],
        "problem_type": world().problems[session.profile.problem].problem_type,
        "situation": session.situation,
        "dialogue": dialogue,
        "profile": session.profile.as_meta(session.disclosure),
    }


if __name__ == "__main__":
    run(main)
