"""Whole sessions in Chromium: by mouse, by keyboard, on a phone, light and dark, with axe on every page."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from rating.app.answers import open_model
from rating.app.site import Pace
from tests.conftest import ROOT, TEXTS
from tests.support.backbones import random_backbone
from tests.support.rating_browser import (
    DESKTOP,
    PHONE,
    browsing,
    needs_chromium,
    scrolls_sideways,
    tab,
    violations,
)
from tests.support.rating_site import PASSWORD, Running, Talker, exported, make_study, running

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def browser():
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def pointwise(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pointwise")
    models = {"m0": Talker(0.02), "m2": Talker(0.02)}
    study = make_study(folder, "pointwise", raters=9)
    with running(study, models, folder / "r.sqlite", invited=9, pace=Pace(0.3, 30.0)) as site:
        yield site


@pytest.fixture(scope="module")
def pairwise(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pairwise")
    models = {"m0": Talker(0.02), "m2": Talker(0.05)}
    study = make_study(folder, "pairwise", raters=9)
    with running(study, models, folder / "r.sqlite", invited=9) as site:
        yield site


def agree(page, site: Running) -> None:
    page.goto(f"{site.url}/r/{site.tokens.pop()}")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("What would you like to talk about?").wait_for()


def say(page, text: str) -> None:
    page.locator("#text").fill(text)
    page.get_by_role("button", name="Send").click()


def test_a_whole_point_wise_session_with_axe_on_every_page(browser, pointwise: Running, tmp_path: Path):
    with tab(browser) as page:
        token = pointwise.tokens[-1]
        page.goto(f"{pointwise.url}/r/{token}")
        assert token not in page.url
        wrong = violations(page)
        agree(page, pointwise)
        wrong += violations(page)
        for text in ("I lost my job.", "It was at the bakery."):
            say(page, text)
            page.locator("[data-stream]").wait_for()
            wrong += violations(page)
            page.locator(".turn.supporter .text", has_text="I hear you").last.wait_for()
            page.locator("#text").wait_for()
        assert page.locator("#status").inner_text().startswith("The supporter answered: I hear you")
        assert page.evaluate("document.activeElement.id") == "text"
        wrong += violations(page)
        task = page.url.split("#")[0]
        page.goto(f"{pointwise.url}/help")
        wrong += violations(page)
        page.goto(f"{task}/discard")
        wrong += violations(page)
        page.goto(task)
        page.get_by_role("link", name="Rate this conversation").click()
        for group in page.locator("fieldset").all():
            with page.expect_response(lambda response: response.url.endswith("/rating")) as kept:
                group.get_by_role("radio").nth(3).check(force=True)
            assert kept.value.status == 204
        wrong += violations(page)
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("heading", name="Thank you").wait_for()
        wrong += violations(page)
        page.get_by_role("link", name="Your list").first.click()
        wrong += violations(page)
        assert wrong == []
    found = exported(pointwise, tmp_path)
    assert len([line for line in found["ratings"] if line["score"] == 4]) == len(
        pointwise.site.study.dimension_names
    )


def test_a_whole_pair_wise_session_with_axe_on_every_page(browser, pairwise: Running, tmp_path: Path):
    with tab(browser) as page:
        agree(page, pairwise)
        say(page, "I lost my job.")
        page.get_by_role("heading", name="Which answer is better?").wait_for()
        assert page.locator(".card").count() == 2
        wrong = violations(page)
        page.get_by_role("button", name="A is better").click()
        page.locator("#text").wait_for()
        wrong += violations(page)
        say(page, "It was at the bakery.")
        page.locator(".turn.seeker", has_text="It was at the bakery.").wait_for()
        page.get_by_role("button", name="Equally good").click()
        page.get_by_role("button", name="Go on with B").click()
        page.get_by_role("button", name="Finish this conversation").wait_for()
        wrong += violations(page)
        page.get_by_role("button", name="Finish this conversation").click()
        page.get_by_role("heading", name="Thank you").wait_for()
        assert wrong == []
    found = exported(pairwise, tmp_path)
    assert [line["winner"] for line in found["comparisons"]] == ["first", "tie"]


def test_the_pipelines_own_models_answer_in_the_page(browser, tmp_path: Path, params_file):
    """M0 and M2 where `make m2` has made them, else two random models of the same kind."""
    names = ("m0", "m2")
    folders = [ROOT / "models" / name for name in names]
    if not all((folder / "policy.json").exists() for folder in folders):
        folders = [random_backbone(tmp_path / name, TEXTS * 4, 400, 2048) for name in names]
    params = params_file({"respond.sampling.max_new_tokens": 32})
    study = make_study(tmp_path, "pairwise")
    with ExitStack() as stack:
        models = {
            name: stack.enter_context(open_model(folder, "task", params))[0]
            for name, folder in zip(names, folders, strict=True)
        }
        site = stack.enter_context(running(study, models, tmp_path / "r.sqlite"))
        page = stack.enter_context(tab(browser))
        agree(page, site)
        say(page, "I lost my job at the bakery and I feel ashamed in front of my sister.")
        page.get_by_role("heading", name="Which answer is better?").wait_for(timeout=60_000)
        page.get_by_role("button", name="B is better").click()
        page.locator("#text").wait_for()
        turn = exported(site, tmp_path)["turns"][0]
        assert {answer["model"] for answer in turn["answers"]} == set(names)
        assert all(answer["text"] for answer in turn["answers"])


def test_a_session_by_keyboard_alone(browser, pointwise: Running):
    with tab(browser) as page:
        page.goto(f"{pointwise.url}/r/{pointwise.tokens.pop()}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        to(page, "input[type=checkbox]")
        page.keyboard.press("Space")
        to(page, "button.main")
        page.keyboard.press("Enter")
        page.locator("#text").wait_for()
        to(page, "#text")
        for text in ("I lost my job.", "It was at the bakery."):
            page.keyboard.type(text)
            page.keyboard.press("Control+Enter")
            page.locator(".turn.seeker", has_text=text).wait_for()
            until(page, "document.activeElement.id === 'text' && !document.querySelector('[data-stream]')")
        to(page, ".finish a")
        page.keyboard.press("Enter")
        page.locator(".likert").first.wait_for()
        for _ in pointwise.site.study.dimension_names:
            to(page, "input[type=radio]")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Space")
        to(page, "button[value=submit]")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Thank you").wait_for()


def until(page, condition: str) -> None:
    """Playwright's own wait for a condition is what the pages' policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def to(page, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"the Tab key never comes to {selector}")


@pytest.mark.parametrize("mode", ["pointwise", "pairwise"])
def test_a_phone_never_scrolls_sideways(browser, mode: str, request: pytest.FixtureRequest):
    site: Running = request.getfixturevalue(mode)
    with tab(browser, PHONE) as page:
        page.goto(f"{site.url}/r/{site.tokens[-1]}")
        wide = [page.url] if scrolls_sideways(page) else []
        agree(page, site)
        say(page, "Unbreakable" * 40)
        page.locator(".turn.seeker", has_text="Unbreakable").wait_for()
        page.locator(".compare .choices button" if mode == "pairwise" else "#text").first.wait_for()
        if mode == "pairwise":
            wide += [page.url] if scrolls_sideways(page) else []
            page.get_by_role("button", name="Equally good").click()
            page.get_by_role("button", name="Go on with A").click()
        page.locator("#text").wait_for()
        wide += [page.url] if scrolls_sideways(page) else []
        if mode == "pointwise":
            say(page, "And more.")
            page.locator(".turn.seeker", has_text="And more.").wait_for()
            page.get_by_role("link", name="Rate this conversation").click()
            wide += [page.url] if scrolls_sideways(page) else []
        for path in ("/help", "/mine", "/done", "/operator/login"):
            page.goto(site.url + path)
            wide += [page.url] if scrolls_sideways(page) else []
        assert wide == []


def test_a_draft_is_still_there_when_the_browser_was_closed(browser, pointwise: Running):
    with tab(browser) as page:
        agree(page, pointwise)
        page.locator("#text").fill("I was just about to say")
        page.reload()
        assert page.locator("#text").input_value() == "I was just about to say"


def test_a_server_that_is_away_is_waited_for_and_the_message_sent_once(
    browser, pointwise: Running, tmp_path: Path
):
    with tab(browser) as page:
        agree(page, pointwise)
        page.route("**/message", lambda route: route.abort())
        say(page, "Said only once, when it is back.")
        page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()
        page.unroute("**/message")
        page.locator("#offline button").click()
        page.locator(".turn.supporter .text", has_text="I hear you").wait_for()
        page.locator("#offline").wait_for(state="hidden")
    turns = [turn["seeker"] for turn in exported(pointwise, tmp_path)["turns"]]
    assert turns.count("Said only once, when it is back.") == 1


def test_a_double_click_on_send_and_on_end_does_it_once(browser, pointwise: Running, tmp_path: Path):
    with tab(browser) as page:
        agree(page, pointwise)
        page.locator("#text").fill("Clicked twice.")
        page.get_by_role("button", name="Send").dblclick()
        page.locator(".turn.supporter .text", has_text="I hear you").wait_for()
        page.locator("#text").wait_for()
        page.get_by_role("button", name="End this session now").first.dblclick()
        page.get_by_role("heading", name="The session has ended").wait_for()
        assert violations(page) == []
    turns = [turn["seeker"] for turn in exported(pointwise, tmp_path)["turns"]]
    assert turns.count("Clicked twice.") == 1


def test_pages_work_without_scripts(browser, pointwise: Running):
    context = browser.new_context(java_script_enabled=False, viewport=DESKTOP)
    page = context.new_page()
    agree(page, pointwise)
    say(page, "I lost my job.")
    page.locator(".turn.supporter .text", has_text="I hear you").wait_for()
    page.locator("#text").wait_for()
    context.close()


def test_a_script_in_a_message_is_never_run(browser, pointwise: Running):
    with tab(browser) as page:
        page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        agree(page, pointwise)
        say(page, "<img src=x onerror=alert(1)><script>alert(2)</script>")
        page.locator(".turn.supporter .text", has_text="I hear you").wait_for()
        page.reload()
        assert page.locator(".turn img, .turn script").count() == 0


def test_the_operators_pages_with_axe(browser, pointwise: Running):
    with tab(browser) as page:
        page.goto(f"{pointwise.url}/operator")
        wrong = violations(page)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Raters").wait_for()
        wrong += violations(page)
        page.get_by_role("link", name="Withdraw").first.click()
        wrong += violations(page)
        page.go_back()
        page.get_by_role("button", name="Make links").click()
        page.get_by_role("heading", name="A new link").wait_for()
        wrong += violations(page)
        page.set_viewport_size(PHONE)
        page.goto(f"{pointwise.url}/operator")
        assert not scrolls_sideways(page)
        assert wrong == []
