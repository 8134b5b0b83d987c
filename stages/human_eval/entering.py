"""The way in and around: the personal link, consent, the crisis notice, the rater's own list, the end."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from stages.human_eval import raters, tasks
from stages.human_eval.errors import Refused
from stages.human_eval.security import RATER_COOKIE, Denied, form_token, set_cookie
from stages.human_eval.site import Visit, posted, see, the_site, visit
from stages.human_eval.words import words

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit)]
Posted = Annotated[Visit, Depends(posted)]


@router.get("/r/{token}")
def open_link(request: Request, token: str) -> Response:
    """Take the token out of the address and into a cookie."""
    site = the_site(request)
    if not site.asking.take(form_token(token)):
        raise Denied(429, "too_fast")
    with site.store.reading() as db:
        raters.rater_by_token(db, token)
    response = see("/")
    set_cookie(response, RATER_COOKIE, token, site.origins.secure)
    return response


@router.get("/")
def start(request: Request) -> Response:
    """Send raters where they were.

    A browser that follows the link from another site (a mail) does not send the new cookie along yet, as
    it is SameSite=Strict. The page it gets then goes on by itself, and from there the cookie is sent.
    """
    site = the_site(request)
    if not request.cookies.get(RATER_COOKIE):
        again = "again" in request.query_params
        language = site.study.language(None)
        return site.pages.page("link", language=language, w=words(language), again=again)
    return see("/task")


@router.get("/task")
def go_on(visitor: Visiting) -> Response:
    """Open what the rater is to do next."""
    study = visitor.site.study
    rater = visitor.read(lambda _, rater: rater)
    if not rater.consented:
        return see("/consent")
    try:
        task = visitor.act(lambda db, rater: tasks.next_task(db, study, rater.id))
    except Refused as refused:
        if refused.code != "paused":
            raise
        return visitor.page("paused", rater, 503)
    return see(f"/t/{task.id}" if task else "/done")


@router.get("/consent")
def show_consent(visitor: Visiting) -> Response:
    """Show what the study is about, in the language asked for."""
    study = visitor.site.study
    rater = visitor.read(lambda _, rater: rater)
    wanted = visitor.request.query_params.get("language") or rater.language
    language = study.language(wanted or _accepted(visitor.request))
    text, crisis = study.consent(language), study.crisis(language)
    return visitor.page("consent", rater, language=language, text=text, crisis=crisis)


@router.post("/consent")
def agree(visitor: Posted) -> Response:
    """Note the consent and the language."""
    study, form = visitor.site.study, visitor.form
    language = study.language(form.get("language"))
    if form.get("agree") != "yes":
        return see(f"/consent?language={language}&note=consent_needed")
    visitor.act(lambda db, rater: raters.consent(db, study, rater.id, language, visitor.nonce))
    return see("/task")


@router.post("/language")
def change_language(visitor: Posted) -> Response:
    """Change the language of the pages, and stay on the page."""
    study = visitor.site.study
    language = study.language(visitor.form.get("language"))
    visitor.act(lambda db, rater: raters.set_language(db, study, rater.id, language, visitor.nonce))
    back = visitor.form.get("back", "")
    local = (
        back.startswith("/") and not back.startswith(("//", "/\\")) and back.isascii() and back.isprintable()
    )
    return see(back if local else "/task")


@router.get("/help")
def show_help(visitor: Visiting) -> Response:
    """Show the crisis notice; with a way to end the session where one is open."""
    study = visitor.site.study

    def look(db, rater):  # type: ignore[no-untyped-def]
        return rater, tasks.current_task_id(db, rater.id) if rater.consented else None

    rater, task_id = visitor.read(look)
    ended = "ended" in visitor.request.query_params
    crisis = study.crisis(study.language(rater.language))
    return visitor.page("help", rater, crisis=crisis, task_id=None if ended else task_id, ended=ended)


@router.get("/mine")
def show_list(visitor: Visiting) -> Response:
    """Show what the rater has done."""
    rater, lines = visitor.read(lambda db, rater: (rater, tasks.my_tasks(db, rater.id)))
    return visitor.page("mine", rater, lines=lines)


@router.get("/done")
def show_done(visitor: Visiting) -> Response:
    """Thank the rater."""
    return visitor.page("done", visitor.read(lambda _, rater: rater))


def _accepted(request: Request) -> str | None:
    """Return the browser's first language."""
    return (
        request.headers.get("accept-language", "").split(",")[0].split(";")[0].split("-")[0].lower() or None
    )
