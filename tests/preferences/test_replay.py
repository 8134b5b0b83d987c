"""Pairs of earlier iterations in the place of an iteration's own: how many, which, none held back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.preferences.replay import replay
from selfevolve.records.jsonl import dialogue_of, natural_key, read_records, write_records
from selfevolve.records.schema import Context, Message, Preference, Refinement, Response, ShareGptMessage
from selfevolve.runtime.errors import InputError
from stages import pair


def made(iteration: int, *ids: str) -> list[Preference]:
    """Pairs of these contexts, whose texts say which iteration they are of."""
    return [
        Preference(
            id=identity,
            system="s",
            conversations=[ShareGptMessage(from_="human", value="I am sad.")],
            chosen=ShareGptMessage(from_="gpt", value=f"chosen {iteration}"),
            rejected=ShareGptMessage(from_="gpt", value=f"rejected {iteration}"),
            chosen_source="refined",
        )
        for identity in ids
    ]


def of(iteration: int, pairs: list[Preference]) -> set[str]:
    return {one.id for one in pairs if one.chosen.value == f"chosen {iteration}"}


def test_half_of_the_pairs_are_earlier_ones_and_their_number_stays():
    own = made(3, *(f"c{n}#1" for n in range(10)))
    earlier = [made(1, *(f"a{n}#1" for n in range(8))), made(2, *(f"b{n}#1" for n in range(8)))]
    mixed, counts = replay(own, made(3, "v#1"), earlier, 0.5, seed=1)
    assert counts == {"wanted": 5, "available": 16, "replayed": 5}
    assert len({one.id for one in mixed}) == len(mixed) == 10
    assert len(of(3, mixed)) == 5
    assert of(1, mixed)
    assert of(2, mixed)
    assert replay(own, made(3, "v#1"), earlier, 0.5, seed=1) == (mixed, counts)
    assert replay(own, made(3, "v#1"), earlier, 0.5, seed=2)[0] != mixed


def test_where_too_few_are_there_the_iteration_s_own_fill_the_rest():
    own = made(2, *(f"c{n}#1" for n in range(10)))
    mixed, counts = replay(own, [], [made(1, "a#1", "b#1")], 0.5, seed=1)
    assert counts == {"wanted": 5, "available": 2, "replayed": 2}
    assert (len(mixed), of(1, mixed), len(of(2, mixed))) == (10, {"a#1", "b#1"}, 8)


def test_of_a_context_that_occurs_twice_the_last_earlier_pair_counts():
    mixed, _ = replay(made(3, "c#1", "d#1"), [], [made(1, "a#1"), made(2, "a#1")], 0.5, seed=1)
    assert of(2, mixed) == {"a#1"}


@given(
    st.lists(st.integers(0, 9), unique=True, min_size=1),
    st.lists(st.lists(st.integers(0, 9), unique=True), max_size=3),
    st.sets(st.integers(0, 9)),
    st.floats(0, 0.99),
    st.integers(0, 9),
)
def test_whatever_is_replayed_a_context_occurs_once_and_nothing_held_back(
    own: list[int], earlier: list[list[int]], held_back: set[int], share: float, seed: int
):
    """Contexts may occur in several iterations, as in the arm whose iterations all have the same ones."""
    train = made(9, *(f"d{n}#1" for n in own if n not in held_back))
    valid = made(9, *(f"d{n}#3" for n in held_back))
    before = [made(at, *(f"d{n}#1" for n in ids)) for at, ids in enumerate(earlier)]
    mixed, counts = replay(train, valid, before, share, seed)
    assert len({one.id for one in mixed}) == len(mixed) == len(train)
    assert not {dialogue_of(one.id) for one in mixed} & {dialogue_of(one.id) for one in valid}
    assert counts["replayed"] == len(mixed) - len(of(9, mixed)) <= counts["wanted"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an iteration is made from: twenty contexts, two of each dialogue."""
    monkeypatch.chdir(tmp_path)
    ids = [f"d{n // 2}#{2 * (n % 2) + 1}" for n in range(20)]
    asked = [Message(role="user", content="I am sad.")]
    write_records("contexts.jsonl", [Context(id=i, messages=asked, golden="g") for i in ids])
    direct = [Response(id=i, text="direct", finish_reason="stop", attempt=1, model="m") for i in ids]
    write_records("rejected.jsonl", direct)
    failed = [Refinement(id=i, attempts=3, status="failed", raw=["x"]) for i in ids]
    write_records("refined.jsonl", failed)
    return tmp_path


def paired(params: Path, *more: str) -> tuple[dict[str, bytes], dict[str, object]]:
    arguments = ["--contexts", "contexts.jsonl", "--rejected", "rejected.jsonl", "--refined", "refined.jsonl"]
    pair.main([*arguments, "--out", "out", "--metrics", "m.json", "--params", str(params), *more])
    files = {name: Path(f"out/{name}.jsonl").read_bytes() for name in ("train", "valid")}
    return files, json.loads(Path("m.json").read_text())


def test_the_stage_replays_what_earlier_iterations_were_trained_on(
    folder: Path, params_file: Callable[..., Path]
):
    for number in (1, 2):
        train = made(number, *(f"e{number}{n}#1" for n in range(9)), "d0#7", "d1#7", "d2#7", "d3#7")
        write_records(folder / f"m{number}/train.jsonl", sorted(train, key=lambda one: natural_key(one.id)))
        write_records(folder / f"m{number}/valid.jsonl", made(number, f"held-back-{number}#1"))
    changes = {"pair.valid_share": 0.3, "pair.replay": 0.25}
    plain, before = paired(params_file(changes))
    mixed, counts = paired(params_file(changes), "--earlier", "m1", "m2")
    wanted = round(0.25 * counts["train"])
    assert counts.pop("replay") == {"wanted": wanted, "available": 18 + 4 - held(mixed), "replayed": wanted}
    assert counts == before
    assert mixed["valid"] == plain["valid"]
    train = read_records("out/train.jsonl", Preference)
    assert len(of(1, train) | of(2, train)) == wanted
    assert not [one.id for one in train if one.id.startswith("held-back")]
    assert paired(params_file({"pair.valid_share": 0.3}), "--earlier", "m1", "m2") == (plain, before)


def held(files: dict[str, bytes]) -> int:
    """How many of the dialogues d0 to d3 are held back, of which both earlier iterations have a pair."""
    ids = {dialogue_of(json.loads(line)["id"]) for line in files["valid"].splitlines()}
    return len(ids & {"d0", "d1", "d2", "d3"})


def test_an_earlier_folder_that_is_not_there_is_named(folder: Path, params_file: Callable[..., Path]):
    with pytest.raises(InputError, match=r"m9/train\.jsonl"):
        paired(params_file({"pair.replay": 0.5}), "--earlier", "m9")
