"""What prompts have in common is read once, and changes no token."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.engines.local.batches import plan
from selfevolve.engines.local.prefix_index import WORTH, PrefixIndex, shared_prefix
from selfevolve.generation.request import Request
from selfevolve.records.schema import Message
from tests.conftest import SYSTEM
from tests.engines.test_decoding import KINDS, PROMPTS, SAMPLING, generated, model

LONG = [5, 6, 7, 8, 9, *(60 + n * n % 211 for n in range(75))]
DIALOGUES = [
    *(LONG[:n] for n in (80, 66, 55, 31, 24)),  # the contexts of a dialogue begin with each other
    [*LONG[:40], *range(200, 212)],  # or part from each other
    *(PROMPTS[11][:n] for n in (90, 60, 25)),
    PROMPTS[2],
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_prompts_share_is_read_once_and_their_tokens_stay_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    from selfevolve.engines.local.decoder import Decoder, Work

    made, stop = model(kind), list(range(0, 300, 15))
    sampling = SAMPLING.model_copy(update={"top_k": 20, "top_p": 0.95})
    expected = [generated(made, prompt, n, sampling, stop) for n, prompt in enumerate(DIALOGUES)]
    read: list[int] = []
    plain = Decoder.read

    def counted(self: Any, cache: Any, prompts: Any, first: int, starts: Sequence[int]) -> Any:
        read.extend(len(prompt) - start for prompt, start in zip(prompts, starts, strict=True))
        return plain(self, cache, prompts, first, starts)

    monkeypatch.setattr(Decoder, "read", counted)
    for rows in (1, 3, 7, 10):
        read.clear()
        written: list[list[int]] = [[] for _ in DIALOGUES]
        for numbered in Decoder(made, stop).write(Work(DIALOGUES, range(len(DIALOGUES)), 5, sampling), rows):
            assert len(numbered) <= rows
            for number, token in numbered:
                written[number].append(token)
        assert written == expected
        assert len(read) == 1 + len(DIALOGUES)
    read.clear()
    assert list(Decoder(made, []).write(Work(DIALOGUES, range(len(DIALOGUES)), 5, sampling), 10))  # none ends
    # the prefix; two dialogues; what parts from one; what stands alone; six shorter contexts
    assert sorted(read) == sorted([5, 75, 85, 12, len(PROMPTS[2]) - 5, 1, 1, 1, 1, 1, 1])


def test_the_nearest_prompt_is_the_one_that_shares_most():
    def nearest(number: int, among: Iterable[int], prefix: int = 5) -> tuple[int, int] | None:
        index = PrefixIndex(DIALOGUES, prefix)
        return index.nearest(number, index.places(among))

    others = set(range(len(DIALOGUES)))
    assert nearest(1, others - {1}) == (0, 65)  # of 66 tokens the last is its own
    assert nearest(1, {2, 3}) == (2, 54)
    assert nearest(5, {0, 4}) == (0, 40)
    assert nearest(4, {5}) == (5, 23)
    assert nearest(4, {6}) is None
    assert nearest(9, others - {9}) is None  # nine tokens in common are not worth it
    assert nearest(4, {0}, prefix=7) == (0, 23)
    assert nearest(4, {0}, prefix=8) is None


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=40), min_size=2, max_size=9), st.data())
def test_what_is_shared_is_shared_and_nobody_shares_more(prompts: list[list[int]], data: st.DataObject):
    among = data.draw(st.sets(st.integers(1, len(prompts) - 1), min_size=1))
    for asked in (prompts, [[7] * WORTH + prompt for prompt in prompts]):  # by chance, and all
        mine = asked[0]
        shared = {
            n: sum(mine[:k] == asked[n][:k] for k in range(1, min(len(mine), len(asked[n])))) for n in among
        }
        index = PrefixIndex(asked, 0)
        near = index.nearest(0, index.places(among))
        assert near is not None or asked is prompts
        if near is None:
            assert max(shared.values()) < WORTH
        else:
            assert shared[near[0]] == near[1] == max(shared.values()) >= WORTH


def test_prompts_that_are_all_the_same_are_read_in_one_go_even_if_the_first_has_ended():
    from selfevolve.engines.local.decoder import Decoder, Work

    prompts = [LONG[:60]] * 40 + [LONG[:50]] * 40
    decoder = Decoder(model("llama"), [])
    sampling = SAMPLING.model_copy(update={"max_new_tokens": 1})
    passes = [len(numbered) for numbered in decoder.write(Work(prompts, range(80), 5, sampling), 80)]
    assert passes == [1, 79]


def test_a_prefix_ends_where_the_first_prompt_departs_and_leaves_each_a_token():
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 3, 5]], [1, 2, 9]) == 2
    assert shared_prefix([[1, 2, 3, 4], [1, 7, 3, 4]], [1, 2, 3]) == 1
    assert shared_prefix([[1, 2]], [1, 2, 3]) == 1
    assert shared_prefix([[1]], [1]) == 0


def test_contexts_of_a_dialogue_stand_together_with_the_longest_first():
    turns = ["I lost my work.", "When was that?", "Last week, in a meeting.", "And since?", "I sleep badly."]
    others = ["My sister does not call.", "Does she not?", "No, not since May.", "Why?", "I do not know."]

    def asked(name: str, said: list[str]) -> list[Request]:
        roles = ("user", "assistant")
        told = [Message(role=roles[n % 2], content=text) for n, text in enumerate(said)]
        system = Message(role="system", content=SYSTEM)
        return [Request.make(f"{name}#{n}", [system, *told[:n]], 5) for n in (1, 3, 5)]

    made = [*asked("a", turns), *asked("b", others), *asked("c", ["Hello"] * 5)]
    elsewhere = [
        replace(made[0], id="d", messages=(Message(role="system", content="."), made[0].messages[1]))
    ]
    lengths = {r.id: sum(len(m.content) for m in r.messages) for r in (*made, *elsewhere)}
    ids = [r.id for batch in plan([*made, *elsewhere], lengths, 20, 4000) for r in batch]
    assert ids == ["a#5", "a#3", "a#1", "b#5", "b#3", "b#1", "c#5", "c#3", "c#1", "d"]
