"""The operator's pages: progress, invitations, withdrawal, pause and export, behind a password."""

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from stages.human_eval import export, progress, raters, store
from stages.human_eval.passwords import Operator
from stages.human_eval.security import OPERATOR_COOKIE, Denied, check_form, form_token, read_form, set_cookie
from stages.human_eval.site import Form, Site, see, the_site
from stages.human_eval.words import words

router = APIRouter(prefix="/operator")
MOST_INVITATIONS = 200


class Desk:
    """A request of the operator, logged in."""

    def __init__(self, request: Request, session: str, form: Form):
        """Take a request whose cookie has been checked."""
        self.request = request
        self.site: Site = the_site(request)
        self.session = session
        self.form = form

    def page(self, name: str, **values: object) -> Response:
        """Return one of the operator's pages; they are in English."""
        return self.site.pages.page(
            name, csrf=form_token(self.session), study=self.site.study, w=words("en"), **values
        )


def _operator(site: Site) -> Operator:
    if site.operator is None:
        raise Denied(404, "not_found")
    return site.operator


async def logged_in(request: Request) -> Desk:
    """Return the desk, or send to the login page."""
    session = request.cookies.get(OPERATOR_COOKIE, "")
    if not _operator(the_site(request)).knows(session):
        raise Denied(403, "operator_login")
    return Desk(request, session, {})


async def posted(request: Request) -> Desk:
    """Return the desk with a form that was made for this session."""
    desk = await logged_in(request)
    form = await read_form(request)
    check_form(form, desk.session)
    return Desk(request, desk.session, form)


async def login_form(request: Request) -> Form:
    """Return the login form; its token belongs to a cookie of the login page."""
    form = await read_form(request)
    check_form(form, request.cookies.get(OPERATOR_COOKIE, ""))
    return form


Seen = Annotated[Desk, Depends(logged_in)]
Posted = Annotated[Desk, Depends(posted)]


@router.get("/login")
def show_login(request: Request) -> Response:
    """Ask for the password."""
    return _login(the_site(request), False)


@router.post("/login")
def log_in(request: Request, form: Annotated[Form, Depends(login_form)]) -> Response:
    """Check the password; slowly, and not often."""
    site = the_site(request)
    if not site.logins.take("operator"):
        raise Denied(429, "too_fast")
    session = _operator(site).log_in(form.get("password", "")[:1024])
    if session is None:
        return _login(site, True)
    response = see("/operator")
    set_cookie(response, OPERATOR_COOKIE, session, site.origins.secure, days=None)
    return response


@router.post("/logout")
def log_out(desk: Posted) -> Response:
    """End this session."""
    _operator(desk.site).log_out(desk.session)
    return see("/operator/login")


@router.get("")
def show(desk: Seen) -> Response:
    """Show how far the study is."""
    site = desk.site
    with site.store.reading() as db:
        state = progress.progress(db, site.study)
    return desk.page(
        "operator", progress=state, size=site.store.size(), note=desk.request.query_params.get("note")
    )


@router.post("/invite")
def invite(desk: Posted) -> Response:
    """Make invitations and show their links, once."""
    text = desk.form.get("count", "")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= count <= MOST_INVITATIONS:
        return see("/operator?note=count")
    with desk.site.store.writing() as db:
        made = raters.invite(db, desk.site.study, count)
    return _links(desk, [(invitation.name, invitation.token) for invitation in made])


@router.post("/raters/{rater_id}/renew")
def renew(desk: Posted, rater_id: str) -> Response:
    """Give a rater a new link in place of the old one."""
    line = _line(desk, rater_id)
    with desk.site.store.writing() as db:
        token = raters.renew(db, line.id)
    return _links(desk, [(line.name, token)])


@router.post("/raters/{rater_id}/revoke")
def revoke(desk: Posted, rater_id: str) -> Response:
    """Take a link back; the rater's data stay."""
    line = _line(desk, rater_id)
    with desk.site.store.writing() as db:
        raters.revoke(db, line.id)
    return see("/operator?note=revoked")


@router.get("/raters/{rater_id}/withdraw")
def ask_to_withdraw(desk: Seen, rater_id: str) -> Response:
    """Ask before one rater's data are deleted."""
    return desk.page("withdraw", line=_line(desk, rater_id))


@router.post("/raters/{rater_id}/withdraw")
def withdraw(desk: Posted, rater_id: str) -> Response:
    """Delete what a rater wrote and rated; the pseudonym must be typed."""
    line = _line(desk, rater_id)
    if desk.form.get("name", "").strip() != line.name:
        return see(f"/operator/raters/{line.id}/withdraw?note=name")
    with desk.site.store.writing() as db:
        raters.withdraw(db, line.id)
    desk.site.store.scrub()
    return see("/operator?note=withdrawn")


@router.post("/pause")
def pause(desk: Posted) -> Response:
    """Let nobody begin or go on for now; help and ending stay possible."""
    with desk.site.store.writing() as db:
        store.pause(db)
    return see("/operator?note=paused")


@router.post("/resume")
def resume(desk: Posted) -> Response:
    """Go on."""
    with desk.site.store.writing() as db:
        store.resume(db)
    return see("/operator?note=resumed")


@router.post("/export")
def download(desk: Posted) -> Response:
    """Send everything as one ZIP file of JSONL and CSV."""
    folder = Path(tempfile.mkdtemp(prefix="human-eval-"))
    try:
        with desk.site.store.reading() as db:
            export.export(db, desk.site.study, folder / "export")
        archive = shutil.make_archive(str(folder / "archive"), "zip", folder / "export")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(
        archive,
        media_type="application/zip",
        filename=f"{desk.site.study.name}.zip",
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


def _login(site: Site, wrong: bool) -> Response:
    secret = secrets.token_urlsafe(32)  # no session: it only ties the form to this browser
    response = site.pages.page(
        "login", 403 if wrong else 200, csrf=form_token(secret), w=words("en"), wrong=wrong
    )
    set_cookie(response, OPERATOR_COOKIE, secret, site.origins.secure, days=None)
    return response


def _links(desk: Desk, made: list[tuple[str, str]]) -> Response:
    base = link_base(desk.site, desk.request.headers["host"])
    return desk.page("links", links=[(name, f"{base}/r/{token}") for name, token in made])


def link_base(site: Site, host: str) -> str:
    """Return what links begin with: the public URL where there is one, else the address asked."""
    return site.url or f"http://{host}"


def _line(desk: Desk, rater_id: str) -> raters.RaterLine:
    with desk.site.store.reading() as db:
        for line in raters.raters(db):
            if str(line.id) == rater_id:
                return line
    raise Denied(404, "not_found")
