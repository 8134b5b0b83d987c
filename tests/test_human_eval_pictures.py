"""The pictures of docs/human-eval.md, made when HUMAN_EVAL_PICTURES names a folder (docs/images)."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from stages.human_eval.site import Pace
from stages.records.schema import Message
from tests.human_eval_browser import PHONE, browsing, needs_chromium, tab
from tests.human_eval_site import PASSWORD, Running, Visitor, make_study, running

FOLDER = os.environ.get("HUMAN_EVAL_PICTURES")
pytestmark = [needs_chromium, pytest.mark.skipif(not FOLDER, reason="makes pictures when it is asked to")]
WINDOW = {"width": 1000, "height": 700}
SAID = (
    "I lost my job at the bakery, and I feel ashamed in front of my sister.",
    "She has not said anything yet. I lie awake and think about what she must think of me.",
)
GENERIC = ("I am sorry to hear that. Things will get better with time.", "Try to relax before you go to bed.")
PERSONAL = (
    "Losing the bakery sounds like losing a part of your days. What makes you feel ashamed?",
    "So it is her silence that keeps you awake, more than the job itself. What would you like her to know?",
)


def says(lines: Sequence[str]):
    def speak(messages: Sequence[Message], seed: int) -> Iterator[str]:
        yield lines[min(len(messages) // 2, len(lines) - 1)]

    return speak


def open_task(page, site: Running) -> None:
    page.goto(f"{site.url}/r/{site.tokens.pop()}")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Begin").click()
    page.locator("#text").wait_for()


def say(page, text: str) -> None:
    page.locator("#text").fill(text)
    page.get_by_role("button", name="Send").click()
    page.locator(".turn.seeker", has_text=text).wait_for()
    page.locator("[data-stream]").wait_for(state="detached")


def picture(page, name: str, whole: bool = True) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    path = Path(FOLDER or ".") / f"human-eval-{name}.png"
    page.screenshot(path=path, full_page=whole)
    assert path.stat().st_size < 150_000


def rated(site: Running) -> None:
    """Let one more rater finish a session, without a browser."""
    rater = Visitor(site.url, site.tokens.pop()).begin()
    task = rater.path
    for _ in range(site.site.study.minimum_turns):
        rater.say(SAID[0])
    rater.get(f"{task}/rate")
    rater.send("/submit", do="submit", **{f"rate-{one.name}": 4 for one in site.site.study.dimensions})


def test_pictures_of_a_point_wise_session(tmp_path: Path):
    study = make_study(tmp_path, "pointwise", minimum_turns=8)
    models = {"m0": says(PERSONAL), "m2": says(PERSONAL)}
    with (
        running(study, models, tmp_path / "r.sqlite", invited=6, pace=Pace(0, 1e6)) as site,
        browsing() as browser,
    ):
        with tab(browser, WINDOW) as page:
            open_task(page, site)
            for text in SAID:
                say(page, text)
            picture(page, "pointwise")
        with tab(browser, PHONE, "dark") as page:
            open_task(page, site)
            say(page, SAID[0])
            picture(page, "phone")
        for _ in range(2):
            rated(site)
        with tab(browser, {"width": 1240, "height": 700}) as page:
            page.goto(f"{site.url}/operator")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("heading", name="Raters").wait_for()
            picture(page, "operator")


def test_a_picture_of_the_rating_form(tmp_path: Path):
    study = make_study(tmp_path, "pointwise")
    models = {"m0": says(PERSONAL), "m2": says(PERSONAL)}
    with (
        running(study, models, tmp_path / "r.sqlite", pace=Pace(0, 1e6)) as site,
        browsing() as browser,
        tab(browser, {"width": 1000, "height": 960}) as page,
    ):
        open_task(page, site)
        for text in SAID:
            say(page, text)
        page.get_by_role("link", name="Rate this conversation").click()
        for number, group in enumerate(page.locator("fieldset").all()[:3]):
            group.get_by_role("radio").nth(4 - number % 2).check(force=True)
        picture(page, "rating", whole=False)


def test_a_picture_of_a_pair_wise_session(tmp_path: Path):
    study = make_study(tmp_path, "pairwise", minimum_turns=10)
    models = {"m0": says(GENERIC), "m2": says(PERSONAL)}
    with (
        running(study, models, tmp_path / "r.sqlite") as site,
        browsing() as browser,
        tab(browser, WINDOW) as page,
    ):
        open_task(page, site)
        say(page, SAID[0])
        better = "A" if "bakery" in page.locator(".card").first.inner_text() else "B"
        page.get_by_role("button", name=f"{better} is better").click()
        say(page, SAID[1])
        picture(page, "pairwise")
