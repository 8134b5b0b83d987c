"""Golden responses that are all personal, for the arm of that name."""

import json
from pathlib import Path

from selfevolve.metrics.facts import Seekers
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context
from testbed.study import personal
from tests.support.world_files import dialogues_of, known_at, write_world


def make(folder: Path, seed: int, out: str) -> list[Context]:
    arguments = {"contexts": folder / "contexts.jsonl", "dialogues": folder / "dialogues.jsonl", "seed": seed}
    arguments |= {"out": folder / f"{out}.jsonl", "metrics": folder / f"{out}.json"}
    personal.main([part for name, value in arguments.items() for part in (f"--{name}", str(value))])
    return read_records(folder / f"{out}.jsonl", Context)


def test_every_response_mentions_a_disclosed_fact_where_one_is_known(tmp_path: Path):
    folder = write_world(tmp_path)
    before, made = read_records(folder / "contexts.jsonl", Context), make(folder, 3, "made")
    seekers, dialogues = Seekers(folder / "dialogues.jsonl", folder / "vocabulary.json"), dialogues_of(folder)
    replaced = 0
    for old, new in zip(before, made, strict=True):
        assert old.model_copy(update={"golden": new.golden}) == new
        mentions = seekers.find(new.id, folder).mentions(new.id, new.golden)
        assert not mentions.wrong
        if known_at(old, dialogues[old.id.partition("#")[0]]):
            assert mentions.personal, new.golden
        replaced += new.golden != old.golden
    assert replaced > 40
    counts = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    assert counts == {"contexts": len(before), "replaced": replaced}


def test_a_strategy_of_another_corpus_gives_way_to_one_of_the_world(tmp_path: Path):
    folder = write_world(tmp_path)
    contexts = read_records(folder / "contexts.jsonl", Context)
    other = [context.model_copy(update={"strategies": ["Empathetic Statements"]}) for context in contexts]
    write_records(folder / "contexts.jsonl", other)
    made = make(folder, 3, "made")
    assert sum(new.golden != old.golden for old, new in zip(contexts, made, strict=True)) > 40


def test_the_seed_decides_and_a_dialogue_without_a_gold_profile_keeps_its_responses(tmp_path: Path):
    folder = write_world(tmp_path)
    assert make(folder, 3, "a") == make(folder, 3, "b") != make(folder, 4, "c")
    first, *others = dialogues_of(folder).values()
    write_records(folder / "dialogues.jsonl", [first.model_copy(update={"meta": {}}), *others])
    own = {c.id: c for c in read_records(folder / "contexts.jsonl", Context) if c.id.startswith(first.id)}
    assert {c.id: c for c in make(folder, 3, "d") if c.id in own} == own
