"""Contexts of a dialogue, how they are drawn, and the parts of the data that the iterations get."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.data.contexts import contexts, draw_evenly
from selfevolve.data.split import split_parts
from selfevolve.records.schema import Context, Dialogue, Message, Turn
from selfevolve.runtime.errors import InputError


def dialogue(exchanges: int) -> Dialogue:
    turns = []
    for number in range(exchanges):
        turns.append(Turn(role="seeker", text=f"s{number}"))
        turns.append(Turn(role="supporter", text=f"a{number}", strategies=[f"strategy {number}"]))
    return Dialogue(id="extes-00012", source="extes", turns=turns)


def test_contexts_are_one_a_supporter_turn_with_the_whole_history() -> None:
    made = contexts(dialogue(3))
    assert [context.id for context in made] == ["extes-00012#1", "extes-00012#3", "extes-00012#5"]
    assert [(m.role, m.content) for m in made[1].messages] == [
        ("user", "s0"),
        ("assistant", "a0"),
        ("user", "s1"),
    ]
    assert (made[1].golden, made[1].strategies) == ("a1", ["strategy 1"])


def test_greeting_turns_give_no_context_but_stay_in_the_history() -> None:
    made = contexts(dialogue(4), skip_first_exchanges=1, skip_last_turns=2)
    assert [context.id for context in made] == ["extes-00012#3", "extes-00012#5"]
    assert made[0].messages[0].content == "s0"
    assert [c.id for c in contexts(dialogue(4), skip_last_turns=1)] == [f"extes-00012#{i}" for i in (1, 3, 5)]
    assert contexts(dialogue(2), skip_first_exchanges=1, skip_last_turns=2) == []
    assert contexts(dialogue(1), skip_first_exchanges=3, skip_last_turns=9) == []


@given(exchanges=st.integers(1, 8), first=st.integers(0, 4), last=st.integers(0, 6))
def test_contexts_end_with_the_seeker_and_lie_between_the_greetings(
    exchanges: int, first: int, last: int
) -> None:
    made = contexts(dialogue(exchanges), first, last)
    for context in made:
        index = int(context.id.partition("#")[2])
        assert 2 * first <= index < 2 * exchanges - last
        assert len(context.messages) == index
        assert context.messages[-1].role == "user"
    assert len(made) == max(0, exchanges - first - (last + 1) // 2)


@given(
    ids=st.lists(st.text(max_size=4), min_size=1, max_size=30), parts=st.integers(1, 5), seed=st.integers()
)
def test_parts_are_disjoint_balanced_and_whole(ids: list[str], parts: int, seed: int) -> None:
    if len(set(ids)) < parts:
        with pytest.raises(InputError):
            split_parts(ids, parts, seed)
        return
    made = split_parts(ids, parts, seed)
    assert sorted(identity for part in made for identity in part) == sorted(set(ids))
    assert max(map(len, made)) - min(map(len, made)) <= 1
    assert split_parts(reversed(ids), parts, seed) == made


def test_parts_depend_on_the_seed() -> None:
    ids = [f"extes-{number:05d}" for number in range(40)]
    assert split_parts(ids, 2, 1) != split_parts(ids, 2, 2)


def of_dialogues(sizes: list[int]) -> list[Context]:
    """So many contexts of each dialogue."""
    said = [Message(role="user", content="s")]
    return [
        Context(id=f"d-{number:02d}#{2 * index + 1}", messages=said, golden="a")
        for number, size in enumerate(sizes)
        for index in range(size)
    ]


def per_dialogue(drawn: list[Context]) -> Counter[str]:
    return Counter(context.id.partition("#")[0] for context in drawn)


@given(sizes=st.lists(st.integers(0, 6), max_size=12), limit=st.integers(0, 40), seed=st.integers(0, 10**6))
def test_drawn_contexts_cover_dialogues_evenly(sizes: list[int], limit: int, seed: int) -> None:
    found = of_dialogues(sizes)
    drawn = draw_evenly(found, limit, seed)
    assert len({context.id for context in drawn}) == len(drawn) == min(limit, len(found))
    counts = per_dialogue(drawn)
    most = max(counts.values(), default=0)
    for name, size in per_dialogue(found).items():
        assert min(size, most - 1) <= counts[name] <= most  # no dialogue lags behind while it has more
    assert draw_evenly(random.Random(seed).sample(found, len(found)), limit, seed) == drawn
    assert draw_evenly(found, limit + 3, seed)[: len(drawn)] == drawn


def test_as_many_contexts_as_dialogues_are_one_of_each_from_anywhere_in_it() -> None:
    found = of_dialogues([10] * 60)
    drawn = draw_evenly(found, 60, 42)
    assert set(per_dialogue(drawn).values()) == {1}
    assert len({context.id.partition("#")[2] for context in drawn}) == 10
    assert {c.id for c in draw_evenly(found, 60, 43)} != {c.id for c in drawn}
    assert set(per_dialogue(draw_evenly(found, 30, 42))) != set(per_dialogue(draw_evenly(found, 30, 43)))
