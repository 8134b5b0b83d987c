"""The operator's pages: progress, invitations, withdrawal, pause and export, behind a password."""

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from rating.app import raters, store
from rating.app.export import export, progress
from rating.app.schema import RaterRow
from rating.app.security import OPERATOR_COOKIE, form_token, read_form, set_cookie, too_fast
from rating.app.site import Visit, redirect, render, the_site, translations
from rating.password import Operator

router = APIRouter(prefix="/operator")
MOST_INVITATIONS = 200


class OperatorVisit(Visit):
    """A request of the operator, logged in."""

    def page(self, name: str, **values: object) -> Response:
        """Return one of the operator's pages; they are in English."""
        fixed = {"csrf": form_token(self.secret), "study": self.study, "w": translations("en")}
        return render(name, **fixed, **values)


def _operator(request: Request) -> Operator:
    operator = the_site(request).operator
    assert operator is not None  # without one the application has none of these routes
    return operator


async def _get(request: Request, operator: Annotated[Operator, Depends(_operator)]) -> OperatorVisit:
    session = request.cookies.get(OPERATOR_COOKIE, "")
    if not operator.knows(session):
        raise HTTPException(303, headers={"location": "/operator/login"})
    return OperatorVisit(request, session, {})


async def _post(visit: Annotated[OperatorVisit, Depends(_get)]) -> OperatorVisit:
    return OperatorVisit(visit.request, visit.secret, await read_form(visit.request, visit.secret))


Get = Annotated[OperatorVisit, Depends(_get)]
Post = Annotated[OperatorVisit, Depends(_post)]


@router.get("/login")
def show_login(request: Request) -> Response:
    """Ask for the password."""
    return _login_page(request, wrong=False)


@router.post("/login")
async def log_in(request: Request, operator: Annotated[Operator, Depends(_operator)]) -> Response:
    """Check the password; slowly, and not often. The form's token belongs to a cookie of the login page."""
    site = the_site(request)
    form = await read_form(request, request.cookies.get(OPERATOR_COOKIE, ""))
    if not site.logins.allows("operator"):
        raise too_fast()
    session = await run_in_threadpool(operator.log_in, form.get("password", "")[:1024])
    if session is None:
        return _login_page(request, wrong=True)
    response = redirect("/operator")
    set_cookie(response, OPERATOR_COOKIE, session, site.origins.secure, days=None)
    return response


@router.post("/logout")
def log_out(visit: Post, operator: Annotated[Operator, Depends(_operator)]) -> Response:
    """End this session."""
    operator.log_out(visit.secret)
    return redirect("/operator/login")


@router.get("")
def show_progress(visit: Get) -> Response:
    """Show how far the study is."""
    with visit.site.store.reading() as db:
        state = progress(db, visit.study)
    note = visit.request.query_params.get("note")
    return visit.page("operator", progress=state, size=visit.site.store.size(), note=note)


@router.post("/invite")
def invite(visit: Post) -> Response:
    """Make invitations and show their links, once."""
    count = visit.number("count") or 0
    if not 1 <= count <= MOST_INVITATIONS:
        return redirect("/operator?note=count")
    with visit.site.store.writing() as db:
        made = raters.invite(db, count)
    return _links_page(visit, made)


@router.post("/raters/{rater_id}/renew")
def renew(visit: Post, rater_id: str) -> Response:
    """Give a rater a new link in place of the old one."""
    rater = _rater(visit, rater_id)
    with visit.site.store.writing() as db:
        token = raters.renew(db, rater.id)
    return _links_page(visit, {rater.name: token})


@router.post("/raters/{rater_id}/revoke")
def revoke(visit: Post, rater_id: str) -> Response:
    """Revoke a link; the rater's data stay."""
    rater = _rater(visit, rater_id)
    with visit.site.store.writing() as db:
        raters.revoke(db, rater.id)
    return redirect("/operator?note=revoked")


@router.get("/raters/{rater_id}/withdraw")
def ask_to_withdraw(visit: Get, rater_id: str) -> Response:
    """Ask before one rater's data are deleted."""
    return visit.page("withdraw", rater=_rater(visit, rater_id))


@router.post("/raters/{rater_id}/withdraw")
def withdraw(visit: Post, rater_id: str) -> Response:
    """Delete what a rater wrote and rated; the pseudonym must be typed."""
    rater = _rater(visit, rater_id)
    if visit.form.get("name", "").strip() != rater.name:
        return redirect(f"/operator/raters/{rater.id}/withdraw?note=name")
    with visit.site.store.writing() as db:
        raters.withdraw(db, rater.id)
    visit.site.store.scrub()
    return redirect("/operator?note=withdrawn")


@router.post("/pause")
@router.post("/resume")
def pause(visit: Post) -> Response:
    """Stop raters from beginning or going on, or let them; help and ending a session stay possible."""
    paused = visit.request.url.path.endswith("/pause")
    with visit.site.store.writing() as db:
        store.set_paused(db, paused)
    return redirect(f"/operator?note={'paused' if paused else 'resumed'}")


@router.post("/export")
def download(visit: Post) -> Response:
    """Send everything as one ZIP file of JSONL and CSV."""
    folder = tempfile.TemporaryDirectory(prefix="rating-export-")  # is removed with its last reference, too
    made = Path(folder.name, "export")
    with visit.site.store.reading() as db:
        export(db, visit.study, made)
    archive = shutil.make_archive(f"{folder.name}/archive", "zip", made)
    name, clean_up = f"{visit.study.name}.zip", BackgroundTask(folder.cleanup)
    return FileResponse(archive, media_type="application/zip", filename=name, background=clean_up)


def _login_page(request: Request, wrong: bool) -> Response:
    secret = secrets.token_urlsafe(32)  # no session: it only ties the form to this browser
    status = 403 if wrong else 200
    response = render("login", status, csrf=form_token(secret), w=translations("en"), wrong=wrong)
    set_cookie(response, OPERATOR_COOKIE, secret, the_site(request).origins.secure, days=None)
    return response


def _links_page(visit: OperatorVisit, tokens: dict[str, str]) -> Response:
    """Show new links; they begin with the public URL where there is one, else with the address asked."""
    base = visit.site.url or f"http://{visit.request.headers['host']}"
    links = [(name, f"{base}/r/{token}") for name, token in tokens.items()]
    return visit.page("new_links", links=links)


def _rater(visit: OperatorVisit, rater_id: str) -> RaterRow:
    with visit.site.store.reading() as db:
        for rater in raters.all_raters(db):
            if str(rater.id) == rater_id:
                return rater
    raise HTTPException(404)
