"""Who gets what: balanced, seeded, and blind."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.app import assignment, conversation, tasks
from rating.app.export import progress
from rating.app.study import Study
from tests.support.rating_store import Rater, answer, make_store, make_study


def _study(mode: str = "pointwise", **changes: object) -> Study:
    value = {"name": "s", "mode": mode, "models": ["m0", "m1", "m2"], "seed": 1, "raters": 9}
    return Study.model_validate(value | {"minimum_turns": 8, "sessions_per_rater": 3} | changes)


@settings(max_examples=60, deadline=None)
@given(
    raters=st.integers(1, 20),
    sessions=st.integers(1, 7),
    models=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    order=st.randoms(use_true_random=False),
)
def test_sessions_are_balanced_in_whatever_order_raters_come(raters, sessions, models, seed, order):
    conditions = [(f"m{number}",) for number in range(models)]
    turns = [rater for rater in range(raters) for _ in range(sessions)]
    order.shuffle(turns)
    own: dict[int, Counter] = {rater: Counter() for rater in range(raters)}
    placed: dict[int, Counter] = {place: Counter() for place in range(sessions)}
    total: Counter = Counter()
    for rater in turns:
        place = own[rater].total()
        got = assignment.least_used(conditions, own[rater], placed[place], total, seed, rater, place)
        for counter in (own[rater], placed[place], total):
            counter[got] += 1
    for counter in own.values():  # nobody meets a model twice before having met all
        assert max(counter.values()) - min(counter[c] for c in conditions) <= 1
    if sessions % models == 0:
        assert len({total[c] for c in conditions}) == 1
    assert max(total.values()) - min(total[c] for c in conditions) <= models


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), task=st.text(min_size=1, max_size=8), blocks=st.integers(1, 6))
def test_each_model_is_shown_first_equally_often_in_every_four_turns(seed, task, blocks):
    study = _study("pairwise", seed=seed)
    for block in range(blocks):
        sides = [assignment.swapped(study, task, 4 * block + turn) for turn in range(1, 5)]
        assert sum(sides) == 2


def test_the_order_of_sides_differs_between_sessions_and_seeds():
    orders = {
        tuple(
            assignment.swapped(_study("pairwise", seed=seed), f"r001-{session}", turn) for turn in range(1, 9)
        )
        for seed in range(3)
        for session in range(5)
    }
    assert len(orders) > 8


@settings(max_examples=60, deadline=None)
@given(
    sessions=st.integers(0, 5),
    items=st.integers(1, 9),
    checks=st.integers(0, 4),
    rater=st.integers(1, 99),
)
def test_a_plan_has_everything_and_never_begins_with_a_check(sessions, items, checks, rater):
    overlap = {"per_rater": items}
    study = _study(sessions_per_rater=sessions, overlap=overlap, attention_checks=checks)
    plan = assignment.plan(study, f"r{rater:03d}")
    assert Counter(plan) == +Counter({"session": sessions, "item": items, "attention": checks})
    assert plan[0] != "attention"
    assert plan == assignment.plan(study, f"r{rater:03d}")


@settings(max_examples=40, deadline=None)
@given(
    contexts=st.integers(1, 8),
    models=st.integers(1, 4),
    per_rater=st.integers(1, 6),
    wanted=st.integers(2, 5),
    raters=st.integers(1, 15),
)
def test_items_get_the_raters_they_need_and_nobody_twice(contexts, models, per_rater, wanted, raters):
    conditions = [(f"m{number}",) for number in range(models)]
    order = assignment.item_order([f"c{number}" for number in range(contexts)], conditions)
    assert len(set(order)) == len(order) == contexts * models
    taken: Counter = Counter()
    for _ in range(raters):
        own: list = []
        for _ in range(per_rater):
            unit = assignment.next_item(order, taken, own, wanted)
            if unit is not None:
                assert unit not in own
                own.append(unit)
                taken[unit] += 1
    assert max(taken.values()) <= wanted
    if raters >= wanted:  # as many whole units as there can be, but for those that are being filled
        assert sum(count == wanted for count in taken.values()) >= taken.total() // wanted - per_rater


def test_seeds_of_answers_depend_on_the_model_and_the_turn_alone():
    study = _study()
    seeds = {assignment.answer_seed(study, "r001-01", turn, m) for turn in (1, 2) for m in ("m0", "m1")}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert assignment.answer_seed(_study("pairwise"), "r001-01", 1, "m0") in seeds


def test_raters_are_balanced_over_models_in_the_database_whoever_discards(tmp_path: Path):
    store = make_store(tmp_path, make_study(tmp_path, "pointwise", minimum_turns=1))
    models: Counter[str] = Counter()
    for number in range(15):
        rater = Rater(store)
        task = rater.next()
        if number % 3 == 1:
            rater.act(tasks.close, task.id, "discarded")
            task = rater.next()
            assert task.id == f"{rater.name}-01.2"
        rater.act(conversation.post_message, task.id, "Hello.")
        models.update(answer(store, task.id))
    store.close()
    assert models == {"m0": 5, "m1": 5, "m2": 5}


def test_a_rater_meets_every_model_before_one_comes_again_whatever_others_had():
    conditions = [("m0",), ("m1",), ("m2",)]
    total = Counter({("m0",): 9, ("m1",): 5, ("m2",): 1})
    own = Counter({("m2",): 1, ("m1",): 1})
    assert assignment.least_used(conditions, own, {}, total, 1, "r001-03") == ("m0",)
    assert assignment.least_used(conditions, {}, {}, total, 1, "r001-01") == ("m2",)
    placed = Counter({("m0",): 1})
    assert assignment.least_used(conditions[:2], {}, placed, {}, 1, "r002-01") == ("m1",)


@pytest.mark.parametrize("seed", range(4))
def test_the_next_rater_gets_the_model_that_nobody_has_had(tmp_path: Path, seed: int):
    store = make_store(tmp_path, make_study(tmp_path, "pointwise", sessions_per_rater=2, seed=seed))
    models = []
    for rater, sessions in ((Rater(store), 2), (Rater(store), 1)):
        for _ in range(sessions):
            task = rater.next()
            rater.act(conversation.post_message, task.id, "Hello.")
            models += answer(store, task.id)
            rater.say(task.id)
            rater.rate(task.id)
            rater.act(tasks.submit, task.id)
    store.close()
    assert sorted(models) == ["m0", "m1", "m2"]


def test_an_item_that_others_have_begun_comes_before_a_new_one():
    order = assignment.item_order(["c0", "c1", "c2"], [("m0",), ("m1",)])
    taken = {order[2]: 1, order[3]: 2, order[4]: 3}
    assert assignment.next_item(order, taken, [], 3) == order[3]
    assert assignment.next_item(order, taken, [order[3]], 3) == order[2]
    assert assignment.next_item(order, taken, order[2:4], 3) == order[0]


def test_sides_in_the_database_are_those_of_the_seed(tmp_path: Path):
    study = make_study(tmp_path, "pairwise", minimum_turns=8)
    store = make_store(tmp_path, study)
    rater = Rater(store)
    task = rater.next()
    pairs = []
    for number in range(1, 9):
        rater.act(conversation.post_message, task.id, "Hello.")
        pairs.append(answer(store, task.id))
        rater.act(conversation.choose, task.id, number, "a")
    store.close()
    assert Counter(pair[0] for pair in pairs) == Counter(pair[1] for pair in pairs)
    assert [pair != sorted(pair) for pair in pairs] == [
        assignment.swapped(study, task.id, number) for number in range(1, 9)
    ]


def test_pairs_of_models_meet_equally_often(tmp_path: Path):
    study = make_study(tmp_path, "pairwise", minimum_turns=1, sessions_per_rater=3)
    store = make_store(tmp_path, study)
    rater = Rater(store)
    rater.do_all()
    with store.reading() as db:
        found = progress(db, study)
    store.close()
    assert len(list(combinations(study.models, 2))) == 3
    assert [model["submitted"] for model in found.models.values()] == [2, 2, 2]


@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_nothing_a_page_is_given_names_a_model(tmp_path: Path, mode: str):
    models = ["zebra", "walrus"]
    study = make_study(tmp_path, mode, models=models, overlap=2, attention_checks=1)
    store = make_store(tmp_path, study)
    rater = Rater(store)
    while (task := rater.next()) is not None:
        if task.kind == "session":
            rater.say(task.id, choice="tie" if mode == "pairwise" else "a")
        shown = rater.look(task.id)
        texts = [answer.text for answer in shown.answers]
        view = repr(shown)
        for text in filter(None, texts):  # the responses in this test name their models
            view = view.replace(text, "")
        assert not any(model in view for model in models)
        rater.act(tasks.close, task.id, "ended")
    store.close()
