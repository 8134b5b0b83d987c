"""Contexts of a dialogue, and the parts of the data that the iterations get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.dialogue.contexts import contexts, split_parts
from stages.records.errors import InputError
from stages.records.schema import Dialogue, Turn


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


def test_parts_depend_on_the_seed_and_are_at_least_one() -> None:
    ids = [f"extes-{number:05d}" for number in range(40)]
    assert split_parts(ids, 2, 1) != split_parts(ids, 2, 2)
    with pytest.raises(InputError, match="field parts"):
        split_parts(ids, 0, 1)
