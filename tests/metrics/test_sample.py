"""The stage sample and the table that prints it, on files made from the world."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.experiment.registry import Registry
from selfevolve.records.jsonl import natural_key, read_records, write_records
from selfevolve.records.schema import Context, Response
from selfevolve.report import console as table
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from selfevolve.runtime.parameters import validate
from stages import sample
from testbed.world.profile import Profile
from tests.conftest import ROOT, read_lines
from tests.support.facts import facts_named
from tests.support.world_files import (
    GENERIC,
    Say,
    answers,
    dialogues_of,
    given,
    known_at,
    read,
    say_all,
    say_nothing,
    say_stranger_s,
    without_profiles,
    write_world,
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path)


def run_sample(folder: Path, first: Say, last: Say) -> dict[str, Any]:
    sample.main(
        [
            *("--first", str(answers(folder, "first", first)), "--last", str(answers(folder, "last", last))),
            *("--contexts", str(folder / "contexts.jsonl"), *given(folder)),
            *("--out", str(folder / "sample.json")),
        ]
    )
    return read(folder / "sample.json")


def test_the_sample_is_the_first_context_that_the_rule_matches(world: Path):
    def first(context: Context, known: dict[str, str], profile: Profile) -> str:
        """Generic only from the third dialogue on."""
        early = natural_key(context.id) < ("world-0002", 0)
        return say_all(context, known, profile) if early else GENERIC

    def last(context: Context, known: dict[str, str], profile: Profile) -> str:
        """Right about all, but from there until late in the fourth it mixes the seeker up with somebody."""
        text = say_all(context, known, profile)
        wrong = ("world-0002", 0) <= natural_key(context.id) < ("world-0003", 9)
        return text if not wrong else f"{text}. {say_stranger_s(context, known, profile)}"

    everything = read_records(world / "contexts.jsonl", Context)
    matching = [context for context in everything if natural_key(context.id) >= ("world-0003", 9)]
    matching = [c for c in matching if known_at(c, dialogues_of(world)[c.id.partition("#")[0]])]
    picked = run_sample(world, first, last)
    keys = ["rule", "contexts", "matching", "id", "messages", "first", "last", "golden", "own"]
    assert list(picked) == keys
    assert (picked["contexts"], picked["matching"]) == (len(everything), len(matching))
    assert picked["id"] == matching[0].id == "world-0003#9"
    assert [m["content"] for m in picked["messages"]] == [m.content for m in matching[0].messages[5:9]]
    assert (picked["golden"], picked["first"]) == (matching[0].golden, GENERIC)
    profile = dialogues_of(world)["world-0003"].meta["profile"]
    assert set(picked["own"]) == facts_named(picked["last"], profile)


def test_where_nothing_matches_there_is_no_sample(world: Path):
    assert set(run_sample(world, say_all, say_nothing)) == {"rule", "contexts", "matching"}
    assert run_sample(world, say_nothing, say_nothing)["matching"] == 0
    without_profiles(world)
    picked = run_sample(world, say_nothing, say_all)
    assert set(picked) == {"contexts", "matching", "reason"}
    assert (picked["contexts"], picked["matching"]) == (len(read_lines(world / "contexts.jsonl")), 0)


def test_a_context_that_a_model_did_not_answer_is_an_error(world: Path):
    run_sample(world, say_nothing, say_all)
    before = (world / "sample.json").read_bytes()
    missing, *others = read_records(world / "last.jsonl", Response)
    write_records(world / "short.jsonl", others)
    arguments = [f"--{name}={world / name}.jsonl" for name in ("first", "contexts")] + given(world)
    with pytest.raises(InputError, match=rf"short\.jsonl: record {missing.id}: has no record of this id"):
        sample.main([*arguments, f"--last={world / 'short.jsonl'}", f"--out={world / 'sample.json'}"])
    assert (world / "sample.json").read_bytes() == before


# --- the table


def print_metrics(folder: Path, capsys: pytest.CaptureFixture[str], *models: str) -> str:
    table.main([*models, "--metrics", str(folder)])
    return capsys.readouterr().out


def test_the_table_has_a_block_of_own_facts_where_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    heading = "the seeker's own facts (mini world), percent of responses"
    assert heading not in print_metrics(tmp_path, capsys, "m0", "m1")
    publish_json(tmp_path / "m0" / "facts.json", {"responses": 5, "with_profile": 0})
    assert heading not in print_metrics(tmp_path, capsys, "m0", "m1")
    numbers = {
        "own_share": 41.234,
        "own_count": 1.5,
        "personal": 60.0,
        "generic": 30.0,
        "garbled": 0.0,
        "wrong": 10.0,
    }
    whole = {"responses": 5, "with_profile": 5, **numbers, "words": 21.4}
    publish_json(tmp_path / "m1" / "facts.json", whole)
    del whole["own_share"]
    publish_json(tmp_path / "m2" / "facts.json", whole)
    block = print_metrics(tmp_path, capsys, "m0", "m1", "m2").split(f"\n{heading}\n")[1].split("\n\n")[0]
    rows = block.splitlines()
    assert rows[0].split() == ["own", "facts", "personal", "generic", "garbled", "wrong", "words"]
    assert rows[1].split() == ["m1", "41.23", "60.00", "30.00", "0.00", "10.00", "21.40"]
    assert rows[2].split() == ["m2", "n/a", "60.00", "30.00", "0.00", "10.00", "21.40"]
    assert len(rows) == 3
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (200, 100)])
def test_the_sample_is_printed_no_wider_than_the_terminal(
    world: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    widest: int,
):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert "sample" not in print_metrics(world, capsys, "m0")
    run_sample(world, say_nothing, say_nothing)
    assert "sample" not in print_metrics(world, capsys, "m0")
    picked = run_sample(world, say_nothing, say_all)
    printed = print_metrics(world, capsys, "m0").split("\nsample ")[1]
    start = f"{picked['id']}: the rule matches {picked['matching']} of {picked['contexts']} contexts"
    assert printed.startswith(start)
    assert max(map(len, printed.splitlines())) <= widest
    flat = " ".join(printed.split())
    for text in (picked["last"], picked["golden"], *(m["content"] for m in picked["messages"])):
        assert " ".join(text.split()) in flat
    assert "seeker" in flat
    assert flat.endswith("own facts " + ", ".join(picked["own"]))


def test_a_run_measures_reflections_and_the_sample_where_there_are_any():
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["iterations"]["m2"]["chosen"] = "golden"
    registry = validate(Registry, params)
    wanted = set(registry.targets(["vanilla", "m0", "m1", "m2"]))
    assert {"headline", "sample", "score@vanilla", "score@m1", "reflections@m1", "compare@m0-m1"} < wanted
    assert not {"reflections@m0", "reflections@m2", "score@hl1", "compare@vanilla-hl1"} & wanted
    assert "sample" not in registry.targets(["vanilla"])
