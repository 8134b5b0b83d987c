"""Raters at work over HTTP, without a browser: whole sessions, closed windows, double clicks, two tabs."""

import json
import time
from pathlib import Path

import httpx
import pytest

from rating.app.site import Pace
from tests.support.rating_site import Running, Talker, Visitor, exported, form, make_study, running

STRANGE = {
    "right to left": "אני לא ישן טוב \u202eמאז הבחינה",
    "emoji": "👩‍👩‍👧‍👦 😔",
    "markup": "<b>bold</b> & <img src=x onerror=alert(1)> {{ 7*7 }}",
    "lines": "one\r\ntwo\n\n\nthree",
    "long": "word " * 300,
}


def rate(visitor: Visitor, study_dimensions: list[str], value: int = 4, **more: str) -> httpx.Response:
    values = {f"rate-{name}": value for name in study_dimensions}
    return visitor.send("/submit", **values, **({"do": "submit"} | more))


def names(site: Running) -> list[str]:
    return list(site.site.study.dimension_names)


@pytest.fixture
def pointwise(tmp_path: Path):
    models = {"m0": Talker(), "m2": Talker()}
    with running(make_study(tmp_path, "pointwise"), models, tmp_path / "r.sqlite") as site:
        yield site


@pytest.fixture
def pairwise(tmp_path: Path):
    models = {"m0": Talker(), "m2": Talker()}
    with running(make_study(tmp_path, "pairwise"), models, tmp_path / "r.sqlite") as site:
        yield site


def test_a_whole_point_wise_session_reaches_the_export(pointwise: Running, tmp_path: Path):
    rater = pointwise.visitor()
    assert rater.path == "/consent"
    rater.begin()
    task = rater.path
    rater.say("I lost my job.")
    rater.say("At the bakery.")
    assert "I hear you" in rater.page
    rater.get(f"{task}/rate")
    rate(rater, names(pointwise))
    assert rater.path == "/done"
    found = exported(pointwise, tmp_path)
    assert [turn["seeker"] for turn in found["turns"]] == ["I lost my job.", "At the bakery."]
    assert {line["score"] for line in found["ratings"]} == {4}
    assert len(found["ratings"]) == len(names(pointwise))
    assert found["sessions"][0]["state"] == "submitted"


def test_a_whole_pair_wise_session_reaches_the_export(pairwise: Running, tmp_path: Path):
    rater = pairwise.visitor().begin()
    rater.say("I lost my job.")
    rater.send("/choose", choice="a")
    rater.say("At the bakery.")
    rater.send("/choose", choice="tie")
    rater.send("/continue", side="b")
    rater.send("/submit")
    assert rater.path == "/done"
    found = exported(pairwise, tmp_path)
    assert [line["winner"] for line in found["comparisons"]] == ["first", "tie"]
    assert [turn["continued"] for turn in found["turns"]][1] == "b"


def test_the_chosen_answer_is_what_the_models_are_told_next(pairwise: Running):
    rater = pairwise.visitor().begin()
    rater.say("I lost my job.")
    rater.send("/choose", choice="b")
    chosen = rater.page.split('id="answer-b"')[1].split('dir="auto">')[1].split("<")[0]
    rater.say("At the bakery.")
    models = pairwise.site.answers._models.values()
    histories = [[message.content for message in model.asked[-1][0]] for model in models]
    assert histories == [["I lost my job.", chosen, "At the bakery."]] * 2


def test_overlap_items_and_attention_checks_come_and_are_rated(tmp_path: Path):
    items = [
        {
            "id": f"item-{number}",
            "messages": [{"role": "user", "content": f"I lost job number {number}."}],
            "responses": {"m0": f"Sorry about {number}.", "m2": f"What happened with {number}?"},
        }
        for number in range(3)
    ]
    file = tmp_path / "items.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    overlap = {"contexts": 3, "per_rater": 2, "raters_per_item": 2, "file": str(file)}
    study = make_study(tmp_path, "pointwise", overlap=overlap, attention_checks=1)
    with running(study, {"m0": Talker(), "m2": Talker()}, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        kinds = []
        while rater.path != "/done":
            if "/message" in rater.page:
                task = rater.path
                rater.say("Hello.")
                rater.say("It is about work.")
                rater.get(f"{task}/rate")
                kinds.append("session")
            else:
                kinds.append("item")
            rate(rater, names(site))
            assert len(kinds) < 30
        assert kinds.count("session") == 1
        found = exported(site, tmp_path)
        assert len(found["attention"]) == 1
        assert any(line["unit"].startswith("item:") for line in found["ratings"])


def test_a_closed_browser_goes_on_where_it_was(pointwise: Running):
    before = pointwise.visitor().begin()
    before.say("I lost my job.")
    after = pointwise.visitor()
    assert after.path == before.path
    assert "I lost my job." in after.page
    assert "I hear you" in after.page


def test_every_rating_is_kept_at_once_and_stands_in_the_form_again(pointwise: Running):
    rater = pointwise.visitor().begin()
    task = rater.path
    rater.say("One.")
    rater.say("Two.")
    rater.get(f"{task}/rate")
    body = form(rater.page, "/submit").fields | {"dimension": names(pointwise)[0], "value": "5"}
    assert rater.http.post(f"{task}/rating", data=body).status_code == 204
    again = pointwise.visitor()
    again.get(f"{task}/rate")
    assert again.page.count(" checked") == 1


def test_an_unfinished_form_is_kept_and_says_what_is_missing(pointwise: Running):
    rater = pointwise.visitor().begin()
    task = rater.path
    rater.say("One.")
    rater.say("Two.")
    rater.get(f"{task}/rate")
    rate(rater, names(pointwise)[:2])
    assert rater.path == f"{task}/rate"
    assert "answer every question" in rater.page
    assert rater.page.count(" checked") == 2


def test_submitted_ratings_can_be_changed_and_the_change_is_counted(pointwise: Running, tmp_path: Path):
    rater = pointwise.visitor().begin()
    task = rater.path
    rater.say("One.")
    rater.say("Two.")
    rater.get(f"{task}/rate")
    rate(rater, names(pointwise))
    rater.get("/mine")
    assert f'href="{task}"' in rater.page
    rater.get(f"{task}/rate")
    rate(rater, names(pointwise), value=2, do="keep")
    found = exported(pointwise, tmp_path)
    assert {line["score"] for line in found["ratings"]} == {2}
    assert {line["revisions"] for line in found["ratings"]} == {1}


def test_rating_before_enough_turns_is_not_offered(pointwise: Running):
    rater = pointwise.visitor().begin()
    task = rater.path
    rater.say("One.")
    assert f"{task}/rate" not in rater.page
    rater.get(f"{task}/rate")
    assert rater.path == task


def test_a_double_click_sends_one_message(pointwise: Running, tmp_path: Path):
    rater = pointwise.visitor().begin()
    page = form(rater.page, "/message")
    for _ in range(3):
        rater.response = rater.http.post(page.action, data=page.fields | {"text": "Only once."})
        assert rater.response.status_code == 200
    rater.wait()
    assert [turn["seeker"] for turn in exported(pointwise, tmp_path)["turns"]] == ["Only once."]


def test_a_second_tab_that_is_behind_keeps_its_text_and_changes_nothing(pointwise: Running, tmp_path: Path):
    first = pointwise.visitor().begin()
    second = pointwise.visitor()
    first.say("From the first tab.")
    response = second.send("/message", text="From the second tab.")
    assert response.status_code == 422
    assert "another window" in second.page
    assert "From the second tab.</textarea>" in second.page
    assert len(exported(pointwise, tmp_path)["turns"]) == 1


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_messages_are_kept_and_shown_as_text(pointwise: Running, tmp_path: Path, kind: str):
    rater = pointwise.visitor().begin()
    rater.say(STRANGE[kind])
    assert rater.response.status_code == 200
    kept = exported(pointwise, tmp_path)["turns"][0]["seeker"]
    assert kept.split()[0] in STRANGE[kind]
    assert "<img src=x" not in rater.page


@pytest.mark.parametrize("text", ["", "   \n\t ", "\x00\x07\x1b", "\u200b"])
def test_messages_with_nothing_to_read_are_asked_for_again(pointwise: Running, text: str):
    rater = pointwise.visitor().begin()
    assert rater.send("/message", text=text).status_code == 422
    assert "write something first" in rater.page


def test_a_message_over_the_limit_stays_in_the_page_to_be_shortened(pointwise: Running):
    rater = pointwise.visitor().begin()
    text = "x" * (pointwise.site.study.message_limit + 1)
    assert rater.send("/message", text=text).status_code == 422
    assert text in rater.page


def test_a_megabyte_is_refused_before_it_is_read(pointwise: Running, tmp_path: Path):
    rater = pointwise.visitor().begin()
    task = rater.path
    assert rater.send("/message", text="x" * 2**20).status_code == 413
    rater.get(task)
    assert rater.response.status_code == 200
    assert exported(pointwise, tmp_path)["turns"] == []


def test_discarding_gives_another_session_in_its_place(pointwise: Running, tmp_path: Path):
    rater = pointwise.visitor().begin()
    task = rater.path
    rater.say("Not this.")
    rater.get(f"{task}/discard")
    rater.send("/discard")
    assert rater.path.startswith("/t/")
    assert rater.path != task


def test_the_end_button_ends_the_session_at_once_and_shows_where_help_is(pointwise: Running, tmp_path: Path):
    rater = pointwise.visitor().begin()
    rater.say("I lost my job.")
    rater.send("/end")
    assert rater.path == "/help"
    notice = pointwise.site.study.crisis_notice("en")
    assert all(name in rater.page for name, _ in notice.lines)
    assert exported(pointwise, tmp_path)["sessions"][0]["state"] == "ended"


def test_words_of_distress_bring_the_notice_into_the_conversation(pointwise: Running):
    study = pointwise.site.study
    text = next(t for t in ("I want to kill myself", "I want to die", "suicide") if study.offers_to_end(t))
    rater = pointwise.visitor().begin()
    rater.say(text)
    assert 'id="offer"' in rater.page
    assert rater.page.count("/end") >= 2


def test_a_paused_study_says_so_and_still_lets_raters_end(pointwise: Running):
    from rating.app import store

    rater = pointwise.visitor().begin()
    rater.say("I lost my job.")
    with pointwise.store.writing() as db:
        store.set_paused(db, True)
    page = rater.page
    assert rater.get("/task").status_code == 503 or rater.path.startswith("/t/")
    rater.response = rater.http.get("/help")
    rater.send("/end")
    assert rater.path == "/help"
    assert page


def test_an_answer_streams_and_ends(tmp_path: Path):
    models = {"m0": Talker(0.05), "m2": Talker(0.05)}
    with running(make_study(tmp_path, "pointwise"), models, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        rater.say("I lost my job.", wait=False)
        events = rater.http.get(f"{rater.path}/answers").text
        assert events.index("event: reset") < events.index("event: piece") < events.index("event: done")
        pieces = [line for line in events.splitlines() if line.startswith('data: {"text"')]
        assert "".join(eval(line[6:])["text"] for line in pieces).startswith("I hear you, ")


def test_all_models_are_shown_at_one_pace(tmp_path: Path):
    study = make_study(tmp_path, "pointwise")
    models = {"m0": Talker(), "m2": Talker()}
    with running(study, models, tmp_path / "r.sqlite", pace=Pace(0.3, 5.0)) as site:
        rater = site.visitor().begin()
        began = time.monotonic()
        rater.say("I lost my job.", wait=False)
        rater.http.get(f"{rater.path}/answers")
        assert time.monotonic() - began > 0.3 + 3 / 5.0
