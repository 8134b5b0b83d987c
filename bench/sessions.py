"""The part `sessions` of `make bench`: all sessions together, turn by turn, and one after the other.

Both hold the same sessions of the tiny backbone with seekers of the mini world, with journals, as
`testbed.converse` does. Every text must be the same, which is checked.
"""

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.baselines import BATCH_TOKENS
from bench.measuring import SETTINGS, take_turns
from bench.workloads import PROMPTS, sampling_of, tiny_policy
from selfevolve.engines.local.engine import TransformersEngine
from selfevolve.generation.request import ResponseParams
from selfevolve.policies.policy import LoadedPolicy
from selfevolve.prompts.templates import load_prompts
from selfevolve.runtime.errors import InputError
from selfevolve.sessions.session import Session
from selfevolve.sessions.supporters import PolicySupporter
from selfevolve.sessions.talk import ConverseParams, as_sessions, hold, plan_talks
from testbed.cards import CardsParams, make_cards
from testbed.sessions.seeker import WorldSeeker


def sessions(rounds: int, most: int, scratch: Path) -> dict[str, Any]:
    """Compare sessions that advance together with sessions held one by one.

    Args:
        rounds: how often each way is measured.
        most: the most sessions, for a try.
        scratch: a folder for the policy and the journals.

    Returns:
        One row for each way; its `tokens` are the words of its supporter turns.
    """
    loaded = tiny_policy(scratch / "policy")
    count = min(SETTINGS["sessions"]["count"], most)
    first: list[Session] = []

    def held(at_once: int) -> Mapping[str, int]:
        found = _hold(loaded, count, at_once, scratch)
        first.extend(found if not first else [])
        if found != first:
            raise InputError("the sessions are not those that were held first")
        return {one.id: sum(len(t.text.split()) for t in one.turns if t.role == "supporter") for one in found}

    return take_turns({"together": lambda: held(count), "one by one": lambda: held(1)}, rounds, warm=False)


def _hold(loaded: LoadedPolicy, count: int, at_once: int, scratch: Path) -> Sequence[Session]:
    """Hold the sessions, so many at once, with journals that nobody has written to."""
    given, prompts = SETTINGS["sessions"], load_prompts(PROMPTS)
    sampling = sampling_of("no_penalty", given["new_tokens"])
    asking = ResponseParams(seed=42, attempts=1, sampling=sampling)
    params = ConverseParams(
        **asking.model_dump(),
        sessions=count,
        turns=given["turns"],
        resistant=0.0,
        cards="none",
        prompts="none",
        seeker={},
    )
    talks = plan_talks(make_cards(CardsParams(seed=42, count=max(2, count))), params)
    engine = TransformersEngine(loaded, BATCH_TOKENS)
    supporter = PolicySupporter(engine, engine.window, prompts, "task", asking)
    place = scratch / "held"
    place.mkdir()
    with contextlib.chdir(place):
        for first in range(0, count, at_once):
            hold(talks[first : first + at_once], WorldSeeker(), supporter)
    shutil.rmtree(place)
    return as_sessions(talks, WorldSeeker.name, supporter.name)
