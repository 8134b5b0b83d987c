"""Files made from the world: dialogues, contexts, and responses of models that are known."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfevolve.data.cleaning import clean_corpus
from selfevolve.data.contexts import contexts
from selfevolve.data.layouts import RawDialogue, RawTurn
from selfevolve.metrics.facts import FACTS
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Dialogue, Response
from selfevolve.runtime.files import publish_json
from testbed.world.profile import Profile, all_facts, draw_profile, draw_stranger
from testbed.world.session import make_session
from tests.support.facts import facts_named, profile_of

PROFILE = draw_profile(random.Random(99))
GENERIC = "That sounds hard. What happened next?"


def write_world(tmp_path: Path) -> Path:
    """Write ten cleaned dialogues of the world, their contexts and the vocabulary; return the folder."""
    raw = []
    for number in range(10):
        rng = random.Random(number)
        session = make_session(draw_profile(rng), "esconv", rng)
        turns = [RawTurn(said.role, said.text) for said in session.utterances]
        meta = {"profile": session.profile.as_meta(session.disclosure)}
        raw.append(RawDialogue(f"world-{number:04d}", "world", turns, meta))
    dialogues, _ = clean_corpus(raw, 10)
    write_records(tmp_path / "dialogues.jsonl", dialogues)
    publish_json(tmp_path / "vocabulary.json", {"phrases": all_facts(), "words": []})
    write_records(tmp_path / "contexts.jsonl", [c for d in dialogues for c in contexts(d, 1, 2)])
    return tmp_path


def dialogues_of(folder: Path) -> dict[str, Dialogue]:
    return {dialogue.id: dialogue for dialogue in read_records(folder / "dialogues.jsonl", Dialogue)}


def known_at(context: Context, dialogue: Dialogue) -> dict[str, str]:
    """What the seeker turns of a context say, found in their text and not in the disclosure's numbers."""
    said = " ".join(message.content for message in context.messages if message.role == "user")
    profile = dialogue.meta["profile"]
    named = facts_named(said, profile)
    return {key: profile[key] for key in FACTS if key in named and key != "name"}


Say = Callable[[Context, dict[str, str], Profile], str]


def say_all(_: Context, known: dict[str, str], __: Profile) -> str:
    return "I hear this: " + ", ".join(known.values())


def say_nothing(*_: Any) -> str:
    return GENERIC


def say_stranger_s(context: Context, _: dict[str, str], profile: Profile) -> str:
    return f"You feel {draw_stranger(profile, random.Random(context.id)).emotion}."


def say_what_comes(_: Context, known: dict[str, str], profile: Profile) -> str:
    return ", ".join(value for key, value in profile.facts.items() if key not in known and key != "name")


def answers(folder: Path, name: str, say: Say) -> Path:
    """Write a response to every context of the folder."""
    dialogues, written = dialogues_of(folder), []
    for context in read_records(folder / "contexts.jsonl", Context):
        dialogue = dialogues[context.id.partition("#")[0]]
        there = "profile" in dialogue.meta
        profile = profile_of(dialogue.meta["profile"]) if there else PROFILE
        text = say(context, known_at(context, dialogue) if there else {}, profile)
        written.append(Response(id=context.id, text=text, finish_reason="stop", attempt=1, model="m"))
    path = folder / f"{name}.jsonl"
    write_records(path, written)
    return path


def without_profiles(folder: Path) -> None:
    """Make a real corpus of it: the same dialogues, of whose seekers nothing is known."""
    plain = [dialogue.model_copy(update={"meta": {}}) for dialogue in dialogues_of(folder).values()]
    write_records(folder / "dialogues.jsonl", plain)


def given(folder: Path) -> list[str]:
    """The options that name the dialogues and the vocabulary."""
    return ["--dialogues", str(folder / "dialogues.jsonl"), "--vocabulary", str(folder / "vocabulary.json")]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
