"""The raters' pages: the personal link, consent, conversations, ratings, help, the rater's own list."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from rating.app import conversation, tasks
from rating.app.raters import Rater, Refused
from rating.app.schema import RaterRow
from rating.app.security import RATER_COOKIE, form_token, set_cookie, too_fast
from rating.app.site import RaterGet, RaterPost, RaterVisit, redirect, render, the_site, translations
from rating.app.streaming import is_pending
from rating.app.tasks import TaskView

router = APIRouter()
_RATING_REFUSED = ("bad_value", "bad_nonce", "wrong_state", "too_early")


@router.get("/r/{token}")
def open_link(request: Request, token: str) -> Response:
    """Move the token from the address into a cookie."""
    site = the_site(request)
    if not site.requests.allows(form_token(token)):
        raise too_fast()
    with site.store.reading() as db:
        Rater.of(db, site.study, token)
    response = redirect("/")
    set_cookie(response, RATER_COOKIE, token, site.origins.secure)
    return response


@router.get("/")
def start(request: Request) -> Response:
    """Send raters to where they were.

    A browser that comes from another site (a mail) does not yet send the cookie, which is SameSite=Strict.
    The page it gets goes on by itself, and from there the cookie is sent.
    """
    if request.cookies.get(RATER_COOKIE):
        return redirect("/task")
    again = "again" in request.query_params
    return render("open_link", w=translations(the_site(request).study.language(None)), again=again)


@router.get("/task")
def go_on(visit: RaterGet) -> Response:
    """Open the rater's next task."""
    try:
        with visit.writing() as rater:
            task = tasks.next_task(rater)
    except Refused as refused:  # without consent, too, which then comes first
        if refused.code != "paused":
            raise
        return visit.page("paused", visit.rater(), 503)
    return redirect(f"/t/{task.id}" if task else "/done")


@router.get("/consent")
def show_consent(visit: RaterGet) -> Response:
    """Show what the study is about, in the language asked for."""
    rater, study, request = visit.rater(), visit.study, visit.request
    first_accepted = request.headers.get("accept-language", "").split(",")[0].split(";")[0].split("-")[0]
    wanted = request.query_params.get("language") or rater.language or first_accepted.lower()
    language = study.language(wanted)
    text, crisis = study.consent_text(language), study.crisis_notice(language)
    return visit.page("consent", rater, language=language, text=text, crisis=crisis)


@router.post("/consent")
def consent(visit: RaterPost) -> Response:
    """Note the consent and the language."""
    language = visit.study.language(visit.form.get("language"))
    if visit.form.get("agree") != "yes":
        return redirect(f"/consent?language={language}&note=consent_needed")
    with visit.writing() as rater:
        rater.set_language(language, visit.nonce, consent=True)
    return redirect("/task")


@router.post("/language")
def change_language(visit: RaterPost) -> Response:
    """Change the language of the pages, and stay on the page."""
    language = visit.study.language(visit.form.get("language"))
    with visit.writing() as rater:
        rater.set_language(language, visit.nonce)
    back = visit.form.get("back", "")
    leaves_site = not back.startswith("/") or back.startswith(("//", "/\\"))
    return redirect("/task" if leaves_site or not back.isascii() or not back.isprintable() else back)


@router.get("/help")
def show_help(visit: RaterGet) -> Response:
    """Show the crisis notice, with a way to end the session where one is open."""
    ended = "ended" in visit.request.query_params
    with visit.reading() as rater:
        open_tasks = [line.id for line in tasks.task_lines(rater) if line.state == "draft"]
    task_id = open_tasks[0] if open_tasks and not ended else None
    crisis = visit.study.crisis_notice(visit.study.language(rater.row.language))
    return visit.page("help", rater.row, crisis=crisis, task_id=task_id, ended=ended)


@router.get("/mine")
def show_list(visit: RaterGet) -> Response:
    """Show what the rater has done."""
    with visit.reading() as rater:
        lines = tasks.task_lines(rater)
    return visit.page("list", rater.row, lines=lines)


@router.get("/done")
def show_done(visit: RaterGet) -> Response:
    """Thank the rater."""
    return visit.page("done", visit.rater())


@router.get("/t/{task_id}")
def show_task(visit: RaterGet, task_id: str) -> Response:
    """Show a conversation, or an answer to rate."""
    return _task_page(visit, *_read_task(visit, task_id))


@router.get("/t/{task_id}/rate")
def show_rating(visit: RaterGet, task_id: str) -> Response:
    """Show the questions about a conversation."""
    rater, task = _read_task(visit, task_id)
    if task.kind != "session" or visit.study.mode != "pointwise" or task.blocked == "too_early":
        return redirect(f"/t/{task.id}")
    return visit.page("rate", rater, task=task)


@router.get("/t/{task_id}/discard")
def ask_to_discard(visit: RaterGet, task_id: str) -> Response:
    """Ask whether a conversation shall really be discarded."""
    rater, task = _read_task(visit, task_id)
    return visit.page("discard", rater, task=task)


@router.post("/t/{task_id}/message")
def send_message(visit: RaterPost, task_id: str) -> Response:
    """Keep a message and let the models answer."""
    text, seen = visit.form.get("text", ""), visit.number("seen")
    try:
        with visit.writing() as rater:
            conversation.post_message(rater, task_id, text, visit.nonce, seen)
    except Refused as refused:
        if refused.code == "no_consent":
            raise
        # The message comes back in its page, where the rater can mend it.
        more = {"note": refused.code, "facts": refused.facts, "text": text}
        return _task_page(visit, *_read_task(visit, task_id), 422, **more)
    visit.site.answers.ask(task_id)
    return redirect(f"/t/{task_id}#latest")


@router.post("/t/{task_id}/retry")
def retry(visit: RaterPost, task_id: str) -> Response:
    """Ask the models again for the answers that failed."""
    _read_task(visit, task_id)
    visit.site.answers.ask(task_id, again=True)
    return redirect(f"/t/{task_id}#latest")


@router.post("/t/{task_id}/choose")
@router.post("/t/{task_id}/continue")
def choose(visit: RaterPost, task_id: str) -> Response:
    """Keep which answer is better, of a turn or of an item, or with which `side` to go on after a tie."""
    side, turn = visit.form.get("side"), visit.number("turn")
    choice = side or visit.form.get("choice", "")
    with visit.writing() as rater:
        if turn is None:
            tasks.choose_item(rater, task_id, choice, visit.nonce)
        else:
            conversation.choose(rater, task_id, turn, choice, visit.nonce, after_tie=side is not None)
    return redirect(f"/t/{task_id}#latest")


@router.post("/t/{task_id}/rating")
def save_rating(visit: RaterPost, task_id: str) -> Response:
    """Keep one rating as soon as it is chosen."""
    dimension, value = visit.form.get("dimension", ""), visit.number("value") or 0
    try:
        with visit.writing() as rater:
            tasks.save_rating(rater, task_id, dimension, value, visit.nonce)
    except Refused as refused:
        if refused.code not in _RATING_REFUSED:
            raise
        return Response(refused.code, 409, media_type="text/plain")
    return Response(status_code=204)


@router.post("/t/{task_id}/submit")
def submit(visit: RaterPost, task_id: str) -> Response:
    """Keep the ratings of the form that were not kept yet, and submit the task."""
    only_keep = visit.form.get("do") == "keep"
    back = f"/t/{task_id}/rate" if visit.form.get("from") == "rate" else f"/t/{task_id}"
    try:
        state = _save_form(visit, task_id, not only_keep)
    except Refused as refused:
        if refused.code == "unrated":  # what was rated is kept all the same
            _save_form(visit, task_id, False)
        refused.back = back
        raise
    if only_keep:
        return redirect(f"{back}?note=saved")
    return redirect("/task" if state == "draft" else "/mine?note=saved")


@router.post("/t/{task_id}/discard")
@router.post("/t/{task_id}/end")
def close(visit: RaterPost, task_id: str) -> Response:
    """Discard a conversation, or end it at once and show where help is."""
    ended = visit.request.url.path.endswith("/end")
    try:
        with visit.writing() as rater:
            tasks.close(rater, task_id, "ended" if ended else "discarded", visit.nonce)
    except Refused as refused:
        if not ended or refused.code != "wrong_state":  # it is over already: help is what matters
            raise
    return redirect("/help?ended" if ended else "/task")


def _save_form(visit: RaterVisit, task_id: str, and_submit: bool) -> str:
    """Keep the form's ratings in one transaction; return the state that the task had before."""
    with visit.writing() as rater:
        task = tasks.read_task(rater, task_id)
        for number, dimension in enumerate(visit.study.dimension_names):
            value = visit.number(f"rate-{dimension}")
            if value is not None and task.ratings.get(dimension) != value:
                nonce = f"{visit.nonce}-{number}"
                tasks.save_rating(rater, task_id, dimension, value, nonce)
        if task.state == "draft" and and_submit:
            tasks.submit(rater, task_id, visit.nonce)
    return task.state


def _read_task(visit: RaterVisit, task_id: str) -> tuple[RaterRow, TaskView]:
    with visit.reading() as rater:
        return rater.row, tasks.read_task(rater, task_id)


def _task_page(
    visit: RaterVisit, rater: RaterRow, task: TaskView, status: int = 200, **more: Any
) -> Response:
    if task.kind != "session":
        return visit.page("item", rater, status, task=task, **more)
    last = task.turns[-1] if task.turns else None
    values = {
        "crisis": visit.study.crisis_notice(visit.study.language(rater.language)),
        "failed": last is not None and any(answer.status == "failed" for answer in last.answers),
        "last": last,
        "pending": is_pending(visit.site, task),
        "text": "",
    }
    return visit.page("conversation", rater, status, task=task, **values | more)
