"""Pairs that are spoilt on purpose: swapped, or shuffled over the dialogues."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.preferences.pairs import make_pairs, spoil
from selfevolve.records.jsonl import dialogue_of, natural_key
from selfevolve.runtime.errors import InputError
from tests.support.preferences import CONTEXT, PARAMS, direct, pairs_made_in, refined, sides, write_own


def test_swapped_pairs_prefer_what_was_rejected(tmp_path: Path, params_file: Callable[..., Path]):
    write_own(tmp_path, [3, 3, 3])
    more = ("--refined", str(tmp_path / "refined.jsonl"))
    plain = pairs_made_in(tmp_path, params_file(), *more)
    swapped = pairs_made_in(tmp_path, params_file({"pair.control": "swapped"}), *more)
    assert sides(swapped) == [(rejected, chosen) for chosen, rejected in sides(plain)]
    assert [made.conversations for made in swapped] == [made.conversations for made in plain]


def test_shuffled_pairs_go_to_other_dialogues_and_stay_whole(
    tmp_path: Path, params_file: Callable[..., Path]
):
    write_own(tmp_path, [1, 4, 2, 3, 2])
    more = ("--refined", str(tmp_path / "refined.jsonl"))
    plain = pairs_made_in(tmp_path, params_file(), *more)
    made, files = {}, {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        changes = {"pair.control": "shuffled", "pair.seed": seed}
        made[name] = pairs_made_in(tmp_path, params_file(changes), *more)
        files[name] = [(tmp_path / "out" / f"{part}.jsonl").read_bytes() for part in ("train", "valid")]
    assert files["first"] == files["again"]
    assert sides(made["first"]) != sides(made["other"])
    for pairs in made.values():
        assert [(p.id, p.conversations) for p in pairs] == [(p.id, p.conversations) for p in plain]
        assert sorted(sides(pairs)) == sorted(sides(plain))  # chosen and rejected of one context together
        assert not [p.id for p in pairs if p.chosen.value.startswith(dialogue_of(p.id))]


def test_too_few_dialogues_cannot_be_shuffled(tmp_path: Path, params_file: Callable[..., Path]):
    write_own(tmp_path, [4, 2, 1])  # of seven, four would have to go to the other three
    params = params_file({"pair.control": "shuffled"})
    with pytest.raises(InputError, match=r"field pair\.control: too few dialogues"):
        pairs_made_in(tmp_path, params, "--refined", str(tmp_path / "refined.jsonl"))
    assert not (tmp_path / "out").exists()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 99))
def test_no_shuffled_pair_keeps_its_dialogue_whatever_their_sizes(sizes: list[int], seed: int):
    ids = [f"d{d}#{n}" for d, size in enumerate(sizes) for n in range(size)]
    contexts = [CONTEXT.model_copy(update={"id": identity}) for identity in ids]
    refinements = {identity: refined(identity.split("#")[0], identity) for identity in ids}
    responses = {identity: direct("direct", identity) for identity in ids}
    pairs = make_pairs(contexts, responses, refinements, "S", PARAMS)[0]
    if 2 * max(sizes) > sum(sizes):
        with pytest.raises(InputError, match="too few dialogues"):
            spoil(pairs, "shuffled", seed)
        return
    shuffled = spoil(pairs, "shuffled", seed)
    assert [p.id for p in shuffled] == sorted((p.id for p in pairs), key=natural_key)
    assert not [p.id for p in shuffled if p.chosen.value == dialogue_of(p.id)]
    assert sorted(sides(shuffled)) == sorted(sides(pairs))
