"""The pictures of docs/rating.md, made when RATING_PICTURES names a folder (docs/images)."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rating.app.answers import Model, open_model
from rating.app.site import Pace
from tests.conftest import ROOT
from tests.support.rating_browser import PHONE, browsing, needs_chromium, tab
from tests.support.rating_site import PASSWORD, Running, Visitor, exported, make_study, running

FOLDER = os.environ.get("RATING_PICTURES")
pytestmark = [needs_chromium, pytest.mark.skipif(not FOLDER, reason="makes pictures when it is asked to")]
WINDOW = {"width": 1000, "height": 700}
# As seekers of the mini world write: the tiny models know no other.
SAID = (
    "Hello, I am Aisha. Can we talk a little?",
    "Honestly, I came here because of a long low spell. The dishes wait, and I look away every time.",
    "I go to bed feeling jittery every day.",
    "In my head I am always going back to the farewell of a close group during a rainy autumn.",
    "I am stubborn about small things, so I usually keep going and say nothing.",
    "What I wish for is one quiet week.",
    "I have not told my sister about any of it.",
    "Yes, that sounds right.",
    "I could try that tomorrow.",
    "Thank you for listening to me.",
)


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Model]]:
    """M0 and M2 of `make m2`, as the application runs them."""
    folders = {name: ROOT / "models" / name for name in ("m0", "m2")}
    if not all((folder / "policy.json").exists() for folder in folders.values()):
        pytest.skip("the pictures are of M0 and M2: make m2 first")
    with ExitStack() as stack:
        params = ROOT / "params.yaml"
        yield {n: stack.enter_context(open_model(f, "task", params))[0] for n, f in folders.items()}


def open_task(page, site: Running) -> None:
    page.goto(f"{site.url}/r/{site.tokens.pop()}")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Begin").click()
    page.locator("#text").wait_for()


def say(page, text: str) -> None:
    page.locator("#text").fill(text)
    page.get_by_role("button", name="Send").click()
    page.locator(".turn.seeker", has_text=text).wait_for()
    page.locator("[data-stream]").wait_for(state="detached", timeout=60_000)


def picture(page, name: str, whole: bool = True) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    path = Path(FOLDER or ".") / f"rating-{name}.png"
    page.screenshot(path=path, full_page=whole)
    assert path.stat().st_size < 150_000


def rated(site: Running) -> None:
    """Let one more rater finish a session, without a browser."""
    rater = Visitor(site.url, site.tokens.pop()).begin()
    task = rater.path
    for _ in range(site.site.study.minimum_turns):
        rater.say(SAID[0])
    rater.get(f"{task}/rate")
    rater.send("/submit", do="submit", **{f"rate-{name}": 4 for name in site.site.study.dimension_names})


def test_pictures_of_a_whole_point_wise_session(tmp_path: Path, models: dict[str, Model]):
    study = make_study(tmp_path, "pointwise", minimum_turns=8)
    with (
        running(study, models, tmp_path / "r.sqlite", invited=6, pace=Pace(0, 1e6)) as site,
        browsing() as browser,
    ):
        with tab(browser, PHONE, "dark") as page:
            open_task(page, site)
            for text in SAID[:2]:
                say(page, text)
            picture(page, "phone")
        with tab(browser, {"width": 1000, "height": 960}) as page:
            open_task(page, site)
            for number, text in enumerate(SAID[:8]):
                say(page, text)
                if number == 3:
                    picture(page, "pointwise")
            page.get_by_role("link", name="Rate this conversation").click()
            groups = page.locator("fieldset").all()
            for number, group in enumerate(groups):
                group.get_by_role("radio").nth(4 - number % 2).check(force=True)
                if number == 2:
                    picture(page, "form", whole=False)
            page.get_by_role("button", name="Submit").click()
            page.get_by_role("heading", name="Thank you").wait_for()
        rated(site)
        with tab(browser, {"width": 1240, "height": 700}) as page:
            page.goto(f"{site.url}/operator")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("heading", name="Raters").wait_for()
            picture(page, "operator")
        found = exported(site, tmp_path)
    assert len(found["ratings"]) == 2 * 7
    assert {answer["status"] for turn in found["turns"] for answer in turn["answers"]} == {"done"}


def test_pictures_of_a_whole_pair_wise_session(tmp_path: Path, models: dict[str, Model]):
    study = make_study(tmp_path, "pairwise", minimum_turns=10)
    with (
        running(study, models, tmp_path / "r.sqlite") as site,
        browsing() as browser,
        tab(browser, WINDOW) as page,
    ):
        open_task(page, site)
        for number, text in enumerate(SAID):
            say(page, text)
            page.get_by_role("heading", name="Which answer is better?").wait_for(timeout=60_000)
            if number == 3:
                picture(page, "pairwise")
            page.get_by_role("button", name=f"{'AB'[number % 2]} is better").click()
            page.locator("#text, .finish").first.wait_for()
        found = exported(site, tmp_path)
        assert [len(turn["answers"]) for turn in found["turns"]] == [2] * 10
        assert {answer["model"] for turn in found["turns"] for answer in turn["answers"]} == set(models)
