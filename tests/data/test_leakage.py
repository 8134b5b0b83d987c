"""Split and leakage: both sides stay what the seed says, and no training dialogue repeats another."""

import os
import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfevolve.data.cleaning import clean_corpus
from selfevolve.data.corpus import load_corpus
from selfevolve.data.leakage import KINDS, remove_duplicates
from selfevolve.data.split import split_dialogues
from selfevolve.records.schema import Dialogue, Turn
from selfevolve.runtime.errors import InputError

SHARED = Path(os.environ.get("ESC_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
ESCONV = SHARED / "data" / "esconv" / "ESConv.json"


def dialogue(identity: str, *texts: str) -> Dialogue:
    roles = ("seeker", "supporter")
    turns = [Turn(role=roles[index % 2], text=text) for index, text in enumerate(texts)]
    return Dialogue(id=identity, source=identity.partition("-")[0], turns=turns)


def numbered(first: int, last: int) -> str:
    return " ".join(f"w{number}" for number in range(first, last))


def found(duplicates: list) -> list[tuple[str, str, str]]:
    return [(one.dialogue.id, one.name, one.of) for one in duplicates]


def many(number: int) -> list[Dialogue]:
    return [dialogue(f"esconv-{i:04d}", f"hello {i}", "hi") for i in range(number)]


def split_train_test(dialogues: list[Dialogue], share: float, seed: int) -> tuple[list[Dialogue], ...]:
    split = split_dialogues(dialogues, share, seed)
    return split.train, split.test


def test_split_depends_on_ids_and_seed_alone() -> None:
    dialogues = many(100)
    train, test = split_train_test(dialogues, 0.1, 42)
    assert (len(train), len(test)) == (90, 10)
    assert sorted(d.id for d in [*train, *test]) == [d.id for d in dialogues]
    assert [d.id for d in test] == sorted(d.id for d in test)
    shuffled = random.Random(1).sample(dialogues, 100)
    assert split_train_test(shuffled, 0.1, 42) == (train, test)
    assert split_train_test(dialogues, 0.1, 43)[1] != test


def test_split_is_pinned() -> None:
    _, test = split_train_test(many(20), 0.2, 42)
    assert [d.id for d in test] == ["esconv-0001", "esconv-0002", "esconv-0009", "esconv-0019"]


@pytest.mark.parametrize(
    ("number", "share", "expected"), [(2, 0.1, 1), (2, 0.9, 1), (3, 0.99, 2), (25, 0.1, 3), (24, 0.1, 2)]
)
def test_each_side_of_the_split_has_a_dialogue(number: int, share: float, expected: int) -> None:
    train, test = split_train_test(many(number), share, 42)
    assert (len(train), len(test)) == (number - expected, expected)


@pytest.mark.parametrize(("number", "share"), [(0, 0.1), (1, 0.5)])
def test_impossible_splits_are_input_errors(number: int, share: float) -> None:
    with pytest.raises(InputError):
        split_train_test(many(number), share, 42)


def with_profiles(held_out: list[object]) -> list[Dialogue]:
    """Dialogues whose meta says so; a string stands for a dialogue without a profile."""
    return [
        one if isinstance(says, str) else one.model_copy(update={"meta": {"profile": {"held_out": says}}})
        for one, says in zip(many(len(held_out)), held_out, strict=True)
    ]


@given(st.lists(st.sampled_from([True, False, "no profile"]), min_size=2, max_size=12), st.integers())
def test_exactly_the_held_out_profiles_are_the_test_set(held_out: list[object], seed: int) -> None:
    dialogues = with_profiles(held_out)
    split = split_dialogues(random.Random(seed).sample(dialogues, len(dialogues)), 0.3, seed)
    if 0 < held_out.count(True) < len(held_out):
        assert split.rule == "held-out profiles"
        assert split.test == [d for d, says in zip(dialogues, held_out, strict=True) if says is True]
        assert split.train == [d for d, says in zip(dialogues, held_out, strict=True) if says is not True]
    else:
        assert split.rule == "seeded share"
        unnamed = split_train_test(many(len(dialogues)), 0.3, seed)
        assert [[d.id for d in side] for side in (split.train, split.test)] == [
            [d.id for d in side] for side in unnamed
        ]


@pytest.mark.parametrize(
    "profile", [None, "held_out", ["held_out"], {}, {"held_out": "true"}, {"held_out": 1}]
)
def test_what_says_nothing_of_being_held_out_is_split_by_the_seed(profile: object) -> None:
    dialogues = many(20)
    dialogues[3] = dialogues[3].model_copy(update={"meta": {"profile": profile}})
    assert split_dialogues(dialogues, 0.1, 42).rule == "seeded share"


def test_exact_and_near_duplicates_of_test_and_within_training() -> None:
    a, b, c = numbered(0, 60), numbered(100, 160), numbered(200, 260)
    test = [dialogue("esconv-0000", a, "yes"), dialogue("esconv-0001", b, "yes")]
    training = [
        dialogue("esconv-0002", a, "yes"),
        dialogue("esconv-0003", c, "yes"),
        dialogue("extes-00000", c, "yes"),
        dialogue("extes-00001", b.upper().replace(" ", ", "), "Yes!"),
        dialogue("extes-00002", numbered(200, 250), "no"),
        dialogue("extes-00003", numbered(300, 360), "yes"),
    ]
    report = remove_duplicates(test, training, 0.5)
    assert found(report.removed) == [
        ("esconv-0002", "exact_of_test", "esconv-0000"),
        ("extes-00000", "exact_in_training", "esconv-0003"),
        ("extes-00001", "near_of_test", "esconv-0001"),
        ("extes-00002", "near_in_training", "esconv-0003"),
    ]
    assert {one.name for one in report.removed} == set(KINDS)
    assert [d.id for d in report.kept] == ["esconv-0003", "extes-00003"]
    assert report.inside_test == []


def test_threshold_is_inclusive_and_of_the_smaller_dialogue() -> None:
    # 8 words + 19 more = 20 shingles; the first n words of them are shared.
    small = dialogue("extes-00001", numbered(0, 26), "x")
    assert len(small.turns[0].text.split()) == 26

    def is_removed(shared_words: int, threshold: float) -> bool:
        large = dialogue("extes-00000", numbered(0, shared_words) + " " + numbered(500, 700), "y")
        orders = [[small, large], [large, small]]
        results = {bool(remove_duplicates([], order, threshold).removed) for order in orders}
        assert len(results) == 1  # whichever comes first
        return results.pop()

    assert is_removed(17, 0.5)  # 10 of 20
    assert not is_removed(16, 0.5)  # 9 of 20
    assert is_removed(16, 0.45)
    assert not is_removed(26, 1.0)


def test_texts_shorter_than_a_shingle() -> None:
    training = [
        dialogue("a-0", "Hi there", "Hello"),
        dialogue("a-1", "hi, there!", "hello"),
        dialogue("a-2", "hi there", "hello you"),
        dialogue("a-3", "…", "!"),
        dialogue("a-4", "…", "?"),
        dialogue("a-5", "…", "!"),
    ]
    assert found(remove_duplicates([], training, 0.5).removed) == [
        ("a-1", "near_in_training", "a-0"),
        ("a-5", "exact_in_training", "a-3"),
    ]


def test_duplicates_inside_the_test_split_are_counted_and_stay() -> None:
    test = [dialogue("e-0", numbered(0, 40), "a"), dialogue("e-1", numbered(0, 40), "a")]
    report = remove_duplicates(test, [dialogue("e-2", numbered(0, 38), "c")], 0.5)
    assert found(report.inside_test) == [("e-1", "exact_of_test", "e-0")]
    assert report.kept == []

    test = [dialogue("e-0", numbered(0, 40), "a"), dialogue("e-1", numbered(15, 55), "b")]
    report = remove_duplicates(test, [dialogue("e-2", numbered(35, 75), "c")], 0.35)
    assert found(report.inside_test) == [("e-1", "near_of_test", "e-0")]
    assert found(report.removed) == [("e-2", "near_of_test", "e-1")]
    assert remove_duplicates([], [], 0.5).kept == []


def test_what_duplicates_only_a_removed_dialogue_stays() -> None:
    first, bridge, last = numbered(0, 40), numbered(15, 55), numbered(35, 75)
    training = [dialogue("a-0", first, "x"), dialogue("a-1", bridge, "y"), dialogue("a-2", last, "z")]
    assert [d.id for d in remove_duplicates([], training, 0.4).kept] == ["a-0", "a-2"]


def by_definition(test: list[Dialogue], training: list[Dialogue], threshold: float) -> list[str]:
    """Return the ids that stay, by comparing every pair of shingle sets."""

    def shingles(one: Dialogue) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", " ".join(turn.text for turn in one.turns).lower())
        return {tuple(words[i : i + 8]) for i in range(max(1, len(words) - 7))} if words else set()

    stay = list(test)
    for one in training:
        mine = shingles(one)
        for other in stay:
            theirs = shingles(other)
            shared = len(mine & theirs)
            if [t.text for t in one.turns] == [t.text for t in other.turns]:
                break
            if shared and shared >= threshold * min(len(mine), len(theirs)):
                break
        else:
            stay.append(one)
    return [one.id for one in stay[len(test) :]]


passages = st.lists(
    st.sampled_from([numbered(i, i + 6) for i in range(0, 48, 6)] + ["Oh!", "W3", "…"]), min_size=2
)


@settings(max_examples=150, deadline=None)
@given(
    test=st.lists(passages, max_size=3),
    training=st.lists(passages, max_size=6),
    threshold=st.sampled_from([0.1, 0.5, 0.75, 1.0]),
)
def test_agrees_with_the_definition(test: list, training: list, threshold: float) -> None:
    tests = [dialogue(f"t-{i}", *texts) for i, texts in enumerate(test)]
    trainings = [dialogue(f"a-{i}", *texts) for i, texts in enumerate(training)]
    report = remove_duplicates(tests, trainings, threshold)
    assert [d.id for d in report.kept] == by_definition(tests, trainings, threshold)
    assert len(report.kept) + len(report.removed) == len(trainings)


def test_time_grows_with_words_not_with_pairs() -> None:
    rng = random.Random(7)
    greeting = "hello there and welcome here please tell me what is going on today"
    originals = [[f"v{rng.randrange(20_000)}" for _ in range(120)] for _ in range(400)]
    dialogues = []
    for number in range(4000):
        words = [w if rng.random() > 0.02 else f"x{number}" for w in originals[number % 400]]
        dialogues.append(dialogue(f"a-{number:05d}", greeting, " ".join(words)))
    start = time.perf_counter()
    report = remove_duplicates([], dialogues, 0.5)
    assert time.perf_counter() - start < 20  # about 0.5 s; comparing the 8 million pairs takes minutes
    assert {d.id for d in report.kept} >= {d.id for d in dialogues[:400]}
    assert len(report.removed) > 3500


@pytest.mark.skipif(not ESCONV.is_file(), reason="the real ESConv is not here")
def test_real_esconv_has_no_duplicates_and_changed_copies_are_found() -> None:
    cleaned, _ = clean_corpus(load_corpus(ESCONV, "esconv"), 10)
    train, test = split_train_test(cleaned, 0.1, 42)
    assert (len(train), len(test)) == (1165, 130)
    rng = random.Random(3)
    copies = [
        dialogue(
            f"extes-{number:05d}",
            *[" ".join(w if rng.random() > 0.03 else "um" for w in turn.text.split()) for turn in one.turns],
        )
        for number, one in enumerate(cleaned)
    ]
    report = remove_duplicates(test, [*train, *copies], 0.5)
    assert [d.id for d in report.kept] == [d.id for d in train]
    kinds = Counter(one.name for one in report.removed)
    assert kinds["near_of_test"] + kinds["exact_of_test"] == 130
    assert report.inside_test == []
