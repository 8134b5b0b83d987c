"""The state machine: what is done once is done once, in order, and leaves its trail."""

from pathlib import Path

import pytest

from rating.app import conversation, raters, tasks
from rating.app.export import export
from rating.app.store import Store, set_paused
from tests.conftest import read_lines
from tests.support.rating_store import Rater, answer, make_store, make_study, nonce, refused


def _lines(store: Store, folder: Path, name: str) -> list[dict]:
    with store.reading() as db:
        export(db, store.study, folder / "export", now=0.0)
    return read_lines(folder / "export" / f"{name}.jsonl")


def test_a_session_from_invitation_to_export(pointwise: Store, tmp_path: Path):
    rater = Rater(pointwise, "de")
    task = rater.next()
    assert (task.kind, task.state, task.slot, task.slots, task.blocked) == (
        "session",
        "draft",
        1,
        1,
        "too_early",
    )
    rater.say(task.id, "Mir geht es schlecht. \u202eمرحبا 👩‍👩‍👧\x00\r\n<b>")
    assert refused("too_early", rater.act, tasks.submit, task.id).facts == {"needed": 2, "done": 1}
    refused("too_early", rater.act, tasks.save_rating, task.id, "empathy", 4)
    rater.say(task.id, "Second.")
    assert rater.look(task.id).blocked == "unrated"
    rater.act(tasks.save_rating, task.id, "empathy", 4)
    assert "empathy" not in refused("unrated", rater.act, tasks.submit, task.id).facts["missing"]
    rater.rate(task.id, 5)
    rater.act(tasks.submit, task.id)
    assert rater.next() is None
    first, second = _lines(pointwise, tmp_path, "turns")
    assert first["seeker"] == "Mir geht es schlecht. مرحبا 👩‍👩‍👧\n<b>"
    assert [a["status"] for turn in (first, second) for a in turn["answers"]] == ["done", "done"]
    assert second["answers"][0]["text"] == "Answer 3."  # the first exchange and the second message
    (session,) = _lines(pointwise, tmp_path, "sessions")
    assert (session["state"], session["turns"], session["language"]) == ("submitted", 2, "de")
    ratings = _lines(pointwise, tmp_path, "ratings")
    assert {(line["unit"], line["model"], line["score"]) for line in ratings} == {
        (task.id, session["model"], 5)
    }
    assert {line["dimension"]: line["revisions"] for line in ratings} == dict.fromkeys(
        pointwise.study.dimension_names, 0
    ) | {"empathy": 1}


def test_the_open_task_comes_again_until_it_is_over(pointwise: Store):
    rater = Rater(pointwise)
    assert rater.next() == rater.next()
    with pointwise.reading() as db:
        lines = tasks.task_lines(raters.Rater.of(db, pointwise.study, rater.token))
    assert [(line.id, line.state) for line in lines] == [(rater.next().id, "draft")]


def test_a_replayed_message_makes_one_turn_and_a_new_one_waits_for_its_answer(pointwise: Store):
    rater, word = Rater(pointwise), nonce()
    task = rater.next()
    first = rater.act(conversation.post_message, task.id, "Once.", nonce_=word)
    assert rater.act(conversation.post_message, task.id, "Once.", nonce_=word) == first
    refused("answer_pending", rater.act, conversation.post_message, task.id, "Twice.")
    answer(pointwise, task.id)
    again = rater.act(conversation.post_message, task.id, "Another text, the same act.", nonce_=word)
    assert (again.id, again.seeker) == (first.id, "Once.")
    assert len(rater.look(task.id).turns) == 1
    refused("bad_nonce", rater.act, tasks.close, task.id, "discarded", nonce_=word)
    refused("bad_nonce", rater.act, conversation.post_message, task.id, "x", nonce_="short")


def test_a_second_tab_that_is_behind_is_refused(pointwise: Store):
    rater = Rater(pointwise)
    task = rater.next()

    def post(text: str, seen: int):
        return rater.act(conversation.post_message, task.id, text, seen=seen)

    post("From one tab.", 0)
    answer(pointwise, task.id)
    refused("stale", post, "From the other tab.", 0)
    assert post("After a reload.", 1).index == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \n\t\x00\u200b\u202e", "empty"),
        ("x" * 4001, "too_long"),
        ("x" * 1_000_000, "too_long"),
    ],
)
def test_messages_that_say_nothing_or_too_much_are_refused(pointwise: Store, text: str, code: str):
    rater = Rater(pointwise)
    task = rater.next()
    refused(code, rater.act, conversation.post_message, task.id, text)
    assert rater.look(task.id).turns == ()
    assert rater.act(conversation.post_message, task.id, "x" * 4000).seeker == "x" * 4000


def test_a_failed_answer_can_be_made_again_and_the_first_that_is_whole_stays(pointwise: Store):
    rater = Rater(pointwise)
    task = rater.next()
    rater.act(conversation.post_message, task.id, "Hello.")
    with pointwise.reading() as db:
        (job,) = conversation.unfinished(db)
    with pointwise.writing() as db:
        assert conversation.set_answer(db, job.answer_id, "running")
        assert conversation.set_answer(db, job.answer_id, "failed", "timeout")
    with pointwise.reading() as db:
        assert conversation.unfinished(db) == []
        (again,) = conversation.answer_jobs(db, task.id)
    assert (again.seed, again.status) == (job.seed, "failed")
    with pointwise.writing() as db:
        assert conversation.set_answer(db, job.answer_id, "done", "First \x00writer.")
        assert not conversation.set_answer(db, job.answer_id, "done", "Second writer.")
        assert not conversation.set_answer(db, job.answer_id, "running")
        assert not conversation.set_answer(db, job.answer_id, "failed", "late")
    assert rater.look(task.id).turns[0].answers[0].text == "First writer."


def test_the_winner_goes_into_the_history_and_after_a_tie_the_rater_says_which(
    pairwise: Store, tmp_path: Path
):
    rater = Rater(pairwise)
    task = rater.next()
    rater.act(conversation.post_message, task.id, "One.")
    refused("answer_pending", rater.act, conversation.choose, task.id, 1, "a")
    with pairwise.reading() as db:
        a, b = conversation.answer_jobs(db, task.id)
    assert (a.side, b.side) == ("a", "b")
    assert a.model != b.model
    with pairwise.writing() as db:
        conversation.set_answer(db, a.answer_id, "done", "Left.")
        conversation.set_answer(db, b.answer_id, "done", "Right.")
    refused("choose_first", rater.act, conversation.post_message, task.id, "Two.")
    refused("choose_first", rater.act, conversation.choose, task.id, 1, "a", after_tie=True)
    rater.act(conversation.choose, task.id, 1, "tie")
    refused("continue_first", rater.act, conversation.post_message, task.id, "Two.")
    rater.act(conversation.choose, task.id, 1, "b", after_tie=True)
    rater.act(conversation.post_message, task.id, "Two.")
    with pairwise.reading() as db:
        jobs = conversation.answer_jobs(db, task.id)
    assert [[m.content for m in job.messages] for job in jobs] == [["One.", "Right.", "Two."]] * 2
    refused("stale", rater.act, conversation.choose, task.id, 1, "a")
    answer(pairwise, task.id)
    rater.act(conversation.choose, task.id, 2, "b")
    rater.act(tasks.submit, task.id)
    one, two = _lines(pairwise, tmp_path, "comparisons")
    assert (one["unit"], one["first"], one["second"], one["winner"]) == (
        f"{task.id}#1",
        a.model,
        b.model,
        "tie",
    )
    assert two["winner"] == "second"
    assert _lines(pairwise, tmp_path, "turns")[0]["continued"] == "b"


def test_a_choice_may_be_changed_until_the_next_message_and_both_stand_in_the_trail(
    pairwise: Store, tmp_path: Path
):
    rater = Rater(pairwise)
    task = rater.next()
    rater.say(task.id, choice="tie")
    word = nonce()
    rater.act(conversation.choose, task.id, 1, "a", nonce_=word)
    rater.act(conversation.choose, task.id, 1, "b", nonce_=word)  # a replay, whatever it says
    assert rater.look(task.id).turns[0].choice == "a"
    trail = [(line["field"], line["old"], line["new"]) for line in _lines(pairwise, tmp_path, "changes")]
    assert trail == [
        ("choice#1", None, "tie"),
        ("continued#1", None, "b"),
        ("choice#1", "tie", "a"),
        ("continued#1", "b", None),
    ]


def test_the_seed_decides_ties_where_the_study_says_so(tmp_path: Path):
    store = make_store(tmp_path, make_study(tmp_path, "pairwise", after_tie="seed", minimum_turns=8))
    rater = Rater(store)
    task = rater.next()
    for _ in range(8):
        rater.say(task.id, choice="tie")
    assert {turn.continued for turn in rater.look(task.id).turns} == {"a", "b"}
    store.close()


def test_ratings_can_be_edited_after_they_were_submitted_and_the_trail_says_so(
    pointwise: Store, tmp_path: Path
):
    rater = Rater(pointwise)
    task = rater.next()
    rater.do(task, value=2)
    rater.act(tasks.save_rating, task.id, "empathy", 2)  # no change
    rater.act(tasks.save_rating, task.id, "empathy", 5)
    trail = [line for line in _lines(pointwise, tmp_path, "changes") if line["field"] == "empathy"]
    assert [(line["old"], line["new"], line["state"]) for line in trail] == [
        (None, "2", "draft"),
        ("2", "5", "submitted"),
    ]
    (line,) = [one for one in _lines(pointwise, tmp_path, "ratings") if one["dimension"] == "empathy"]
    assert (line["score"], line["revisions"]) == (5, 1)
    refused("wrong_state", rater.act, tasks.submit, task.id)
    refused("wrong_state", rater.act, conversation.post_message, task.id, "More.")


@pytest.mark.parametrize(
    ("dimension", "value"), [("empathy", 0), ("empathy", 6), ("empathy", True), ("x", 3)]
)
def test_values_outside_the_scale_are_refused(pointwise: Store, dimension: str, value: int):
    rater = Rater(pointwise)
    task = rater.next()
    for _ in range(2):
        rater.say(task.id)
    refused("bad_value", rater.act, tasks.save_rating, task.id, dimension, value)


def test_a_session_ends_when_the_rater_asks_for_it_even_while_paused(pointwise: Store, tmp_path: Path):
    rater = Rater(pointwise)
    task = rater.next()
    with pointwise.writing() as db:
        set_paused(db, True)
    refused("paused", rater.act, conversation.post_message, task.id, "Hello.")
    refused("paused", rater.next)
    rater.act(tasks.close, task.id, "ended")
    with pointwise.writing() as db:
        set_paused(db, False)
    assert rater.next() is None  # its slot is not given again
    assert [line["state"] for line in _lines(pointwise, tmp_path, "sessions")] == ["ended"]
